//! Who is served next, who gives way, and how long a newcomer may wait: what a queue does under overload.

use alloc::collections::BTreeMap;
use core::cmp::Reverse;
use core::time::Duration;

use super::queue::Place;
use crate::{Criticality, InvalidConfig, Moment};

/// Keeps a queue from standing: CoDel as services have it, and last come first served while it stands.
///
/// CoDel (Nichols and Jacobson, RFC 8289) tells a queue that absorbs a burst from one that stands, by the least time that anybody waited in an interval; and then drops packets ever faster, so that senders slow down.
/// Calls do not slow down, so services use a variant ("Fail at Scale", ACM Queue 2015): a newcomer may wait for `interval` if the queue was empty less than an `interval` ago, else for no more than `target`.
/// Nobody who has waited for longer is served: that is decided when a slot becomes free, or by the waiter's own timer before.
///
/// While the queue stands, the last to come is the first to be served: who has just come has most of its time left, and who has waited long has given up or soon will.
///
/// ```text
///                       not empty for longer than `interval`
///   first come first ───────────────────────────────────────▶ last come first
///   wait `interval`  ◀─────────────────────────────────────── wait `target`
///                                  empty
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ControlledDelay {
    target: Duration,
    interval: Duration,
}

/// The order of one queue.
#[derive(Default, Debug)]
pub(super) struct Order {
    delay: Option<ControlledDelay>,
    /// Since when somebody has been waiting without a break.
    standing: Option<Moment>,
}

// ===== impl ControlledDelay =====

impl ControlledDelay {
    /// The times of the reference: 5 ms, and 100 ms.
    pub const DEFAULT: Self = Self {
        target: Duration::from_millis(5),
        interval: Duration::from_millis(100),
    };

    /// Other times.
    ///
    /// # Errors
    /// If the target is zero, or longer than the interval.
    pub fn try_new(target: Duration, interval: Duration) -> Result<Self, InvalidConfig> {
        if target.is_zero() {
            return Err(InvalidConfig::new("target", "must be above zero"));
        }
        if interval < target {
            return Err(InvalidConfig::new(
                "interval",
                "must be at least the target",
            ));
        }
        Ok(Self { target, interval })
    }
}

// ===== impl Order =====

impl Order {
    pub(super) const fn control(&mut self, delay: ControlledDelay) {
        self.delay = Some(delay);
    }

    pub(super) fn is_overloaded(&self, now: Moment) -> bool {
        match (self.delay, self.standing) {
            (Some(delay), Some(since)) => now.since(since) > delay.interval,
            _ => false,
        }
    }

    pub(super) fn patience(&self, now: Moment) -> Duration {
        match self.delay {
            None => Duration::MAX,
            Some(delay) if self.is_overloaded(now) => delay.target,
            Some(delay) => delay.interval,
        }
    }

    pub(super) fn on_queued(&mut self, now: Moment) {
        // A clock that has run backwards must not keep a queue from ever being overloaded.
        self.standing = Some(self.standing.map_or(now, |since| since.min(now)));
    }

    pub(super) const fn on_empty(&mut self) {
        self.standing = None;
    }

    /// Who is served next.
    pub(super) fn next<W>(&self, waiting: &BTreeMap<Place, W>, now: Moment) -> Option<Place> {
        let (&first, _) = waiting.first_key_value()?;
        if !self.is_overloaded(now) {
            return Some(first);
        }
        let last = Place {
            number: u64::MAX,
            ..first
        };
        waiting
            .range(first..=last)
            .next_back()
            .map(|(&place, _)| place)
    }

    /// Who gives way to a newcomer of that class, if anybody: the one of the lowest class who would be served last.
    pub(super) fn gives_way<W>(
        &self,
        waiting: &BTreeMap<Place, W>,
        class: Criticality,
        now: Moment,
    ) -> Option<Place> {
        let (&last, _) = waiting.last_key_value()?;
        let Reverse(lowest) = last.class;
        let newest_first = self.is_overloaded(now);
        if lowest > class || lowest == class && !newest_first {
            return None;
        }
        if !newest_first {
            return Some(last);
        }
        let first = Place { number: 0, ..last };
        waiting.range(first..).next().map(|(&place, _)| place)
    }
}
