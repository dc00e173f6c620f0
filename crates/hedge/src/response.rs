//! The response future: the first attempt in its place, the others beside it, and the timer that sends them.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;
use seaworthy_core::hedge::{Next, Then};
use seaworthy_kit::unwind::DropOnPanic;
use seaworthy_kit::{Ask, BoxError, Guard, Judge, Replay, Settle, Traffic};
use tokio::time::Sleep;
use tower_service::Service;

use crate::field::{Ended, Field, drop_loser};
use crate::gate::HedgeGate;
use crate::judge::{Weighed, weigh};

/// What a call needs at its end.
pub(crate) struct Parts<T, A, R> {
    pub(crate) traffic: T,
    pub(crate) replay: A,
    pub(crate) rule: R,
}

pin_project! {
    /// The response of a call that may be hedged.
    ///
    /// ```text
    ///   first ──┬─ success before its delay ───────────────────────▶ done
    ///           ├─ slow ────────────────┐
    ///           └─ failed early ────────┤ allowed?
    ///                                   ├─ no ──▶ the first goes on, or its failure is the answer
    ///                                   └─ yes ─▶ first and hedge ──┬─ one succeeds: the other is dropped ─▶ done
    ///                                                               └─ both fail: the better failure ──────▶ done
    /// ```
    #[must_use = "futures do nothing unless polled"]
    pub struct ResponseFuture<S, Req, T, A, R>
    where
        A: Replay<Req>,
        S: Service<A::Request>,
    {
        #[pin]
        first: First<S::Future>,
        // Until the next attempt is due.
        #[pin]
        timer: Option<Sleep>,
        schedule: Schedule,
        guard: Option<Guard<HedgeGate>>,
        parts: Option<Parts<T, A, R>>,
        // `None` for a call that has one attempt and no more.
        field: Option<Field<S, A::Request, A::Kept>>,
    }

    impl<S, Req, T, A, R> PinnedDrop for ResponseFuture<S, Req, T, A, R>
    where
        A: Replay<Req>,
        S: Service<A::Request>,
    {
        fn drop(this: Pin<&mut Self>) {
            let this = this.project();
            // Cancellation: who leaves because it is slow must not make the others look fast.
            if let (Some(guard), Some(field)) = (this.guard, this.field) {
                guard.gate().measure_censored(field.started());
            }
        }
    }
}

pin_project! {
    #[project = Project]
    enum First<F> {
        Running { #[pin] future: F },
        Over,
        Refused { error: Option<BoxError> },
    }
}

/// Whether the timer knows of the next attempt.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Schedule {
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
struct Slow<'a, S, Req, T, A, R>
where
    A: Replay<Req>,
    S: Service<A::Request>,
{
    guard: Guard<HedgeGate>,
    parts: &'a Parts<T, A, R>,
    field: &'a mut Field<S, A::Request, A::Kept>,
    first: Pin<&'a mut First<S::Future>>,
    timer: Pin<&'a mut Option<Sleep>>,
    schedule: &'a mut Schedule,
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
        guard: Guard<HedgeGate>,
        parts: Parts<T, A, R>,
        field: Option<Field<S, A::Request, A::Kept>>,
    ) -> Self {
        Self {
            first: First::Running { future },
            timer: None,
            schedule: Schedule::Unknown,
            guard: Some(guard),
            parts: Some(parts),
            field,
        }
    }

    #[inline(always)]
    pub(crate) const fn refused(error: BoxError) -> Self {
        Self {
            first: First::Refused { error: Some(error) },
            timer: None,
            schedule: Schedule::Never,
            guard: None,
            parts: None,
            field: None,
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
    type Output = Result<T::Response<Guard<HedgeGate>>, BoxError>;

    #[inline(always)]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let ended = match this.first.as_mut().project() {
            Project::Running { future } => {
                assert!(this.guard.is_some(), "polled after it panicked");
                // Stays in its place while the attempt runs, which is all that most calls do.
                let polled = {
                    let mut panicked = DropOnPanic::new(&mut *this.guard);
                    let polled = future.poll(cx);
                    panicked.disarm();
                    polled
                };
                let parts = this.parts.as_ref().expect(HAS_PARTS);
                match polled {
                    Poll::Ready(Ok(response))
                        if parts.is_success(&response) && is_alone(this.field) =>
                    {
                        let guard = this.guard.take().expect("seen above");
                        this.first.set(First::Over);
                        if let Some(field) = this.field.take() {
                            guard.gate().measure(field.started());
                        }
                        this.timer.set(None);
                        return Poll::Ready(Ok(parts.traffic.finish(response, guard)));
                    }
                    Poll::Ready(result) => Some((1, result.map_err(Into::into))),
                    Poll::Pending if this.field.is_none() => return Poll::Pending,
                    Poll::Pending => None,
                }
            }
            Project::Over => None,
            Project::Refused { error } => {
                return Poll::Ready(Err(error.take().expect("polled after it was ready")));
            }
        };
        let guard = this.guard.take().expect("polled after it was ready");
        let parts = this.parts.as_ref().expect(HAS_PARTS);
        let (guard, result) = match this.field.as_mut() {
            Some(field) => {
                let mut slow = Slow {
                    guard,
                    parts,
                    field,
                    first: this.first,
                    timer: this.timer.as_mut(),
                    schedule: this.schedule,
                };
                match slow.poll(ended, cx) {
                    Poll::Ready(result) => (slow.guard, result),
                    Poll::Pending => {
                        *this.guard = Some(slow.guard);
                        return Poll::Pending;
                    }
                }
            }
            None => {
                this.first.set(First::Over);
                (guard, ended.expect("the only attempt is over").1)
            }
        };
        *this.field = None;
        this.timer.set(None);
        Poll::Ready(match result {
            Ok(response) => Ok(parts.traffic.finish(response, guard)),
            Err(error) => {
                guard.settle(parts.traffic.failed(&error));
                Err(error)
            }
        })
    }
}

/// Whether no other attempt was ever sent.
#[inline(always)]
fn is_alone<S: Service<Q>, Q, K>(field: &Option<Field<S, Q, K>>) -> bool {
    field.as_ref().is_none_or(Field::is_alone)
}

// ===== impl Parts =====

impl<T, A, R> Parts<T, A, R> {
    /// Whether this response is a success, as far as that is seen without asking the user.
    #[inline(always)]
    fn is_success<Res>(&self, response: &Res) -> bool
    where
        A: Judge<Res>,
        R: Ask<A::Head>,
    {
        !R::ASKS && !self.replay.is_failure(response)
    }
}

// ===== impl Slow =====

impl<S, Req, T, A, R> Slow<'_, S, Req, T, A, R>
where
    A: Replay<Req> + Judge<S::Response>,
    S: Service<<A as Replay<Req>>::Request>,
    S::Error: Into<BoxError>,
    R: Ask<<A as Judge<S::Response>>::Head>,
{
    fn poll(
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

impl<S, Req, T, A, R> fmt::Debug for ResponseFuture<S, Req, T, A, R>
where
    A: Replay<Req>,
    S: Service<A::Request>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture")
            .field("field", &self.field)
            .finish_non_exhaustive()
    }
}
