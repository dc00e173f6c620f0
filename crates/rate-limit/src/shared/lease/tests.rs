//! Leases against a count of what the server gave.

use std::sync::LazyLock;

use proptest::prelude::*;
use seaworthy_core::Ratio;
use seaworthy_core::gcra::Quota;

use super::*;
use crate::shared::plan::Planner;

const SIZE: u64 = 10;
const HOLD: Duration = Duration::from_secs(5);

/// The quotas of all keys here, of which a lease is `SIZE`.
static PLAN: LazyLock<Arc<Plan>> = LazyLock::new(plan);

fn plan() -> Arc<Plan> {
    // A unit takes longer than anything here.
    let quota = Quota::new(100, Duration::from_secs(100 * 3600));
    let planner = Planner {
        policies: ["api".into()].into(),
        lease: Some(Ratio::try_new("lease", 0.1).unwrap()),
        share: None,
    };
    planner.plan(&[quota]).unwrap()
}

fn leases() -> Leases {
    Leases::new(HOLD, 16 * SHARDS)
}

fn key(number: u128) -> Account {
    Account::new(Key::from_number(number), PLAN.clone())
}

fn at(millis: u64) -> Moment {
    Moment::ORIGIN + Duration::from_millis(millis)
}

fn told(second: u64) -> Told {
    Told {
        second,
        nano: 0,
        debts: [0].into(),
    }
}

fn reply(verdict: Verdict) -> Reply {
    Reply {
        verdict,
        told: told(1),
    }
}

fn spend(leases: &Leases, cost: u64, now: Moment) -> bool {
    let at_hand = leases.spend(&key(1), cost, now);
    matches!(at_hand, Some(AtHand::Taken { .. }))
}

/// Puts back what was taken at that second.
fn put(leases: &Leases, units: u64, second: u64, now: Moment) -> bool {
    leases.put(&Unused::new(key(1), units, told(second)), now)
}

/// Asks, and is given all that is wanted: the least, the most, and what goes along.
fn fill(leases: &Leases, cost: u64, now: Moment) -> ([u64; 3], Option<Unused>) {
    let _turn = leases.turn(&key(1), now).unwrap();
    let ask = leases.ask(&key(1), cost, now);
    let given = reply(Verdict::Taken(ask.most));
    let unused = leases.answered(&key(1), &ask, &given, now);
    ([ask.least, ask.most, ask.along], unused)
}

#[test]
fn second_check_within_the_hold_takes_a_lease() {
    let leases = leases();
    let (asked, _) = fill(&leases, 2, at(0));
    assert_eq!(asked, [2, 2, 0]);
    assert!(!spend(&leases, 1, at(1)));
    let (asked, _) = fill(&leases, 2, at(4999));
    assert_eq!(asked, [2, 10, 0]);
    assert!(spend(&leases, 8, at(5000)));
    // Of a key that is not seen again for so long, it is the first once more.
    let (asked, _) = fill(&leases, 2, at(9999));
    assert_eq!(asked, [2, 2, 0]);
}

#[test]
fn what_is_in_hand_counts_towards_the_next_lease() {
    let leases = leases();
    fill(&leases, 1, at(0));
    fill(&leases, 1, at(0));
    assert!(spend(&leases, 6, at(0)));
    // Three are left.
    let ask = leases.ask(&key(1), 5, at(0));
    assert_eq!((ask.least, ask.most, ask.along), (2, 7, 3));
    assert!(!spend(&leases, 1, at(0)), "they are spoken for");
    leases.failed(&key(1), &ask);
    assert!(spend(&leases, 3, at(0)));
    // More than a lease is asked for as it is.
    let ask = leases.ask(&key(1), 50, at(0));
    assert_eq!((ask.least, ask.most), (50, 50));
    leases.failed(&key(1), &ask);
}

/// By which the server counts what goes back.
#[test]
fn lease_is_of_the_quotas_by_which_it_was_taken() {
    let leases = leases();
    fill(&leases, 1, at(0));
    let other = Account::new(key(1).key, plan());
    let ask = leases.ask(&other, 1, at(0));
    let given = reply(Verdict::Taken(ask.most));
    assert_eq!(leases.answered(&other, &ask, &given, at(0)), None);
    let (unused, _) = leases.all();
    assert_eq!(unused, [Unused::new(other, SIZE - 1, told(1))]);
}

#[test]
fn lease_is_over_after_the_hold() {
    let leases = leases();
    fill(&leases, 1, at(0));
    fill(&leases, 1, at(1000));
    assert!(leases.ended(at(5999)).is_empty() && !leases.is_empty());
    assert!(!spend(&leases, 1, at(6000)));
    let unused = Unused::new(key(1), 9, told(1));
    assert_eq!(leases.ended(at(6000)), [unused]);
    assert!(leases.is_empty());
}

