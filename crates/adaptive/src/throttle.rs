//! A tower layer for clients: refuses some of their calls here, while the dependency accepts too few of them.
//!
//! # When to use it / when not
//! Use it
//! - around a client of a service that sheds load: a refusal costs that service work too, and one that mostly refuses does little else;
//! - where many clients call one service, and none of them knows of the others: each holds back by its own answers;
//! - per host or per method, with [`keyed`](Builder::keyed), where some may be overloaded and others not.
//!
//! Do not use it
//! - to stop calling a dependency that is broken: that is a circuit breaker, which also lets nothing through; this one goes by "too much" alone, and never stops;
//! - to protect a server from its callers: that is an adaptive limit, on the server;
//! - for a client that calls once in a while: it has no influence.
//!
//! # Example
//! ```
//! use seaworthy_adaptive::throttle::ThrottleLayer;
//! use tower::{ServiceBuilder, ServiceExt, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
//! let throttle = ThrottleLayer::plain("search").build()?;
//! let handle = throttle.handle();
//! let search = ServiceBuilder::new()
//!     .layer(throttle)
//!     .service(service_fn(|word: &'static str| async move { Ok::<_, std::io::Error>(word.len()) }));
//!
//! assert_eq!(search.oneshot("boat").await?, 4);
//! assert_eq!(handle.probability(Default::default()), 0.0);
//! # Ok(())
//! # }
//! ```
//! For HTTP and gRPC begin with `ThrottleLayer::http("search")` (feature `http`), for reqwest with `ThrottleLayer::reqwest("search")`.
//!
//! # Example: customised
//! ```
//! use std::time::Duration;
//!
//! use seaworthy_adaptive::throttle::ThrottleLayer;
//! use seaworthy_kit::Criticality;
//! use seaworthy_kit::criticality::scope;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
//! let handle = ThrottleLayer::plain("search")
//!     .multiplier(1.5)
//!     .window(Duration::from_secs(30))
//!     .min_requests(20)
//!     .build()?
//!     .handle();
//!
//! // A layer also runs on a plain async function, without a service.
//! for _ in 0..20 {
//!     let refused = handle.call(|| async { Err::<(), _>("too much") }).await;
//!     assert!(refused.is_err());
//! }
//! // Nothing was accepted: nine in ten would be refused now, more would leave nobody to notice the end of it.
//! assert_eq!(handle.probability(Criticality::Critical), 0.9);
//!
//! // The class of a call is that of its task.
//! let prefetch = handle.call(|| async { Ok::<_, &str>("next page") });
//! let _ = scope(Criticality::Sheddable, prefetch).await;
//! # Ok(())
//! # }
//! ```
//!
//! # How it decides
//! The machine is [`Acceptance`](seaworthy_core::acceptance::Acceptance), whose docs have the formula, its derivation and what becomes of the classes.
//! Of the calls of the last two minutes, a new one is refused with the probability max(0, (requests − K × accepts) / (requests + 1)), K being 2: nothing is refused while the dependency accepts every second call, and beyond that about K times as many calls are sent as it accepts.
//! Calls that are refused here count as requests.
//!
//! *Accepted* is what the dependency took on, whatever came of it: a 500, and a mistake of the caller's, were accepted, since fewer calls would not have helped.
//! Not accepted are 429, 502, 503, 504, UNAVAILABLE, RESOURCE_EXHAUSTED, DEADLINE_EXCEEDED, a broken connection, and a timeout of a layer further in; see `seaworthy_http::OverloadClassifier`, and [`traffic`](Builder::traffic) for another.
//! A call that its caller gave up, or that a layer further in refused, says nothing.
//!
//! The head of a response says it, and counts when it is there: a stream that lasts for hours was accepted at once, whatever its trailers say in the end.
//!
//! Each class of the task ([`criticality`](seaworthy_kit::criticality)) has its own account, and lower classes give way first, whether the dependency knows classes or not.
//! So the upper classes keep what they need of K times the accepts; a K near 1 leaves more of that unrefused by a dependency that does not know classes.
//!
//! # Where the state lives
//! In the [`ThrottleLayer`] value: its clones, and all services that it makes, share one account.
//! One layer around clients of two services mixes their answers: give each its own, or [`keyed`](Builder::keyed).
//!
//! # Order
//! Inside of retry, so that every attempt is asked for and counts; outside of the timeout of an attempt, so that one that takes too long is seen as a timeout and not as a caller that left; outside of the circuit breaker, whose refusals it ignores.
//! Inside of `PropagateCriticalityLayer`, which opens the class of a call; see `docs/ordering.md`.
//!
//! # Readiness
//! Always ready: which call is refused is drawn when it is made.
//! A call that is admitted drives the readiness of a clone of the inner service in its response future; one that is refused does not touch it.
//!
//! # Cancellation
//! Dropping a service changes nothing.
//! Dropping a response future abandons the call, which then counts for nothing.
//! Dropping a response body changes nothing: what its head said has been counted; [`drain`](ThrottleHandle::drain) waits for the end of bodies.
//!
//! # Errors
//! `Shed`: 503 or UNAVAILABLE at the edge.
//! It does not say when to come back, as the very next call may pass.
//! `Draining` after [`ThrottleHandle::drain`].
//! Errors of the inner service pass unchanged.
//!
//! # Defaults
//! | option | default | reason |
//! |---|---|---|
//! | `multiplier` | 2 | the book's: what the dependency refuses beyond its capacity shows that there is more to have |
//! | `window` | 2 min | the book's |
//! | `min_requests` | 100 | few answers say little, and who asks rarely relieves nobody |
//! | `max_rejection` | 0.9 | one call in ten finds out within seconds that the dependency is back |
//!
//! Absent on purpose: a delay in place of a refusal (a queue on the client hides the overload from whoever could do without the call), and a threshold on the success rate that leaves calls refused here out of account (Envoy's admission control): then the dependency is sent √(K × A × R) calls.
//!
//! # Events and metrics
//! `refused`, `ended`; `seaworthy_calls_total`, `seaworthy_refused_total`, `seaworthy_throttle_probability`, with `layer="throttle"`.
//! In the first, `failure` is what the dependency did not accept, or broke off.
//!
//! # Prior art
//! *Site Reliability Engineering*, chapter 21, "Client-Side Throttling" and "Criticality"; the cap and the least number of calls are as in Envoy's admission control and Finagle's `NackAdmissionFilter`.

mod layer;
pub use layer::{Builder, ThrottleLayer};

mod gate;
pub use gate::{Admission, ThrottleGate};

mod handle;
pub use handle::{Snapshot, ThrottleHandle};

pub use seaworthy_core::acceptance::{AcceptanceConfig, Counts, Standing};

/// An inner service some of whose calls are refused. See the [docs of the module](self).
pub type Throttle<S, T> =
    seaworthy_kit::deferred::Deferred<S, T, seaworthy_kit::Share<ThrottleGate>>;

/// The futures of this layer.
pub mod future {
    /// The response of a call.
    pub type ResponseFuture<S, Req, T> =
        seaworthy_kit::deferred::ResponseFuture<S, Req, T, super::ThrottleGate>;
}

#[cfg(test)]
mod tests;
