//! The recovery ramp: which share passes, when it is over, and what a trip on the way means.

use super::*;
use crate::circuit::{Cause, Why};

/// A circuit that has just begun to recover, for a hundred seconds.
fn recovering(config: CircuitConfig) -> Test {
    let test = Test::new(config.recovery_ramp(100 * SECOND));
    test.call(Outcome::Failure).unwrap();
    test.advance(10 * SECOND);
    assert_eq!(test.call(Outcome::Success).unwrap().to, State::Recovering);
    test
}

/// How many of so many calls pass; none of them ends.
fn passed(test: &Test, calls: usize) -> usize {
    (0..calls).filter(|_| test.admit().is_ok()).count()
}

#[test]
fn share_of_calls_rises_evenly_from_none_to_all() {
    let test = recovering(brittle());
    assert_eq!(
        passed(&test, 1000),
        1,
        "the first call passes, and no other yet"
    );
    for percent in (10..100).step_by(10) {
        test.advance(10 * SECOND);
        let passed = passed(&test, 1000);
        assert!(
            passed.abs_diff(10 * percent) <= 1,
            "{passed} at {percent} %"
        );
        let share = test
            .circuit
            .snapshot(|| test.read())
            .admitted_share
            .unwrap();
        assert!((share - percent as f64 / 100.0).abs() < 0.001);
    }
    test.advance(10 * SECOND);
    assert_eq!(passed(&test, 1000), 1000);
}

#[test]
fn calls_that_pass_are_evenly_spread() {
    let test = recovering(brittle());
    assert_eq!(passed(&test, 1), 1);
    test.advance(25 * SECOND);
    let pattern: Vec<bool> = (0..12).map(|_| test.admit().is_ok()).collect();
    let quarter = [false, false, false, true];
    assert_eq!(pattern, [quarter, quarter, quarter].concat());
}

#[test]
fn seldom_call_is_not_starved() {
    // Each call of a quiet client must not wait for others to earn its passage.
    let test = recovering(brittle());
    assert!(test.admit().is_ok());
}

#[test]
fn refusal_of_a_recovering_circuit_says_so() {
    let test = recovering(brittle());
    assert_eq!(passed(&test, 1), 1);
    let refusal = test.admit().unwrap_err();
    // Told the end of the ramp, all would come back there together.
    assert_eq!((refusal.why, refusal.until), (Why::Recovering, None));
    assert_eq!(refusal.cause, Some(Cause::ConsecutiveFailures));
    assert_eq!(test.circuit.check(|| test.read()), Ok(()));
}

#[test]
fn next_call_that_ends_after_the_ramp_closes_the_circuit_whatever_it_says() {
    for outcome in [Outcome::Success, Outcome::Ignored, Outcome::Abandoned] {
        let test = recovering(brittle());
        let early = test.admit().unwrap();
        assert_eq!(test.settle(early, outcome), None);
        test.advance(100 * SECOND);
        let ended = test.call(outcome).unwrap();
        assert_eq!((ended.from, ended.to), (State::Recovering, State::Closed));
        let snapshot = test.circuit.snapshot(|| test.read());
        assert_eq!((snapshot.trips, snapshot.admitted_share), (0, None));
    }
}

#[test]
fn what_a_recovery_has_counted_counts_on() {
    let test = Test::new(
        CircuitConfig::new()
            .failure_rate(None)
            .leaky_count(2)
            .half_open_max_calls(1)
            .success_threshold(1)
            .recovery_ramp(SECOND),
    );
    test.calls(2, Outcome::Failure);
    test.advance(30 * SECOND);
    test.call(Outcome::Success);
    test.call(Outcome::Failure);
    test.advance(SECOND / 2);
    let long = test.admit().or_else(|_| test.admit()).unwrap();
    test.advance(SECOND / 2);
    assert_eq!(test.call(Outcome::Ignored).unwrap().to, State::Closed);
    assert_eq!(
        test.settle(long, Outcome::Failure).unwrap().to,
        State::Open,
        "one failed in the recovery, and one that began in it failed after it"
    );
}

#[test]
fn trip_in_the_recovery_is_one_more_in_a_row() {
    let test = recovering(brittle());
    let trip = test.call(Outcome::Failure).unwrap();
    assert_eq!((trip.from, trip.to), (State::Recovering, State::Open));
    assert_eq!(trip.until, Some(test.now.get() + 20 * SECOND));
    assert_eq!(test.circuit.snapshot(|| test.read()).trips, 2);
}

#[test]
fn trip_after_the_ramp_is_the_first_in_a_row_also_where_nobody_had_closed_the_circuit() {
    let test = recovering(brittle());
    test.advance(1000 * SECOND);
    let trip = test.call(Outcome::Failure).unwrap();
    assert_eq!((trip.from, trip.to), (State::Recovering, State::Open));
    assert_eq!(trip.until, Some(test.now.get() + 10 * SECOND));
    assert_eq!(test.circuit.snapshot(|| test.read()).trips, 1);
}

#[test]
fn clock_set_back_ends_a_ramp_rather_than_prolong_it() {
    let test = recovering(brittle());
    assert_eq!(passed(&test, 2), 1);
    test.advance(60 * SECOND);
    // A small step back lowers the share, and no more.
    test.now.set(test.now.get() - 61 * SECOND);
    assert_eq!(passed(&test, 10), 0);
    test.now.set(test.now.get() - 100 * SECOND);
    assert_eq!(passed(&test, 10), 10);
    assert_eq!(test.call(Outcome::Success).unwrap().to, State::Closed);
}

#[test]
fn ramp_lasts_twice_its_time_at_most_whatever_the_clock_does() {
    let test = recovering(brittle());
    assert_eq!(passed(&test, 2), 1);
    test.now.set(test.now.get() - 100 * SECOND);
    assert_eq!(passed(&test, 2), 0);
    test.advance(200 * SECOND);
    assert_eq!(passed(&test, 2), 2);
    test.now.set(test.now.get() - 201 * SECOND);
    assert_eq!(
        passed(&test, 2),
        2,
        "set back by more than a ramp, it is over"
    );
}
