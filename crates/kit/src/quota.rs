//! What is left of a caller's quotas, as a rate limit tells it: with the rejection of a call that it refused, and with the response of one that it admitted.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use crate::{BoxError, Name, Rejection, causes};

/// How one quota stood when its call was decided, or answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct QuotaState {
    /// The name of the policy, as the user gave it: the same in every answer.
    pub policy: Name,
    /// How much there is in one window: requests, or what else a call costs.
    pub limit: u64,
    /// The time in which that much comes.
    pub window: Duration,
    /// How much could be spent at once now; never more than the burst.
    pub remaining: u64,
    /// The time until there is more than `remaining`; zero where it is all there.
    ///
    /// Not the time until all of it is there: a refused call may come back before.
    pub reset: Duration,
    /// Whether it is for this quota that the call was refused: it had not what the call costs.
    pub violated: bool,
}

/// The quotas that one call met, in the order in which it met them: the outermost layer's last.
///
/// Two of them take no allocation; more than [`MAX`](Self::MAX) are not kept.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Quotas {
    few: [Option<QuotaState>; FEW],
    more: Vec<QuotaState>,
}

/// A rejection by a rate limit that tells its quotas.
///
/// It says what the [`Rejection`] says, and has it as its source.
#[derive(Clone)]
pub struct Limited {
    rejection: Rejection,
    quotas: Quotas,
}

/// The rejection of a layer further in, with the quotas of those that had admitted the call.
#[derive(Debug)]
struct Told {
    error: BoxError,
    quotas: Quotas,
}

/// Enough for most: a short window and a long one.
const FEW: usize = 2;

// ===== impl QuotaState =====

impl QuotaState {
    /// A quota of which all is there.
    #[must_use]
    pub const fn new(policy: Name, limit: u64, window: Duration) -> Self {
        Self {
            policy,
            limit,
            window,
            remaining: limit,
            reset: Duration::ZERO,
            violated: false,
        }
    }

    /// With so much left, and the time until there is more.
    #[must_use]
    pub const fn left(mut self, remaining: u64, reset: Duration) -> Self {
        self.remaining = remaining;
        self.reset = reset;
        self
    }
}

// ===== impl Quotas =====

impl Quotas {
    /// The most that are kept: whoever stacks more has a stack that no caller could follow.
    pub const MAX: usize = 8;

    /// None.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            few: [None; FEW],
            more: Vec::new(),
        }
    }

    /// One more, unless there are [`MAX`](Self::MAX).
    pub fn push(&mut self, state: QuotaState) {
        if let Some(free) = self.few.iter_mut().find(|place| place.is_none()) {
            *free = Some(state);
        } else if self.len() < Self::MAX {
            self.more.push(state);
        }
    }

    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = &QuotaState> {
        self.few.iter().flatten().chain(&self.more)
    }

    /// Each of them, to be changed.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut QuotaState> {
        self.few.iter_mut().flatten().chain(&mut self.more)
    }

    /// A call of that cost was refused: for each quota of which less was left.
    pub fn refused(&mut self, cost: u64) {
        for state in self.iter_mut() {
            state.violated = state.remaining < cost;
        }
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.few.iter().flatten().count() + self.more.len()
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.few[0].is_none()
    }

    /// Those that came with an error, however deeply other layers wrapped it.
    #[must_use]
    pub fn find<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a Self> {
        let told = causes::find(error).map(|told: &Told| &told.quotas);
        told.or_else(|| causes::find(error).map(|limited: &Limited| &limited.quotas))
    }

    /// Goes with the rejection of a layer further in, behind those that limits further in have told; any other error is left as it is.
    pub(crate) fn tell(self, error: BoxError) -> BoxError {
        if self.is_empty() || Rejection::find(&*error).is_none() {
            return error;
        }
        let mut quotas = Self::find(&*error).cloned().unwrap_or_default();
        quotas.extend(self.iter().copied());
        Box::new(Told { error, quotas })
    }
}

impl Extend<QuotaState> for Quotas {
    fn extend<I: IntoIterator<Item = QuotaState>>(&mut self, states: I) {
        for state in states {
            self.push(state);
        }
    }
}

impl fmt::Debug for Quotas {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

// ===== impl Told =====

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.error, f)
    }
}

impl Error for Told {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.error)
    }
}

// ===== impl Limited =====

impl Limited {
    /// The rejection, with the quotas.
    #[must_use]
    pub const fn new(rejection: Rejection, quotas: Quotas) -> Self {
        Self { rejection, quotas }
    }

    /// The rejection alone.
    #[must_use]
    pub const fn rejection(&self) -> &Rejection {
        &self.rejection
    }

    /// The quotas.
    #[must_use]
    pub const fn quotas(&self) -> &Quotas {
        &self.quotas
    }
}

impl fmt::Debug for Limited {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Limited")
            .field("rejection", &self.rejection)
            .field("quotas", &self.quotas)
            .finish()
    }
}

impl fmt::Display for Limited {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.rejection, f)
    }
}

impl Error for Limited {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.rejection)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::RejectionKind;

    fn state(limit: u64) -> QuotaState {
        QuotaState::new("api".into(), limit, Duration::from_secs(60))
    }

    fn limits(quotas: &Quotas) -> Vec<u64> {
        quotas.iter().map(|state| state.limit).collect()
    }

    #[test]
    fn order_is_kept_and_the_number_bounded() {
        let mut quotas = Quotas::new();
        assert!(quotas.is_empty());
        quotas.extend((0..20).map(state));
        assert_eq!(limits(&quotas), (0..8).collect::<Vec<_>>());
        assert_eq!(quotas.len(), Quotas::MAX);
        assert!(!quotas.is_empty());
    }

    #[test]
    fn quotas_of_those_who_admitted_go_behind_those_of_who_refused() {
        let rejection = || Rejection::new(RejectionKind::RateLimited, "api".into());
        let of = |limit| {
            let mut quotas = Quotas::new();
            quotas.push(state(limit));
            quotas
        };
        let found = |error: &BoxError| Quotas::find(&**error).map(limits);
        let error = of(7).tell(Box::new(rejection()));
        assert_eq!(found(&error), Some(vec![7]));
        assert_eq!(error.to_string(), rejection().to_string());
        let error = of(7).tell(Box::new(Limited::new(rejection(), of(5))));
        assert_eq!(found(&of(9).tell(error)), Some(vec![5, 7, 9]));
        let other = of(7).tell("cable cut".into());
        assert_eq!(found(&other), None);
        assert_eq!(Quotas::new().tell(other).to_string(), "cable cut");
    }

    #[test]
    fn rejection_and_quotas_are_found_through_wrappers() {
        let rejection = Rejection::new(RejectionKind::RateLimited, "api".into());
        let said = rejection.to_string();
        let mut quotas = Quotas::new();
        quotas.push(state(5).left(0, Duration::from_secs(2)));
        let error = std::io::Error::other(Limited::new(rejection.clone(), quotas.clone()));
        assert_eq!(error.to_string(), said);
        assert_eq!(Quotas::find(&error), Some(&quotas));
        let found = Rejection::find(&error).expect("it is the source");
        assert_eq!(found.kind(), RejectionKind::RateLimited);
        assert_eq!(Quotas::find(&rejection), None);
    }
}
