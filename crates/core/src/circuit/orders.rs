//! What an operator may order: forced states, and a fresh start.

use super::call::{Cause, Transition};
use super::state::{Kind, Word};
use super::{Circuit, transition};
use crate::Moment;
use crate::sync::atomic::Ordering;
use crate::sync::relax;

// ===== impl Circuit: orders of an operator =====

impl Circuit {
    /// Refuses every call until another order. `None` if that is so already.
    pub fn force_open(&self) -> Option<Transition> {
        self.force(Kind::ForcedOpen, Cause::Forced).1
    }

    /// Admits every call until another order: calls are counted, so that a snapshot shows how they fare, but nothing trips. `None` if that is so already.
    pub fn force_closed(&self) -> Option<Transition> {
        self.force(Kind::ForcedClosed, Cause::Forced).1
    }

    /// Admits every call and records nothing until another order. `None` if that is so already.
    pub fn disable(&self) -> Option<Transition> {
        self.force(Kind::Disabled, Cause::Forced).1
    }

    /// Closes the circuit, at once and wholly, ends every forced state, and forgets counts, trips, the last failure and what opened it.
    /// `None` if it was closed already; it forgets all the same, and calls under way no longer count.
    pub fn reset(&self) -> Option<Transition> {
        let failed = self.last_failure.load(Ordering::Relaxed);
        let (closed, transition) = self.force(Kind::Closed, Cause::Reset);
        // A call may have failed since, and a rule tripped: that is not forgotten.
        let never = Moment::NEVER.as_nanos();
        let _ =
            self.last_failure
                .compare_exchange(failed, never, Ordering::Relaxed, Ordering::Relaxed);
        let tripped_by = self.tripped_by.load(Ordering::Acquire);
        if Cause::packed_generation(tripped_by) < closed.generation() {
            let _ = self.tripped_by.compare_exchange(
                tripped_by,
                0,
                Ordering::AcqRel,
                Ordering::Acquire,
            );
        }
        transition
    }

    /// Moves to that state, and says what the state is then.
    fn force(&self, kind: Kind, cause: Cause) -> (Word, Option<Transition>) {
        loop {
            let word = self.word();
            if word.kind() == Kind::Opening {
                // Two stores of another thread away from open; leaving it now would let that thread's last store undo this order.
                relax();
                continue;
            }
            if word.kind() == kind && kind != Kind::Closed {
                return (word, None);
            }
            let next = word.fresh(kind);
            if word.swap(&self.state, next).is_ok() {
                self.invariants();
                let is_new = word.kind() != kind;
                return (next, is_new.then(|| transition(word, next, cause, None)));
            }
        }
    }
}
