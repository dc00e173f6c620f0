//! The options of the dimmer, and what is checked of them.

use core::time::Duration;

use crate::InvalidConfig;

/// To which latency the dimmer steers, and how.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct DimmerConfig {
    pub(super) setpoint: Duration,
    pub(super) period: Duration,
    pub(super) quantile: f64,
    pub(super) pole: f64,
    pub(super) min_samples: u32,
    pub(super) least: f64,
    pub(super) most: f64,
    pub(super) rotation: Duration,
}

impl DimmerConfig {
    /// Steers the 95th percentile of each second to the setpoint, which must be above zero: what a caller still finds quick.
    #[must_use]
    pub const fn new(setpoint: Duration) -> Self {
        Self {
            setpoint,
            period: Duration::from_secs(1),
            quantile: 0.95,
            pole: 0.9,
            min_samples: 20,
            least: 0.0,
            most: 1.0,
            rotation: Duration::from_secs(11 * 3600),
        }
    }

    /// How often the share is moved; from 10 ms to one hour. Default: one second, as in the paper.
    ///
    /// Shorter than an answer takes, and the share is moved for what an earlier share did.
    #[must_use]
    pub const fn period(self, period: Duration) -> Self {
        Self { period, ..self }
    }

    /// Which latency of a period counts: 0.95 is the 95th percentile; above 0.0 and at most 1.0. Default: 0.95.
    ///
    /// A higher one needs more samples, or chance steers.
    #[must_use]
    pub const fn quantile(self, quantile: f64) -> Self {
        Self { quantile, ..self }
    }

    /// How slowly: which part of the distance to the setpoint is left after each period; at least 0.0 and below 1.0. Default: 0.9, as in the paper.
    ///
    /// A lower one is quicker, and swings where a queue makes the latency follow late.
    #[must_use]
    pub const fn pole(self, pole: f64) -> Self {
        Self { pole, ..self }
    }

    /// Below how many calls in a period the share stays as it is; at least one. Default: 20, of which the 95th percentile is the slowest but one.
    #[must_use]
    pub const fn min_samples(self, samples: u32) -> Self {
        Self {
            min_samples: samples,
            ..self
        }
    }

    /// The share that is never gone below; from 0.0 to 1.0. Default: none.
    #[must_use]
    pub const fn least(self, share: f64) -> Self {
        Self {
            least: share,
            ..self
        }
    }

    /// The share that is never gone above, and the one that it begins with; above 0.0, at most 1.0. Default: all.
    ///
    /// Below one, some calls go without the optional part at any time: what is never exercised does not work on the day it is needed.
    #[must_use]
    pub const fn most(self, share: f64) -> Self {
        Self {
            most: share,
            ..self
        }
    }

    /// In which time callers take turns at going without, where the decision is sticky; at least one minute, and [`Duration::MAX`] is never. Default: eleven hours.
    ///
    /// Each caller goes without for its part of that time, in one piece.
    /// That is longer than a session, and neither a day nor a week is a multiple of it: whoever comes at eight each evening meets another turn each time.
    #[must_use]
    pub const fn rotation(self, rotation: Duration) -> Self {
        Self { rotation, ..self }
    }

    pub(super) fn check(&self) -> Result<(), InvalidConfig> {
        let wrong = |option, reason| Err(InvalidConfig::new(option, reason));
        if self.setpoint.is_zero() {
            return wrong("setpoint", "must be above zero");
        }
        if self.period < Duration::from_millis(10) || self.period > Duration::from_secs(3600) {
            return wrong("period", "must be between 10 ms and 1 hour");
        }
        if !(self.quantile > 0.0 && self.quantile <= 1.0) {
            return wrong("quantile", "must be above 0.0 and at most 1.0");
        }
        if !(self.pole >= 0.0 && self.pole < 1.0) {
            return wrong("pole", "must be at least 0.0 and below 1.0");
        }
        if self.min_samples == 0 {
            return wrong("min_samples", "must be at least one");
        }
        if !(self.most > 0.0 && self.most <= 1.0) {
            return wrong("most", "must be above 0.0 and at most 1.0");
        }
        if !(self.least >= 0.0 && self.least <= self.most) {
            return wrong("least", "must be at least 0.0 and not above most");
        }
        if self.rotation < Duration::from_secs(60) {
            return wrong("rotation", "must be at least one minute");
        }
        Ok(())
    }
}
