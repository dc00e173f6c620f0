//! What is decided between two attempts: whether there is another, what it sends, and what the caller gets if there is none.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use seaworthy_kit::budget::Withdrawn;
use seaworthy_kit::failures::Seen;
use seaworthy_kit::readiness::poll_unconstrained;
use seaworthy_kit::{
    Ask, Attempt, Attempts, BoxError, Guard, Judge, Replay, Seldom, Settle, Tag, Traffic,
};
use tokio::time::Sleep;
use tower_service::Service;

use crate::Reason;
use crate::gate::{Progress, RetryGate};

/// A call between two attempts.
///
/// The guard is by value, so that a panic in foreign code settles it as failed; the rest stays where it lies.
pub(crate) struct Call<'a, T, A, R> {
    pub(crate) guard: Guard<RetryGate>,
    pub(crate) parts: &'a mut Parts<T, A, R>,
}

/// What a call needs besides its guard, whether it has one attempt or more.
pub(crate) struct Parts<T, A, R> {
    pub(crate) traffic: T,
    pub(crate) replay: A,
    pub(crate) rule: R,
    pub(crate) progress: Progress,
    pub(crate) reach: Reach,
}

/// How far the attempts of a call may go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Reach {
    /// One attempt.
    Once,
    /// Another one if the server has not seen the request.
    Unsent,
    /// Others, whatever the server has seen.
    Any,
}

/// What a call needs for further attempts.
pub(crate) struct Repeat<S, Req, K> {
    service: S,
    kept: K,
    /// Nothing while the first attempt runs: most calls end with it, and none of them has room for another request.
    failed: Seldom<Box<Failed<Req>>>,
}

/// What there is once an attempt has failed.
struct Failed<Req> {
    next: Option<Req>,
    /// The next attempt counts as none.
    is_free: bool,
    /// The failure of the last attempt; where that was a response, what it said.
    last: Option<BoxError>,
    /// Given back if the call is dropped while it waits.
    withdrawn: Option<Withdrawn>,
}

pub(crate) enum Step<Res> {
    Done(Result<Res, BoxError>),
    Again(Duration),
}

// ===== impl Parts =====

impl<T, A, R> Parts<T, A, R> {
    /// Whether this response ends the call without anything to be decided or noted.
    ///
    /// What [`conclude`](Call::conclude) would find out, for the calls that need not go there.
    #[inline(always)]
    pub(crate) fn is_final<Res>(&self, gate: &RetryGate, response: &Res) -> bool
    where
        A: Judge<Res>,
        R: Ask<A::Head>,
    {
        !R::ASKS
            && self.progress.attempts == 1
            && gate.throttle.is_none()
            && !self.replay.is_transient(response)
    }
}

// ===== impl Call =====

