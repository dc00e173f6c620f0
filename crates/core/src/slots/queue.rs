//! Those who wait for a slot, each until a deadline of its own: first come first served, or under overload last come first.

use alloc::collections::{BTreeMap, BTreeSet};
use core::cmp::Reverse;

use super::answers::{Claim, Entered, QueueRefusal, Ticket};
use super::order::Order;
use super::pace::Pace;
use super::tenant::{Party, Tenant};
use super::{ControlledDelay, Slot, Slots, check_limit};
use crate::{Criticality, InvalidConfig, Moment};

/// The queue in front of [`Slots`], for one owner at a time: see the [module](crate::slots) for the protocol.
///
/// `W` is what the shell needs in order to wake a waiter.
/// Each operation costs O(log waiting), and O(log waiting) more for each waiter that it grants or expires.
/// Memory: what waits, at most `max_queue`, and the numbers of those who have been granted a slot but have not claimed it.
#[derive(Debug)]
pub struct Queue<W> {
    max_queue: usize,
    /// The number of the next ticket; 64 bits do not run out.
    next: u64,
    /// In the order in which they are served, first come first.
    waiting: BTreeMap<Place, Waiter<W>>,
    /// The same waiters by deadline; those without one are not in it.
    due: BTreeSet<(Moment, Place)>,
    /// Who owns a slot and has not come for it yet.
    granted: BTreeSet<u64>,
    order: Order,
    pace: Pace,
}

/// Where somebody stands: the higher class first, and in each of its lines who came first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Place {
    pub(super) class: Reverse<Criticality>,
    /// Whose line it is; that of nobody unless shares are fair.
    pub(super) tenant: u64,
    /// The order of arrival.
    pub(super) number: u64,
}

#[derive(Debug)]
struct Waiter<W> {
    deadline: Moment,
    payload: W,
}

mod seen;
mod shares;

/// Room for a newcomer.
#[derive(Clone, Copy)]
enum Room {
    /// There is a place.
    Free,
    /// There is the place of this one, who gives way.
    Of(Place),
    /// There is none.
    None,
}

// ===== impl Queue =====

impl<W> Queue<W> {
    /// An empty queue in which at most `max_queue` may wait; zero lets nobody wait.
    ///
    /// # Errors
    /// If `max_queue` is above [`Slots::MAX`].
    pub fn try_new(max_queue: usize) -> Result<Self, InvalidConfig> {
        Ok(Self {
            max_queue: check_queue(max_queue)?,
            next: 0,
            waiting: BTreeMap::new(),
            due: BTreeSet::new(),
            granted: BTreeSet::new(),
            order: Order::default(),
            pace: Pace::default(),
        })
    }

    /// The same queue, under a control of its delay: see [`ControlledDelay`].
    #[must_use]
    pub fn controlled(mut self, delay: ControlledDelay) -> Self {
        self.order.control(delay);
        self
    }

    /// What the waiter is woken with, to be replaced by a newer one; `None` if it does not wait any more.
    pub fn payload_mut(&mut self, ticket: &Ticket) -> Option<&mut W> {
        self.waiting
            .get_mut(&ticket.0)
            .map(|waiter| &mut waiter.payload)
    }

    /// Takes a slot if one has become free, else a place in the queue until `deadline`: as a call of the class that most have.
    ///
    /// # Errors
    /// If the queue is full, or the deadline over, and no slot is free.
    pub fn enter(
        &mut self,
        slots: &Slots,
        now: Moment,
        deadline: Moment,
        payload: impl FnOnce() -> W,
        wake: impl FnMut(W),
    ) -> Result<Entered, QueueRefusal> {
        self.enter_as(Party::default(), slots, now, deadline, payload, wake)
    }

