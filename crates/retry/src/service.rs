//! The service: decides before the first attempt whether there may be others, and takes along what they need.

use std::fmt;
use std::task::{Context, Poll};

use seaworthy_kit::budget::Counter;
use seaworthy_kit::gate::Refusal;
use seaworthy_kit::{
    Ask, Attempt, BoxError, Gate, Guard, Judge, RejectionKind, Replay, Rules, Share, Traffic,
};
use tower_service::Service;

use crate::call::{Parts, Reach, Repeat};
use crate::gate::{Progress, RetryGate};
use crate::response::ResponseFuture;

/// An inner service whose failed calls are tried again. See the crate docs.
pub struct Retry<S, T, A, P = Rules> {
    inner: S,
    traffic: T,
    replay: A,
    rules: P,
    share: Share<RetryGate>,
    counter: Option<Counter>,
    /// The next `call` is refused, because the inner service was not polled for it.
    draining: bool,
}

impl<S, T, A, P> Retry<S, T, A, P> {
    pub(crate) const fn new(
        inner: S,
        traffic: T,
        replay: A,
        rules: P,
        share: Share<RetryGate>,
        counter: Option<Counter>,
    ) -> Self {
        Self {
            inner,
            traffic,
            replay,
            rules,
            share,
            counter,
            draining: false,
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

    /// The inner service, without retries.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S, T, A, Q, R> Retry<S, T, A, Rules<Q, R>> {
    /// How far the attempts of a request may go, of which so many were made before it came here.
    #[inline(always)]
    fn reach<Req>(&self, request: Req, before: u32) -> (Req, Reach)
    where
        A: Replay<Req>,
        Q: Ask<A::Head>,
    {
        let gate = &*self.share;
        if gate.policy.max_attempts() <= before.saturating_add(1) {
            return (request, Reach::Once);
        }
        let (request, repeatable) =
            self.rules
                .may_repeat(&self.replay, request, gate.switches.any_method);
        let reach = if repeatable {
            Reach::Any
        } else if gate.switches.unsent {
            Reach::Unsent
        } else {
            Reach::Once
        };
        (request, reach)
    }
}

impl<S, T, A, Q, R, Req> Service<Req> for Retry<S, T, A, Rules<Q, R>>
where
    A: Replay<Req> + Judge<S::Response>,
    S: Service<<A as Replay<Req>>::Request> + Clone,
    S::Error: Into<BoxError>,
    T: Traffic<S::Response>,
    Q: Ask<<A as Replay<Req>>::Head>,
    R: Ask<<A as Judge<S::Response>>::Head> + Clone,
{
    type Response = T::Response<Guard<RetryGate>>;
    type Error = BoxError;
    type Future = ResponseFuture<S, Req, T, A, R>;

    #[inline(always)]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        if self.share.control().is_draining() {
            self.draining = true;
            return Poll::Ready(Ok(()));
        }
        let ready = self.inner.poll_ready(cx);
        if ready.is_pending() && self.draining {
            // Who was told "ready" may call, and is refused as it would have been then.
            return Poll::Ready(Ok(()));
        }
        self.draining = false;
        ready.map_err(Into::into)
    }

    #[inline(always)]
    fn call(&mut self, request: Req) -> Self::Future {
        if std::mem::take(&mut self.draining) {
            let refusal = Refusal::new(RejectionKind::Draining, None);
            return ResponseFuture::refused(self.share.telemetry().refuse(refusal));
        }
        let guard = match self.share.admit_healthy() {
            Ok(guard) => guard,
            Err(held) => match Guard::try_admit(held) {
                Ok(guard) => guard,
                Err(error) => return ResponseFuture::refused(error),
            },
        };
        let counter = &mut self.counter;
        let started = guard.gate().begin(|budget, now| {
            if let Some(counter) = counter {
                budget.offer(counter, now);
            }
        });
        let before = self.replay.attempt(&request).map_or(0, Attempt::previous);
        let (request, reach) = self.reach(request, before);
        let (request, repeat) = if reach == Reach::Once {
            (self.replay.once(request), None)
        } else {
            let (request, kept) = self.replay.keep(request);
            // The one clone of the inner stack. It has not been polled ready and makes the further attempts; the original has, and makes the first one in its place.
            let repeat = kept.map(|kept| Repeat::new(self.inner.clone(), kept));
            (request, repeat)
        };
        let future = self.inner.call(request);
        let parts = Parts {
            traffic: self.traffic.clone(),
            replay: self.replay.clone(),
            rule: self.rules.response().clone(),
            progress: Progress::new(started, before),
            reach,
        };
        ResponseFuture::running(future, guard, parts, repeat)
    }
}

/// A clone has no kept refusal, and starts to count where the original does.
impl<S: Clone, T: Clone, A: Clone, P: Clone> Clone for Retry<S, T, A, P> {
    fn clone(&self) -> Self {
        Self::new(
            self.inner.clone(),
            self.traffic.clone(),
            self.replay.clone(),
            self.rules.clone(),
            self.share.clone(),
            self.counter.clone(),
        )
    }
}

impl<S: fmt::Debug, T, A, P> fmt::Debug for Retry<S, T, A, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Retry")
            .field("layer", &self.share.telemetry().name())
            .field("inner", &self.inner)
            .finish_non_exhaustive()
    }
}
