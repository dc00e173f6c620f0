//! The error of a call that was given up, and why.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use seaworthy_core::GiveUp;

use crate::{BoxError, causes};

/// A call that failed more than once, or that failed and must not be tried again by anybody: the budget is used up, or the server said so.
///
/// Its [`source`](Error::source) is the last failure itself, so that [`Rejection::find`](crate::Rejection::find) and downcasts along the chain still work.
/// A retry layer further out leaves it alone, or attempts would multiply; so it is here, where an edge between the two can see it.
#[derive(Debug)]
pub struct Exhausted {
    attempts: u32,
    waited: Duration,
    reason: Reason,
    source: BoxError,
}

/// Why a call that failed is not tried again.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Reason {
    /// All attempts have been made.
    Attempts,
    /// The server said not to ask again.
    ServerSaysNo,
    /// The server asked for a longer wait than there is time.
    HintTooLong,
    /// Before another attempt could be over, the deadline would be.
    Deadline,
    /// Before another attempt could be over, the total time would be.
    TotalTime,
    /// Too much is being sent again already.
    Budget,
    /// Too many attempts fail: the throttling tokens are used up.
    Throttled,
    /// The body of the request cannot be sent again: it is too long, or what is left of it is gone.
    Body,
    /// The inner service was not ready for another attempt.
    NotReady,
    /// There would have been another attempt, but the layer only observes.
    Observed,
}

// ===== impl Exhausted =====

impl Exhausted {
    /// What a retry layer makes of the last failure.
    #[must_use]
    pub const fn new(attempts: u32, waited: Duration, reason: Reason, source: BoxError) -> Self {
        Self {
            attempts,
            waited,
            reason,
            source,
        }
    }

    /// How many attempts were made, the first one included.
    #[must_use]
    pub const fn attempts(&self) -> u32 {
        self.attempts
    }

    /// How long the call waited between its attempts, in all.
    #[must_use]
    pub const fn waited(&self) -> Duration {
        self.waited
    }

    /// Why there was no further attempt.
    #[must_use]
    pub const fn reason(&self) -> Reason {
        self.reason
    }

    /// The last failure itself.
    #[must_use]
    pub fn into_source(self) -> BoxError {
        self.source
    }

    /// The `Exhausted` in an error or in its source chain.
    #[must_use]
    pub fn find<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a Self> {
        causes::find(error)
    }
}

impl fmt::Display for Exhausted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = if self.attempts == 1 { "" } else { "s" };
        write!(
            f,
            "gave up after {} attempt{plural}: {}",
            self.attempts, self.reason
        )
    }
}

impl Error for Exhausted {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.source)
    }
}

// ===== impl Reason =====

impl Reason {
    /// Every reason.
    pub const ALL: [Self; 10] = [
        Self::Attempts,
        Self::ServerSaysNo,
        Self::HintTooLong,
        Self::Deadline,
        Self::TotalTime,
        Self::Budget,
        Self::Throttled,
        Self::Body,
        Self::NotReady,
        Self::Observed,
    ];

    /// The reason as metrics and events have it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Attempts => "attempts",
            Self::ServerSaysNo => "server_says_no",
            Self::HintTooLong => "hint_too_long",
            Self::Deadline => "deadline",
            Self::TotalTime => "total_time",
            Self::Budget => "budget",
            Self::Throttled => "throttled",
            Self::Body => "body",
            Self::NotReady => "not_ready",
            Self::Observed => "observed",
        }
    }
}

impl From<GiveUp> for Reason {
    fn from(why: GiveUp) -> Self {
        match why {
            GiveUp::Attempts => Self::Attempts,
            GiveUp::ServerSaysNo => Self::ServerSaysNo,
            GiveUp::HintTooLong => Self::HintTooLong,
            GiveUp::DeadlineTooClose => Self::Deadline,
            GiveUp::TotalTime => Self::TotalTime,
            // What the machine learns to say later is a matter of how much may be sent again.
            _ => Self::Budget,
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Attempts => "no attempt left",
            Self::ServerSaysNo => "the server asked not to be asked again",
            Self::HintTooLong => "the server asked for a longer wait than there is time",
            Self::Deadline => "no time left before the deadline",
            Self::TotalTime => "no time left for all attempts",
            Self::Budget => "retry budget exhausted",
            Self::Throttled => "retries throttled",
            Self::Body => "the body of the request cannot be sent again",
            Self::NotReady => "the service was not ready for another attempt",
            Self::Observed => "retries are only observed",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_machine_says_keeps_its_name() {
        for (why, reason) in [
            (GiveUp::Attempts, "attempts"),
            (GiveUp::ServerSaysNo, "server_says_no"),
            (GiveUp::HintTooLong, "hint_too_long"),
            (GiveUp::DeadlineTooClose, "deadline"),
            (GiveUp::TotalTime, "total_time"),
            (GiveUp::Budget, "budget"),
        ] {
            assert_eq!(Reason::from(why).as_str(), reason);
        }
    }

    #[test]
    fn message_counts_the_attempts_and_leaves_the_cause_to_the_source() {
        let gave_up = |attempts| {
            let error = Exhausted::new(attempts, Duration::ZERO, Reason::Budget, "reset".into());
            assert_eq!(error.source().unwrap().to_string(), "reset");
            error.to_string()
        };
        assert_eq!(
            gave_up(1),
            "gave up after 1 attempt: retry budget exhausted"
        );
        assert_eq!(
            gave_up(3),
            "gave up after 3 attempts: retry budget exhausted"
        );
    }
}
