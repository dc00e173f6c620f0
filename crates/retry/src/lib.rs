//! A tower layer that makes a failed call again, when its failure looks transient and its request may be repeated, with jitter, a budget and a deadline.
//!
//! # When to use it / when not
//! Use it
//! - for failures that pass: a connection that broke, an instance that restarts, a 503;
//! - for requests that may be repeated: safe or idempotent methods, or with an `Idempotency-Key`;
//! - once in a path: attempts of nested retries multiply.
//!
//! Do not use it
//! - against a dependency that is down: that is a circuit breaker, inside of this layer;
//! - to cut a long tail: that is hedging;
//! - where the caller's own retry is nearer to the user.
//!
//! # Example
//! ```
//! use std::sync::atomic::{AtomicU32, Ordering};
//!
//! use seaworthy_retry::RetryLayer;
//! use tower::{ServiceBuilder, ServiceExt, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
//! static ATTEMPTS: AtomicU32 = AtomicU32::new(0);
//! let flaky = ServiceBuilder::new()
//!     .layer(RetryLayer::plain("stock").build()?)
//!     .service(service_fn(|item: &'static str| async move {
//!         match ATTEMPTS.fetch_add(1, Ordering::Relaxed) {
//!             0 => Err(std::io::Error::other("connection reset")),
//!             _ => Ok(item.len()),
//!         }
//!     }));
//!
//! assert_eq!(flaky.oneshot("anchor").await?, 6);
//! assert_eq!(ATTEMPTS.load(Ordering::Relaxed), 2);
//! # Ok(())
//! # }
//! ```
//! For HTTP and gRPC begin with `RetryLayer::http("stock")` (feature `http`), for `reqwest::Client` with `RetryLayer::reqwest("stock")` (feature `reqwest`).
//! Over HTTP the inner service is called with requests whose body can be sent again; where it takes a body type of its own, as a tonic `Channel` does, `.body(tonic::body::Body::new)` makes that:
//!
#![cfg_attr(feature = "http", doc = "```")]
#![cfg_attr(not(feature = "http"), doc = "```text")]
//! use bytes::Bytes;
//! use http::{Request, Response};
//! use http_body_util::combinators::UnsyncBoxBody;
//! use http_body_util::{BodyExt, Full};
//! use seaworthy_retry::RetryLayer;
//! use tower::{BoxError, ServiceBuilder, ServiceExt, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), BoxError> {
//! type ChannelBody = UnsyncBoxBody<Bytes, BoxError>;
//! let channel = service_fn(|request: Request<ChannelBody>| async move {
//!     // Only the second attempt gets through.
//!     let is_retry = request.headers().contains_key("grpc-previous-rpc-attempts");
//!     let status = if is_retry { "0" } else { "14" };
//!     let answer = Response::builder()
//!         .header("content-type", "application/grpc")
//!         .header("grpc-status", status);
//!     Ok::<_, BoxError>(answer.body(Full::<Bytes>::default())?)
//! });
//!
//! let retry = RetryLayer::http("fraud")
//!     // gRPC calls are POST requests: somebody has to say that they are idempotent.
//!     .retry_any_method(true)
//!     .body(|body| -> ChannelBody { BodyExt::map_err(body, Into::into).boxed_unsync() })
//!     .build()?;
//! let client = ServiceBuilder::new().layer(retry).service(channel);
//!
//! let call = Request::post("http://fraud.test/fraud.Fraud/Check")
//!     .header("content-type", "application/grpc")
//!     .body(Full::<Bytes>::default())?;
//! assert_eq!(client.oneshot(call).await?.headers()["grpc-status"], "0");
//! # Ok(())
//! # }
//! ```
//!
//! # Example: customised
//! ```
//! use std::time::Duration;
//!
//! use seaworthy_retry::{Exhausted, RetryLayer};
//! use tower::{ServiceBuilder, ServiceExt, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
//! let retry = RetryLayer::plain("stock")
//!     .max_attempts(4)
//!     .total_timeout(Duration::from_secs(10))
//!     .build()?;
//! let down = ServiceBuilder::new().layer(retry).service(service_fn(|_: ()| async {
//!     Err::<(), _>(std::io::Error::other("down"))
//! }));
//!
//! let error = down.oneshot(()).await.unwrap_err();
//! let exhausted = error.downcast_ref::<Exhausted>().expect("it tried more than once");
//! assert_eq!(exhausted.attempts(), 4);
//! # Ok(())
//! # }
//! ```
//!
//! # How it decides
//! The machines are [`RetryPolicy`](seaworthy_core::RetryPolicy), [`Backoff`] and [`Budget`].
//! A failed attempt is made again if the request may be repeated, the failure is transient, attempts and budget are left, and the wait ends before the deadline.
//! The wait is exponential with full jitter, capped before the jitter; where the dependency says when to come back, that counts, within the cap.
//! What would end past the deadline is given up at once, with the last real failure.
//!
//! A plain request may always be repeated unless [`retry_if`](Builder::retry_if) says otherwise; an HTTP request if its method is idempotent or it carries an `Idempotency-Key`.
//! Transient are errors of the client, timeouts, 408, 425, 429, 502, 503, 504, and gRPC's UNAVAILABLE, and RESOURCE_EXHAUSTED where the server says when to come back; not a refusal by a layer further in, unless [`retry_refusals`](Builder::retry_refusals) says so.
//! A response that has begun is final: a gRPC status in trailers that follow a message comes too late.
//! Of a call that a retry layer further in has given up nothing is tried again.
//!
//! A call that may be repeated costs one clone of the inner stack, which makes the further attempts; over HTTP also a copy of the head, and a place to keep the body in if there is one.
//! A call that may not costs neither.
//! reqwest and hyper repeat some requests by themselves, those that a closing connection never took: their attempts come on top.
//!
//! # Where the state lives
//! In the layer's value: its clones, and all services that it makes, share the budget.
//! Each service clone counts its calls for itself, so that healthy calls share no write; the first call of a fresh clone counts where its parent does.
//! A [`Budget`] can also be given to several layers.
//!
//! # Order
//! Outside of circuit breaker and bulkhead, inside of a total timeout; see `docs/ordering.md`.
//!
//! # Readiness
//! That of the inner service; nothing is reserved.
//! The first attempt is made by the service that was ready; further ones by a clone, in the response future, which gives up rather than queue where it is not ready, unless [`wait_for_ready`](Builder::wait_for_ready) is set.
//! A bulkhead with a queue, or a circuit breaker, is ready at once and refuses by itself.
//!
//! # Cancellation
//! Dropping the response future drops the attempt that runs, or ends the wait and gives the withdrawal back to the budget.
//! The call counts as abandoned, once.
//! A failed response is dropped before the wait, so that its connection and slots are free; the body of the last response is guarded to its end, which is what a drain waits for.
//! An attempt cut by [`attempt_timeout`](Builder::attempt_timeout) is dropped likewise: the inner service must bear that, and the server may still be at work on it when the next attempt arrives.
//!
//! # Errors
//! [`Exhausted`], whose source is the last real error, once more than one attempt was made; an error that is not tried again passes unchanged.
//! `TimedOut` for an attempt past its own timeout, `Draining` after a drain.
//! A last response that failed is returned as it is, with [`Attempts`] in its extensions.
//! A response that was dropped for an attempt that then could not be made becomes an [`Exhausted`] that names its status.
//!
//! # Defaults
//! | option | default | reason |
//! |---|---|---|
//! | attempts | 3, the first included | a third one helps seldom, a fourth hardly ever |
//! | wait | 100 ms, doubling up to 60 s, full jitter | callers that failed together must not come back together |
//! | budget | 20 % of the calls of the last 10 s, and 10 per second | retries must not become the load |
//! | body | replayed up to 64 KiB | bounded memory for each call |
//!
//! # Events and metrics
//! `retrying`, `gave_up`, `ended`; `seaworthy_retries_total`, `seaworthy_retry_gave_up_total`, `seaworthy_calls_total`, with `layer="retry"`.
//!
//! # Prior art
//! Full jitter is Brooker's (AWS, 2015); the budget is Finagle's, with a floor that accrues; throttling tokens and pushback are gRPC's (A6); replay with a cap is linkerd's.

