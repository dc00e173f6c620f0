//! The retry budget against a naive model.

use alloc::vec::Vec;

use proptest::prelude::*;

use super::*;

mod left;

const SECOND: u64 = 1_000_000_000;

fn at(nanos: u64) -> Moment {
    Moment::from_nanos(nanos)
}

fn budget(share: f64, floor: u32) -> Budget {
    Budget::try_new(BudgetConfig::default().share(share).floor(floor)).expect("valid")
}

/// How many can be withdrawn in a row.
fn drain(budget: &mut Budget, now: u64, total: u64) -> usize {
    core::iter::from_fn(|| budget.withdraw(at(now), total).ok())
        .take(100_000)
        .count()
}

#[test]
fn configuration_that_cannot_work_is_refused() {
    let option = |config| {
        Budget::try_new(config)
            .expect_err("it cannot work")
            .option()
    };
    let config = BudgetConfig::default();
    for wrong in [-0.1, 100.1, f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        assert_eq!(option(config.share(wrong)), "share", "{wrong}");
    }
    assert_eq!(option(config.floor(1_000_001)), "floor");
    assert_eq!(option(config.share(0.0).floor(0)), "share");
    let hour = Duration::from_secs(3600);
    for wrong in [
        Duration::ZERO,
        Duration::from_nanos(9_999_999),
        hour + Duration::from_nanos(1),
    ] {
        assert_eq!(option(config.window(wrong)), "window", "{wrong:?}");
    }
    for right in [
        config,
        config.share(0.0),
        config.floor(0),
        config.share(100.0),
        config.floor(1_000_000),
        config.window(Duration::from_millis(10)),
        config.window(hour),
    ] {
        assert!(Budget::try_new(right).is_ok());
    }
}

#[test]
fn share_is_of_the_calls_offered() {
    let mut budget = budget(0.2, 0);
    budget.observe(at(0), 0);
    assert_eq!(drain(&mut budget, 1, 4), 0);
    assert_eq!(drain(&mut budget, 1, 100), 20);
    assert_eq!(
        drain(&mut budget, 1, 104),
        0,
        "retries do not pay for retries"
    );
    assert_eq!(drain(&mut budget, 1, 105), 1);
}

#[test]
fn share_may_be_more_than_the_whole() {
    let mut budget = budget(2.0, 0);
    budget.observe(at(0), 0);
    assert_eq!(drain(&mut budget, 1, 10), 20);
}

#[test]
fn share_leaves_with_its_window() {
    let mut budget = budget(0.2, 0);
    budget.observe(at(0), 0);
    assert_eq!(drain(&mut budget, 1, 100), 20);
    assert_eq!(drain(&mut budget, 9 * SECOND, 100), 0);
    // All are gone at once: those offered and those withdrawn.
    assert_eq!(drain(&mut budget, 10 * SECOND, 100), 0);
    budget.observe(at(10 * SECOND), 150);
    assert_eq!(drain(&mut budget, 10 * SECOND, 150), 10);
}

#[test]
fn floor_accrues_and_is_no_reserve() {
    let mut budget = budget(0.0, 10);
    assert_eq!(
        drain(&mut budget, 3600 * SECOND, 0),
        10,
        "one second's worth after an hour"
    );
    assert_eq!(drain(&mut budget, 3600 * SECOND + SECOND / 10 - 1, 0), 0);
    assert_eq!(drain(&mut budget, 3600 * SECOND + SECOND / 10, 0), 1);
    assert_eq!(drain(&mut budget, 3600 * SECOND + SECOND / 2, 0), 4);
}

#[test]
fn floor_and_share_add_up() {
    let mut budget = budget(0.2, 10);
    budget.observe(at(0), 0);
    assert_eq!(drain(&mut budget, 1, 100), 30);
}

#[test]
fn refusal_says_when_the_floor_has_one_again() {
    let mut test = budget(0.0, 10);
    drain(&mut test, 5, 0);
    let refusal = test.withdraw(at(6), 0).expect_err("used up");
    assert_eq!(refusal.until, Some(at(5 + SECOND / 10)));
    assert!(
        test.withdraw(refusal.until.expect("there is a floor"), 0)
            .is_ok()
    );

    let refusal = budget(0.2, 0)
        .withdraw(at(0), 0)
        .expect_err("nothing offered");
    assert_eq!(refusal.until, None);
}

