//! A gate's "no", before it has a name: two words, so that it is handed on in registers.

use std::fmt;
use std::time::Duration;

use crate::{Moment, RejectionKind};

/// A gate's "no", before it has a name.
///
/// Two words, and so is an `Option` of it: a refusal is handed on several times before it is an error, and must stay cheaper than a call.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Refusal {
    grounds: &'static Grounds,
    /// In nanoseconds; [`UNKNOWN`] where nobody knows.
    wait: u64,
}

/// What a refusal says besides when to come back: a `static`, since there are only so many.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Grounds {
    kind: RejectionKind,
    state: Option<&'static str>,
    cause: Option<&'static str>,
    marks: u8,
}

/// No wait: longer than five centuries.
const UNKNOWN: u64 = u64::MAX;

// ===== impl Refusal =====

impl Refusal {
    /// A refusal of that kind, and when to come back where that is known.
    #[must_use]
    pub const fn new(kind: RejectionKind, retry_after: Option<Duration>) -> Self {
        Self::because(Grounds::of(kind), retry_after)
    }

    /// A refusal on those grounds, and when to come back where that is known.
    #[must_use]
    pub const fn because(grounds: &'static Grounds, retry_after: Option<Duration>) -> Self {
        let wait = match retry_after {
            Some(wait) if wait.as_nanos() < UNKNOWN as u128 => wait.as_nanos() as u64,
            _ => UNKNOWN,
        };
        Self { grounds, wait }
    }

    /// A refusal on those grounds that is over at that moment: as nanoseconds, which a `Duration` would only take apart and put together again.
    #[must_use]
    pub const fn until(grounds: &'static Grounds, until: Moment, now: Moment) -> Self {
        let wait = until.as_nanos().saturating_sub(now.as_nanos());
        Self { grounds, wait }
    }

    /// Which pattern refused.
    #[must_use]
    pub const fn kind(self) -> RejectionKind {
        self.grounds.kind
    }

    /// When to come back, where that is known.
    #[must_use]
    pub const fn retry_after(self) -> Option<Duration> {
        match self.wait {
            UNKNOWN => None,
            wait => Some(Duration::from_nanos(wait)),
        }
    }

    /// The state in which the layer refused, where it has several.
    #[must_use]
    pub const fn state(self) -> Option<&'static str> {
        self.grounds.state
    }

    /// What had brought the layer into that state, where that is known.
    #[must_use]
    pub const fn cause(self) -> Option<&'static str> {
        self.grounds.cause
    }

    /// What the gate has [marked](Grounds::marked) it with; zero for none.
    #[must_use]
    pub const fn marks(self) -> u8 {
        self.grounds.marks
    }

    /// The same refusal with another time to come back.
    #[must_use]
    pub(crate) const fn with_retry_after(self, retry_after: Option<Duration>) -> Self {
        Self::because(self.grounds, retry_after)
    }
}

impl fmt::Debug for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Refusal")
            .field("kind", &self.kind())
            .field("retry_after", &self.retry_after())
            .field("state", &self.state())
            .field("cause", &self.cause())
            .finish()
    }
}

// ===== impl Grounds =====

impl Grounds {
    /// A refusal of that kind says no more than that.
    #[must_use]
    pub const fn new(kind: RejectionKind) -> Self {
        Self {
            kind,
            state: None,
            cause: None,
            marks: 0,
        }
    }

    /// Says one of a few things more, which only the gate itself understands: as which of its quotas had too little.
    #[must_use]
    pub const fn marked(mut self, marks: u8) -> Self {
        self.marks = marks;
        self
    }

    /// Says in which state the layer refused, and what had brought it there where that is known: labels, in lowercase.
    #[must_use]
    pub const fn in_state(mut self, state: &'static str, cause: Option<&'static str>) -> Self {
        self.state = Some(state);
        self.cause = cause;
        self
    }

    const fn of(kind: RejectionKind) -> &'static Self {
        static BARE: [Grounds; RejectionKind::ALL.len()] = {
            let mut bare = [Grounds::new(RejectionKind::ALL[0]); RejectionKind::ALL.len()];
            let mut at = 0;
            while at < bare.len() {
                bare[at] = Grounds::new(RejectionKind::ALL[at]);
                at += 1;
            }
            bare
        };
        &BARE[kind.index()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusal_is_two_words_and_so_is_an_option_of_it() {
        assert_eq!(size_of::<Refusal>(), 2 * size_of::<usize>());
        assert_eq!(size_of::<Option<Refusal>>(), size_of::<Refusal>());
    }

    #[test]
    fn refusal_says_what_it_was_made_of() {
        static GROUNDS: Grounds =
            Grounds::new(RejectionKind::CircuitOpen).in_state("open", Some("failure_rate"));
        let second = Duration::from_secs(1);
        for kind in RejectionKind::ALL {
            let refusal = Refusal::new(kind, Some(second));
            assert_eq!(refusal.kind(), kind);
            assert_eq!(refusal.retry_after(), Some(second));
            assert_eq!((refusal.state(), refusal.cause()), (None, None));
        }
        let refusal = Refusal::because(&GROUNDS, None);
        assert_eq!(refusal.retry_after(), None);
        assert_eq!(refusal.state(), Some("open"));
        assert_eq!(refusal.cause(), Some("failure_rate"));
        let at = Moment::from_nanos;
        let wait = |until, now| Refusal::until(&GROUNDS, at(until), at(now)).retry_after();
        assert_eq!(wait(9, 2), Some(Duration::from_nanos(7)));
        assert_eq!(wait(2, 9), Some(Duration::ZERO));
        assert_eq!(wait(u64::MAX, 0), None, "never");
    }

    #[test]
    fn wait_of_centuries_is_none() {
        let refusal = |wait| Refusal::new(RejectionKind::Shed, Some(wait)).retry_after();
        assert_eq!(refusal(Duration::MAX), None);
        assert_eq!(refusal(Duration::ZERO), Some(Duration::ZERO));
    }
}
