//! Why something less was given.

use std::fmt;

use seaworthy_core::level::Level;
use seaworthy_kit::{BoxError, Rejection, RejectionKind};

/// Why something less was given.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Cause {
    /// A layer refused the call: the dependency was not called.
    Refused(RejectionKind),
    /// It took too long.
    TimedOut,
    /// It ended with an error.
    Failed,
    /// It panicked.
    Panicked,
    /// It was answered, badly.
    Answered,
    /// It is off at this level, and was not tried.
    Off(Level),
    /// The dimmer left it out, and it was not tried.
    Dimmed,
}

impl Cause {
    /// Every word that [`as_str`](Self::as_str) has.
    pub const WORDS: [&str; 7] = [
        "refused",
        "timed_out",
        "failed",
        "panicked",
        "answered",
        "off",
        "dimmed",
    ];

    /// What an error says.
    #[must_use]
    pub fn of(error: &BoxError) -> Self {
        match Rejection::find(&**error) {
            None => Self::Failed,
            Some(rejection) => Self::of_rejection(rejection),
        }
    }

    pub(crate) const fn of_rejection(rejection: &Rejection) -> Self {
        if rejection.is_timeout() {
            Self::TimedOut
        } else {
            Self::Refused(rejection.kind())
        }
    }

    /// The word for it in metrics, logs and headers.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Refused(_) => "refused",
            Self::TimedOut => "timed_out",
            Self::Failed => "failed",
            Self::Panicked => "panicked",
            Self::Answered => "answered",
            Self::Off(_) => "off",
            Self::Dimmed => "dimmed",
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn error_tells_refusal_timeout_and_failure_apart() {
        let of = |kind| -> BoxError { Box::new(Rejection::new(kind, "x".into())) };
        for kind in RejectionKind::ALL {
            let expected = match kind {
                RejectionKind::TimedOut | RejectionKind::DeadlineExceeded => Cause::TimedOut,
                other => Cause::Refused(other),
            };
            assert_eq!(Cause::of(&of(kind)), expected);
        }
        assert_eq!(Cause::of(&"plain".into()), Cause::Failed);
    }
}
