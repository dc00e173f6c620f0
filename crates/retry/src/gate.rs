//! What all clones of a retry service share: the policy, the budget, and every decision about a call that failed.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use seaworthy_core::{Attempted, Deadline, Decision, Hint, Moment, RetryPolicy, Throttle};
use seaworthy_kit::budget::{Counter, Withdrawn};
use seaworthy_kit::gate::NoWait;
use seaworthy_kit::{
    BoxError, Budget, Clock, Event, Gate, Judge, Refusal, Rejection, RejectionKind, Telemetry,
    Verdict, deadline,
};
use tokio::time::Sleep;

use crate::rules::Ask;
use crate::{Exhausted, GivenUp, Reason, Retrying};

/// A retry policy with a clock, a budget and a voice.
///
/// As a [`Gate`] it admits every call: what is refused is another attempt, and that call ends with the failure it has.
pub struct RetryGate {
    pub(crate) policy: RetryPolicy,
    pub(crate) attempt_timeout: Option<Duration>,
    pub(crate) total_timeout: Option<Duration>,
    pub(crate) budget: Option<Budget>,
    pub(crate) throttle: Option<Throttle>,
    pub(crate) switches: Switches,
    pub(crate) callbacks: Callbacks,
    pub(crate) clock: Clock,
    pub(crate) telemetry: Telemetry,
    pub(crate) retries: AtomicU64,
    pub(crate) gave_up: AtomicU64,
}

/// Options that are on or off.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Switches {
    pub(crate) any_method: bool,
    pub(crate) unsent: bool,
    pub(crate) refusals: bool,
    pub(crate) wait_for_ready: bool,
}

/// What users hang in.
#[derive(Clone, Default)]
pub(crate) struct Callbacks {
    pub(crate) retry_error: Option<Arc<dyn Fn(&BoxError) -> bool + Send + Sync>>,
    pub(crate) on_retry: Option<Arc<dyn Fn(&Retrying<'_>) + Send + Sync>>,
    pub(crate) on_exhausted: Option<Arc<dyn Fn(&GivenUp<'_>) + Send + Sync>>,
}

/// How far a call has come.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Progress {
    /// Attempts begun, the one under way included.
    pub(crate) attempts: u32,
    /// When it began, where somebody will ask.
    started: Option<Moment>,
    /// The wait before the attempt under way.
    previous: Duration,
    waited: Duration,
    /// Which limit the timer of the attempt under way stands for.
    limit: &'static str,
}

/// A failed attempt that would be worth another one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Transient {
    pub(crate) hint: Hint,
    /// The server has not seen the request.
    pub(crate) unsent: bool,
}

// ===== impl RetryGate: the way of every call =====

impl RetryGate {
    /// A call begins. Reads the clock once at most.
    pub(crate) fn begin(
        &self,
        offer: impl FnOnce(&Budget, &mut dyn FnMut() -> Moment),
    ) -> Progress {
        let mut read = None;
        let mut now = || *read.get_or_insert_with(|| self.clock.now());
        if let Some(budget) = &self.budget {
            offer(budget, &mut now);
        }
        Progress {
            attempts: 1,
            started: self.total_timeout.is_some().then(now),
            previous: Duration::ZERO,
            waited: Duration::ZERO,
            limit: "",
        }
    }

    /// Where a service counts its calls.
    pub(crate) fn counter(&self) -> Option<Counter> {
        self.budget.as_ref().map(Budget::counter)
    }

    /// Asked when an attempt has nothing to give yet: whether its time is over. The first time it arms the timer.
    pub(crate) fn poll_limit(
        &self,
        mut timer: Pin<&mut Option<Sleep>>,
        progress: &mut Progress,
        cx: &mut Context<'_>,
    ) -> Poll<BoxError> {
        if timer.is_none() {
            let Some((limit, left)) = self.limit(progress) else {
                return Poll::Pending;
            };
            progress.limit = limit;
            timer.set(Some(tokio::time::sleep(left)));
        }
        let armed = timer.as_mut().as_pin_mut().expect("armed above");
        ready!(armed.poll(cx));
        timer.set(None);
        self.telemetry.report(&Event::TimedOut {
            limit: progress.limit,
        });
        let rejection = self.telemetry.rejection(RejectionKind::TimedOut);
        Poll::Ready(Box::new(rejection))
    }

