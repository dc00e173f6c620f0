//! The service: decides before the first attempt whether there may be others, and takes along what they need.

use std::fmt;
use std::task::{Context, Poll};

use seaworthy_kit::gate::Refusal;
use seaworthy_kit::{
    Ask, Attempt, BoxError, Gate, Guard, Judge, RejectionKind, Replay, Rules, Share, Traffic,
};
use tower_service::Service;

use crate::field::{Field, Repeat};
use crate::gate::{Counters, HedgeGate};
use crate::response::{Parts, ResponseFuture};

/// An inner service whose slow calls are sent a second time. See the crate docs.
pub struct Hedge<S, T, A, P = Rules> {
    inner: S,
    traffic: T,
    replay: A,
    rules: P,
    share: Share<HedgeGate>,
    counters: Counters,
    /// The next `call` is refused, because the inner service was not polled for it.
    draining: bool,
}

impl<S, T, A, P> Hedge<S, T, A, P> {
    pub(crate) const fn new(
        inner: S,
        traffic: T,
        replay: A,
        rules: P,
        share: Share<HedgeGate>,
        counters: Counters,
    ) -> Self {
        Self {
            inner,
            traffic,
            replay,
            rules,
            share,
            counters,
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

    /// The inner service, without hedges.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S, T, A, Q, R, Req> Service<Req> for Hedge<S, T, A, Rules<Q, R>>
where
    A: Replay<Req> + Judge<S::Response>,
    S: Service<<A as Replay<Req>>::Request> + Clone,
    S::Error: Into<BoxError>,
    T: Traffic<S::Response>,
    Q: Ask<<A as Replay<Req>>::Head>,
    R: Ask<<A as Judge<S::Response>>::Head> + Clone,
{
    type Response = T::Response<Guard<HedgeGate>>;
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
        let gate = guard.gate();
        let (request, may_hedge) = if gate.is_enabled() {
            self.rules
                .may_repeat(&self.replay, request, gate.any_method)
        } else {
            (request, false)
        };
        let (request, field) = if may_hedge {
            gate.offer(&mut self.counters);
            let before = self.replay.attempt(&request).map_or(0, Attempt::previous);
            let (request, kept) = self.replay.keep(request);
            // The clone has not been polled ready and makes the hedges; the original has, and makes the first attempt in its place.
            let field = kept.map(|kept| {
                let repeat = Repeat::new(self.inner.clone(), kept, before);
                Field::new(repeat)
            });
            (request, field)
        } else {
            (self.replay.once(request), None)
        };
        let future = self.inner.call(request);
        let parts = Parts {
            traffic: self.traffic.clone(),
            replay: self.replay.clone(),
            rule: self.rules.response().clone(),
        };
        ResponseFuture::running(future, guard, parts, field)
    }
}

/// A clone has no kept refusal, and starts to count where the original does.
impl<S: Clone, T: Clone, A: Clone, P: Clone> Clone for Hedge<S, T, A, P> {
    fn clone(&self) -> Self {
        Self::new(
            self.inner.clone(),
            self.traffic.clone(),
            self.replay.clone(),
            self.rules.clone(),
            self.share.clone(),
            self.counters.clone(),
        )
    }
}

impl<S: fmt::Debug, T, A, P> fmt::Debug for Hedge<S, T, A, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hedge")
            .field("layer", &self.share.telemetry().name())
            .field("inner", &self.inner)
            .finish_non_exhaustive()
    }
}
