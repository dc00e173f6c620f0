//! One behaviour of the slots and their queue per test.

use alloc::vec::Vec;

use super::*;
use core::time::Duration;

use crate::Moment;

mod fair;
mod model;
mod order;

fn at(nanos: u64) -> Moment {
    Moment::from_nanos(nanos)
}

/// Slots and a queue whose waiters are woken by name.
struct Test {
    slots: Slots,
    queue: Queue<u32>,
    woken: Vec<u32>,
}

impl Test {
    fn new(max_concurrent: usize, max_queue: usize) -> Self {
        Self {
            slots: Slots::try_new(max_concurrent).expect("valid limit"),
            queue: Queue::try_new(max_queue).expect("valid queue"),
            woken: Vec::new(),
        }
    }

    fn enter(&mut self, name: u32, now: u64, deadline: u64) -> Result<Entered, QueueRefusal> {
        let woken = &mut self.woken;
        self.queue.enter(
            &self.slots,
            at(now),
            at(deadline),
            || name,
            |w| woken.push(w),
        )
    }

    fn queued(&mut self, name: u32, now: u64, deadline: u64) -> Ticket {
        match self.enter(name, now, deadline) {
            Ok(Entered::Queued(ticket)) => ticket,
            other => panic!("{name} does not wait: {other:?}"),
        }
    }

    /// What a shell does at the end of a call.
    fn release(&mut self, slot: Slot, now: u64) {
        if let Err(slot) = self.slots.release(slot) {
            let woken = &mut self.woken;
            self.queue
                .release(&self.slots, slot, at(now), |w| woken.push(w));
        }
    }

    fn cancel(&mut self, ticket: Ticket, now: u64) {
        let woken = &mut self.woken;
        self.queue
            .cancel(&self.slots, ticket, at(now), |w| woken.push(w));
    }

    fn resize(&mut self, limit: usize, now: u64) {
        let woken = &mut self.woken;
        self.queue
            .resize(&self.slots, limit, at(now), |w| woken.push(w))
            .expect("valid limit");
    }

    fn slot(&mut self, ticket: Ticket) -> Slot {
        match self.queue.claim(ticket) {
            Claim::Slot(slot) => slot,
            other => panic!("no slot: {other:?}"),
        }
    }

    fn counts(&self) -> (usize, usize, usize) {
        let Occupancy {
            limit,
            running,
            waiting,
        } = self.slots.occupancy();
        (limit, running, waiting)
    }
}

#[test]
fn configuration_out_of_range_is_refused() {
    for wrong in [0, Slots::MAX + 1, usize::MAX] {
        assert!(Slots::try_new(wrong).is_err(), "{wrong}");
    }
    for wrong in [Slots::MAX + 1, usize::MAX] {
        assert!(Queue::<u32>::try_new(wrong).is_err(), "{wrong}");
    }
    let mut test = Test::new(Slots::MAX, Slots::MAX);
    assert_eq!(test.counts(), (Slots::MAX, 0, 0));
    assert!(test.queue.resize(&test.slots, 0, at(0), |_| {}).is_err());
    assert!(test.queue.set_max_queue(usize::MAX).is_err());
    assert_eq!(
        test.counts(),
        (Slots::MAX, 0, 0),
        "a refused resize changes nothing"
    );
}

#[test]
fn limit_in_the_error_is_the_limit() {
    let error = Slots::try_new(usize::MAX).expect_err("too many");
    assert!(
        error.reason().ends_with(&alloc::format!("{}", Slots::MAX)),
        "{error}"
    );
}

#[test]
fn limit_is_never_exceeded() {
    let slots = Slots::try_new(2).expect("valid");
    let first = slots.try_acquire().expect("free");
    let second = slots.try_acquire().expect("free");
    let full = slots.try_acquire().expect_err("both taken");
    assert_eq!(
        full.seen,
        Occupancy {
            limit: 2,
            running: 2,
            waiting: 0
        }
    );
    slots.release(first).expect("nobody waits");
    assert_eq!(slots.occupancy().available(), 1);
    let third = slots.try_acquire().expect("free again");
    slots.release(second).expect("nobody waits");
    slots.release(third).expect("nobody waits");
    assert_eq!(slots.occupancy().running, 0);
}

#[test]
fn waiters_are_granted_in_order_and_newcomers_do_not_overtake() {
    let mut test = Test::new(1, 3);
    let running = test.slots.try_acquire().expect("free");
    let first = test.queued(1, 0, 100);
    let second = test.queued(2, 0, 100);
    assert_eq!(test.queue.position(&second), Some(1));
    test.release(running, 10);
    assert_eq!(test.woken, [1]);
    assert_eq!(
        test.counts(),
        (1, 1, 1),
        "the slot changed hands and was never free"
    );
    assert!(test.slots.try_acquire().is_err());
    let third = test.queued(3, 10, 100);
    let slot = test.slot(first);
    test.release(slot, 20);
    let slot = test.slot(second);
    test.release(slot, 30);
    assert_eq!(test.woken, [1, 2, 3]);
    let slot = test.slot(third);
    test.release(slot, 40);
    assert_eq!(test.counts(), (1, 0, 0));
    assert!(
        test.slots.try_acquire().is_ok(),
        "nobody waits: the word is open again"
    );
}

