//! The cell at its edges: bursts, refusals, what is given back, other quotas, broken clocks.

extern crate std;

use std::time::Duration;

use super::*;
use crate::Moment;
use crate::sync::counted::writes;

mod line;
mod model;
mod windows;

const MS: Duration = Duration::from_millis(1);

fn at(millis: u64) -> Moment {
    Moment::from_nanos(1 << 59) + Duration::from_millis(millis)
}

/// One each 100 ms, and so many at once.
fn cell(burst: u64) -> Cell {
    Cell::try_new(Quota::per_second(10).with_burst(burst)).expect("valid")
}

fn take(cell: &Cell, now: Moment, count: u64) {
    for _ in 0..count {
        let _ = cell.try_take(now, 1).expect("there is enough");
    }
}

#[test]
fn quota_that_cannot_work_is_refused() {
    let second = Duration::from_secs(1);
    for (wrong, option) in [
        (Quota::per_second(0), "quota"),
        (Quota::new(0, Duration::ZERO), "quota"),
        (Quota::new(1, Duration::ZERO), "quota"),
        (Quota::new(1_000_000_001, second), "quota"),
        (Quota::new(u64::MAX, second), "quota"),
        (Quota::per_second(1).with_burst(0), "burst"),
        (Quota::per_hour(1).with_burst(u64::MAX), "burst"),
        (Quota::new(1, Duration::MAX), "burst"),
    ] {
        let error = Cell::try_new(wrong).expect_err("it cannot work");
        assert_eq!(error.option(), option, "{wrong:?}");
        let cell = cell(1);
        assert_eq!(cell.set_quota(wrong, at(0)), Err(error));
        assert_eq!(cell.quota(), Quota::per_second(10).with_burst(1));
    }
    assert!(Cell::try_new(Quota::new(1_000_000_000, second)).is_ok());
    assert!(Cell::try_new(Quota::per_day(1).with_burst(36_000)).is_ok());
}

#[test]
fn burst_is_admitted_at_once_and_then_one_each_interval() {
    let cell = cell(3);
    take(&cell, at(0), 3);
    assert_eq!(cell.try_take(at(0), 1), Err(Scarcity::Until(at(100))));
    assert_eq!(
        cell.try_take(at(100) - Duration::from_nanos(1), 1),
        Err(Scarcity::Until(at(100)))
    );
    take(&cell, at(100), 1);
    assert!(cell.try_take(at(100), 1).is_err());
    take(&cell, at(10_000), 3);
    assert!(
        cell.try_take(at(10_000), 1).is_err(),
        "no more than the burst, however long the pause"
    );
}

#[test]
fn what_is_told_is_what_there_is() {
    let cell = cell(3);
    let told = |millis| {
        let now = at(millis);
        let [more, full] = [cell.time_to_more(now), cell.time_to_full(now)];
        (cell.remaining(now), more, full)
    };
    assert_eq!(told(0), (3, Duration::ZERO, Duration::ZERO));
    take(&cell, at(0), 1);
    assert_eq!(told(0), (2, 100 * MS, 100 * MS));
    assert_eq!(told(40), (2, 60 * MS, 60 * MS));
    take(&cell, at(40), 2);
    assert_eq!(told(40), (0, 60 * MS, 260 * MS));
    assert_eq!(told(100), (1, 100 * MS, 200 * MS));
    assert_eq!(told(299), (2, MS, MS));
    assert_eq!(told(300), (3, Duration::ZERO, Duration::ZERO));
    assert_eq!(cell.time_until(at(40), 1), Some(60 * MS));
    assert_eq!(cell.time_until(at(40), 3), Some(260 * MS));
    assert_eq!(cell.time_until(at(300), 3), Some(Duration::ZERO));
    assert_eq!(cell.time_until(at(300), 4), None);
}

#[test]
fn cost_above_the_burst_is_never_admitted() {
    let cell = cell(3);
    for cost in [4, u64::MAX] {
        assert_eq!(cell.try_take(at(0), cost), Err(Scarcity::Never));
        assert_eq!(cell.check(at(0), cost), Err(Scarcity::Never));
    }
    assert_eq!(cell.remaining(at(0)), 3);
    assert!(cell.try_take(at(0), 3).is_ok());
}

