//! The response future: one attempt after the other, with what has to be true before each.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;
use seaworthy_kit::unwind::DropOnPanic;
use seaworthy_kit::{BoxError, Guard, Judge, Replay, Traffic};
use tokio::time::Sleep;
use tower_service::Service;

use crate::call::{Call, Repeat, Step};
use crate::gate::RetryGate;
use crate::rules::Ask;

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
        call: Option<Call<T, A, R>>,
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

// ===== impl ResponseFuture =====

impl<S, Req, T, A, R> ResponseFuture<S, Req, T, A, R>
where
    A: Replay<Req>,
    S: Service<A::Request>,
{
    #[inline(always)]
    pub(crate) const fn running(
        future: S::Future,
        call: Call<T, A, R>,
        repeat: Option<Repeat<S, A::Request, A::Kept>>,
    ) -> Self {
        Self {
            state: State::Attempt { future },
            timer: None,
            call: Some(call),
            repeat,
        }
    }

    #[inline(always)]
    pub(crate) const fn refused(error: BoxError) -> Self {
        Self {
            state: State::Refused { error: Some(error) },
            timer: None,
            call: None,
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
                        let mut panicked = DropOnPanic::new(&mut *this.call);
                        let polled = future.poll(cx);
                        panicked.disarm();
                        polled
                    };
                    let result = match polled {
                        Poll::Ready(Ok(response))
                            if this
                                .call
                                .as_ref()
                                .is_some_and(|call| call.is_final(&response)) =>
                        {
                            let call = this.call.take().expect("kept while the attempt runs");
                            this.state.set(State::Over);
                            *this.repeat = None;
                            return Poll::Ready(Ok(call.traffic.finish(response, call.guard)));
                        }
                        Poll::Ready(result) => result.map_err(Into::into),
                        Poll::Pending => {
                            let call = this.call.as_mut();
                            let call = call.expect("kept while the attempt runs");
                            let gate = call.guard.gate();
                            let control = call.guard.control();
                            let timer = this.timer.as_mut();
                            match gate.poll_limit(control, timer, &mut call.progress, cx) {
                                Poll::Ready(error) => Err(error),
                                Poll::Pending => return Poll::Pending,
                            }
                        }
                    };
                    // From here on the guard is on the stack whenever foreign code runs: a panic settles it as failed.
                    let mut call = this.call.take().expect("kept while the attempt runs");
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
                            *this.call = Some(call);
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
                    let mut call = this.call.take().expect("kept during the wait");
                    let repeat = this.repeat.as_mut().expect("kept during the wait");
                    match call.resume(repeat, this.timer.as_mut(), cx) {
                        Poll::Pending => {
                            *this.call = Some(call);
                            return Poll::Pending;
                        }
                        Poll::Ready(Ok(future)) => {
                            this.timer.set(None);
                            this.state.set(State::Attempt { future });
                            *this.call = Some(call);
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