    /// Takes a slot if one has become free, else a place in the queue until `deadline`, behind the calls of its class and in front of those that matter less.
    ///
    /// If the queue is full, one of a lower class gives up its place; under overload the oldest of the same class does; where shares are [fair](Self::fair), one of the tenant with the most waiting.
    /// `payload` is asked for only by those who wait.
    /// `wake` is given the waiters whose time is over, and those of them who take a slot.
    ///
    /// # Errors
    /// If the queue is full, or the deadline over, and no slot is free.
    pub fn enter_as(
        &mut self,
        party: impl Into<Party>,
        slots: &Slots,
        now: Moment,
        deadline: Moment,
        payload: impl FnOnce() -> W,
        mut wake: impl FnMut(W),
    ) -> Result<Entered, QueueRefusal> {
        let party = party.into();
        self.remove_expired(now, &mut wake);
        let room = self.room(party, now);
        let refusal = match room {
            Room::None => Some(QueueRefusal::Full),
            _ if deadline <= now => Some(QueueRefusal::NoTime),
            Room::Free | Room::Of(_) => None,
        };
        if let Some(refusal) = refusal {
            self.hand_out(slots, 0, now, &mut wake);
            let slot = slots.try_acquire().map_err(|_| refusal)?;
            self.order.on_started(party.class, party.tenant);
            return Ok(Entered::Slot(slot));
        }
        if let Room::Of(place) = room
            && let Some(payload) = self.remove(place)
        {
            wake(payload);
        }
        let ahead = self.waiting.len();

        // Before the newcomer is announced: if this panics, nobody waits for a ghost.
        let payload = payload();
        let granted = slots.settle(0, ahead + 1);
        self.grant_next(granted.min(ahead), now, &mut wake);
        if granted > ahead {
            self.order.on_started(party.class, party.tenant);
            self.end(slots);
            return Ok(Entered::Slot(Slot(())));
        }
        let place = Place {
            class: Reverse(party.class),
            tenant: self.order.line_of(party.tenant.key),
            number: self.next,
        };
        self.next += 1;
        if deadline != Moment::NEVER {
            self.due.insert((deadline, place));
        }
        self.waiting.insert(place, Waiter { deadline, payload });
        self.order.on_queued(party, now);
        self.invariants(slots);
        Ok(Entered::Queued(Ticket(place)))
    }

    /// What became of a ticket: to be asked by a waiter that was woken.
    ///
    /// It looks at no clock: a slot granted in time is worth having, however late its owner comes for it.
    #[must_use]
    pub fn claim(&mut self, ticket: Ticket) -> Claim {
        if self.granted.remove(&ticket.0.number) {
            Claim::Slot(Slot(()))
        } else if self.waiting.contains_key(&ticket.0) {
            Claim::Waiting(ticket)
        } else {
            Claim::Expired
        }
    }

    /// Leaves the queue; a slot that this waiter had been granted goes to the next one.
    pub fn cancel(
        &mut self,
        slots: &Slots,
        Ticket(place): Ticket,
        now: Moment,
        mut wake: impl FnMut(W),
    ) {
        let returned = usize::from(self.granted.remove(&place.number));
        if returned > 0 {
            self.order.on_ended(place.class.0, place.tenant);
        }
        let left = self.remove(place);
        self.remove_expired(now, &mut wake);
        self.hand_out(slots, returned, now, &mut wake);
        // Last, since foreign code may run when a payload is dropped.
        drop(left);
    }

    /// Passes a slot on to the first who still waits, or puts it back if nobody does or if the limit was lowered.
    pub fn release(&mut self, slots: &Slots, slot: Slot, now: Moment, wake: impl FnMut(W)) {
        self.release_as(Party::default(), slots, slot, now, wake);
    }

    /// The same for a call of that party.
    pub fn release_as(
        &mut self,
        party: Party,
        slots: &Slots,
        Slot(()): Slot,
        now: Moment,
        mut wake: impl FnMut(W),
    ) {
        self.order.on_ended(party.class, party.tenant.key);
        self.remove_expired(now, &mut wake);
        let granted = self.settle(slots, 1, now, &mut wake);
        if granted > 0 {
            self.pace.handed_on(now);
        }
        self.end(slots);
    }

    /// Removes those whose time is over; each [claims](Self::claim) [`Claim::Expired`].
    ///
    /// Every other operation does it as well: a waiter whose deadline has passed is never granted a slot, nor does it keep anybody out.
    pub fn expire(&mut self, slots: &Slots, now: Moment, mut wake: impl FnMut(W)) {
        self.remove_expired(now, &mut wake);
        self.hand_out(slots, 0, now, &mut wake);
    }

