//! A limit on concurrency that is found, not set: it grows while calls stay fast, and falls when they begin to queue or are dropped.
//!
//! There are two parts, because a call is measured each time and the limit changes a few times a second:
//! - [`Samples`] counts what calls took, in a few atomics: no lock, no allocation.
//! - [`Limit`] is told of each whole window of samples, and decides.
//!   It is a plain value for one owner at a time; the shell keeps it in a lock that only the call takes that ends a window, and only if it is free.
//!
//! ```text
//!            window: unused                     window: unused, or probed
//!          ┌──── hold ────┐                   ┌─── the baseline is learnt ───┐
//!          ▼              │                   ▼                              │
//!      ┌───────────────────────┐  relearn  ┌─────────────────────────────────────┐ still queueing:
//!      │        normal         │──────────▶│ probing: half the limit, one window │──┐ half of that
//!      │ fast: grow            │           └─────────────────────────────────────┘◀─┘
//!      │ queueing, drops: fall │◀────────── window over: the limit that was
//!      └───────────────────────┘
//! ```
//!
//! # The three laws
//! `L` is the limit, `I` the most calls that ran at once when one of the window began, `t` the mean time of its calls, `b` the baseline.
//! [`Aimd`], [`Vegas`] and [`Gradient2`] have the formulas and constants of Netflix's concurrency-limits, for windows instead of single calls.
//! The windows are those of its `WindowedLimit`, but a slow service's are longer instead of thrown away: as long as it takes until there are enough calls, and a low limit needs fewer of them.
//!
//! What is repaired, for all three:
//! - They grow only while they are used: with `2·I < L` the window says nothing about what a higher limit would do.
//! - A window of which more than a share of the calls were dropped makes the limit fall, whatever the others took.
//!   Below that share it does not: a service that always loses one call in a thousand would end at the lowest limit.
//! - A call that was cut at a deadline of less than [`LONGEST`] baselines is none of these drops: chance makes some calls take as long.
//!   Only where more of a window were cut than succeeded is it overload.
//! - A call that takes far longer than the others, such as one whose caller reads slowly, counts as [`LONGEST`] baselines: a few of them say nothing about the rest.
//! - The baseline is learnt where no queue of our own can be in it: in windows of which less than half of the limit was used, or else, every now and then, in a probe: one window at half the limit.
//!   A probe comes no sooner than after a hundred times what it takes: it costs less than one call in a hundred, also where calls take minutes.
//! - Half of a limit that is far too high is too high as well, as after a loss of workers.
//!   Where halving makes calls much faster, what they still take above the baseline is a queue of our own, and the probe goes on at half of that, until halving makes them no faster.
//!   It costs nothing: where there is a queue, lower limits do as much work.
//!   Overload teaches it nothing, and what it learnt is forgotten when the next such window comes.
//!   A limiter that was started under overload therefore comes closer to the truth with each probe, which then follow fast.
//! - At the lowest limit for [`FLOOR_WINDOWS`] windows, the service has become slower for another reason, and that is the new baseline.
//! - The limit is kept as a fraction, or steps of less than one would be lost.

use core::time::Duration;

use crate::moment::nanos;
use crate::{InvalidConfig, Moment};

mod baseline;
use baseline::Baseline;

mod cause;
pub use cause::Cause;

mod config;
pub use config::{Aimd, Algorithm, Gradient2, LimitConfig, Vegas};

mod laws;
use laws::Law;

mod probe;
use probe::Probe;

mod samples;
pub use samples::{Samples, Terms};

#[cfg(all(test, not(seaworthy_loom)))]
mod tests;

/// A limit that is found: see the [module](self).
#[derive(Debug)]
pub struct Limit {
    config: LimitConfig,
    /// A fraction, at least `config.min` and at most `config.max`.
    value: f64,
    law: Law,
    baseline: Baseline,
    probe: Option<Probe>,
    /// How many windows in a row were slow although the limit is the lowest there is.
    at_floor: u32,
    /// What calls took in the last window that had enough of them.
    recent: Option<Duration>,
    learns: bool,
    cause: Cause,
}

/// What a window of calls has shown.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[expect(
    clippy::exhaustive_structs,
    reason = "a value for tests and simulations to make"
)]
pub struct Window {
    /// How many calls succeeded, and were measured.
    pub calls: u32,
    /// How many timed out, or were turned away further in because there was too much.
    pub drops: u32,
    /// How many missed a deadline that leaves little more than what calls take: see [`LONGEST`].
    pub cut: u32,
    /// What the measured calls took, on average.
    pub mean: Duration,
    /// The most calls that ran when one of these began, itself included.
    pub in_flight: usize,
}

