//! The stacks of `docs/ordering.md`, with their handles.

use std::convert::Infallible;
use std::future::Future;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use http::{Request, Response};
use hyper::body::Incoming;
use seaworthy::bulkhead::{BulkheadHandle, BulkheadLayer};
use seaworthy::circuit_breaker::{CircuitBreakerHandle, CircuitBreakerLayer};
use seaworthy::http::{Http, RespondLayer};
use seaworthy::kit::testing::ManualClock;
use seaworthy::retry::{Backoff, RetryHandle, RetryLayer};
use seaworthy::timeout::{DeadlineLayer, TimeoutHandle, TimeoutLayer};
use seaworthy::{BoxError, RejectionKind};
use seaworthy_tests::echo::LARGE;
use seaworthy_tests::echo::v1::echo_client::EchoClient;
use seaworthy_tests::{Protocol, Server, eventually};
use tonic::service::Routes;
use tonic::transport::Endpoint;
use tower::util::BoxCloneSyncService;
use tower::{Layer, Service, ServiceBuilder, ServiceExt, service_fn};

/// Longer than any test runs: a limit that must not be met.
pub(crate) const AGES: Duration = Duration::from_secs(600);

/// Short enough to be waited for where nothing else can end a call.
pub(crate) const SHORT: Duration = Duration::from_millis(50);

/// A server behind edge, deadline, bulkhead and timeout.
#[derive(Debug)]
pub(crate) struct Served {
    pub(crate) server: Server,
    pub(crate) bulkhead: BulkheadHandle,
    pub(crate) timeout: TimeoutHandle,
}

/// What a server takes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) running: usize,
    pub(crate) waiting: usize,
    pub(crate) max_wait: Duration,
    pub(crate) timeout: Duration,
    pub(crate) min_useful: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            running: 8,
            waiting: 0,
            max_wait: Duration::MAX,
            timeout: AGES,
            min_useful: Duration::ZERO,
        }
    }
}

macro_rules! server_stack {
    ($limits:expr) => {{
        let limits: Limits = $limits;
        let deadline = DeadlineLayer::http("server")
            .min_useful(limits.min_useful)
            .build()
            .unwrap();
        let bulkhead = BulkheadLayer::http("server")
            .max_concurrent(limits.running)
            .queue(limits.waiting, limits.max_wait)
            .build()
            .unwrap();
        let timeout = TimeoutLayer::http("server")
            .limit(limits.timeout)
            .build()
            .unwrap();
        let (slots, limit) = (bulkhead.handle(), timeout.handle());
        let stack = ServiceBuilder::new()
            .layer(RespondLayer::new())
            .layer(deadline)
            .layer(bulkhead)
            .layer(timeout);
        (stack, slots, limit)
    }};
}

/// The server's stack around these routes, under `axum::serve`.
pub(crate) async fn serve(routes: Router, limits: Limits) -> Served {
    let (stack, bulkhead, timeout) = server_stack!(limits);
    Served {
        server: Server::axum(routes.layer(stack)).await,
        bulkhead,
        timeout,
    }
}

/// The same around a function, under hyper alone.
pub(crate) async fn serve_hyper<F, Fut, B>(limits: Limits, handler: F) -> Served
where
    F: Fn(Request<Incoming>) -> Fut + Clone + Send + 'static,
    Fut: Future<Output = Response<B>> + Send + 'static,
    B: http_body::Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    let (stack, bulkhead, timeout) = server_stack!(limits);
    let handler = service_fn(move |request| {
        let answer = handler(request);
        async move { Ok::<_, BoxError>(answer.await) }
    });
    Served {
        server: Server::hyper(stack.service(handler)).await,
        bulkhead,
        timeout,
    }
}

/// The same around gRPC services, under tonic's own transport.
pub(crate) async fn serve_tonic(routes: Routes, limits: Limits) -> Served {
    let (stack, bulkhead, timeout) = server_stack!(limits);
    Served {
        server: Server::tonic(stack.into_inner(), routes).await,
        bulkhead,
        timeout,
    }
}

/// Waits until nobody holds a slot or waits for one.
pub(crate) async fn idle(bulkhead: &BulkheadHandle) {
    eventually("every slot is free again", || is_idle(bulkhead)).await;
}

/// Whether nobody holds a slot or waits for one.
pub(crate) fn is_idle(bulkhead: &BulkheadHandle) -> bool {
    let seen = bulkhead.snapshot();
    seen.available == seen.limit && seen.waiting == 0
}

/// A service of either client.
pub(crate) type Boxed<Req, Res> = BoxCloneSyncService<Req, Res, BoxError>;

/// The client's stack around one of the clients.
#[derive(Debug)]
pub(crate) struct Stack<Req, Res> {
    pub(crate) service: Boxed<Req, Res>,
    pub(crate) retry: RetryHandle,
    pub(crate) circuit: CircuitBreakerHandle,
    pub(crate) bulkhead: BulkheadHandle,
    pub(crate) clock: ManualClock,
}

/// What a client does.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Habits {
    pub(crate) attempts: u32,
    pub(crate) backoff: Duration,
    pub(crate) running: usize,
    /// Consecutive failures that open its circuit.
    pub(crate) failures: u32,
    pub(crate) attempt_timeout: Duration,
}

