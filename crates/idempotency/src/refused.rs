//! Why a request with a key was not run.

use std::time::Duration;

use seaworthy_kit::{Refusal, RejectionKind};

/// Why the inner service was not called.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Refused {
    /// A key is required, and there is none.
    KeyMissing,
    /// What stands for a key is none, or the field came more than once.
    KeyMalformed,
    /// The scope does not know the caller.
    CallerUnknown,
    /// The body is longer than so many bytes.
    BodyTooLarge {
        /// The limit.
        limit: usize,
    },
    /// The body did not come to its end in time.
    BodyTooSlow,
    /// The key was used for another request.
    KeyReused,
    /// The first request with this key still runs.
    InProgress {
        /// When to ask again.
        after: Duration,
    },
    /// A request with this key began, and nobody knows how it ended.
    OutcomeUnknown,
    /// A request with this key was answered, and the answer was not kept.
    AnswerNotKept {
        /// What it was: an HTTP status.
        status: Option<u16>,
    },
    /// The store did not answer, or what it has cannot be read.
    StoreUnavailable,
}

// ===== impl Refused =====

impl Refused {
    /// Every result, as metrics and events have it, whatever it carries.
    pub(crate) const fn result(self) -> &'static str {
        match self {
            Self::KeyMissing => "key_missing",
            Self::KeyMalformed => "key_malformed",
            Self::CallerUnknown => "caller_unknown",
            Self::BodyTooLarge { .. } => "body_too_large",
            Self::BodyTooSlow => "body_too_slow",
            Self::KeyReused => "key_reused",
            Self::InProgress { .. } => "in_progress",
            Self::OutcomeUnknown => "outcome_unknown",
            Self::AnswerNotKept { .. } => "answer_not_kept",
            Self::StoreUnavailable => "store_unavailable",
        }
    }

    /// As a refusal of the kit's, for requests whose answers have no form of their own; `None` for mistakes that only HTTP can make.
    pub(crate) const fn refusal(self) -> Option<Refusal> {
        let (kind, after) = match self {
            Self::KeyReused => (RejectionKind::KeyReused, None),
            Self::InProgress { after } => (RejectionKind::InProgress, Some(after)),
            Self::OutcomeUnknown | Self::AnswerNotKept { .. } => {
                (RejectionKind::OutcomeUnknown, None)
            }
            Self::StoreUnavailable => (RejectionKind::StoreUnavailable, None),
            Self::KeyMissing
            | Self::KeyMalformed
            | Self::CallerUnknown
            | Self::BodyTooLarge { .. }
            | Self::BodyTooSlow => return None,
        };
        Some(Refusal::new(kind, after))
    }
}
