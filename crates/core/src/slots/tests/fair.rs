//! Fair shares: what each tenant gets of the slots and of the queue.

use super::*;
use crate::Criticality::{self, Critical, CriticalPlus, Sheddable};

mod decisions;
mod model;

const MILLI: u64 = 1_000_000;
const QUIET: Tenant = Tenant::new(1);
const NOISY: Tenant = Tenant::new(2);

fn of(tenant: Tenant) -> Party {
    Party {
        class: Critical,
        tenant,
    }
}

fn all(limit: usize) -> usize {
    limit
}

fn fair(limit: usize, max_queue: usize) -> Test {
    let mut test = Test::new(limit, 0);
    let queue = Queue::try_new(max_queue).expect("valid queue");
    test.queue = queue
        .controlled(ControlledDelay::DEFAULT)
        .fair(max_queue == 0);
    test
}

impl Test {
    fn takes(&mut self, party: Party) -> bool {
        self.queue.try_acquire_as(party, &self.slots, all).is_ok()
    }

    fn take_all(&mut self, party: Party) -> usize {
        (0..1000).take_while(|_| self.takes(party)).count()
    }

    fn ends(&mut self, party: Party, now: u64) {
        let (slots, woken) = (&self.slots, &mut self.woken);
        self.queue
            .release_as(party, slots, Slot(()), at(now), |w| woken.push(w));
    }

    fn enters(&mut self, party: Party, name: u32, now: u64) -> Result<Entered, QueueRefusal> {
        let now = at(now);
        let until = now + self.queue.patience_of(party, now);
        let (slots, woken) = (&self.slots, &mut self.woken);
        self.queue
            .enter_as(party, slots, now, until, || name, |w| woken.push(w))
    }

    fn waits(&mut self, party: Party, name: u32, now: u64) -> Ticket {
        match self.enters(party, name, now) {
            Ok(Entered::Queued(ticket)) => ticket,
            other => panic!("{name} does not wait: {other:?}"),
        }
    }

    /// From the beginning, and without a limit of its own.
    fn waits_long(&mut self, party: Party, name: u32) -> Ticket {
        let (slots, woken) = (&self.slots, &mut self.woken);
        let entered = self.queue.enter_as(
            party,
            slots,
            at(0),
            Moment::NEVER,
            || name,
            |w| woken.push(w),
        );
        match entered {
            Ok(Entered::Queued(ticket)) => ticket,
            other => panic!("{name} does not wait: {other:?}"),
        }
    }

    fn forsakes(&mut self, ticket: Ticket, now: u64) {
        let (slots, woken) = (&self.slots, &mut self.woken);
        self.queue.cancel(slots, ticket, at(now), |w| woken.push(w));
    }

    fn woken(&mut self) -> Vec<u32> {
        core::mem::take(&mut self.woken)
    }

    /// Those who were woken and have a slot now.
    fn served(&mut self, tickets: &mut Vec<(u32, Ticket)>) -> Vec<u32> {
        let mut served = self.woken();
        served.retain(|name| {
            let at = tickets.iter().position(|(other, _)| other == name);
            let (_, ticket) = tickets.swap_remove(at.expect("it waits"));
            matches!(self.queue.claim(ticket), Claim::Slot(_))
        });
        served
    }
}

#[test]
fn whoever_is_alone_gets_the_whole_limit_and_no_more() {
    let mut test = fair(10, 0);
    assert_eq!(test.take_all(of(NOISY)), 10);
    assert_eq!(test.queue.tenants(), 1);
}

#[test]
fn who_has_less_than_its_share_finds_room_where_nobody_waits() {
    let mut test = fair(10, 0);
    test.take_all(of(NOISY));
    // The square root of ten, rounded up.
    assert_eq!(test.take_all(of(QUIET)), 4);
    test.ends(of(NOISY), 0);
    assert!(!test.takes(of(NOISY)), "what was lent is taken back first");
    assert!(test.takes(of(QUIET)), "the fifth of five");
    test.ends(of(NOISY), 0);
    assert!(!test.takes(of(QUIET)), "it has its share");
    for _ in 0..4 {
        test.ends(of(NOISY), 0);
    }
    assert_eq!(test.slots.occupancy().running, 9);
    assert!(test.takes(of(NOISY)), "there is room for anybody");
    assert!(!test.takes(of(NOISY)));
}

