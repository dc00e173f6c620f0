//! The edge: the one layer that turns rejections into responses, so that a stack ends in `Error = Infallible` as axum wants it.
//!
//! Without it axum says `the trait bound Infallible: From<Box<dyn Error + Send + Sync>> is not satisfied`, or `expected ... to be a service that returns ... Infallible`: put [`RespondLayer`] outermost.

use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, HeaderValue, RETRY_AFTER};
use http::{Request, Response, StatusCode, Version};
use http_body::Body;
use pin_project_lite::pin_project;
use seaworthy_kit::{BoxError, Rejection, RejectionKind};
use tower_layer::Layer;
use tower_service::Service;

use crate::grpc::{self, GrpcStatus, TrailersOnly};
use crate::problem::Problem;
use crate::retry_after;

mod body;
pub use body::EdgeBody;

/// What an error that is no rejection becomes by default.
type Otherwise = fn(&BoxError) -> StatusCode;

/// Turns every error of the inner service into a response.
///
/// | rejection | HTTP | gRPC |
/// |---|---|---|
/// | rate limited | 429 | RESOURCE_EXHAUSTED |
/// | circuit open, bulkhead full, queue timeout, shed, draining | 503 | UNAVAILABLE |
/// | timed out, deadline exceeded | 504 | DEADLINE_EXCEEDED |
/// | not a rejection | 500, or what [`otherwise`](Self::otherwise) says | INTERNAL, or that status as gRPC maps it |
///
/// HTTP requests get an RFC 9457 problem document, gRPC requests (by their `content-type`) a trailers-only response.
/// Rejections carry `Retry-After`, or `RetryInfo` in gRPC: rounded up, at least one second, which is also what is said where nobody knows.
/// The response keeps the [`Rejection`] in its extensions: a layer further out still knows a local refusal from an answer of the dependency.
/// The text of an error that is no rejection does not leave the process.
///
/// An error in the middle of a response body cannot become another response.
/// Over HTTP the body fails; over gRPC it ends with trailers that say what happened.
#[derive(Clone, Copy)]
pub struct RespondLayer<F = Otherwise> {
    edge: Edge<F>,
}

/// The service of [`RespondLayer`].
pub struct Respond<S, F = Otherwise> {
    inner: S,
    edge: Edge<F>,
    /// An error of the inner service's readiness, which has no response to become yet.
    broken: Option<BoxError>,
}

#[derive(Clone, Copy)]
struct Edge<F> {
    otherwise: F,
    name_layers: bool,
}

/// What the request says about how its response must look.
#[derive(Clone, Copy)]
struct Caller {
    grpc: bool,
    http1: bool,
}

// ===== impl RespondLayer =====

impl RespondLayer {
    /// Answers what is no rejection with 500.
    #[must_use]
    pub fn new() -> Self {
        Self {
            edge: Edge {
                otherwise: |_| StatusCode::INTERNAL_SERVER_ERROR,
                name_layers: false,
            },
        }
    }
}

impl<F> RespondLayer<F> {
    /// Answers what is no rejection with this status: a proxy says `|_| StatusCode::BAD_GATEWAY`.
    #[must_use]
    pub fn otherwise<G>(self, otherwise: G) -> RespondLayer<G>
    where
        G: Fn(&BoxError) -> StatusCode,
    {
        RespondLayer {
            edge: Edge {
                otherwise,
                name_layers: self.edge.name_layers,
            },
        }
    }

    /// Tells callers the name of the layer that rejected, in the member `layer` of the problem. Default: no, names are for the inside.
    #[must_use]
    pub fn name_layers(mut self, name: bool) -> Self {
        self.edge.name_layers = name;
        self
    }
}

impl Default for RespondLayer {
    fn default() -> Self {
        Self::new()
    }
}

impl<F> fmt::Debug for RespondLayer<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RespondLayer").finish_non_exhaustive()
    }
}

impl<S, F: Clone> Layer<S> for RespondLayer<F> {
    type Service = Respond<S, F>;

