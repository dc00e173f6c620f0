//! The service: decides before the first attempt whether there may be others, and takes along what they need.

use std::fmt;
use std::task::{Context, Poll};

use seaworthy_kit::budget::Counter;
use seaworthy_kit::{
    Ask, Attempt, BoxError, Front, Guard, Judge, Replay, Root, Rules, Share, Traffic,
};
use tower_service::Service;

use crate::call::{Parts, Reach, Repeat};
use crate::gate::{Progress, RetryGate};
use crate::response::ResponseFuture;

/// An inner service whose failed calls are tried again. See the crate docs.
///
/// A clone starts to count where the original does.
#[derive(Clone)]
pub struct Retry<S, T, A, P = Rules>(
    pub(crate) Front<S, T, A, P, Share<RetryGate>, Option<Counter>>,
);

impl<S, T, A, P> Retry<S, T, A, P> {
    /// The inner service.
    pub const fn get_ref(&self) -> &S {
        self.0.get_ref()
    }

    /// The inner service.
    pub const fn get_mut(&mut self) -> &mut S {
        self.0.get_mut()
    }

    /// The inner service, without retries.
    pub fn into_inner(self) -> S {
        self.0.into_inner()
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
        let Root {
            protocol, source, ..
        } = self.0.root();
        let gate = &**source;
        if gate.policy.max_attempts() <= before.saturating_add(1) {
            return (request, Reach::Once);
        }
        let any = gate.switches.any_method;
        let (request, repeatable) = protocol.rules.may_repeat(&protocol.replay, request, any);
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
        self.0.poll_ready::<Req, _>(cx)
    }

    #[inline(always)]
    fn call(&mut self, request: Req) -> Self::Future {
        let guard = match self.0.admit(&request) {
            Ok(guard) => guard,
            Err(error) => return ResponseFuture::refused(error),
        };
        let counter = self.0.counter();
        let started = guard.gate().begin(|budget, now| {
            if let Some(counter) = counter {
                budget.offer(counter, now);
            }
        });
        let replay = &self.0.root().protocol.replay;
        let before = replay.attempt(&request).map_or(0, Attempt::previous);
        let (request, reach) = self.reach(request, before);
        let protocol = &self.0.root().protocol;
        let (request, repeat) = if reach == Reach::Once {
            (protocol.replay.once(request), None)
        } else {
            let (request, kept) = protocol.replay.keep(request);
            // The one clone of the inner stack. It has not been polled ready and makes the further attempts; the original has, and makes the first one in its place.
            let repeat = kept.map(|kept| Repeat::new(self.0.get_ref().clone(), kept));
            (request, repeat)
        };
        let future = self.0.get_mut().call(request);
        let protocol = &self.0.root().protocol;
        let parts = Parts {
            traffic: protocol.traffic.clone(),
            replay: protocol.replay.clone(),
            rule: protocol.rules.response().clone(),
            progress: Progress::new(started, before),
            reach,
        };
        ResponseFuture::running(future, guard, parts, repeat)
    }
}

impl<S: fmt::Debug, T, A, P> fmt::Debug for Retry<S, T, A, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Retry").field(&self.0).finish()
    }
}