/// Another limit, and why.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Change {
    /// The limit before.
    pub from: usize,
    /// The limit from now on.
    pub to: usize,
    /// Why.
    pub cause: Cause,
}

// ===== impl Limit =====

impl Limit {
    /// A limit that knows nothing yet.
    ///
    /// # Errors
    /// If the configuration cannot work.
    pub fn try_new(config: LimitConfig) -> Result<Self, InvalidConfig> {
        config.check()?;
        Ok(Self {
            value: config.initial as f64,
            law: Law::new(config.algorithm),
            baseline: Baseline::default(),
            probe: None,
            at_floor: 0,
            recent: None,
            learns: true,
            cause: Cause::Initial,
            config,
        })
    }

    /// How many calls may run at once now.
    #[must_use]
    pub fn get(&self) -> usize {
        // The sliver makes up for fractions that add up to just below a whole.
        (self.value + 1e-9) as usize
    }

    /// The same, with its fraction.
    #[must_use]
    pub const fn as_f64(&self) -> f64 {
        self.value
    }

    /// What calls take without a queue, as far as it is known; [`Aimd`] does not ask.
    #[must_use]
    pub fn baseline(&self) -> Option<Duration> {
        self.baseline.get().map(Duration::from_nanos)
    }

    /// What calls took in the last window, on average.
    #[must_use]
    pub const fn recent(&self) -> Option<Duration> {
        self.recent
    }

    /// Why the limit is what it is.
    #[must_use]
    pub const fn cause(&self) -> Cause {
        self.cause
    }

    /// The least and the most that the limit may be.
    #[must_use]
    pub const fn bounds(&self) -> (usize, usize) {
        (self.config.min, self.config.max)
    }

    /// Whether windows change anything.
    #[must_use]
    pub const fn learns(&self) -> bool {
        self.learns
    }

    /// Whether the limit is lowered for a window or a few, to learn.
    #[must_use]
    pub const fn is_probing(&self) -> bool {
        self.probe.is_some()
    }

    /// Ends the window that the samples are of, if it is over, and decides.
    ///
    /// `draw` is asked for a random number when a probe is planned, so that the processes of a fleet do not probe together.
    pub fn close(
        &mut self,
        samples: &Samples,
        now: Moment,
        draw: impl FnOnce() -> u64,
    ) -> Option<Change> {
        if !samples.is_over(now) {
            return None;
        }
        let (window, slowest) = (samples.take(), samples.take_slowest());
        // Too few to tell what calls take; not too few to tell that they are dropped.
        let change = if samples.are_enough(&window) || window.drops > 0 || window.cut > 0 {
            self.on_window(window, now, draw)
        } else {
            let before = self.get();
            if self.end_probe() {
                // Not soon: the next one would find as few.
                self.baseline.plan(now, self.pause(), draw());
            }
            self.changed(before)
        };
        let mean = match window.calls {
            0 => self.recent.unwrap_or_default(),
            _ => window.mean,
        };
        samples.open(now, self.terms(mean, slowest));
        change
    }

    /// What the next window is to be, after one in which calls took so long.
    fn terms(&self, mean: Duration, slowest: Duration) -> Terms {
        let wanted = mean.saturating_mul(2);
        // For so long, each slot has two calls: a low limit must not wait for more.
        let calls = u32::try_from(self.get().saturating_mul(2)).unwrap_or(u32::MAX);
        let usual = match self.probe {
            // By what they took before: where that is much, less of it must still be told from it.
            Some(_) => self.baseline().max(self.recent),
            None => self.baseline().or(self.recent),
        };
        let longest = usual.map(|usual| usual.saturating_mul(self.law.longest()));
        Terms {
            length: wanted.clamp(self.config.window, self.config.window * MAX_STRETCH),
            calls: calls.min(self.config.min_samples),
            took: mean.max(slowest),
            longest: longest.unwrap_or(Duration::MAX),
            only_new: self.is_probing(),
        }
    }