    /// The nearest limit of an attempt that begins to wait now.
    fn limit(&self, progress: &Progress) -> Option<(&'static str, Duration)> {
        let attempt = self.attempt_timeout.map(|limit| ("attempt", limit));
        let total = self.total_timeout.map(|limit| {
            let now = self.clock.now();
            let spent = now.since(progress.started.unwrap_or(now));
            ("total", limit.saturating_sub(spent))
        });
        let nearest = match (attempt, total) {
            (Some(attempt), Some(total)) if total.1 <= attempt.1 => Some(total),
            (Some(attempt), _) => Some(attempt),
            (None, total) => total,
        };
        nearest.filter(|&(_, left)| left != Duration::MAX)
    }

    /// Counts an attempt for the throttling tokens, where there are some.
    pub(crate) fn throttle(&self, answered: bool, transient: Option<&Transient>) {
        let Some(throttle) = &self.throttle else {
            return;
        };
        match transient {
            Some(_) => throttle.on_failure(),
            None if answered => throttle.on_success(),
            None => {}
        }
    }
}

// ===== impl RetryGate: after a failure =====

impl RetryGate {
    /// Whether a response asks for another attempt.
    pub(crate) fn judge_response<Res, J, R>(
        &self,
        judge: &J,
        rule: &R,
        response: Res,
    ) -> (Res, Option<Transient>)
    where
        J: Judge<Res>,
        R: Ask<J::Head>,
    {
        let (response, transient) = if R::ASKS {
            judge.look(response, |head| rule.ask(head))
        } else {
            let transient = judge.is_transient(&response);
            (response, transient)
        };
        // Another retry further in has done what can be done.
        if !transient || judge.attempts(&response).is_some() {
            return (response, None);
        }
        let transient = match judge.rejection(&response) {
            Some(rejection) => self.judge_rejection(rejection),
            None => Some(Transient {
                hint: judge.hint(&response),
                unsent: false,
            }),
        };
        (response, transient)
    }

    /// Whether an error is worth another attempt.
    pub(crate) fn judge_error<Res, J>(&self, judge: &J, error: &BoxError) -> Option<Transient>
    where
        J: Judge<Res>,
    {
        // Another retry further in has done what can be done.
        if Exhausted::find(&**error).is_some() {
            return None;
        }
        let rejection = Rejection::find(&**error);
        if let Some(rejection) = rejection
            && !rejection.reached_inner()
        {
            return self.judge_rejection(rejection);
        }
        let transient = match &self.callbacks.retry_error {
            Some(retry_error) => retry_error(error),
            None => rejection.is_some() || judge.is_transient_error(error),
        };
        transient.then(|| Transient {
            hint: Hint::None,
            unsent: judge.was_never_sent(error),
        })
    }

    /// A local refusal comes again at once unless it is waited for, and says how long.
    fn judge_rejection(&self, rejection: &Rejection) -> Option<Transient> {
        if rejection.reached_inner() {
            return Some(Transient {
                hint: Hint::None,
                unsent: false,
            });
        }
        // Neither of the two gets better by waiting.
        let hopeless = matches!(
            rejection.kind(),
            RejectionKind::DeadlineExceeded | RejectionKind::Draining
        );
        (self.switches.refusals && !hopeless).then(|| Transient {
            hint: rejection.retry_after().map_or(Hint::None, Hint::After),
            unsent: true,
        })
    }