#[test]
fn ended_lease_goes_back_when_the_next_one_comes_first() {
    let leases = leases();
    fill(&leases, 1, at(0));
    fill(&leases, 1, at(0));
    let (asked, unused) = fill(&leases, 1, at(9000));
    assert_eq!(asked, [1, 1, 0]);
    assert_eq!(unused, Some(Unused::new(key(1), 9, told(1))));
}

#[test]
fn only_what_was_taken_with_the_lease_in_hand_is_put_back() {
    let leases = leases();
    fill(&leases, 1, at(0));
    fill(&leases, 1, at(0));
    assert!(spend(&leases, 9, at(0)));
    assert!(put(&leases, 10, 1, at(0)), "of this lease, all of it");
    assert!(!put(&leases, 1, 1, at(0)), "more than a lease");
    assert!(!put(&leases, u64::MAX, 1, at(0)));
    assert!(spend(&leases, 10, at(0)));
    for (second, now) in [(0, 0), (2, 0), (1, 5000)] {
        assert!(!put(&leases, 1, second, at(now)), "{second} {now}");
    }
    let ask = leases.ask(&key(1), 1, at(1));
    assert!(!put(&leases, 1, 1, at(1)), "a whole lease may be coming");
    leases.failed(&key(1), &ask);
    assert!(put(&leases, 1, 1, at(1)));
}

#[test]
fn whoever_asks_or_waits_keeps_the_key() {
    let leases = leases();
    let turn = leases.turn(&key(1), at(0)).unwrap();
    assert!(leases.ended(at(9000)).is_empty() && !leases.is_empty());
    let ask = leases.ask(&key(1), 1, at(0));
    drop(turn);
    assert!(leases.ended(at(9000)).is_empty() && !leases.is_empty());
    leases.failed(&key(1), &ask);
    leases.ended(at(9000));
    assert!(leases.is_empty());
}

#[test]
fn hand_of_whoever_asks_is_emptied_and_not_forgotten() {
    let leases = leases();
    fill(&leases, 1, at(0));
    fill(&leases, 1, at(0));
    let turn = leases.turn(&key(1), at(0)).unwrap();
    let ask = leases.ask(&key(1), 3, at(0));
    let (unused, asking) = leases.all();
    assert_eq!(unused, [Unused::new(key(1), 6, told(1))]);
    assert_eq!(asking.len(), 1);
    // What it brings finds its place, and so does what it has taken along.
    leases.failed(&key(1), &ask);
    let brought = Unused::new(key(1), 3, told(1));
    assert_eq!(leases.empty(key(1).key), Some(brought));
    let ask = leases.ask(&key(1), 2, at(0));
    let given = Reply {
        verdict: Verdict::Taken(ask.most),
        told: told(2),
    };
    assert_eq!(leases.answered(&key(1), &ask, &given, at(0)), None);
    let (unused, _) = leases.all();
    assert_eq!(unused, [Unused::new(key(1), 8, told(2))]);
    drop((turn, asking));
    let (unused, asking) = leases.all();
    assert!(unused.is_empty() && asking.is_empty() && leases.is_empty());
}

#[test]
fn refusal_is_remembered_for_its_wait_but_no_longer_than_the_hold() {
    let leases = leases();
    let refused = |wait: Duration, now| {
        let _turn = leases.turn(&key(1), now).unwrap();
        let ask = leases.ask(&key(1), 3, now);
        let wait = u64::try_from(wait.as_nanos()).unwrap();
        leases.answered(&key(1), &ask, &reply(Verdict::Refused(wait)), now);
    };
    let wait = |cost, now| match leases.spend(&key(1), cost, now) {
        Some(AtHand::Refused { wait, .. }) => Some(wait),
        Some(AtHand::Taken { .. }) => panic!("there is none"),
        None => None,
    };
    refused(Duration::from_secs(1), at(0));
    assert_eq!(wait(3, at(400)), Some(Duration::from_millis(600)));
    assert_eq!(wait(4, at(400)), Some(Duration::from_millis(600)));
    assert_eq!(wait(2, at(400)), None, "there may be so much");
    assert_eq!(wait(3, at(1000)), None);
    // Where units come fast, for a whole lease.
    refused(Duration::from_nanos(1), at(2000));
    assert_eq!(wait(3, at(2000)), Some(Duration::from_millis(100)));
    refused(Duration::from_secs(3600), at(3000));
    // It is told as long as it is, and remembered for the hold.
    let hour = Duration::from_secs(3600);
    assert_eq!(wait(3, at(3000)), Some(hour));
    assert_eq!(wait(3, at(7999)), Some(hour - Duration::from_millis(4999)));
    assert_eq!(wait(3, at(3000) + HOLD), None);
    assert!(leases.ended(at(7999)).is_empty() && !leases.is_empty());
}

