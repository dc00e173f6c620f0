//! The way back: how a call ended, what that adds up to, and the steps to open and to closed.

use core::time::Duration;

use super::call::{Admission, Cause, Settlement, Transition};
use super::lease::Lease;
use super::probes::Verdict;
use super::state::{Kind, Word};
use super::window::Mark;
use super::{Circuit, Clock, transition};
use crate::sync::atomic::Ordering;
use crate::{Moment, Outcome};

// ===== impl Circuit: the way back =====

impl Circuit {
    /// Takes an admission back with how its call ended, and returns the transition that it caused.
    ///
    /// Nothing happens if the circuit has moved since the admission, or if the probe has lost its lease.
    /// A call that was ignored or abandoned gives no verdict; as a probe it frees its slot.
    #[inline]
    pub fn settle(
        &self,
        admission: Admission,
        settlement: Settlement,
        now: impl FnOnce() -> Moment,
        draw: impl FnOnce() -> u64,
    ) -> Option<Transition> {
        let word = self.word();
        if word.generation() != admission.generation {
            return None;
        }
        let is_good = settlement.outcome == Outcome::Success && !settlement.slow;
        if is_good && admission.lease.is_none() && self.rules.are_at_rest(word.generation()) {
            // The healthy path, small enough to be inlined: a few loads, nothing written.
            return None;
        }
        self.settle_at(word, admission, settlement, now, draw)
    }

    #[inline(never)]
    fn settle_at(
        &self,
        word: Word,
        admission: Admission,
        settlement: Settlement,
        now: impl FnOnce() -> Moment,
        draw: impl FnOnce() -> u64,
    ) -> Option<Transition> {
        let Admission { generation, lease } = admission;
        let failed = match settlement.outcome {
            Outcome::Success => false,
            Outcome::Failure => true,
            Outcome::Ignored | Outcome::Abandoned => {
                if let Some(lease) = &lease {
                    self.probes.give_back(lease, generation);
                }
                return None;
            }
        };
        // Without the rule nothing is slow, so that the healthy path stays one.
        let mark = Mark {
            failed,
            slow: settlement.slow && self.needs_duration(),
        };
        let transition = match &lease {
            Some(lease) => self.settle_probe(word, lease, mark, settlement.retry_after, now, draw),
            None => self.settle_counted(word, mark, settlement.retry_after, now, draw),
        };
        self.invariants();
        transition
    }

    fn settle_counted(
        &self,
        word: Word,
        mark: Mark,
        hint: Option<Duration>,
        now: impl FnOnce() -> Moment,
        draw: impl FnOnce() -> u64,
    ) -> Option<Transition> {
        if word.kind() == Kind::Disabled {
            return None;
        }
        let mut clock = Clock::new(now);
        if mark.failed {
            self.last_failure
                .store(clock.now().as_nanos(), Ordering::Relaxed);
        }
        let generation = word.generation();
        let current = || self.word().generation() == generation;
        let cause = self
            .rules
            .record(mark, generation, || clock.now(), current)?;
        if word.kind() == Kind::ForcedClosed {
            // Counted for the eye only; the next generation does not see these counts.
            return None;
        }
        self.trip(word, cause, hint, clock.now(), draw())
    }

    fn settle_probe(
        &self,
        word: Word,
        lease: &Lease,
        mark: Mark,
        hint: Option<Duration>,
        now: impl FnOnce() -> Moment,
        draw: impl FnOnce() -> u64,
    ) -> Option<Transition> {
        // Both before anything changes: they are the caller's, and if one panicked after the last slot was spent the circuit would stay half-open for ever.
        let (now, draw) = (now(), draw());
        let generation = word.generation();
        if !self.probes.spend(lease, generation) {
            // Its slot is another probe's by now, and so is the say.
            return None;
        }
        if mark.failed {
            self.last_failure.store(now.as_nanos(), Ordering::Relaxed);
        }
        let current = || self.word().generation() == generation;
        match self.probes.count(lease, mark, generation, current)? {
            Verdict::Close => {
                let next = word.fresh(Kind::Closed);
                word.swap(&self.state, next).ok()?;
                Some(transition(word, next, Cause::ProbesSucceeded, None))
            }
            Verdict::Reopen(cause) => self.trip(word, cause, hint, now, draw),
        }
    }

    /// Opens the circuit from `word`; `None` if another thread moved it first.
    fn trip(
        &self,
        word: Word,
        cause: Cause,
        hint: Option<Duration>,
        now: Moment,
        draw: u64,
    ) -> Option<Transition> {
        let until = now + self.wait.after(word.trips(), draw, hint);
        let opening = word.opening();
        word.swap(&self.state, opening).ok()?;
        // From here to the last store the circuit is ours alone, and nothing may panic.
        self.opened_at.store(now.as_nanos(), Ordering::Release);
        self.until.store(until.as_nanos(), Ordering::Release);
        self.state.store(opening.opened().bits(), Ordering::Release);
        Some(transition(word, opening, cause, Some(until)))
    }
}