    /// Whether there is another attempt, and after how long.
    pub(crate) fn next(
        &self,
        progress: &Progress,
        hint: Hint,
    ) -> Result<(Duration, Option<Withdrawn>), Reason> {
        let now = self.clock.now();
        let mut attempted = Attempted::new(progress.started.unwrap_or(now), now);
        attempted.attempts = progress.attempts;
        attempted.deadline = deadline::current().unwrap_or(Deadline::NEVER);
        attempted.hint = hint;
        attempted.previous = progress.previous;

        let mut throttled = false;
        let mut withdrawn = None;
        let decision = self.policy.decide(&attempted, seaworthy_kit::draw(), || {
            throttled = self.throttle.as_ref().is_some_and(|it| !it.allows_retry());
            if throttled {
                return false;
            }
            let Some(budget) = &self.budget else {
                return true;
            };
            withdrawn = budget.withdraw(now);
            withdrawn.is_some()
        });
        match decision {
            Decision::Retry { delay } => Ok((delay, withdrawn)),
            Decision::GiveUp(_) if throttled => Err(Reason::Throttled),
            Decision::GiveUp(why) => Err(why.into()),
        }
    }

    /// Tells everybody that there will be another attempt.
    pub(crate) fn retrying(
        &self,
        progress: &mut Progress,
        delay: Duration,
        hint: Hint,
        error: Option<&BoxError>,
    ) {
        let attempt = progress.attempts;
        let hinted = matches!(hint, Hint::After(_));
        progress.previous = delay;
        progress.waited = progress.waited.saturating_add(delay);
        self.retries.fetch_add(1, Ordering::Relaxed);
        self.telemetry.report(&Event::Retrying {
            attempt,
            delay,
            hinted,
        });
        if let Some(on_retry) = &self.callbacks.on_retry {
            on_retry(&Retrying {
                attempt,
                delay,
                hinted,
                error,
            });
        }
    }

    /// Tells everybody that there will be none.
    pub(crate) fn given_up(&self, progress: &Progress, reason: Reason, error: Option<&BoxError>) {
        let attempts = progress.attempts;
        self.gave_up.fetch_add(1, Ordering::Relaxed);
        self.telemetry.report(&Event::GaveUp {
            attempts,
            reason: reason.as_str(),
        });
        if let Some(on_exhausted) = &self.callbacks.on_exhausted {
            on_exhausted(&GivenUp {
                attempts,
                reason,
                error,
            });
        }
    }

    /// The error of a call that is given up in the poll in which its last attempt failed.
    pub(crate) fn give_up(&self, progress: &Progress, reason: Reason, error: BoxError) -> BoxError {
        self.given_up(progress, reason, Some(&error));
        // A first attempt that could not be repeated failed as it would have without this layer.
        // A used-up budget is told all the same: a retry further out must not spend another.
        if progress.attempts > 1 || matches!(reason, Reason::Budget | Reason::Throttled) {
            progress.exhausted(reason, error)
        } else {
            error
        }
    }

    /// The error of a call that is given up when its next attempt was due.
    pub(crate) fn give_up_late(
        &self,
        progress: &Progress,
        reason: Reason,
        error: BoxError,
    ) -> BoxError {
        self.given_up(progress, reason, Some(&error));
        progress.exhausted(reason, error)
    }
}

impl Progress {
    fn exhausted(&self, reason: Reason, error: BoxError) -> BoxError {
        Box::new(Exhausted::new(self.attempts, self.waited, reason, error))
    }
}

impl Gate for RetryGate {
    type Admission = ();
    type Wait = NoWait<()>;

    fn check(&self) -> Result<(), Refusal> {
        Ok(())
    }

    fn try_admit(&self) -> Result<(), Refusal> {
        Ok(())
    }

    fn settle(&self, (): (), _: Verdict) {}

    fn telemetry(&self) -> &Telemetry {
        &self.telemetry
    }
}

impl fmt::Debug for RetryGate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RetryGate")
            .field("name", &self.telemetry.name())
            .field("policy", &self.policy)
            .field("budget", &self.budget)
            .field("throttle", &self.throttle)
            .field("switches", &self.switches)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Callbacks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Callbacks").finish_non_exhaustive()
    }
}
