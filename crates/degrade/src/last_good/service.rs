//! The service: call, keep what is good, give what was kept in place of what is not.

use std::fmt;
use std::future::Future;
use std::hash::Hash;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;
use seaworthy_kit::{BoxError, Held, Share};
use tower_service::Service;

use super::{Keeps, LAST_GOOD, State};
use crate::degradations::{is_inside, note};
use crate::fallback::{ByTraffic, Names, Substituted};
use crate::watch::Watch;
use crate::{Cause, telemetry};

/// An inner service whose last good answers are kept. See [`LastGoodLayer`](super::LastGoodLayer).
pub struct Answered<S, T, F, K, V, N = ByTraffic> {
    inner: S,
    traffic: T,
    share: Share<State<F, K, V, N>>,
}

impl<S, T, F, K, V, N> Answered<S, T, F, K, V, N> {
    pub(super) const fn new(inner: S, traffic: T, share: Share<State<F, K, V, N>>) -> Self {
        Self {
            inner,
            traffic,
            share,
        }
    }
}

impl<S, T, F, K, V, N, Req> Service<Req> for Answered<S, T, F, K, V, N>
where
    S: Service<Req>,
    S::Error: Into<BoxError>,
    F: Fn(&Req) -> Option<K>,
    K: Hash + Eq,
    T: Keeps<S::Response, Kept = V>,
    V: Clone,
    N: Names<T::Head>,
{
    type Response = T::Response;
    type Error = BoxError;
    type Future = ResponseFuture<S::Future, T::Reading, T, F, K, V, N>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, request: Req) -> Self::Future {
        let held = self.share.hold();
        let key = (held.key)(&request);
        let mut watch = Watch::new();
        ResponseFuture {
            stage: Stage::Running {
                future: watch.over(|| self.inner.call(request)),
            },
            key,
            watch,
            traffic: self.traffic.clone(),
            held,
        }
    }
}

impl<S: Clone, T: Clone, F, K, V, N> Clone for Answered<S, T, F, K, V, N> {
    fn clone(&self) -> Self {
        Self::new(self.inner.clone(), self.traffic.clone(), self.share.clone())
    }
}

impl<S: fmt::Debug, T, F, K, V, N> fmt::Debug for Answered<S, T, F, K, V, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answered")
            .field("layer", &self.share.name)
            .field("inner", &self.inner)
            .finish_non_exhaustive()
    }
}

pin_project! {
    /// The response of a call whose answer is kept, or given again.
    #[must_use = "futures do nothing unless polled"]
    pub struct ResponseFuture<U, R, T, F, K, V, N> {
        #[pin]
        stage: Stage<U, R>,
        // `None` where nothing is kept under any key.
        key: Option<K>,
        watch: Watch,
        traffic: T,
        held: Held<State<F, K, V, N>>,
    }
}

pin_project! {
    #[project = Project]
    enum Stage<U, R> {
        Running {
            #[pin]
            future: U,
        },
        Reading {
            #[pin]
            future: R,
        },
    }
}

impl<U, Res, E, T, F, K, V, N> Future for ResponseFuture<U, T::Reading, T, F, K, V, N>
where
    U: Future<Output = Result<Res, E>>,
    E: Into<BoxError>,
    K: Hash + Eq,
    T: Keeps<Res, Kept = V>,
    V: Clone,
    N: Names<T::Head>,
{
    type Output = Result<T::Response, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            let (failed, cause) = match this.stage.as_mut().project() {
                Project::Reading { future } => match ready!(this.watch.over(|| future.poll(cx))) {
                    Ok((response, kept)) => {
                        let kept = kept.filter(|_| !this.watch.is_less());
                        if let (Some(key), Some(kept)) = (this.key.take(), kept) {
                            this.held.store.put(key, kept, this.held.clock.now());
                        }
                        return Poll::Ready(Ok(response));
                    }
                    Err(error) => {
                        let cause = this.held.rules.cause_of_error(&error);
                        (Err(error), cause)
                    }
                },
                Project::Running { future } => match ready!(this.watch.over(|| future.poll(cx))) {
                    Ok(response) => {
                        let (held, traffic) = (&*this.held, &*this.traffic);
                        let look = |head: &T::Head| {
                            let cause = held.rules.cause_of(head, traffic.see(head));
                            (cause, traffic.may_keep(head) && !this.watch.is_less())
                        };
                        let (response, (cause, may_keep)) = traffic.look(response, look);
                        if cause.is_none() {
                            let now = || held.clock.now();
                            let is_due = |key: &K| !held.store.is_young(key, now());
                            if may_keep && this.key.as_ref().is_some_and(is_due) {
                                let future = traffic.read(response, held.max_body);
                                this.stage.set(Stage::Reading { future });
                                continue;
                            }
                            return Poll::Ready(Ok(traffic.pass(response)));
                        }
                        (Ok(response), cause)
                    }
                    Err(error) => {
                        let error = error.into();
                        let cause = this.held.rules.cause_of_error(&error);
                        (Err(error), cause)
                    }
                },
            };
            let given = cause.zip(this.key.as_ref());
            let given =
                given.and_then(|(cause, key)| this.held.give_kept(&*this.traffic, key, cause));
            return Poll::Ready(match given {
                Some(response) => Ok(response),
                None => failed.map(|response| this.traffic.pass(response)),
            });
        }
    }
}

impl<F, K: Hash + Eq, V: Clone, N> State<F, K, V, N> {
    /// Gives what was kept under the key, and says so.
    #[cold]
    fn give_kept<T, Res>(&self, traffic: &T, key: &K, cause: Cause) -> Option<T::Response>
    where
        T: Keeps<Res, Kept = V>,
    {
        let (kept, age) = self.store.get(key, self.clock.now())?;
        let mark = Substituted {
            layer: self.name.as_str(),
            cause,
            substitute: LAST_GOOD,
            age: Some(age),
        };
        telemetry::degraded(&self.telemetry, cause, LAST_GOOD);
        note(mark.layer, cause, LAST_GOOD);
        Some(traffic.again(kept, age, mark, !is_inside()))
    }
}

impl<U, R, T, F, K, V, N> fmt::Debug for ResponseFuture<U, R, T, F, K, V, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
