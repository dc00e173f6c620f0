//! The response future: one attempt after the other, with what has to be true before each.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;
use seaworthy_kit::{Ask, BoxError, Guard, Judge, Replay, Seldom, Traffic};
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
        stage: Stage<S::Future, S, A::Request, A::Kept, T, A, R>,
    }
}

pin_project! {
    // One look at this tells that nothing is left of a call that is over.
    #[project = OnStage]
    enum Stage<F, S, Again, K, T, A, R> {
        Running {
            #[pin]
            state: State<F>,
            // The limit of an attempt, or the wait before the next one.
            #[pin]
            timer: Option<Sleep>,
            guard: Seldom<Guard<RetryGate>>,
            parts: Parts<T, A, R>,
            repeat: Option<Repeat<S, Again, K>>,
        },
        // With the error of a call that was refused.
        Over { error: Seldom<BoxError> },
    }
}

pin_project! {
    #[project = Project]
    enum State<F> {
        Attempt { #[pin] future: F },
        // One look tells an attempt from all else.
        Between { phase: Phase },
    }
}

/// Where a call is between two attempts.
#[derive(Clone, Copy, Debug)]
enum Phase {
    Waiting,
    Readying,
    /// No attempt is to come.
    Last,
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
        guard: Guard<RetryGate>,
        parts: Parts<T, A, R>,
        repeat: Option<Repeat<S, A::Request, A::Kept>>,
    ) -> Self {
        Self {
            stage: Stage::Running {
                state: State::Attempt { future },
                timer: None,
                guard: Seldom::new(Some(guard)),
                parts,
                repeat,
            },
        }
    }

    #[inline(always)]
    pub(crate) const fn refused(error: BoxError) -> Self {
        Self {
            stage: Stage::Over {
                error: Seldom::new(Some(error)),
            },
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
        let (mut state, mut timer, place, parts, repeat) = match self.project().stage.project() {
            OnStage::Running {
                state,
                timer,
                guard,
                parts,
                repeat,
            } => (state, timer, guard, parts, repeat),
            OnStage::Over { error } => {
                return Poll::Ready(Err(error.take().expect("polled after it was ready")));
            }
        };
        // On the stack whenever foreign code runs: a panic settles it as failed.
        let mut guard = place.take().expect("polled after it was ready");
        loop {
            match state.as_mut().project() {
                Project::Attempt { future } => {
                    let result = match future.poll(cx) {
                        Poll::Ready(Ok(response)) if parts.is_final(guard.gate(), &response) => {
                            state.set(Phase::Last.into());
                            *repeat = None;
                            return Poll::Ready(Ok(parts.traffic.finish(response, guard)));
                        }
                        Poll::Ready(result) => result.map_err(Into::into),
                        Poll::Pending => {
                            let (gate, control) = (guard.gate(), guard.control());
                            match gate.poll_limit(control, timer.as_mut(), &mut parts.progress, cx)
                            {
                                Poll::Ready(error) => Err(error),
                                Poll::Pending => {
                                    **place = Some(guard);
                                    return Poll::Pending;
                                }
                            }
                        }
                    };
                    // What the attempt still holds, as a connection, must be free before anybody waits.
                    state.set(Phase::Last.into());
                    timer.set(None);
                    let mut call = Call { guard, parts };
                    match call.conclude(result, repeat) {
                        Step::Done(result) => {
                            *repeat = None;
                            return Poll::Ready(call.finish(result));
                        }
                        Step::Again(delay) => {
                            if delay.is_zero() {
                                state.set(Phase::Readying.into());
                            } else {
                                timer.set(Some(tokio::time::sleep(delay)));
                                state.set(Phase::Waiting.into());
                            }
                            guard = call.guard;
                        }
                    }
                }
                Project::Between {
                    phase: Phase::Waiting,
                } => {
                    let sleep = timer.as_mut().as_pin_mut();
                    if sleep.expect("armed before the wait").poll(cx).is_pending() {
                        **place = Some(guard);
                        return Poll::Pending;
                    }
                    timer.set(None);
                    state.set(Phase::Readying.into());
                }
                Project::Between {
                    phase: Phase::Readying,
                } => {
                    let mut call = Call { guard, parts };
                    let again = repeat.as_mut().expect("kept during the wait");
                    match call.resume(again, timer.as_mut(), cx) {
                        Poll::Pending => {
                            **place = Some(call.guard);
                            return Poll::Pending;
                        }
                        Poll::Ready(Ok(future)) => {
                            timer.set(None);
                            state.set(State::Attempt { future });
                            guard = call.guard;
                        }
                        Poll::Ready(Err(error)) => {
                            *repeat = None;
                            return Poll::Ready(call.finish(Err(error)));
                        }
                    }
                }
                Project::Between { phase: Phase::Last } => unreachable!("nothing is polled there"),
            }
        }
    }
}

impl<F> From<Phase> for State<F> {
    #[inline(always)]
    fn from(phase: Phase) -> Self {
        Self::Between { phase }
    }
}

impl<S, Req, T, A, R> fmt::Debug for ResponseFuture<S, Req, T, A, R>
where
    A: Replay<Req>,
    S: Service<A::Request>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match &self.stage {
            Stage::Running { state, .. } => match state {
                State::Attempt { .. } => "attempt",
                State::Between {
                    phase: Phase::Waiting,
                } => "waiting",
                State::Between {
                    phase: Phase::Readying,
                } => "readying",
                State::Between { phase: Phase::Last } => "over",
            },
            Stage::Over { .. } => "over",
        };
        f.debug_struct("ResponseFuture")
            .field("state", &state)
            .finish_non_exhaustive()
    }
}
