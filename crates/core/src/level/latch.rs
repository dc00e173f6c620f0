//! Whether one rule asks: set and reset by a signal that stayed beyond a value for a time.

use core::time::Duration;

use super::LevelRule;
use crate::Moment;
use crate::moment::nanos;

/// The state of one rule.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Latch {
    is_set: bool,
    /// While the signal is on the way to a change: when it was last seen there, and what has passed of the time.
    pending: Option<(Moment, Duration)>,
}

impl Latch {
    pub(super) const fn is_set(&self) -> bool {
        self.is_set
    }

    /// Takes in a value; whether the rule asks.
    pub(super) fn observe(&mut self, rule: &LevelRule, value: f64, now: Moment) -> bool {
        let (is_beyond, time) = if self.is_set {
            (value < rule.leave, rule.leave_after)
        } else {
            (value >= rule.enter, rule.enter_after)
        };
        if !is_beyond {
            self.pending = None;
            return self.is_set;
        }
        let passed = match self.pending {
            // A clock that was set back makes a gap of zero.
            Some((seen, passed)) => passed.saturating_add(now.since(seen).min(half(time))),
            None => Duration::ZERO,
        };
        if passed >= time {
            self.is_set = !self.is_set;
            self.pending = None;
        } else {
            self.pending = Some((now, passed));
        }
        self.is_set
    }
}

/// Half of it, rounded up, so that two halves are the whole.
const fn half(time: Duration) -> Duration {
    Duration::from_nanos(nanos(time).div_ceil(2))
}
