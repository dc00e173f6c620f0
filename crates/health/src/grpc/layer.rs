//! `grpc.health.v1` in front of any HTTP service, or as one of its own.

use std::future::ready;
use std::task::{Context, Poll};

use http::{Request, Response};
use http_body::Body;
use seaworthy_http::grpc::is_grpc;
use tower_layer::Layer;
use tower_service::Service;

use super::answer::{Method, answer, no_grpc};
use super::body::Messages;
use super::watch::Watches;
use crate::health::Health;
use crate::http::{HealthBody, NotFound, ResponseFuture};

/// Answers `grpc.health.v1.Health` in front of any HTTP service: tonic's server, or an axum router with gRPC in it.
///
/// ```
/// use seaworthy_health::{GrpcHealthLayer, Health};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let health = Health::builder("payments").build()?;
/// // `tonic::transport::Server::builder().layer(layer).add_service(..)`
/// let layer = GrpcHealthLayer::new(&health).max_watches(100);
/// # let _ = layer;
/// # Ok(())
/// # }
/// ```
/// Outside of all other layers: a probe is not to be refused by a limit.
///
/// `Check` of a service that is no group of the registry is NOT_FOUND; `Watch` of one says SERVICE_UNKNOWN, and goes on: it may come.
/// `Watch` says at once what a service is, and each change once; a reader that is too slow for two of them hears the last.
/// It ends with UNAVAILABLE when the process does, which is [`Health::close`].
/// Requests must not be compressed: what is asked is a name.
/// What is no gRPC on these paths is 415, also gRPC-Web: a layer that translates it has to stand outside.
#[derive(Clone, Debug)]
pub struct GrpcHealthLayer {
    pub(super) health: Health,
    pub(super) watches: Watches,
    pub(super) max_watches: usize,
}

/// A service that answers `grpc.health.v1.Health`, and leaves all else to the inner one. See [`GrpcHealthLayer`].
#[derive(Clone, Debug)]
pub struct GrpcHealthService<S> {
    inner: S,
    layer: GrpcHealthLayer,
}

/// `grpc.health.v1.Health` alone, for a route or a listener of its own.
pub type GrpcHealth = GrpcHealthService<NotFound>;

/// What the paths of all methods begin with.
const PREFIX: &str = "/grpc.health.v1.Health/";

/// What says how messages are compressed.
const GRPC_ENCODING: &str = "grpc-encoding";

/// More are one client that does not close its streams.
const MAX_WATCHES: usize = 1_000;

// ===== impl GrpcHealthLayer =====

impl GrpcHealthLayer {
    /// A layer that tells what this registry says.
    #[must_use]
    pub fn new(health: &Health) -> Self {
        Self {
            health: health.clone(),
            watches: Watches::default(),
            max_watches: MAX_WATCHES,
        }
    }

    /// How many streams of `Watch` there may be at a time; beyond, RESOURCE_EXHAUSTED. Default: 1,000.
    #[must_use]
    pub const fn max_watches(mut self, max: usize) -> Self {
        self.max_watches = max;
        self
    }

    /// The service alone.
    #[must_use]
    pub fn service(&self) -> GrpcHealth {
        self.layer(NotFound)
    }
}

impl<S> Layer<S> for GrpcHealthLayer {
    type Service = GrpcHealthService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        GrpcHealthService {
            inner,
            layer: self.clone(),
        }
    }
}

// ===== impl GrpcHealthService =====

impl<S> GrpcHealthService<S> {
    /// The inner service.
    pub const fn get_ref(&self) -> &S {
        &self.inner
    }

    /// The inner service.
    pub const fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// The inner service, without health.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S, B, B2> Service<Request<B>> for GrpcHealthService<S>
where
    S: Service<Request<B>, Response = Response<B2>> + Clone,
    B: Body<Data: Send> + Send + 'static,
{
    type Response = Response<HealthBody<B2, Messages>>;
    type Error = S::Error;
    type Future = ResponseFuture<S, Request<B>, Messages>;

    /// Always ready: an inner service that is too busy for a call is not too busy to be told of.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let Some(method) = method(request.uri().path()) else {
            return ResponseFuture::calling(self.inner.clone(), request, None);
        };
        if !is_grpc(request.headers()) {
            return ResponseFuture::answering(ready(no_grpc()));
        }
        let layer = self.layer.clone();
        let (parts, body) = request.into_parts();
        let encoded = parts.headers.contains_key(GRPC_ENCODING);
        ResponseFuture::answering(answer(layer, method, body, encoded))
    }
}

/// The method of a path of the service.
fn method(path: &str) -> Option<Method> {
    let name = path.strip_prefix(PREFIX)?;
    Some(match name {
        "Check" => Method::Check,
        "List" => Method::List,
        "Watch" => Method::Watch,
        _ => Method::Unknown,
    })
}
