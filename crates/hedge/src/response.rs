//! The response future: the first attempt in its place, the others beside it, and the timer that sends them.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;
use seaworthy_kit::unwind::DropOnPanic;
use seaworthy_kit::{Ask, BoxError, Guard, Judge, Replay, Settle, Traffic};
use tokio::time::Sleep;
use tower_service::Service;

use crate::field::Field;
use crate::gate::HedgeGate;
use crate::slow::{First, Project, Schedule, Slow};

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
                        if let Some(field) = this.field {
                            guard.gate().measure(field.started());
                            // Where it lies: moving it out would copy it first.
                            *this.field = None;
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
