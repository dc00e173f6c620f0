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
    /// Whether a success of this admission, not a slow one, would change nothing in a closed circuit: the healthy path of [`settle`](Self::settle), a few loads and nothing written.
    ///
    /// The admission may then be dropped. A caller may ask this first, and keep everything else out of line.
    #[inline]
    pub fn is_settled(&self, admission: &Admission) -> bool {
        let generation = admission.generation();
        // One comparison: closed, and in the generation of the admission, which then is no probe's.
        self.word() == Word::closed(generation) && self.rules.are_at_rest(generation)
    }

    /// Takes an admission back with how its call ended, and returns the transition that it caused.
    ///
    /// Nothing happens if the circuit has moved since the admission, or if the probe has lost its lease.
    /// A call that was ignored or abandoned gives no verdict; as a probe it frees its slot.
    /// One that was abandoned after more than the slow-call threshold counts as slow, and as nothing else.
    #[inline]
    pub fn settle(
        &self,
        admission: Admission,
        settlement: Settlement,
        now: impl FnOnce() -> Moment,
        draw: impl FnOnce() -> u64,
    ) -> Option<Transition> {
        let word = self.word();
        if word.generation() != admission.generation() {
            return None;
        }
        let is_good = settlement.outcome == Outcome::Success && !settlement.slow;
        if is_good
            && admission.lease.is_none()
            && word.kind() != Kind::Recovering
            && self.rules.are_at_rest(word.generation())
        {
            // The healthy path, small enough to be inlined: a few loads, nothing written.
            return None;
        }
        self.settle_at(word, admission, settlement, now, draw)
    }

    #[inline(never)]
    fn settle_at(
        &self,
        mut word: Word,
        admission: Admission,
        settlement: Settlement,
        now: impl FnOnce() -> Moment,
        draw: impl FnOnce() -> u64,
    ) -> Option<Transition> {
        let mut clock = Clock::new(now);
        let recovered = if word.kind() == Kind::Recovering {
            self.end_recovery(&mut word, clock.now())
        } else {
            None
        };
        let generation = admission.generation();
        if word.generation() != generation {
            // Another thread ended the recovery otherwise, and this call is late.
            return None;
        }
        let lease = admission.lease;
        let hint = settlement.retry_after;
        let moved = match (self.mark(settlement), &lease) {
            (Some(mark), Some(lease)) => self.settle_probe(word, lease, mark, hint, clock, draw),
            (Some(mark), None) => self.settle_counted(word, mark, hint, clock, draw),
            (None, Some(lease)) => {
                self.probes.give_back(lease, generation);
                None
            }
            (None, None) => None,
        };
        self.invariants();
        match (recovered, moved) {
            // Closed for no time at all: one change, as far as anybody could see.
            (Some(recovered), Some(moved)) => Some(Transition {
                from: recovered.from,
                ..moved
            }),
            (recovered, moved) => moved.or(recovered),
        }
    }

    /// How a call is written down, if it says anything.
    fn mark(&self, settlement: Settlement) -> Option<Mark> {
        let mark = Mark {
            failed: settlement.outcome == Outcome::Failure,
            // Without the rule nothing is slow, so that the healthy path stays one.
            slow: settlement.slow && self.needs_duration(),
            abandoned: settlement.outcome == Outcome::Abandoned,
        };
        match settlement.outcome {
            Outcome::Success | Outcome::Failure => Some(mark),
            // Whatever it would have said, it was slow: it could only have taken longer.
            Outcome::Abandoned => mark.slow.then_some(mark),
            Outcome::Ignored => None,
        }
    }

    /// Closes a recovering circuit whose ramp is over; if another thread moved it first, `word` is what that made of it.
    fn end_recovery(&self, word: &mut Word, now: Moment) -> Option<Transition> {
        if !self.ramp.as_ref().is_none_or(|ramp| ramp.is_over(now)) {
            return None;
        }
        let (recovering, closed) = (*word, word.recovered());
        match recovering.swap(&self.state, closed) {
            Ok(()) => {
                *word = closed;
                Some(transition(recovering, closed, Cause::RampOver, None))
            }
            Err(seen) => {
                *word = seen;
                None
            }
        }
    }

    fn settle_counted(
        &self,
        word: Word,
        mark: Mark,
        hint: Option<Duration>,
        mut clock: Clock<impl FnOnce() -> Moment>,
        draw: impl FnOnce() -> u64,
    ) -> Option<Transition> {
        if word.kind() == Kind::Disabled {
            return None;
        }
        if mark.failed {
            self.failed_at(clock.now());
        }
        let generation = word.generation();
        let current = || self.word().generation() == generation;
        let broken = self.rules.record(mark, generation, || clock.now(), current);
        let asked =
            mark.failed && self.opens_on_retry_after && hint.is_some_and(|time| !time.is_zero());
        let cause = broken.or_else(|| asked.then_some(Cause::RetryAfter))?;
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
        mut clock: Clock<impl FnOnce() -> Moment>,
        draw: impl FnOnce() -> u64,
    ) -> Option<Transition> {
        // Both before anything changes: they are the caller's, and if one panicked after the last slot was spent the circuit would stay half-open for ever.
        let (now, draw) = (clock.now(), draw());
        let generation = word.generation();
        if !self.probes.spend(lease, generation) {
            // Its slot is another probe's by now, and so is the say.
            return None;
        }
        if mark.failed {
            self.failed_at(now);
        }
        let current = || self.word().generation() == generation;
        match self.probes.count(lease, mark, generation, current)? {
            Verdict::Close => {
                let next = match &self.ramp {
                    None => word.fresh(Kind::Closed),
                    Some(ramp) => ramp
                        .begin(now, || self.word() == word)
                        .then(|| word.recovering())?,
                };
                word.swap(&self.state, next).ok()?;
                Some(transition(word, next, Cause::ProbesSucceeded, None))
            }
            Verdict::Reopen(cause) => self.trip(word, cause, hint, now, draw),
        }
    }

    fn failed_at(&self, now: Moment) {
        // Swapped for the same reason as `tripped_by`.
        self.last_failure.swap(now.as_nanos(), Ordering::Relaxed);
    }

    /// Opens the circuit from `word`; `None` if another thread moved it first.
    fn trip(
        &self,
        mut word: Word,
        cause: Cause,
        hint: Option<Duration>,
        now: Moment,
        draw: u64,
    ) -> Option<Transition> {
        if let Err(seen) = word.swap(&self.state, word.opening()) {
            // The end of a recovery is the one move that leaves the counts valid, and so the verdict.
            if word.kind() != Kind::Recovering || seen != word.recovered() {
                return None;
            }
            word = seen;
            word.swap(&self.state, word.opening()).ok()?;
        }
        let opening = word.opening();
        let wait = match cause {
            Cause::RetryAfter => self.wait.asked(hint),
            _ => self.wait.after(word.trips(), draw, hint),
        };
        let until = now + wait;
        // From here to the last store the circuit is ours alone, and nothing may panic.
        self.opened_at.store(now.as_nanos(), Ordering::Release);
        self.until.store(until.as_nanos(), Ordering::Release);
        // Swapped, not stored: a reset takes the last one away at the same time, and loom does not order a store and a swap as a processor does.
        let tripped_by = cause.pack(opening.generation());
        self.tripped_by.swap(tripped_by, Ordering::Release);
        if word.kind() != Kind::HalfOpen {
            self.counted_in.store(word.generation(), Ordering::Release);
        }
        self.state.store(opening.opened().bits(), Ordering::Release);
        Some(transition(word, opening, cause, Some(until)))
    }
}
