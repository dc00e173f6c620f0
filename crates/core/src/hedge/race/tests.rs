//! The race against a naive model, which remembers all that happened and works everything out anew.

use alloc::vec;
use alloc::vec::Vec;

use proptest::prelude::*;

use super::*;

const MILLI: Duration = Duration::from_millis(1);

fn at(millis: u64) -> Moment {
    Moment::ORIGIN + Duration::from_secs(60) + Duration::from_millis(millis)
}

fn failure(says: Says, again: bool) -> Failure {
    Failure { says, again }
}

#[test]
fn second_try_is_due_after_the_delay_and_the_third_after_another() {
    let mut race = Race::begin(2, Some(20 * MILLI), at(0));
    assert_eq!(race.next(at(19)), Next::Wait(MILLI));
    assert_eq!(race.next(at(20)), Next::Send);
    race.sent(at(25));
    assert_eq!(race.next(at(44)), Next::Wait(MILLI));
    assert_eq!(race.next(at(45)), Next::Send);
    race.sent(at(45));
    assert_eq!(race.next(at(9999)), Next::Never);
    assert_eq!(race.begun(), 3);
}

#[test]
fn early_failure_is_tried_again_at_once_if_it_is_worth_it() {
    let mut race = Race::begin(1, Some(20 * MILLI), at(0));
    let failed = race.failed(failure(Says::Trouble, true));
    assert_eq!(failed.then, Then::Again);
    race.sent(at(1));
    let failed = race.failed(failure(Says::Trouble, true));
    assert_eq!((failed.keep, failed.then), (false, Then::Over));

    let mut race = Race::begin(1, Some(20 * MILLI), at(0));
    assert_eq!(race.failed(failure(Says::No, false)).then, Then::Over);
}

#[test]
fn failure_waits_for_the_attempt_that_is_under_way() {
    let mut race = Race::begin(1, Some(20 * MILLI), at(0));
    race.sent(at(20));
    assert_eq!(race.failed(failure(Says::No, false)).then, Then::Wait);
    assert!(!race.is_over());
    let failed = race.failed(failure(Says::Nothing, true));
    assert_eq!((failed.keep, failed.then), (false, Then::Over));
}

#[test]
fn final_failure_ends_all_further_tries() {
    let mut race = Race::begin(3, Some(20 * MILLI), at(0));
    race.sent(at(20));
    assert_eq!(race.failed(failure(Says::No, false)).then, Then::Wait);
    assert_eq!(race.next(at(9999)), Next::Never);
}

#[test]
fn failure_that_says_most_is_kept_and_of_two_alike_the_first() {
    use Says::{No, NotNow, Nothing, Trouble};
    for (order, kept) in [
        ([Nothing, Trouble, NotNow], [true, true, true]),
        ([NotNow, Trouble, Nothing], [true, false, false]),
        ([Trouble, Trouble, No], [true, false, true]),
    ] {
        let mut race = Race::begin(2, None, at(0));
        let kept_here = order.map(|says| {
            let failed = race.failed(failure(says, true));
            if failed.then == Then::Again {
                race.sent(at(1));
            }
            failed.keep
        });
        assert_eq!(kept_here, kept, "{order:?}");
    }
}

#[test]
fn without_a_delay_only_a_failure_brings_another_try() {
    let mut race = Race::begin(1, None, at(0));
    assert_eq!(race.next(Moment::NEVER), Next::Never);
    assert_eq!(race.failed(failure(Says::Trouble, true)).then, Then::Again);
}

#[test]
fn try_that_is_put_off_is_due_again_and_never_at_once() {
    let mut race = Race::begin(1, Some(Duration::ZERO), at(0));
    assert_eq!(race.next(at(0)), Next::Send);
    race.put_off(at(0));
    assert_eq!(race.next(at(0)), Next::Wait(MILLI));
    assert_eq!(race.next(at(1)), Next::Send);
    race.stop();
    assert_eq!(race.next(at(1)), Next::Never);
}