    fn layer(&self, inner: S) -> Respond<S, F> {
        Respond {
            inner,
            edge: self.edge.clone(),
            broken: None,
        }
    }
}

// ===== impl Respond =====

impl<S, F, ReqBody, ResBody> Service<Request<ReqBody>> for Respond<S, F>
where
    F: Fn(&BoxError) -> StatusCode + Clone,
    S: Service<Request<ReqBody>, Response = Response<ResBody>>,
    S::Error: Into<BoxError>,
    ResBody: Body<Data = Bytes>,
    ResBody::Error: Into<BoxError>,
{
    type Response = Response<EdgeBody<ResBody>>;
    type Error = Infallible;
    type Future = ResponseFuture<S::Future, F>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.broken = None;
        self.inner.poll_ready(cx).map(|ready| {
            self.broken = ready.err().map(Into::into);
            Ok(())
        })
    }

    fn call(&mut self, request: Request<ReqBody>) -> Self::Future {
        let caller = Caller::of(&request);
        let state = match self.broken.take() {
            None => State::Running {
                future: self.inner.call(request),
            },
            Some(error) => State::Broken { error: Some(error) },
        };
        ResponseFuture {
            state,
            caller,
            edge: self.edge.clone(),
        }
    }
}

/// A clone starts without the error that its original waits to report.
impl<S: Clone, F: Clone> Clone for Respond<S, F> {
    fn clone(&self) -> Self {
        Self {
            inner: self.inner.clone(),
            edge: self.edge.clone(),
            broken: None,
        }
    }
}

impl<S: fmt::Debug, F> fmt::Debug for Respond<S, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Respond")
            .field("inner", &self.inner)
            .finish_non_exhaustive()
    }
}

pin_project! {
    /// The response future of [`Respond`].
    #[must_use = "futures do nothing unless polled"]
    pub struct ResponseFuture<F, O = Otherwise> {
        #[pin]
        state: State<F>,
        caller: Caller,
        edge: Edge<O>,
    }
}

pin_project! {
    #[project = Project]
    enum State<F> {
        Running { #[pin] future: F },
        Broken { error: Option<BoxError> },
    }
}

impl<F, O, B, E> Future for ResponseFuture<F, O>
where
    O: Fn(&BoxError) -> StatusCode,
    F: Future<Output = Result<Response<B>, E>>,
    E: Into<BoxError>,
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    type Output = Result<Response<EdgeBody<B>>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let result = match this.state.project() {
            Project::Running { future } => match future.poll(cx) {
                Poll::Ready(result) => result.map_err(Into::into),
                Poll::Pending => return Poll::Pending,
            },
            Project::Broken { error } => Err(error.take().expect("polled after it was ready")),
        };
        Poll::Ready(Ok(match result {
            Ok(response) => {
                let ends_in_trailers = this.caller.grpc && grpc::is_grpc(response.headers());
                response.map(|body| EdgeBody::inner(body, ends_in_trailers))
            }
            Err(error) => this.edge.respond(&error, *this.caller),
        }))
    }
}

impl<F, O> fmt::Debug for ResponseFuture<F, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}

// ===== impl Edge =====

impl Caller {
    fn of<B>(request: &Request<B>) -> Self {
        Self {
            grpc: grpc::is_grpc(request.headers()),
            http1: request.version() <= Version::HTTP_11,
        }
    }
}

impl<F: Fn(&BoxError) -> StatusCode> Edge<F> {
    /// The response to an error, which itself goes no further.
    fn respond<B>(&self, error: &BoxError, caller: Caller) -> Response<EdgeBody<B>> {
        let Some(rejection) = Rejection::find(&**error) else {
            let status = (self.otherwise)(error);
            return if caller.grpc {
                let status = if status == StatusCode::INTERNAL_SERVER_ERROR {
                    GrpcStatus::Internal
                } else {
                    GrpcStatus::from_http(status)
                };
                TrailersOnly::new(status)
                    .into_response::<Bytes>()
                    .map(EdgeBody::own)
            } else {
                Problem::new(status)
                    .into_response::<Bytes>()
                    .map(EdgeBody::own)
            };
        };
        let mut response = if caller.grpc {
            respond_grpc(rejection)
        } else {
            self.respond_http(rejection, caller)
        };
        response.extensions_mut().insert(rejection.clone());
        response.map(EdgeBody::own)
    }

