//! What can be changed about any refusing layer at run time: draining, and how many of its refusals it enforces.

use std::sync::atomic::{AtomicU32, Ordering};

/// Switches that every refusing layer has, read with one load per call.
#[derive(Debug)]
pub struct Control {
    /// Zero in normal operation, so that one comparison decides; see the masks below.
    word: AtomicU32,
}

const DRAINING: u32 = 1 << 8;
/// The share of refusals, in percent, that are only reported.
const LENIENT: u32 = 0xff;

impl Control {
    pub(crate) const fn new() -> Self {
        Self {
            word: AtomicU32::new(0),
        }
    }

    /// Whether nothing is switched: the layer takes calls and enforces all it decides.
    #[inline]
    #[must_use]
    pub fn is_normal(&self) -> bool {
        self.word.load(Ordering::Relaxed) == 0
    }

    /// Whether new calls are refused because the layer drains.
    #[must_use]
    #[inline]
    pub fn is_draining(&self) -> bool {
        self.word.load(Ordering::Relaxed) & DRAINING != 0
    }

    /// Takes calls again after a drain.
    pub fn resume(&self) {
        self.word.fetch_and(!DRAINING, Ordering::Relaxed);
    }

    /// Decides, counts and reports as always, but refuses nothing; or refuses again.
    pub fn observe_only(&self, on: bool) {
        self.enforce_percent(if on { 0 } else { 100 });
    }

    /// Enforces that share of its refusals and only reports the others: how a new limit is brought in without a jump.
    ///
    /// More than 100 counts as 100, which is the default.
    pub fn enforce_percent(&self, percent: u8) {
        let lenient = 100 - u32::from(percent.min(100));
        let change = |word| Some((word & !LENIENT) | lenient);
        // The closure always answers, so there is no failure to handle.
        let _ = self
            .word
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, change);
    }

    /// The share of refusals that are enforced, in percent.
    #[must_use]
    pub fn enforced_percent(&self) -> u8 {
        100 - (self.word.load(Ordering::Relaxed) & LENIENT) as u8
    }

    pub(crate) fn switch_as(&self, other: &Self) {
        let word = other.word.load(Ordering::Relaxed);
        self.word.store(word, Ordering::Relaxed);
    }

    pub(crate) fn is_switched_as(&self, other: &Self) -> bool {
        self.word.load(Ordering::Relaxed) == other.word.load(Ordering::Relaxed)
    }

    pub(crate) fn start_drain(&self) {
        self.word.fetch_or(DRAINING, Ordering::Relaxed);
    }

    /// Whether this refusal is one of those that are enforced; draws only where a part of them is.
    #[must_use]
    pub fn enforces(&self, draw: impl FnOnce() -> u64) -> bool {
        match self.enforced_percent() {
            100 => true,
            0 => false,
            percent => draw() % 100 < u64::from(percent),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn switches_do_not_touch_each_other() {
        let control = Control::new();
        assert!(control.is_normal());
        control.start_drain();
        control.observe_only(true);
        assert!(control.is_draining());
        assert_eq!(control.enforced_percent(), 0);
        control.resume();
        assert_eq!(control.enforced_percent(), 0);
        control.observe_only(false);
        assert!(control.is_normal());
    }

    #[test]
    fn share_of_the_refusals_is_enforced() {
        let control = Control::new();
        control.enforce_percent(30);
        let enforced = (0..100).filter(|&draw| control.enforces(|| draw)).count();
        assert_eq!(enforced, 30);
        control.enforce_percent(255);
        assert!(control.is_normal());
        assert!(control.enforces(|| unreachable!("full enforcement needs no draw")));
    }
}
