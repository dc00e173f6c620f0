//! What calls take where nothing queues, and when that is to be learnt anew.

use core::time::Duration;

use super::RACE;
use crate::Moment;

/// What calls take without a queue of our own.
#[derive(Default, Debug)]
pub(super) struct Baseline {
    /// In nanoseconds; zero while it is not known.
    mean: f64,
    /// How many windows it is the mean of.
    windows: u32,
    /// When it was planned, and for when: long before the one the clock was set back, after the other it is due.
    planned: Moment,
    due: Moment,
}

// ===== impl Baseline =====

impl Baseline {
    pub(super) fn get(&self) -> Option<u64> {
        self.get_f64().map(|mean| mean as u64)
    }

    pub(super) fn get_f64(&self) -> Option<f64> {
        (self.mean > 0.0).then_some(self.mean)
    }

    /// Forgets what it was, which it returns.
    pub(super) fn set(&mut self, mean: f64) -> Option<f64> {
        let before = self.get_f64();
        (self.mean, self.windows) = (mean, 1);
        before
    }

    /// Forgets so much of what it was, which it returns: all, where it was not known.
    pub(super) fn replace(&mut self, mean: f64, share: f64) -> Option<f64> {
        let before = self.get_f64();
        if before.is_none() || share >= 1.0 {
            return self.set(mean);
        }
        self.approach(mean, share);
        before
    }

    /// Moves by that share of the way.
    pub(super) fn approach(&mut self, mean: f64, share: f64) {
        self.mean += (mean - self.mean) * share;
    }

    /// Shrinks to that share of itself.
    pub(super) fn shrink(&mut self, share: f64) {
        self.mean = (self.mean * share).max(1.0);
    }

    /// An exponential mean over so many windows, which begins as a plain one of the first few.
    pub(super) fn average(&mut self, mean: f64, over: u32) {
        if self.windows < WARM_UP {
            self.windows += 1;
            self.approach(mean, 1.0 / f64::from(self.windows));
        } else {
            self.approach(mean, 2.0 / (f64::from(over) + 1.0));
        }
    }

    /// The next probe comes after this time and up to 15 % more.
    pub(super) fn plan(&mut self, now: Moment, after: Duration, draw: u64) {
        let spread = u32::try_from(draw >> 32).unwrap_or(u32::MAX);
        let jitter = (after.as_nanos() / 100 * JITTER_PERCENT * u128::from(spread)) >> 32;
        let jitter = Duration::from_nanos(u64::try_from(jitter).unwrap_or(u64::MAX));
        (self.planned, self.due) = (now, now + after.saturating_add(jitter));
    }

    /// The next probe comes soon: an eighth of the usual time.
    pub(super) fn plan_soon(&mut self, now: Moment, after: Duration) {
        (self.planned, self.due) = (now, now + after / SOON);
    }

    pub(super) fn is_due(&self, now: Moment) -> bool {
        now >= self.due && self.due != Moment::NEVER || now + RACE < self.planned
    }
}

/// As concurrency-limits has it: a plain mean of so many first.
const WARM_UP: u32 = 10;

/// As Envoy has it, so that the processes of a fleet do not measure together.
const JITTER_PERCENT: u128 = 15;

/// A few windows, but not the next.
const SOON: u32 = 8;
