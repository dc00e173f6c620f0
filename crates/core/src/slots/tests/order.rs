//! The order under overload: CoDel's decision, last come first served, and classes.

use proptest::prelude::*;

use super::*;
use crate::Criticality::{self, Critical, CriticalPlus, Sheddable};

const MILLI: u64 = 1_000_000;

/// One slot, taken, and a queue of which the delay is controlled.
fn busy(max_queue: usize) -> (Test, Slot) {
    let mut test = Test::new(1, 0);
    let queue = Queue::try_new(max_queue).expect("valid queue");
    test.queue = queue.controlled(ControlledDelay::DEFAULT);
    let slot = test.slots.try_acquire().expect("free");
    (test, slot)
}

/// In milliseconds.
fn enter(
    test: &mut Test,
    class: Criticality,
    name: u32,
    now: u64,
) -> Result<Entered, QueueRefusal> {
    let (now, woken) = (at(now * MILLI), &mut test.woken);
    let until = now + test.queue.patience(now);
    test.queue
        .enter_as(class, &test.slots, now, until, || name, |w| woken.push(w))
}

fn queued(test: &mut Test, class: Criticality, name: u32, now: u64) -> Ticket {
    match enter(test, class, name, now) {
        Ok(Entered::Queued(ticket)) => ticket,
        other => panic!("{name} does not wait: {other:?}"),
    }
}

#[test]
fn newcomer_may_wait_for_the_interval_and_behind_a_standing_queue_for_the_target() {
    let (mut test, _slot) = busy(9);
    let millis = Duration::from_millis;
    assert_eq!(test.queue.patience(at(0)), millis(100));
    let _first = test.queued(1, 0, 900 * MILLI);
    assert_eq!(test.queue.patience(at(100 * MILLI)), millis(100));
    assert!(!test.queue.is_overloaded(at(100 * MILLI)));
    assert_eq!(test.queue.patience(at(100 * MILLI + 1)), millis(5));
    assert!(test.queue.is_overloaded(at(100 * MILLI + 1)));
}

#[test]
fn queue_that_was_empty_does_not_stand() {
    let (mut test, slot) = busy(9);
    let first = test.queued(1, 0, 900 * MILLI);
    test.release(slot, 150 * MILLI);
    let Claim::Slot(slot) = test.queue.claim(first) else {
        panic!("it has waited");
    };
    assert!(!test.queue.is_overloaded(at(150 * MILLI)));
    let _second = test.queued(2, 160 * MILLI, 900 * MILLI);
    assert!(!test.queue.is_overloaded(at(250 * MILLI)));
    assert!(test.queue.is_overloaded(at(261 * MILLI)));
    let _slot = test.slots.release(slot).expect_err("somebody waits");
}

#[test]
fn order_turns_while_the_queue_stands() {
    for (now, expected) in [(100, 1), (101, 3)] {
        let (mut test, slot) = busy(9);
        let _tickets = [1, 2, 3].map(|name| test.queued(name, 0, 900 * MILLI));
        test.release(slot, now * MILLI);
        assert_eq!(test.woken, [expected], "after {now} ms");
    }
}

#[test]
fn whoever_has_waited_too_long_is_not_served() {
    let (mut test, slot) = busy(9);
    let old = queued(&mut test, Critical, 1, 0);
    let _long = test.queued(9, 0, 900 * MILLI);
    let late = queued(&mut test, Critical, 2, 101);
    let fresh = queued(&mut test, Critical, 3, 104);
    test.release(slot, 107 * MILLI);
    // The first at 100 ms, the second at 106; of those left the last.
    assert_eq!(test.woken, [1, 2, 3]);
    assert!(matches!(test.queue.claim(old), Claim::Expired));
    assert!(matches!(test.queue.claim(late), Claim::Expired));
    assert!(matches!(test.queue.claim(fresh), Claim::Slot(_)));
}

