//! What an answer says about the dependency: the verdict, and the trait that gives it.

use std::fmt;
use std::time::Duration;

use seaworthy_core::Outcome;

use crate::{BoxError, Rejection, RejectionKind};

/// What an answer, or its end, says about the dependency.
///
/// A verdict of failure may carry the time after which the dependency asked to be called again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Verdict {
    outcome: Option<Outcome>,
    overload: bool,
    retry_after: Option<Duration>,
    is_refusal: bool,
}

impl Verdict {
    /// The dependency answered well.
    pub const SUCCESS: Self = Self::of(Outcome::Success);
    /// The dependency answered badly, or not in time.
    pub const FAILURE: Self = Self::of(Outcome::Failure);
    /// The answer says nothing about the dependency.
    pub const IGNORED: Self = Self::of(Outcome::Ignored);
    /// The call was given up before it was over.
    pub const ABANDONED: Self = Self::of(Outcome::Abandoned);
    /// The head of the response does not tell: ask again at the end of its body.
    ///
    /// Where a response has no body, this counts as a success.
    pub const LATER: Self = Self {
        outcome: None,
        overload: false,
        retry_after: None,
        is_refusal: false,
    };
    /// A layer further in refused the call for what others have asked of it: ignored, and what it was to pay need not be paid.
    pub const REFUSED: Self = Self {
        is_refusal: true,
        ..Self::IGNORED
    };

    /// The verdict for an outcome.
    #[must_use]
    pub const fn of(outcome: Outcome) -> Self {
        Self {
            outcome: Some(outcome),
            overload: false,
            retry_after: None,
            is_refusal: false,
        }
    }

    /// With the time after which the dependency asked to be called again.
    #[must_use]
    pub const fn with_retry_after(mut self, retry_after: Option<Duration>) -> Self {
        self.retry_after = retry_after;
        self
    }

    /// And the reason is that there was too much to do: it timed out, or was turned away for that.
    ///
    /// Whatever the outcome, an adaptive limit takes it for a sign to let fewer calls through.
    #[must_use]
    pub const fn overloaded(mut self) -> Self {
        self.overload = true;
        self
    }

    /// Whether there was too much to do; see [`overloaded`](Self::overloaded).
    #[must_use]
    pub const fn is_overload(self) -> bool {
        self.overload
    }

    /// The outcome; `None` for [`LATER`](Self::LATER).
    #[must_use]
    pub const fn outcome(self) -> Option<Outcome> {
        self.outcome
    }

    /// The outcome of a call that is over, where [`LATER`](Self::LATER) counts as a success: nothing more can come.
    #[must_use]
    pub const fn settled(self) -> Outcome {
        match self.outcome {
            Some(outcome) => outcome,
            None => Outcome::Success,
        }
    }

    /// Whether the end of the body must be waited for.
    #[must_use]
    pub const fn is_later(self) -> bool {
        self.outcome.is_none()
    }

    /// Whether a layer further in refused the call, so that the dependency has not seen it.
    ///
    /// An answer that a classifier [ignores](Self::IGNORED) was one of the dependency's, and is none.
    #[must_use]
    pub const fn is_refusal(self) -> bool {
        self.is_refusal
    }

    /// How long the dependency asked to be left alone.
    #[must_use]
    pub const fn retry_after(self) -> Option<Duration> {
        self.retry_after
    }
}

impl From<Outcome> for Verdict {
    fn from(outcome: Outcome) -> Self {
        Self::of(outcome)
    }
}

/// Turns an answer into a [`Verdict`].
///
/// `Head` is what is there when the response future is ready: the response itself, or the head of an HTTP response.
/// `Tail` is what comes at the end of a body: the trailers of an HTTP response.
/// A [`Rejection`] that did not reach the dependency never gets here: it is always ignored.
///
/// A closure becomes a classifier through the setters that take one, or through [`ClassifyFn`].
pub trait Classify<Head, Tail = ()> {
    /// What the head of the response, or the error, says.
    fn classify(&self, result: Result<&Head, &BoxError>) -> Verdict;

    /// What the end of the body says; asked only after [`Verdict::LATER`].
    fn classify_end(&self, tail: Option<&Tail>) -> Verdict {
        let _ = tail;
        Verdict::SUCCESS
    }
}

/// The verdict on an error: a local refusal is ignored, a timeout is a failure, and the classifier decides about the rest.
pub fn classify_error<Head, Tail, C>(classifier: &C, error: &BoxError) -> Verdict
where
    C: Classify<Head, Tail> + ?Sized,
{
    match Rejection::find(&**error) {
        Some(rejection) => classify_rejection(rejection),
        None => classifier.classify(Err(error)),
    }
}

