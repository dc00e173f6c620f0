//! The events in `tracing`, where that feature is on.

#[cfg(feature = "tracing")]
use std::panic::{AssertUnwindSafe, catch_unwind};

#[cfg(feature = "tracing")]
use tracing::level_filters::LevelFilter;

use super::{Event, Telemetry};
use crate::gate::Refusal;

/// Whether anybody may hear of a refusal: two loads.
///
/// `tracing` with its feature `log` tells `log` as well, whose level is another.
#[cfg(feature = "tracing")]
#[inline(always)]
pub(super) fn is_on() -> bool {
    LevelFilter::current() >= LevelFilter::DEBUG || log::max_level() >= log::LevelFilter::Debug
}

#[cfg(not(feature = "tracing"))]
pub(super) const fn is_on() -> bool {
    false
}

impl Telemetry {
    #[cfg(feature = "tracing")]
    pub(super) fn trace(&self, event: &Event) {
        // As with listeners: a subscriber may be broken, and this may be a `drop`.
        let _ = catch_unwind(AssertUnwindSafe(|| self.trace_event(event)));
    }

    /// On its own: each refusal would come by here, and most go unheard.
    #[cfg(feature = "tracing")]
    #[inline(never)]
    pub(super) fn trace_refused(&self, refusal: Refusal, enforced: bool) {
        let _ = catch_unwind(AssertUnwindSafe(|| {
            tracing::debug!(
                target: "seaworthy",
                layer = self.layer,
                name = &*self.name,
                key = self.key.as_deref(),
                kind = refusal.kind().as_str(),
                retry_after = refusal.retry_after().map(|wait| wait.as_secs_f64()),
                enforced,
                "refused"
            );
        }));
    }

    #[cfg(not(feature = "tracing"))]
    #[expect(
        clippy::unused_self,
        reason = "the other half of the feature `tracing`"
    )]
    pub(super) const fn trace_refused(&self, _: Refusal, _: bool) {}

    #[cfg(feature = "tracing")]
    fn trace_event(&self, event: &Event) {
        let (layer, name, key) = (self.layer, &*self.name, self.key.as_deref());
        match event {
            Event::CircuitChanged {
                from,
                to,
                cause,
                open_for,
            } => {
                let open_for = open_for.map(|wait| wait.as_secs_f64());
                if *to == "open" {
                    tracing::warn!(target: "seaworthy", layer, name, key, from, to, cause, open_for, "circuit_changed");
                } else {
                    tracing::info!(target: "seaworthy", layer, name, key, from, to, cause, "circuit_changed");
                }
            }
            Event::Refused {
                kind,
                retry_after,
                enforced,
            } => self.trace_refused(Refusal::new(*kind, *retry_after), *enforced),
            Event::Retrying {
                attempt,
                delay,
                hinted,
            } => {
                let delay = delay.as_secs_f64();
                tracing::debug!(target: "seaworthy", layer, name, key, attempt, delay, hinted, "retrying");
            }
            Event::GaveUp { attempts, reason } => {
                tracing::debug!(target: "seaworthy", layer, name, key, attempts, reason, "gave_up");
            }
            Event::Hedged { attempt, early } => {
                tracing::debug!(target: "seaworthy", layer, name, key, attempt, early, "hedged");
            }
            Event::HedgeWon { attempt } => {
                tracing::debug!(target: "seaworthy", layer, name, key, attempt, "hedge_won");
            }
            Event::HedgeWithheld { reason } => {
                tracing::debug!(target: "seaworthy", layer, name, key, reason, "hedge_withheld");
            }
            Event::TimedOut { limit } => {
                tracing::debug!(target: "seaworthy", layer, name, key, limit, "timed_out");
            }
            Event::LimitChanged { limit } => {
                tracing::info!(target: "seaworthy", layer, name, key, limit, "limit_changed");
            }
            Event::LimitAdapted { from, to, cause } => {
                tracing::debug!(target: "seaworthy", layer, name, key, from, to, cause, "limit_adapted");
            }
            Event::Keyed {
                result,
                alarming,
                cause,
            } => {
                if *alarming {
                    tracing::warn!(target: "seaworthy", layer, name, key, result, cause, "keyed");
                } else {
                    tracing::debug!(target: "seaworthy", layer, name, key, result, "keyed");
                }
            }
            Event::StoreChanged { available, cause } => {
                if *available {
                    tracing::info!(target: "seaworthy", layer, name, key, available, cause, "store_changed");
                } else {
                    tracing::warn!(target: "seaworthy", layer, name, key, available, cause, "store_changed");
                }
            }
            Event::HealthChanged { from, to } => {
                if matches!(*to, "fail" | "not_ready") {
                    tracing::warn!(target: "seaworthy", layer, name, key, from, to, "health_changed");
                } else {
                    tracing::info!(target: "seaworthy", layer, name, key, from, to, "health_changed");
                }
            }
            Event::Draining { step, after } => {
                let after = after.as_secs_f64();
                if *step == "cut_off" {
                    tracing::warn!(target: "seaworthy", layer, name, key, step, after, "draining");
                } else {
                    tracing::info!(target: "seaworthy", layer, name, key, step, after, "draining");
                }
            }
            Event::Degraded { cause, substitute } => {
                tracing::debug!(target: "seaworthy", layer, name, key, cause, substitute, "degraded");
            }
            Event::LevelChanged {
                from,
                to,
                cause,
                worse,
            } => {
                if *worse {
                    tracing::warn!(target: "seaworthy", layer, name, key, from, to, cause, "level_changed");
                } else {
                    tracing::info!(target: "seaworthy", layer, name, key, from, to, cause, "level_changed");
                }
            }
            Event::ShareMoved { from, to, latency } => {
                let latency = latency.as_secs_f64();
                tracing::debug!(target: "seaworthy", layer, name, key, from, to, latency, "share_moved");
            }
            Event::BurnChanged {
                urgency,
                factor,
                fires,
            } => {
                if *fires {
                    tracing::warn!(target: "seaworthy", layer, name, key, urgency, factor, fires, "burn_changed");
                } else {
                    tracing::info!(target: "seaworthy", layer, name, key, urgency, factor, fires, "burn_changed");
                }
            }
            // Part of every queued or admitted call, or of every one while a store is away; metrics and listeners have them.
            Event::Ended { .. }
            | Event::Queued { .. }
            | Event::Dequeued { .. }
            | Event::DecidedAlone { .. }
            | Event::Checked { .. } => {}
        }
    }

    #[cfg(not(feature = "tracing"))]
    #[expect(
        clippy::unused_self,
        reason = "the other half of the feature `tracing`"
    )]
    pub(super) const fn trace(&self, _: &Event) {}
}