#[test]
fn higher_class_is_served_first_whenever_it_came() {
    for now in [1, 150] {
        let (mut test, slot) = busy(9);
        let names = [
            (Sheddable, 1),
            (CriticalPlus, 2),
            (Critical, 3),
            (Sheddable, 4),
        ];
        let _tickets = names.map(|(class, name)| {
            let (slots, woken) = (&test.slots, &mut test.woken);
            let deadline = at(900 * MILLI);
            test.queue
                .enter_as(class, slots, at(0), deadline, || name, |w| woken.push(w))
        });
        test.release(slot, now * MILLI);
        assert_eq!(test.woken, [2]);
    }
}

#[test]
fn full_queue_lets_go_of_the_lowest_class_and_of_none_above_the_newcomer() {
    let (mut test, _slot) = busy(2);
    let low = queued(&mut test, Sheddable, 1, 0);
    let high = queued(&mut test, CriticalPlus, 2, 0);
    assert_eq!(
        enter(&mut test, Sheddable, 3, 1).unwrap_err(),
        QueueRefusal::Full
    );
    let middle = queued(&mut test, Critical, 4, 1);
    assert_eq!(test.woken, [1]);
    assert!(matches!(test.queue.claim(low), Claim::Expired));
    assert_eq!(
        enter(&mut test, Critical, 5, 1).unwrap_err(),
        QueueRefusal::Full
    );
    assert_eq!(test.slots.occupancy().waiting, 2);
    drop((high, middle));
}

#[test]
fn full_queue_that_stands_lets_go_of_the_oldest() {
    let (mut test, _slot) = busy(2);
    let oldest = test.queued(1, 0, 900 * MILLI);
    let _second = test.queued(2, 0, 900 * MILLI);
    assert_eq!(
        enter(&mut test, Critical, 3, 100).unwrap_err(),
        QueueRefusal::Full
    );
    let _third = queued(&mut test, Critical, 4, 101);
    assert_eq!(test.woken, [1]);
    assert!(matches!(test.queue.claim(oldest), Claim::Expired));
}

#[test]
fn nobody_gives_way_to_a_call_without_time() {
    let (mut test, _slot) = busy(1);
    let low = queued(&mut test, Sheddable, 1, 0);
    let now = at(MILLI);
    let refused = test
        .queue
        .enter_as(CriticalPlus, &test.slots, now, now, || 2, |_| {});
    assert_eq!(refused.unwrap_err(), QueueRefusal::NoTime);
    assert!(matches!(test.queue.claim(low), Claim::Waiting(_)));
}

#[test]
fn lowered_limit_of_the_queue_is_not_kept_up_by_displacement() {
    let (mut test, _slot) = busy(3);
    let _low = [1, 2, 3].map(|name| queued(&mut test, Sheddable, name, 0));
    for limit in [1, 0] {
        test.queue.set_max_queue(limit).expect("valid");
        assert_eq!(
            enter(&mut test, CriticalPlus, 9, 1).unwrap_err(),
            QueueRefusal::Full
        );
    }
    assert_eq!(test.queue.len(), 3);
}

#[test]
fn clock_that_runs_backwards_does_not_keep_the_queue_from_standing() {
    let (mut test, _slot) = busy(9);
    let _first = test.queued(1, 5_000 * MILLI, u64::MAX);
    assert!(!test.queue.is_overloaded(at(MILLI)));
    let _second = test.queued(2, MILLI, u64::MAX);
    assert!(test.queue.is_overloaded(at(102 * MILLI)));
}

#[test]
fn queue_of_which_everybody_has_gone_does_not_stand() {
    let (mut test, _slot) = busy(9);
    let _gone = [1, 2].map(|name| queued(&mut test, Critical, name, 0));
    let _second = test.queued(3, 500 * MILLI, 900 * MILLI);
    assert_eq!(test.woken, [1, 2]);
    let millis = Duration::from_millis;
    assert_eq!(test.queue.patience(at(600 * MILLI)), millis(100));
    assert_eq!(test.queue.patience(at(601 * MILLI)), millis(5));
    // To know it before one comes, one lets them go.
    test.queue.expire(&test.slots, at(900 * MILLI), |_| {});
    assert_eq!(test.queue.patience(at(900 * MILLI)), millis(100));
}