use std::time::Duration;

use seaworthy_kit::BoxError;

mod layer;
pub use layer::{Builder, RetryLayer};

#[cfg(feature = "http")]
mod http;

mod budget;
pub use budget::BudgetOption;

mod service;
pub use service::Retry;

mod rules;
pub use rules::{Ask, Asked, Rules, Unasked};

mod gate;
pub use gate::RetryGate;

mod handle;
pub use handle::{RetryHandle, Snapshot};

mod exhausted;
pub use exhausted::{Exhausted, Reason};

mod call;
mod response;

pub use seaworthy_core::budget::BudgetConfig;
pub use seaworthy_core::{Backoff, Jitter};
pub use seaworthy_kit::{Attempt, Attempts, Budget};

/// The futures of this layer.
pub mod future {
    pub use crate::response::ResponseFuture;
}

/// What [`Builder::on_retry`] is told.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Retrying<'a> {
    /// The number of the attempt that failed, counted from one.
    pub attempt: u32,
    /// How long the next one waits.
    pub delay: Duration,
    /// Whether the dependency asked for that delay.
    pub hinted: bool,
    /// The failure; `None` if it was a response.
    pub error: Option<&'a BoxError>,
}

/// What [`Builder::on_exhausted`] is told.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct GivenUp<'a> {
    /// How many attempts were made.
    pub attempts: u32,
    /// Why there is no further one.
    pub reason: Reason,
    /// The last failure; `None` if it was a response.
    pub error: Option<&'a BoxError>,
}

#[cfg(test)]
mod tests;