#[test]
fn free_slot_waits_for_the_queue() {
    // Between a refused try_acquire and the lock, the slot may have been released.
    let mut test = Test::new(1, 1);
    assert!(matches!(test.enter(1, 0, 100), Ok(Entered::Slot(_))));
    assert_eq!(test.counts(), (1, 1, 0));
    // With no queue at all and with no time to wait, a free slot is still taken.
    let mut test = Test::new(1, 0);
    assert!(matches!(test.enter(1, 0, 100), Ok(Entered::Slot(_))));
    assert!(matches!(test.enter(2, 0, 100), Err(QueueRefusal::Full)));
    let mut test = Test::new(1, 1);
    assert!(matches!(test.enter(1, 5, 5), Ok(Entered::Slot(_))));
    assert!(matches!(test.enter(2, 5, 5), Err(QueueRefusal::NoTime)));
    assert_eq!(test.counts(), (1, 1, 0));
}

#[test]
fn full_queue_refuses_without_a_payload() {
    let mut test = Test::new(1, 1);
    let _running = test.slots.try_acquire().expect("free");
    let _first = test.queued(1, 0, 100);
    let refused = test.queue.enter(
        &test.slots,
        at(0),
        at(100),
        || unreachable!("a refused newcomer has no waker to be cloned"),
        |_| {},
    );
    assert!(matches!(refused, Err(QueueRefusal::Full)));
}

#[test]
fn grant_to_a_waiter_that_has_gone_passes_on() {
    let mut test = Test::new(1, 2);
    let running = test.slots.try_acquire().expect("free");
    let first = test.queued(1, 0, 100);
    let second = test.queued(2, 0, 100);
    test.release(running, 10);
    test.cancel(first, 11);
    assert_eq!(test.woken, [1, 2]);
    let slot = test.slot(second);
    assert_eq!(test.counts(), (1, 1, 0));
    test.release(slot, 12);
    assert_eq!(test.counts(), (1, 0, 0), "nothing leaked");
}

#[test]
fn grant_dropped_with_nobody_behind_frees_the_slot() {
    let mut test = Test::new(1, 2);
    let running = test.slots.try_acquire().expect("free");
    let first = test.queued(1, 0, 100);
    test.release(running, 10);
    test.cancel(first, 11);
    assert_eq!(test.counts(), (1, 0, 0));
}

#[test]
fn last_waiter_that_leaves_reopens_the_word() {
    let mut test = Test::new(1, 2);
    let running = test.slots.try_acquire().expect("free");
    let first = test.queued(1, 0, 100);
    test.cancel(first, 1);
    assert!(test.woken.is_empty());
    test.slots.release(running).expect("nobody waits any more");
    assert!(test.slots.try_acquire().is_ok());
}

#[test]
fn expired_waiter_is_woken_but_not_granted() {
    let mut test = Test::new(1, 2);
    let running = test.slots.try_acquire().expect("free");
    let first = test.queued(1, 0, 10);
    let second = test.queued(2, 0, 100);
    assert_eq!(test.queue.next_deadline(), Some(at(10)));
    test.release(running, 10);
    assert_eq!(test.woken, [1, 2]);
    assert!(matches!(test.queue.claim(first), Claim::Expired));
    let slot = test.slot(second);
    test.release(slot, 11);
    assert_eq!(test.counts(), (1, 0, 0));
}

#[test]
fn expired_waiter_keeps_nobody_out() {
    let mut test = Test::new(1, 1);
    let _running = test.slots.try_acquire().expect("free");
    let first = test.queued(1, 0, 10);
    let _second = test.queued(2, 10, 100);
    assert_eq!(test.woken, [1]);
    assert!(matches!(test.queue.claim(first), Claim::Expired));
    test.queue.expire(&test.slots, at(100), |_| {});
    assert_eq!(test.counts(), (1, 1, 0));
}

#[test]
fn waiter_without_deadline_waits_for_ever() {
    let mut test = Test::new(1, 1);
    let running = test.slots.try_acquire().expect("free");
    let ticket = test.queued(1, 0, u64::MAX);
    assert_eq!(test.queue.next_deadline(), None);
    test.queue.expire(&test.slots, Moment::NEVER, |_| {
        unreachable!("it never expires")
    });
    test.release(running, u64::MAX);
    assert!(matches!(test.queue.claim(ticket), Claim::Slot(_)));
}

