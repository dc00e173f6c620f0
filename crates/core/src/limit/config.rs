//! What a limit is configured with, and what of it cannot work.

use core::time::Duration;

use crate::slots::Slots;
use crate::{InvalidConfig, Ratio};

/// How a [`Limit`](super::Limit) is found.
#[derive(Clone, Copy, PartialEq, Debug)]
#[expect(
    clippy::exhaustive_structs,
    reason = "a value with defaults, for shells to fill in"
)]
pub struct LimitConfig {
    /// The law by which it follows.
    pub algorithm: Algorithm,
    /// What it begins with.
    pub initial: usize,
    /// The least that it may be.
    pub min: usize,
    /// The most that it may be.
    pub max: usize,
    /// How long a window is, at least.
    pub window: Duration,
    /// How many calls a window has, at least; fewer where the limit is below half of this: two for each slot.
    pub min_samples: u32,
    /// A window of which this share of the calls was dropped makes the limit fall.
    pub drop_rate: Ratio,
    /// After how long the baseline is learnt anew, or after 200 times what calls take if that is longer; [`Duration::MAX`] for never.
    pub relearn: Duration,
}

/// By which law a limit is found.
#[derive(Clone, Copy, PartialEq, Debug)]
#[non_exhaustive]
pub enum Algorithm {
    /// By drops alone.
    Aimd(Aimd),
    /// By how many calls queue.
    Vegas(Vegas),
    /// By how much slower calls are than without a queue.
    Gradient2(Gradient2),
}

/// Additive increase, multiplicative decrease (Chiu and Jain): one more after each window without drops, a tenth less after one with them.
///
/// For a dependency that says no when it has enough, or that is behind a timeout: it knows nothing of slowness below that.
#[derive(Clone, Copy, PartialEq, Debug)]
#[non_exhaustive]
pub struct Aimd {
    /// What is left of the limit after drops. Default: 0.9.
    pub backoff: Ratio,
    /// A call that took longer counts as dropped. Default: 5 s.
    pub timeout: Duration,
}

/// Vegas (Brakmo and Peterson): keeps a few calls in the queue, whatever the limit is.
///
/// Of `L` calls, `L·(1 − b/t)` are estimated to queue.
/// With `lg = max(1, ⌊log10 L⌋)` the limit grows by `β·lg` while at most `lg` queue, by `lg` while fewer than `α·lg` do, and falls by `lg` when more than `β·lg` do, or after drops.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Vegas {
    /// Fewer than so many for each decade of the limit may queue without a reason to stop. Default: 3.
    pub alpha: u32,
    /// More than so many for each decade are too many. Default: 6.
    pub beta: u32,
}

/// Gradient2 of Netflix, with its faults repaired: lets calls be so much slower than without a queue, and no more.
///
/// With `g = tolerance·b/t`, the limit moves by `smoothing` of the way to `L·max(g, 0.5)` where `g < 1`, to `L + headroom` where it is not, and to `L/2` after drops.
/// The baseline is an exponential mean over the last `long_window` windows that could teach it.
#[derive(Clone, Copy, PartialEq, Debug)]
#[non_exhaustive]
pub struct Gradient2 {
    /// How many times what calls take without a queue is not yet overload. Default: 1.5.
    pub tolerance: f64,
    /// By how much the limit wants to grow. Default: 4.
    pub headroom: u32,
    /// How far it goes with each window. Default: 0.2.
    pub smoothing: Ratio,
    /// Over how many windows the baseline is averaged. Default: 600.
    pub long_window: u32,
}

// ===== impl LimitConfig =====

impl Default for LimitConfig {
    fn default() -> Self {
        Self {
            algorithm: Algorithm::Gradient2(Gradient2::new()),
            initial: 20,
            min: 1,
            max: 1000,
            window: Duration::from_millis(200),
            min_samples: 10,
            drop_rate: Ratio::percent(1),
            relearn: Duration::from_secs(30),
        }
    }
}

impl LimitConfig {
    pub(super) fn check(&self) -> Result<(), InvalidConfig> {
        check_bounds(self.min, self.max)?;
        if !(self.min..=self.max).contains(&self.initial) {
            return Err(InvalidConfig::new("initial", "must be between min and max"));
        }
        if self.window.is_zero() || self.window > MAX_WINDOW {
            return Err(InvalidConfig::new(
                "window",
                "must be above zero and at most an hour",
            ));
        }
        // What the word of the samples has room for, and a margin.
        if !(1..=10_000).contains(&self.min_samples) {
            return Err(InvalidConfig::new(
                "min_samples",
                "must be between 1 and 10000",
            ));
        }
        if self.relearn.is_zero() {
            return Err(InvalidConfig::new("relearn", "must be above zero"));
        }
        match self.algorithm {
            Algorithm::Aimd(law) => law.check(),
            Algorithm::Vegas(law) => law.check(),
            Algorithm::Gradient2(law) => law.check(),
        }
    }
}

