//! How much there is in a time, and how much of it at once.

use core::time::Duration;

use crate::InvalidConfig;
use crate::moment::nanos;

/// So many units in a window of time, of which a burst may be spent at once.
///
/// A unit is a request, or whatever else a call costs.
/// Any value can be written down; whether it can work is said when a [`Cell`](super::Cell) is made of it.
///
/// Units come one by one, each `window / units` after the last (rounded down to nanoseconds, as in `governor`): there is no edge of a window at which all of them come at once.
///
/// ```
/// use std::time::Duration;
///
/// use seaworthy_core::gcra::Quota;
///
/// let quota = Quota::per_minute(600).with_burst(20);
/// assert_eq!(quota.interval(), Duration::from_millis(100));
/// assert_eq!((quota.units(), quota.burst()), (600, 20));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Quota {
    units: u64,
    window: Duration,
    burst: u64,
}

impl Quota {
    /// So many in that time, all of which may be spent at once.
    #[must_use]
    pub const fn new(units: u64, window: Duration) -> Self {
        Self {
            units,
            window,
            burst: units,
        }
    }

    /// So many a second, all of which may be spent at once.
    #[must_use]
    pub const fn per_second(units: u64) -> Self {
        Self::new(units, Duration::from_secs(1))
    }

    /// So many a minute, all of which may be spent at once.
    #[must_use]
    pub const fn per_minute(units: u64) -> Self {
        Self::new(units, Duration::from_secs(60))
    }

    /// So many an hour, all of which may be spent at once.
    #[must_use]
    pub const fn per_hour(units: u64) -> Self {
        Self::new(units, Duration::from_secs(60 * 60))
    }

    /// So many a day, all of which may be spent at once.
    #[must_use]
    pub const fn per_day(units: u64) -> Self {
        Self::new(units, Duration::from_secs(24 * 60 * 60))
    }

    /// So much at once, after a pause that was long enough; no more than one means that calls are evenly spaced.
    ///
    /// Unlike redis-cell's `max_burst`, this is all that may be spent at once, not what may come on top of one.
    #[must_use]
    pub const fn with_burst(mut self, burst: u64) -> Self {
        self.burst = burst;
        self
    }

    /// How much there is in one window.
    #[must_use]
    pub const fn units(self) -> u64 {
        self.units
    }

    /// The time in which that much comes.
    #[must_use]
    pub const fn window(self) -> Duration {
        self.window
    }

    /// How much may be spent at once.
    #[must_use]
    pub const fn burst(self) -> u64 {
        self.burst
    }

    /// The time in which one unit comes; zero for a quota that cannot work.
    #[must_use]
    pub const fn interval(self) -> Duration {
        match nanos(self.window).checked_div(self.units) {
            Some(interval) => Duration::from_nanos(interval),
            None => Duration::ZERO,
        }
    }

    /// Whether it can work.
    ///
    /// # Errors
    /// If there is none in a window, more than one a nanosecond, or no burst; or if the burst takes more than a century to come.
    pub const fn check(self) -> Result<(), InvalidConfig> {
        if self.units == 0 {
            return Err(InvalidConfig::new("quota", "must allow at least one"));
        }
        if self.interval().is_zero() {
            return Err(InvalidConfig::new(
                "quota",
                "must not allow more than one a nanosecond",
            ));
        }
        if self.burst == 0 {
            return Err(InvalidConfig::new("burst", "must be at least one"));
        }
        match nanos(self.interval()).checked_mul(self.burst) {
            Some(whole) if whole <= LONGEST => Ok(()),
            _ => Err(InvalidConfig::new(
                "burst",
                "must come within a century: lower it, or shorten the window",
            )),
        }
    }
}

/// A century: far from where the arithmetic of moments saturates, and longer than anybody waits.
const LONGEST: u64 = 100 * 366 * 24 * 3600 * 1_000_000_000;
