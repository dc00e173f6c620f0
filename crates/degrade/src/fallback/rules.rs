//! Which ends are replaced, for all layers that give something in place of an answer.

use seaworthy_kit::{BoxError, Rejection, RejectionKind};

use super::{ByHead, ByTraffic, Names};
use crate::Cause;

/// Which errors and which responses are replaced.
pub(crate) struct Rules<N> {
    names: N,
    errors: Option<Errors>,
}

type Errors = Box<dyn Fn(&BoxError) -> bool + Send + Sync>;

/// What the head of a response says by itself.
#[derive(Clone, Copy, Default, Debug)]
#[expect(
    clippy::exhaustive_structs,
    reason = "who knows another kind of response says all of it"
)]
pub struct Seen<'a> {
    /// Whether it is bad, as far as nobody says otherwise.
    pub is_bad: bool,
    /// Whether it tells the caller of a mistake of its own.
    pub is_callers_mistake: bool,
    /// The rejection that a layer further in turned into this response.
    pub rejection: Option<&'a Rejection>,
}

impl Rules<ByTraffic> {
    pub(crate) const fn new() -> Self {
        Self {
            names: ByTraffic::new(),
            errors: None,
        }
    }
}

impl<N> Rules<N> {
    pub(crate) fn set_errors(
        &mut self,
        errors: impl Fn(&BoxError) -> bool + Send + Sync + 'static,
    ) {
        self.errors = Some(Box::new(errors));
    }

    pub(crate) fn with_names<F>(self, names: F) -> Rules<ByHead<F>> {
        Rules {
            names: ByHead::new(names),
            errors: self.errors,
        }
    }

    /// Why the answer with this head is replaced; `None` if it is not.
    pub(crate) fn cause_of<Head>(&self, head: &Head, seen: Seen<'_>) -> Option<Cause>
    where
        N: Names<Head>,
    {
        let named = self.names.names(head);
        if let Some(rejection) = seen.rejection {
            // The predicate sees the response, and may say no; it cannot say yes to a mistake.
            let is_replaced = named != Some(false) && is_replaced(rejection.kind());
            return is_replaced.then(|| Cause::of_rejection(rejection));
        }
        let is_bad = named.unwrap_or(seen.is_bad);
        (is_bad && !seen.is_callers_mistake).then_some(Cause::Answered)
    }

    /// Why what ended with this error is replaced; `None` if it is not.
    #[cold]
    pub(crate) fn cause_of_error(&self, error: &BoxError) -> Option<Cause> {
        let rejection = Rejection::find(&**error);
        if rejection.is_some_and(|rejection| is_callers_mistake(rejection.kind())) {
            return None;
        }
        let is_named = match &self.errors {
            Some(errors) => errors(error),
            None => rejection.is_none_or(|rejection| is_replaced(rejection.kind())),
        };
        is_named.then(|| Cause::of(error))
    }
}

/// Whether what a layer refused is replaced where nobody says otherwise.
const fn is_replaced(kind: RejectionKind) -> bool {
    !is_callers_mistake(kind) && !matches!(kind, RejectionKind::RateLimited)
}

/// Whether a rejection is about the caller and not about what it called.
const fn is_callers_mistake(kind: RejectionKind) -> bool {
    matches!(
        kind,
        RejectionKind::KeyReused
            | RejectionKind::InProgress
            | RejectionKind::OutcomeUnknown
            | RejectionKind::CostTooHigh
    )
}
