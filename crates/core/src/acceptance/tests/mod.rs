//! Adaptive throttling: the rule in small, against a naive model, and as it settles.

use core::cell::Cell;
use core::time::Duration;

use super::*;
use crate::Criticality::{Critical, CriticalPlus, Sheddable, SheddablePlus};
use crate::sync::atomic::{loads, writes};

mod model;
mod settles;

const SECOND: Duration = Duration::from_secs(1);
const START: Moment = Moment::from_nanos(1_000_000_000_000);

fn build(config: AcceptanceConfig) -> Acceptance {
    Acceptance::try_new(config).expect("possible options")
}

fn each() -> Acceptance {
    build(AcceptanceConfig::new().min_requests(0))
}

fn probability(acceptance: &Acceptance, class: Criticality, now: Moment) -> f64 {
    acceptance.standings(now)[class.index()].probability
}

fn answers(acceptance: &Acceptance, class: Criticality, accepted: u32, refused: u32) {
    (0..accepted).for_each(|_| acceptance.on_accepted(class, START));
    (0..refused).for_each(|_| acceptance.on_refused(class, START));
}

#[test]
fn options_that_cannot_work_are_refused() {
    let config = AcceptanceConfig::new;
    for (option, config) in [
        ("multiplier", config().multiplier(1.0)),
        ("multiplier", config().multiplier(f64::NAN)),
        ("multiplier", config().multiplier(100.1)),
        ("window", config().window(Duration::ZERO)),
        ("window", config().window(Duration::from_millis(11))),
        ("window", config().window(Duration::MAX)),
        ("max_rejection", config().max_rejection(0.0)),
        ("max_rejection", config().max_rejection(1.0)),
        ("max_rejection", config().max_rejection(f64::NAN)),
    ] {
        let error = Acceptance::try_new(config).expect_err(option);
        assert_eq!(error.option(), option);
    }
    for config in [
        config(),
        config().multiplier(1.01).max_rejection(0.999),
        config().window(Duration::from_millis(12)),
        config().window(Duration::from_secs(3600)),
        config().min_requests(u32::MAX),
    ] {
        build(config);
    }
}

#[test]
fn nothing_is_refused_while_every_second_call_is_accepted() {
    let acceptance = each();
    answers(&acceptance, Critical, 50, 50);
    assert_eq!(probability(&acceptance, Critical, START), 0.0);
    acceptance.on_refused(Critical, START);
    let expected = 1.0 / 102.0;
    assert_eq!(probability(&acceptance, Critical, START), expected);
    assert!(!acceptance.try_admit(Critical, || START, || 0));
    assert!(acceptance.try_admit(Critical, || START, || u64::MAX));
}

#[test]
fn call_refused_here_counts_as_a_request() {
    let acceptance = each();
    answers(&acceptance, Critical, 0, 3);
    let before = probability(&acceptance, Critical, START);
    assert_eq!(before, 3.0 / 4.0);
    assert!(!acceptance.try_admit(Critical, || START, || 0));
    let counts = acceptance.standings(START)[Critical.index()].counts;
    assert_eq!((counts.requests, counts.throttled), (4, 1));
    assert_eq!((counts.accepts, counts.refused()), (0, 3));
    assert_eq!(probability(&acceptance, Critical, START), 4.0 / 5.0);
}

#[test]
fn draw_below_the_probability_refuses() {
    let acceptance = each();
    answers(&acceptance, Critical, 0, 1);
    // One of two: the draw that is a half, and those above, pass.
    let half = 1_u64 << 63;
    assert!(acceptance.try_admit(Critical, || START, || half));
    assert!(!acceptance.try_admit(Critical, || START, || half - (1 << 11)));
}

#[test]
fn no_more_than_the_greatest_share_is_refused() {
    let acceptance = build(AcceptanceConfig::new().max_rejection(0.75));
    answers(&acceptance, Critical, 0, 10_000);
    for class in Criticality::ALL {
        assert!(probability(&acceptance, class, START) <= 0.75);
    }
    assert_eq!(probability(&acceptance, Critical, START), 0.75);
}

