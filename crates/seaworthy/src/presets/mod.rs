//! Whole stacks: [`client()`] in front of a dependency, [`server()`] in front of handlers, each in the order of `docs/ordering.md`.
//!
//! They need the features `circuit-breaker`, `bulkhead`, `retry` and `timeout`, and `http` or `reqwest` for those kinds of traffic.
//!
//! ```text
//! client:  total timeout → retry → circuit breaker → bulkhead → attempt timeout → the dependency
//! server:  edge → deadline → bulkhead → timeout → the handler
//! ```
//!
//! Other layers join where they are asked for:
//!
//! ```text
//! client:  class → total timeout → retry → hedge → throttle → pace → circuit breaker → bulkhead → ..
//! server:  edge → class → deadline → rate limit → adaptive limit → bulkhead → timeout → ..
//! ```
//!
//! A preset is its layers and nothing else: it adds no state, no allocation and no decision of its own.
//! Each layer can be changed through its own builder, or left out; what was set together is checked together when the stack is built.
//! All layers of a stack have its name, in rejections, events and metrics; they differ by the label `layer`.
//!
//! # Where the state lives
//! In the [`ClientLayer`] or [`ServerLayer`] value, as with every layer here: its clones, and all services that it makes, share one circuit, one bulkhead, one retry budget.
//! Two dependencies need two stacks.

mod client;
pub use client::{Client, ClientBuilder, ClientExtras, ClientLayer, ClientPlan};

mod fit;
pub use fit::Times;

mod kind;
pub use kind::Kind;

mod part;
pub use part::{Handled, Part, Plan, Without};

mod server;
pub use server::{Server, ServerBuilder, ServerExtras, ServerLayer};

/// The stack in front of a dependency: total timeout → retry → circuit breaker → bulkhead → attempt timeout.
///
/// The name is that of the dependency; what is called is said next: [`plain`](Client::plain) services, [`http`](Client::http) and gRPC, or a `reqwest::Client` ([`reqwest`](Client::reqwest)).
///
/// ```
/// use std::time::Duration;
///
/// use seaworthy::{BoxError, circuit_breaker::State, client};
/// use tower::{Layer, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), BoxError> {
/// let stock = client("stock")
///     .plain()
///     .total_timeout(Duration::from_secs(5))
///     .retry(|retry| retry.max_attempts(2))
///     .timeout(|timeout| timeout.limit(Duration::from_secs(2)))
///     .build()?;
/// let service = stock.layer(service_fn(|item: &'static str| async move {
///     Ok::<_, BoxError>(item.len())
/// }));
///
/// assert_eq!(service.oneshot("anchor").await?, 6);
/// assert_eq!(stock.circuit_breaker().state(), State::Closed);
/// # Ok(())
/// # }
/// ```
///
/// # Defaults
/// Those of the layers, except for:
///
/// | option | default | reason |
/// |---|---|---|
/// | total timeout | 10 s, to the end of the body | nobody who waits in person waits for longer |
/// | attempt timeout | 3 s, to the head of the response | three attempts with the waits between them, at most 0.3 s together, fit into the total |
///
/// The optional layers have the defaults of their own; a [hedge](ClientBuilder::hedge) draws on the budget of the retry.
///
/// A response that is a stream and meant to last needs [`total_timeout(Duration::MAX)`](ClientBuilder::total_timeout).
/// A request that carries a deadline (`grpc-timeout` and the other [default headers](crate::timeout::deadline::Builder::carry)) may shorten its total timeout; the total timeout is never past the deadline of the task either.
/// The dependency is told nothing of it, unless asked: `.timeout(|timeout| timeout.propagate(DeadlineHeaders::default()))`.
pub fn client(name: impl Into<String>) -> Client {
    Client::new(name.into())
}

/// The stack in front of handlers: edge → deadline → bulkhead → timeout.
///
/// The name is that of the service; what is served is said next: [`http`](Server::http) and gRPC, or [`plain`](Server::plain) services.
///
#[cfg_attr(feature = "http", doc = "```")]
#[cfg_attr(not(feature = "http"), doc = "```ignore")]
/// use seaworthy::server;
///
/// # fn main() -> Result<(), seaworthy::InvalidConfig> {
/// let payments = server("payments")
///     .http()
///     .bulkhead(|bulkhead| bulkhead.max_concurrent(50))
///     .build()?;
/// let router: axum::Router = axum::Router::new()
///     .route("/", axum::routing::get(|| async { "ahoy" }))
///     .layer(payments.clone());
///
/// assert_eq!(payments.bulkhead().snapshot().available, 50);
/// # drop(router);
/// # Ok(())
/// # }
/// ```
///
/// # Defaults
/// Those of the layers, except for:
///
/// | option | default | reason |
/// |---|---|---|
/// | timeout | 15 s, to the head of the response | longer than a [`client()`] stack inside of the handler takes in all, so that there is time left to answer |
/// | running at once | 200 | a server gets the calls of all its callers; so many is what a Tomcat lets in |
/// | deadline | what the caller says | a caller can only shorten its own call; without a word there is none, so that streams may last |
///
/// The optional layers have the defaults of their own; of an [adaptive limit](ServerBuilder::adaptive) the bulkhead is the most that it finds.
pub fn server(name: impl Into<String>) -> Server {
    Server::new(name.into())
}
