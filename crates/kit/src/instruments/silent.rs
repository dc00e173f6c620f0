//! Without the feature `metrics`: the same methods, doing nothing.

#![expect(
    clippy::unused_self,
    reason = "the other half of the feature `metrics`: the same methods, doing nothing"
)]

use super::{Event, Outcome};
use crate::{Criticality, RejectionKind};

/// The instruments of one layer; without the feature `metrics` they do nothing.
#[non_exhaustive]
pub struct Instruments;

impl Instruments {
    pub(crate) const fn new(_: &'static str, _: &str, _: Option<&str>) -> Self {
        Self
    }

    /// Does nothing.
    pub const fn publish(&self, _: &[RejectionKind]) {}

    /// Does nothing.
    pub const fn publish_retries(&self) {}

    /// Does nothing.
    pub const fn publish_hedges(&self, _: &[&'static str]) {}

    /// Does nothing.
    pub const fn publish_timeouts(&self, _: &[&'static str]) {}

    /// Does nothing.
    pub const fn publish_keyed(&self, _: &[&'static str]) {}

    /// Does nothing.
    pub const fn publish_store(&self) {}

    /// Nobody does.
    #[must_use]
    pub const fn are_heard(&self) -> bool {
        false
    }

    /// Does nothing.
    pub const fn set_health(&self, _: u8) {}

    /// Does nothing.
    pub const fn set_ready(&self, _: bool) {}

    /// Does nothing.
    pub const fn set_circuit_state(&self, _: u8) {}

    /// Does nothing.
    pub const fn set_in_flight(&self, _: usize) {}

    /// Does nothing.
    pub const fn set_limit(&self, _: usize) {}

    /// Does nothing.
    pub const fn set_baseline(&self, _: std::time::Duration) {}

    /// Does nothing.
    pub const fn publish_limit_changes(&self, _: &[&'static str]) {}

    /// Does nothing.
    pub const fn set_queue_depth(&self, _: usize) {}

    /// Does nothing.
    pub const fn set_store_available(&self, _: bool) {}

    /// Does nothing.
    pub const fn set_throttled(&self, _: &[f64; Criticality::ALL.len()]) {}

    /// Does nothing.
    pub const fn publish_degraded(&self, _: &[(&'static str, &'static str)]) {}

    /// Does nothing.
    pub const fn set_level(&self, _: u8) {}

    /// Does nothing.
    pub const fn set_dimmer_share(&self, _: f64) {}

    /// Does nothing.
    pub const fn set_budget(&self, _: f64, _: f64, _: f64) {}

    pub(crate) const fn ended(&self, _: Outcome) {}

    pub(crate) const fn event(&self, _: &Event) {}
}
