//! Answers that are less than whole, and say so: an answer without its recommendations is better than none.
//!
//! # When to use it / when not
//! Use it
//! - for an answer that is made of several, not all of which it stands and falls with: [`feature`](fn@feature) and [`together`](fn@together);
//! - around a call in whose place something else will do: [`FallbackLayer`], [`LastGoodLayer`];
//! - to do less on purpose, by hand, by plan or because of load: [`Levels`], [`Dimmer`], [`ErrorBudget`].
//!
//! Do not use it
//! - for what changes something: a payment has no fallback, it has an idempotency key, a retry and a queue;
//! - in place of a circuit breaker or a timeout: they make failures quick, and a fallback needs that;
//! - where the fallback is what everybody else falls back to: two hundred services that all ask the database directly are an outage of the database.
//!
//! # Example
//! ```
//! use std::time::Duration;
//!
//! use seaworthy_degrade::{feature, gather, together};
//!
//! # async fn product(_: u32) -> Result<&'static str, std::io::Error> { Ok("anchor") }
//! # async fn reviews(_: u32) -> Result<Vec<u8>, std::io::Error> { std::future::pending().await }
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), seaworthy_kit::BoxError> {
//! let page = async {
//!     together((
//!         feature("product").run(product(7)),
//!         feature("reviews").timeout(Duration::from_millis(300)).fallback(vec![]).run(reviews(7)),
//!     ))
//!     .await
//! };
//! let (page, less) = gather(page).await;
//! assert_eq!(page?, ("anchor", vec![]));
//! assert_eq!(less.expect("the reviews hang").names(), ["reviews"]);
//! # Ok(())
//! # }
//! ```
//! In a server a [`DegradedLayer`] gathers in place of [`gather`] and writes the field `Degraded` (feature `http`), and an axum handler has the list as an argument (feature `axum`).
//!
//! # Example: customised
//! ```
//! use seaworthy_degrade::{Cause, FallbackLayer};
//! use tower::{Layer, ServiceExt, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
//! let fallback = FallbackLayer::plain("prices")
//!     .responses(|price: &i64| *price < 0)
//!     .function(
//!         |item: &&'static str| Some(item.len() as i64),
//!         |length, cause| if cause == Cause::Answered { length } else { 0 },
//!     )
//!     .build();
//! let prices = fallback.layer(service_fn(|_: &'static str| async { Ok::<_, std::io::Error>(-1) }));
//! assert_eq!(prices.oneshot("anchor").await?, 6);
//! # Ok(())
//! # }
//! ```
//!
//! # How it decides
//! A feature runs, for its time; its value is given, or what is given in its place.
//! ```text
//!              value, in time ─────────────────────────────────────▶ the value
//!   running ──┤
//!              error, panic, time is up ──┬─ critical, or no fallback ──▶ the error
//!                                         └─ else ──▶ the fallback, noted and counted
//! ```
//! What a [`FallbackLayer`] replaces, and what it never does, stands [in its docs](FallbackLayer); a [`LastGoodLayer`] replaces the same.
//!
//! Three machines say when to do less: [levels](seaworthy_core::level), by hand, by schedule and by rules with hysteresis; the [dimmer](seaworthy_core::dimmer), which steers the share of optional work to a latency; the [error budget](seaworthy_core::error_budget), whose burn is a signal for the levels.
//! A feature that is off, or dimmed, is not polled at all.
//!
//! # Where the state lives
//! A feature has none: a handler makes it anew for each answer.
//! What is less than whole in an answer is a list of its task, which follows the futures that are polled inside of it.
//! Of a [`FallbackLayer`] and a [`LastGoodLayer`] it is in the layer: its clones, and all services that it makes, are one.
//! [`Levels`], [`Dimmer`] and [`ErrorBudget`] are handles of their own, which features and layers share.
//!
//! # Order
//! A [`DegradedLayer`] stands around the handler, anywhere outside of it.
//! A [`FallbackLayer`] stands outermost in a client, a [`LastGoodLayer`] right inside of it: they see what all other layers could not mend.
//! An [`ErrorBudgetLayer`] and a [`DimmerLayer`] stand inside of a server's rate limit and outside of all else, a [`LevelLayer`] around the routes that it turns off.
//! See `docs/ordering.md`.
//!
//! # Readiness
//! That of the inner service.
//! A [`FallbackLayer`] whose inner service fails to become ready answers in its place; one that is not ready is waited for.
//!
//! # Cancellation
//! Everything runs in the task of its caller, and is dropped with it; what took too long is dropped at the cut.
//! A call that is dropped is neither noted nor counted.
//!
//! # Errors
//! A feature that took too long ends with `TimedOut`, in its own name; it is an error of the answer only where the feature is critical.
//! A [`LevelLayer`] refuses with `Shed`, whose state is the level: 503 or UNAVAILABLE.
//! All other errors pass unchanged, and where a fallback fails as well, the first one does.
//!
//! # Defaults
//! | option | default | reason |
//! |---|---|---|
//! | `critical` of a feature | while it has no fallback | there is nothing to give |
//! | `timeout` of a feature | none, up to the task's deadline | only the user knows what it is worth waiting for |
//! | `reserve` of a feature | zero | only the user knows what comes after |
//! | `cacheable` of a [`DegradedLayer`] | no | what was given in an emergency must not outlive it |
//! | `tell_causes` of a [`DegradedLayer`] | no | why something broke is for the inside |
//! | `errors` of a [`FallbackLayer`] | all but `rate_limited` | who has used up a quota is to know it |
//! | `responses` of a [`FallbackLayer`] | HTTP 500, 502, 503, 504 | those of `stale-if-error` |
//! | `max_age`, `max_entries`, `max_body` of a [`LastGoodLayer`] | 1 h, 1000, 64 KiB | bounded in all that it can grow in |
//! | `leave`, `enter_after`, `leave_after` of a rule, `hold` | 0.9 of `enter`, 5 s, 30 s, 30 s | a blip changes nothing, and what comes back is seen |
//! | `period`, `quantile`, `pole`, `min_samples` of a [`Dimmer`] | 1 s, 0.95, 0.9, 20 | the paper's |
//! | `rotation` of a [`Dimmer`] | 11 h | longer than a session; callers take turns, and neither a day nor a week is a multiple of it |
//! | `rules`, `period`, `min_calls` of an [`ErrorBudget`] | the workbook's, 30 days, 100 | and a single failure at night does not page |
//!
//! # Events and metrics
//! `degraded` with its cause and what was given, `seaworthy_degraded_total` with `cause` and `substitute`; with `layer="feature"` and the feature's name, or `layer="fallback"` and the layer's.
//! `level_changed`, `share_moved` and `burn_changed`; `seaworthy_level`, `seaworthy_level_changes_total`, `seaworthy_dimmer_share`, `seaworthy_error_budget_remaining`, `seaworthy_burn_pressure`.
//! A fallback hides an outage from callers, and must not from those on call: alert on it.
//!
//! # Prior art
//! Hystrix's fallbacks and its page with their kinds; "Avoiding fallback in distributed systems" of the Amazon Builders' Library, for when not to; `stale-if-error` of RFC 5861, for which responses; MicroProfile's and Polly's fallbacks; "Brownout: Building More Robust Cloud Applications" (ICSE 2014) for the dimmer; chapter 22 of Site Reliability Engineering for levels, chapter 5 of its workbook for burn rates.
//!
//! Absent on purpose: a fallback for what changes something; a cache (it would answer while the dependency does).

mod cause;
pub use cause::Cause;

mod control;
pub use control::LayerHandle;

mod degradations;
pub use degradations::{Degradation, Degradations, MESSAGE, gather, names, note};

pub mod feature;
pub use feature::{Feature, LastGood, feature};

pub mod budget;
pub use budget::{ErrorBudget, ErrorBudgetLayer};

pub mod dimmer;
pub use dimmer::{Dimmer, DimmerLayer};

pub mod fallback;
pub use fallback::FallbackLayer;

pub mod last_good;
pub use last_good::LastGoodLayer;

pub mod level;
pub use level::{Level, LevelLayer, LevelRule, Levels, Schedule, Weekday};

mod together;
pub use together::{Features, together};

mod telemetry;
pub use telemetry::{publish, subscribe};

#[cfg(feature = "http")]
mod mark;
#[cfg(feature = "http")]
pub use mark::{DEGRADED, Degraded, DegradedLayer};

mod watch;

#[cfg(feature = "axum")]
pub mod axum;

/// The futures of this crate.
pub mod future {
    pub use crate::degradations::{Gather, Scope};
    pub use crate::fallback::ResponseFuture as FallbackFuture;
    #[cfg(feature = "http")]
    pub use crate::mark::ResponseFuture as DegradedFuture;
    pub use crate::together::{
        Together1, Together2, Together3, Together4, Together5, Together6, Together7, Together8,
        Together9, Together10, Together11, Together12,
    };
}

#[cfg(test)]
mod tests;
