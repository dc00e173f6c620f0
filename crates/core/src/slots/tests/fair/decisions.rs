//! What a share is made of, one decision at a time: each fails where one comparison is another.

use super::*;

const THIRD: Tenant = Tenant::new(3);

fn of_class(class: Criticality, tenant: Tenant) -> Party {
    Party { class, tenant }
}

/// Serves so many turns of a queue with one slot, each ended at once; how many each of the first three tenants had.
fn turns(
    test: &mut Test,
    tickets: &mut Vec<(u32, Ticket)>,
    mut runs: Tenant,
    count: usize,
) -> [usize; 3] {
    let tenants = [QUIET, NOISY, THIRD];
    let mut served = [0; 3];
    for _ in 0..count {
        test.ends(of(runs), 1);
        let names = test.served(tickets);
        let index = names[0] as usize / 100;
        runs = tenants[index];
        served[index] += 1;
    }
    test.ends(of(runs), 1);
    let names = test.served(tickets);
    served[names[0] as usize / 100] += 1;
    served
}

#[test]
fn who_comes_anew_has_no_claim_to_the_turns_of_before() {
    let mut test = fair(1, 999);
    test.take_all(of(Tenant::NOBODY));
    let mut tickets = Vec::new();
    for name in 0..40 {
        tickets.push((name, test.waits(of(QUIET), name, 0)));
        tickets.push((100 + name, test.waits(of(NOISY), 100 + name, 0)));
    }
    let before = turns(&mut test, &mut tickets, Tenant::NOBODY, 20);
    assert_eq!(before[0] + before[1], 21);
    for name in 200..220 {
        tickets.push((name, test.waits(of(THIRD), name, 1)));
    }
    // Whoever was served last runs.
    let last = if before[0] > before[1] { QUIET } else { NOISY };
    let after = turns(&mut test, &mut tickets, last, 8);
    assert_eq!(after, [3, 3, 3]);
}

#[test]
fn who_has_called_seldom_does_not_take_others_back_to_where_it_was() {
    let mut test = fair(4, 99);
    assert!(test.takes(of(NOISY)) && test.takes(of(QUIET)));
    for _ in 0..10 {
        assert!(test.takes(of(QUIET)));
        test.ends(of(QUIET), 0);
    }
    // Its second call: it has had one turn, the other eleven.
    assert!(test.takes(of(NOISY)));
    test.ends(of(NOISY), 0);
    assert!(test.takes(of(THIRD)) && test.takes(of(Tenant::NOBODY)));
    let mut tickets = Vec::new();
    for name in 0..10 {
        tickets.push((name, test.waits(of(QUIET), name, 0)));
        tickets.push((200 + name, test.waits(of(THIRD), 200 + name, 0)));
    }
    let served = turns(&mut test, &mut tickets, Tenant::NOBODY, 7);
    assert_eq!(served, [4, 0, 4], "each has one call running besides");
}

#[test]
fn who_waits_keeps_its_claim_when_it_asks_for_more() {
    let mut test = fair(5, 99);
    for (tenant, calls) in [(NOISY, 3), (QUIET, 2)] {
        for _ in 0..calls {
            assert!(test.takes(of(tenant)));
        }
    }
    let mut tickets = Vec::new();
    for name in [101, 102] {
        tickets.push((name, test.waits(of(NOISY), name, 0)));
    }
    for name in 0..20 {
        tickets.push((name, test.waits(of(QUIET), name, 0)));
    }
    for name in 0..10 {
        test.ends(of(QUIET), 1);
        assert_eq!(test.served(&mut tickets), [name], "it has less running");
    }
    tickets.push((103, test.waits(of(NOISY), 103, 1)));
    for name in [101, 102, 103] {
        // Two of each are left: whose turns were fewer is next.
        test.ends(of(NOISY), 1);
        assert_eq!(test.served(&mut tickets), [name]);
    }
}

#[test]
fn room_above_the_limit_goes_by_weight() {
    for (weight, expected) in [(1, 3), (3, 3), (7, 3)] {
        let mut test = fair(8, 0);
        test.take_all(of(NOISY));
        let taken = test.take_all(of(QUIET.weight(weight)));
        assert_eq!(taken, expected, "weight {weight}");
    }
    // Of eight, one in four is two.
    let mut test = fair(8, 0);
    test.take_all(of(NOISY.weight(3)));
    assert_eq!(test.take_all(of(QUIET)), 2);
}

#[test]
fn lower_class_finds_no_room_above_the_limit() {
    let mut test = fair(10, 0);
    let mut takes = |tenant| {
        let party = of_class(Sheddable, tenant);
        let taken = test
            .queue
            .try_acquire_as(party, &test.slots, |limit| limit * 9 / 10);
        taken.is_ok()
    };
    assert_eq!((0..20).filter(|_| takes(NOISY)).count(), 9);
    assert!(takes(QUIET), "above what its class may use");
    assert!(!takes(THIRD), "above the limit");
}

#[test]
fn nobody_overtakes_who_waits_where_there_is_room_above_the_limit() {
    let mut test = fair(1, 0);
    test.queue.set_max_queue(5).expect("valid");
    assert!(test.takes(of(NOISY)));
    let _ticket = test.waits(of(NOISY), 1, 0);
    assert!(!test.takes(of(QUIET)));
}

#[test]
fn no_class_may_use_more_than_the_limit() {
    let mut test = fair(2, 9);
    let mut takes = || {
        let taken = test
            .queue
            .try_acquire_as(of(NOISY), &test.slots, |limit| 2 * limit);
        taken.is_ok()
    };
    assert_eq!((0..9).filter(|_| takes()).count(), 2);
}
