//! What a closed circuit counts, and when that is enough to open it.

use super::call::Cause;
use super::counter::Counter;
use super::window::{Counts, Mark, Window};
use crate::{Moment, Ratio};

/// The counts of the closed state and the rules over them, combined with OR.
///
/// Only a call that speaks against the dependency, failed or slow, is judged.
/// A good call is never what opens a circuit: not when it fills up the minimum, nor when the good calls before it have just left a time window.
#[derive(Debug)]
pub(super) struct Rules {
    /// None where no rule looks at it.
    pub(super) window: Option<Window>,
    pub(super) failure_rate: Option<Ratio>,
    pub(super) failure_count: Option<u64>,
    pub(super) slow_call_rate: Option<Ratio>,
    pub(super) minimum_calls: u64,
    pub(super) consecutive: Option<Limit>,
    pub(super) leaky: Option<Limit>,
}

/// A count and the limit that opens the circuit.
#[derive(Debug)]
pub(super) struct Limit {
    pub(super) at: u32,
    pub(super) count: Counter,
}

// ===== impl Rules =====

impl Rules {
    /// Counts one call in every rule, and returns the first rule that it broke.
    ///
    /// `current` tells whether `generation` is still that of the circuit; where it is not, nothing is counted.
    pub(super) fn record(
        &self,
        mark: Mark,
        generation: u64,
        now: impl FnOnce() -> Moment,
        current: impl Fn() -> bool,
    ) -> Option<Cause> {
        // Each rule counts, whichever of them trips.
        let consecutive = self.consecutive.as_ref().is_some_and(|limit| {
            limit.step(mark, generation, &current, |count| count.clear(generation))
        });
        let leaky = self.leaky.as_ref().is_some_and(|limit| {
            limit.step(mark, generation, &current, |count| count.lower(generation))
        });
        let rate = self
            .window
            .as_ref()
            .and_then(|window| window.record(mark, generation, now, &current))
            .and_then(|counts| self.judge(mark, counts));
        if consecutive {
            Some(Cause::ConsecutiveFailures)
        } else if leaky {
            Some(Cause::LeakyCount)
        } else {
            rate
        }
    }

    /// Whether one good call more would change nothing: counts at zero, and a window full of good calls.
    ///
    /// A call that finds it so is over with a few loads, and threads that share a healthy circuit only read.
    #[inline]
    pub(super) fn are_at_rest(&self, generation: u64) -> bool {
        let is_zero = |limit: &Option<Limit>| {
            limit
                .as_ref()
                .is_none_or(|limit| limit.count.get(generation) == 0)
        };
        self.window
            .as_ref()
            .is_none_or(|window| window.is_at_rest(generation))
            && is_zero(&self.consecutive)
            && is_zero(&self.leaky)
    }

    /// Whether a call of this mark, being the latest of those counted, opens the circuit.
    fn judge(&self, mark: Mark, counts: Counts) -> Option<Cause> {
        let reached = |rate: Option<Ratio>, part: u64| {
            counts.calls >= self.minimum_calls
                && rate.is_some_and(|rate| rate.reached(part, counts.calls))
        };
        if mark.failed && reached(self.failure_rate, counts.failures) {
            Some(Cause::FailureRate)
        } else if mark.failed && self.failure_count.is_some_and(|at| counts.failures >= at) {
            Some(Cause::FailureCount)
        } else if mark.slow && reached(self.slow_call_rate, counts.slow) {
            Some(Cause::SlowCallRate)
        } else {
            None
        }
    }
}

// ===== impl Limit =====

impl Limit {
    pub(super) fn new(at: u32) -> Self {
        Self {
            at,
            count: Counter::new(),
        }
    }

    /// Raises the count after a failure, relaxes it after a success, and tells when it is at its limit.
    fn step(
        &self,
        mark: Mark,
        generation: u64,
        current: impl Fn() -> bool,
        relax: impl FnOnce(&Counter),
    ) -> bool {
        if !mark.failed {
            if !mark.abandoned {
                relax(&self.count);
            }
            return false;
        }
        self.count
            .raise(generation, current)
            .is_some_and(|count| count >= self.at)
    }
}
