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
//! A POST request is repeated where it carries an `Idempotency-Key`, and the server says when:
//!
#![cfg_attr(feature = "http", doc = "```")]
#![cfg_attr(not(feature = "http"), doc = "```text")]
//! use std::time::Duration;
//!
//! use bytes::Bytes;
//! use http::{Request, Response};
//! use http_body_util::{BodyExt, Full};
//! use seaworthy_retry::{Attempts, RetryLayer};
//! use tokio::time::Instant;
//! use tower::{BoxError, ServiceBuilder, ServiceExt, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), BoxError> {
//! let layer = RetryLayer::http("gateway").build()?;
//! let retries = layer.handle();
//! let gateway = ServiceBuilder::new().layer(layer).service(service_fn(move |request: Request<_>| {
//!     let retries = retries.clone();
//!     async move {
//!         // Each attempt brings the whole body.
//!         let amount = BodyExt::collect(request.into_body()).await?.to_bytes();
//!         let answer = Response::builder();
//!         let answer = match retries.snapshot().retries {
//!             0 => answer.status(503).header("retry-after", "2"),
//!             _ => answer.status(200),
//!         };
//!         Ok::<_, BoxError>(answer.body(Full::<Bytes>::from(amount))?)
//!     }
//! }));
//!
//! let charge = Request::post("http://gateway.test/v1/charges")
//!     .header("idempotency-key", "\"8e03978e\"")
//!     .body(Full::<Bytes>::from("amount=99"))?;
//! let began = Instant::now();
//! let response = gateway.oneshot(charge).await?;
//! assert_eq!(response.status(), 200);
//! assert_eq!(response.extensions().get(), Some(&Attempts::new(2)));
//! assert!(began.elapsed() >= Duration::from_secs(2));
//! # Ok(())
//! # }
//! ```
//!
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
//! ```text
//!  attempt ──▶ failed ──▶ transient? ──▶ not seen by the server, for the first time? ── yes ──▶ again, at once, for free
//!     ▲                       │ no                │ no
//!     │                       ▼                   ▼
//!     │                  as it came      attempts, time, tokens, budget left? ── no ──▶ given up: why, after how many
//!     └──── wait ◀─────────────────────── yes ────┘
//! ```
//!
//! A plain request may always be repeated unless [`retry_if`](Builder::retry_if) says otherwise; an HTTP request if its method is idempotent or it carries an `Idempotency-Key`.
//! Transient are errors of the client, timeouts, 408, 425, 429, 502, 503, 504, and gRPC's UNAVAILABLE, and RESOURCE_EXHAUSTED where the server says when to come back; not a refusal by a layer further in, unless [`retry_refusals`](Builder::retry_refusals) says so.
//! [`retry_error`](Builder::retry_error) and [`retry_response`](Builder::retry_response) say otherwise, and may say when, with an [`Again`].
//! What makes an error, as a client of your own, can say with a [`Tag`] whether the call may be made again, and when.
//! A response that has begun is final: a gRPC status in trailers that follow a message comes too late.
//! Of a call that a retry layer further in has given up nothing is tried again; nor where the server says so, by a gRPC pushback that is negative or no number, or by Envoy's `x-envoy-ratelimited` and `x-envoy-overloaded`.
//!
//! An attempt that the server has not seen (a refused connection, with the feature `h2` a refused HTTP/2 stream and what hyper gave up before it sent it, an error tagged [`NeverSent`](Tag::NeverSent)) is made again at once, once in a call: it costs neither an attempt nor budget, and has no new number.
//! A request that may not be repeated is so only with [`retry_unsent`](Builder::retry_unsent), because a copy must be kept for it.
//!
//! `Retry-After` is read in both forms, its date against the `Date` of the same response; gRPC says when in `grpc-retry-pushback-ms` or `RetryInfo`.
//! Such a wait is never shortened but by [`max_delay`](Builder::max_delay), and is spread upwards by a tenth, at least by the first wait of the backoff, or all callers would be back in the same instant.
//! A server that asks for more than the longest wait is asked again after that.
//!
//! A call that may be repeated costs one clone of the inner stack, which makes the further attempts; over HTTP also a copy of the head, and a place to keep the body in if there is one.
//! A call that may not costs neither.
//! A body above the cap is sent whole and once: the attempt under way goes on, nothing more of it is kept, and there is no further one.
//! reqwest and hyper repeat some requests by themselves, those that a closing connection never took: their attempts come on top.
//!
//! # Across services
//! Attempts of services that call each other multiply: three layers of three make 27.
//! A gRPC server is told how many attempts went before, in `grpc-previous-rpc-attempts`; an HTTP server where `attempt_header` names the header.
//! A proxy that sets `heed_attempts` counts the attempts of its callers as made: to a caller's third it gives one.
//! At its edge (`RespondLayer` of `seaworthy-http`) a service tells its gRPC callers not to try again what its own retries have given up, with a pushback of -1; HTTP has no word for it.
//! The extensions of a further attempt's request have its [`Attempt`], so that layers further in know it.
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
//! A predicate or callback that panics makes it a failed one, and keeps nothing of the budget.
//! A failed response is dropped before the wait, so that its connection and slots are free; the body of the last response is guarded to its end, which is what a drain waits for.
//! An attempt cut by [`attempt_timeout`](Builder::attempt_timeout) is dropped likewise: the inner service must bear that, and the server may still be at work on it when the next attempt arrives.
//!
//! # Errors
//! [`Exhausted`] once more than one attempt was made, or where nobody is to make another: its source is the last real error, and it says how many attempts there were, how long they waited in all, and why there is no other.
//! An error that is not tried again passes unchanged.
//! A refusal by a layer further in, of which nobody but this layer knows that an earlier attempt may have arrived, is tagged [`MaybeProcessed`](Tag::MaybeProcessed); so is a response that an edge further in made of one, in its extensions.
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
//! | longest wait | 60 s, whoever asks for it | nobody waits longer for an answer |
//! | attempt timeout, total timeout | none | a timeout layer inside and outside does both, and the deadline that travels counts in any case |
//! | throttling tokens | none | they are gRPC's budget; one is enough |
//! | body | replayed up to 64 KiB | bounded memory for each call |
//! | other methods, refusals, unsent requests | not repeated | each may do harm, or costs a copy of every request |
//! | number of the attempt | told to gRPC servers, heeded nowhere | HTTP has no standard header for it, and it is a stranger's word |
//!
//! # Events and metrics
//! `retrying` with `attempt`, `delay` and `hinted`; `gave_up` with `attempts` and `reason`; `timed_out` with `limit`, which is `attempt` or `total`; `refused` while it drains; `ended`.
//! `seaworthy_retries_total`, `seaworthy_retry_gave_up_total`, `seaworthy_timeouts_total`, `seaworthy_refused_total`, `seaworthy_calls_total`, with `layer="retry"`.
//! The reasons are those of [`Reason::as_str`].
//!
//! With [`Control::observe_only`](seaworthy_kit::Control::observe_only) on the handle, each call is made once and without limits: what would have been tried again is told as `gave_up` with the reason `observed`, what would have been cut as `refused` with `enforced="false"`.
//!
//! # Prior art
//! Full jitter is Brooker's (AWS, 2015); the budget is Finagle's, with a floor that accrues; throttling tokens, pushback and the free attempt are gRPC's (A6); replay with a cap is linkerd's; telescoping jitter is Polly's.
//! RFC 9110, sections 9.2.2 and 10.2.3; RFC 9113, section 8.7.
//!
//! Absent on purpose: a list of all failures of a call (the last one is what there is to act upon, and `on_retry` hears of each), and more than one free attempt (where nobody listens, no call would ever end).

use std::time::Duration;

use seaworthy_kit::BoxError;

mod layer;
pub use layer::RetryLayer;

mod builder;
pub use builder::Builder;

#[cfg(feature = "http")]
mod http;

mod service;
pub use service::Retry;

mod gate;
pub use gate::RetryGate;

mod handle;
pub use handle::{RetryHandle, Snapshot};

mod call;
mod judge;
mod next;
mod response;
mod vital;

pub use seaworthy_core::budget::BudgetConfig;
pub use seaworthy_core::{Backoff, Jitter, Previous};
pub use seaworthy_kit::budget::BudgetOption;
pub use seaworthy_kit::{
    Again, Ask, Asked, Attempt, Attempts, Budget, Exhausted, Reason, Rules, Tag, Tagged, Unasked,
};

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
    /// Whether the dependency, or a predicate of the user's, asked for that delay.
    pub hinted: bool,
    /// Whether the next attempt counts as none, because the server has not seen this one.
    pub is_free: bool,
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
    /// How long the call waited between its attempts, in all.
    pub waited: Duration,
    /// The last failure; `None` if it was a response.
    pub error: Option<&'a BoxError>,
}

#[cfg(test)]
mod tests;