#[test]
fn share_goes_by_weight() {
    let mut test = fair(16, 0);
    let heavy = QUIET.weight(3);
    test.take_all(of(NOISY));
    test.take_all(of(heavy));
    let mut ended = 0;
    while test.slots.occupancy().running > 16 || ended < 12 {
        test.ends(of(NOISY), 0);
        test.take_all(of(heavy));
        ended += 1;
        assert!(ended <= 12, "the shares are twelve and four");
    }
    assert_eq!(test.slots.occupancy().running, 16);
    assert!(!test.takes(of(heavy)));
}

#[test]
fn lower_class_is_lent_room_within_the_limit_only() {
    let mut test = fair(10, 0);
    let low = |tenant| Party {
        class: Sheddable,
        tenant,
    };
    let half = |limit: usize| limit / 2;
    let take = |test: &mut Test, tenant| {
        let taken = test.queue.try_acquire_as(low(tenant), &test.slots, half);
        taken.is_ok()
    };
    assert_eq!((0..20).filter(|_| take(&mut test, NOISY)).count(), 5);
    // Its share is two; the square root would allow three.
    assert_eq!((0..20).filter(|_| take(&mut test, QUIET)).count(), 2);
    test.take_all(of(Tenant::NOBODY));
    assert!(!take(&mut test, Tenant::new(3)), "the limit is the limit");
}

#[test]
fn slot_goes_to_who_has_least_and_alternates_among_equals() {
    let mut test = fair(2, 9);
    test.take_all(of(NOISY));
    let mut tickets = Vec::new();
    for (tenant, name) in [(NOISY, 1), (NOISY, 2), (NOISY, 3), (QUIET, 11), (QUIET, 12)] {
        tickets.push((name, test.waits(of(tenant), name, 0)));
    }
    let mut after = |tenant| {
        test.ends(of(tenant), 1);
        test.served(&mut tickets)
    };
    assert_eq!(after(NOISY), [11], "it has none, the other one");
    assert_eq!(after(NOISY), [1], "each has its own");
    assert_eq!(after(QUIET), [12]);
    assert_eq!(after(QUIET), [2], "there is room for anybody");
}

/// At a limit below the number of tenants, shares of the slots say nothing: turns do.
#[test]
fn turns_go_by_weight_and_nobody_starves() {
    let mut test = fair(1, 99);
    test.take_all(of(Tenant::NOBODY));
    let tenants = [QUIET.weight(3), NOISY, Tenant::new(3)];
    let mut tickets = Vec::new();
    for name in 0..60 {
        let tenant = tenants[name % 3];
        let name = name as u32;
        tickets.push((name, test.waits(of(tenant), name, 0)));
    }
    let (mut running, mut served) = (Tenant::NOBODY, [0; 3]);
    for _ in 0..30 {
        test.ends(of(running), 1);
        let names = test.served(&mut tickets);
        let index = names[0] as usize % 3;
        running = tenants[index];
        served[index] += 1;
    }
    assert_eq!(served, [18, 6, 6]);
}

#[test]
fn higher_class_goes_first_whoever_asks() {
    let mut test = fair(1, 9);
    test.take_all(of(NOISY));
    let _quiet = test.waits(of(QUIET), 1, 0);
    let high = Party {
        class: CriticalPlus,
        tenant: NOISY,
    };
    let _high = test.waits(high, 2, 0);
    test.ends(of(NOISY), 1);
    assert_eq!(test.woken(), [2]);
}

#[test]
fn only_the_line_that_stands_turns_round_and_has_its_newcomers_wait_for_less() {
    let mut test = fair(1, 9);
    test.take_all(of(Tenant::new(9)));
    let now = 101 * MILLI;
    let mut tickets = Vec::new();
    for name in [1, 2] {
        tickets.push((name, test.waits_long(of(NOISY), name)));
    }
    let millis = Duration::from_millis;
    assert_eq!(test.queue.patience_of(of(NOISY), at(now)), millis(5));
    assert_eq!(test.queue.patience_of(of(QUIET), at(now)), millis(100));
    for name in [11, 12] {
        tickets.push((name, test.waits(of(QUIET), name, now)));
    }
    test.ends(of(Tenant::new(9)), now);
    let mut served = test.served(&mut tickets);
    test.ends(of(if served == [2] { NOISY } else { QUIET }), now);
    served.extend(test.served(&mut tickets));
    served.sort_unstable();
    assert_eq!(
        served,
        [2, 11],
        "the newest of one, the oldest of the other"
    );
}

