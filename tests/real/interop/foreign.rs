//! The layers of others, each around a service, as their documentation says to use them.
//!
//! They are macros, because each makes another type of every service that it is put around.

use std::time::Duration;

use http::Request;
use seaworthy::BoxError;
use tower::Service;
use tower::balance::p2c::Balance;
use tower::buffer::Buffer;
use tower::discover::ServiceList;
use tower::hedge::Hedge;
use tower::load::{CompleteOnResponse, PendingRequests};

/// What a service behind a buffer of tower's may have waiting.
pub(crate) const QUEUE: usize = 64;

macro_rules! buffer {
    ($inner:expr) => {
        tower::buffer::Buffer::new($inner, crate::interop::foreign::QUEUE)
    };
}

/// Two endpoints, of which tower takes the one with fewer calls under way.
macro_rules! balance {
    ($inner:expr) => {{
        let service = $inner;
        crate::interop::foreign::balanced([service.clone(), service])
    }};
}

macro_rules! load_shed {
    ($inner:expr) => {
        tower::load_shed::LoadShed::new($inner)
    };
}

/// Both of tower's limits: of calls at once, and of calls per second, which needs a buffer to be cloned.
macro_rules! limit {
    ($inner:expr) => {{
        let often = std::time::Duration::from_millis(100);
        let limited = tower::limit::ConcurrencyLimit::new($inner, 50);
        buffer!(tower::limit::RateLimit::new(
            limited,
            tower::limit::rate::Rate::new(1_000, often)
        ))
    }};
}

/// A hedge that never fires, for it never knows enough.
macro_rules! hedge {
    ($inner:expr) => {
        crate::interop::foreign::hedged($inner, u64::MAX, &[])
    };
}

/// Both of tower's filters, which let everything through.
macro_rules! filter {
    ($inner:expr) => {{
        let inner = tower::filter::AsyncFilter::new($inner, |request| async move {
            tokio::task::yield_now().await;
            Ok::<_, seaworthy::BoxError>(request)
        });
        tower::filter::Filter::new(inner, Ok::<_, seaworthy::BoxError>)
    }};
}

macro_rules! trace {
    ($inner:expr) => {
        tower_http::trace::Trace::new_for_http($inner)
    };
}

/// The same, which takes the status of a call from its trailers.
macro_rules! grpc_trace {
    ($inner:expr) => {
        tower_http::trace::Trace::new_for_grpc($inner)
    };
}

macro_rules! compression {
    ($inner:expr) => {
        tower_http::compression::Compression::new($inner)
    };
}

macro_rules! decompression {
    ($inner:expr) => {
        tower_http::decompression::Decompression::new($inner)
    };
}

/// tower-http's limits of the time to the head, and of each pause in both bodies.
///
/// The first makes an empty body of the same type, the last one that is pinned: their own bodies do neither, so each needs a box.
macro_rules! timeout {
    ($inner:expr) => {{
        let ages = crate::stack::AGES;
        let boxed = |request: http::Request<_>| request.map(axum::body::Body::new);
        let inner = tower::util::MapRequest::new($inner, boxed);
        let inner = tower_http::timeout::RequestBodyTimeout::new(inner, ages);
        let inner = tower_http::timeout::ResponseBodyTimeout::new(inner, ages);
        let boxed = |response: http::Response<_>| response.map(axum::body::Body::new);
        let inner = tower::util::MapResponse::new(inner, boxed);
        let status = http::StatusCode::GATEWAY_TIMEOUT;
        tower_http::timeout::Timeout::with_status_code(inner, status, ages)
    }};
}

macro_rules! body_limit {
    ($inner:expr) => {
        tower_http::limit::RequestBodyLimit::new($inner, 1 << 20)
    };
}

type Endpoint<S> = PendingRequests<S, CompleteOnResponse>;

/// tower's balancer over these, in a buffer: it cannot be cloned.
pub(crate) fn balanced<S, Req>(
    services: impl IntoIterator<Item = S>,
) -> Buffer<Req, <Balance<ServiceList<Vec<Endpoint<S>>>, Req> as Service<Req>>::Future>
where
    S: Service<Req, Error: Into<BoxError>, Future: Send> + Send + 'static,
    Req: Send + 'static,
{
    let endpoint = |service| PendingRequests::new(service, CompleteOnResponse::default());
    let endpoints: Vec<_> = services.into_iter().map(endpoint).collect();
    Buffer::new(Balance::new(ServiceList::new(endpoints)), QUEUE)
}

/// tower's hedge, in a buffer for the same reason: after so many calls it sends again what is slower than nine of ten of these and of those so far, in milliseconds.
pub(crate) fn hedged<S, Req>(
    service: S,
    min_calls: u64,
    latencies: &[u64],
) -> Buffer<Req, <Hedge<S, HedgeAll> as Service<Req>>::Future>
where
    S: Service<Req, Error: Into<BoxError>, Future: Send> + Clone + Send + 'static,
    Req: Send + 'static,
    HedgeAll: tower::hedge::Policy<Req>,
{
    let window = Duration::from_secs(60);
    let hedge =
        Hedge::new_with_mock_latencies(service, HedgeAll, min_calls, 0.9, window, latencies);
    Buffer::new(hedge, QUEUE)
}

/// Sends everything a second time that can be copied.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HedgeAll;

impl<B: Default> tower::hedge::Policy<Request<B>> for HedgeAll {
    fn clone_request(&self, request: &Request<B>) -> Option<Request<B>> {
        let mut copy = Request::new(B::default());
        *copy.method_mut() = request.method().clone();
        *copy.uri_mut() = request.uri().clone();
        *copy.version_mut() = request.version();
        *copy.headers_mut() = request.headers().clone();
        *copy.extensions_mut() = request.extensions().clone();
        Some(copy)
    }

    fn can_retry(&self, _: &Request<B>) -> bool {
        true
    }
}

impl tower::hedge::Policy<reqwest::Request> for HedgeAll {
    fn clone_request(&self, request: &reqwest::Request) -> Option<reqwest::Request> {
        request.try_clone()
    }

    fn can_retry(&self, _: &reqwest::Request) -> bool {
        true
    }
}
