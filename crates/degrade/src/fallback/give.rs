//! What is given in place of an answer: a value, a function of the request, another service.

use std::fmt;
use std::future::{Future, Ready, ready};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use pin_project_lite::pin_project;
use seaworthy_kit::BoxError;
use tower_service::Service;

use super::Word;
use crate::Cause;
use crate::feature::timer::Timer;

/// What is given in place of an answer to a request.
pub trait Give<Req>: Word {
    /// What is kept of the request.
    type Kept;

    /// What is given.
    type Response;

    /// Gives it.
    type Future: Future<Output = Result<Self::Response, BoxError>>;

    /// Keeps of the request what is needed; `None` if nothing is to be given in place of its answer.
    fn keep(&self, request: &Req) -> Option<Self::Kept>;

    /// Gives it.
    fn give(&self, kept: Self::Kept, cause: Cause) -> Self::Future;
}

/// A value, cloned.
#[derive(Clone, Copy, Debug)]
pub struct Given<R>(R);

/// A function of the request and the cause.
#[derive(Clone, Copy)]
pub struct FromRequest<K, A> {
    keep: K,
    answer: A,
}

/// Another service.
#[derive(Clone, Copy)]
pub struct Other<S, K> {
    service: S,
    keep: K,
    limit: Option<Duration>,
}

// ===== impl Given =====

impl<R> Given<R> {
    pub(super) const fn new(value: R) -> Self {
        Self(value)
    }
}

impl<R> Word for Given<R> {
    const WORD: &'static str = "value";
}

impl<R: Clone, Req> Give<Req> for Given<R> {
    type Kept = ();
    type Response = R;
    type Future = Ready<Result<R, BoxError>>;

    fn keep(&self, _: &Req) -> Option<()> {
        Some(())
    }

    fn give(&self, (): (), _: Cause) -> Self::Future {
        ready(Ok(self.0.clone()))
    }
}

// ===== impl FromRequest =====

impl<K, A> FromRequest<K, A> {
    pub(super) const fn new(keep: K, answer: A) -> Self {
        Self { keep, answer }
    }
}

impl<K, A> Word for FromRequest<K, A> {
    const WORD: &'static str = "function";
}

impl<K, A, Req, T, R> Give<Req> for FromRequest<K, A>
where
    K: Fn(&Req) -> Option<T>,
    A: Fn(T, Cause) -> R,
{
    type Kept = T;
    type Response = R;
    type Future = Ready<Result<R, BoxError>>;

    fn keep(&self, request: &Req) -> Option<T> {
        (self.keep)(request)
    }

    fn give(&self, kept: T, cause: Cause) -> Self::Future {
        ready(Ok((self.answer)(kept, cause)))
    }
}

impl<K, A> fmt::Debug for FromRequest<K, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FromRequest")
    }
}

// ===== impl Other =====

impl<S, K> Other<S, K> {
    pub(super) const fn new(service: S, keep: K) -> Self {
        Self {
            service,
            keep,
            limit: None,
        }
    }

    pub(super) const fn set_limit(&mut self, limit: Duration) {
        self.limit = Some(limit);
    }
}

impl<S, K> Word for Other<S, K> {
    const WORD: &'static str = "service";
}

impl<S, K, Req, Req2> Give<Req> for Other<S, K>
where
    S: Service<Req2> + Clone,
    S::Error: Into<BoxError>,
    K: Fn(&Req) -> Option<Req2>,
{
    type Kept = Req2;
    type Response = S::Response;
    type Future = Asked<S, Req2>;

    fn keep(&self, request: &Req) -> Option<Req2> {
        (self.keep)(request)
    }

    fn give(&self, kept: Req2, _: Cause) -> Asked<S, Req2> {
        Asked {
            call: Some((self.service.clone(), kept)),
            future: None,
            timer: Timer::new(),
            limit: self.limit,
        }
    }
}

impl<S, K> fmt::Debug for Other<S, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Other")
    }
}

pin_project! {
    /// Waits until the other service is ready, and asks it; for its time.
    #[must_use = "futures do nothing unless polled"]
    pub struct Asked<S: Service<Req>, Req> {
        call: Option<(S, Req)>,
        #[pin]
        future: Option<S::Future>,
        #[pin]
        timer: Timer,
        limit: Option<Duration>,
    }
}

impl<S, Req> Future for Asked<S, Req>
where
    S: Service<Req>,
    S::Error: Into<BoxError>,
{
    type Output = Result<S::Response, BoxError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if let Poll::Ready(result) = self.as_mut().poll_answer(cx) {
            return Poll::Ready(result);
        }
        let this = self.project();
        let limit = *this.limit;
        ready!(this.timer.poll(cx, || limit));
        Poll::Ready(Err("what is given took too long".into()))
    }
}

impl<S, Req> Asked<S, Req>
where
    S: Service<Req>,
    S::Error: Into<BoxError>,
{
    fn poll_answer(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<S::Response, BoxError>> {
        let mut this = self.project();
        if let Some((service, _)) = this.call.as_mut() {
            if let Err(error) = ready!(service.poll_ready(cx)) {
                return Poll::Ready(Err(error.into()));
            }
            if let Some((mut service, request)) = this.call.take() {
                this.future.set(Some(service.call(request)));
            }
        }
        let future = this.future.as_pin_mut();
        let future = future.expect("called once it was ready");
        future.poll(cx).map_err(Into::into)
    }
}

impl<S: Service<Req>, Req> fmt::Debug for Asked<S, Req> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Asked")
            .field("called", &self.future.is_some())
            .finish_non_exhaustive()
    }
}
