//! The service of every layer that decides at once: admit, call, settle at the end.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;
use tower_service::Service;

use crate::gate::{Gate, Guard, Refusal};
use crate::share::Share;
use crate::traffic::Traffic;
use crate::{BoxError, Seldom};

/// An inner service behind a [`Gate`] that decides at once.
///
/// # Readiness
/// Reserves nothing.
/// If the gate would refuse now, the service is ready at once without polling the inner service, and keeps that refusal for the next `call`; otherwise readiness is the inner service's.
/// A service that was ready stays so until it is called: if the gate would admit by then and the inner service is not ready, the next `call` is still refused.
/// An error of the inner service's readiness is passed on and counts for nothing: no call was admitted.
pub struct Gated<S, T, G> {
    inner: S,
    traffic: T,
    share: Share<G>,
    /// What the next `call` answers, because the inner service was not polled for it.
    kept: Option<Refusal>,
}

impl<S, T, G> Gated<S, T, G> {
    /// Puts the gate in front of the service.
    pub const fn new(inner: S, traffic: T, share: Share<G>) -> Self {
        Self {
            inner,
            traffic,
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

    /// The inner service, without the gate.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S, T, G, Req> Service<Req> for Gated<S, T, G>
where
    S: Service<Req>,
    S::Error: Into<BoxError>,
    T: Traffic<S::Response>,
    G: Gate,
{
    type Response = T::Response<Guard<G>>;
    type Error = BoxError;
    type Future = ResponseFuture<S::Future, T, G>;

    #[inline(always)]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        if let Some(refusal) = self.share.refusal() {
            self.kept = Some(refusal);
            return Poll::Ready(Ok(()));
        }
        let ready = self.inner.poll_ready(cx);
        if ready.is_pending() && self.kept.is_some() {
            // Who was told "ready" may call: it gets the refusal for which it was, and the inner service is not touched.
            return Poll::Ready(Ok(()));
        }
        self.kept = None;
        ready.map_err(Into::into)
    }

    #[inline(always)]
    fn call(&mut self, request: Req) -> Self::Future {
        // What `poll_ready` saw.
        if let Some(refusal) = self.kept {
            self.kept = None;
            return ResponseFuture::refused(self.share.reject(refusal));
        }
        // The guard exists before the inner call: a panic in there must not lose the admission.
        let guard = match self.share.admit_healthy() {
            Ok(guard) => guard,
            Err(held) => match Guard::try_admit(held) {
                Ok(guard) => guard,
                Err(error) => return ResponseFuture::refused(error),
            },
        };
        let future = self.inner.call(request);
        ResponseFuture::running(future, guard, self.traffic.clone())
    }
}

/// A clone has no kept refusal: its own `poll_ready` decides about its own call.
impl<S: Clone, T: Clone, G> Clone for Gated<S, T, G> {
    fn clone(&self) -> Self {
        Self::new(self.inner.clone(), self.traffic.clone(), self.share.clone())
    }
}

impl<S: fmt::Debug, T, G: Gate> fmt::Debug for Gated<S, T, G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gated")
            .field("layer", &self.share.telemetry().name())
            .field("inner", &self.inner)
            .finish_non_exhaustive()
    }
}

pin_project! {
    /// The response of a gated call.
    #[must_use = "futures do nothing unless polled"]
    pub struct ResponseFuture<F, T, G: Gate> {
        #[pin]
        state: State<F, T, G>,
    }
}

pin_project! {
    #[project = Project]
    enum State<F, T, G: Gate> {
        Running {
            // Dropped before the guard settles, so that what the inner service holds is free when the slot is.
            #[pin]
            future: F,
            guard: Seldom<Guard<G>>,
            traffic: T,
        },
        // A call that was refused has its error here, in its box from the start: a future is moved with each layer around it.
        Over {
            error: Seldom<BoxError>,
        },
    }
}

impl<F, T, G: Gate> ResponseFuture<F, T, G> {
    #[inline(always)]
    pub(crate) const fn running(future: F, guard: Guard<G>, traffic: T) -> Self {
        Self {
            state: State::Running {
                future,
                guard: Seldom::new(Some(guard)),
                traffic,
            },
        }
    }

    #[inline(always)]
    const fn refused(error: BoxError) -> Self {
        Self {
            state: State::Over {
                error: Seldom::new(Some(error)),
            },
        }
    }
}

impl<F, Res, E, T, G> Future for ResponseFuture<F, T, G>
where
    F: Future<Output = Result<Res, E>>,
    E: Into<BoxError>,
    T: Traffic<Res>,
    G: Gate,
{
    type Output = Result<T::Response<Guard<G>>, BoxError>;

    #[inline(always)]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().state.project() {
            Project::Running {
                future,
                guard: place,
                traffic,
            } => {
                // On the stack while foreign code runs: a panic settles it as failed.
                let guard = place.take().expect("polled after it was ready");
                let Poll::Ready(result) = future.poll(cx) else {
                    **place = Some(guard);
                    return Poll::Pending;
                };
                Poll::Ready(match result {
                    Ok(response) => Ok(traffic.finish(response, guard)),
                    Err(error) => {
                        let error = error.into();
                        Err(guard.fail(traffic.failed(&error), error))
                    }
                })
            }
            Project::Over { error } => {
                Poll::Ready(Err(error.take().expect("polled after it was ready")))
            }
        }
    }
}

impl<F, T, G: Gate> fmt::Debug for ResponseFuture<F, T, G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let over = matches!(self.state, State::Over { .. });
        f.debug_struct("ResponseFuture")
            .field("over", &over)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
#[cfg(feature = "testing")]
mod tests;
