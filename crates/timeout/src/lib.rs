//! A tower layer that ends calls that take too long, by their head, their body or its pauses, and carries deadlines from hop to hop.
//!
//! # When to use it / when not
//! Use it
//! - around every call that leaves the process: nothing else notices a dependency that hangs;
//! - inside of retry and circuit breaker, as the limit of one attempt, and outside of retry as the limit of all;
//! - as [`DeadlineLayer`] at a server's entrance, so that work whose caller has gone is stopped.
//!
//! Do not use it
//! - to limit how many calls run at once: that is a bulkhead;
//! - to undo what was done: a call that was cut may still have had its effect;
//! - around blocking code: dropping a future does not interrupt a thread.
//!
//! # Example
//! ```
//! use std::time::Duration;
//!
//! use seaworthy_timeout::TimeoutLayer;
//! use tower::{ServiceBuilder, ServiceExt, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
//! let timeout = TimeoutLayer::plain("stock").limit(Duration::from_secs(2)).build()?;
//! let stock = ServiceBuilder::new()
//!     .layer(timeout)
//!     .service(service_fn(|item: &'static str| async move {
//!         Ok::<_, std::io::Error>(item.len())
//!     }));
//!
//! assert_eq!(stock.oneshot("anchor").await?, 6);
//! # Ok(())
//! # }
//! ```
//! For HTTP and gRPC begin with `TimeoutLayer::http("stock")` (feature `http`).
//!
//! # Example: customised
//! ```
//! use std::time::Duration;
//!
//! use seaworthy_kit::{Rejection, RejectionKind};
//! use seaworthy_timeout::TimeoutLayer;
//! use tower::{ServiceBuilder, ServiceExt, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
//! let timeout = TimeoutLayer::plain("reports")
//!     .limit(Duration::from_secs(2))
//!     .limit_for(|year: &u32| (*year < 2000).then_some(Duration::from_secs(60)))
//!     .build()?;
//! let hangs = ServiceBuilder::new().layer(timeout).service(service_fn(|_: u32| async {
//!     std::future::pending::<Result<(), std::io::Error>>().await
//! }));
//!
//! let error = hangs.oneshot(2025).await.unwrap_err();
//! let rejection = Rejection::find(&*error).expect("the timeout cut it");
//! assert_eq!(rejection.kind(), RejectionKind::TimedOut);
//! # Ok(())
//! # }
//! ```
//!
//! A deadline travels: a server takes it from its caller, everything inside is capped by what is left, and outgoing calls pass that on.
//! ```
//! # #[cfg(feature = "http")]
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
//! use std::time::Duration;
//!
//! use http::{Request, Response};
//! use seaworthy_http::deadline_header::DeadlineHeaders;
//! use seaworthy_timeout::{DeadlineLayer, TimeoutLayer};
//! use tower::{Layer, ServiceExt, service_fn};
//!
//! type Empty = http_body_util::Empty<bytes::Bytes>;
//!
//! // A gateway that answers with what it was told.
//! let gateway = TimeoutLayer::http("gateway")
//!     .limit(Duration::from_secs(30))
//!     .propagate(DeadlineHeaders::default())
//!     .margin(Duration::from_millis(50))
//!     .build()?
//!     .layer(service_fn(|request: Request<Empty>| async move {
//!         let told = request.headers()["x-request-timeout-ms"].clone();
//!         Ok::<_, std::io::Error>(Response::builder().header("x-told", told).body(Empty::new()).unwrap())
//!     }));
//!
//! // A server whose handler takes three seconds before it calls the gateway.
//! let server = DeadlineLayer::http("payments")
//!     .max(Duration::from_secs(10))
//!     .build()?
//!     .layer(service_fn(move |_: Request<Empty>| {
//!         let gateway = gateway.clone();
//!         async move {
//!             tokio::time::sleep(Duration::from_secs(3)).await;
//!             gateway.oneshot(Request::new(Empty::new())).await
//!         }
//!     }));
//!
//! let request = Request::builder().header("x-request-timeout-ms", "60000");
//! let response = server.oneshot(request.body(Empty::new())?).await?;
//! assert_eq!(response.headers()["x-told"], "6950");
//! # Ok(())
//! # }
//! # #[cfg(not(feature = "http"))]
//! # fn main() {}
//! ```
//!
//! # How it decides
//! The response is polled before the timer: an answer that is ready at the very moment of the limit is an answer, and so is one that is found at a late poll.
//! [`limit`](Builder::limit) and [`body_limit`](Builder::body_limit) count from the first `Pending` of the call, when the timer is armed: a call that is answered at once arms none, reads no clock and allocates nothing.
//! tower's own timeout counts from `call`.
//!
//! | limit | from | to |
//! |---|---|---|
//! | `limit` | the first `Pending` | the head of the response; of a plain response, the whole |
//! | `body_limit` | the first `Pending`, of the head or else of the body | the end of the body |
//! | `idle` | the first `Pending` after each frame | the next frame |
//! | the deadline of the task | absolute | the end of the body |
//!
//! The earliest cuts.
//! A request body that comes slowly is part of the wait for the head, since whoever reads it has not answered yet.
//! A body is cut only where it has nothing to give: a reader that is slower than the callee never loses a frame that is there, and a body with a frame for every poll is never cut.
//! The timers are tokio's: a limit that is waited for needs a runtime with time, and is met within a millisecond.
//!
//! A limit of zero, and a deadline that is over, refuse a call before the inner service is called.
//! With [`min_useful`](Builder::min_useful), both layers refuse too what has less time left than the work takes.
//! That also settles what a deadline tells about the callee: a call that it cuts had at least that much time, and counts as a failure; a call that came too late was refused, and counts for nothing.
//! The docs of [`DeadlineLayer`] say which deadline a request gets, and how far it goes.
//!
//! A connection is made by a service of its own in hyper-util, the connector: a layer of [`TimeoutLayer::plain`] around that limits the time to connect.
//! [`propagate`](Builder::propagate) tells the callee the smallest of the layer's own limit, what is left of the deadline, and what the request already says.
//!
//! # Where the state lives
//! In the [`TimeoutLayer`] or [`DeadlineLayer`] value: its clones, and all services that it makes, share the limits, which its handle can change, and the count of calls in flight.
//! The deadline of a request lives in its task.
//!
//! # Order
//! A [`DeadlineLayer`] stands outermost on a server.
//! A [`TimeoutLayer`] stands innermost in a client, inside of retry, circuit breaker and bulkhead: it limits each attempt, tells each callee what is left then, does not count the time in a queue, and the circuit sees its timeouts.
//! A timeout outside of a circuit breaker drops the calls that it cuts, and the breaker sees them as abandoned.
//! The limit of all attempts together is a [`DeadlineLayer`] with a [`default_limit`](deadline::Builder::default_limit) outside of the retry: it is seen inside, so that the retry does not wait for an attempt that would come too late.
//! See `docs/ordering.md`.
//!
//! # Readiness
//! That of the inner service; nothing is reserved, and no limit counts while it is awaited.
//! Where the next call will be refused (a drain, a limit of zero, a deadline of the task that is over), the service is ready at once and keeps that refusal for the next `call`.
//! A [`DeadlineLayer`] finds the deadline in the request, and so can refuse for its sake only when the inner service is ready; in axum and tonic it always is.
//!
//! # Cancellation
//! At the cut the inner future is dropped, and what it had not finished is lost: the inner service must be safe to cancel, and the effect of the call may have happened all the same, so a call that changes something needs an idempotency key.
//! A body that is cut ends with the error, and the inner body is dropped with it by its reader.
//! On the wire a dropped call closes an HTTP/1 connection and resets an HTTP/2 stream (`RST_STREAM`).
//! Blocking code is not interrupted, and tasks that the inner service spawned run on.
//!
//! Timeout, deadline and cancellation are told apart: `timed_out` with the limit that was met, a refusal before the call, and `abandoned`, which says nothing about the callee.
//!
//! Dropping a service, ready or not, changes nothing.
//! Dropping a response future or body drops the inner one and counts the call as abandoned.
//! An upgraded connection (101, or 2xx to CONNECT) is limited until the handshake's response is over.
//!
//! # Errors
//! `TimedOut`: the inner service was called and did not answer in time; it is a failure for a circuit, and retry may try again.
//! `DeadlineExceeded`: there was no time before the call; the inner service was not called, and no circuit counts it.
//! Both are 504 or DEADLINE_EXCEEDED at the edge.
//! `Draining` after [`TimeoutHandle::drain`]: 503 or UNAVAILABLE.
//! A body that is cut gives the rejection as its error; the caller of an HTTP server sees a broken response, since its head is gone.
//! Errors of the inner service pass unchanged.
//!
//! # Defaults
//! | option | default | reason |
//! |---|---|---|
//! | `limit` | 30 s | longer than any sound answer, shorter than a caller's patience |
//! | `body_limit`, `idle` | none | some responses are streams that are meant to last, or to be silent |
//! | deadline of the task | counts | an answer after it is for nobody |
//! | `propagate` | off | a header that nobody reads costs an allocation |
//! | `margin` | zero | only the user knows the way |
//! | `max`, `default_limit` of a [`DeadlineLayer`] | none | a caller can only shorten its own call |
//! | `min_useful` | zero | only the user knows what the work takes |
//!
//! # Events and metrics
//! `timed_out` with the limit that was met (`head`, `body`, `idle`, `deadline`), `refused`, `ended`; `seaworthy_timeouts_total`, `seaworthy_calls_total`, `seaworthy_refused_total`, with `layer="timeout"` or `layer="deadline"`.
//! Where limits are only observed, a call that would have been cut is reported as `refused` of the kind `timed_out`, with `enforced="false"`.
//! Whether a call is only observed is decided when it begins.
//!
//! # Clocks
//! The clock is tokio's, which is monotonic, and stands still while a Linux machine is suspended: a deadline is then met that much later.
//! Nothing on the wire is a point in time, so a peer's clock may be wrong by any amount, and requests need not be let through for fear of that.
//!
//! # Prior art
//! gRPC's deadlines and `grpc-timeout` ([protocol](https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md)); `x-envoy-expected-rq-timeout-ms` is Envoy's; to send durations and take a margin off them is userver's practice; arming the timer late is pingora's.
//!
//! Absent on purpose: a limit that leaves the call running when it is met (nothing polls it any more; what must go on is spawned), and one that is taken from how long calls usually take (to measure that is the work of an adaptive limit; [`min_useful`](Builder::min_useful) is told).

mod layer;
pub use layer::{Builder, TimeoutLayer};

mod service;
pub use service::Timeout;

mod handle;
pub use handle::{Snapshot, TimeoutHandle};

mod per_request;
pub use per_request::{ByRequest, Fixed, LimitFor, Untold};

mod limits;
pub use limits::{Limit, Limits};

mod guard;
pub use guard::{Guard, Shared};

pub mod deadline;
pub use deadline::DeadlineLayer;

mod readiness;
mod response;

/// The futures of this layer.
pub mod future {
    pub use crate::response::ResponseFuture;
}

#[cfg(test)]
mod tests;
