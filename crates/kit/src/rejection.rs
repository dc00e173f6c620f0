//! The one error of every layer: what was refused, by which layer, until when.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use crate::gate::Refusal;
use crate::{Name, causes};

/// The error type of every layer, as tower has it.
pub type BoxError = Box<dyn Error + Send + Sync>;

/// Which pattern rejected a call, and so what to do about it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum RejectionKind {
    /// A circuit is open, or half-open without a free probe: the dependency is failing, try later or fall back.
    CircuitOpen,
    /// All slots of a bulkhead are taken, and its queue is full: this process has enough of this work.
    BulkheadFull,
    /// The call waited for a slot for as long as it may.
    QueueTimeout,
    /// The caller has used up its quota.
    RateLimited,
    /// The call costs more than its quota ever has at once: it would be refused at any time.
    CostTooHigh,
    /// The deadline that came with the call had passed before the dependency was called.
    DeadlineExceeded,
    /// The dependency was called and did not answer in time.
    TimedOut,
    /// Load is shed: this process has too much to do, or holds back what a dependency would not take on.
    Shed,
    /// The layer is shutting down and takes no new calls.
    Draining,
    /// The idempotency key was used for another request: a mistake of the caller's.
    KeyReused,
    /// The first request with this idempotency key is still running.
    InProgress,
    /// A request with this idempotency key began, and its answer cannot be given: it is not known, or was not kept.
    OutcomeUnknown,
    /// The store that the layer needs in order to decide, of idempotency keys or of quotas, did not answer, and so the call was not made.
    StoreUnavailable,
}

impl RejectionKind {
    /// Every kind, in the order of [`index`](Self::index).
    pub const ALL: [Self; 13] = [
        Self::CircuitOpen,
        Self::BulkheadFull,
        Self::QueueTimeout,
        Self::RateLimited,
        Self::DeadlineExceeded,
        Self::TimedOut,
        Self::Shed,
        Self::Draining,
        Self::KeyReused,
        Self::InProgress,
        Self::OutcomeUnknown,
        Self::StoreUnavailable,
        Self::CostTooHigh,
    ];

    /// The position in [`ALL`](Self::ALL): a table by kind needs no map.
    #[must_use]
    pub const fn index(self) -> usize {
        match self {
            Self::CircuitOpen => 0,
            Self::BulkheadFull => 1,
            Self::QueueTimeout => 2,
            Self::RateLimited => 3,
            Self::DeadlineExceeded => 4,
            Self::TimedOut => 5,
            Self::Shed => 6,
            Self::Draining => 7,
            Self::KeyReused => 8,
            Self::InProgress => 9,
            Self::OutcomeUnknown => 10,
            Self::StoreUnavailable => 11,
            Self::CostTooHigh => 12,
        }
    }

    /// The kind as metrics and logs have it (`error.type` of OpenTelemetry).
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::CircuitOpen => "circuit_open",
            Self::BulkheadFull => "bulkhead_full",
            Self::QueueTimeout => "queue_timeout",
            Self::RateLimited => "rate_limited",
            Self::DeadlineExceeded => "deadline_exceeded",
            Self::TimedOut => "timed_out",
            Self::Shed => "shed",
            Self::Draining => "draining",
            Self::KeyReused => "key_reused",
            Self::InProgress => "in_progress",
            Self::OutcomeUnknown => "outcome_unknown",
            Self::StoreUnavailable => "store_unavailable",
            Self::CostTooHigh => "cost_too_high",
        }
    }

    /// Whether the inner service had been called.
    ///
    /// A rejection that did not reach it is a refusal and says nothing about the dependency; one that did is a failure of the dependency.
    #[must_use]
    pub const fn reached_inner(self) -> bool {
        matches!(self, Self::TimedOut)
    }

    const fn sentence(self) -> &'static str {
        match self {
            Self::CircuitOpen => "circuit open, call refused without reaching the dependency",
            Self::BulkheadFull => "bulkhead full, call refused",
            Self::QueueTimeout => "no slot became free in time, call refused",
            Self::RateLimited => "rate limit reached, call refused",
            Self::DeadlineExceeded => "deadline already passed, call refused",
            Self::TimedOut => "timed out waiting for the dependency",
            Self::Shed => "overloaded, call shed",
            Self::Draining => "shutting down, call refused",
            Self::KeyReused => "idempotency key already used for another request, call refused",
            Self::InProgress => "first call with this idempotency key still runs, call refused",
            Self::OutcomeUnknown => "outcome of the earlier call is not known, call refused",
            Self::StoreUnavailable => "store that the layer decides by not available, call refused",
            Self::CostTooHigh => "cost above what the rate limit has at once, call refused",
        }
    }
}

impl fmt::Display for RejectionKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A call that a layer refused, or cut short.
///
/// All layers reject with this one type, boxed once as a [`BoxError`], so that layers can be reordered without touching a `match`.
/// [`Rejection::find`] gets it back out of any error that has it in its source chain.
#[derive(Clone)]
pub struct Rejection {
    /// Small, as the whole is boxed for each call that is refused.
    refusal: Refusal,
    layer: Name,
}

impl Rejection {
    /// A rejection by the layer that the user gave that name.
    #[must_use]
    pub const fn new(kind: RejectionKind, layer: Name) -> Self {
        Self::refused(Refusal::new(kind, None), layer)
    }

    /// What a layer of that name makes of its refusal.
    pub(crate) const fn refused(refusal: Refusal, layer: Name) -> Self {
        Self { refusal, layer }
    }

    /// With the time after which another try makes sense, where it is known.
    #[must_use]
    pub const fn with_retry_after(mut self, retry_after: Option<Duration>) -> Self {
        self.refusal = self.refusal.with_retry_after(retry_after);
        self
    }

