//! Which failures are worth another attempt, and what they say about when.

use std::fmt;
use std::sync::Arc;

use seaworthy_core::Hint;

use crate::rules::{Again, Ask};
use crate::{BoxError, Exhausted, Judge, Rejection, RejectionKind, Tag};

/// Tells which failures are worth another attempt, by the [`Judge`] of the protocol, the tags of errors, and what the user said.
#[derive(Clone, Default)]
pub struct Failures {
    refusals: bool,
    errors: Option<Arc<dyn Fn(&BoxError) -> Again + Send + Sync>>,
}

/// A failed attempt that would be worth another one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Transient {
    /// What is known of when.
    pub hint: Hint,
    /// Whether the server has seen it.
    pub seen: Seen,
}

/// Whether the server has seen the request.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[expect(
    clippy::exhaustive_enums,
    reason = "it has, it has not, or nobody sent it"
)]
pub enum Seen {
    /// It may have.
    Maybe,
    /// It has not, and nobody on the way minds.
    Never,
    /// It has not, because a layer further in refused the call.
    Refused,
}

impl Failures {
    /// Whether refusals by a layer further in are worth another attempt. Default: no.
    pub const fn refusals(&mut self, on: bool) {
        self.refusals = on;
    }

    /// Asks the user about errors, in place of the protocol; not about refusals, nor about errors that nobody is to try again.
    pub fn errors<F, O>(&mut self, is_transient: F)
    where
        F: Fn(&BoxError) -> O + Send + Sync + 'static,
        O: Into<Again>,
    {
        self.errors = Some(Arc::new(move |error| is_transient(error).into()));
    }

    /// Whether a response asks for another attempt.
    pub fn judge_response<Res, J, R>(
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
    pub fn judge_error<Res, J>(&self, judge: &J, error: &BoxError) -> Option<Transient>
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
        let again = match &self.errors {
            Some(ask) => ask(error),
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
        (self.refusals && !hopeless).then(|| Transient {
            hint: rejection.retry_after().map_or(Hint::None, Hint::After),
            seen: if arrived { Seen::Maybe } else { Seen::Refused },
        })
    }
}

impl fmt::Debug for Failures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Failures")
            .field("refusals", &self.refusals)
            .field("asks", &self.errors.is_some())
            .finish()
    }
}
