//! Why a limit is what it is: a word for people and for metrics.

use core::fmt;

/// Why a limit is what it is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Cause {
    /// Nothing was learnt yet.
    Initial,
    /// Calls were fast, and the limit was used: it grew.
    Fast,
    /// Less than half of the limit was used: it stayed.
    Unused,
    /// As many calls queue as may: it stayed.
    Steady,
    /// Calls took longer than the baseline allows: it fell.
    Slow,
    /// Calls were dropped: it fell.
    Dropped,
    /// It is halved for a window, or further for a few, to learn what calls take without a queue.
    Probing,
    /// That is over: it is what it was before.
    Probed,
    /// Somebody changed the least or the most that it may be.
    Bounds,
}

// ===== impl Cause =====

impl Cause {
    /// Every cause.
    pub const ALL: [Self; 9] = [
        Self::Initial,
        Self::Fast,
        Self::Unused,
        Self::Steady,
        Self::Slow,
        Self::Dropped,
        Self::Probing,
        Self::Probed,
        Self::Bounds,
    ];

    /// The word for it in logs and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Initial => "initial",
            Self::Fast => "fast",
            Self::Unused => "unused",
            Self::Steady => "steady",
            Self::Slow => "slow",
            Self::Dropped => "dropped",
            Self::Probing => "probing",
            Self::Probed => "probed",
            Self::Bounds => "bounds",
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
