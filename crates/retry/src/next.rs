//! Whether a failed attempt is made again, and who is told.

use std::sync::atomic::Ordering;
use std::time::Duration;

use seaworthy_core::{Attempted, Deadline, Decision, Hint, Previous};
use seaworthy_kit::budget::Withdrawn;
use seaworthy_kit::failures::Seen;
use seaworthy_kit::{BoxError, Event, Rejection, Tag, Tagged, deadline};

use crate::gate::{Progress, RetryGate};
use crate::{Exhausted, GivenUp, Reason, Retrying};

/// Another attempt.
pub(crate) struct Next {
    pub(crate) delay: Duration,
    /// It counts as none: the server has not seen the last one.
    pub(crate) is_free: bool,
    pub(crate) withdrawn: Option<Withdrawn>,
    hinted: bool,
    draw: u64,
}

impl RetryGate {
    /// Whether there is another attempt, and after how long.
    ///
    /// `unseen` says that the server has not seen this one, and that the request is there to be sent at once.
    pub(crate) fn next(
        &self,
        progress: &Progress,
        hint: Hint,
        unseen: bool,
    ) -> Result<Next, Reason> {
        let now = self.clock.now();
        let mut attempted = Attempted::new(progress.started.unwrap_or(now), now);
        attempted.attempts = progress.before.saturating_add(progress.attempts);
        // What is left of it by its own clock, which need not be this layer's.
        let left = deadline::remaining();
        attempted.deadline = left.map_or(Deadline::NEVER, |left| Deadline::after(now, left));
        attempted.hint = hint;
        attempted.previous = progress.later().previous;
        attempted.unseen = unseen;

        let mut throttled = false;
        let mut withdrawn = None;
        let draw = self.callbacks.draw();
        let decision = self.policy.decide(&attempted, draw, || {
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
        let (delay, is_free) = match decision {
            Decision::Retry { delay } => (delay, false),
            Decision::Resend => (Duration::ZERO, true),
            Decision::GiveUp(_) if throttled => return Err(Reason::Throttled),
            Decision::GiveUp(why) => return Err(why.into()),
        };
        Ok(Next {
            delay,
            is_free,
            withdrawn,
            hinted: matches!(hint, Hint::After(_)),
            draw,
        })
    }

    /// Notes that there will be another attempt, and tells everybody.
    ///
    /// `seen` is what the server has of the one that failed, with that error if it was one.
    pub(crate) fn retrying(
        &self,
        progress: &mut Progress,
        seen: Seen,
        next: &Next,
        error: Option<&BoxError>,
    ) {
        let &Next {
            delay,
            is_free,
            hinted,
            draw,
            ..
        } = next;
        let attempt = progress.attempts;
        let later = progress.later_mut();
        later.sent |= seen == Seen::Maybe;
        if is_free {
            later.resent = true;
        } else {
            later.previous = Previous { wait: delay, draw };
            later.waited = later.waited.saturating_add(delay);
        }
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
                is_free,
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
                waited: progress.later().waited,
                error,
            });
        }
    }

    /// The error of a call that is given up in the poll in which its last attempt failed.
    pub(crate) fn give_up(&self, progress: &Progress, reason: Reason, error: BoxError) -> BoxError {
        self.given_up(progress, reason, Some(&error));
        // A first attempt that could not be repeated failed as it would have without this layer.
        // Where nobody is to try again, that is told all the same, for a retry further out.
        let is_final = matches!(
            reason,
            Reason::Budget | Reason::Throttled | Reason::ServerSaysNo
        );
        if progress.attempts > 1 || is_final {
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
    /// What the call ends with: a refusal of the last attempt says that nothing was sent, which is not so if an earlier one was.
    pub(crate) fn tagged(&self, error: BoxError) -> BoxError {
        if self.has_sent_before(|| Rejection::find(&*error)) {
            Tagged::new(Tag::MaybeProcessed, error).into()
        } else {
            error
        }
    }

    /// Whether the last attempt was refused, and an earlier one may have arrived.
    pub(crate) fn has_sent_before<'a>(
        &self,
        rejection: impl FnOnce() -> Option<&'a Rejection>,
    ) -> bool {
        self.later().sent && rejection().is_some_and(|it| !it.reached_inner())
    }

    fn exhausted(&self, reason: Reason, error: BoxError) -> BoxError {
        Box::new(Exhausted::new(
            self.attempts,
            self.later().waited,
            reason,
            error,
        ))
    }
}