impl Default for Habits {
    fn default() -> Self {
        Self {
            attempts: 3,
            backoff: Duration::from_millis(1),
            running: 16,
            failures: 10,
            attempt_timeout: AGES,
        }
    }
}

/// How long the circuits of these stacks stay open, by the clock set by hand.
pub(crate) const OPEN: Duration = Duration::from_secs(30);

/// How many calls may probe them.
pub(crate) const PROBES: u32 = 3;

impl<Req: Send + 'static, Res> Stack<Req, Res> {
    pub(crate) async fn send(&self, request: Req) -> Result<Res, BoxError> {
        self.service.clone().oneshot(request).await
    }
}

macro_rules! client_stack {
    ($traffic:ident, $habits:expr, $client:expr $(, $($retry:tt)+)?) => {{
        let habits: Habits = $habits;
        let clock = ManualClock::new();
        let total = TimeoutLayer::$traffic("total").limit(AGES).build().unwrap();
        let retry = RetryLayer::$traffic("retry")
            .max_attempts(habits.attempts)
            .backoff(Backoff::constant(habits.backoff))
            .budget(None)
            $($($retry)+)?
            .build()
            .unwrap();
        let circuit = CircuitBreakerLayer::$traffic("circuit")
            .failure_rate(None)
            .consecutive_failures(habits.failures)
            .recovery_timeout(OPEN)
            .jitter(0.0)
            .half_open_max_calls(PROBES)
            .success_threshold(PROBES)
            .clock(clock.clock())
            .build()
            .unwrap();
        let bulkhead = BulkheadLayer::$traffic("bulkhead")
            .max_concurrent(habits.running)
            .build()
            .unwrap();
        let attempt = TimeoutLayer::$traffic("attempt")
            .limit(habits.attempt_timeout)
            .propagate(Http::new())
            .build()
            .unwrap();
        let (retries, state, slots) = (retry.handle(), circuit.handle(), bulkhead.handle());
        let service = ServiceBuilder::new()
            .layer(total)
            .layer(retry)
            .layer(circuit)
            .layer(bulkhead)
            .layer(attempt)
            .service($client);
        (service, retries, state, slots, clock)
    }};
}

/// reqwest's client as it is, behind timeout, retry, circuit breaker, bulkhead and attempt timeout.
pub(crate) fn reqwest_stack(
    protocol: Protocol,
    habits: Habits,
) -> Stack<reqwest::Request, reqwest::Response> {
    let (service, retry, circuit, bulkhead, clock) =
        client_stack!(reqwest, habits, protocol.reqwest());
    Stack {
        service: BoxCloneSyncService::new(service),
        retry,
        circuit,
        bulkhead,
        clock,
    }
}

/// hyper's client behind the same.
pub(crate) fn hyper_stack(
    protocol: Protocol,
    habits: Habits,
) -> Stack<Request<Body>, Response<Body>> {
    let (service, retry, circuit, bulkhead, clock) = client_stack!(http, habits, protocol.hyper());
    Stack {
        service: boxed(service),
        retry,
        circuit,
        bulkhead,
        clock,
    }
}

/// What a tonic client calls: it knows no errors, since the edge made statuses of them.
pub(crate) type GrpcService =
    BoxCloneSyncService<Request<tonic::body::Body>, Response<tonic::body::Body>, Infallible>;

/// tonic's client behind the same, with the edge around it.
#[derive(Clone, Debug)]
pub(crate) struct GrpcStack {
    pub(crate) client: EchoClient<GrpcService>,
    pub(crate) retry: RetryHandle,
    pub(crate) circuit: CircuitBreakerHandle,
    pub(crate) bulkhead: BulkheadHandle,
    pub(crate) clock: ManualClock,
}

/// tonic's client of this server behind edge, timeout, retry, circuit breaker, bulkhead and attempt timeout.
pub(crate) fn tonic_stack(server: &Server, habits: Habits) -> GrpcStack {
    tonic_stack_at(server.url(""), habits)
}

/// The same, wherever the server is, if there is one.
pub(crate) fn tonic_stack_at(url: String, habits: Habits) -> GrpcStack {
    let channel = Endpoint::from_shared(url).unwrap().connect_lazy();
    let (service, retry, circuit, bulkhead, clock) = client_stack!(
        http,
        habits,
        channel,
        .retry_any_method(true).body(tonic::body::Body::new)
    );
    let service = RespondLayer::in_client()
        .layer(service)
        .map_response(|response: Response<_>| response.map(tonic::body::Body::new));
    let client = EchoClient::new(BoxCloneSyncService::new(service));
    GrpcStack {
        client: client.max_decoding_message_size(LARGE),
        retry,
        circuit,
        bulkhead,
        clock,
    }
}

/// Any service over HTTP, with bodies that have one type.
pub(crate) fn boxed<S, B>(service: S) -> Boxed<Request<Body>, Response<Body>>
where
    S: Service<Request<Body>, Response = Response<B>, Error = BoxError>
        + Clone
        + Send
        + Sync
        + 'static,
    S::Future: Send,
    B: http_body::Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    BoxCloneSyncService::new(service.map_response(|response: Response<B>| response.map(Body::new)))
}

/// Which layer's refusal an error is; the test fails where it is none.
pub(crate) fn rejected(error: &BoxError) -> RejectionKind {
    seaworthy::Rejection::find(&**error)
        .unwrap_or_else(|| panic!("not a rejection: {error:?}"))
        .kind()
}