impl<T, A, R> Call<'_, T, A, R> {
    /// An attempt is over: is the call?
    #[inline(never)]
    pub(crate) fn conclude<S, Req, Res>(
        &mut self,
        result: Result<Res, BoxError>,
        repeat: &mut Option<Repeat<S, A::Request, A::Kept>>,
    ) -> Step<Res>
    where
        A: Replay<Req> + Judge<Res>,
        R: Ask<<A as Judge<Res>>::Head>,
    {
        let gate = self.guard.gate();
        if self.parts.reach == Reach::Once && gate.throttle.is_none() {
            return Step::Done(result);
        }
        let (result, transient) = match result {
            Ok(response) => {
                let (response, transient) =
                    gate.failures
                        .judge_response(&self.parts.replay, &self.parts.rule, response);
                (Ok(response), transient)
            }
            Err(error) => {
                let transient = gate
                    .failures
                    .judge_error::<Res, _>(&self.parts.replay, &error);
                (Err(error), transient)
            }
        };
        let mut unseen = self.can_resend(repeat, transient.map(|it| it.seen));
        if unseen && let Some(repeat) = repeat {
            // A connection that broke may still hold on to the body: then it is an attempt like others.
            repeat.failed().is_free = true;
            let next = self.again(repeat);
            unseen = next.is_some();
            repeat.failed().next = next;
        }
        let gate = self.guard.gate();
        if !unseen {
            gate.throttle(&self.parts.replay, result.as_ref(), transient.as_ref());
        }
        let transient = transient.filter(|transient| match self.parts.reach {
            Reach::Once => false,
            Reach::Unsent => transient.seen != Seen::Maybe,
            Reach::Any => true,
        });
        let Some(transient) = transient else {
            return Step::Done(self.noted(result));
        };
        let Some(repeat) = repeat else {
            return self.give_up(Reason::Body, result);
        };
        let next = match gate.next(&self.parts.progress, transient.hint, unseen) {
            Ok(next) => next,
            Err(reason) => return self.give_up(reason, result),
        };
        if self.parts.progress.is_observed(self.guard.control()) {
            return self.give_up(Reason::Observed, result);
        }
        repeat.failed().is_free = next.is_free;
        if !next.is_free {
            let next = self.again(repeat);
            repeat.failed().next = next;
        }
        // Where there is a response to return, the request must be there before that is given away.
        // An error keeps: a connection that broke may hold on to the body for a moment.
        let hopeless = result.is_ok() || self.parts.replay.is_spent(&repeat.kept);
        if repeat.failed().next.is_none() && hopeless {
            return self.give_up(Reason::Body, result);
        }
        let error = result.as_ref().err();
        gate.retrying(&mut self.parts.progress, transient.seen, &next, error);
        let delay = next.delay;
        repeat.failed().withdrawn = next.withdrawn;
        // Dropped here, before the wait: a response that nobody reads keeps its connection busy.
        repeat.failed().last = Some(match result {
            Ok(response) => self.parts.replay.describe(&response),
            Err(error) => error,
        });
        Step::Again(delay)
    }

    /// The wait is over: makes the next attempt, or says why not.
    pub(crate) fn resume<S, Req>(
        &mut self,
        repeat: &mut Repeat<S, A::Request, A::Kept>,
        timer: Pin<&mut Option<Sleep>>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<S::Future, BoxError>>
    where
        A: Replay<Req>,
        S: Service<A::Request>,
        S::Error: Into<BoxError>,
    {
        if repeat.failed().next.is_none() {
            let next = self.again(repeat);
            repeat.failed().next = next;
        }
        if repeat.failed().next.is_none() {
            return Poll::Ready(Err(self.give_up_late(Reason::Body, repeat)));
        }
        let gate = self.guard.gate();
        match poll_unconstrained(&mut repeat.service, cx) {
            Poll::Ready(Ok(())) => {}
            Poll::Ready(Err(error)) => {
                repeat.failed().last = Some(error.into());
                return Poll::Ready(Err(self.give_up_late(Reason::NotReady, repeat)));
            }
            // A stack that is not ready has enough to do; retries must not queue up in front of it.
            Poll::Pending => match gate.poll_patience(timer, &self.parts.progress, cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(()) => {
                    return Poll::Ready(Err(self.give_up_late(Reason::NotReady, repeat)));
                }
            },
        }
        if let Some(withdrawn) = repeat.failed().withdrawn.take() {
            withdrawn.spend();
        }
        repeat.failed().last = None;
        if !repeat.failed().is_free {
            self.parts.progress.attempts += 1;
        }
        let request = repeat.failed().next.take().expect("made above");
        Poll::Ready(Ok(repeat.service.call(request)))
    }

    fn again<S, Req>(&self, repeat: &mut Repeat<S, A::Request, A::Kept>) -> Option<A::Request>
    where
        A: Replay<Req>,
    {
        let made = self
            .parts
            .progress
            .before
            .saturating_add(self.parts.progress.attempts);
        let number = made.saturating_add(u32::from(!repeat.failed().is_free));
        self.parts
            .replay
            .again(&mut repeat.kept, Attempt::new(number))
    }

    /// Whether an attempt may be made again for free.
    fn can_resend<S, Req, K>(
        &self,
        repeat: &Option<Repeat<S, Req, K>>,
        seen: Option<Seen>,
    ) -> bool {
        matches!(seen, Some(Seen::Never)) && !self.parts.progress.later().resent && repeat.is_some()
    }

    fn give_up<Res>(&mut self, reason: Reason, result: Result<Res, BoxError>) -> Step<Res>
    where
        A: Judge<Res>,
    {
        let gate = self.guard.gate();
        if self.parts.progress.is_observed(self.guard.control()) {
            gate.given_up(&self.parts.progress, reason, result.as_ref().err());
            return Step::Done(result);
        }
        Step::Done(match result {
            Ok(mut response) => {
                gate.given_up(&self.parts.progress, reason, None);
                let attempts = Attempts::new(self.parts.progress.attempts);
                self.parts.replay.note(&mut response, attempts);
                Ok(response)
            }
            Err(error) => Err(gate.give_up(&self.parts.progress, reason, error)),
        })
    }

    fn give_up_late<S, Req, K>(&self, reason: Reason, repeat: &mut Repeat<S, Req, K>) -> BoxError {
        let last = repeat.failed().last.take().expect("kept during the wait");
        self.guard
            .gate()
            .give_up_late(&self.parts.progress, reason, last)
    }

    /// A response that took more than one attempt says so.
    fn noted<Res>(&self, mut result: Result<Res, BoxError>) -> Result<Res, BoxError>
    where
        A: Judge<Res>,
    {
        if let Ok(response) = &mut result
            && self.parts.progress.attempts > 1
        {
            let attempts = Attempts::new(self.parts.progress.attempts);
            self.parts.replay.note(response, attempts);
        }
        result
    }

    /// The end of the call.
    pub(crate) fn finish<Res>(
        self,
        result: Result<Res, BoxError>,
    ) -> Result<T::Response<Guard<RetryGate>>, BoxError>
    where
        T: Traffic<Res>,
        A: Judge<Res>,
    {
        let Parts {
            replay, progress, ..
        } = &*self.parts;
        match result {
            Ok(mut response) => {
                if progress.has_sent_before(|| replay.rejection(&response)) {
                    replay.tag(&mut response, Tag::MaybeProcessed);
                }
                Ok(self.parts.traffic.finish(response, self.guard))
            }
            Err(error) => {
                self.guard.settle(self.parts.traffic.failed(&error));
                Err(progress.tagged(error))
            }
        }
    }
}

impl<S, Req, K> Repeat<S, Req, K> {
    pub(crate) const fn new(service: S, kept: K) -> Self {
        Self {
            service,
            kept,
            failed: Seldom::new(None),
        }
    }

    fn failed(&mut self) -> &mut Failed<Req> {
        self.failed.get_or_insert_with(|| {
            Box::new(Failed {
                next: None,
                is_free: false,
                last: None,
                withdrawn: None,
            })
        })
    }
}