#[test]
fn few_requests_refuse_nothing() {
    let acceptance = build(AcceptanceConfig::new().min_requests(10));
    answers(&acceptance, Critical, 0, 9);
    assert_eq!(probability(&acceptance, Critical, START), 0.0);
    assert!(acceptance.try_admit(Critical, || START, || 0));
    acceptance.on_refused(Critical, START);
    assert!(!acceptance.try_admit(Critical, || START, || 0));
}

#[test]
fn options_can_be_changed_except_for_the_window() {
    let config = AcceptanceConfig::new().min_requests(0);
    let acceptance = Acceptance::try_new(config).expect("valid");
    let (class, now) = (Critical, Moment::from_nanos(1));
    for _ in 0..50 {
        acceptance.on_accepted(class, now);
        acceptance.on_refused(class, now);
    }
    let probability = || acceptance.standings(now)[class.index()].probability;
    assert_eq!(probability(), 0.0, "every second is accepted");
    acceptance
        .set_config(config.multiplier(1.2))
        .expect("valid");
    assert_eq!(probability(), 40.0 / 101.0);
    let capped = config.multiplier(1.2).max_rejection(0.25);
    acceptance.set_config(capped).expect("valid");
    assert_eq!(probability(), 0.25);
    let option = |config| {
        acceptance
            .set_config(config)
            .map_err(|error| error.option())
    };
    assert_eq!(option(config.multiplier(1.0)), Err("multiplier"));
    let hour = Duration::from_secs(3600);
    assert_eq!(option(config.window(hour)), Err("window"));
    assert_eq!(acceptance.config(), capped, "nothing has changed");
    acceptance
        .set_config(capped.min_requests(101))
        .expect("valid");
    assert_eq!(probability(), 0.0);
}

#[test]
fn few_requests_of_a_class_are_judged_by_those_of_all() {
    let acceptance = build(AcceptanceConfig::new().min_requests(10));
    answers(&acceptance, Critical, 100, 0);
    answers(&acceptance, Sheddable, 0, 9);
    assert_eq!(probability(&acceptance, Sheddable, START), 0.0);
    acceptance.on_refused(Sheddable, START);
    assert_eq!(probability(&acceptance, Sheddable, START), 0.9);
}

#[test]
fn what_is_refused_of_a_lower_class_is_not_held_against_an_upper_one() {
    let acceptance = each();
    answers(&acceptance, SheddablePlus, 0, 1_000);
    answers(&acceptance, Critical, 1_000, 0);
    assert_eq!(probability(&acceptance, Critical, START), 0.0);
    assert_eq!(probability(&acceptance, CriticalPlus, START), 0.0);
    assert_eq!(probability(&acceptance, SheddablePlus, START), 0.9);
    // One that has not been tried yet is below one that fares badly.
    assert_eq!(probability(&acceptance, Sheddable, START), 0.9);
}

#[test]
fn lower_class_gives_way_first_to_a_dependency_that_refuses_blindly() {
    let acceptance = each();
    // Half of everything is accepted: each class for itself would pass.
    answers(&acceptance, Sheddable, 100, 100);
    answers(&acceptance, Critical, 100, 100);
    assert_eq!(probability(&acceptance, Sheddable, START), 0.0);
    // A tenth less: what is missing, the lower class goes without.
    answers(&acceptance, Sheddable, 0, 40);
    assert_eq!(probability(&acceptance, Critical, START), 0.0);
    assert_eq!(probability(&acceptance, Sheddable, START), 40.0 / 241.0);
}

