//! The sliding windows over which rates are taken: the last calls, or the last stretch of time.

mod count;
mod time;

pub(super) use count::{CountWindow, MAX_CALLS};
pub(super) use time::{MAX_BUCKETS, TimeWindow};

use crate::Moment;

/// How one call is written down.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Mark {
    pub(super) failed: bool,
    pub(super) slow: bool,
    /// Its caller gave it up: it neither succeeded nor failed, and is written down for having been slow.
    pub(super) abandoned: bool,
}

/// What a window holds.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub struct Counts {
    /// Calls that ended with a verdict, good or bad, or were abandoned when they had been slow.
    pub calls: u64,
    /// Those that failed.
    pub failures: u64,
    /// Those that were slow, failed or not. Always zero where the slow-call rule is off.
    pub slow: u64,
}

/// One of the two windows.
#[derive(Debug)]
pub(super) enum Window {
    Calls(CountWindow),
    Time(TimeWindow),
}

// ===== impl Mark =====

impl Mark {
    /// Whether the call speaks against the dependency; only such a call can trip.
    pub(super) const fn is_bad(self) -> bool {
        self.failed || self.slow
    }
}

// ===== impl Window =====

impl Window {
    /// Writes one call down, and returns what the window holds with it if the call was bad.
    ///
    /// `None` when the generation is over, or when nobody needs to know.
    /// `now` is asked by a time window only, and `current` tells whether `generation` is still that of the circuit.
    pub(super) fn record(
        &self,
        mark: Mark,
        generation: u64,
        now: impl FnOnce() -> Moment,
        current: impl Fn() -> bool,
    ) -> Option<Counts> {
        match self {
            Self::Calls(window) => window.record(mark, generation, current),
            Self::Time(window) => window.record(mark, generation, now(), current),
        }
    }

    /// Whether one good call more would change nothing.
    #[inline]
    pub(super) fn is_at_rest(&self, generation: u64) -> bool {
        match self {
            Self::Calls(window) => window.is_full_and_healthy(generation),
            // Every call is one more in its bucket.
            Self::Time(_) => false,
        }
    }

    /// What the window of `generation` holds now.
    pub(super) fn counts(&self, generation: u64, now: impl FnOnce() -> Moment) -> Counts {
        match self {
            Self::Calls(window) => window.counts(generation),
            Self::Time(window) => window.counts(generation, now()),
        }
    }
}
