//! The handler's part of a run, and the watch over it: renewals, lost leases, callers that leave, panics.

use std::any::Any;
use std::future::{Future, pending, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::task::{Poll, ready};

use seaworthy_kit::{BoxError, Rejection, Tag};
use tower_service::Service;

use crate::current::{CURRENT, Run};
use crate::exchange::{Answer, Finished};
use crate::limited::limited;
use crate::phase::Phase;
use crate::shared::{OverdueRule, Recovered, Shared, results};
use crate::store::Store;

/// How the handler's part ended.
pub(crate) enum Worked<R> {
    Finished(Finished<R>),
    /// A recovery found the answer of an earlier run.
    Recovered(Vec<u8>),
    /// A recovery found nothing out.
    Unsure,
    /// The handler was not reached.
    Unreached(BoxError),
    Failed(BoxError),
}

/// How a handler's part ended, seen from outside of it.
pub(crate) enum Ended<T> {
    Worked(T),
    Panicked(Box<dyn Any + Send>),
    /// Another has the lease.
    Lost,
    /// It took longer than a run may.
    Overran,
    /// The caller has left, and that cancels.
    Cancelled,
}

impl<D: Store, E> Shared<D, E> {
    /// The handler's part of a run.
    pub(crate) async fn work<S, Req, C>(
        &self,
        mut service: S,
        request: Req,
        run: &Run,
    ) -> Worked<E::Response>
    where
        S: Service<Req>,
        S::Error: Into<BoxError>,
        E: Answer<S::Response, C>,
    {
        if run.attempt() > 1
            && let OverdueRule::Recover(hook) = &self.rules.overdue
        {
            match hook(run.clone()).await {
                Recovered::Content(content) => return Worked::Recovered(content),
                Recovered::Unknown => return Worked::Unsure,
                Recovered::RunAgain => {}
            }
        }
        if let Err(error) = poll_fn(|cx| service.poll_ready(cx)).await {
            return Worked::Unreached(error.into());
        }
        let first = run.attempt() == 1;
        self.report(if first {
            results::RAN
        } else {
            results::RAN_AGAIN
        });
        let response = match service.call(request).await {
            Ok(response) => response,
            Err(error) => {
                let error = error.into();
                return if is_from_before(&error, run) {
                    Worked::Unreached(error)
                } else {
                    Worked::Failed(error)
                };
            }
        };
        match self.exchange.finish(response, run).await {
            Ok(finished) => Worked::Finished(finished),
            Err(error) => Worked::Failed(error),
        }
    }

    /// Runs the handler's part of a run to its end, or as far as it may.
    pub(crate) async fn watch<T>(
        &self,
        phase: &Phase,
        run: &Run,
        work: impl Future<Output = T>,
    ) -> Ended<T> {
        let mut work = pin!(Some(CURRENT.scope(run.clone(), work)));
        let ended = self
            .oversee(phase, work.as_mut(), self.renew(run.lease()))
            .await;
        if let Ended::Lost | Ended::Overran | Ended::Cancelled = ended {
            // Before the handler is dropped, so that its `drop` and its tasks can see it.
            run.lose();
        }
        drop_quietly(work);
        ended
    }

    /// The same without a record, and so without a lease that could be lost.
    pub(crate) async fn watch_unprotected<T>(
        &self,
        phase: &Phase,
        work: impl Future<Output = T>,
    ) -> Ended<T> {
        let mut work = pin!(Some(work));
        let ended = self.oversee(phase, work.as_mut(), pending()).await;
        drop_quietly(work);
        ended
    }

    /// Polls until it is over, the lease is lost, the time is up, or the caller has left and that cancels.
    async fn oversee<T, W>(
        &self,
        phase: &Phase,
        mut work: Pin<&mut Option<W>>,
        lost: impl Future<Output = ()>,
    ) -> Ended<T>
    where
        W: Future<Output = T>,
    {
        let mut lost = pin!(limited(self.rules.max_run, lost));
        let mut told = false;
        poll_fn(|cx| {
            if phase.is_cancelled() {
                return Poll::Ready(Ended::Cancelled);
            }
            if phase.has_left() && !told {
                told = true;
                self.report(results::DETACHED);
            }
            let working = work.as_mut().as_pin_mut().expect("there until it is over");
            // The handler before the renewals: one that is done needs no lease any more.
            match catch_unwind(AssertUnwindSafe(|| working.poll(cx))) {
                Ok(Poll::Ready(worked)) => return Poll::Ready(Ended::Worked(worked)),
                Ok(Poll::Pending) => {}
                Err(panic) => return Poll::Ready(Ended::Panicked(panic)),
            }
            let lapsed = ready!(lost.as_mut().poll(cx));
            Poll::Ready(lapsed.map_or(Ended::Overran, |()| Ended::Lost))
        })
        .await
    }
}

/// A handler that panics once more while it is dropped changes nothing.
fn drop_quietly<W>(mut work: Pin<&mut Option<W>>) {
    let _ = catch_unwind(AssertUnwindSafe(|| work.set(None)));
}

/// Whether an error is a refusal of a layer before the handler, and no retry in between has sent the request before that.
fn is_from_before(error: &BoxError, run: &Run) -> bool {
    let refused = Rejection::find(&**error).is_some_and(|rejection| !rejection.reached_inner())
        && !Tag::may_have_arrived(&**error);
    run.has_done_nothing() || refused && !run.was_reached()
}
