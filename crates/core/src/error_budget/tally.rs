//! How the calls of the present slot of time ended, counted by many threads at once.

use core::time::Duration;

use super::{Ends, ErrorBudget};
use crate::Moment;
use crate::moment::nanos;
use crate::sync::atomic::AtomicU64;
use crate::sync::atomic::Ordering::Relaxed;

/// How calls ended since the last time that they were booked, all in one slot of time.
///
/// A call costs a load and an addition, which order nothing: whoever settles takes what is there, and what comes later counts for the next slot.
#[derive(Debug)]
#[repr(align(64))]
pub struct Tally {
    width: u64,
    /// The number of the slot.
    slot: AtomicU64,
    good: AtomicU64,
    bad: AtomicU64,
}

impl Tally {
    /// Nothing is counted yet, in slots as that budget books them.
    #[must_use]
    pub fn new(budget: &ErrorBudget) -> Self {
        Self::with_slot(budget.slot)
    }

    /// Nothing is counted yet, in slots of that length; at least a nanosecond.
    #[must_use]
    pub fn with_slot(slot: Duration) -> Self {
        Self {
            width: nanos(slot).max(1),
            slot: AtomicU64::new(0),
            good: AtomicU64::new(0),
            bad: AtomicU64::new(0),
        }
    }

    /// Whether what is counted belongs to another slot than a call that ends now, and so has to be settled first.
    ///
    /// A thread that is late by a slot does not have the old one back.
    #[must_use]
    #[inline]
    pub fn is_over(&self, now: Moment) -> bool {
        let (slot, newest) = (now.as_nanos() / self.width, self.slot.load(Relaxed));
        slot > newest || newest - slot > 1
    }

    /// Counts a call that ended.
    #[inline]
    pub fn count(&self, well: bool) {
        let counter = if well { &self.good } else { &self.bad };
        counter.fetch_add(1, Relaxed);
    }

    /// Takes what was counted, and the last moment of its slot, or now where that comes first; begins the slot of now.
    #[must_use]
    pub fn take(&self, now: Moment) -> (Ends, Moment) {
        let slot = self.slot.swap(now.as_nanos() / self.width, Relaxed);
        let ends = Ends::new(self.good.swap(0, Relaxed), self.bad.swap(0, Relaxed));
        let last = slot.saturating_add(1).saturating_mul(self.width) - 1;
        (ends, Moment::from_nanos(last).min(now))
    }
}
