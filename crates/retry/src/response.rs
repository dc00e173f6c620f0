//! The response future: one attempt after the other, with what has to be true before each.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;
use seaworthy_kit::unwind::DropOnPanic;
use seaworthy_kit::{Ask, BoxError, Guard, Judge, Replay, Traffic};
use tokio::time::Sleep;
use tower_service::Service;

use crate::call::{Call, Parts, Repeat, Step};
use crate::gate::RetryGate;

pin_project! {
    /// The response of a call that is tried again.
    ///
    /// ```text
    ///              ┌──────────────── worth another, and allowed ────────────────┐
    ///   Attempt ───┤                                                            ▼
    ///      ▲       └─ final, or not allowed ─▶ done      Readying ◀── delay ── Waiting
    ///      └────────────────── sent ────────────────────────┘ └─ not ready ─▶ done
    /// ```
    #[must_use = "futures do nothing unless polled"]
    pub struct ResponseFuture<S, Req, T, A, R>
    where
        A: Replay<Req>,
        S: Service<A::Request>,
    {
        #[pin]
        state: State<S::Future>,
        // The limit of an attempt, or the wait before the next one.
        #[pin]
        timer: Option<Sleep>,
        guard: Option<Guard<RetryGate>>,
        parts: Option<Parts<T, A, R>>,
        repeat: Option<Repeat<S, A::Request, A::Kept>>,
    }
}

pin_project! {
    #[project = Project]
    enum State<F> {
        Attempt { #[pin] future: F },
        Waiting,
        Readying,
        Over,
        Refused { error: Option<BoxError> },
    }
}

/// The contract of [`ResponseFuture::running`].
const HAS_PARTS: &str = "a call that was not refused has its parts";

// ===== impl ResponseFuture =====

impl<S, Req, T, A, R> ResponseFuture<S, Req, T, A, R>
where
    A: Replay<Req>,
    S: Service<A::Request>,
{
    #[inline(always)]
    pub(crate) const fn running(
        future: S::Future,
        guard: Guard<RetryGate>,
        parts: Parts<T, A, R>,
        repeat: Option<Repeat<S, A::Request, A::Kept>>,
    ) -> Self {
        Self {
            state: State::Attempt { future },
            timer: None,
            guard: Some(guard),
            parts: Some(parts),
            repeat,
        }
    }

    #[inline(always)]
    pub(crate) const fn refused(error: BoxError) -> Self {
        Self {
            state: State::Refused { error: Some(error) },
            timer: None,
            guard: None,
            parts: None,
            repeat: None,
        }
    }
}

impl<S, Req, T, A, R> Future for ResponseFuture<S, Req, T, A, R>
where
    A: Replay<Req> + Judge<S::Response>,
    S: Service<<A as Replay<Req>>::Request>,
    S::Error: Into<BoxError>,
    T: Traffic<S::Response>,
    R: Ask<<A as Judge<S::Response>>::Head>,
{
    type Output = Result<T::Response<Guard<RetryGate>>, BoxError>;

    #[inline(always)]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            match this.state.as_mut().project() {
                Project::Attempt { future } => {
                    // Stays in its place while the attempt runs, which is all that most calls do.
                    let polled = {
                        let mut panicked = DropOnPanic::new(&mut *this.guard);
                        let polled = future.poll(cx);
                        panicked.disarm();
                        polled
                    };
                    let parts = this.parts.as_mut().expect(HAS_PARTS);
                    let guard = this.guard.as_ref().expect("kept while the attempt runs");
                    let result = match polled {
                        // Only the guard is taken: a copy of the whole would wait for what was just written.
                        Poll::Ready(Ok(response)) if parts.is_final(guard.gate(), &response) => {
                            let guard = this.guard.take().expect("seen above");
                            this.state.set(State::Over);
                            *this.repeat = None;
                            return Poll::Ready(Ok(parts.traffic.finish(response, guard)));
                        }
                        Poll::Ready(result) => result.map_err(Into::into),
                        Poll::Pending => {
                            let (gate, control) = (guard.gate(), guard.control());
                            let timer = this.timer.as_mut();
                            match gate.poll_limit(control, timer, &mut parts.progress, cx) {
                                Poll::Ready(error) => Err(error),
                                Poll::Pending => return Poll::Pending,
                            }
                        }
                    };
                    // From here on the guard is on the stack whenever foreign code runs: a panic settles it as failed.
                    let guard = this.guard.take().expect("kept while the attempt runs");
                    let mut call = Call { guard, parts };
                    // What the attempt still holds, as a connection, must be free before anybody waits.
                    this.state.set(State::Over);
                    this.timer.set(None);
                    match call.conclude(result, this.repeat) {
                        Step::Done(result) => {
                            *this.repeat = None;
                            return Poll::Ready(call.finish(result));
                        }
                        Step::Again(delay) => {
                            if delay.is_zero() {
                                this.state.set(State::Readying);
                            } else {
                                this.timer.set(Some(tokio::time::sleep(delay)));
                                this.state.set(State::Waiting);
                            }
                            *this.guard = Some(call.guard);
                        }
                    }
                }
                Project::Waiting => {
                    let timer = this.timer.as_mut().as_pin_mut();
                    if timer.expect("armed before the wait").poll(cx).is_pending() {
                        return Poll::Pending;
                    }
                    this.timer.set(None);
                    this.state.set(State::Readying);
                }
                Project::Readying => {
                    let guard = this.guard.take().expect("kept during the wait");
                    let parts = this.parts.as_mut().expect(HAS_PARTS);
                    let mut call = Call { guard, parts };
                    let repeat = this.repeat.as_mut().expect("kept during the wait");
                    match call.resume(repeat, this.timer.as_mut(), cx) {
                        Poll::Pending => {
                            *this.guard = Some(call.guard);
                            return Poll::Pending;
                        }
                        Poll::Ready(Ok(future)) => {
                            this.timer.set(None);
                            this.state.set(State::Attempt { future });
                            *this.guard = Some(call.guard);
                        }
                        Poll::Ready(Err(error)) => {
                            this.state.set(State::Over);
                            *this.repeat = None;
                            return Poll::Ready(call.finish(Err(error)));
                        }
                    }
                }
                Project::Over => panic!("polled after it was ready"),
                Project::Refused { error } => {
                    return Poll::Ready(Err(error.take().expect("polled after it was ready")));
                }
            }
        }
    }
}

impl<S, Req, T, A, R> fmt::Debug for ResponseFuture<S, Req, T, A, R>
where
    A: Replay<Req>,
    S: Service<A::Request>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match self.state {
            State::Attempt { .. } => "attempt",
            State::Waiting => "waiting",
            State::Readying => "readying",
            State::Over => "over",
            State::Refused { .. } => "refused",
        };
        f.debug_struct("ResponseFuture")
            .field("state", &state)
            .finish_non_exhaustive()
    }
}
