//! The response of a call in a class, and what keeps the class around its body.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http::Response;
use http_body::Body;
use pin_project_lite::pin_project;
use seaworthy_kit::criticality::{self, Criticality, Scoped};
use seaworthy_kit::{Settle, Traffic, Verdict};

use crate::Http;
use crate::body::GuardedBody;
use crate::classify::DefaultClassifier;

pin_project! {
    /// The response of a call in a class.
    #[must_use = "futures do nothing unless polled"]
    pub struct ResponseFuture<F> {
        class: Criticality,
        #[pin]
        future: Scoped<F>,
    }
}

/// Keeps a response body in the class of its request.
#[derive(Clone, Copy, Debug)]
pub struct InClass(Criticality);

impl<F: Future> ResponseFuture<F> {
    pub(super) fn new(class: Criticality, future: F) -> Self {
        Self {
            class,
            future: criticality::scope(class, future),
        }
    }
}

impl<F, B, E> Future for ResponseFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
    B: Body,
{
    type Output = Result<Response<GuardedBody<B, InClass, DefaultClassifier>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let response = ready!(this.future.poll(cx));
        Poll::Ready(response.map(|response| Http::new().finish(response, InClass(*this.class))))
    }
}

impl Settle for InClass {
    /// Nobody counts here.
    fn settle(self, _: Verdict) {}

    #[inline]
    fn around<R>(&mut self, poll: impl FnOnce() -> R) -> R {
        criticality::sync_scope(self.0, poll)
    }
}

impl<F> fmt::Debug for ResponseFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture")
            .field("class", &self.class)
            .finish_non_exhaustive()
    }
}
