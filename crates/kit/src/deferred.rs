//! The service of every layer that cannot decide before it has the request, or makes calls wait: decide first, then wait for the inner service.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;
use tower_service::Service;

use crate::BoxError;
use crate::gate::{Entry, Gate, Guard};
use crate::service::ResponseFuture as Running;
use crate::share::{Held, Share};
use crate::traffic::Traffic;

/// Where a layer gets the gate of a request from: one shared by all, or one for each key.
pub trait Source<Req> {
    /// The gate.
    type Gate: Gate;

    /// The gate of this request, held for its call.
    fn hold(&mut self, request: &Req) -> Held<Self::Gate>;

    /// Asks that gate: for a source that looks at the request, as for what it costs.
    fn enter(&mut self, held: &Held<Self::Gate>, request: &Req) -> Entry<Self::Gate> {
        let _ = request;
        Gate::enter(held)
    }

    /// Whether each call is refused because of a drain, as far as that is known without a request.
    #[inline]
    fn is_draining(&self) -> bool {
        false
    }

    /// The guard of this request's call, by a gate that makes no call wait.
    ///
    /// # Errors
    /// If the call must not be made.
    #[inline]
    fn admit(&mut self, request: &Req) -> Result<Guard<Self::Gate>, BoxError> {
        Guard::try_admit(self.hold(request))
    }
}

impl<Req, G: Gate> Source<Req> for Share<G> {
    type Gate = G;

    fn hold(&mut self, _: &Req) -> Held<G> {
        Self::hold(self)
    }

    #[inline(always)]
    fn is_draining(&self) -> bool {
        self.control().is_draining()
    }

    #[inline(always)]
    fn admit(&mut self, _: &Req) -> Result<Guard<G>, BoxError> {
        match self.admit_healthy() {
            Ok(guard) => Ok(guard),
            Err(held) => Guard::try_admit(held),
        }
    }
}

/// An inner service behind a gate that depends on the request or makes calls wait.
///
/// # Readiness
/// Always ready: the decision needs the request.
/// A call that is admitted drives the readiness of a clone of the inner service in its response future.
/// An error of that readiness ends the call, and counts as an error of the call does; but a gate takes back what it gives for use, such as a share of a quota.
pub struct Deferred<S, T, C> {
    inner: S,
    traffic: T,
    source: C,
}

impl<S, T, C> Deferred<S, T, C> {
    /// Puts the gates of the source in front of the service.
    pub const fn new(inner: S, traffic: T, source: C) -> Self {
        Self {
            inner,
            traffic,
            source,
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

impl<S, T, C, Req> Service<Req> for Deferred<S, T, C>
where
    S: Service<Req> + Clone,
    S::Error: Into<BoxError>,
    T: Traffic<S::Response>,
    C: Source<Req>,
{
    type Response = T::Response<Guard<C::Gate>>;
    type Error = BoxError;
    type Future = ResponseFuture<S, Req, T, C::Gate>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Req) -> Self::Future {
        let held = match Guard::open(self.source.hold(&request)) {
            Ok(held) => held,
            Err(error) => return ResponseFuture::refused(error),
        };
        let entry = self.source.enter(&held, &request);
        if let Entry::Refused(refusal) = entry {
            return match Guard::refuse(held, refusal) {
                Ok(guard) => self.admitted(request, guard),
                Err(error) => ResponseFuture::refused(error),
            };
        }
        match entry {
            Entry::Admitted(admission) => self.admitted(request, Guard::new(held, admission)),
            Entry::Waiting(wait) => ResponseFuture {
                call: Some(self.pending(request)),
                state: State::Waiting {
                    wait,
                    held: Some(held),
                },
            },
            Entry::Refused(_) => unreachable!("handled above"),
        }
    }
}

impl<S: Clone, T: Clone, C> Deferred<S, T, C> {
    /// What the future needs to make the call. Its service is the clone: the original has not been polled either, and keeps what a long-lived service has of its own.
    fn pending<Req>(&self, request: Req) -> Call<S, Req, T> {
        Call {
            service: self.inner.clone(),
            traffic: self.traffic.clone(),
            request,
        }
    }

    fn admitted<Req, G: Gate>(&self, request: Req, guard: Guard<G>) -> ResponseFuture<S, Req, T, G>
    where
        S: Service<Req>,
    {
        ResponseFuture {
            call: Some(self.pending(request)),
            state: State::readying(guard),
        }
    }
}

impl<S: Clone, T: Clone, C: Clone> Clone for Deferred<S, T, C> {
    fn clone(&self) -> Self {
        Self::new(
            self.inner.clone(),
            self.traffic.clone(),
            self.source.clone(),
        )
    }
}

impl<S: fmt::Debug, T, C> fmt::Debug for Deferred<S, T, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Deferred")
            .field("inner", &self.inner)
            .finish_non_exhaustive()
    }
}