#[test]
fn clock_that_runs_backwards_costs_one_delay_and_huge_numbers_none() {
    let mut race = Race::begin(1, Some(20 * MILLI), at(0));
    race.put_off(at(9_000));
    assert_eq!(race.next(at(0)), Next::Wait(20 * MILLI));
    let race = Race::begin(u32::MAX, Some(Duration::MAX), at(0));
    assert_eq!(race.next(Moment::NEVER), Next::Never);
    let race = Race::begin(0, Some(Duration::ZERO), at(0));
    assert_eq!(race.next(at(0)), Next::Never);
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Pass(u64),
    Ask { put_off: bool },
    Fail(Failure),
    Stop,
}

fn step() -> impl Strategy<Value = Step> {
    let says = prop::sample::select(vec![
        Says::Nothing,
        Says::Echo,
        Says::Trouble,
        Says::NotNow,
        Says::No,
    ]);
    prop_oneof![
        (0..40_u64).prop_map(Step::Pass),
        any::<bool>().prop_map(|put_off| Step::Ask { put_off }),
        (says, any::<bool>()).prop_map(|(says, again)| Step::Fail(failure(says, again))),
        Just(Step::Stop),
    ]
}

/// All that happened, in order.
struct Model {
    hedges: u32,
    delay: Option<u64>,
    /// How many attempts were sent.
    sent: usize,
    /// When one was sent or put off, and how long to pause at least after that.
    moments: Vec<(u64, u64)>,
    failures: Vec<Failure>,
    stopped: bool,
}

impl Model {
    fn running(&self) -> usize {
        self.sent - self.failures.len()
    }

    fn has_left(&self) -> bool {
        let hopeless = self.stopped || self.failures.iter().any(|it| !it.again);
        !hopeless && self.sent <= self.hedges as usize
    }

    fn is_due(&self, now: u64) -> bool {
        let Some(delay) = self.delay else {
            return false;
        };
        let (at, least) = self.moments.last().expect("the first was sent");
        let due = at + delay.max(*least);
        self.has_left() && self.running() > 0 && now >= due
    }

    /// The place of the best failure: the first of those that say most.
    fn best(&self) -> usize {
        let most = self.failures.iter().map(|it| it.says).max();
        let most = most.expect("one has failed");
        let best = self.failures.iter().position(|it| it.says == most);
        best.expect("it is one of them")
    }
}

proptest! {
    #[test]
    fn race_agrees_with_a_naive_model(
        hedges in 0..4_u32,
        delay in prop::option::of(0..30_u64),
        steps in prop::collection::vec(step(), 0..60),
    ) {
        let mut now = 0;
        let mut race = Race::begin(hedges, delay.map(Duration::from_millis), at(now));
        let mut model = Model {
            hedges, delay, sent: 1, moments: vec![(0, 0)], failures: vec![], stopped: false,
        };
        for step in steps {
            match step {
                Step::Pass(millis) => now += millis,
                Step::Stop => {
                    race.stop();
                    model.stopped = true;
                }
                Step::Ask { put_off } => {
                    let due = race.next(at(now)) == Next::Send;
                    prop_assert_eq!(due, model.is_due(now));
                    if due && put_off {
                        race.put_off(at(now));
                        model.moments.push((now, 1));
                    } else if due {
                        race.sent(at(now));
                        model.sent += 1;
                        model.moments.push((now, 0));
                    }
                }
                Step::Fail(failure) => {
                    if model.running() == 0 {
                        continue;
                    }
                    let failed = race.failed(failure);
                    model.failures.push(failure);
                    prop_assert_eq!(failed.keep, model.best() == model.failures.len() - 1);
                    let then = if model.has_left() {
                        Then::Again
                    } else if model.running() > 0 {
                        Then::Wait
                    } else {
                        Then::Over
                    };
                    prop_assert_eq!(failed.then, then);
                    if then == Then::Again {
                        race.sent(at(now));
                        model.sent += 1;
                        model.moments.push((now, 0));
                    }
                }
            }
            prop_assert_eq!(race.is_over(), model.running() == 0);
            prop_assert_eq!(race.begun() as usize, model.sent);
        }
    }
}
