//! So many per second, whatever the traffic: a cell that leaks (GCRA), in one number.

use core::time::Duration;

use crate::Moment;

/// Holds one second's worth, and starts full.
#[derive(Debug)]
pub(super) struct Floor {
    per_second: u32,
    /// When the cell is full again; in the past, it is full.
    full_at: Moment,
}

impl Floor {
    pub(super) const fn new(per_second: u32) -> Self {
        Self {
            per_second,
            full_at: Moment::ORIGIN,
        }
    }

    /// How much the cell holds.
    pub(super) const fn whole(&self) -> u64 {
        self.per_second as u64
    }

    /// How much it holds now. `now` never runs backwards here: the window has seen to it.
    pub(super) fn left(&self, now: Moment) -> u64 {
        let Some(step) = self.step() else { return 0 };
        // At the end of time `full_at` cannot move on, and the cell would never run dry.
        if now + step * self.per_second == Moment::NEVER {
            return 0;
        }
        let missing = self.full_at.since(now).as_nanos().div_ceil(step.as_nanos());
        self.whole()
            .saturating_sub(u64::try_from(missing).unwrap_or(u64::MAX))
    }

    pub(super) fn take(&mut self, now: Moment) -> bool {
        let Some(step) = self.step() else {
            return false;
        };
        if self.left(now) == 0 {
            return false;
        }
        self.full_at = self.full_at.max(now) + step;
        true
    }

    pub(super) fn put_back(&mut self) {
        if let Some(step) = self.step() {
            self.full_at = self.full_at - step;
        }
    }

    /// When there is one again.
    pub(super) fn next(&self, now: Moment) -> Option<Moment> {
        let all_but_one = self.step()? * (self.per_second - 1);
        Some((self.full_at - all_but_one).max(now))
    }

    /// How long one takes to accrue, rounded up: never more than asked for.
    fn step(&self) -> Option<Duration> {
        let per_second = u64::from(self.per_second);
        (per_second > 0).then(|| Duration::from_nanos(1_000_000_000_u64.div_ceil(per_second)))
    }
}
