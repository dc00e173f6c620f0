//! Reliability layers for tower: circuit breaker, bulkhead, rate limit, retry, hedging, timeout, deadline, idempotency, health and degradation, on any axum, tonic, hyper or reqwest stack.
//!
//! Each layer is a crate of its own and a feature here; all of them are on by default.
//!
//! ```
//! use seaworthy::prelude::*;
//! use tower::{ServiceBuilder, ServiceExt, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), BoxError> {
//! let breaker = CircuitBreakerLayer::plain("stock").build()?;
//! let bulkhead = BulkheadLayer::plain("stock").max_concurrent(10).build()?;
//! let stack = ServiceBuilder::new()
//!     .layer(breaker)
//!     .layer(bulkhead)
//!     .service(service_fn(|item: &'static str| async move { Ok::<_, BoxError>(item.len()) }));
//!
//! assert_eq!(stack.oneshot("anchor").await?, 6);
//! # Ok(())
//! # }
//! ```

pub use seaworthy_core as core;
pub use seaworthy_kit::{
    BoxError, Classify, Clock, Control, Criticality, Event, InvalidConfig, Moment, Outcome, Plain,
    Rejection, RejectionKind, Report, Subscription, Verdict,
};

/// What every layer is built from; for layers of your own.
pub use seaworthy_kit as kit;

/// HTTP and gRPC: classifiers, bodies, the edge.
#[cfg(feature = "http")]
pub use seaworthy_http as http;

/// Stops calling a failing dependency.
#[cfg(feature = "circuit-breaker")]
pub use seaworthy_circuit_breaker as circuit_breaker;

/// Bounds how many calls run at once.
#[cfg(feature = "bulkhead")]
pub use seaworthy_bulkhead as bulkhead;

/// Bounds how often callers come.
#[cfg(feature = "rate-limit")]
pub use seaworthy_rate_limit as rate_limit;

/// Finds out how much a service or a dependency takes, and lets no more through.
#[cfg(feature = "adaptive")]
pub use seaworthy_adaptive as adaptive;

/// Tries a failed call again.
#[cfg(feature = "retry")]
pub use seaworthy_retry as retry;

/// Sends a slow call a second time.
#[cfg(feature = "hedge")]
pub use seaworthy_hedge as hedge;

/// Ends calls that take too long.
#[cfg(feature = "timeout")]
pub use seaworthy_timeout as timeout;

/// Tells how the process is, and lets it end without losing a request.
#[cfg(feature = "health")]
pub use seaworthy_health as health;

/// Answers with less where something is missing, and says so.
#[cfg(feature = "degrade")]
pub use seaworthy_degrade as degrade;

/// Runs a request with a key once, and answers its repetitions with the same bytes.
#[cfg(feature = "idempotency")]
pub use seaworthy_idempotency as idempotency;

#[cfg(all(
    feature = "bulkhead",
    feature = "circuit-breaker",
    feature = "retry",
    feature = "timeout"
))]
pub mod presets;
#[cfg(all(
    feature = "bulkhead",
    feature = "circuit-breaker",
    feature = "retry",
    feature = "timeout"
))]
pub use presets::{client, server};

/// What most programs need, to be imported whole.
pub mod prelude {
    pub use crate::{BoxError, Criticality, InvalidConfig, Rejection, RejectionKind};
    #[cfg(all(
        feature = "bulkhead",
        feature = "circuit-breaker",
        feature = "retry",
        feature = "timeout"
    ))]
    pub use crate::{client, server};

    #[cfg(feature = "adaptive")]
    pub use seaworthy_adaptive::{AdaptiveLayer, ThrottleLayer};
    #[cfg(feature = "bulkhead")]
    pub use seaworthy_bulkhead::BulkheadLayer;
    #[cfg(feature = "circuit-breaker")]
    pub use seaworthy_circuit_breaker::CircuitBreakerLayer;
    #[cfg(all(feature = "degrade", feature = "http"))]
    pub use seaworthy_degrade::DegradedLayer;
    #[cfg(feature = "degrade")]
    pub use seaworthy_degrade::{
        DimmerLayer, ErrorBudgetLayer, FallbackLayer, LastGoodLayer, LevelLayer,
    };
    #[cfg(feature = "health")]
    pub use seaworthy_health::Health;
    #[cfg(all(feature = "health", feature = "http"))]
    pub use seaworthy_health::HealthLayer;
    #[cfg(feature = "hedge")]
    pub use seaworthy_hedge::HedgeLayer;
    #[cfg(feature = "http")]
    pub use seaworthy_http::RespondLayer;
    #[cfg(feature = "http")]
    pub use seaworthy_http::criticality::{CriticalityLayer, PropagateCriticalityLayer};
    #[cfg(feature = "idempotency")]
    pub use seaworthy_idempotency::IdempotencyLayer;
    #[cfg(feature = "rate-limit")]
    pub use seaworthy_rate_limit::{PaceLayer, RateLimitLayer};
    #[cfg(feature = "retry")]
    pub use seaworthy_retry::RetryLayer;
    #[cfg(feature = "timeout")]
    pub use seaworthy_timeout::{DeadlineLayer, TimeoutLayer};
}
