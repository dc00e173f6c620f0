//! A tower layer that refuses calls to a dependency that fails, on the share of failed or slow calls, and probes when it may have recovered.
//!
//! # When to use it / when not
//! Use it
//! - in front of a dependency that can be down while you are not: a card gateway, another team's service, a replica;
//! - where callers are better served by a quick "not now" than by a slow failure, or have a fallback;
//! - outside of a timeout and inside of a retry, so that it sees every attempt, and a hang as a failure.
//!
//! Do not use it
//! - to bound how many calls run at once: that is a bulkhead;
//! - to protect yourself from too many callers: that is a rate limit or an adaptive limit;
//! - over one endpoint of many with one circuit for all: one bad replica in ten never trips it, or takes nine good ones with it. Use [`keyed`](Builder::keyed).
//!
//! # Example
//! ```
//! use seaworthy_circuit_breaker::{CircuitBreakerLayer, State};
//! use tower::{Service, ServiceBuilder, ServiceExt, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
//! let breaker = CircuitBreakerLayer::plain("stock").build()?;
//! let handle = breaker.handle();
//! let mut stock = ServiceBuilder::new()
//!     .layer(breaker)
//!     .service(service_fn(|item: &'static str| async move {
//!         Ok::<_, std::io::Error>(item.len())
//!     }));
//!
//! assert_eq!(stock.ready().await?.call("anchor").await?, 6);
//! assert_eq!(handle.state(), State::Closed);
//! # Ok(())
//! # }
//! ```
//! For HTTP and gRPC begin with `CircuitBreakerLayer::http("stock")` (feature `http`): a 503 is then a failure, and a call is over when its response body is.
//!
//! # Example: customised
//! ```
//! use std::time::Duration;
//!
//! use seaworthy_circuit_breaker::{CircuitBreakerLayer, State};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let breaker = CircuitBreakerLayer::plain("stock")
//!     .failure_rate(None)
//!     .leaky_count(2)
//!     .recovery_timeout(Duration::from_secs(10))
//!     .build()?;
//! let handle = breaker.handle();
//!
//! // A layer also runs on a plain async function, without a service.
//! for _ in 0..2 {
//!     let result = handle.call(|| async { Err::<(), _>("no connection") }).await;
//!     assert!(result.is_err());
//! }
//! assert_eq!(handle.state(), State::Open);
//! assert!(handle.snapshot().until.is_some());
//! # Ok(())
//! # }
//! ```
//!
//! # How it decides
//! The machine is [`Circuit`](seaworthy_core::circuit::Circuit), whose docs have the diagram.
//! Closed, it counts how calls end, and opens when a rule trips: failure rate, slow-call rate, consecutive failures, or the leaky count, any of them.
//! Open, it refuses until its time is over; then the next calls are probes, a few at a time, each on a lease that ends when the probe is dropped or silent.
//! It closes when enough probes succeeded, and opens again for twice as long when one fails.
//! What a call reports that began before the last change of state is ignored.
//!
//! A refusal by a layer further in is never counted; a timeout is a failure.
//! A call that its caller drops says nothing, unless [`abandoned_after`](Builder::abandoned_after) is set.
//!
//! # Where the state lives
//! In the [`CircuitBreakerLayer`] value: its clones, and all services that it makes, share one circuit.
//! One layer value for two dependencies would therefore make one circuit of them.
//!
//! # Order
//! Inside of retry, outside of bulkhead and timeout; `docs/ordering.md` says what goes wrong otherwise, and when the circuit belongs outside of retry.
//!
//! # Readiness
//! `poll_ready` reserves nothing.
//! If the circuit would refuse, the service is ready at once and keeps that refusal for the next `call`; otherwise it is ready when the inner service is.
//! A keyed layer is always ready.
//!
//! # Cancellation
//! Dropping a service, ready or not, changes nothing.
//! Dropping a response future, polled or not, or a response body in the middle, abandons the call: it is not counted, and a probe gives its place back at once.
//! A body dropped unread counts as what the head of the response said.
//!
//! # Errors
//! `CircuitOpen`, with the time until which the circuit stays open; 503 or UNAVAILABLE at the edge.
//! `Draining` after [`CircuitBreakerHandle::drain`].
//! Errors of the inner service pass unchanged.
//!
//! # Defaults
//! | option | default | reason |
//! |---|---|---|
//! | window | 100 calls | needs no clock, and a quiet dependency keeps its history |
//! | minimum calls | 20 | one failure out of two is no rate |
//! | failure rate | 50 % | half of the calls fail only where something is broken |
//! | slow calls | off | only the user knows what slow is |
//! | open | 30 s, doubling up to 5 min, ±10 % | long enough for a restart; clients must not probe together |
//! | half-open | 3 probes, 3 successes, 30 s of lease | one lucky call is no recovery |
//!
//! # Events and metrics
//! `circuit_changed`, `refused`, `ended`; `seaworthy_circuit_state`, `seaworthy_circuit_transitions_total`, `seaworthy_calls_total`, `seaworthy_refused_total`, with `layer="circuit_breaker"`.
//!
//! # Prior art
//! The states are Nygard's (*Release It!*); windows and slow calls follow resilience4j, the generation that makes late results harmless gobreaker, the growing and jittered wait Finagle's failure accrual.

mod layer;
pub use layer::{Builder, CircuitBreakerLayer};

mod gate;
pub use gate::{Admission, CircuitGate};

mod cap;

mod handle;
pub use handle::{CircuitBreakerHandle, Snapshot};

pub use seaworthy_core::circuit::{Cause, CircuitConfig, State, WindowKind};

/// An inner service behind a circuit. See the crate docs.
pub type CircuitBreaker<S, T> = seaworthy_kit::service::Gated<S, T, CircuitGate>;

/// The futures of this layer.
pub mod future {
    use crate::CircuitGate;

    /// The response of a call through a circuit.
    pub type ResponseFuture<F, T> = seaworthy_kit::service::ResponseFuture<F, T, CircuitGate>;
}

#[cfg(test)]
mod tests;
