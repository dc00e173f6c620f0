//! The response: of the inner service, or of the registry.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http::header::{CONNECTION, HeaderValue};
use http::{Response, StatusCode};
use pin_project_lite::pin_project;
use seaworthy_kit::Held;
use tower_service::Service;

use super::body::{Content, HealthBody};
use crate::health::Health;

type Answer<O> = Pin<Box<dyn Future<Output = Response<O>> + Send>>;

pin_project! {
    /// The response of a service with a layer of health around it.
    #[must_use = "futures do nothing unless polled"]
    pub struct ResponseFuture<S, Req, O = Content>
    where
        S: Service<Req>,
    {
        #[pin]
        state: State<S, S::Future, Req, O>,
        // Where the connection is not to be used again once the registry drains: that registry.
        closes: Option<Held<Health>>,
    }
}

pin_project! {
    #[project = Project]
    enum State<S, F, Req, O> {
        Waiting { inner: S, request: Option<Req> },
        Calling { #[pin] future: F },
        Answering { answer: Answer<O> },
    }
}

impl<S: Service<Req>, Req, O> ResponseFuture<S, Req, O> {
    /// Waits until the inner service is ready, and calls it.
    ///
    /// Its answer closes the connection if that registry drains by then.
    pub(crate) const fn calling(inner: S, request: Req, closes: Option<Held<Health>>) -> Self {
        let request = Some(request);
        Self {
            state: State::Waiting { inner, request },
            closes,
        }
    }

    pub(crate) fn answering(answer: impl Future<Output = Response<O>> + Send + 'static) -> Self {
        let answer = Box::pin(answer);
        Self {
            state: State::Answering { answer },
            closes: None,
        }
    }
}

impl<S, Req, B, O> Future for ResponseFuture<S, Req, O>
where
    S: Service<Req, Response = Response<B>>,
{
    type Output = Result<Response<HealthBody<B, O>>, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            match this.state.as_mut().project() {
                Project::Waiting { inner, request } => {
                    ready!(inner.poll_ready(cx))?;
                    let request = request.take().expect("polled after it was ready");
                    let future = inner.call(request);
                    this.state.set(State::Calling { future });
                }
                Project::Calling { future } => {
                    let mut response = ready!(future.poll(cx))?;
                    if let Some(health) = this.closes {
                        close_if_draining(health, &mut response);
                    }
                    return Poll::Ready(Ok(response.map(HealthBody::inner)));
                }
                Project::Answering { answer } => {
                    let response = ready!(answer.as_mut().poll(cx));
                    return Poll::Ready(Ok(response.map(HealthBody::own)));
                }
            }
        }
    }
}

/// A client that came back on this connection would come when nobody is there any more.
///
/// Asked when there is an answer: the call may have begun long before the drain.
pub(super) fn close_if_draining<B>(health: &Health, response: &mut Response<B>) {
    // What another protocol takes over is none of HTTP's connections any more.
    if health.is_draining() && response.status() != StatusCode::SWITCHING_PROTOCOLS {
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(CONNECTION, close);
    }
}

impl<S: Service<Req>, Req, O> fmt::Debug for ResponseFuture<S, Req, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