    /// Lets `max_concurrent` run from now on.
    ///
    /// Raised, it grants the new slots at once, in order.
    /// Lowered, it takes nothing away from those who run: as many slots as are too many vanish as they are released.
    ///
    /// # Errors
    /// If `max_concurrent` is zero or above [`Slots::MAX`]; nothing has changed then.
    pub fn resize(
        &mut self,
        slots: &Slots,
        max_concurrent: usize,
        now: Moment,
        mut wake: impl FnMut(W),
    ) -> Result<(), InvalidConfig> {
        let limit = check_limit(max_concurrent)?;
        self.remove_expired(now, &mut wake);
        let granted = slots.settle_within(Some(limit), 0, self.waiting.len());
        self.grant_next(granted, now, &mut wake);
        self.end(slots);
        Ok(())
    }

    /// Lets `max_queue` wait from now on; those who wait already stay.
    ///
    /// # Errors
    /// If `max_queue` is above [`Slots::MAX`]; nothing has changed then.
    pub fn set_max_queue(&mut self, max_queue: usize) -> Result<(), InvalidConfig> {
        self.max_queue = check_queue(max_queue)?;
        Ok(())
    }

    fn hand_out(&mut self, slots: &Slots, returned: usize, now: Moment, wake: &mut impl FnMut(W)) {
        self.settle(slots, returned, now, wake);
        self.end(slots);
    }

    /// The word learns how many wait, and they get what is free; says how many of them.
    fn settle(
        &mut self,
        slots: &Slots,
        returned: usize,
        now: Moment,
        wake: &mut impl FnMut(W),
    ) -> usize {
        let granted = slots.settle(returned, self.waiting.len());
        self.grant_next(granted, now, wake);
        granted
    }

    /// Every change ends here.
    fn end(&mut self, slots: &Slots) {
        if self.waiting.is_empty() {
            self.on_empty();
        }
        self.invariants(slots);
    }

    fn on_empty(&mut self) {
        self.pace.pause();
        self.order.on_empty();
    }

    fn grant_next(&mut self, count: usize, now: Moment, wake: &mut impl FnMut(W)) {
        for _ in 0..count {
            let Some(place) = self.order.next(&self.waiting, now) else {
                break;
            };
            // Before its place is free: between the two it would be forgotten how often its tenant was served.
            self.order
                .on_started(place.class.0, Tenant::new(place.tenant));
            if let Some(payload) = self.remove(place) {
                self.granted.insert(place.number);
                wake(payload);
            }
        }
    }

    /// Whether there is room for one more, if need be that of somebody who gives way.
    fn room(&self, party: Party, now: Moment) -> Room {
        match self.max_queue.checked_sub(self.waiting.len()) {
            Some(1..) => Room::Free,
            // One who goes makes no room where more wait than may, after a limit was lowered.
            Some(0) if self.max_queue > 0 => self
                .order
                .gives_way(&self.waiting, party, now)
                .map_or(Room::None, Room::Of),
            _ => Room::None,
        }
    }

    fn remove_expired(&mut self, now: Moment, wake: &mut impl FnMut(W)) {
        while let Some(&(deadline, place)) = self.due.first()
            && deadline <= now
        {
            if let Some(payload) = self.remove(place) {
                wake(payload);
            }
        }
        // Before somebody else comes: whoever does is the first.
        if self.waiting.is_empty() {
            self.on_empty();
        }
    }

    fn remove(&mut self, place: Place) -> Option<W> {
        let waiter = self.waiting.remove(&place)?;
        self.due.remove(&(waiter.deadline, place));
        self.order.on_left(place);
        Some(waiter.payload)
    }
}

fn check_queue(max_queue: usize) -> Result<usize, InvalidConfig> {
    if max_queue > Slots::MAX {
        return Err(InvalidConfig::new("max_queue", "must be at most 2097151"));
    }
    Ok(max_queue)
}