    fn respond_http(&self, rejection: &Rejection, caller: Caller) -> Response<Bytes> {
        let kind = rejection.kind();
        let mut problem = Problem::new(http_status(kind))
            .kind(problem_type(kind))
            .title(title(kind))
            .extension("kind", kind.as_str());
        if self.name_layers {
            problem = problem.extension("layer", rejection.layer());
        }
        let mut response = problem.into_response::<Bytes>();
        let headers = response.headers_mut();
        headers.insert(RETRY_AFTER, retry_after::encode(wait(rejection)));
        if caller.http1 && kind == RejectionKind::Draining {
            // The next request of this connection belongs to another instance.
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

fn respond_grpc(rejection: &Rejection) -> Response<Bytes> {
    TrailersOnly::new(grpc_status(rejection.kind()))
        .message(title(rejection.kind()))
        .retry_delay(wait(rejection))
        .into_response()
}

/// How long the caller is asked to wait; a second where nobody knows, so that it does not come back at once.
fn wait(rejection: &Rejection) -> Duration {
    let wait = rejection
        .retry_after()
        .unwrap_or(LEAST_WAIT)
        .max(LEAST_WAIT);
    Duration::from_secs(
        wait.as_secs()
            .saturating_add(u64::from(wait.subsec_nanos() > 0)),
    )
}

const LEAST_WAIT: Duration = Duration::from_secs(1);

fn http_status(kind: RejectionKind) -> StatusCode {
    match kind {
        RejectionKind::RateLimited => StatusCode::TOO_MANY_REQUESTS,
        RejectionKind::TimedOut | RejectionKind::DeadlineExceeded => StatusCode::GATEWAY_TIMEOUT,
        _ => StatusCode::SERVICE_UNAVAILABLE,
    }
}

pub(crate) fn grpc_status(kind: RejectionKind) -> GrpcStatus {
    match kind {
        RejectionKind::RateLimited => GrpcStatus::ResourceExhausted,
        RejectionKind::TimedOut | RejectionKind::DeadlineExceeded => GrpcStatus::DeadlineExceeded,
        _ => GrpcStatus::Unavailable,
    }
}

const fn problem_type(kind: RejectionKind) -> &'static str {
    match kind {
        RejectionKind::CircuitOpen => "urn:seaworthy:problem:circuit-open",
        RejectionKind::BulkheadFull => "urn:seaworthy:problem:bulkhead-full",
        RejectionKind::QueueTimeout => "urn:seaworthy:problem:queue-timeout",
        RejectionKind::RateLimited => "urn:seaworthy:problem:rate-limited",
        RejectionKind::DeadlineExceeded => "urn:seaworthy:problem:deadline-exceeded",
        RejectionKind::TimedOut => "urn:seaworthy:problem:timed-out",
        RejectionKind::Shed => "urn:seaworthy:problem:shed",
        RejectionKind::Draining => "urn:seaworthy:problem:draining",
        _ => "urn:seaworthy:problem:rejected",
    }
}

pub(crate) const fn title(kind: RejectionKind) -> &'static str {
    match kind {
        RejectionKind::CircuitOpen => "A service that this one needs is not available.",
        RejectionKind::BulkheadFull | RejectionKind::QueueTimeout | RejectionKind::Shed => {
            "This service has more work than it can take."
        }
        RejectionKind::RateLimited => "Too many requests from this caller.",
        RejectionKind::DeadlineExceeded => "The deadline had passed before the work could begin.",
        RejectionKind::TimedOut => "The work took too long.",
        RejectionKind::Draining => "This instance is shutting down.",
        _ => "The call was rejected.",
    }
}

#[cfg(test)]
mod tests;
