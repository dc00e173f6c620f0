//! A tower layer that bounds how often callers come: several quotas at once, by key, with a cost for each request, refused at once or waiting in order.
//!
//! # When to use it / when not
//! Use it
//! - in front of a service, so that one caller cannot take what all share: by address, by tenant, by API key;
//! - around a client, so that it keeps to what its provider has sold it;
//! - with a queue, where calls must be spaced rather than refused: a job that sends mails.
//!
//! Do not use it
//! - to limit how many calls run *at a time*: that is a bulkhead;
//! - to protect a service that is slow today: what it can take is not known beforehand, and an adaptive limit finds it;
//! - for a limit that many processes share, as it is: each process has its own count here, unless they keep it on Redis (feature `redis`).
//!
//! # Example
//! ```
//! use seaworthy_rate_limit::{Quota, RateLimitLayer};
//! use tower::{Service, ServiceBuilder, ServiceExt, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
//! let limit = RateLimitLayer::plain("quotes").quota(Quota::per_minute(2)).build()?;
//! let mut quotes = ServiceBuilder::new()
//!     .layer(limit)
//!     .service(service_fn(|day: u32| async move { Ok::<_, std::io::Error>(day + 1) }));
//!
//! assert_eq!(quotes.ready().await?.call(1).await?, 2);
//! assert_eq!(quotes.ready().await?.call(2).await?, 3);
//! assert!(quotes.ready().await?.call(3).await.is_err());
//! # Ok(())
//! # }
//! ```
//! For HTTP and gRPC begin with `RateLimitLayer::http("quotes")` (feature `http`).
//!
//! # Example: customised
//! ```
//! use std::num::NonZeroUsize;
//! use std::time::Duration;
//!
//! use seaworthy_rate_limit::{Limits, Quota, RateLimitLayer};
//! use tower::{ServiceBuilder, ServiceExt, service_fn};
//!
//! #[derive(Clone)]
//! struct Query {
//!     tenant: u32,
//!     rows: u64,
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
//! let premium = Limits::try_new([Quota::per_second(100), Quota::per_day(5_000_000)])?;
//! let limit = RateLimitLayer::plain("queries")
//!     .quota(Quota::per_second(10).with_burst(50))
//!     .named_quota("daily", Quota::per_day(100_000))
//!     .cost(|query: &Query| 1 + query.rows / 100)
//!     .exempt(|query: &Query| query.tenant == 0)
//!     .queue(100, Duration::from_secs(1))
//!     .keyed(NonZeroUsize::new(10_000).expect("above zero"), |query: &Query| query.tenant)
//!     .limits(move |tenant| (*tenant == 7).then(|| premium.clone()))
//!     .build()?;
//! let handle = limit.handle();
//! let queries = ServiceBuilder::new()
//!     .layer(limit)
//!     .service(service_fn(|query: Query| async move { Ok::<_, std::io::Error>(query.rows) }));
//!
//! assert_eq!(queries.clone().oneshot(Query { tenant: 1, rows: 900 }).await?, 900);
//! let dear = Query { tenant: 1, rows: 9_000 };
//! assert!(queries.oneshot(dear).await.is_err(), "it costs more than the burst");
//! assert_eq!(handle.len(), 1);
//! # Ok(())
//! # }
//! ```
//!
//! # How it decides
//! By the generic cell rate algorithm, the [`Cell`](seaworthy_core::gcra::Cell), whose docs have the formulas: one timestamp for each quota, one compare-and-swap for each call, and no edge of a window at which twice as many get through.
//! Several quotas are taken all or not at all; a refusal names the longest wait.
//!
//! A call that a layer further in refuses for what others ask of it (an open circuit, a full bulkhead, a quota further in) gets back what it paid: it has used nothing of what the quota protects.
//! So does a stored answer that an idempotency layer further in gives again.
//! A refusal that the caller brings about by itself is paid, or whoever repeats it would have no limit: a key used twice, a deadline that was over when it came, a cost that no quota has.
//! So place nothing between two limits that costs something and that a caller may have as often as the inner one refuses it.
//! A call gets it back, too, whose caller leaves before the inner service was called, or where that cannot be made ready; one that leaves later, fails, or is ignored by the classifier has been served, and pays.
//!
//! With [`queue`](Builder::queue), calls wait in line, first come first served whatever they cost, and no newcomer overtakes.
//! A call whose turn would not come in time is refused at once, and not after it has waited.
//!
//! Why not `governor`, which decides by the same algorithm? It gives nothing back, decides about one quota at a time, keeps every key it has ever seen, and its quotas cannot be changed.
//! A layer that needs all that would keep two counts of the same thing, and the plain case would not be cheaper.
//! Ours decides as `governor` does, refusal for refusal and wait for wait: a test runs both on one clock and one schedule.
//!
//! # Where the state lives
//! In the [`RateLimitLayer`] value: its clones, and all services that it makes, share the quotas.
//! [`keyed`](Builder::keyed) keeps quotas for each key of a request, within bounds.
//!
//! # Order
//! On a server, outside of what costs something (bulkhead, handler) and inside of what knows the caller; by address before the login, by account after it.
//! On a client, inside of retry, so that each attempt is counted, and outside of the circuit breaker, whose refusals then cost nothing; see `docs/ordering.md`.
//!
//! # Readiness
//! `poll_ready` reserves nothing.
//! Without a queue, keys, costs and exemptions, the service is ready at once if nothing is left, and keeps that refusal for the next `call`; otherwise it is ready when the inner service is.
//! With one of them it is always ready, and drives a clone of the inner service in the response future.
//!
//! # Cancellation
//! Dropping a service, ready or not, changes nothing.
//! Dropping a response future leaves the line, or gives back what it took if the inner service was not called yet; what is given back goes to those who wait.
//! A future that was never polled has no place in the line; one that is not polled again keeps its place and holds up nobody.
//! [`drain`](RateLimitHandle::drain) refuses newcomers only: calls that wait already get their turn.
//!
//! # Errors
//! `RateLimited`, with the time after which to come back: 429 or RESOURCE_EXHAUSTED at the edge.
//! `CostTooHigh` for a call that costs more than a burst: 400 or INVALID_ARGUMENT, and not to be tried again.
//! `DeadlineExceeded` where the caller's deadline ended the wait, which happens only if the quota was lowered meanwhile.
//! `Draining` after [`RateLimitHandle::drain`].
//! Errors of the inner service pass unchanged; with [`announce`](Builder::announce) the quotas go with the rejections of layers further in, which then are the source of the error.
//!
//! # Defaults
//! | option | default | reason |
//! |---|---|---|
//! | quota | none: it must be given | nobody else knows the number |
//! | burst | all of a window | what `governor` and most servers mean by "so many a second" |
//! | waiting | none | a queue hides overload: it is a choice, with a bound and a time |
//! | cost | 1 | |
//! | exempt | nobody | preflights and health checks by one call, [`exempt_defaults`](Builder::exempt_defaults), since it takes a look at each request |
//! | told to callers | nothing | it costs allocations, and clients have nobody to tell |
//! | idle keys | forgotten after a minute | and only when all of their quota is there again |
//!
//! # Events and metrics
//! `refused`, `queued`, `dequeued`, `limit_changed`, `ended`; `seaworthy_limit` (units of the first quota), `seaworthy_queue_depth`, `seaworthy_queue_wait_seconds`, `seaworthy_calls_total`, `seaworthy_refused_total`, with `layer="rate_limit"`.
//!
//! # Prior art
//! The algorithm is that of ITU-T I.371 (ATM cells); Brandur Leach's *throttled* and `governor` brought it to APIs.
//! Waiting in line follows .NET's rate limiters; refusing at once who would wait in vain is what resilience4j does not do.

