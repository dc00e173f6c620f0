//! What calls take without a queue: when that is learnt, and the probe that lowers the limit for it.

use core::time::Duration;

use super::{Cause, Limit, Window};
use crate::Moment;
use crate::moment::nanos;

impl Limit {
    /// Learns what may be learnt from a window; whether a probe is due.
    pub(super) fn learn(
        &mut self,
        window: &Window,
        unused: bool,
        now: Moment,
        draw: impl FnOnce() -> u64,
    ) -> bool {
        if self.baseline.get_f64().is_none() {
            self.relearn(window, now, draw);
            // What the first window of a busy service shows may be its overload.
            if !unused {
                self.baseline.plan_soon(now, self.pause());
            }
            return false;
        }
        if unused && self.baseline.is_due(now) {
            self.relearn(window, now, draw);
            return false;
        }
        let mean = nanos(window.mean) as f64;
        self.law.learn(&mut self.baseline, mean, unused);
        self.baseline.is_due(now)
    }

    /// The baseline is this, from now on; the next probe comes in time.
    pub(super) fn relearn(&mut self, window: &Window, now: Moment, draw: impl FnOnce() -> u64) {
        // The few calls that a low limit has in a window say less than a whole one.
        let share = f64::from(window.calls) / f64::from(self.config.min_samples);
        let before = self.baseline.replace(nanos(window.mean) as f64, share);
        self.baseline.plan(now, self.pause(), draw());
        let falls = |before| self.baseline.get_f64() < Some(before * STILL_FALLING);
        // It was far too high: so may be what it is now.
        if before.is_some_and(falls) {
            self.baseline.plan_soon(now, self.pause());
        }
    }

    /// How long until the next probe: of calls that take long, so long that it is a small part of it.
    pub(super) fn pause(&self) -> Duration {
        // Not by what they take now: slowed by an overload, they need the next probe sooner than later.
        let usual = self.baseline().or(self.recent).unwrap_or_default();
        let probe = usual.saturating_mul(2);
        self.config.relearn.max(probe.saturating_mul(RARE))
    }

    /// Halves the limit for a window; whether it can be lower.
    pub(super) fn begin_probe(&mut self) -> bool {
        let value = self.clamp(self.value);
        let halved = self.clamp(value / 2.0);
        if halved >= value {
            return false;
        }
        self.probed_from = Some(value);
        self.value = halved;
        true
    }

    /// Goes back to the limit before the probe; whether there was one.
    pub(super) fn end_probe(&mut self) -> bool {
        let Some(before) = self.probed_from.take() else {
            return false;
        };
        self.value = self.clamp(before);
        self.cause = Cause::Probed;
        true
    }
}

/// A baseline that fell to this share of what it was may not have arrived.
const STILL_FALLING: f64 = 0.8;

/// Between two probes there is at least so many times what one takes.
const RARE: u32 = 100;
