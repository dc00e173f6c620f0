//! A tower layer that refuses calls, or makes them wait, once so many are running, counted to the end of the response body.
//!
//! # When to use it / when not
//! Use it
//! - in front of a dependency or a handler that must not have more than so many calls at a time: a connection pool, a card gateway, an expensive report;
//! - to keep one slow dependency from taking every task, socket and byte that the others need;
//! - with a queue, where a short wait is better for the caller than a refusal.
//!
//! Do not use it
//! - to limit how *often* callers come: that is a rate limit;
//! - where nobody knows the right number: that is an adaptive limit;
//! - to stop calling what fails: that is a circuit breaker.
//!
//! # Example
//! ```
//! use seaworthy_bulkhead::BulkheadLayer;
//! use tower::{ServiceBuilder, ServiceExt, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
//! let bulkhead = BulkheadLayer::plain("reports").max_concurrent(10).build()?;
//! let handle = bulkhead.handle();
//! let reports = ServiceBuilder::new()
//!     .layer(bulkhead)
//!     .service(service_fn(|year: u32| async move { Ok::<_, std::io::Error>(year + 1) }));
//!
//! assert_eq!(reports.oneshot(2025).await?, 2026);
//! assert_eq!(handle.snapshot().available, 10);
//! # Ok(())
//! # }
//! ```
//! For HTTP and gRPC begin with `BulkheadLayer::http("reports")` (feature `http`): the slot is then held until the response body is over.
//!
//! # Example: customised
//! ```
//! use std::time::Duration;
//!
//! use seaworthy_bulkhead::BulkheadLayer;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
//! let bulkhead = BulkheadLayer::plain("database")
//!     .max_concurrent(50)
//!     .queue(200, Duration::from_secs(1))
//!     .build()?;
//! let handle = bulkhead.handle();
//!
//! // A layer also runs on a plain async function, without a service.
//! let rows = handle.call(|| async { Ok::<_, std::io::Error>(3) }).await?;
//! assert_eq!(rows, 3);
//!
//! // The limit can be changed while calls run; none of them is hurt.
//! handle.set_limit(5)?;
//! assert_eq!(handle.snapshot().limit, 5);
//! # Ok(())
//! # }
//! ```
//!
//! # How it decides
//! The machine is [`Slots`](seaworthy_core::slots::Slots), whose docs have the diagram and the protocol.
//! A call takes a slot with one atomic write, and gives it back with another.
//! Without a free slot it is refused at once, or with [`queue`](Builder::queue) waits: first come, first served, for a limited time, never past its deadline.
//! Nobody overtakes the queue, not even while the one whose turn it is has not noticed: a slot changes hands without being free in between.
//! Whoever is given a slot in time keeps it, however late it is polled; a call whose time was over before that is never given one.
//!
//! A full queue refuses without taking its lock.
//! Its refusal says when to come back, as far as that is known: by Little's law, the time in which those who wait now will have been served, from the pace at which slots were handed on so far, and no longer than they may wait.
//! That pace is measured only while calls wait, where the time is read in any case; a bulkhead without a queue would have to time every call, and says nothing.
//!
//! # Where the state lives
//! In the [`BulkheadLayer`] value: its clones, and all services that it makes, share the slots.
//! [`keyed`](Builder::keyed) makes a bulkhead for each key of a request.
//!
//! # Order
//! Inside of retry, so that a call that waits for its next attempt has no slot; inside of the circuit breaker, so that an open circuit takes none; see `docs/ordering.md`.
//!
//! # Readiness
//! `poll_ready` reserves nothing: an idle clone holds no slot.
//! Without a queue, the service is ready at once if no slot is free and keeps that refusal for the next `call`; otherwise it is ready when the inner service is.
//! With a queue, or keyed, it is always ready, and drives a clone of the inner service in the response future.
//!
//! # Cancellation
//! Dropping a service, ready or not, changes nothing.
//! Dropping a response future leaves the queue, or frees the slot; a slot that had just been granted goes to the next in the queue.
//! A future that was never polled has no place in the queue; one that is not polled again keeps its place until its time is over, and a slot that it was granted until it is dropped.
//! [`drain`](BulkheadHandle::drain) refuses newcomers only: calls that wait already get their turn, and the drain waits for them.
//! Dropping a response body frees the slot.
//! An upgraded connection (101, or 2xx to CONNECT) holds its slot until the handshake's response is over.
//!
//! # Errors
//! `BulkheadFull` and `QueueTimeout`: 503 or UNAVAILABLE at the edge, with the time after which to come back where it is known.
//! `DeadlineExceeded` where the caller's deadline ended the wait: 504 or DEADLINE_EXCEEDED.
//! `Draining` after [`BulkheadHandle::drain`].
//! Errors of the inner service pass unchanged.
//!
//! # Defaults
//! | option | default | reason |
//! |---|---|---|
//! | running | 25 | what resilience4j has; every service should set its own |
//! | waiting | none | a queue hides overload: it is a choice, with a bound and a time |
//!
//! A number to start from is Little's law: calls per second at the peak, times the seconds that a slow call takes, and some more.
//! Of a queue it says that the last one waits for as long as all before it take together, divided by the slots: a longer queue than fits into `max_wait` only refuses later.
//!
//! Absent on purpose: last come first served (it belongs to adaptive limits, which know when to switch), weights (a call is a call; a call that costs ten times as much belongs into a bulkhead of its own), priorities, and slots that one key lends to another (what is lent is not there when its owner comes).
//!
//! # Events and metrics
//! `refused`, `queued`, `dequeued`, `limit_changed`, `ended`; `seaworthy_in_flight`, `seaworthy_limit`, `seaworthy_queue_depth`, `seaworthy_queue_wait_seconds`, `seaworthy_calls_total`, `seaworthy_refused_total`, with `layer="bulkhead"`.
//!
//! # Prior art
//! Bulkheads are Nygard's (*Release It!*); queue and wait follow resilience4j and MicroProfile Fault Tolerance.

mod layer;
pub use layer::{Builder, BulkheadLayer, Queued, Shed};

mod gate;
pub use gate::BulkheadGate;

/// The wait of one call for a slot.
pub type Wait = seaworthy_kit::line::Wait<BulkheadGate>;

mod vital;

mod handle;
pub use handle::{BulkheadHandle, Snapshot};

/// An inner service behind a bulkhead that refuses at once. See the crate docs.
pub type Bulkhead<S, T> = seaworthy_kit::service::Gated<S, T, BulkheadGate>;

/// An inner service behind a bulkhead with a queue. See the crate docs.
pub type QueuedBulkhead<S, T> =
    seaworthy_kit::deferred::Deferred<S, T, seaworthy_kit::Share<BulkheadGate>>;

/// The futures of this layer.
pub mod future {
    use crate::BulkheadGate;

    /// The response of a call that was decided at once.
    pub type ResponseFuture<F, T> = seaworthy_kit::service::ResponseFuture<F, T, BulkheadGate>;

    /// The response of a call that may have waited.
    pub type QueuedResponseFuture<S, Req, T> =
        seaworthy_kit::deferred::ResponseFuture<S, Req, T, BulkheadGate>;
}

#[cfg(test)]
mod tests;
