//! The dimmer: which share of the calls gets the optional part of an answer, so that the latency stays at its setpoint.
//!
//! A service that is overloaded can still answer everybody if it does less for each.
//! The dimmer says for how many the part that can be left out is done: at a share of 0.7, seven in ten get it.
//! It is *brownout* of Klein, Maggio, Årzén and Hernández-Rodriguez ("Brownout: Building More Robust Cloud Applications", ICSE 2014), with the control law of that paper.
//!
//! # The law
//! The latency `t` of a period is taken for proportional to the share `θ` that ran in it, `t = α·θ`, and what `α` is now is estimated by recursive least squares that forget.
//! Then the share is moved so that the distance to the setpoint `t*` shrinks by the pole `p` in each period, if the estimate is right:
//!
//! ```text
//!   θ(k+1) = θ(k) + (1 − p)/α · (t* − t(k)),   held between the least and the most share
//! ```
//!
//! An estimate that is wrong by less than a factor of 2/(1 − p) still settles: with the pole of 0.9, by less than twenty.
//!
//! | latency of the period | share |
//! |---|---|
//! | above the setpoint | falls, or stays at the least |
//! | at the setpoint | stays |
//! | below | rises, or stays at the most |
//! | of too few calls | stays: frozen |
//!
//! Two things are ours: latencies above ten times the setpoint count as that, since a queue that has grown for minutes says no more than one that has grown for seconds; and the estimate is held between a twentieth and ten times of what it is at a full share, so that after a long overload the way back is not a crawl.
//!
//! # Who gets it
//! [`Share::includes`] is asked with a draw.
//! Where that is a hash of the caller, the decision is sticky: a caller that got the part keeps it while the share does not fall below its draw, and nobody flickers.
//! And where that draw is [turned], the callers take turns: at a share of 0.7, each goes without for three tenths of each rotation, in one piece, and not the same three in ten for ever.
//!
//! # Driving it
//! 1. [`Share::includes`] for each call, with the share that the last step gave.
//! 2. [`Latencies::record`] at the end of each call, with and without the part: what is steered is the latency of all.
//! 3. Where that says that the period seems over, [`Dimmer::close`].
//!
//! ```
//! use std::time::Duration;
//!
//! use seaworthy_core::Moment;
//! use seaworthy_core::dimmer::{Dimmer, DimmerConfig, Latencies};
//!
//! let config = DimmerConfig::new(Duration::from_millis(200));
//! let mut dimmer = Dimmer::try_new(config)?;
//! let latencies = Latencies::new();
//! let mut now = Moment::from_nanos(0);
//! assert!(dimmer.close(&latencies, now).is_none(), "a period begins");
//! for _ in 0..100 {
//!     now = now + Duration::from_millis(10);
//!     let is_over = latencies.record(Duration::from_millis(300), now);
//!     assert_eq!(is_over, now.as_nanos() == 1_000_000_000);
//! }
//! let step = dimmer.close(&latencies, now).expect("a second with a hundred calls");
//! assert!(step.to < step.from, "too slow: fewer get the optional part");
//! # Ok::<(), seaworthy_core::InvalidConfig>(())
//! ```

use core::fmt;
use core::time::Duration;

use crate::moment::nanos;
use crate::{InvalidConfig, Moment};

mod config;
pub use config::DimmerConfig;

mod latencies;
pub use latencies::Latencies;

mod turn;
pub use turn::turned;

#[cfg(all(test, not(seaworthy_loom)))]
mod tests;

/// A share of all calls, from none to all, in millionths.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Share(u32);

/// Steers the share; see the [module](self).
///
/// O(1) for any gap.
/// A clock that was set back begins the period anew.
#[derive(Debug)]
pub struct Dimmer {
    config: DimmerConfig,
    share: f64,
    /// The latency at a full share, in setpoints, as estimated.
    slope: f64,
    /// How little is known of it: the covariance of the estimate.
    doubt: f64,
    /// When the present period began.
    opened: Option<Moment>,
}

/// What the end of a period did.
#[derive(Clone, Copy, PartialEq, Debug)]
#[non_exhaustive]
pub struct Step {
    /// The share before.
    pub from: Share,
    /// The share from now on.
    pub to: Share,
    /// The latency that was steered by.
    pub latency: Duration,
    /// Of how many calls.
    pub samples: u64,
}

// ===== impl Share =====

impl Share {
    const WHOLE: u32 = 1_000_000;

    /// Nobody.
    pub const NONE: Self = Self(0);
    /// Everybody.
    pub const ALL: Self = Self(Self::WHOLE);

    /// A share given as a fraction; what is out of range is cut to it, and what is not a number is nobody.
    #[must_use]
    pub fn of(fraction: f64) -> Self {
        // The cast saturates, and takes what is not a number for zero.
        let millionths = (fraction * f64::from(Self::WHOLE) + 0.5) as u32;
        Self(millionths.min(Self::WHOLE))
    }