#[test]
fn keys_are_bounded() {
    let leases = Leases::new(HOLD, 3 * SHARDS);
    let turns: Vec<_> = (0..100 * SHARDS as u128)
        .filter_map(|number| leases.turn(&key(number), at(0)))
        .collect();
    assert_eq!(turns.len(), 3 * SHARDS);
    assert!(
        leases.turn(&key(0), at(0)).is_some(),
        "a known one has room"
    );
}

#[derive(Clone, Debug)]
enum Step {
    Spend(u64),
    Ask(u64),
    Answer(u64),
    Fail,
    GiveBack,
    Sweep,
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..12_u64).prop_map(Step::Spend),
        3 => (0..14_u64).prop_map(Step::Ask),
        3 => (0..15_u64).prop_map(Step::Answer),
        1 => Just(Step::Fail),
        2 => Just(Step::GiveBack),
        1 => Just(Step::Sweep),
        1 => (0..6000_u64).prop_map(Step::Wait),
    ]
}

proptest! {
    /// What the server gave is spent, in hand, asked with, or returned: never more than a lease is in hand, and nothing is lost or doubled.
    #[test]
    fn nothing_is_lost_or_doubled_and_a_lease_is_the_most(steps in proptest::collection::vec(step(), 1..80)) {
        let leases = leases();
        let mut now = 0;
        let (mut given, mut spent, mut returned) = (0, 0, 0);
        let (mut second, mut latest) = (0, 0);
        let mut passes: Vec<Unused> = Vec::new();
        let mut asked: Option<(Ask, u64, Turn)> = None;
        for step in steps {
            match step {
                Step::Spend(cost) => {
                    let at_hand = leases.spend(&key(1), cost, at(now));
                    if let Some(AtHand::Taken { taken: Some(taken), .. }) = at_hand {
                        spent += cost;
                        passes.push(Unused::new(key(1), cost, taken));
                    }
                }
                Step::Ask(cost) if asked.is_none() => {
                    let turn = leases.turn(&key(1), at(now)).unwrap();
                    asked = Some((leases.ask(&key(1), cost, at(now)), cost, turn));
                }
                Step::Answer(units) => {
                    let Some((ask, cost, _turn)) = asked.take() else { continue };
                    let verdict = match units.min(ask.most) {
                        units if units >= ask.least => Verdict::Taken(units),
                        _ => Verdict::Refused(1_000_000_000),
                    };
                    second += 1;
                    let reply = Reply { verdict, told: told(second) };
                    if let Verdict::Taken(units) = verdict {
                        given += units;
                        spent += cost;
                        latest = second;
                        passes.push(Unused::new(key(1), cost, ask.taken(&reply.told)));
                    }
                    let unused = leases.answered(&key(1), &ask, &reply, at(now));
                    returned += unused.map_or(0, |unused| unused.units);
                }
                Step::Fail => {
                    let Some((ask, ..)) = asked.take() else { continue };
                    leases.failed(&key(1), &ask);
                }
                Step::GiveBack => {
                    let Some(unused) = passes.pop() else { continue };
                    spent -= unused.units;
                    let is_put = leases.put(&unused, at(now));
                    prop_assert!(!is_put || unused.taken == told(latest), "of an earlier lease");
                    if !is_put {
                        returned += unused.units;
                    }
                }
                Step::Sweep => {
                    let ended = leases.ended(at(now));
                    returned += ended.iter().map(|unused| unused.units).sum::<u64>();
                }
                Step::Wait(millis) => now += millis,
                Step::Ask(_) => {}
            }
            let along = asked.as_ref().map_or(0, |(ask, ..)| ask.along);
            let shard = leases.shard(key(1).key);
            let left = shard.get(&1).map_or(0, |hand| hand.left);
            prop_assert_eq!(given, spent + returned + left + along);
            prop_assert!(left + along <= SIZE);
        }
    }
}

#[test]
fn refusal_is_forgotten_for_what_goes_back() {
    let leases = leases();
    let _turn = leases.turn(&key(1), at(0)).unwrap();
    let ask = leases.ask(&key(1), 3, at(0));
    let refused = reply(Verdict::Refused(36_000_000_000));
    leases.answered(&key(1), &ask, &refused, at(0));
    assert!(leases.spend(&key(1), 3, at(1)).is_some(), "it is refused");
    leases.forget_refusal(key(1).key);
    assert!(leases.spend(&key(1), 3, at(1)).is_none(), "ask the server");
}
