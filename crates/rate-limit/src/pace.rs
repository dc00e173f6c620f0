//! A client that paces itself by what servers say: `Retry-After`, and the `RateLimit` fields.
//!
//! [`PaceLayer`] refuses calls, or lets them wait, until the moment that a server has told, and spreads what is left of a quota over the time until there is more.
//!
//! # When to use it / when not
//! Use it
//! - in a client of a service that limits how often it is called: a call that runs into 429 is wasted, and some servers make the limit stricter for whoever goes on;
//! - with [`wait`](Builder::wait), where a call may as well come later: a batch, a worker of a queue.
//!
//! Do not use it
//! - to keep a limit that you know yourself: that is [`RateLimitLayer`](crate::RateLimitLayer), which needs no word of the server;
//! - to stop calling what fails: that is a circuit breaker;
//! - to try again what was refused: that is retry, outside of this layer, which heeds `Retry-After` for the one call.
//!
//! # Example
//! ```
//! use std::time::Duration;
//!
//! use seaworthy_kit::{BoxError, Plain, Rejection, Verdict};
//! use seaworthy_rate_limit::PaceLayer;
//! use tower::{Service, ServiceBuilder, ServiceExt, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), BoxError> {
//! // Over HTTP: `PaceLayer::http("gateway")` or `PaceLayer::reqwest("gateway")`, which read the fields themselves.
//! let asks_for_a_pause = |result: Result<&u32, &BoxError>| match result {
//!     Ok(429) => Verdict::SUCCESS.with_retry_after(Some(Duration::from_secs(30))),
//!     _ => Verdict::SUCCESS,
//! };
//! let pace = PaceLayer::plain("gateway")
//!     .traffic(Plain::classify(asks_for_a_pause))
//!     .build()?;
//! let handle = pace.handle();
//! let mut gateway = ServiceBuilder::new()
//!     .layer(pace)
//!     .service(service_fn(|()| async { Ok::<_, BoxError>(429_u32) }));
//!
//! assert_eq!(gateway.ready().await?.call(()).await?, 429);
//! let error = gateway.ready().await?.call(()).await.unwrap_err();
//! assert!(Rejection::find(&*error).is_some_and(|it| it.retry_after().is_some()));
//! assert!(handle.snapshot().stopped_for.is_some());
//! # Ok(())
//! # }
//! ```
//!
//! # Example: customised
//! ```
//! use std::num::NonZeroUsize;
//! use std::time::Duration;
//!
//! use seaworthy_rate_limit::PaceLayer;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let hosts = NonZeroUsize::new(100).ok_or("no room")?;
//! let pace = PaceLayer::plain("partners")
//!     .wait(50, Duration::from_secs(10))
//!     .max_hint(Duration::from_secs(300))
//!     .low(0.5)
//!     // With `http`: `seaworthy_http::key::host`.
//!     .keyed::<&'static str, _>(hosts, |request: &(&'static str, u32)| request.0)?;
//! assert!(pace.handle().is_empty());
//! # Ok(())
//! # }
//! ```
//!
//! # How it decides
//! The machine is [`Tempo`](seaworthy_core::tempo::Tempo), whose docs have the diagram.
//!
//! *Stopped.* 429 and 503 with `Retry-After`, a gRPC status with `RetryInfo`, and a quota of which nothing is left stop all calls until the moment that the server told.
//! `Retry-After` takes precedence over the quotas; of several stops the longest counts; a later, shorter word does not shorten it.
//!
//! Calls that wait for the end of a stop leave up to a tenth of their wait later ([`jitter`](Builder::jitter)), and not all in one instant.
//!
//! *Spread.* Where calls wait and a quota is [low](Builder::low), each call gets a turn, so that what is left lasts until there is more.
//! Every answer says anew how it goes on.
//! Those who wait keep their order, whatever it says: where a stop reaches their turns, or the pace changes, they take new ones in the order in which they came.
//! Without [`wait`](Builder::wait) nothing is spread: to refuse a call that the server would have taken helps nobody.
//!
//! What a server says counts for at most [`max_hint`](Builder::max_hint) unless it says it again, and what a cache says, or a layer further in that refuses by itself, does not count at all.
//! Quotas of bytes or of connections are left alone.
//!
//! # Where the state lives
//! In the [`PaceLayer`] value: its clones, and all services that it makes, share it.
//! A client of several servers needs a pace for each: [`keyed`](Builder::keyed), by [`host`](seaworthy_http::key::host).
//! The pace of a key that stands still, or is spread, is not forgotten.
//!
//! # Order
//! Inside of retry, so that each attempt keeps the pace; outside of the circuit breaker, so that a call that waits holds no probe; see `docs/ordering.md`.
//!
//! # Readiness
//! `poll_ready` reserves nothing and is always ready; a clone of the inner service is driven in the response future.
//!
//! # Cancellation
//! Dropping a service changes nothing.
//! Dropping a response future that waits gives its turn back, unless another has been taken since; a turn that is lost so makes the pace slower, never faster.
//! A future that was never polled has no turn.
//!
//! # Errors
//! `RateLimited`, with the time after which to come back.
//! An edge makes 429 of it, although it was not *its* caller's quota that was used up: a server that calls others with this layer decides itself what it answers.
//! `Draining` after [`PaceHandle::drain`].
//! Errors of the inner service pass unchanged.
//!
//! # Defaults
//! | option | default | reason |
//! |---|---|---|
//! | waiting | none | a queue is a choice, with a bound and a time |
//! | longest hint | 60 s | longer than most servers ask for, and no slip of theirs stops a client for a day |
//! | jitter | 0.1 | those who were told of one moment are not to come in one instant |
//! | low | 0.2 | above that a client goes as it likes: a pace has a price, too |
//!
//! # Events and metrics
//! `refused`, `queued`, `dequeued`, `ended`; `seaworthy_queue_wait_seconds`, `seaworthy_calls_total`, `seaworthy_refused_total`, with `layer="pace"`.
//!
//! # Prior art
//! RFC 9110, section 10.2.3; draft-ietf-httpapi-ratelimit-headers, section 7; the pacing of TCP, which sends a window's packets one by one and not at once.

mod gate;
pub use gate::{PaceGate, Pass};

mod handle;
pub use handle::{PaceHandle, Snapshot};

mod layer;
pub use layer::{Builder, PaceLayer};

mod vital;

mod wait;
pub use wait::Wait;

/// An inner service that is called at the pace that it asks for. See the [module](self).
pub type Pace<S, T> = seaworthy_kit::deferred::Deferred<S, T, seaworthy_kit::Share<PaceGate>>;

/// The response of a call that may have waited.
pub type ResponseFuture<S, Req, T> = seaworthy_kit::deferred::ResponseFuture<S, Req, T, PaceGate>;

#[cfg(test)]
mod tests;
