//! The service: decides before the first attempt whether there may be others, and takes along what they need.

use std::fmt;
use std::task::{Context, Poll};

use seaworthy_kit::deferred::Source;
use seaworthy_kit::{
    Ask, Attempt, BoxError, Front, Guard, Judge, Protocol, Replay, Rules, Share, Traffic,
};
use tower_service::Service;

use crate::field::{Field, Repeat};
use crate::gate::{Counters, HedgeGate};
use crate::response::{Parts, ResponseFuture};

/// An inner service whose slow calls are sent a second time. See the crate docs.
///
/// A clone starts to count where the original does.
#[derive(Clone)]
pub struct Hedge<S, T, A, P = Rules, C = Share<HedgeGate>>(
    pub(crate) Front<S, T, A, P, C, Option<Counters>>,
);

impl<S, T, A, P, C> Hedge<S, T, A, P, C> {
    /// The inner service.
    pub const fn get_ref(&self) -> &S {
        self.0.get_ref()
    }

    /// The inner service.
    pub const fn get_mut(&mut self) -> &mut S {
        self.0.get_mut()
    }

    /// The inner service, without hedges.
    pub fn into_inner(self) -> S {
        self.0.into_inner()
    }
}

impl<S, T, A, Q, R, C, Req> Service<Req> for Hedge<S, T, A, Rules<Q, R>, C>
where
    A: Replay<Req> + Judge<S::Response>,
    S: Service<<A as Replay<Req>>::Request> + Clone,
    S::Error: Into<BoxError>,
    T: Traffic<S::Response>,
    Q: Ask<<A as Replay<Req>>::Head>,
    R: Ask<<A as Judge<S::Response>>::Head> + Clone,
    C: Source<Req, Gate = HedgeGate>,
{
    type Response = T::Response<Guard<HedgeGate>>;
    type Error = BoxError;
    type Future = ResponseFuture<S, Req, T, A, R>;

    #[inline(always)]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.0.poll_ready::<Req, _>(cx)
    }

    #[inline(always)]
    fn call(&mut self, request: Req) -> Self::Future {
        let guard = match self.0.admit(&request) {
            Ok(guard) => guard,
            Err(error) => return ResponseFuture::refused(error),
        };
        let gate = guard.gate();
        let Protocol { replay, rules, .. } = &self.0.root().protocol;
        let (request, may_hedge) = if gate.is_enabled() {
            rules.may_repeat(replay, request, gate.any_method)
        } else {
            (request, false)
        };
        let (request, field) = if may_hedge {
            match self.0.counter() {
                Some(counters) => gate.offer(counters),
                None => gate.offer_shared(),
            }
            let replay = &self.0.root().protocol.replay;
            let before = replay.attempt(&request).map_or(0, Attempt::previous);
            let (request, kept) = replay.keep(request);
            // The clone has not been polled ready and makes the hedges; the original has, and makes the first attempt in its place.
            let field = kept.map(|kept| {
                let repeat = Repeat::new(self.0.get_ref().clone(), kept, before);
                Field::new(repeat)
            });
            (request, field)
        } else {
            (replay.once(request), None)
        };
        let future = self.0.get_mut().call(request);
        let Protocol {
            traffic,
            replay,
            rules,
        } = &self.0.root().protocol;
        let parts = Parts {
            traffic: traffic.clone(),
            replay: replay.clone(),
            rule: rules.response().clone(),
        };
        ResponseFuture::running(future, guard, parts, field)
    }
}

impl<S: fmt::Debug, T, A, P, C: fmt::Debug> fmt::Debug for Hedge<S, T, A, P, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Hedge").field(&self.0).finish()
    }
}