mod builder;
pub use builder::Builder;

mod gate;
pub use gate::RateGate;

mod vital;

mod handle;
pub use handle::{RateLimitHandle, Snapshot};

mod keyed;
pub use keyed::KeyedBuilder;

mod layer;
pub use layer::{Alike, KeyedRateLimitLayer, RateLimitLayer};

mod limits;
pub use limits::Limits;

pub mod pace;
pub use pace::{Pace, PaceHandle, PaceLayer};

mod rules;
#[cfg(feature = "http")]
pub use rules::Usual;
pub use rules::{Cost, Count, Counting, Exempt, Mode, Nobody, One, Priced, Rules, Says};

mod spent;
pub use spent::Spent;

#[cfg(feature = "redis")]
pub mod shared;
#[cfg(feature = "redis")]
pub use shared::SharedLimit;

mod wait;
pub use wait::Wait;

pub use seaworthy_core::gcra::Quota;

/// An inner service behind a rate limit that decides without a look at the request. See the crate docs.
pub type RateLimit<S, T> = seaworthy_kit::service::Gated<S, T, RateGate>;

/// An inner service behind a rate limit that looks at the request, or lets calls wait. See the crate docs.
pub type PricedRateLimit<S, T, M> =
    seaworthy_kit::deferred::Deferred<S, T, Priced<seaworthy_kit::Share<RateGate>, M>>;

/// An inner service behind a rate limit for each key of a request. See the crate docs.
pub type KeyedRateLimit<S, T, K, F, M> =
    seaworthy_kit::deferred::Deferred<S, T, Priced<seaworthy_kit::keyed::Keyed<RateGate, K, F>, M>>;

/// The futures of this layer.
pub mod future {
    use crate::RateGate;

    /// The response of a call that was decided at once.
    pub type ResponseFuture<F, T> = seaworthy_kit::service::ResponseFuture<F, T, RateGate>;

    /// The response of a call that was looked at, or may have waited.
    pub type PricedResponseFuture<S, Req, T> =
        seaworthy_kit::deferred::ResponseFuture<S, Req, T, RateGate>;
}

#[cfg(test)]
mod tests;
