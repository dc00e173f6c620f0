//! What many checks amount to: healthy, degraded or unhealthy; ready or not; started or not.

use super::Status;

/// What a check can do to the whole.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[expect(clippy::exhaustive_enums, reason = "a reader must handle each")]
pub enum Impact {
    /// Without it nothing works: where it fails, the whole is unhealthy and not ready.
    Critical,
    /// Without it something is missing: where it fails, the whole is degraded.
    Degrading,
    /// It is only told.
    Informational,
}

/// What the checks amount to, for a dashboard.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[expect(clippy::exhaustive_enums, reason = "the three words of the format")]
pub enum Overall {
    /// Every check passes.
    Healthy,
    /// A check warns or fails, none of them critical and failing.
    Degraded,
    /// A critical check fails, or says nothing.
    Unhealthy,
}

/// The checks, counted together.
///
/// A check without a result counts as one that fails: what nobody knows is not ready.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Tally {
    critical_failed: bool,
    troubled: bool,
    unknown: bool,
}

/// Where a process is in its life: it starts once, and what drains does not come back.
///
/// ```text
///   starting ── first round has passed, nobody holds it up ──▶ started
///      │                                                          │
///      └───────────────── drain ──▶ draining ◀── drain ───────────┘
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Stage {
    started: bool,
    draining: bool,
}

// ===== impl Overall =====

impl Overall {
    /// The word for it on the wire.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Degraded => "degraded",
            Self::Unhealthy => "unhealthy",
        }
    }

    /// The same in the three words of a check.
    #[must_use]
    pub const fn status(self) -> Status {
        match self {
            Self::Healthy => Status::Pass,
            Self::Degraded => Status::Warn,
            Self::Unhealthy => Status::Fail,
        }
    }
}

// ===== impl Tally =====

impl Tally {
    /// Counts a check in.
    #[must_use]
    pub fn and(mut self, impact: Impact, status: Option<Status>) -> Self {
        self.unknown |= status.is_none();
        let status = status.unwrap_or(Status::Fail);
        self.critical_failed |= impact == Impact::Critical && status == Status::Fail;
        self.troubled |= impact != Impact::Informational && status != Status::Pass;
        self
    }

    /// What they amount to. Without checks: healthy.
    #[must_use]
    pub const fn overall(self) -> Overall {
        if self.critical_failed {
            Overall::Unhealthy
        } else if self.troubled {
            Overall::Degraded
        } else {
            Overall::Healthy
        }
    }

    /// Whether no critical check fails.
    #[must_use]
    pub const fn is_ready(self) -> bool {
        !self.critical_failed
    }

    /// Whether each has a result, and no critical one fails: what a start waits for.
    #[must_use]
    pub const fn has_passed(self) -> bool {
        !self.unknown && !self.critical_failed
    }
}

// ===== impl Stage =====

impl Stage {
    /// What the checks say now; whether that was what the start waited for. `held` while something other than a check holds the start up.
    pub const fn on_round(&mut self, tally: Tally, held: bool) -> bool {
        let starts = !self.started && !held && tally.has_passed();
        self.started |= starts;
        starts
    }

    /// No new work from now on; whether it is new.
    pub const fn on_drain(&mut self) -> bool {
        let new = !self.draining;
        self.draining = true;
        new
    }

    /// Whether the first round has passed, once.
    #[must_use]
    pub const fn is_started(self) -> bool {
        self.started
    }

    /// Whether it drains, once and for all.
    #[must_use]
    pub const fn is_draining(self) -> bool {
        self.draining
    }

    /// Whether work may come, by the stage and the checks.
    ///
    /// `held` as in [`on_round`](Self::on_round): who is held up is not ready either, until it has started.
    #[must_use]
    pub const fn is_ready(self, tally: Tally, held: bool) -> bool {
        !self.draining && tally.is_ready() && (self.started || !held)
    }
}