#[test]
fn need_of_the_classes_above_comes_first() {
    let acceptance = build(AcceptanceConfig::new().min_requests(1_000));
    // Too few of each to be judged alone. Of 1000, 300 are accepted: 600 may be sent.
    answers(&acceptance, CriticalPlus, 100, 0);
    answers(&acceptance, Critical, 150, 250);
    answers(&acceptance, SheddablePlus, 50, 350);
    answers(&acceptance, Sheddable, 0, 100);
    assert_eq!(probability(&acceptance, CriticalPlus, START), 0.0);
    assert_eq!(probability(&acceptance, Critical, START), 0.0);
    assert_eq!(
        probability(&acceptance, SheddablePlus, START),
        300.0 / 401.0
    );
    assert_eq!(probability(&acceptance, Sheddable, START), 0.9);
}

#[test]
fn window_forgets_step_by_step() {
    let acceptance = each();
    answers(&acceptance, Critical, 0, 10);
    let later = START + 60 * SECOND;
    (0..10).for_each(|_| acceptance.on_accepted(Critical, later));
    let requests = |now| acceptance.standings(now)[Critical.index()].counts.requests;
    assert_eq!(requests(later), 20);
    assert_eq!(requests(START + 119 * SECOND), 20);
    assert_eq!(requests(START + 120 * SECOND), 10);
    assert_eq!(requests(later + 120 * SECOND), 0);
    assert_eq!(requests(Moment::NEVER), 0);
}

#[test]
fn healthy_call_asks_for_nothing_and_writes_nothing() {
    let acceptance = each();
    answers(&acceptance, Critical, 1_000, 0);
    let admit = || {
        let never = || -> Moment { unreachable!("nobody needs the time") };
        assert!(acceptance.try_admit(Sheddable, never, || unreachable!("nor a draw")));
    };
    assert_eq!(writes(admit), 0);
    assert_eq!(loads(admit), 1);
    assert_eq!(writes(|| acceptance.on_accepted(Critical, START)), 1);
}

#[test]
fn trouble_is_over_when_the_window_has_forgotten_it() {
    let acceptance = each();
    assert!(!acceptance.is_troubled());
    answers(&acceptance, Critical, 5, 1);
    assert!(acceptance.is_troubled());
    let asked = Cell::new(0);
    let admit = |now| {
        let now = || {
            asked.set(asked.get() + 1);
            now
        };
        assert!(acceptance.try_admit(Critical, now, || 0));
    };
    admit(START);
    admit(START + 119 * SECOND);
    assert!(acceptance.is_troubled());
    admit(START + 120 * SECOND);
    assert!(!acceptance.is_troubled());
    admit(START + 121 * SECOND);
    assert_eq!(asked.get(), 3);
}

#[test]
fn machine_is_at_rest_unless_a_refusal_is_in_the_window() {
    let acceptance = each();
    assert!(acceptance.is_at_rest(|| unreachable!("nobody needs the time")));
    answers(&acceptance, Critical, 5, 1);
    assert!(!acceptance.is_at_rest(|| START + 119 * SECOND));
    assert!(acceptance.is_at_rest(|| START + 120 * SECOND));
    assert!(!acceptance.is_troubled());
}

#[test]
fn clock_that_steps_back_counts_on() {
    let acceptance = each();
    answers(&acceptance, Critical, 0, 4);
    let back = START - 60 * SECOND;
    acceptance.on_refused(Critical, back);
    assert_eq!(acceptance.standings(START)[2].counts.requests, 5);
    assert_eq!(acceptance.standings(back)[2].counts.requests, 5);
}

#[test]
fn clock_that_was_set_back_begins_an_empty_window() {
    let acceptance = each();
    answers(&acceptance, Critical, 0, 4);
    let back = START - 600 * SECOND;
    assert!(acceptance.try_admit(Critical, || back, || 0));
    acceptance.on_refused(Critical, back);
    assert_eq!(acceptance.standings(back)[2].counts.requests, 1);
}

#[test]
fn debug_tells_no_counts_of_which_it_would_have_to_know_the_time() {
    let text = alloc::format!("{:?}", each());
    assert!(text.contains("troubled: false"), "{text}");
}