/// A call that is not made yet.
struct Call<S, Req, T> {
    service: S,
    traffic: T,
    request: Req,
}

pin_project! {
    /// The response of a deferred call.
    #[must_use = "futures do nothing unless polled"]
    pub struct ResponseFuture<S, Req, T, G>
    where
        S: Service<Req>,
        G: Gate,
    {
        call: Option<Call<S, Req, T>>,
        #[pin]
        state: State<S::Future, T, G>,
    }
}

pin_project! {
    #[project = Project]
    enum State<F, T, G: Gate> {
        Waiting {
            #[pin]
            wait: G::Wait,
            held: Option<Held<G>>,
        },
        Readying {
            guard: Uncalled<G>,
        },
        Running {
            #[pin]
            future: Running<F, T, G>,
        },
        Refused {
            error: Option<BoxError>,
        },
    }
}

/// The guard of a call that waits for the inner service.
struct Uncalled<G: Gate>(Option<Guard<G>>);

impl<F, T, G: Gate> State<F, T, G> {
    const fn readying(guard: Guard<G>) -> Self {
        Self::Readying {
            guard: Uncalled(Some(guard)),
        }
    }
}

// Cancellation: whoever leaves here has not been served, and the gate may take back what it gave.
impl<G: Gate> Drop for Uncalled<G> {
    fn drop(&mut self) {
        if let Some(guard) = self.0.take() {
            guard.withdraw();
        }
    }
}

impl<S, Req, T, G> ResponseFuture<S, Req, T, G>
where
    S: Service<Req>,
    G: Gate,
{
    const fn refused(error: BoxError) -> Self {
        Self {
            call: None,
            state: State::Refused { error: Some(error) },
        }
    }
}

impl<S, Req, T, G> Future for ResponseFuture<S, Req, T, G>
where
    S: Service<Req>,
    S::Error: Into<BoxError>,
    T: Traffic<S::Response>,
    G: Gate,
{
    type Output = Result<T::Response<Guard<G>>, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            match this.state.as_mut().project() {
                Project::Waiting { wait, held } => {
                    let admission = ready!(wait.poll(cx));
                    let held = held.take().expect("held until the wait is over");
                    let guard = match admission {
                        Ok(admission) => Ok(Guard::new(held, admission)),
                        Err(refusal) => Guard::refuse(held, refusal),
                    };
                    match guard {
                        Ok(guard) => this.state.set(State::readying(guard)),
                        Err(error) => return Poll::Ready(Err(error)),
                    }
                }
                Project::Readying { guard } => {
                    let taken = guard.0.take().expect("polled after it was ready");
                    let call = this.call.as_mut().expect("not called yet");
                    // As in the running state: the guard is on the stack while foreign code runs.
                    match call.service.poll_ready(cx) {
                        Poll::Pending => {
                            guard.0 = Some(taken);
                            return Poll::Pending;
                        }
                        Poll::Ready(Err(error)) => {
                            let error = error.into();
                            let error = taken.fail_uncalled(call.traffic.failed(&error), error);
                            return Poll::Ready(Err(error));
                        }
                        Poll::Ready(Ok(())) => {}
                    }
                    let mut call = this.call.take().expect("not called yet");
                    let future = call.service.call(call.request);
                    let future = Running::running(future, taken, call.traffic);
                    this.state.set(State::Running { future });
                }
                Project::Running { future } => return future.poll(cx),
                Project::Refused { error } => {
                    return Poll::Ready(Err(error.take().expect("polled after it was ready")));
                }
            }
        }
    }
}

impl<S, Req, T, G> fmt::Debug for ResponseFuture<S, Req, T, G>
where
    S: Service<Req>,
    G: Gate,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match self.state {
            State::Waiting { .. } => "waiting",
            State::Readying { .. } => "readying",
            State::Running { .. } => "running",
            State::Refused { .. } => "refused",
        };
        f.debug_struct("ResponseFuture")
            .field("state", &state)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
#[cfg(feature = "testing")]
mod tests;