#[test]
fn refusals_and_what_is_free_write_nothing() {
    let cell = cell(2);
    let written = writes(|| {
        assert!(cell.check(at(0), 2).is_ok());
        assert!(cell.try_take(at(0), 0).is_ok());
    });
    assert_eq!(written, 0);
    assert_eq!(writes(|| take(&cell, at(0), 2)), 2);
    let written = writes(|| {
        for _ in 0..10 {
            assert!(cell.try_take(at(0), 1).is_err());
            assert!(cell.try_take(at(0), 3).is_err());
        }
        assert!(cell.try_take(at(0), 0).is_ok(), "what is free is admitted");
    });
    assert_eq!(written, 0);
    take(&cell, at(100), 1);
}

#[test]
fn what_is_given_back_can_be_taken_again_but_not_twice() {
    let cell = cell(3);
    let first = cell.try_take(at(0), 1).expect("there is enough");
    take(&cell, at(0), 2);
    cell.give_back(first, at(0));
    assert_eq!(cell.remaining(at(0)), 1, "others took since");
    take(&cell, at(0), 1);
    assert!(cell.try_take(at(0), 1).is_err());
}

#[test]
fn time_gives_back_too_and_the_same_is_not_given_twice() {
    let cell = cell(3);
    let taken = cell.try_take(at(0), 1).expect("there is enough");
    // By now it has come back by itself, and three more are spent.
    take(&cell, at(100), 3);
    cell.give_back(taken, at(100));
    assert_eq!(cell.remaining(at(100)), 0);
    assert_eq!(cell.time_to_more(at(100)), 100 * MS);
    // And half of it.
    let taken = cell.try_take(at(1000), 1).expect("there is enough");
    take(&cell, at(1050), 2);
    cell.give_back(taken, at(1050));
    assert_eq!(cell.time_to_full(at(1050)), 200 * MS);
}

#[test]
fn other_quota_keeps_what_is_spent() {
    let cell = cell(10);
    take(&cell, at(0), 4);
    let faster = Quota::per_second(100).with_burst(10);
    cell.set_quota(faster, at(0)).expect("valid");
    assert_eq!(cell.quota(), faster);
    assert_eq!(cell.remaining(at(0)), 6);
    assert_eq!(cell.time_to_full(at(0)), 40 * MS);
    cell.set_quota(Quota::per_second(10).with_burst(100), at(0))
        .expect("valid");
    assert_eq!(cell.remaining(at(0)), 96);
    // More was spent than there is now: nothing is left, but nobody waits for what was allowed.
    take(&cell, at(0), 96);
    cell.set_quota(Quota::per_second(10).with_burst(5), at(0))
        .expect("valid");
    assert_eq!(cell.remaining(at(0)), 0);
    assert_eq!(cell.time_until(at(0), 1), Some(100 * MS));
}

#[test]
fn other_quota_gives_nothing_to_a_full_cell() {
    let cell = cell(10);
    take(&cell, at(0), 1);
    let quota = Quota::per_hour(1).with_burst(1);
    cell.set_quota(quota, at(500)).expect("valid");
    assert_eq!(cell.remaining(at(500)), 1);
    assert!(cell.time_to_full(at(500)).is_zero());
}

#[test]
fn clock_that_runs_back_gives_nothing_away_and_does_not_lock_out() {
    let cell = cell(2);
    take(&cell, at(10_000), 2);
    // A little: another thread has read the clock before.
    assert!(cell.try_take(at(9_990), 1).is_err());
    assert_eq!(cell.time_to_full(at(10_000)), 200 * MS);
    // An hour: the first refusal brings the cell to the new time.
    let hour = Duration::from_secs(3600);
    let back = at(10_000) - hour;
    assert!(cell.try_take(back, 1).is_err());
    assert_eq!(cell.time_to_full(back), 200 * MS);
    take(&cell, back + 100 * MS, 1);
}

#[test]
fn numbers_at_the_end_of_time_neither_wrap_nor_panic() {
    let cell = cell(2);
    take(&cell, Moment::NEVER - MS, 1);
    take(&cell, Moment::NEVER, 1);
    let _ = cell.try_take(Moment::NEVER, 1);
    let _ = cell.try_take(Moment::ORIGIN, 1);
    assert!(cell.remaining(Moment::ORIGIN) <= 2);
    let large = Cell::try_new(Quota::per_day(1).with_burst(36_000)).expect("valid");
    assert!(large.try_take(at(0), 36_000).is_ok());
    assert!(large.try_take(at(0), 36_000).is_err());
}
