//! The pages of this folder as modules, so that their snippets are compiled and run.

#[doc = include_str!("../README.md")]
pub mod readme {}

#[doc = include_str!("architecture.md")]
pub mod architecture {}

#[doc = include_str!("errors.md")]
pub mod errors {}

#[doc = include_str!("failures.md")]
pub mod failures {}

#[doc = include_str!("kubernetes.md")]
pub mod kubernetes {}

#[doc = include_str!("metrics.md")]
pub mod metrics {}

#[doc = include_str!("ordering.md")]
pub mod ordering {}

#[doc = include_str!("performance.md")]
pub mod performance {}

#[doc = include_str!("simulation.md")]
pub mod simulation {}

#[doc = include_str!("stores.md")]
pub mod stores {}

/// The cookbook: a page for each layer, and for each framework that they go into.
pub mod cookbook {
    #[doc = include_str!("cookbook/circuit-breaker.md")]
    pub mod circuit_breaker {}

    #[doc = include_str!("cookbook/bulkhead.md")]
    pub mod bulkhead {}

    #[doc = include_str!("cookbook/rate-limit.md")]
    pub mod rate_limit {}

    #[doc = include_str!("cookbook/retry.md")]
    pub mod retry {}

    #[doc = include_str!("cookbook/hedge.md")]
    pub mod hedge {}

    #[doc = include_str!("cookbook/timeout.md")]
    pub mod timeout {}

    #[doc = include_str!("cookbook/adaptive.md")]
    pub mod adaptive {}

    #[doc = include_str!("cookbook/degrade.md")]
    pub mod degrade {}

    #[doc = include_str!("cookbook/criticality.md")]
    pub mod criticality {}

    #[doc = include_str!("cookbook/idempotency.md")]
    pub mod idempotency {}

    #[doc = include_str!("cookbook/pay-once.md")]
    pub mod pay_once {}

    #[doc = include_str!("cookbook/health.md")]
    pub mod health {}

    #[doc = include_str!("cookbook/axum.md")]
    pub mod axum {}

    #[doc = include_str!("cookbook/tonic.md")]
    pub mod tonic {}

    #[doc = include_str!("cookbook/reqwest.md")]
    pub mod reqwest {}

    #[doc = include_str!("cookbook/hyper.md")]
    pub mod hyper {}
}