    /// Which pattern rejected the call.
    #[must_use]
    pub const fn kind(&self) -> RejectionKind {
        self.refusal.kind()
    }

    /// The name that the user gave the layer.
    #[must_use]
    pub const fn layer(&self) -> &'static str {
        self.layer.as_str()
    }

    /// How long to wait before another try makes sense, where it is known.
    #[must_use]
    pub const fn retry_after(&self) -> Option<Duration> {
        self.refusal.retry_after()
    }

    /// The state in which the layer refused, where it has several: of a circuit `open`, `half_open`, `recovering` or `forced_open`.
    #[must_use]
    pub const fn state(&self) -> Option<&'static str> {
        self.refusal.state()
    }

    /// What had brought the layer into that state, where it is known: of a circuit the rule that opened it, such as `failure_rate`.
    #[must_use]
    pub const fn cause(&self) -> Option<&'static str> {
        self.refusal.cause()
    }

    /// Whether the inner service had been called; see [`RejectionKind::reached_inner`].
    #[must_use]
    pub const fn reached_inner(&self) -> bool {
        self.kind().reached_inner()
    }

    /// Whether there was more to do than is taken on: by this process, by the caller's quota, or, where a throttle sheds on its behalf, by a dependency.
    #[must_use]
    pub const fn is_overload(&self) -> bool {
        matches!(
            self.kind(),
            RejectionKind::BulkheadFull
                | RejectionKind::QueueTimeout
                | RejectionKind::RateLimited
                | RejectionKind::Shed
        )
    }

    /// Whether time ran out, before or after the dependency was called.
    #[must_use]
    pub const fn is_timeout(&self) -> bool {
        matches!(
            self.kind(),
            RejectionKind::TimedOut | RejectionKind::DeadlineExceeded
        )
    }

    /// Whether a circuit refused the call.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        matches!(self.kind(), RejectionKind::CircuitOpen)
    }

    /// The rejection in an error or in its source chain, however deeply other layers and clients wrapped it.
    #[must_use]
    pub fn find<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a Self> {
        causes::find(error)
    }
}

impl fmt::Debug for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rejection")
            .field("kind", &self.kind())
            .field("layer", &self.layer())
            .field("retry_after", &self.retry_after())
            .field("state", &self.state())
            .field("cause", &self.cause())
            .finish()
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.layer, self.kind().sentence())?;
        if let Some(state) = self.state() {
            write!(f, "; state {state}")?;
        }
        if let Some(cause) = self.cause() {
            write!(f, ", cause {cause}")?;
        }
        if let Some(after) = self.retry_after() {
            write!(f, "; try again in {:.1} s", after.as_secs_f64())?;
        }
        Ok(())
    }
}

impl Error for Rejection {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::Grounds;

    fn open() -> Rejection {
        Rejection::new(RejectionKind::CircuitOpen, "gateway".into())
            .with_retry_after(Some(Duration::from_millis(12_340)))
    }

    #[derive(Debug)]
    struct Wrapped(BoxError);

    impl fmt::Display for Wrapped {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("wrapped")
        }
    }

    impl Error for Wrapped {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            Some(&*self.0)
        }
    }

    #[test]
    fn rejection_is_found_through_wrappers() {
        let error: BoxError = Box::new(Wrapped(Box::new(Wrapped(Box::new(open())))));
        let found = Rejection::find(&*error).expect("it is in the chain");
        assert_eq!(found.kind(), RejectionKind::CircuitOpen);
        assert_eq!(found.layer(), "gateway");
        assert!(Rejection::find(&fmt::Error).is_none());
    }

    #[test]
    fn message_says_who_what_and_until_when() {
        assert_eq!(
            open().to_string(),
            "gateway: circuit open, call refused without reaching the dependency; try again in 12.3 s"
        );
    }

    #[test]
    fn state_and_cause_of_a_refusal_are_told() {
        static GROUNDS: Grounds =
            Grounds::new(RejectionKind::CircuitOpen).in_state("half_open", Some("failure_rate"));
        let refusal = Refusal::because(&GROUNDS, None);
        let rejection = Rejection::refused(refusal, "gateway".into());
        assert_eq!(rejection.state(), Some("half_open"));
        assert_eq!(rejection.cause(), Some("failure_rate"));
        assert_eq!(
            rejection.to_string(),
            "gateway: circuit open, call refused without reaching the dependency; state half_open, cause failure_rate"
        );
    }

    #[test]
    fn only_a_timeout_reached_the_dependency() {
        for kind in RejectionKind::ALL {
            assert_eq!(
                kind.reached_inner(),
                kind == RejectionKind::TimedOut,
                "{kind}"
            );
        }
    }

    #[test]
    fn each_question_is_answered_for_each_kind() {
        for kind in RejectionKind::ALL {
            let expected = match kind {
                RejectionKind::BulkheadFull
                | RejectionKind::QueueTimeout
                | RejectionKind::RateLimited
                | RejectionKind::Shed => (true, false, false),
                RejectionKind::TimedOut | RejectionKind::DeadlineExceeded => (false, true, false),
                RejectionKind::CircuitOpen => (false, false, true),
                RejectionKind::Draining
                | RejectionKind::KeyReused
                | RejectionKind::InProgress
                | RejectionKind::OutcomeUnknown
                | RejectionKind::StoreUnavailable
                | RejectionKind::CostTooHigh => (false, false, false),
            };
            let it = Rejection::new(kind, "gateway".into());
            let answers = (it.is_overload(), it.is_timeout(), it.is_open());
            assert_eq!(answers, expected, "{kind}");
        }
    }

    #[test]
    fn index_is_the_position_in_all() {
        for (position, kind) in RejectionKind::ALL.into_iter().enumerate() {
            assert_eq!(kind.index(), position);
        }
    }
}
