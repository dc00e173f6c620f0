//! The service: lets a call begin if there is time for it.

use std::fmt;
use std::task::{Context, Poll};

use seaworthy_kit::deadline::Carry;
use seaworthy_kit::{BoxError, Held, Refusal, Share, Traffic};
use tower_service::Service;

use crate::guard::{Guard, Shared};
use crate::limits::{Limits, NO_TIME};
use crate::per_request::{Fixed, LimitFor, Untold};
use crate::readiness;
use crate::response::ResponseFuture;

/// An inner service whose calls end in time. See the crate docs.
pub struct Timeout<S, T, L = Fixed, C = Untold> {
    inner: S,
    traffic: T,
    per_request: L,
    carry: C,
    share: Share<Shared<Limits>>,
    /// What the next `call` answers, because the inner service was not ready for it.
    kept: Option<Refusal>,
}

impl<S, T, L, C> Timeout<S, T, L, C> {
    pub(crate) const fn new(
        inner: S,
        traffic: T,
        per_request: L,
        carry: C,
        share: Share<Shared<Limits>>,
    ) -> Self {
        Self {
            inner,
            traffic,
            per_request,
            carry,
            share,
            kept: None,
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

    /// The inner service, without the limits.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S, T, L, C, Req> Service<Req> for Timeout<S, T, L, C>
where
    S: Service<Req>,
    S::Error: Into<BoxError>,
    T: Traffic<S::Response>,
    L: LimitFor<Req>,
    C: Carry<Req>,
{
    type Response = T::Response<Guard<Limits>>;
    type Error = BoxError;
    type Future = ResponseFuture<S::Future, T, Limits>;

    #[inline(always)]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        let limits = &self.share.rules;
        readiness::poll(
            &self.share,
            limits.refuse_all(),
            || limits.travelling(),
            || self.inner.poll_ready(cx),
            &mut self.kept,
        )
    }

    #[inline(always)]
    fn call(&mut self, mut request: Req) -> Self::Future {
        if self.kept.is_some() {
            return ResponseFuture::refused(readiness::refuse(&self.share, &mut self.kept));
        }
        let (held, control, shared) = self.share.hold_and_look();
        if !control.is_normal() {
            return self.call_switched(held, request);
        }
        match shared
            .rules
            .terms(&self.per_request, &self.carry, &mut request)
        {
            Some(terms) => {
                let guard = Guard::new(held, terms);
                guard.run(|| self.inner.call(request), self.traffic.clone())
            }
            None => ResponseFuture::refused(Guard::refuse(&held, NO_TIME)),
        }
    }
}

impl<S, T: Clone, L, C> Timeout<S, T, L, C> {
    /// The same where the layer drains, or where not all refusals are enforced.
    #[cold]
    fn call_switched<Req>(
        &mut self,
        held: Held<Shared<Limits>>,
        mut request: Req,
    ) -> ResponseFuture<S::Future, T, Limits>
    where
        S: Service<Req>,
        L: LimitFor<Req>,
        C: Carry<Req>,
    {
        let guard = Guard::admit_switched(held, |limits| {
            limits.terms(&self.per_request, &self.carry, &mut request)
        });
        match guard {
            Ok(guard) => guard.run(|| self.inner.call(request), self.traffic.clone()),
            Err(error) => ResponseFuture::refused(error),
        }
    }
}

/// A clone has no kept refusal: its own `poll_ready` decides about its own call.
impl<S: Clone, T: Clone, L: Clone, C: Clone> Clone for Timeout<S, T, L, C> {
    fn clone(&self) -> Self {
        Self::new(
            self.inner.clone(),
            self.traffic.clone(),
            self.per_request.clone(),
            self.carry.clone(),
            self.share.clone(),
        )
    }
}

impl<S: fmt::Debug, T, L, C> fmt::Debug for Timeout<S, T, L, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Timeout")
            .field("layer", &self.share.telemetry.name())
            .field("inner", &self.inner)
            .finish_non_exhaustive()
    }
}
