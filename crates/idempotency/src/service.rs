//! The service: looks at a request, and passes it, refuses it, or makes a call of it.

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use seaworthy_kit::{BoxError, Refusal, RejectionKind, Share};
use tower_service::Service;

use crate::call::{Call, drive};
use crate::entry::Entry;
use crate::exchange::{Answer, Ask, Look};
use crate::phase::Phase;
use crate::response::ResponseFuture;
use crate::shared::Shared;
use crate::store::Store;

/// An inner service that runs a request with a key once. See the [crate docs](crate).
pub struct Idempotency<S, D, E> {
    inner: S,
    share: Share<Shared<D, E>>,
}

impl<S, D, E> Idempotency<S, D, E> {
    pub(crate) const fn new(inner: S, share: Share<Shared<D, E>>) -> Self {
        Self { inner, share }
    }

    /// The inner service.
    pub const fn get_ref(&self) -> &S {
        &self.inner
    }

    /// The inner service.
    pub const fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// The inner service, without the layer.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S, D, E, Req> Service<Req> for Idempotency<S, D, E>
where
    D: Store,
    E: Ask<Req> + Answer<S::Response, <E as Ask<Req>>::Caller>,
    S: Service<E::Request> + Clone + Send + 'static,
    S::Response: Send + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send + 'static,
    Req: Send + 'static,
{
    type Response = <E as Answer<S::Response, E::Caller>>::Response;
    type Error = BoxError;
    type Future = ResponseFuture<S, E::Request, Self::Response>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Req) -> Self::Future {
        let (key, caller) = match self.share.exchange.look(&request) {
            Look::Keyed(key, caller) => (key, caller),
            Look::Pass => {
                let request = <E as Ask<Req>>::pass(request);
                return ResponseFuture::passing(self.inner.clone(), request, E::hand_on);
            }
            Look::Refuse(refused, caller) => {
                return ResponseFuture::refused(self.share.refuse_at_once(refused, caller));
            }
        };
        let shared = self.share.hold();
        if shared.control().is_draining() {
            let refusal = Refusal::new(RejectionKind::Draining, None);
            return ResponseFuture::refused(Err(shared.telemetry.refuse(refusal)));
        }
        let cancels = shared.rules.cancel_on_disconnect;
        let phase = Arc::new(Phase::new(shared.detached.clone(), cancels));
        let call = Call {
            entry: Entry::new(shared, phase.clone()),
            // The clone makes the call: the original has not been polled either, and keeps what a long-lived service has of its own.
            service: self.inner.clone(),
            request,
            key,
            caller,
        };
        ResponseFuture::driven(Box::pin(drive(call)), phase)
    }
}

impl<S: Clone, D, E> Clone for Idempotency<S, D, E> {
    fn clone(&self) -> Self {
        Self::new(self.inner.clone(), self.share.clone())
    }
}

impl<S: fmt::Debug, D, E> fmt::Debug for Idempotency<S, D, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Idempotency")
            .field("layer", &self.share.telemetry.name())
            .field("inner", &self.inner)
            .finish_non_exhaustive()
    }
}
