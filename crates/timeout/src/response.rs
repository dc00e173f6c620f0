//! The response of a call with a time limit: the response first, then the timer.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;
use seaworthy_kit::unwind::DropOnPanic;
use seaworthy_kit::{BoxError, Seldom, Settle, Traffic};
use tokio::time::{Sleep, sleep_until};

use crate::guard::{Guard, Scope};
use crate::limits::Limit;

pin_project! {
    /// The response of a call with a time limit.
    #[must_use = "futures do nothing unless polled"]
    pub struct ResponseFuture<F, T, L> {
        #[pin]
        state: State<F, T, L>,
    }
}

pin_project! {
    #[project = Project]
    enum State<F, T, L> {
        Running {
            // Dropped before the guard settles, so that what the inner service holds is free when the call is over.
            #[pin]
            future: F,
            // Armed on the first `Pending`: a call that is answered at once has no timer.
            #[pin]
            timer: Option<Sleep>,
            guard: Seldom<Guard<L>>,
            traffic: T,
        },
        // With the error of a call that was refused.
        Over {
            error: Seldom<BoxError>,
        },
    }
}

impl<F, T, L> ResponseFuture<F, T, L> {
    #[inline(always)]
    pub(crate) const fn running(future: F, guard: Guard<L>, traffic: T) -> Self {
        Self {
            state: State::Running {
                future,
                timer: None,
                guard: Seldom::new(Some(guard)),
                traffic,
            },
        }
    }

    #[inline(always)]
    pub(crate) const fn refused(error: BoxError) -> Self {
        Self {
            state: State::Over {
                error: Seldom::new(Some(error)),
            },
        }
    }
}

impl<F, Res, E, T, L> Future for ResponseFuture<F, T, L>
where
    F: Future<Output = Result<Res, E>>,
    E: Into<BoxError>,
    T: Traffic<Res>,
    L: Scope,
{
    type Output = Result<T::Response<Guard<L>>, BoxError>;

    #[inline(always)]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.project().state;
        let (future, mut timer, place, traffic) = match state.as_mut().project() {
            Project::Running {
                future,
                timer,
                guard,
                traffic,
            } => (future, timer, guard, traffic),
            Project::Over { error } => {
                return Poll::Ready(Err(error.take().expect("polled after it was ready")));
            }
        };
        let guard = place.as_ref().expect("polled after it was ready");
        let entered = guard.enter();
        let result = {
            // Dropped while a panic of the inner service unwinds, the guard settles as failed, even where a layer further out catches the panic.
            let mut watch = DropOnPanic::new(&mut *place);
            // The response before the timer: an answer that is there when the time is up is not thrown away.
            let result = future.poll(cx);
            watch.disarm();
            result
        };
        drop(entered);
        if let Poll::Ready(result) = result {
            timer.set(None);
            return Poll::Ready(match result {
                Ok(response) => {
                    let mut guard = place.take().expect("checked above");
                    // The wait for the head is over; the body's own begins when it first has nothing to give.
                    guard.progress();
                    Ok(traffic.finish(response, guard))
                }
                Err(error) => Err(failed::<Res, _, _, _>(place, traffic, error)),
            });
        }
        let guard = place.as_mut().expect("checked above");
        if !guard.is_waiting() {
            timer.set(guard.wait(Limit::Head).map(sleep_until));
        }
        let Some(running) = timer.as_mut().as_pin_mut() else {
            return Poll::Pending;
        };
        ready!(running.poll(cx));
        timer.set(None);
        let Some(error) = guard.cut() else {
            return Poll::Pending;
        };
        let guard = place.take().expect("checked above");
        let traffic = traffic.clone();
        // Cancellation: the inner future is dropped here, at the cut, not when somebody drops this one.
        state.set(State::Over {
            error: Seldom::new(None),
        });
        guard.settle(traffic.failed(&error));
        Poll::Ready(Err(error))
    }
}

/// Out of line, so that the guard of a call that succeeds need not be moved as a whole.
#[cold]
fn failed<Res, T, L, E>(place: &mut Option<Guard<L>>, traffic: &T, error: E) -> BoxError
where
    T: Traffic<Res>,
    L: Scope,
    E: Into<BoxError>,
{
    // On the stack before the error is turned into another, which is foreign code: a panic in there is the end of the call.
    let guard = place.take().expect("there until the call is over");
    let error = error.into();
    guard.settle(traffic.failed(&error));
    error
}

impl<F, T, L> fmt::Debug for ResponseFuture<F, T, L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match self.state {
            State::Running { .. } => "running",
            State::Over { .. } => "over",
        };
        f.debug_struct("ResponseFuture")
            .field("state", &state)
            .finish_non_exhaustive()
    }
}
