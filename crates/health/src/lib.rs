//! Health that does not lie: checks that run once however many ask, told over HTTP and gRPC, and a drain that loses no request.
//!
//! # When to use it / when not
//! Use it
//! - in every server behind a load balancer, or on Kubernetes: liveness, readiness and startup are three questions, and this answers each;
//! - to end a process that serves, without a failed request;
//! - to ask a dependency how it is while nobody calls it, and let its circuit know.
//!
//! Do not use it
//! - to decide about single calls: that is a circuit breaker;
//! - with critical checks of what all instances share and could do without for a while: all of them would leave the load balancer at once.
//!
//! # Example
#![cfg_attr(feature = "http", doc = "```")]
#![cfg_attr(not(feature = "http"), doc = "```ignore")]
//! use bytes::Bytes;
//! use http::{Request, Response};
//! use http_body_util::{BodyExt, Full};
//! use seaworthy_health::{Check, Health, HealthLayer};
//! use tower::{ServiceBuilder, ServiceExt, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
//! # async fn ping() -> std::io::Result<()> { Ok(()) }
//! let health = Health::builder("payments")
//!     .check(Check::new("database", || ping()))
//!     .build()?;
//! let payments = ServiceBuilder::new()
//!     .layer(HealthLayer::http(&health).build()?)
//!     .service(service_fn(|_: Request<Full<Bytes>>| async {
//!         Ok::<_, std::io::Error>(Response::new(Full::<Bytes>::from("paid")))
//!     }));
//!
//! let probe = Request::get("/health/ready").body(Full::default())?;
//! let answer = payments.oneshot(probe).await?;
//! assert_eq!(answer.status(), 200);
//! assert_eq!(answer.into_body().collect().await?.to_bytes(), r#"{"status":"ready"}"#);
//! # Ok(())
//! # }
//! ```
//! `grpc.health.v1` is [`GrpcHealthLayer`], the end of a process [`Drain`].
//!
//! # Example: customised
#![cfg_attr(feature = "http", doc = "```")]
#![cfg_attr(not(feature = "http"), doc = "```ignore")]
//! use std::time::Duration;
//!
//! use seaworthy_health::{Check, Health, HealthLayer, checks};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
//! # async fn ping() -> std::io::Result<()> { Ok(()) }
//! # fn queue_depth() -> f64 { 3.0 }
//! let database = Check::new("database", || ping())
//!     .timeout(Duration::from_secs(1))
//!     .failures(3)
//!     .component("datastore");
//! let queue = Check::new("queue_depth", || async { queue_depth() })
//!     .critical(false)
//!     .warn_above(100.0)
//!     .fail_above(1_000.0);
//! let health = Health::builder("payments")
//!     .check(database)
//!     .check(queue)
//!     .check(checks::event_loop_lag())
//!     .refresh_every(Duration::from_secs(5))
//!     .heartbeat(Duration::from_secs(10))
//!     .version(env!("CARGO_PKG_VERSION"))
//!     .group("payments.v1.Payments", ["database"])
//!     .build()?;
//! // Everybody sees the status; who comes with the token, everything.
//! let layer = HealthLayer::http(&health)
//!     .details(|request| request.headers.get("authorization").is_some_and(|it| it == "Bearer .."))
//!     .build()?;
//! assert!(health.ready().await.ready);
//! # let _ = layer;
//! # Ok(())
//! # }
//! ```
//!
//! # How it decides
//! Of one check: the machine is [`Check`](seaworthy_core::health::Check) in core, whose docs have the diagram.
//! A function that gives an error fails, one that panics fails, one whose time is over warns; the first result decides at once, and later ones with hysteresis.
//! A result is good enough for its age; then whoever asks next has it run, in a task of its own, and all who ask meanwhile wait for that one run, each until its time is over at most.
//! With [`refresh_every`](Builder::refresh_every), checks run by themselves, and nobody waits; none of them holds up the next run of another.
//!
//! Of many: a critical check that fails, or has no result, makes the whole unhealthy and not ready; any other that fails or warns makes it degraded; an informational one changes nothing.
//!
//! | question | answer |
//! |---|---|
//! | live | 200 `alive`, unless a [heartbeat](Builder::heartbeat) is wanted and stays away; no check is asked |
//! | ready | 200 `ready` where no critical check fails, the start is not [held up](Health::hold) and nobody drains, else 503 `not_ready`; until the process has started it waits for a whole round, later for the critical checks only, and in a drain for nothing |
//! | startup | 503 `starting` until once each check had a result and no critical one failed, then 200 `started` for ever |
//! | the whole | 200 with `healthy`, `degraded` or `unhealthy`: for people |
//!
//! The draft `application/health+json` comes to those whose `Accept` names it and prefers nothing else that there is; everybody else gets plain JSON.
//!
//! # Where the state lives
//! In the [`Health`]: its clones, and all layers made of it, tell of one registry.
//! Checks, their results, what runs in the background and what has been drained are of that registry.
//!
//! # Order
//! Outside of everything: a probe that waits behind a limit, or is refused by one, says that the process is down where it is busy; see `docs/ordering.md`.
//!
//! # Readiness
//! Always ready, whatever the inner service is: the readiness of a clone of that is waited for in the response future.
//!
//! # Cancellation
//! A probe that leaves ends nothing: the check runs on for the others, and for the next.
//! A run that its runtime drops is as if it had never been begun.
//! A call of the inner service is dropped with its response future.
//!
//! # Errors
//! None of its own: those of the inner service pass unchanged.
//! Configuration that cannot work is an [`InvalidConfig`](seaworthy_kit::InvalidConfig) when the registry, or the layer, is built.
//!
//! # Defaults
//!
//! | option | default | why |
//! |---|---|---|
//! | `critical` | true | a check that nobody thought about must not be one that changes nothing |
//! | `timeout` | 3 s | what a readiness probe of the cookbook waits for |
//! | `max_age` | 5 s | the period of that probe: each sees a new result, and no two of them run a check twice |
//! | `failures`, `passes` | 1 | who probes counts again |
//! | a run whose time is over | warns | silence is no proof |
//! | `max_time_in_error` | for ever | nobody knows for how long one may do without an answer; a critical check that may hang should have it |
//! | `refresh_every` | off | no task that nobody asked for |
//! | `details` | nobody | errors name hosts and users |
//! | `redact` | as it is | what is secret in an error, its driver knows |
//! | grace and limit of a drain | 10 s, 15 s | within the 30 s after which Kubernetes kills |
//!
//! # Events and metrics
//! Events `checked`, `health_changed` and, of a drain, `draining`; metrics `seaworthy_health_status`, `seaworthy_ready`, `seaworthy_health_checks_total` and `seaworthy_health_check_seconds`, see `docs/metrics.md`.
//! The name of a check is the label `key`.
//!
//! # Prior art
//! draft-inadarei-api-health-check-06; gRPC's health checking protocol; the three probes of Kubernetes; groups and liveness without dependencies from Spring Boot's Actuator; hysteresis as HAProxy's `rise` and `fall`; active checks that close what failures have opened from Envoy.

mod background;

mod build_info;
pub use build_info::BuildInfo;

mod builder;
pub use builder::Builder;

mod check;
pub use check::Check;

pub mod checks;

mod drain;
pub use drain::{Drain, DrainHandle, End, Stop};

mod entry;

#[cfg(feature = "grpc")]
pub mod grpc;
#[cfg(feature = "grpc")]
pub use grpc::GrpcHealthLayer;

mod groups;

mod health;
pub use health::{Health, Hold};

mod heartbeat;

#[cfg(feature = "http")]
pub mod http;
#[cfg(feature = "http")]
pub use self::http::HealthLayer;

mod reading;
pub use reading::{IntoReading, Reading};

mod registry;

#[cfg(feature = "signal")]
mod signals;

mod report;
pub use report::{CheckReport, Report};

pub use seaworthy_core::health::{Impact, Overall, Status};

#[cfg(test)]
#[cfg(feature = "testing")]
mod tests;
