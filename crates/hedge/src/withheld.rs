//! Why a second try that was due is not sent.

/// Why a hedge is not sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Withheld {
    /// The layer's own share of extra calls is used up.
    Budget,
    /// Too much is being sent again already, by the retries outside.
    RetryBudget,
    /// Slow calls are the rule and no tail.
    TooManyLate,
    /// There is no time left in which it could be of use.
    Deadline,
    /// The answer said when to come back, or not to.
    ServerSaysNo,
    /// The body cannot be sent again, or not yet.
    Body,
    /// The inner service was not ready for it.
    NotReady,
    /// It would have been sent, but the layer only observes.
    Observed,
}

impl Withheld {
    pub(crate) const ALL: [Self; 8] = [
        Self::Budget,
        Self::RetryBudget,
        Self::TooManyLate,
        Self::Deadline,
        Self::ServerSaysNo,
        Self::Body,
        Self::NotReady,
        Self::Observed,
    ];

    /// The reason as metrics and events have it.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Budget => "budget",
            Self::RetryBudget => "retry_budget",
            Self::TooManyLate => "too_many_late",
            Self::Deadline => "deadline",
            Self::ServerSaysNo => "server_says_no",
            Self::Body => "body",
            Self::NotReady => "not_ready",
            Self::Observed => "observed",
        }
    }
}
