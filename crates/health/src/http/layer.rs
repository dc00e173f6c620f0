//! The layer, its service, and what stands behind it where nothing else does.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{Request, Response, StatusCode, Version};
use seaworthy_kit::Share;
use tower_layer::Layer;
use tower_service::Service;

use super::answer::answer;
use super::body::{Content, HealthBody};
use super::builder::{Builder, Options};
use super::future::{ResponseFuture, close_if_draining};
use crate::health::Health;

/// Answers the paths of health in front of any HTTP service. See the crate docs.
#[derive(Clone, Debug)]
pub struct HealthLayer {
    health: Share<Health>,
    options: Arc<Options>,
}

/// A service that answers the paths of health, and leaves all others to the inner one. See the crate docs.
#[derive(Clone, Debug)]
pub struct HealthService<S> {
    inner: S,
    layer: HealthLayer,
}

/// What stands behind the paths of health where nothing else does: 404.
#[derive(Clone, Copy, Default, Debug)]
#[non_exhaustive]
pub struct NotFound;

// ===== impl HealthLayer =====

impl HealthLayer {
    /// Begins a layer that tells what this registry says.
    pub fn http(health: &Health) -> Builder {
        Builder::new(health.clone())
    }

    pub(super) fn new(health: Health, options: Options) -> Self {
        Self {
            health: Share::new(health),
            options: Arc::new(options),
        }
    }

    /// The paths of health alone, as a service: for a listener of their own.
    #[must_use]
    pub fn service(&self) -> HealthService<NotFound> {
        self.layer(NotFound)
    }

    /// The registry.
    #[must_use]
    pub fn health(&self) -> &Health {
        &self.health
    }

    #[cfg(feature = "axum")]
    pub(super) fn options(&self) -> &Options {
        &self.options
    }
}

impl<S> Layer<S> for HealthLayer {
    type Service = HealthService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        HealthService {
            inner,
            layer: self.clone(),
        }
    }
}

// ===== impl HealthService =====

impl<S> HealthService<S> {
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

impl<S, B, B2> Service<Request<B>> for HealthService<S>
where
    S: Service<Request<B>, Response = Response<B2>> + Clone,
{
    type Response = Response<HealthBody<B2>>;
    type Error = S::Error;
    type Future = ResponseFuture<S, Request<B>>;

    /// Always ready: an inner service that is too busy for a call is not too busy to be told of.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let options = &self.layer.options;
        let Some(asked) = options.asked(request.uri().path()) else {
            // HTTP/2 has GOAWAY for the end of its connections.
            let closes = options.closes && is_http1(request.version());
            let closes = closes.then(|| self.layer.health.hold());
            // The clone: the original has not been polled either, and keeps what a long-lived service has of its own.
            return ResponseFuture::calling(self.inner.clone(), request, closes);
        };
        let health = self.layer.health.hold();
        let options = options.clone();
        let closes = options.closes && is_http1(request.version());
        let (parts, _) = request.into_parts();
        ResponseFuture::answering(async move {
            let mut response = answer(&health, &options, asked, &parts).await;
            if closes {
                close_if_draining(&health, &mut response);
            }
            response
        })
    }
}

/// Whether a connection has to be told with a header that it ends.
fn is_http1(version: Version) -> bool {
    version <= Version::HTTP_11
}

// ===== impl NotFound =====

impl<B> Service<Request<B>> for NotFound {
    type Response = Response<Content>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<B>) -> Self::Future {
        let mut response = Response::new(Content::default());
        *response.status_mut() = StatusCode::NOT_FOUND;
        ready(Ok(response))
    }
}
