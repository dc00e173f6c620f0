//! The service: opens the deadline of a request around its call, and cuts the call there.

use std::fmt;
use std::task::{Context, Poll};

use seaworthy_kit::deadline::{self, Carry};
use seaworthy_kit::{BoxError, Refusal, Share, Traffic};
use tower_service::Service;

use super::Rules;
use crate::guard::{Guard, Shared};
use crate::readiness;
use crate::response::ResponseFuture;

/// An inner service that runs inside of the deadline of each request. See the [docs of the module](super).
pub struct WithDeadline<S, T, C> {
    inner: S,
    traffic: T,
    carry: C,
    share: Share<Shared<Rules>>,
    /// What the next `call` answers, because the inner service was not ready for it.
    kept: Option<Refusal>,
}

impl<S, T, C> WithDeadline<S, T, C> {
    pub(crate) const fn new(inner: S, traffic: T, carry: C, share: Share<Shared<Rules>>) -> Self {
        Self {
            inner,
            traffic,
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

    /// The inner service, without deadlines.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S, T, C, Req> Service<Req> for WithDeadline<S, T, C>
where
    S: Service<Req>,
    S::Error: Into<BoxError>,
    T: Traffic<S::Response>,
    C: Carry<Req>,
{
    type Response = T::Response<Guard<Rules>>;
    type Error = BoxError;
    type Future = ResponseFuture<S::Future, T, Rules>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        let rules = &self.share.rules;
        readiness::poll(
            &self.share,
            rules.refuse_all(),
            deadline::current,
            || self.inner.poll_ready(cx),
            &mut self.kept,
        )
    }

    fn call(&mut self, request: Req) -> Self::Future {
        if self.kept.is_some() {
            return ResponseFuture::refused(readiness::refuse(&self.share, &mut self.kept));
        }
        let guard = Guard::admit(self.share.hold(), |rules| {
            rules.terms(&self.carry, &request)
        });
        match guard {
            Ok(guard) => guard.run(|| self.inner.call(request), self.traffic.clone()),
            Err(error) => ResponseFuture::refused(error),
        }
    }
}

/// A clone has no kept refusal: its own `poll_ready` decides about its own call.
impl<S: Clone, T: Clone, C: Clone> Clone for WithDeadline<S, T, C> {
    fn clone(&self) -> Self {
        Self::new(
            self.inner.clone(),
            self.traffic.clone(),
            self.carry.clone(),
            self.share.clone(),
        )
    }
}

impl<S: fmt::Debug, T, C> fmt::Debug for WithDeadline<S, T, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WithDeadline")
            .field("layer", &self.share.telemetry.name())
            .field("inner", &self.inner)
            .finish_non_exhaustive()
    }
}
