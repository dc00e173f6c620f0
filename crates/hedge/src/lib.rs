//! A tower layer that sends a slow call a second time and takes the answer that comes first, within a budget.
//!
//! # When to use it / when not
//! Use it
//! - where a few calls are much slower than the others, and it is chance which: a pause of one instance, a lost packet, a cold cache;
//! - for requests that may be repeated, and cost the dependency little;
//! - where a second try may meet another instance: behind a balancer, with a pool of connections.
//!
//! Do not use it
//! - where the same request is slow each time: a hedge is slow, too;
//! - against a dependency that has too much to do: it is load, and holds itself back there;
//! - for failures that pass with time: that is retry, outside of this layer.
//!
//! # Example
//! ```
//! use std::sync::atomic::{AtomicU32, Ordering};
//! use std::time::Duration;
//!
//! use seaworthy_hedge::HedgeLayer;
//! use tokio::time::{Instant, sleep};
//! use tower::{ServiceBuilder, ServiceExt, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
//! static ATTEMPTS: AtomicU32 = AtomicU32::new(0);
//! let hedge = HedgeLayer::plain("stock")
//!     .delay(Duration::from_millis(50))
//!     // One call is too few for a share of them.
//!     .budget(None)
//!     .build()?;
//! let stock = ServiceBuilder::new()
//!     .layer(hedge)
//!     .service(service_fn(|item: &'static str| async move {
//!         // The first attempt meets an instance that pauses.
//!         let slow = ATTEMPTS.fetch_add(1, Ordering::Relaxed) == 0;
//!         sleep(Duration::from_millis(if slow { 5000 } else { 10 })).await;
//!         Ok::<_, std::io::Error>(item.len())
//!     }));
//!
//! let began = Instant::now();
//! assert_eq!(stock.oneshot("anchor").await?, 6);
//! assert_eq!(began.elapsed(), Duration::from_millis(60));
//! # Ok(())
//! # }
//! ```
//! For HTTP and gRPC begin with `HedgeLayer::http("stock")` (feature `http`), for `reqwest::Client` with `HedgeLayer::reqwest("stock")` (feature `reqwest`).
//! Over HTTP the inner service is called with requests whose body can be sent again; where it takes a body type of its own, as a tonic `Channel` does, `.body(tonic::body::Body::new)` makes that.
//!
//! # Example: customised
//! ```
//! use std::time::Duration;
//!
//! use seaworthy_hedge::{Budget, HedgeLayer, Percentile};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
//! // The one that the retry layer outside was given.
//! let retries = Budget::default();
//! let hedge = HedgeLayer::plain("stock")
//!     .delay(Percentile::new(0.99).window(Duration::from_secs(300)))
//!     .hedge_if(|item: &&str| !item.is_empty())
//!     .retry_budget(retries)
//!     .build()?;
//!
//! let handle = hedge.handle();
//! assert_eq!(handle.snapshot().delay, None, "nothing is known yet");
//! handle.set_enabled(false);
//! # Ok(())
//! # }
//! ```
//!
//! # How it decides
//! The machines are [`Race`](seaworthy_core::hedge::Race), one for each call, and [`Tail`](seaworthy_core::hedge::Tail) and [`Budget`] for all of them.
//!
//! ```text
//!   first ──┬─ success before the delay ──────────────────────────────────────────────▶ answer
//!           ├─ slow ── a tail? time left? budget? body? ready? ──┬─ no ──▶ the first goes on
//!           └─ failed early, and worth it ── the same ───────────┤
//!                                                                └─ yes ─▶ a second beside it
//!                                    ┌─ one succeeds: the other is dropped, then ─────▶ answer
//!   first and second ────────────────┤
//!                                    └─ both fail ────────────────▶ the failure that says most
//! ```
//!
//! *When.* After a fixed delay, or once the call is slower than a percentile of those before it.
//! The percentile is that of a histogram (`hdrhistogram`: two digits, constant memory, nothing allocated when a latency is recorded) over a window in two halves, so that old latencies are forgotten.
//! Each call is one sample, by its first attempt; one that lost, failed or was given up when it was slow counts as long as it had run.
//! The delay counts from the first time that the attempt has nothing to give, which is after the inner service was ready for it; what a layer further in does with it is not seen from here, and so a bulkhead with a queue belongs outside.
//! A body that has not been read to its end belongs to an attempt that has not been sent: the hedge is put off by another delay.
//!
//! *At once*, where an attempt fails before that and the failure is worth another try: what a retry layer would try again (see `seaworthy-retry`), and the server did not say when to come back.
//! `Retry-After`, a pushback, and a refusal by a layer further in end all hedges of the call.
//!
//! *Which.* HTTP requests whose method is idempotent or that carry an `Idempotency-Key`, the same on both; plain requests unless [`hedge_if`](Builder::hedge_if) says otherwise.
//!
//! *How many.* One for each call, and 5 % of all calls, by a [`Budget`] of the layer; [`retry_budget`](Builder::retry_budget) is that of the retry layer outside, which hedges draw on as well.
//! None while more than a fifth of the calls are slow: then slow is no tail, and a hedge would be load and no help.
//! So hedges stop by themselves where the dependency has too much to do, and come back when the slow calls are forgotten: after at most 10 s, and where the delay is a percentile, when that has forgotten what they took, which is its window.
//! They come back one by one also after a fixed delay: those that were not sent in the overload have used up the budget, unless it is [shared](Builder::budget).
//!
//! *Who wins.* The first that succeeds, not the first that is over: a hedge that is refused at once must not beat an answer that is on its way.
//! A response that is a failure (HTTP: 5xx, and what is worth another try) waits for the others.
//! So does a conflict (HTTP: 409, 412), which as like as not is one with the attempt that is under way.
//! Where all fail, the caller gets the failure that says most: a last word of the server before its "not now", that before an error on the way, that before a refusal that says that nothing was sent; of two alike, the one that came first.
//! So a retry further out, or an idempotency key, never takes a call for unsent of which one attempt may have arrived.
//!
//! The extensions of a hedge's request have its [`Attempt`], and gRPC servers and those with [`attempt_header`](Builder::attempt_header) are told the number.
//!
//! # Where the state lives
//! In the layer's value: its clones, and all services that it makes, share latencies and budget.
//! Each service clone counts its calls for itself, so that calls answered at once share no write, unless they are measured: then a call records one latency, under a lock that nobody waits for, and of more calls than a percentile needs only one in so many, up to 64, does so.
//! Memory: about 25 KB for a layer with a percentile, whatever the traffic.
//!
//! One layer for many upstreams takes what they have in common: [`keyed`](Builder::keyed) gives each a percentile and a budget of its own, by the host of the request or whatever tells them apart.
//! All services of such a layer count in one place for each key, behind the lock of a bounded map.
//!
//! # Order
//! Inside of retry, outside of the circuit breaker; see `docs/ordering.md`.
//!
//! # Readiness
//! That of the inner service; nothing is reserved.
//! The first attempt is made by the service that was ready; hedges by a clone, which is asked in the response future.
//! Where it is not ready there is no hedge, and the clone is dropped with its place in the queue, unless [`wait_for_ready`](Builder::wait_for_ready) is set.
//! A call that may be hedged costs one clone of the inner stack; over HTTP also a copy of the head, and a place to keep the body in if there is one.
//!
//! # Cancellation
//! Dropping the response future drops all attempts, and gives back what a hedge that waits has taken from the budgets.
//! The call counts as abandoned, once.
//! The loser is dropped before the winner is returned, with its connection and its slots: the inner service must bear that, and the server may still be at work on it.
//! To a circuit breaker further in it is an abandoned call.
//! A loser that panics in its drop costs nobody the answer; a panic of an attempt that runs is the call's.
//!
//! # Errors
//! Those of the attempts, unchanged: of several, the one that says most.
//! `Draining` after a drain.
//!
//! # Defaults
//! | option | default | reason |
//! |---|---|---|
//! | delay | the 95th percentile of the last 60 s, once there were 100 calls | it follows the dependency, and is above what the budget allows to hedge |
//! | hedges for each call | 1, at most 4 | a second one helps hardly ever |
//! | budget | 5 % of the calls of the last 10 s, no floor | what is above the 95th percentile; a floor would be extra load whatever the traffic |
//! | budget of the retries | none | only you know which it is |
//! | late calls | a fifth, or twice what is above the percentile | more is no tail |
//! | other methods | not hedged | it may do harm |
//! | a service that is not ready | no hedge | it has enough to do |
//! | body | replayed up to 64 KiB | bounded memory for each call |
//!
//! # Events and metrics
//! `hedged` with `attempt` and `early`; `hedge_won` with `attempt`; `hedge_withheld` with `reason`; `refused` while it drains; `ended`.
//! `seaworthy_hedges_total`, `seaworthy_hedges_won_total`, `seaworthy_hedges_withheld_total`, `seaworthy_refused_total`, `seaworthy_calls_total`, with `layer="hedge"`.
//!
//! [`HedgeHandle::call`] hedges a plain function, without a service.
//!
//! With [`Control::observe_only`](seaworthy_kit::Control::observe_only) on the handle no hedge is sent, and each that would be is told as withheld, with the reason `observed`.
//! [`HedgeHandle::set_enabled`] switches the layer off.
//!
//! # Prior art
//! Dean and Barroso, *The Tail at Scale* (2013): a second request after the 95th percentile; Finagle's `BackupRequestFilter`: the percentile of a window, and a budget that follows from it; gRPC's hedging (A6): at once after a failure, pushback, the number of the attempt; Polly: a failure counts only if nothing succeeds.
//!
//! Absent on purpose: telling the loser's server (dropping the attempt resets an HTTP/2 stream, and closes an HTTP/1 connection), and choosing another instance (a balancer inside does that).

mod layer;
pub use layer::HedgeLayer;

mod builder;
pub use builder::Builder;

mod delay;
pub use delay::{Delay, Percentile};

#[cfg(feature = "http")]
mod http;

mod service;
pub use service::Hedge;

mod gate;
pub use gate::HedgeGate;

mod handle;
pub use handle::{HedgeHandle, Snapshot};

mod field;
mod judge;
mod latency;
mod response;
mod slow;
mod withheld;

pub use seaworthy_core::budget::BudgetConfig;
pub use seaworthy_kit::budget::BudgetOption;
pub use seaworthy_kit::{Again, Ask, Asked, Attempt, Budget, Rules, Tag, Tagged, Unasked};

/// The futures of this layer.
pub mod future {
    pub use crate::response::ResponseFuture;
}

#[cfg(test)]
mod tests;