pub(super) fn check_bounds(min: usize, max: usize) -> Result<(), InvalidConfig> {
    if min == 0 {
        return Err(InvalidConfig::new("min", "must be at least 1"));
    }
    if max < min {
        return Err(InvalidConfig::new("max", "must be at least min"));
    }
    if max > Slots::MAX {
        return Err(InvalidConfig::new("max", "must be at most 2097151"));
    }
    Ok(())
}

// ===== impl Algorithm =====

impl Algorithm {
    /// The name, in logs and for people.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Aimd(_) => "aimd",
            Self::Vegas(_) => "vegas",
            Self::Gradient2(_) => "gradient2",
        }
    }

    /// A call that took longer counts as dropped; no law but [`Aimd`] needs to be told.
    #[must_use]
    pub const fn timeout(self) -> Duration {
        match self {
            Self::Aimd(law) => law.timeout,
            Self::Vegas(_) | Self::Gradient2(_) => Duration::MAX,
        }
    }
}

// ===== impl Aimd =====

impl Aimd {
    /// The constants of the reference.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            backoff: Ratio::percent(90),
            timeout: Duration::from_secs(5),
        }
    }

    /// Another share that is left after drops, at least a half and below one.
    #[must_use]
    pub const fn backoff(mut self, backoff: Ratio) -> Self {
        self.backoff = backoff;
        self
    }

    /// Another time after which a call counts as dropped; [`Duration::MAX`] for none.
    #[must_use]
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    fn check(self) -> Result<(), InvalidConfig> {
        if self.backoff.as_f64() < 0.5 || self.backoff == Ratio::ONE {
            return Err(InvalidConfig::new(
                "backoff",
                "must be at least 0.5 and below 1.0",
            ));
        }
        if self.timeout.is_zero() {
            return Err(InvalidConfig::new("timeout", "must be above zero"));
        }
        Ok(())
    }
}

impl Default for Aimd {
    fn default() -> Self {
        Self::new()
    }
}

// ===== impl Vegas =====

impl Vegas {
    /// The constants of the reference.
    #[must_use]
    pub const fn new() -> Self {
        Self { alpha: 3, beta: 6 }
    }

    /// Other bounds of the queue that it keeps, for each decade of the limit.
    #[must_use]
    pub const fn queue(mut self, alpha: u32, beta: u32) -> Self {
        (self.alpha, self.beta) = (alpha, beta);
        self
    }

    const fn check(self) -> Result<(), InvalidConfig> {
        if self.alpha == 0 || self.beta < self.alpha || self.beta > 1_000 {
            return Err(InvalidConfig::new(
                "queue",
                "must have alpha above zero, and beta at least alpha and at most 1000",
            ));
        }
        Ok(())
    }
}

impl Default for Vegas {
    fn default() -> Self {
        Self::new()
    }
}

// ===== impl Gradient2 =====

impl Gradient2 {
    /// The constants of the reference.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            tolerance: 1.5,
            headroom: 4,
            smoothing: Ratio::percent(20),
            long_window: 600,
        }
    }

    /// Another tolerance, at least 1.
    #[must_use]
    pub const fn tolerance(mut self, tolerance: f64) -> Self {
        self.tolerance = tolerance;
        self
    }

    /// Another headroom, above zero.
    #[must_use]
    pub const fn headroom(mut self, calls: u32) -> Self {
        self.headroom = calls;
        self
    }

    /// Another smoothing; one is none.
    #[must_use]
    pub const fn smoothing(mut self, smoothing: Ratio) -> Self {
        self.smoothing = smoothing;
        self
    }

    /// Another number of windows to average the baseline over.
    #[must_use]
    pub const fn long_window(mut self, windows: u32) -> Self {
        self.long_window = windows;
        self
    }

    fn check(self) -> Result<(), InvalidConfig> {
        if !(self.tolerance >= 1.0 && self.tolerance <= 1_000.0) {
            return Err(InvalidConfig::new(
                "tolerance",
                "must be at least 1.0 and at most 1000.0",
            ));
        }
        if self.headroom == 0 {
            return Err(InvalidConfig::new("headroom", "must be at least 1"));
        }
        if self.long_window == 0 {
            return Err(InvalidConfig::new("long_window", "must be at least 1"));
        }
        Ok(())
    }
}

impl Default for Gradient2 {
    fn default() -> Self {
        Self::new()
    }
}

/// Long enough for anything that a person waits for.
const MAX_WINDOW: Duration = Duration::from_secs(3600);
