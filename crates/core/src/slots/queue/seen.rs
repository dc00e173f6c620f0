//! What can be seen of a queue, and what holds of it at any time.

use core::time::Duration;

use super::Queue;
use crate::Moment;
use crate::slots::Slots;
use crate::slots::answers::Ticket;
use crate::slots::tenant::Party;

impl<W> Queue<W> {
    /// For how long a call that comes now may wait, as far as the queue has a say in it; [`Duration::MAX`] where it has none.
    #[must_use]
    pub fn patience(&self, now: Moment) -> Duration {
        self.patience_of(Party::default(), now)
    }

    /// The same for a call of that party: where shares are fair, only its tenant's own line has a say in it.
    #[must_use]
    pub fn patience_of(&self, party: Party, now: Moment) -> Duration {
        self.order.patience(party, now)
    }

    /// Whether the queue has been standing for too long; never without a [`ControlledDelay`](crate::slots::ControlledDelay).
    #[must_use]
    pub fn is_overloaded(&self, now: Moment) -> bool {
        self.order.is_overloaded(now)
    }

    /// How many may wait.
    #[must_use]
    pub const fn max_queue(&self) -> usize {
        self.max_queue
    }

    /// How many wait, those granted a slot not counted.
    #[must_use]
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether nobody waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// The earliest deadline of those who wait: when to call [`expire`](Self::expire), unless every waiter has a timer of its own.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Moment> {
        self.due.first().map(|&(deadline, _)| deadline)
    }

    /// The mean time between two slots that were handed on while others waited; `None` until two were.
    ///
    /// By Little's law, those who wait now will have been served after so many times this.
    /// It is measured under a standing queue only, and keeps its last value in between.
    #[must_use]
    pub const fn pace(&self) -> Option<Duration> {
        self.pace.mean()
    }

    /// How many wait in front of this one; `None` if it does not wait any more.
    ///
    /// O(waiting): for a person who looks, not for every poll.
    #[must_use]
    pub fn position(&self, ticket: &Ticket) -> Option<usize> {
        self.waiting
            .contains_key(&ticket.0)
            .then(|| self.waiting.range(..ticket.0).count())
    }

    /// How many own a slot that they have not claimed yet.
    #[cfg(all(test, not(seaworthy_loom)))]
    pub(in crate::slots) fn unclaimed(&self) -> usize {
        self.granted.len()
    }

    pub(super) fn invariants(&self, slots: &Slots) {
        if cfg!(debug_assertions) {
            let seen = slots.occupancy();
            assert_eq!(seen.waiting, self.waiting.len(), "the word says who waits");
            assert!(self.granted.len() <= seen.running, "a grant is a slot");
            assert!(
                self.waiting.is_empty() || seen.available() == 0,
                "nobody waits in vain"
            );
            assert!(
                self.due.len() <= self.waiting.len(),
                "a deadline is a waiter's"
            );
            if let Some(fair) = &self.order.fair {
                let counts = (seen.running, seen.waiting);
                assert_eq!(fair.counts(), counts, "each call is a tenant's");
            }
        }
    }
}