#[test]
fn refund_goes_back_to_where_it_came_from() {
    let mut budget = budget(0.1, 1);
    budget.observe(at(0), 0);
    let floor = budget.withdraw(at(1), 10).expect("the floor");
    let share = budget.withdraw(at(1), 10).expect("a tenth of ten");
    assert_eq!(
        (&floor.0, &share.0),
        (&Pot::Floor, &Pot::Share { bucket: 0 })
    );
    assert!(budget.withdraw(at(1), 10).is_err());
    budget.refund(share);
    let share = budget.withdraw(at(1), 10).expect("it was refunded");
    assert_eq!(share.0, Pot::Share { bucket: 0 });
    budget.refund(floor);
    let floor = budget.withdraw(at(1), 10).expect("it was refunded");
    assert_eq!(floor.0, Pot::Floor);
    assert!(budget.withdraw(at(1), 10).is_err());
}

#[test]
fn late_refund_gives_nothing() {
    let mut budget = budget(0.1, 0);
    budget.observe(at(0), 0);
    let share = budget.withdraw(at(1), 10).expect("a tenth of ten");
    budget.observe(at(10 * SECOND), 10);
    let newer = budget
        .withdraw(at(10 * SECOND), 20)
        .expect("a tenth of ten");
    budget.refund(share);
    assert!(
        budget.withdraw(at(10 * SECOND), 20).is_err(),
        "that one is forgotten"
    );
    budget.refund(newer);
    assert!(budget.withdraw(at(10 * SECOND), 20).is_ok());
}

#[test]
fn calls_between_two_looks_are_spread_evenly() {
    // 1000 per second, seen for the first time after an hour: ten seconds' worth, no more.
    let mut steady = budget(0.1, 0);
    steady.observe(at(0), 1);
    let calls = 3600 * 1000 + 1;
    let retries = drain(&mut steady, 3600 * SECOND - 1, calls);
    assert!((990..=1000).contains(&retries), "{retries}");
    // One call in an hour: it came just now.
    let mut rare = budget(1.0, 0);
    rare.observe(at(0), 1);
    assert_eq!(drain(&mut rare, 3600 * SECOND, 2), 1);
}

#[test]
fn last_of_the_calls_between_two_looks_came_just_now() {
    let mut budget = budget(1.0, 0);
    budget.observe(at(0), 0);
    // At the very beginning of a bucket.
    budget.observe(at(10 * SECOND), 1);
    assert_eq!(drain(&mut budget, 20 * SECOND - 1, 1), 1);
}

#[test]
fn calls_before_the_first_look_are_of_unknown_age() {
    let mut budget = budget(1.0, 0);
    assert_eq!(drain(&mut budget, 3600 * SECOND, 1_000_000), 1);
}

#[test]
fn counter_that_shrinks_offers_nothing_twice() {
    let mut budget = budget(1.0, 0);
    budget.observe(at(0), 10);
    drain(&mut budget, 0, 10);
    assert_eq!(drain(&mut budget, 1, 5), 0);
    assert_eq!(drain(&mut budget, 2, 10), 0);
    assert_eq!(drain(&mut budget, 3, 12), 2);
}

#[test]
fn clock_that_runs_backwards_stands_still() {
    let mut budget = budget(0.2, 10);
    budget.observe(at(100 * SECOND), 0);
    assert_eq!(drain(&mut budget, 100 * SECOND, 100), 30);
    assert_eq!(
        drain(&mut budget, 0, 100),
        0,
        "nothing is forgotten, nothing accrues"
    );
    assert_eq!(
        drain(&mut budget, 50 * SECOND, 200),
        20,
        "calls still count"
    );
    assert_eq!(drain(&mut budget, 101 * SECOND, 200), 10);
}

#[test]
fn huge_numbers_saturate() {
    let mut budget = Budget::try_new(BudgetConfig::default().share(100.0)).expect("valid");
    budget.observe(Moment::ORIGIN, 0);
    budget.observe(at(1), u64::MAX);
    assert!(budget.withdraw(at(1), u64::MAX).is_ok());
    assert!(budget.remaining_ratio(at(2), u64::MAX) <= 1.0);
    // The end of time: the window has slid on, and the floor does not turn into a well.
    assert!(budget.withdraw(Moment::NEVER, u64::MAX).is_err());
    budget.observe(Moment::ORIGIN, u64::MAX);
    assert_eq!(budget.remaining_ratio(Moment::NEVER, u64::MAX), 0.0);
}

#[test]
fn offered_counts_every_call_of_every_shard() {
    let offered = Offered::new();
    let shards: Vec<_> = (0..Offered::SHARDS + 2).map(|_| offered.shard()).collect();
    assert_ne!(shards[0], shards[1]);
    assert_eq!(shards[0], shards[Offered::SHARDS], "in turn");
    assert!(offered.add(shards[0]), "the first one is observed");
    assert!(offered.add(shards[1]), "of each shard");
    let observed = (0..64).filter(|_| offered.add(shards[0])).count();
    assert_eq!(observed, 2);
    assert_eq!(offered.total(), 66);
}

// ===== against a naive model =====

