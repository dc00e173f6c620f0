//! Tower layers that find out by themselves how much is too much: [`AdaptiveLayer`], on this page, for whoever does the work, and [`throttle`] for clients.
//!
//! The [`AdaptiveLayer`] finds out how many calls may run at once, counted to the end of the response body, and sheds the rest, the least important first.
//!
//! # When to use it / when not
//! Use it
//! - in front of a handler of which nobody knows how much it bears, or where that changes: with the load of neighbours, the mix of requests, the next version;
//! - to keep a service useful when it is asked for more than it can give: what it takes, it finishes in time;
//! - on the client's side, in front of a dependency that says no by being slow.
//!
//! Do not use it
//! - where the number is known, such as the connections of a pool: that is a bulkhead;
//! - to limit how *often* one caller comes: that is a rate limit;
//! - for calls of which some take a thousand times as long as others: give each kind a limit of its own, by [`keyed`](Builder::keyed).
//!
//! # Example
//! ```
//! use seaworthy_adaptive::AdaptiveLayer;
//! use tower::{ServiceBuilder, ServiceExt, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
//! let adaptive = AdaptiveLayer::plain("reports").build()?;
//! let handle = adaptive.handle();
//! let reports = ServiceBuilder::new()
//!     .layer(adaptive)
//!     .service(service_fn(|year: u32| async move { Ok::<_, std::io::Error>(year + 1) }));
//!
//! assert_eq!(reports.oneshot(2025).await?, 2026);
//! assert_eq!(handle.snapshot().limit, 20);
//! # Ok(())
//! # }
//! ```
//! For HTTP and gRPC begin with `AdaptiveLayer::http("reports")` (feature `http`): a call is then measured until the response body is over.
//!
//! # Example: customised
//! ```
//! use std::time::Duration;
//!
//! use seaworthy_adaptive::{AdaptiveLayer, Algorithm, Vegas};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
//! let adaptive = AdaptiveLayer::plain("database")
//!     .algorithm(Algorithm::Vegas(Vegas::new()))
//!     .initial(10)
//!     .min(2)
//!     .max(100)
//!     .queue(200)
//!     .build()?;
//! let handle = adaptive.handle();
//!
//! // A layer also runs on a plain async function, without a service.
//! let rows = handle.call(|| async { Ok::<_, std::io::Error>(3) }).await?;
//! assert_eq!(rows, 3);
//!
//! // While calls run, none of which is hurt.
//! handle.set_bounds(30, 60)?;
//! assert_eq!(handle.snapshot().limit, 30);
//! # Ok(())
//! # }
//! ```
//!
//! # How it decides
//! The machines are [`limit`](seaworthy_core::limit), whose docs have the laws, and [`slots`](seaworthy_core::slots), with the queue.
//! A call takes a slot with one atomic write; its end counts what it took with a second, and gives the slot back with a third.
//! There is no lock on the way of a call, but for the one that ends a window, a few times a second, and only if it is free.
//!
//! What counts:
//! - A success is measured, from its slot to the end of its body; what it waited for the slot is no matter of the service.
//!   One that took far longer than the others, as where the caller reads slowly, counts for eight baselines: a few of them do not bring the limit down.
//! - A call that timed out further in, was turned away further in because of the load, or was given up by its caller at its deadline or later, was dropped: with too many of them the limit falls.
//!   Not one that its caller had given less time than calls took in the last window: that it was not over in time says nothing, and callers cannot shed each other's calls by short deadlines.
//!   One that its caller had given less than eight baselines counts only where more calls of a window missed such a deadline than succeeded: chance makes some calls take as long, overload most. Without a baseline, under AIMD, each counts.
//! - Errors come fast and say nothing of how long the work takes: they count for nothing. Nor do the caller's own mistakes, a quota further in (429 and RESOURCE_EXHAUSTED), or a caller that left in time.
//!
//! A call of a class may run only while less than the [share](Builder::share) of its class is used: what nobody waits for gives way first.
//! The rest of the limit is room for what matters, without which a burst of it would meet a full house.
//!
//! Without a slot, a call is refused at once, or with [`queue`](Builder::queue) waits for a moment: up to 100 ms, or 5 ms behind a queue that has been standing for 100 ms, and then last come first served.
//! More important calls go first; in a full queue the least important give way.
//! Classes that may not use the whole limit do not wait.
//!
//! With [`fair_by`](Builder::fair_by), tenants share the limit and the queue: within a class, a slot that becomes free goes to who has least running for its weight, each tenant waits in a line of its own, and in a full queue the one with most waiting gives way.
//! Whoever is alone gets all.
//! Without it a call does not pay for it; with it, each call takes the lock of the queue when it begins and when it ends.
//!
//! # Where the state lives
//! In the [`AdaptiveLayer`] value: its clones, and all services that it makes, share one limit.
//! [`keyed`](Builder::keyed) makes a limit for each key of a request, also one that [tenants share](FairBuilder::keyed).
//!
//! # Order
//! Inside of the deadline, which it must see; outside of the timeout, whose cuts tell it of overload; see `docs/ordering.md`.
//! On a client inside of retry and circuit breaker, as a bulkhead.
//!
//! # Readiness
//! `poll_ready` reserves nothing: an idle clone holds no slot.
//! Without a queue, the service is ready at once if no slot is free for any class and keeps that refusal for the next `call`; otherwise it is ready when the inner service is, and `call` decides by the class of its request.
//! With a queue, or keyed, it is always ready, and drives a clone of the inner service in the response future.
//!
//! # Cancellation
//! Dropping a service, ready or not, changes nothing.
//! Dropping a response future leaves the queue, or frees the slot; a slot that had just been granted goes to the next in the queue.
//! A call that is dropped before its deadline is not measured.
//! Dropping a response body frees the slot.
//!
//! # Errors
//! `Shed` without a slot, and `QueueTimeout` after a wait in vain: 503 or UNAVAILABLE at the edge, with the time after which to come back where it is known, which is what calls took in the last window, or what those ahead in the queue will take.
//! `DeadlineExceeded` where the caller's deadline ended the wait: 504 or DEADLINE_EXCEEDED.
//! `Draining` after [`AdaptiveHandle::drain`].
//! Errors of the inner service pass unchanged.
//!
//! # Defaults
//! | option | default | reason |
//! |---|---|---|
//! | algorithm | Gradient2 | of the three the one that needs to know nothing of the service |
//! | initial, min, max | 20, 1, 1000 | a service that bears three calls must be able to have three |
//! | window | 200 ms, 10 calls (at a low limit two for each slot) | a limit that grows by four a second, and falls by two fifths |
//! | drop rate | 1 % | the timeouts that every service has are no overload |
//! | relearn | 30 s, or 200 times what calls take | half the limit for one window of it costs less than one call in a hundred |
//! | shares | 1, 1, 0.9, 0.8 | what nobody waits for gives way before there is a queue |
//! | queue | none waits | a queue is a choice, with a bound |
//! | fair shares | none | only you know whose a request is |
//! | delay of the queue | 5 ms, 100 ms | what Facebook found to need no tuning from service to service |
//!
//! What calls that do not end take is not known: while all slots are taken by calls that hang, nothing is learnt. A timeout inside ends them, and counts.
//!
//! # Events and metrics
//! `refused`, `queued`, `dequeued`, `limit_adapted`, `ended`; `seaworthy_in_flight`, `seaworthy_limit`, `seaworthy_limit_changes_total`, `seaworthy_baseline_seconds`, `seaworthy_queue_depth`, `seaworthy_queue_wait_seconds` (with `admitted="false"` for those that waited in vain), `seaworthy_calls_total`, `seaworthy_refused_total`, with `layer="adaptive"`.
//!
//! # Prior art
//! The laws are those of Netflix's concurrency-limits, Vegas is Brakmo and Peterson's, AIMD Chiu and Jain's; that a baseline is measured at a lowered limit is Envoy's.
//! Fair shares are fair queueing (Demers, Keshav and Shenker, 1989) and FQ-CoDel (RFC 8290), for calls in place of packets.
//! CoDel is Nichols and Jacobson's (RFC 8289), its variant for services and last come first served are Facebook's ("Fail at Scale", ACM Queue 2015); the classes are Google's.