    /// Decides after a whole window.
    pub fn on_window(
        &mut self,
        window: Window,
        now: Moment,
        draw: impl FnOnce() -> u64,
    ) -> Option<Change> {
        let before = self.get();
        if window.calls > 0 {
            self.recent = Some(window.mean);
        }
        if self.learns {
            self.cause = self.decide(window, now, draw);
            self.value = self.clamp(self.value);
        }
        self.invariants();
        self.changed(before)
    }

    /// Stops learning, or starts again; stopped, the limit stays what it is.
    pub fn set_learning(&mut self, learns: bool) -> Option<Change> {
        let before = self.get();
        self.learns = learns;
        let _ = self.end_probe();
        self.changed(before)
    }

    /// Another least and most.
    ///
    /// # Errors
    /// If they contradict each other; nothing has changed then.
    pub fn set_bounds(&mut self, min: usize, max: usize) -> Result<Option<Change>, InvalidConfig> {
        config::check_bounds(min, max)?;
        let before = self.get();
        (self.config.min, self.config.max) = (min, max);
        let _ = self.end_probe();
        let value = self.clamp(self.value);
        if value != self.value {
            self.value = value;
            self.cause = Cause::Bounds;
        }
        self.invariants();
        Ok(self.changed(before))
    }

    fn decide(&mut self, window: Window, now: Moment, draw: impl FnOnce() -> u64) -> Cause {
        let calls = u64::from(window.calls) + u64::from(window.drops);
        let dropped =
            self.config.drop_rate.reached(window.drops.into(), calls) || window.cut > window.calls;
        let mean = nanos(window.mean) as f64;
        let known = window.calls > 0 && mean > 0.0;
        if let Some(probe) = self.probe {
            let is_told = known && !dropped;
            if is_told && self.go_on(probe, &window) {
                return Cause::Probing;
            }
            let _ = self.end_probe();
            if is_told {
                self.relearn(&window, now, draw);
            } else {
                self.baseline.plan_soon(now, self.pause());
            }
            return Cause::Probed;
        }
        if dropped {
            self.value = self.law.after_drops(self.value);
            return Cause::Dropped;
        }
        if !known {
            return self.cause;
        }
        let unused = self.is_unused(&window);
        let due = self.law.has_baseline() && self.learn(&window, unused, now, draw);
        if unused {
            return Cause::Unused;
        }
        let baseline = self.baseline.get_f64().unwrap_or(mean);
        let (value, cause) = self.law.step(self.value, mean, baseline);
        self.value = value;
        self.note_floor(cause, mean);
        // After the step: where windows are long each may begin a probe, and the limit must follow all the same.
        if due && self.begin_probe(mean) {
            return Cause::Probing;
        }
        cause
    }

    /// A service that is slow even at the lowest limit is slow for another reason than ours.
    fn note_floor(&mut self, cause: Cause, mean: f64) {
        if cause == Cause::Slow && self.value <= self.config.min as f64 {
            self.at_floor += 1;
            if self.at_floor >= FLOOR_WINDOWS {
                self.baseline.set(mean);
                self.at_floor = 0;
            }
        } else {
            self.at_floor = 0;
        }
    }

    fn is_unused(&self, window: &Window) -> bool {
        2.0 * (window.in_flight as f64) < self.value
    }

    fn clamp(&self, value: f64) -> f64 {
        value.clamp(self.config.min as f64, self.config.max as f64)
    }

    fn changed(&self, from: usize) -> Option<Change> {
        let (to, cause) = (self.get(), self.cause);
        (to != from).then_some(Change { from, to, cause })
    }

    fn invariants(&self) {
        if cfg!(debug_assertions) {
            let (min, max) = self.bounds();
            assert!(
                (min..=max).contains(&self.get()),
                "the limit is within its bounds"
            );
            assert!(
                self.baseline
                    .get_f64()
                    .is_none_or(|b| b > 0.0 && b.is_finite())
            );
        }
    }
}

/// After so many slow windows at the lowest limit, what calls take is the new baseline; as Envoy measures anew after five.
pub const FLOOR_WINDOWS: u32 = 5;

/// A call that took longer than so many baselines counts as one that took so long; [`Gradient2`] with a high tolerance has a higher bound.
///
/// No law falls faster for what is slower still.
/// A caller that waits for less has no reason to call it overload where it has waited in vain: chance does that, too.
pub const LONGEST: u32 = 8;

/// A window is at most so many times as long as configured: calls that take longer need not end twice in it.
const MAX_STRETCH: u32 = 10;

/// How far apart two threads may be that have both read the clock.
const RACE: Duration = Duration::from_secs(1);
