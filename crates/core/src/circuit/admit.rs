//! The way in: a question, an admission or a refusal, and the step from open to half-open.

use super::call::{Admission, Cause, Refusal, Why};
use super::probes::NoLease;
use super::state::{Kind, Word};
use super::{Circuit, Clock};
use crate::Moment;
use crate::sync::atomic::Ordering;

// ===== impl Circuit: the way in =====

impl Circuit {
    /// Whether a call would be admitted now; reserves nothing.
    ///
    /// A recovering circuit says yes: which calls pass is decided when they ask for admission.
    ///
    /// # Errors
    /// The refusal that [`try_admit`](Self::try_admit) would give.
    #[inline]
    pub fn check(&self, now: impl FnOnce() -> Moment) -> Result<(), Refusal> {
        let word = self.word();
        if word.kind() == Kind::Closed {
            return Ok(());
        }
        self.check_not_closed(word, now)
    }

    /// Whether the circuit is closed: the healthy path of [`check`](Self::check), one load and nothing else.
    #[must_use]
    #[inline]
    pub fn is_closed(&self) -> bool {
        self.word().kind() == Kind::Closed
    }

    /// Admits one call if the circuit is closed: the healthy path of [`try_admit`](Self::try_admit), one load and nothing else.
    ///
    /// A caller may try this first, and keep what it does with all other answers out of line.
    #[inline]
    pub fn admit_closed(&self) -> Option<Admission> {
        let word = self.word();
        (word.kind() == Kind::Closed).then(|| Admission::plain(word.generation()))
    }

    /// Admits one call, or says why not.
    ///
    /// In an open circuit whose time is over, the call becomes the first probe, and its admission has the [`Transition`](super::Transition) to half-open.
    ///
    /// # Errors
    /// If the circuit is open, is forced open, is half-open with all probes out, or recovers and this call is not of the share that passes.
    #[inline]
    pub fn try_admit(&self, now: impl FnOnce() -> Moment) -> Result<Admission, Refusal> {
        let word = self.word();
        // The healthy path, small enough to be inlined: one load, nothing else.
        if word.kind() == Kind::Closed {
            return Ok(Admission::plain(word.generation()));
        }
        self.admit_not_closed(word, now)
    }

    #[inline]
    fn check_not_closed(&self, word: Word, now: impl FnOnce() -> Moment) -> Result<(), Refusal> {
        match word.kind() {
            // A recovering circuit does not know before the call asks: a question that took a share would starve the calls, and one that took none would refuse each of them.
            Kind::Closed | Kind::ForcedClosed | Kind::Disabled | Kind::Recovering => Ok(()),
            Kind::ForcedOpen => Err(forced_open()),
            Kind::Opening => Err(opening()),
            Kind::Open => self.wait_is_over(now()),
            Kind::HalfOpen => {
                let vacancy = self.probes.vacancy(word.generation(), now());
                vacancy.map_err(|until| self.refusal(Why::HalfOpen, until))
            }
        }
    }

    #[cold]
    fn admit_not_closed(
        &self,
        mut word: Word,
        now: impl FnOnce() -> Moment,
    ) -> Result<Admission, Refusal> {
        let mut clock = Clock::new(now);
        loop {
            let attempt = match word.kind() {
                Kind::Closed | Kind::ForcedClosed | Kind::Disabled => {
                    return Ok(Admission::plain(word.generation()));
                }
                Kind::ForcedOpen => return Err(forced_open()),
                Kind::Opening => return Err(opening()),
                Kind::Open => {
                    let now = clock.now();
                    self.wait_is_over(now)?;
                    self.enter_half_open(word, now)
                }
                Kind::HalfOpen => self.lease(word, clock.now()),
                Kind::Recovering => match self.is_of_share(word, clock.now()) {
                    Some(true) => return Ok(Admission::plain(word.generation())),
                    // Nobody is sent to the end of the ramp: all would be there at once, which is what a ramp is against.
                    Some(false) => return Err(self.refusal(Why::Recovering, None)),
                    None => Err(NoLease::Stale),
                },
            };
            match attempt {
                Ok(admission) => return Ok(admission),
                Err(NoLease::Full(until)) => return Err(self.refusal(Why::HalfOpen, until)),
                // Each time round, another thread has moved the circuit.
                Err(NoLease::Stale) => word = self.word(),
            }
        }
    }

    /// Refuses while the open state lasts.
    #[inline]
    fn wait_is_over(&self, now: Moment) -> Result<(), Refusal> {
        // May be of a later opening than the state that the caller saw; then its compare-and-swap fails.
        let until = Moment::from_nanos(self.until.load(Ordering::Acquire));
        if now >= until || self.wait.is_impossible(until, now) {
            Ok(())
        } else {
            Err(self.refusal(Why::Open, Some(until)))
        }
    }

    fn refusal(&self, why: Why, until: Option<Moment>) -> Refusal {
        Refusal::new(why, until, self.tripped_by())
    }

    /// Whether this call is of the share that a recovering circuit admits; `None` if it has moved on.
    fn is_of_share(&self, word: Word, now: Moment) -> Option<bool> {
        match &self.ramp {
            // Over, it admits every call; the next one that ends closes the circuit.
            Some(ramp) => ramp.take(word.generation(), now, || self.word() == word),
            None => Some(true),
        }
    }

    fn lease(&self, word: Word, now: Moment) -> Result<Admission, NoLease> {
        let generation = word.generation();
        let lease = self
            .probes
            .reserve(generation, now, || self.word() == word)?;
        Ok(Admission::probe(generation, lease))
    }

    /// Leases a slot of the generation to come, then tries to begin it: so the winner has its probe for certain, and a loser may keep its own.
    fn enter_half_open(&self, word: Word, now: Moment) -> Result<Admission, NoLease> {
        let next = word.half_open();
        let generation = next.generation();
        let current = || self.word() == word;
        self.probes.unspend(generation, current);
        let lease = self.probes.reserve(generation, now, current)?;
        match word.swap(&self.state, next) {
            Ok(()) => Ok(Admission::probe(generation, lease.entering())),
            Err(seen) if seen == next => Ok(Admission::probe(generation, lease)),
            Err(_) => {
                self.probes.give_back(&lease, generation);
                Err(NoLease::Stale)
            }
        }
    }
}

const fn forced_open() -> Refusal {
    Refusal::new(Why::ForcedOpen, None, Some(Cause::Forced))
}

/// The moment and the cause of this trip are being stored.
const fn opening() -> Refusal {
    Refusal::new(Why::Open, None, None)
}
