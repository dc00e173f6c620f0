//! The service of the fallback layer: call, look at the end, give something in its place.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;
use seaworthy_kit::{BoxError, Held, Share};
use tower_service::Service;

use super::{Answers, ByTraffic, Give, Names, State, Substituted, Word};
use crate::degradations::{is_inside, note};
use crate::{Cause, telemetry};

/// An inner service in place of whose answers something is given. See [`FallbackLayer`](super::FallbackLayer).
pub struct Fallback<S, T, G, N = ByTraffic> {
    inner: S,
    answers: T,
    share: Share<State<G, N>>,
    /// An error of the inner service's readiness, which the next call is answered in place of.
    broken: Option<BoxError>,
}

impl<S, T, G, N> Fallback<S, T, G, N> {
    pub(super) const fn new(inner: S, answers: T, share: Share<State<G, N>>) -> Self {
        Self {
            inner,
            answers,
            share,
            broken: None,
        }
    }

    /// The inner service.
    pub const fn get_ref(&self) -> &S {
        &self.inner
    }

    /// The inner service.
    pub const fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// The inner service, without what is given in its place.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S, T, G, N, Req> Service<Req> for Fallback<S, T, G, N>
where
    S: Service<Req>,
    S::Error: Into<BoxError>,
    G: Give<Req>,
    T: Answers<S::Response, G::Response>,
    N: Names<T::Head>,
{
    type Response = T::Response;
    type Error = BoxError;
    type Future = ResponseFuture<S::Future, S::Response, Req, T, G, N>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.broken = None;
        let Err(error) = ready!(self.inner.poll_ready(cx)) else {
            return Poll::Ready(Ok(()));
        };
        let error = error.into();
        if self.share.rules.cause_of_error(&error).is_none() {
            return Poll::Ready(Err(error));
        }
        self.broken = Some(error);
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Req) -> Self::Future {
        let held = self.share.hold();
        let kept = held.give.keep(&request);
        let state = match self.broken.take() {
            None => Stage::Running {
                future: self.inner.call(request),
            },
            Some(error) => Stage::Broken { error: Some(error) },
        };
        ResponseFuture {
            stage: state,
            kept,
            answers: self.answers.clone(),
            held,
        }
    }
}

/// A clone starts without the error that its original waits to answer in place of.
impl<S: Clone, T: Clone, G, N> Clone for Fallback<S, T, G, N> {
    fn clone(&self) -> Self {
        Self::new(self.inner.clone(), self.answers.clone(), self.share.clone())
    }
}

impl<S: fmt::Debug, T, G, N> fmt::Debug for Fallback<S, T, G, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fallback")
            .field("layer", &self.share.name)
            .field("inner", &self.inner)
            .finish_non_exhaustive()
    }
}

pin_project! {
    /// The response of a call in place of whose answer something may be given.
    #[must_use = "futures do nothing unless polled"]
    pub struct ResponseFuture<F, Res, Req, T, G: Give<Req>, N> {
        #[pin]
        stage: Stage<F, G::Future, Res>,
        // `None` where nothing is to be given, or is being given.
        kept: Option<G::Kept>,
        answers: T,
        held: Held<State<G, N>>,
    }
}

pin_project! {
    #[project = Project]
    enum Stage<F, G, Res> {
        Running {
            #[pin]
            future: F,
        },
        Broken {
            error: Option<BoxError>,
        },
        Giving {
            #[pin]
            future: G,
            cause: Cause,
            // What the caller gets if this fails as well.
            first: Option<Result<Res, BoxError>>,
        },
    }
}

impl<F, Res, E, Req, T, G, N> Future for ResponseFuture<F, Res, Req, T, G, N>
where
    F: Future<Output = Result<Res, E>>,
    E: Into<BoxError>,
    G: Give<Req>,
    T: Answers<Res, G::Response>,
    N: Names<T::Head>,
{
    type Output = Result<T::Response, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            let result = match this.stage.as_mut().project() {
                Project::Running { future } => ready!(future.poll(cx)).map_err(Into::into),
                Project::Broken { error } => Err(error.take().expect("polled after it was ready")),
                Project::Giving {
                    future,
                    cause,
                    first,
                } => {
                    let given = ready!(future.poll(cx));
                    let first = first.take().expect("polled after it was ready");
                    return Poll::Ready(match given {
                        Ok(given) => Ok(this.held.mark::<T, Res, _>(this.answers, given, *cause)),
                        Err(_) => first.map(|response| this.answers.pass(response)),
                    });
                }
            };
            let (result, cause) = match result {
                Ok(response) => {
                    let held = &*this.held;
                    let look = |head: &T::Head| held.rules.cause_of(head, this.answers.see(head));
                    let (response, cause) = this.answers.look(response, look);
                    (Ok(response), cause)
                }
                Err(error) => {
                    let cause = this.held.rules.cause_of_error(&error);
                    (Err(error), cause)
                }
            };
            let give = cause.and_then(|cause| Some((this.kept.take()?, cause)));
            let Some((kept, cause)) = give else {
                return Poll::Ready(result.map(|response| this.answers.pass(response)));
            };
            let future = this.held.give.give(kept, cause);
            this.stage.set(Stage::Giving {
                future,
                cause,
                first: Some(result),
            });
        }
    }
}

impl<G, N> State<G, N> {
    /// Says what was done, and marks it.
    #[cold]
    fn mark<T, Res, Given>(&self, answers: &T, given: Given, cause: Cause) -> T::Response
    where
        T: Answers<Res, Given>,
        G: Word,
    {
        let mark = Substituted {
            layer: self.name.as_str(),
            cause,
            substitute: G::WORD,
            age: None,
        };
        telemetry::degraded(&self.telemetry, cause, mark.substitute);
        note(mark.layer, cause, mark.substitute);
        answers.give(given, mark, !is_inside())
    }
}
