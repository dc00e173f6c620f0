//! What can happen in a layer.

use std::time::Duration;

use seaworthy_core::Outcome;

use crate::RejectionKind;

/// Something that happened in a layer.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub enum Event {
    /// A call was refused; or would have been, where refusals are only observed.
    Refused {
        /// Which pattern refused.
        kind: RejectionKind,
        /// When to come back, where that is known.
        retry_after: Option<Duration>,
        /// Whether the refusal was enforced.
        enforced: bool,
    },
    /// An admitted call is over.
    Ended {
        /// How it ended.
        outcome: Outcome,
    },
    /// A circuit changed its state.
    CircuitChanged {
        /// The state that it left.
        from: &'static str,
        /// The state that it is in.
        to: &'static str,
        /// Why.
        cause: &'static str,
        /// How long it stays open, where it opened.
        open_for: Option<Duration>,
    },
    /// A call waits for a slot.
    Queued {
        /// How many wait now, itself included.
        waiting: usize,
    },
    /// A call's wait for a slot is over.
    Dequeued {
        /// How long it waited.
        waited: Duration,
        /// Whether it got a slot.
        admitted: bool,
    },
    /// The limit of a layer was changed.
    LimitChanged {
        /// The new limit.
        limit: usize,
    },
    /// A limit that is found has changed.
    LimitAdapted {
        /// The limit before.
        from: usize,
        /// The limit from now on.
        to: usize,
        /// Why: one of the causes that `docs/metrics.md` lists.
        cause: &'static str,
    },
    /// A failed attempt will be made again.
    Retrying {
        /// The number of the attempt that failed, counted from one.
        attempt: u32,
        /// How long the next one waits.
        delay: Duration,
        /// Whether the dependency asked for that delay.
        hinted: bool,
    },
    /// A failed attempt will not be made again.
    GaveUp {
        /// How many attempts were made.
        attempts: u32,
        /// Why there is no further one.
        reason: &'static str,
    },
    /// Another attempt of a call was sent while the call is not over.
    Hedged {
        /// The number of the attempt that was sent, counted from one: 2 is the first hedge.
        attempt: u32,
        /// Whether it was sent because an earlier one had failed, and not because the call was slow.
        early: bool,
    },
    /// A hedge was the first to succeed.
    HedgeWon {
        /// The number of the attempt.
        attempt: u32,
    },
    /// A hedge was due and was not sent.
    HedgeWithheld {
        /// Why.
        reason: &'static str,
    },
    /// A call was cut short because it took too long.
    TimedOut {
        /// Which limit it met.
        limit: &'static str,
    },
    /// What became of a call with an idempotency key.
    Keyed {
        /// One of the results that `docs/metrics.md` lists.
        result: &'static str,
        /// Whether somebody should look at it.
        alarming: bool,
        /// What kind of failure it was, where it was one of the store's.
        cause: Option<&'static str>,
    },
    /// The store that a layer shares with other processes went away, or came back.
    StoreChanged {
        /// Whether it is there.
        available: bool,
        /// Why.
        cause: &'static str,
    },
    /// A call was decided without the shared store, which is away.
    DecidedAlone {
        /// Whether it was let through.
        admitted: bool,
    },
    /// A run of a health check is over.
    Checked {
        /// What it said, or why it did not: one of the results that `docs/metrics.md` lists.
        result: &'static str,
        /// How long it took.
        took: Duration,
    },
    /// What a health check shows, or whether the process is ready, has changed.
    HealthChanged {
        /// What it was.
        from: &'static str,
        /// What it is now.
        to: &'static str,
    },
    /// A process that is told to end has come to the next step of that.
    Draining {
        /// What it does from now on, `grace` or `stopping`, or how it ended: `drained`, `cut_off` or `by_itself`.
        step: &'static str,
        /// How long after it was told.
        after: Duration,
    },
    /// In place of an answer, or of a part of one, something less was given.
    Degraded {
        /// Why.
        cause: &'static str,
        /// What was given.
        substitute: &'static str,
    },
    /// A service does more or less than before.
    LevelChanged {
        /// The level before.
        from: &'static str,
        /// The level from now on.
        to: &'static str,
        /// Why: `hand`, `schedule`, the name of a rule, or `recovered`.
        cause: &'static str,
        /// Whether it does less.
        worse: bool,
    },
    /// Optional work is done for another share of the calls.
    ShareMoved {
        /// The share before, from 0 to 1.
        from: f64,
        /// The share from now on.
        to: f64,
        /// The latency that it was steered by.
        latency: Duration,
    },
    /// A rule about the burn of an error budget begins to fire, or ceases to.
    BurnChanged {
        /// How urgent it is: `page` or `ticket`.
        urgency: &'static str,
        /// The factor of the rule.
        factor: f64,
        /// Whether it fires.
        fires: bool,
    },
}

impl Event {
    /// The event's name, as `tracing` has it.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Refused { .. } => "refused",
            Self::Ended { .. } => "ended",
            Self::CircuitChanged { .. } => "circuit_changed",
            Self::Queued { .. } => "queued",
            Self::Dequeued { .. } => "dequeued",
            Self::LimitChanged { .. } => "limit_changed",
            Self::LimitAdapted { .. } => "limit_adapted",
            Self::Retrying { .. } => "retrying",
            Self::GaveUp { .. } => "gave_up",
            Self::Hedged { .. } => "hedged",
            Self::HedgeWon { .. } => "hedge_won",
            Self::HedgeWithheld { .. } => "hedge_withheld",
            Self::TimedOut { .. } => "timed_out",
            Self::Keyed { .. } => "keyed",
            Self::StoreChanged { .. } => "store_changed",
            Self::DecidedAlone { .. } => "decided_alone",
            Self::Checked { .. } => "checked",
            Self::HealthChanged { .. } => "health_changed",
            Self::Draining { .. } => "draining",
            Self::Degraded { .. } => "degraded",
            Self::LevelChanged { .. } => "level_changed",
            Self::ShareMoved { .. } => "share_moved",
            Self::BurnChanged { .. } => "burn_changed",
        }
    }
}