/// The verdict on a rejection by a layer further in.
#[must_use]
pub const fn classify_rejection(rejection: &Rejection) -> Verdict {
    match rejection.kind() {
        RejectionKind::TimedOut => Verdict::FAILURE.overloaded(),
        // Not a caller's quota: that others still have theirs.
        RejectionKind::BulkheadFull | RejectionKind::QueueTimeout | RejectionKind::Shed => {
            Verdict::REFUSED.overloaded()
        }
        // What came of the state of things further in, and not of this request: nobody has done anything for it.
        RejectionKind::CircuitOpen
        | RejectionKind::RateLimited
        | RejectionKind::Draining
        | RejectionKind::StoreUnavailable => Verdict::REFUSED,
        _ if rejection.reached_inner() => Verdict::FAILURE,
        // The caller's own doing, which it can repeat as often as it likes: a key used twice, a time that was over when it came, a cost that no quota has. Were that given back, a limit would not be one.
        _ => Verdict::IGNORED,
    }
}

/// The default for responses that are not HTTP: an answer is a success, an error is a failure.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub struct ErrorsAsFailures;

impl ErrorsAsFailures {
    /// The classifier; it has no options.
    #[must_use]
    pub const fn new() -> Self {
        Self
    }
}

impl<Head, Tail> Classify<Head, Tail> for ErrorsAsFailures {
    fn classify(&self, result: Result<&Head, &BoxError>) -> Verdict {
        match result {
            Ok(_) => Verdict::SUCCESS,
            Err(_) => Verdict::FAILURE,
        }
    }
}

/// A closure as a classifier.
#[derive(Clone, Copy)]
pub struct ClassifyFn<F>(F);

impl<F> ClassifyFn<F> {
    /// The classifier that asks the closure.
    pub const fn new(classify: F) -> Self {
        Self(classify)
    }
}

impl<F, Head, Tail> Classify<Head, Tail> for ClassifyFn<F>
where
    F: Fn(Result<&Head, &BoxError>) -> Verdict,
{
    fn classify(&self, result: Result<&Head, &BoxError>) -> Verdict {
        (self.0)(result)
    }
}

impl<F> fmt::Debug for ClassifyFn<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClassifyFn")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(kind: RejectionKind) -> Verdict {
        let error: BoxError = Box::new(Rejection::new(kind, "x".into()));
        classify_error::<(), (), _>(&ErrorsAsFailures::new(), &error)
    }

    #[test]
    fn local_refusal_is_ignored_and_a_timeout_is_a_failure() {
        assert_eq!(judge(RejectionKind::CircuitOpen), Verdict::REFUSED);
        assert_eq!(Verdict::REFUSED.settled(), Outcome::Ignored);
        assert!(Verdict::REFUSED.is_refusal() && !Verdict::IGNORED.is_refusal());
        assert_eq!(judge(RejectionKind::DeadlineExceeded), Verdict::IGNORED);
        let late = judge(RejectionKind::TimedOut);
        assert_eq!(late, Verdict::FAILURE.overloaded());
    }

    #[test]
    fn refusal_that_a_caller_brings_about_by_itself_is_to_be_paid() {
        for kind in RejectionKind::ALL {
            let own_doing = matches!(
                kind,
                RejectionKind::TimedOut
                    | RejectionKind::DeadlineExceeded
                    | RejectionKind::KeyReused
                    | RejectionKind::InProgress
                    | RejectionKind::OutcomeUnknown
                    | RejectionKind::CostTooHigh
            );
            assert_eq!(judge(kind).is_refusal(), !own_doing, "{kind}");
        }
    }

    #[test]
    fn too_much_to_do_further_in_is_told_and_a_quota_is_not_that() {
        for kind in RejectionKind::ALL {
            let overload = matches!(
                kind,
                RejectionKind::TimedOut
                    | RejectionKind::BulkheadFull
                    | RejectionKind::QueueTimeout
                    | RejectionKind::Shed
            );
            assert_eq!(judge(kind).is_overload(), overload, "{kind}");
        }
    }

    #[test]
    fn closure_decides_about_answers_and_errors() {
        let odd = ClassifyFn::new(|result: Result<&u32, &BoxError>| match result {
            Ok(n) if n % 2 == 0 => Verdict::SUCCESS,
            Ok(_) => Verdict::FAILURE.with_retry_after(Some(Duration::from_secs(1))),
            Err(_) => Verdict::IGNORED,
        });
        let error: BoxError = "plain".into();
        assert_eq!(Classify::<u32>::classify(&odd, Ok(&2)), Verdict::SUCCESS);
        assert_eq!(
            Classify::<u32>::classify(&odd, Ok(&3)).retry_after(),
            Some(Duration::from_secs(1))
        );
        assert_eq!(classify_error::<u32, (), _>(&odd, &error), Verdict::IGNORED);
    }
}
