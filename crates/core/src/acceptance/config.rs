//! The options of adaptive throttling, and what is checked of them.

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use core::time::Duration;

use crate::InvalidConfig;
use crate::buckets::MIN_WIDTH;

use super::BUCKETS;

/// How soon and how far calls are held back.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct AcceptanceConfig {
    multiplier: f64,
    window: Duration,
    min_requests: u32,
    max_rejection: f64,
}

/// Options that can be changed while others read them.
///
/// Each is good by itself, whatever the others are; loom need not look at them.
#[derive(Debug)]
pub(super) struct Dials {
    multiplier: AtomicU64,
    window: Duration,
    min_requests: AtomicU32,
    max_rejection: AtomicU64,
}

/// Options that can work.
#[derive(Debug)]
pub(super) struct Rules {
    pub(super) multiplier: f64,
    pub(super) window: Duration,
    pub(super) min_requests: u64,
    pub(super) max_rejection: f64,
}

impl AcceptanceConfig {
    /// K = 2, two minutes, at least 100 requests, at most nine in ten refused.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            multiplier: 2.0,
            window: Duration::from_secs(120),
            min_requests: 100,
            max_rejection: 0.9,
        }
    }

    /// K: how many calls are sent for one that is accepted; above 1.0 and at most 100.0. Default: 2, as in the book.
    ///
    /// A lower one spares the dependency calls that it would only refuse, and learns later that it can take more; at 1 it would never learn.
    #[must_use]
    pub const fn multiplier(self, k: f64) -> Self {
        Self {
            multiplier: k,
            ..self
        }
    }

    /// For how long a call counts, in steps of a twelfth; from 12 ms to an hour. Default: two minutes, as in the book.
    ///
    /// A shorter one forgets an overload sooner and refuses more by chance.
    #[must_use]
    pub const fn window(self, window: Duration) -> Self {
        Self { window, ..self }
    }

    /// Refuses nothing while fewer requests than this are in the window; for what a class itself fares, fewer of that class. Default: 100, somewhat less than one in a second.
    ///
    /// Who asks so rarely relieves nobody by asking less, and three refusals by chance must not be followed by a fourth of our own.
    #[must_use]
    pub const fn min_requests(self, requests: u32) -> Self {
        Self {
            min_requests: requests,
            ..self
        }
    }

    /// Refuses no greater share than this; above 0.0 and below 1.0. Default: 0.9.
    ///
    /// What is sent in spite of everything tells that the dependency is back: with one call in ten within seconds, where the bare formula, which sends about one in a window at last, takes windows.
    /// With K = 2 the cap binds only where more than twenty times as much is wanted as is accepted; there the dependency is sent a tenth of what is wanted.
    #[must_use]
    pub const fn max_rejection(self, share: f64) -> Self {
        Self {
            max_rejection: share,
            ..self
        }
    }

    pub(super) fn rules(self) -> Result<Rules, InvalidConfig> {
        if !(self.multiplier > 1.0 && self.multiplier <= 100.0) {
            return Err(InvalidConfig::new(
                "multiplier",
                "must be above 1.0 and at most 100.0",
            ));
        }
        if !(MIN_WIDTH * BUCKETS..=MAX_WINDOW).contains(&self.window) {
            return Err(InvalidConfig::new(
                "window",
                "must be between 12 ms and one hour",
            ));
        }
        if !(self.max_rejection > 0.0 && self.max_rejection < 1.0) {
            return Err(InvalidConfig::new(
                "max_rejection",
                "must be above 0.0 and below 1.0",
            ));
        }
        Ok(Rules {
            multiplier: self.multiplier,
            window: self.window,
            min_requests: self.min_requests.into(),
            max_rejection: self.max_rejection,
        })
    }
}

// ===== impl Dials =====

impl Dials {
    /// Of options that can work.
    pub(super) const fn new(config: AcceptanceConfig) -> Self {
        Self {
            multiplier: AtomicU64::new(config.multiplier.to_bits()),
            window: config.window,
            min_requests: AtomicU32::new(config.min_requests),
            max_rejection: AtomicU64::new(config.max_rejection.to_bits()),
        }
    }

    pub(super) fn set(&self, config: AcceptanceConfig) -> Result<(), InvalidConfig> {
        config.rules()?;
        if config.window != self.window {
            return Err(InvalidConfig::new(
                "window",
                "cannot be changed: what is counted is counted by it",
            ));
        }
        self.multiplier.store(config.multiplier.to_bits(), Relaxed);
        self.min_requests.store(config.min_requests, Relaxed);
        self.max_rejection
            .store(config.max_rejection.to_bits(), Relaxed);
        Ok(())
    }

    pub(super) fn get(&self) -> AcceptanceConfig {
        AcceptanceConfig {
            multiplier: f64::from_bits(self.multiplier.load(Relaxed)),
            window: self.window,
            min_requests: self.min_requests.load(Relaxed),
            max_rejection: f64::from_bits(self.max_rejection.load(Relaxed)),
        }
    }

    pub(super) fn rules(&self) -> Rules {
        let rules = self.get().rules();
        rules.expect("each of the options was checked when it was set")
    }
}

impl Default for AcceptanceConfig {
    fn default() -> Self {
        Self::new()
    }
}

/// A count holds 16 million calls, and a twelfth of an hour holds those of 55,000 per second.
const MAX_WINDOW: Duration = Duration::from_secs(3600);
