//! Which failures are worth another attempt, and what they say about when.

use seaworthy_core::Hint;
use seaworthy_kit::{BoxError, Judge, Rejection, RejectionKind, Tag};

use crate::Exhausted;
use crate::gate::RetryGate;
use crate::rules::{Again, Ask};

/// A failed attempt that would be worth another one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Transient {
    pub(crate) hint: Hint,
    pub(crate) seen: Seen,
}

/// Whether the server has seen the request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Seen {
    /// It may have.
    Maybe,
    /// It has not, and nobody on the way minds.
    Never,
    /// It has not, because a layer further in refused the call.
    Refused,
}

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
        let (response, again) = if R::ASKS {
            judge.look(response, |head| rule.ask(head))
        } else {
            let transient = judge.is_transient(&response);
            (response, transient.into())
        };
        // Another retry further in has done what can be done.
        if again == Again::No || judge.attempts(&response).is_some() {
            return (response, None);
        }
        let transient = match judge.rejection(&response) {
            Some(rejection) => {
                let arrived = judge.tagged(&response) == Some(Tag::MaybeProcessed);
                self.judge_rejection(rejection, arrived)
            }
            None => Some(Transient {
                hint: again.over(judge.hint(&response)),
                seen: Seen::Maybe,
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
        let tag = Tag::find(&**error);
        if tag == Some(Tag::DoNotRetry) {
            return Some(Transient {
                hint: Hint::Never,
                seen: Seen::Maybe,
            });
        }
        let rejection = Rejection::find(&**error);
        if let Some(rejection) = rejection
            && !rejection.reached_inner()
        {
            return self.judge_rejection(rejection, Tag::may_have_arrived(&**error));
        }
        let again = match &self.callbacks.retry_error {
            Some(retry_error) => retry_error(error),
            None if tag.is_some() || rejection.is_some() => Again::Yes,
            None => judge.is_transient_error(error).into(),
        };
        if again == Again::No {
            return None;
        }
        let hint = match tag {
            Some(Tag::RetryAfter(wait)) => Hint::After(wait),
            _ => Hint::None,
        };
        let is_unseen = !Tag::may_have_arrived(&**error)
            && (tag == Some(Tag::NeverSent) || judge.was_never_sent(error));
        Some(Transient {
            hint: again.over(hint),
            seen: if is_unseen { Seen::Never } else { Seen::Maybe },
        })
    }

    /// A local refusal comes again at once unless it is waited for, and says how long.
    ///
    /// `arrived` says that the request may have arrived all the same, by an attempt before the one that was refused.
    fn judge_rejection(&self, rejection: &Rejection, arrived: bool) -> Option<Transient> {
        if rejection.reached_inner() {
            return Some(Transient {
                hint: Hint::None,
                seen: Seen::Maybe,
            });
        }
        // None of them gets better by waiting.
        let hopeless = matches!(
            rejection.kind(),
            RejectionKind::DeadlineExceeded
                | RejectionKind::Draining
                | RejectionKind::KeyReused
                | RejectionKind::OutcomeUnknown
        );
        (self.switches.refusals && !hopeless).then(|| Transient {
            hint: rejection.retry_after().map_or(Hint::None, Hint::After),
            seen: if arrived { Seen::Maybe } else { Seen::Refused },
        })
    }

    /// Counts an attempt for the throttling tokens, where there are some.
    pub(crate) fn throttle<Res, J>(
        &self,
        judge: &J,
        result: Result<&Res, &BoxError>,
        transient: Option<&Transient>,
    ) where
        J: Judge<Res>,
    {
        let Some(throttle) = &self.throttle else {
            return;
        };
        match (result, transient) {
            // It says nothing about the server.
            (_, Some(transient)) if transient.seen == Seen::Refused => {}
            (_, Some(_)) => throttle.on_failure(),
            // Whatever else it says, it also says not to come back.
            (Ok(response), None) if judge.hint(response) == Hint::Never => throttle.on_failure(),
            (Ok(response), None) if !judge.is_failure(response) => throttle.on_success(),
            (_, None) => {}
        }
    }
}