#[derive(Clone, Debug)]
enum Op {
    Call,
    Withdraw,
    Refund(usize),
    Advance(u64),
    Clock(u64),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        8 => Just(Op::Call),
        8 => Just(Op::Withdraw),
        1 => any::<usize>().prop_map(Op::Refund),
        4 => (0..3 * SECOND).prop_map(Op::Advance),
        // Backwards, mostly; and now and then far ahead.
        1 => prop_oneof![20 => 0..40 * SECOND, 1 => Just(u64::MAX)].prop_map(Op::Clock),
    ]
}

/// Every call and every retry, with its time.
#[derive(Default)]
struct Model {
    now: u64,
    calls: Vec<u64>,
    retries: Vec<(u64, bool)>,
    cell: f64,
    filled: u64,
}

impl Model {
    fn tick(&mut self, now: u64, floor: u32) {
        self.now = self.now.max(now);
        let gained = (self.now - self.filled) as f64 / SECOND as f64 * f64::from(floor);
        self.cell = (self.cell + gained).min(f64::from(floor));
        self.filled = self.now;
    }

    /// Whether that time is in the ten newest tenths of the window.
    fn recent(&self, then: u64) -> bool {
        self.now / SECOND - then / SECOND < 10
    }

    fn share_left(&self, percent: u64) -> u64 {
        let offered = self.calls.iter().filter(|&&then| self.recent(then)).count() as u64;
        let spent = self
            .retries
            .iter()
            .filter(|&&(then, floor)| !floor && self.recent(then))
            .count();
        (offered * percent / 100).saturating_sub(spent as u64)
    }
}

proptest! {
    #[test]
    fn observed_at_every_call_it_agrees_with_a_naive_model(
        percent in 0..=150_u64,
        // Whole milliseconds to accrue one, so that the model's floats agree.
        floor in prop::sample::select(&[0_u32, 1, 2, 5, 10, 100][..]),
        ops in prop::collection::vec(op(), 1..300),
    ) {
        prop_assume!(percent > 0 || floor > 0);
        let mut budget = budget(percent as f64 / 100.0, floor);
        let mut model = Model { cell: f64::from(floor), ..Model::default() };
        let mut withdrawals = Vec::new();
        let (mut clock, mut total) = (0_u64, 0_u64);

        for op in ops {
            match op {
                Op::Call => {
                    total += 1;
                    budget.observe(at(clock), total);
                    model.tick(clock, floor);
                    model.calls.push(model.now);
                }
                Op::Withdraw => {
                    model.tick(clock, floor);
                    let from_floor = model.cell >= 1.0 - 1e-6 && model.now != u64::MAX;
                    let expected = from_floor || model.share_left(percent) >= 1;
                    let got = budget.withdraw(at(clock), total);
                    prop_assert_eq!(got.is_ok(), expected);
                    match got {
                        Ok(withdrawal) => {
                            prop_assert_eq!(withdrawal.0 == Pot::Floor, from_floor);
                            model.cell -= f64::from(u8::from(from_floor));
                            model.retries.push((model.now, from_floor));
                            withdrawals.push((withdrawal, model.now, from_floor));
                        }
                        Err(Exhausted { until }) => {
                            prop_assert_eq!(until.is_some(), floor > 0);
                            prop_assert!(until.is_none_or(|until| until > at(model.now) || until == Moment::NEVER));
                        }
                    }
                }
                Op::Refund(which) if !withdrawals.is_empty() => {
                    let which = which % withdrawals.len();
                    let (withdrawal, then, from_floor) = withdrawals.swap_remove(which);
                    budget.refund(withdrawal);
                    if from_floor {
                        model.cell += 1.0;
                    }
                    let place = model.retries.iter().position(|&retry| retry == (then, from_floor));
                    model.retries.remove(place.expect("it was made"));
                }
                Op::Refund(_) => {}
                Op::Advance(by) => clock = clock.saturating_add(by),
                Op::Clock(to) => clock = to,
            }
        }
    }

    #[test]
    fn observed_rarely_it_never_allows_more_than_share_and_floor(
        gaps in prop::collection::vec((0..5 * SECOND, 0..1000_u64), 1..60),
        floor in 0..20_u32,
    ) {
        let mut budget = budget(0.2, floor);
        let (mut now, mut total) = (0, 0);
        let mut allowed = 0;
        for (gap, calls) in gaps {
            now += gap;
            total += calls;
            allowed += drain(&mut budget, now, total);
            // Over all the time there was: however the calls were spread, none counts twice.
            let most = total as f64 * 0.2 + f64::from(floor) * (1.0 + now as f64 / SECOND as f64);
            prop_assert!(allowed as f64 <= most + 1e-6, "{} above {}", allowed, most);
        }
    }
}
