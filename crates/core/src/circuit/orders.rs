//! What an operator may order: forced states, and a fresh start.

use super::call::{Cause, Transition};
use super::state::Kind;
use super::{Circuit, transition};
use crate::Moment;
use crate::sync::atomic::Ordering;
use crate::sync::relax;

// ===== impl Circuit: orders of an operator =====

impl Circuit {
    /// Refuses every call until another order. `None` if that is so already.
    pub fn force_open(&self) -> Option<Transition> {
        self.force(Kind::ForcedOpen, Cause::Forced)
    }

    /// Admits every call until another order: calls are counted, so that a snapshot shows how they fare, but nothing trips. `None` if that is so already.
    pub fn force_closed(&self) -> Option<Transition> {
        self.force(Kind::ForcedClosed, Cause::Forced)
    }

    /// Admits every call and records nothing until another order. `None` if that is so already.
    pub fn disable(&self) -> Option<Transition> {
        self.force(Kind::Disabled, Cause::Forced)
    }

    /// Closes the circuit, at once and wholly, ends every forced state, and forgets counts, trips, the last failure and what opened it.
    /// `None` if it was closed already; it forgets all the same, and calls under way no longer count.
    pub fn reset(&self) -> Option<Transition> {
        let transition = self.force(Kind::Closed, Cause::Reset);
        self.last_failure
            .store(Moment::NEVER.as_nanos(), Ordering::Relaxed);
        self.tripped_by.store(0, Ordering::Release);
        transition
    }

    fn force(&self, kind: Kind, cause: Cause) -> Option<Transition> {
        loop {
            let word = self.word();
            if word.kind() == Kind::Opening {
                // Two stores of another thread away from open; leaving it now would let that thread's last store undo this order.
                relax();
                continue;
            }
            if word.kind() == kind && kind != Kind::Closed {
                return None;
            }
            let next = word.fresh(kind);
            if word.swap(&self.state, next).is_ok() {
                self.invariants();
                return (word.kind() != kind).then(|| transition(word, next, cause, None));
            }
        }
    }
}
