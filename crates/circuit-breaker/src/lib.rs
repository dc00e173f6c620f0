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
//! For HTTP and gRPC begin with `CircuitBreakerLayer::http("stock")` (feature `http`): a 5xx, or a failing gRPC status in headers or trailers, is then a failure, and a call is over when its response body is.
//!
#![cfg_attr(feature = "http", doc = "```")]
#![cfg_attr(not(feature = "http"), doc = "```text")]
//! use bytes::Bytes;
//! use http::{HeaderMap, Request, Response};
//! use http_body_util::{BodyExt, Full};
//! use seaworthy_circuit_breaker::{CircuitBreakerLayer, State};
//! use tower::{BoxError, ServiceBuilder, ServiceExt, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), BoxError> {
//! let breaker = CircuitBreakerLayer::http("fraud")
//!     .failure_rate(None)
//!     .consecutive_failures(2)
//!     .build()?;
//! let handle = breaker.handle();
//! let fraud = service_fn(|call: Request<()>| async move {
//!     let empty = Full::<Bytes>::default();
//!     if call.method() == "GET" {
//!         return Ok::<_, BoxError>(Response::builder().status(503).body(empty.boxed())?);
//!     }
//!     // As gRPC answers: 200, and the truth in the trailers.
//!     let mut trailers = HeaderMap::new();
//!     trailers.insert("grpc-status", "14".parse()?);
//!     let body = empty.with_trailers(async { Some(Ok(trailers)) }).boxed();
//!     Ok(Response::builder().header("content-type", "application/grpc").body(body)?)
//! });
//! let fraud = ServiceBuilder::new().layer(breaker).service(fraud);
//!
//! let get = Request::get("/health").body(())?;
//! assert_eq!(fraud.clone().oneshot(get).await?.status(), 503);
//! let check = Request::post("/fraud.Fraud/Check").body(())?;
//! let response = fraud.oneshot(check).await?;
//! assert_eq!(handle.state(), State::Closed);
//! response.into_body().collect().await?;
//! assert_eq!(handle.state(), State::Open);
//! # Ok(())
//! # }
//! ```
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
//! One circuit for each key of a request, over a bounded map; of all the endpoints, at most half refuse at a time:
//! ```
//! use std::num::NonZeroUsize;
//!
//! use seaworthy_circuit_breaker::{CircuitBreakerHandle, CircuitBreakerLayer, State};
//! use tower::{ServiceBuilder, ServiceExt, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
//! let breakers = CircuitBreakerLayer::plain("replicas")
//!     .consecutive_failures(1)
//!     .max_open_share(0.5)
//!     .keyed(NonZeroUsize::new(100).expect("not zero"), |replica: &usize| *replica)?;
//! let handle = breakers.handle();
//! let replicas = service_fn(|replica: usize| async move {
//!     if replica == 3 { Err("down") } else { Ok(replica) }
//! });
//! let replicas = ServiceBuilder::new().layer(breakers).service(replicas);
//!
//! assert!(replicas.clone().oneshot(3).await.is_err());
//! assert_eq!(replicas.clone().oneshot(4).await?, 4);
//! let circuit = |replica| handle.get(&replica).map(CircuitBreakerHandle::from);
//! let state = |replica| circuit(replica).map(|circuit| circuit.state());
//! assert_eq!(state(3), Some(State::Open));
//! assert_eq!(state(4), Some(State::Closed));
//! assert_eq!(state(5), None);
//! # Ok(())
//! # }
//! ```
//!
//! # How it decides
//! The machine is [`Circuit`](seaworthy_core::circuit::Circuit).
//!
//! ```text
//!             a rule trips                 its time is over, a call comes
//!   Closed ────────────────▶ Open ────────────────────────────────────────▶ Half-open
//!     ▲                       ▲                                              │     │
//!     │                       └── a probe failed: open for twice as long ────┘     │
//!     └── enough probes succeeded (with a ramp: Recovering first) ─────────────────┘
//! ```
//!
//! *Closed*, it counts how calls end, and opens when a rule trips, any of those that are on: failure rate, slow-call rate, failure count, consecutive failures, leaky count, a `Retry-After`.
//! Only a bad call trips, never a good one that fills up the minimum.
//! *Open*, it refuses until its time is over.
//! That is noticed by the next call, not by a timer: an idle circuit shows `Open`, its snapshot that the time is over.
//! *Half-open*, a few calls at a time are probes, each on a lease that ends when the probe is dropped or silent; slow ones count as slow here too.
//! It closes when enough probes succeeded, and opens again for twice as long as soon as they can no longer bring about anything else; by default that is the first failure.
//! With a [ramp](Builder::recovery_ramp) it is *recovering* before it is closed: an evenly rising share of the calls passes.
//!
//! What a call reports that began before the last change of state is told to metrics and listeners, and decides nothing.
//! A refusal by a layer further in is never counted; a timeout is a failure.
//!
//! A call that its caller drops is neither success nor failure; as a probe it gives its place back.
//! There are two exceptions, for callers whose own timeout is outside of this layer.
//! With the slow-call rule, a call dropped after more than the threshold counts as slow: it could only have taken longer.
//! With [`abandoned_after`](Builder::abandoned_after), one dropped at that age or later is a failure.
//! A call that nobody drops and that never ends is not seen until it does: an age for each call under way would be a write that all threads share.
//! Put a timeout inside of the circuit, and a hang becomes a failure; as a probe it holds its place for a lease and no longer.
//!
//! A healthy circuit is only read: in a full window of good calls, and at counts of zero, a success writes nothing, and needs no clock.
//! A time window pays for the time: there every call reads the clock and adds to the count of its step.
//!
//! # Where the state lives
//! In the [`CircuitBreakerLayer`] value: its clones, and all services that it makes, share one circuit.
//! One layer value for two dependencies would therefore make one circuit of them.
//!
//! A keyed layer has one map of circuits in the same way.
//! An idle key takes about 900 bytes and itself, with the default window; a window of `n` calls takes `n` / 10 words.
//! When the map is full, the key that was not used for longest makes room: one whose circuit is closed, or was due for a probe long ago that nobody made.
//! What a closed circuit has counted is then forgotten, so give the map room for the keys that are in use.
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
//! Dropping a response future, polled or not, or a response body in the middle, abandons the call: it is not counted, but for the exceptions above, and a probe gives its place back at once.
//! A body dropped unread counts as what the head of the response said.
//!
//! # Errors
//! `CircuitOpen`, with the state and what opened the circuit; 503 or UNAVAILABLE at the edge.
//! It says when to come back: open, at the end of the wait; half-open, at the earliest end of a probe's lease; recovering and forced open, it does not.
//! `Draining` after [`CircuitBreakerHandle::drain`].
//! Errors of the inner service pass unchanged.
//!
//! # Defaults
//! | option | default | reason |
//! |---|---|---|
//! | [`window_calls`](Builder::window_calls), or [`window_time`](Builder::window_time) | 100 calls | needs no clock, and a quiet dependency keeps its history |
//! | [`minimum_calls`](Builder::minimum_calls) | 20 | one failure out of two is no rate; with a call a minute, take a count instead |
//! | [`failure_rate`](Builder::failure_rate) | 50 % | half of the calls fail only where something is broken |
//! | [`failure_count`](Builder::failure_count), [`consecutive_failures`](Builder::consecutive_failures), [`leaky_count`](Builder::leaky_count) | off | a busy dependency with a few errors would trip them by chance |
//! | [`slow_call_threshold`](Builder::slow_call_threshold) | off | only the user knows what slow is, and it costs a clock |
//! | [`slow_call_rate`](Builder::slow_call_rate) | 50 %, with a threshold | as with failures |
//! | [`open_on_retry_after`](Builder::open_on_retry_after) | off | one instance that sheds load does not speak for all |
//! | [`recovery_timeout`](Builder::recovery_timeout) | 30 s | long enough for a restart |
//! | [`recovery_factor`](Builder::recovery_factor), [`max_recovery_timeout`](Builder::max_recovery_timeout) | 2, 5 min | what stays down is asked ever more seldom, and still within minutes of its return |
//! | [`jitter`](Builder::jitter) | ±10 % | clients that tripped together must not probe together |
//! | [`half_open_max_calls`](Builder::half_open_max_calls), [`success_threshold`](Builder::success_threshold) | 3, 3 | one lucky call is no recovery |
//! | [`half_open_failure_rate`](Builder::half_open_failure_rate) | none, the first failure reopens | with so few probes a failure is a lot |
//! | [`probe_lease`](Builder::probe_lease) | 30 s | a probe that never comes back must not keep the circuit half-open for ever |
//! | [`recovery_ramp`](Builder::recovery_ramp) | off | most dependencies take their whole load at once |
//! | [`abandoned_after`](Builder::abandoned_after) | off | a caller that hangs up says nothing about the dependency |
//! | [`max_open_share`](Builder::max_open_share), keyed | off | only endpoints of one service speak for each other |
//!
//! # Events and metrics
//! `circuit_changed`, `refused`, `ended`; `seaworthy_circuit_state`, `seaworthy_circuit_transitions_total`, `seaworthy_calls_total`, `seaworthy_refused_total`, with `layer="circuit_breaker"`.
//! Each change of state is told once, by the thread that made it, and under no lock: a listener may panic, or call the handle back.
//! Two changes in quick succession by two threads may be told in either order; the gauge, and [`CircuitBreakerHandle::state`], are right.
//!
//! # Prior art
//! The states are Nygard's (*Release It!*); windows and slow calls follow resilience4j, the two counts in a window failsafe-go, the generation that makes late results harmless gobreaker, the bound on open keys Envoy, the growing and jittered wait Finagle's failure accrual.
//!
//! Absent on purpose: a moving average (what was counted once never leaves it, so that an old failure helps to trip an idle circuit), and a slow-call rule for calls that still run (each call would have to be found by all the others; a timeout inside ends them, and then they count).

mod layer;
pub use layer::{Builder, CircuitBreakerLayer};

mod gate;
pub use gate::{Admission, CircuitGate};

mod vital;

mod probed;

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