#[test]
fn slot_granted_in_time_is_worth_having_late() {
    let mut test = Test::new(1, 1);
    let running = test.slots.try_acquire().expect("free");
    let ticket = test.queued(1, 0, 10);
    test.release(running, 9);
    test.queue
        .expire(&test.slots, at(1000), |_| unreachable!("it waits no more"));
    assert!(matches!(test.queue.claim(ticket), Claim::Slot(_)));
}

#[test]
fn lowered_limit_retires_slots_as_they_are_released() {
    let mut test = Test::new(3, 2);
    let running: Vec<_> = (0..3)
        .map(|_| test.slots.try_acquire().expect("free"))
        .collect();
    let waiter = test.queued(1, 0, 100);
    test.resize(1, 1);
    assert_eq!(test.counts(), (1, 3, 1));
    assert_eq!(test.slots.occupancy().available(), 0);
    let mut running = running.into_iter();
    for left in [2, 1] {
        let slot = running.next().expect("three of them");
        test.release(slot, 2);
        assert_eq!(test.counts(), (1, left, 1), "too many: not handed on");
    }
    test.release(running.next().expect("three of them"), 3);
    assert_eq!(test.woken, [1]);
    let slot = test.slot(waiter);
    test.release(slot, 4);
    assert_eq!(test.counts(), (1, 0, 0));
}

#[test]
fn raised_limit_grants_in_order_at_once() {
    let mut test = Test::new(1, 3);
    let _running = test.slots.try_acquire().expect("free");
    let _waiters: Vec<_> = (1..=3).map(|name| test.queued(name, 0, 100)).collect();
    test.resize(3, 1);
    assert_eq!(test.woken, [1, 2]);
    assert_eq!(test.counts(), (3, 3, 1));
    test.resize(Slots::MAX, 2);
    assert_eq!(test.woken, [1, 2, 3]);
    assert_eq!(test.counts(), (Slots::MAX, 4, 0));
}

#[test]
fn shorter_queue_lets_those_who_wait_stay() {
    let mut test = Test::new(1, 2);
    let _running = test.slots.try_acquire().expect("free");
    let first = test.queued(1, 0, 100);
    let second = test.queued(2, 0, 100);
    test.queue.set_max_queue(1).expect("valid");
    assert_eq!(test.counts(), (1, 1, 2));
    assert!(test.enter(3, 0, 100).is_err());
    test.cancel(first, 1);
    assert!(test.enter(3, 1, 100).is_err(), "one still waits");
    test.cancel(second, 2);
    let third = test.queued(3, 2, 100);
    assert_eq!(test.queue.position(&third), Some(0));
}

#[test]
fn payload_of_a_waiter_can_be_renewed() {
    let mut test = Test::new(1, 1);
    let running = test.slots.try_acquire().expect("free");
    let ticket = test.queued(1, 0, 100);
    *test.queue.payload_mut(&ticket).expect("it waits") = 7;
    test.release(running, 1);
    assert_eq!(test.woken, [7]);
    assert!(test.queue.payload_mut(&ticket).is_none());
    assert_eq!(test.queue.position(&ticket), None);
}

#[test]
fn pace_of_the_queue_is_that_of_the_slots_handed_on() {
    let mut test = Test::new(1, 4);
    let mut slot = test.slots.try_acquire().expect("free");
    let waiters: Vec<_> = (1..=4).map(|name| test.queued(name, 0, 1_000)).collect();
    assert_eq!(test.queue.pace(), None);
    for (waiter, now) in waiters.into_iter().zip([40, 140, 240, 340]) {
        test.release(slot, now);
        slot = test.slot(waiter);
    }
    let pace = Some(Duration::from_nanos(100));
    assert_eq!(test.queue.pace(), pace);

    // The queue was empty in between: how long that was is not how long calls take.
    let late = test.queued(5, 50_000, 100_000);
    test.release(slot, 60_000);
    let slot = test.slot(late);
    assert_eq!(test.queue.pace(), pace);
    test.release(slot, 70_000);
    assert_eq!(test.queue.pace(), pace);
}

#[test]
fn slot_that_is_retired_or_passed_on_by_a_waiter_sets_no_pace() {
    let mut test = Test::new(3, 4);
    let running: Vec<_> = (0..3)
        .map(|_| test.slots.try_acquire().expect("free"))
        .collect();
    let first = test.queued(1, 0, 1_000);
    let _second = test.queued(2, 0, 1_000);
    let _third = test.queued(3, 0, 1_000);
    test.resize(1, 0);
    for (slot, now) in running.into_iter().zip([10, 20, 30]) {
        test.release(slot, now);
    }
    test.cancel(first, 31);
    assert_eq!(test.woken, [1, 2]);
    assert_eq!(test.queue.pace(), None, "one slot was handed on");
}
