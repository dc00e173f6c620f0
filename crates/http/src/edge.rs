//! The edge: the one layer that turns rejections into responses, so that a stack ends in `Error = Infallible` as axum wants it.
//!
//! Without it axum says `the trait bound Infallible: From<Box<dyn Error + Send + Sync>> is not satisfied`, or `expected ... to be a service that returns ... Infallible`: put [`RespondLayer`] outermost.

use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, Version};
use http_body::Body;
use pin_project_lite::pin_project;
use seaworthy_kit::BoxError;
use tower_layer::Layer;
use tower_service::Service;

use crate::grpc;

mod answer;

mod body;
pub use body::EdgeBody;

mod otherwise;
pub use otherwise::{FixedStatus, Otherwise};

mod kinds;

mod tell;

/// Turns every error of the inner service into a response.
///
/// | rejection | HTTP | gRPC |
/// |---|---|---|
/// | rate limited | 429 | RESOURCE_EXHAUSTED |
/// | circuit open, bulkhead full, queue timeout, shed, draining, store unavailable | 503 | UNAVAILABLE |
/// | key reused | 422 | FAILED_PRECONDITION |
/// | in progress | 409 | ABORTED |
/// | outcome unknown | 409 | FAILED_PRECONDITION |
/// | cost too high | 400 | INVALID_ARGUMENT |
/// | timed out, deadline exceeded | 504 | DEADLINE_EXCEEDED |
/// | not a rejection | 500, or what [`otherwise`](Self::otherwise) says | INTERNAL, or that status as gRPC maps it |
///
/// HTTP requests get an RFC 9457 problem document (HEAD only its length), gRPC requests (by their `content-type`) a trailers-only response.
/// Rejections carry `Retry-After`, or `RetryInfo` in gRPC: rounded up, at least one second, which is also what is said where nobody knows; those that will be the same later (key reused, outcome unknown, cost too high) carry none.
/// What is not to be tried again (an [`Exhausted`](seaworthy_kit::Exhausted), an error tagged [`DoNotRetry`](seaworthy_kit::Tag::DoNotRetry)) carries [`Attempts`](seaworthy_kit::Attempts) in its extensions, and over gRPC a pushback of -1.
/// An answer, or an error, that a rate limit left its quotas with gets the fields `RateLimit-Policy` and `RateLimit`, in place of any that are there; and on 429 the problem names the policies that were violated.
/// The response keeps the [`Rejection`](seaworthy_kit::Rejection) in its extensions, and the [`Quotas`](seaworthy_kit::quota::Quotas) that came with it: a layer further out still knows a local refusal from an answer of the dependency.
/// The text of an error that is no rejection does not leave the process, unless [`tell_errors`](Self::tell_errors) says so.
///
/// An error in the middle of a response body cannot become another response.
/// Over HTTP the body fails; over gRPC it ends with trailers that say what happened.
#[derive(Clone, Copy)]
pub struct RespondLayer<F = FixedStatus> {
    edge: Edge<F>,
}

/// The service of [`RespondLayer`].
pub struct Respond<S, F = FixedStatus> {
    inner: S,
    edge: Edge<F>,
    /// An error of the inner service's readiness, which has no response to become yet.
    broken: Option<BoxError>,
}

#[derive(Clone, Copy)]
struct Edge<F> {
    otherwise: F,
    name_layers: bool,
    tell_errors: bool,
    x_rate_limit: bool,
    late: f64,
}

/// What the request says about how its response must look.
#[derive(Clone, Copy)]
struct Caller {
    grpc: bool,
    head: bool,
    http1: bool,
}

/// Enough to tell those apart who were told of one moment, and little beside what they wait.
const LATE: f64 = 0.1;

// ===== impl RespondLayer =====

impl RespondLayer {
    /// Answers what is no rejection with 500.
    #[must_use]
    pub fn new() -> Self {
        Self {
            edge: Edge {
                otherwise: FixedStatus(StatusCode::INTERNAL_SERVER_ERROR),
                name_layers: false,
                tell_errors: false,
                x_rate_limit: false,
                late: LATE,
            },
        }
    }

    /// For the inside of a client, as under a tonic one: what is no rejection is 502 or UNAVAILABLE, since the server gave no answer, and the caller, which is this process, is told what the errors say.
    #[must_use]
    pub fn in_client() -> Self {
        let mut layer = Self::new().tell_errors(true);
        layer.edge.otherwise = FixedStatus(StatusCode::BAD_GATEWAY);
        layer
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
                tell_errors: self.edge.tell_errors,
                x_rate_limit: self.edge.x_rate_limit,
                late: self.edge.late,
            },
        }
    }

    /// Tells callers the name of the layer that rejected, in the member `layer` of the problem. Default: no, names are for the inside.
    #[must_use]
    pub fn name_layers(mut self, name: bool) -> Self {
        self.edge.name_layers = name;
        self
    }

    /// Tells callers what the errors say, and what their causes do: in the `detail` of the problem, or as the message of the gRPC status. Default: no, such text is for the inside.
    #[must_use]
    pub fn tell_errors(mut self, tell: bool) -> Self {
        self.edge.tell_errors = tell;
        self
    }

    /// Writes `X-RateLimit-*` as well, for clients that know no other fields; see [`rate_limit::write_x`](crate::rate_limit::write_x). Default: no, the fields have as many meanings as servers.
    #[must_use]
    pub fn x_rate_limit(mut self, write: bool) -> Self {
        self.edge.x_rate_limit = write;
        self
    }

    /// Tells callers to come back up to this share of their wait later, by a draw for each: `Retry-After`, and `t` of a quota that is used up. Default: 0.1; 0 for tests, 1 at the most.
    ///
    /// Or else all who were told of one moment come back in one.
    /// In whole seconds, which is all that the fields can say: waits below ten seconds stay what they are by default, rounded up.
    /// A layer of this process that reads the [`Rejection`](seaworthy_kit::Rejection) in the extensions sees the exact time.
    #[must_use]
    pub const fn jitter(mut self, share: f64) -> Self {
        self.edge.late = if share > 0.0 { share.min(1.0) } else { 0.0 };
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
    F: Otherwise + Clone,
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
    pub struct ResponseFuture<F, O = FixedStatus> {
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
    O: Otherwise,
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
            Ok(mut response) => {
                this.edge.write_quotas(&mut response);
                let ends_in_trailers = this.caller.grpc && grpc::is_grpc(response.headers());
                let tells = this.edge.tell_errors;
                response.map(|body| EdgeBody::inner(body, ends_in_trailers, tells))
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

// ===== impl Caller =====

impl Caller {
    fn of<B>(request: &Request<B>) -> Self {
        Self {
            grpc: grpc::is_grpc(request.headers()),
            head: request.method() == Method::HEAD,
            http1: request.version() <= Version::HTTP_11,
        }
    }
}

#[cfg(test)]
mod tests;
