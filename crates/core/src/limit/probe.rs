//! What calls take without a queue: when that is learnt, and the probe that lowers the limit for it.

use core::time::Duration;

use super::{Cause, Limit, Window};
use crate::Moment;
use crate::moment::nanos;

/// A limit that is lowered to learn.
#[derive(Clone, Copy, Debug)]
pub(super) struct Probe {
    /// The limit to go back to.
    from: f64,
    /// What calls took at twice the limit that it is now, in nanoseconds.
    before: f64,
}

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

    /// Halves the limit for a window, after one of which the calls took so long; whether it can be lower.
    pub(super) fn begin_probe(&mut self, mean: f64) -> bool {
        let from = self.clamp(self.value);
        let longest = self.baseline.get_f64().unwrap_or(mean) * f64::from(self.law.longest());
        // Calls that take longer count as that: how much slower they were is not known.
        let before = match mean < longest * ALL_LONGEST {
            true => mean,
            false => f64::INFINITY,
        };
        self.value = from;
        let begins = self.halve();
        self.probe = begins.then_some(Probe { from, before });
        begins
    }

    /// Goes on at half of that, where a window at half the limit was still of a queue of our own; whether it does.
    pub(super) fn go_on(&mut self, probe: Probe, window: &Window) -> bool {
        let mean = nanos(window.mean) as f64;
        let known = self.baseline.get_f64().unwrap_or(mean);
        let queues = mean > known * AS_KNOWN && mean < probe.before * FASTER;
        let goes_on = queues && !self.is_unused(window) && self.halve();
        if goes_on {
            let before = mean;
            self.probe = Some(Probe { before, ..probe });
        }
        goes_on
    }

    /// Whether the limit could be halved.
    fn halve(&mut self) -> bool {
        let halved = self.clamp(self.value / 2.0);
        let is_lower = halved < self.value;
        self.value = halved;
        is_lower
    }

    /// Goes back to the limit before the probe; whether there was one.
    pub(super) fn end_probe(&mut self) -> bool {
        let Some(Probe { from, .. }) = self.probe.take() else {
            return false;
        };
        self.value = self.clamp(from);
        self.cause = Cause::Probed;
        true
    }
}

/// What is within a quarter of the baseline is no queue to speak of.
const AS_KNOWN: f64 = 1.25;

/// Half as many calls at once take half as long where they queue, and as long where they do not: this is in the middle.
const FASTER: f64 = 0.75;

/// A mean that is so near to the most that one call counts for is one of calls that took longer.
const ALL_LONGEST: f64 = 0.75;

/// A baseline that fell to this share of what it was may not have arrived.
const STILL_FALLING: f64 = 0.8;

/// Between two probes there is at least so many times what one takes.
const RARE: u32 = 100;