pub use seaworthy_core::limit::{Aimd, Algorithm, Cause, Gradient2, Vegas};

mod layer;
pub use layer::{AdaptiveLayer, Builder, Queued, Shed};

mod gate;
pub use gate::{AdaptiveGate, Admission};

mod fair;
pub use fair::{Adapts, FairAdaptiveLayer, FairAdmission, FairBuilder, FairGate, Fairly};
pub use seaworthy_kit::tenant::{Tenant, tenant};

/// The wait of one call for a slot.
pub type Wait = seaworthy_kit::line::Wait<AdaptiveGate>;

mod vital;

mod handle;
pub use handle::{AdaptiveHandle, Snapshot};

/// An inner service behind a limit that refuses at once. See the crate docs.
pub type Adaptive<S, T> = seaworthy_kit::service::Gated<S, T, AdaptiveGate>;

/// An inner service behind a limit with a queue. See the crate docs.
pub type QueuedAdaptive<S, T> =
    seaworthy_kit::deferred::Deferred<S, T, seaworthy_kit::Share<AdaptiveGate>>;

/// An inner service behind a limit that tenants share. See the crate docs.
pub type FairAdaptive<S, T, F, C = seaworthy_kit::Share<FairGate>> =
    seaworthy_kit::deferred::Deferred<S, T, Fairly<F, C>>;

/// The futures of this layer.
pub mod future {
    use crate::{AdaptiveGate, FairGate};

    /// The response of a call that was decided at once.
    pub type ResponseFuture<F, T> = seaworthy_kit::service::ResponseFuture<F, T, AdaptiveGate>;

    /// The response of a call that may have waited.
    pub type QueuedResponseFuture<S, Req, T> =
        seaworthy_kit::deferred::ResponseFuture<S, Req, T, AdaptiveGate>;

    /// The response of a call of one of several tenants.
    pub type FairResponseFuture<S, Req, T> =
        seaworthy_kit::deferred::ResponseFuture<S, Req, T, FairGate>;
}

pub mod throttle;
pub use throttle::{Throttle, ThrottleHandle, ThrottleLayer};

#[cfg(test)]
mod tests;