#[test]
fn newcomer_takes_a_place_of_who_has_most_of_the_queue() {
    let mut test = fair(1, 4);
    test.take_all(of(NOISY));
    let mut noisy: Vec<_> = (1..5).map(|name| test.waits(of(NOISY), name, 0)).collect();
    assert!(test.enters(of(NOISY), 5, 0).is_err());
    let _quiet = [11, 12].map(|name| test.waits(of(QUIET), name, 0));
    assert_eq!(test.woken(), [4, 3]);
    assert!(test.enters(of(QUIET), 13, 0).is_err(), "it has its half");
    assert!(matches!(test.queue.claim(noisy.remove(3)), Claim::Expired));
    // A third of four is one, and one of them has to go; then all have as little as one more would have.
    let _third = test.waits(of(Tenant::new(3)), 21, 0);
    assert_eq!(test.woken().len(), 1);
    assert_eq!(test.queue.len(), 4);
}

#[test]
fn lower_class_gives_way_before_who_has_most() {
    let mut test = fair(1, 3);
    test.take_all(of(NOISY));
    let _noisy = [1, 2].map(|name| test.waits(of(NOISY), name, 0));
    let low = Party {
        class: Sheddable,
        tenant: QUIET,
    };
    let _low = test.waits(low, 3, 0);
    let _more = test.waits(of(NOISY), 4, 0);
    assert_eq!(test.woken(), [3]);
    assert!(test.enters(low, 5, 0).is_err());
}

#[test]
fn who_stands_lets_go_of_its_own_oldest_and_of_nobody_elses() {
    let mut test = fair(1, 3);
    test.take_all(of(Tenant::new(9)));
    let now = 101 * MILLI;
    let (slots, woken) = (&test.slots, &mut test.woken);
    for (tenant, name) in [(NOISY, 1), (NOISY, 2), (QUIET, 11)] {
        let until = at(900 * MILLI);
        let _entered =
            test.queue
                .enter_as(of(tenant), slots, at(0), until, || name, |w| woken.push(w));
    }
    let _fresh = test.waits(of(NOISY), 3, now);
    assert_eq!(test.woken(), [1]);
}

#[test]
fn granted_slot_that_is_not_taken_goes_on_and_is_counted_for_nobody() {
    let mut test = fair(1, 9);
    test.take_all(of(NOISY));
    let quiet = test.waits(of(QUIET), 1, 0);
    let noisy = test.waits(of(NOISY), 2, 0);
    test.ends(of(NOISY), 1);
    test.forsakes(quiet, 1);
    assert_eq!(test.woken(), [1, 2]);
    assert_eq!(test.queue.tenants(), 1);
    test.forsakes(noisy, 1);
    assert_eq!(
        (test.queue.tenants(), test.slots.occupancy().running),
        (0, 0)
    );
}

#[test]
fn made_up_names_leave_nothing_behind() {
    let mut test = fair(5, 3);
    for key in 0..10_000 {
        let party = of(Tenant::new(key));
        if test.takes(party) {
            test.ends(party, key);
        }
        assert_eq!(test.queue.tenants(), 0);
    }
    for key in 0..10_000 {
        let party = of(Tenant::new(key));
        let _entered = (!test.takes(party)).then(|| test.enters(party, 1, 0));
        assert!(test.queue.tenants() <= 5 + 3);
    }
}

#[test]
fn weight_is_within_its_bounds() {
    assert_eq!(QUIET.weight(0), QUIET);
    assert_eq!(QUIET.weight(u32::MAX), QUIET.weight(Tenant::MAX_WEIGHT));
    let mut test = fair(3, 9);
    let huge = of(NOISY.weight(u32::MAX));
    test.take_all(huge);
    let _waits = test.waits(huge, 1, 0);
    let _quiet = test.waits(of(QUIET), 2, 0);
    test.ends(huge, 1);
    assert_eq!(test.woken(), [2], "everybody has at least one");
}

#[test]
fn clock_that_runs_backwards_does_not_keep_a_line_from_standing() {
    let mut test = fair(1, 9);
    test.take_all(of(NOISY));
    let _first = test.waits(of(NOISY), 1, u64::MAX / 2);
    let _second = test.waits(of(NOISY), 2, MILLI);
    let patience = test.queue.patience_of(of(NOISY), at(102 * MILLI));
    assert_eq!(patience, Duration::from_millis(5));
}
