//! A call whose first attempt is slow or has failed: when another is sent, and which result ends the call.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;
use seaworthy_core::hedge::{Next, Then};
use seaworthy_kit::{Ask, BoxError, Guard, Judge, Replay};
use tokio::time::Sleep;
use tower_service::Service;

use crate::field::{Ended, Field, drop_loser};
use crate::gate::HedgeGate;
use crate::judge::{Weighed, weigh};
use crate::response::Parts;

pin_project! {
    /// The first attempt of a call.
    #[project = Project]
    pub(crate) enum First<F> {
        Running { #[pin] future: F },
        Over,
        Refused { error: Option<BoxError> },
    }
}

/// Whether the timer knows of the next attempt.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Schedule {
    /// It has to be asked when that is due.
    Unknown,
    /// The timer stands for it.
    Armed,
    /// There is none by time.
    Never,
}

/// A call whose first attempt is not a plain success at once.
///
/// The guard is by value, so that a panic in foreign code settles it as failed; the rest stays where it lies.
pub(crate) struct Slow<'a, S, Req, T, A, R>
where
    A: Replay<Req>,
    S: Service<A::Request>,
{
    pub(crate) guard: Guard<HedgeGate>,
    pub(crate) parts: &'a Parts<T, A, R>,
    pub(crate) field: &'a mut Field<S, A::Request, A::Kept>,
    pub(crate) first: Pin<&'a mut First<S::Future>>,
    pub(crate) timer: Pin<&'a mut Option<Sleep>>,
    pub(crate) schedule: &'a mut Schedule,
}

// ===== impl Slow =====

impl<S, Req, T, A, R> Slow<'_, S, Req, T, A, R>
where
    A: Replay<Req> + Judge<S::Response>,
    S: Service<<A as Replay<Req>>::Request>,
    S::Error: Into<BoxError>,
    R: Ask<<A as Judge<S::Response>>::Head>,
{
    pub(crate) fn poll(
        &mut self,
        mut ended: Option<Ended<S::Response>>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<S::Response, BoxError>> {
        loop {
            if let Some((number, result)) = ended.take() {
                if number == 1 {
                    // What the attempt still holds, as a connection, must be free before anything else is done.
                    self.first.set(First::Over);
                }
                if let Some(result) = self.conclude(number, result, cx) {
                    return Poll::Ready(result);
                }
            }
            ended = self.field.poll_hedges(cx);
            if ended.is_some() {
                continue;
            }
            if self.field.is_parked() {
                ready!(self.field.poll_parked(self.guard.gate(), cx));
                *self.schedule = Schedule::Unknown;
                if self.field.race().is_over() {
                    return Poll::Ready(self.field.take_best());
                }
                continue;
            }
            ready!(self.poll_schedule(cx));
        }
    }

    /// An attempt is over: is the call?
    fn conclude(
        &mut self,
        number: u32,
        result: Result<S::Response, BoxError>,
        cx: &mut Context<'_>,
    ) -> Option<Result<S::Response, BoxError>> {
        let gate = self.guard.gate();
        let weighed = weigh(&gate.failures, &self.parts.replay, &self.parts.rule, result);
        let (result, failure, reason) = match weighed {
            Weighed::Success(response) => {
                self.win(number);
                return Some(Ok(response));
            }
            Weighed::Failure {
                result,
                failure,
                withheld,
            } => (result, failure, withheld),
        };
        if number == 1 {
            gate.measure_censored(self.field.started());
            self.field.forget_start();
        }
        let now = gate.clock.now();
        let race = self.field.begin(gate, now);
        if race.has_left()
            && let Some(reason) = reason
        {
            gate.withhold(reason);
        }
        let failed = race.failed(failure);
        if failed.keep {
            self.field.keep(result);
        }
        if !failure.again {
            // Also of a hedge that waits for readiness.
            self.field.stop();
        }
        match failed.then {
            // It comes as soon as the inner service is ready.
            Then::Again if self.field.is_parked() => {}
            Then::Again => {
                let control = self.guard.control();
                let replay = &self.parts.replay;
                if self.field.send(gate, control, replay, true, now, cx) {
                    *self.schedule = Schedule::Unknown;
                }
            }
            Then::Wait | Then::Over => {}
        }
        let is_over = self.field.race().is_over() && !self.field.is_parked();
        is_over.then(|| self.field.take_best())
    }

    /// An attempt has succeeded: the others are dropped, before anybody hears of it.
    fn win(&mut self, number: u32) {
        let gate = self.guard.gate();
        let started = self.field.started();
        if number == 1 {
            gate.measure(started);
        } else {
            gate.measure_censored(started);
        }
        self.field.forget_start();
        drop_loser(|| self.first.set(First::Over));
        self.field.drop_all();
        if number > 1 {
            gate.has_won(number);
        }
    }

    /// Ready when an attempt was sent, or put off; the clock is read only when the timer is set or over.
    fn poll_schedule(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            match *self.schedule {
                Schedule::Never => return Poll::Pending,
                Schedule::Armed => {
                    let timer = self.timer.as_mut().as_pin_mut();
                    ready!(timer.expect("armed").poll(cx));
                    *self.schedule = Schedule::Unknown;
                }
                Schedule::Unknown => {
                    let gate = self.guard.gate();
                    let now = gate.clock.now();
                    match self.field.wait(gate, now).next(now) {
                        Next::Never => {
                            self.timer.set(None);
                            *self.schedule = Schedule::Never;
                        }
                        Next::Wait(left) => {
                            self.timer.set(Some(tokio::time::sleep(left)));
                            *self.schedule = Schedule::Armed;
                        }
                        Next::Send => {
                            let control = self.guard.control();
                            let replay = &self.parts.replay;
                            if self.field.send(gate, control, replay, false, now, cx) {
                                return Poll::Ready(());
                            }
                        }
                    }
                }
            }
        }
    }
}
