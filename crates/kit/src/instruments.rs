//! The metrics of a layer, through the `metrics` facade: names are a contract, handles are made once, a call without a recorder costs next to nothing.
//!
//! A layer is often built before the recorder is installed.
//! So nothing is registered when a layer is built: each instrument looks for the recorder when it is used, and keeps the handle of the first real one.

use seaworthy_core::Outcome;

use crate::telemetry::Event;

/// The names of all metrics, as `docs/metrics.md` lists them.
pub mod names {
    /// Counter `{layer, name, outcome}`: admitted calls that are over.
    pub const CALLS: &str = "seaworthy_calls_total";
    /// Counter `{layer, name, error.type, enforced}`: calls that were refused, or would have been.
    pub const REFUSED: &str = "seaworthy_refused_total";
    /// Gauge `{layer, name}`: 0 closed, 1 half-open, 2 open, 3 forced open, 4 forced closed, 5 disabled, 6 recovering.
    pub const CIRCUIT_STATE: &str = "seaworthy_circuit_state";
    /// Counter `{layer, name, from, to, cause}`: changes of a circuit's state.
    pub const CIRCUIT_TRANSITIONS: &str = "seaworthy_circuit_transitions_total";
    /// Gauge `{layer, name}`: calls that hold a slot.
    pub const IN_FLIGHT: &str = "seaworthy_in_flight";
    /// Gauge `{layer, name}`: slots there are.
    pub const LIMIT: &str = "seaworthy_limit";
    /// Counter `{layer, name, cause}`: changes of a limit that is found.
    pub const LIMIT_CHANGES: &str = "seaworthy_limit_changes_total";
    /// Gauge in seconds `{layer, name}`: what calls take without a queue, as far as an adaptive limit knows.
    pub const BASELINE: &str = "seaworthy_baseline_seconds";
    /// Gauge `{layer, name}`: calls that wait for a slot.
    pub const QUEUE_DEPTH: &str = "seaworthy_queue_depth";
    /// Histogram in seconds `{layer, name, admitted}`: how long calls waited for a slot.
    pub const QUEUE_WAIT: &str = "seaworthy_queue_wait_seconds";
    /// Counter `{layer, name}`: attempts beyond the first.
    pub const RETRIES: &str = "seaworthy_retries_total";
    /// Counter `{layer, name, reason}`: failed calls that were not tried again.
    pub const GAVE_UP: &str = "seaworthy_retry_gave_up_total";
    /// Counter `{layer, name, cause}`: attempts sent beside one that was not over, or after one that failed early.
    pub const HEDGES: &str = "seaworthy_hedges_total";
    /// Counter `{layer, name}`: hedges that were the first to succeed.
    pub const HEDGES_WON: &str = "seaworthy_hedges_won_total";
    /// Counter `{layer, name, reason}`: hedges that were due and were not sent.
    pub const HEDGES_WITHHELD: &str = "seaworthy_hedges_withheld_total";
    /// Counter `{layer, name, limit}`: calls that were cut short.
    pub const TIMEOUTS: &str = "seaworthy_timeouts_total";
    /// Counter `{layer, name, result}`: what became of calls with an idempotency key.
    pub const KEYED: &str = "seaworthy_keyed_total";

    /// Gauge `{layer, name}`: 1 while the store that a layer shares with other processes is there, else 0.
    pub const STORE_AVAILABLE: &str = "seaworthy_store_available";
    /// Counter `{layer, name, admitted}`: calls that were decided without the shared store, which was away.
    pub const DECIDED_ALONE: &str = "seaworthy_decided_alone_total";

    /// Gauge `{layer, name, class}`: with which probability a call of that class was refused when one was last weighed.
    pub const THROTTLE_PROBABILITY: &str = "seaworthy_throttle_probability";

    /// Gauge `{layer, name, key}`: what a health check shows: 0 pass, 1 warn, 2 fail.
    pub const HEALTH: &str = "seaworthy_health_status";
    /// Gauge `{layer, name}`: 1 while the process is ready, else 0.
    pub const READY: &str = "seaworthy_ready";
    /// Counter `{layer, name, key, result}`: runs of health checks that are over.
    pub const CHECKS: &str = "seaworthy_health_checks_total";
    /// Histogram in seconds `{layer, name, key}`: how long runs of health checks took.
    pub const CHECK_TIME: &str = "seaworthy_health_check_seconds";

    /// Counter `{layer, name, cause, substitute}`: answers, or parts of them, in whose place something less was given.
    pub const DEGRADED: &str = "seaworthy_degraded_total";
    /// Gauge `{layer, name}`: 0 normal, 1 reduced, 2 essential, 3 maintenance.
    pub const LEVEL: &str = "seaworthy_level";
    /// Counter `{layer, name, from, to, cause}`: changes of a level.
    pub const LEVEL_CHANGES: &str = "seaworthy_level_changes_total";
    /// Gauge `{layer, name}`: for which share of the calls optional work is done, from 0 to 1.
    pub const DIMMER_SHARE: &str = "seaworthy_dimmer_share";
    /// Gauge `{layer, name}`: which share of an error budget is left; below zero once it is overdrawn.
    pub const BUDGET_REMAINING: &str = "seaworthy_error_budget_remaining";
    /// Gauge `{layer, name, urgency}`: the burn rate in factors of the rule that is closest to firing; it fires above 1.
    pub const BURN_PRESSURE: &str = "seaworthy_burn_pressure";

    /// Every name above.
    pub const ALL: [&str; 30] = [
        CALLS,
        REFUSED,
        CIRCUIT_STATE,
        CIRCUIT_TRANSITIONS,
        IN_FLIGHT,
        LIMIT,
        LIMIT_CHANGES,
        BASELINE,
        QUEUE_DEPTH,
        QUEUE_WAIT,
        RETRIES,
        GAVE_UP,
        HEDGES,
        HEDGES_WON,
        HEDGES_WITHHELD,
        TIMEOUTS,
        KEYED,
        STORE_AVAILABLE,
        DECIDED_ALONE,
        THROTTLE_PROBABILITY,
        HEALTH,
        READY,
        CHECKS,
        CHECK_TIME,
        DEGRADED,
        LEVEL,
        LEVEL_CHANGES,
        DIMMER_SHARE,
        BUDGET_REMAINING,
        BURN_PRESSURE,
    ];
}

/// The word for an outcome in metrics and logs.
#[must_use]
pub const fn outcome_name(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Success => "success",
        Outcome::Failure => "failure",
        Outcome::Ignored => "ignored",
        Outcome::Abandoned => "abandoned",
    }
}

#[cfg(feature = "metrics")]
mod recorded;
#[cfg(feature = "metrics")]
pub use recorded::Instruments;

#[cfg(not(feature = "metrics"))]
mod silent;
#[cfg(not(feature = "metrics"))]
pub use silent::Instruments;

impl std::fmt::Debug for Instruments {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Instruments")
    }
}