    /// A share given in millionths, as [`millionths`](Self::millionths) tells it: for who keeps it in an atomic.
    #[must_use]
    pub const fn from_millionths(millionths: u32) -> Self {
        if millionths > Self::WHOLE {
            Self::ALL
        } else {
            Self(millionths)
        }
    }

    /// In millionths.
    #[must_use]
    pub const fn millionths(self) -> u32 {
        self.0
    }

    /// As a fraction.
    #[must_use]
    pub fn as_f64(self) -> f64 {
        f64::from(self.0) / f64::from(Self::WHOLE)
    }

    /// Whether the call of that draw is among them: any number at random, or a hash of the caller.
    ///
    /// Who is included at a share is included at each larger one.
    #[must_use]
    pub const fn includes(self, draw: u64) -> bool {
        ((draw as u128 * Self::WHOLE as u128) >> 64) < self.0 as u128
    }
}

impl fmt::Debug for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Share({})", self.as_f64())
    }
}

// ===== impl Dimmer =====

impl Dimmer {
    /// Everybody gets everything, up to the most that the configuration allows.
    ///
    /// # Errors
    /// If an option has a value that cannot work; the error names the option.
    pub fn try_new(config: DimmerConfig) -> Result<Self, InvalidConfig> {
        config.check()?;
        Ok(Self {
            share: config.most,
            config,
            slope: 1.0,
            doubt: 1.0,
            opened: None,
        })
    }

    /// For how many the optional part is done now.
    #[must_use]
    pub fn share(&self) -> Share {
        Share::of(self.share)
    }

    /// The latency that it steers to.
    #[must_use]
    pub const fn setpoint(&self) -> Duration {
        self.config.setpoint
    }

    /// In which time callers take turns; see [`turned`].
    #[must_use]
    pub const fn rotation(&self) -> Duration {
        self.config.rotation
    }

    /// Ends the period if it is over, and begins the next one; `None` where the share stays because nothing was decided.
    ///
    /// A period with too few calls goes on, for up to ten of its lengths; then what it has is too old and is thrown away.
    pub fn close(&mut self, latencies: &Latencies, now: Moment) -> Option<Step> {
        let Some(opened) = self.opened else {
            self.open(latencies, now);
            return None;
        };
        let period = self.config.period;
        if now < opened {
            // Set back, or a thread that read the clock long ago: what was counted goes on counting, from here.
            self.opened = Some(now);
            latencies.due_at(now, now + period);
            return None;
        }
        let age = now.since(opened);
        if age < period {
            return None;
        }
        if latencies.count() < u64::from(self.config.min_samples) {
            if age < period.saturating_mul(STALE) {
                latencies.due_at(opened, now + period);
            } else {
                let _ = latencies.take();
                self.open(latencies, now);
            }
            return None;
        }
        let taken = latencies.take();
        self.open(latencies, now);
        let latency = taken.quantile(self.config.quantile);
        let from = self.share();
        self.steer(latency);
        self.invariants();
        Some(Step {
            from,
            to: self.share(),
            latency,
            samples: taken.count(),
        })
    }

    fn open(&mut self, latencies: &Latencies, now: Moment) {
        self.opened = Some(now);
        latencies.due_at(now, now + self.config.period);
    }

    fn steer(&mut self, latency: Duration) {
        // A setpoint is above zero.
        let setpoint = nanos(self.config.setpoint) as f64;
        let latency = (nanos(latency) as f64 / setpoint).min(WORST);
        self.learn(latency);
        let gain = (1.0 - self.config.pole) / self.slope;
        let share = self.share + gain * (1.0 - latency);
        self.share = share.clamp(self.config.least, self.config.most);
    }

    /// One step of recursive least squares with forgetting, of the model `latency = slope · share`.
    fn learn(&mut self, latency: f64) {
        let (share, doubt) = (self.share, self.doubt);
        let seen = doubt * share;
        let shrunk = doubt - seen * seen / (FORGET + share * seen);
        self.doubt = (shrunk / FORGET).clamp(LEAST_DOUBT, MOST_DOUBT);
        let error = latency - self.slope * share;
        self.slope = (self.slope + self.doubt * share * error).clamp(LEAST_SLOPE, WORST);
    }

    fn invariants(&self) {
        debug_assert!(self.share >= self.config.least && self.share <= self.config.most);
        debug_assert!((LEAST_SLOPE..=WORST).contains(&self.slope));
        debug_assert!((LEAST_DOUBT..=MOST_DOUBT).contains(&self.doubt));
    }
}

/// How much of what it knew the estimate keeps in each period: a period counts for half after about thirteen others.
const FORGET: f64 = 0.95;

/// The estimate is never quite sure, and never quite without a clue: at no share at all there is nothing to learn from, and the doubt would grow for ever.
const LEAST_DOUBT: f64 = 1e-3;
const MOST_DOUBT: f64 = 100.0;

/// The worst latency that counts, and the steepest slope, in setpoints.
const WORST: f64 = 10.0;

/// The flattest slope: the share moves by at most twice the whole in a period, which is at once.
const LEAST_SLOPE: f64 = 0.05;

/// After so many lengths a period without enough calls is thrown away.
const STALE: u32 = 10;
