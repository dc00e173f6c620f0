//! When a call is slow enough for a second try.

use std::time::Duration;

use seaworthy_kit::InvalidConfig;

/// How long an attempt runs before another is sent beside it: a `Duration`, a [`Percentile`] of what was seen, or `None` for second tries after failures only.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Delay(pub(crate) Kind);

#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) enum Kind {
    Fixed(Duration),
    Percentile(Percentile),
    Never,
}

/// A percentile of the latencies seen in the last while.
///
/// At 0.95, a call that is slower than 95 of 100 gets a second try.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Percentile {
    pub(crate) share: f64,
    pub(crate) min_samples: u32,
    pub(crate) window: Duration,
}

// ===== impl Percentile =====

impl Percentile {
    /// That share of the calls, 0.95 for the 95th percentile; of the last 60 s, once there were 100.
    #[must_use]
    pub const fn new(share: f64) -> Self {
        Self {
            share,
            min_samples: 100,
            window: Duration::from_secs(60),
        }
    }

    /// Below how many calls nothing is known, and no call is slow. Default: 100, of which five are above the 95th percentile.
    #[must_use]
    pub const fn min_samples(self, samples: u32) -> Self {
        Self {
            min_samples: samples,
            ..self
        }
    }

    /// For how long a latency counts; it is kept in two halves, and forgotten between half of that and all of it. Default: 60 s.
    #[must_use]
    pub const fn window(self, window: Duration) -> Self {
        Self { window, ..self }
    }

    pub(crate) fn check(&self) -> Result<(), InvalidConfig> {
        let invalid = |what| Err(InvalidConfig::new("delay", what));
        if !(self.share > 0.0 && self.share < 1.0) {
            return invalid("a percentile must be above 0.0 and below 1.0");
        }
        if self.min_samples == 0 {
            return invalid("a percentile needs at least one sample");
        }
        if self.window < Duration::from_millis(100) || self.window > Duration::from_secs(3600) {
            return invalid("the window of a percentile must be between 100 ms and 1 hour");
        }
        Ok(())
    }
}

// ===== impl Delay =====

impl Delay {
    /// For how long a latency counts, where it does.
    pub(crate) const fn window(self) -> Option<Duration> {
        match self.0 {
            Kind::Percentile(percentile) => Some(percentile.window),
            Kind::Fixed(_) | Kind::Never => None,
        }
    }
}

impl From<Duration> for Delay {
    fn from(delay: Duration) -> Self {
        Self(Kind::Fixed(delay))
    }
}

impl From<Percentile> for Delay {
    fn from(percentile: Percentile) -> Self {
        Self(Kind::Percentile(percentile))
    }
}

impl From<Option<Duration>> for Delay {
    fn from(delay: Option<Duration>) -> Self {
        Self(delay.map_or(Kind::Never, Kind::Fixed))
    }
}