#[test]
fn times_that_cannot_work_are_refused() {
    let option = |target, interval| {
        ControlledDelay::try_new(
            Duration::from_millis(target),
            Duration::from_millis(interval),
        )
        .map_err(|error| error.option())
    };
    assert_eq!(option(0, 100), Err("target"));
    assert_eq!(option(5, 4), Err("interval"));
    assert!(option(5, 5).is_ok());
}

proptest! {
    /// Against a list that is searched from end to end.
    #[test]
    fn queue_agrees_with_a_naive_model(
        steps in prop::collection::vec((0..4_usize, 0..3_usize, 0..60_u64), 1..200),
        max_queue in 1..6_usize,
    ) {
        let (mut test, mut slot) = busy(max_queue);
        let mut slot = Some(&mut slot);
        // Class, name, deadline.
        let mut list: Vec<(Criticality, u32, u64)> = Vec::new();
        let mut tickets = Vec::new();
        let (mut now, mut standing) = (0, None);
        for (name, (class, step, later)) in steps.into_iter().enumerate() {
            let (class, name) = (Criticality::ALL[class], name as u32);
            now += later;
            list.retain(|&(.., until)| until > now);
            test.queue.expire(&test.slots, at(now * MILLI), |_| {});
            if list.is_empty() {
                standing = None;
            }
            let overloaded = standing.is_some_and(|since| now - since > 100);
            if step < 2 {
                let wait = if overloaded { 5 } else { 100 };
                let entered = enter(&mut test, class, name, now);
                let mut room = list.len() < max_queue;
                if !room {
                    let lowest = list.iter().map(|w| w.0).min().expect("not empty");
                    if lowest < class || lowest == class && overloaded {
                        let mut of_it = list.iter().filter(|w| w.0 == lowest);
                        let gone = if overloaded { of_it.next() } else { of_it.next_back() };
                        let gone = *gone.expect("one is the lowest");
                        list.retain(|w| *w != gone);
                        room = true;
                    }
                }
                match entered {
                    Ok(Entered::Queued(ticket)) => {
                        prop_assert!(room);
                        list.push((class, name, now + wait));
                        tickets.push((name, ticket));
                        standing = standing.or(Some(now));
                    }
                    Ok(Entered::Slot(_)) => prop_assert!(false, "no slot is free"),
                    Err(refusal) => {
                        prop_assert_eq!(refusal, QueueRefusal::Full);
                        prop_assert!(!room);
                    }
                }
            } else if slot.take().is_some() || !list.is_empty() {
                // The slot changes hands and comes back: whoever is served ends at once.
                test.woken.clear();
                let (slots, woken) = (&test.slots, &mut test.woken);
                test.queue.release(slots, Slot(()), at(now * MILLI), |w| woken.push(w));
                let highest = list.iter().map(|w| w.0).max();
                let mut of_it = list.iter().filter(|w| Some(w.0) == highest);
                let next = if overloaded { of_it.next_back() } else { of_it.next() };
                let next = next.copied();
                if let Some(next) = next {
                    prop_assert_eq!(test.woken.last(), Some(&next.1));
                    list.retain(|w| *w != next);
                    let at = tickets.iter().position(|t| t.0 == next.1).expect("it waits");
                    let (_, ticket) = tickets.swap_remove(at);
                    prop_assert!(matches!(test.queue.claim(ticket), Claim::Slot(_)));
                } else {
                    // Nobody waited: taken again for the next round.
                    let taken = test.slots.try_acquire();
                    prop_assert!(taken.is_ok());
                }
                if list.is_empty() {
                    standing = None;
                }
            }
            prop_assert_eq!(test.queue.len(), list.len());
        }
    }
}
