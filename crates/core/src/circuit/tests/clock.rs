//! When the clock is read, and what a clock that jumps can do.

use super::*;
use crate::circuit::Why;

/// How often the clock is read by a call from beginning to end.
fn reads(test: &Test, settlement: impl Into<Settlement>) -> [u32; 2] {
    test.reads.set(0);
    let call = test.admit().unwrap();
    let admitting = test.reads.replace(0);
    test.settle(call, settlement);
    [admitting, test.reads.get()]
}

#[test]
fn clock_is_read_only_where_the_decision_needs_it() {
    let count = Test::new(CircuitConfig::new().leaky_count(9));
    assert_eq!(reads(&count, Outcome::Success), [0, 0]);
    assert_eq!(reads(&count, Outcome::Failure), [0, 1]);
    assert_eq!(reads(&count, Outcome::Abandoned), [0, 0]);
    let slowness = Test::new(CircuitConfig::new().slow_call_threshold(SECOND));
    assert_eq!(reads(&slowness, Outcome::Success), [0, 0]);
    let time = Test::new(CircuitConfig::new().window_time(SECOND, 10));
    assert_eq!(reads(&time, Outcome::Success), [0, 1]);
    assert_eq!(reads(&time, Outcome::Failure), [0, 1]);
    let trip = Test::new(brittle().window_time(SECOND, 10).failure_rate(0.5));
    assert_eq!(reads(&trip, Outcome::Failure), [0, 1]);
    trip.advance(10 * SECOND);
    assert_eq!(reads(&trip, Outcome::Success), [1, 1]);
}

#[test]
fn healthy_settling_in_a_full_window_asks_for_no_draw_and_moves_nothing() {
    let test = Test::new(CircuitConfig::new().window_calls(3).leaky_count(3));
    test.calls(3, Outcome::Success);
    let before = test.circuit.snapshot(|| test.read());
    let call = test.admit().unwrap();
    let unasked = || -> u64 { panic!("nothing to draw for") };
    let unread = || -> Moment { panic!("nothing to know the time for") };
    test.circuit
        .settle(call, Settlement::new(Outcome::Success), unread, unasked);
    assert_eq!(test.circuit.snapshot(|| test.read()), before);
}

#[test]
fn refusal_says_until_when_and_check_agrees() {
    let test = Test::new(brittle());
    let until = test.call(Outcome::Failure).unwrap().until;
    let refusal = test.admit().unwrap_err();
    assert_eq!((refusal.why, refusal.until), (Why::Open, until));
    assert_eq!(test.circuit.check(|| test.read()), Err(refusal));
    test.now.set(until.unwrap() - Duration::from_nanos(1));
    assert_eq!(test.admit().unwrap_err(), refusal);
    test.advance(Duration::from_nanos(1));
    assert_eq!(test.circuit.check(|| test.read()), Ok(()));
    assert!(test.admit().is_ok());
    test.circuit.force_open();
    let refusal = test.admit().unwrap_err();
    assert_eq!((refusal.why, refusal.until), (Why::ForcedOpen, None));
    assert_eq!(test.circuit.check(|| test.read()), Err(refusal));
}

#[test]
fn clock_set_back_keeps_nothing_waiting_for_long() {
    let config = brittle().max_recovery_timeout(20 * SECOND).jitter(0.0);
    let test = Test::new(config.probe_lease(5 * SECOND));
    test.call(Outcome::Failure);
    // A small step changes nothing.
    test.now.set(test.now.get() - 3 * SECOND);
    assert!(test.admit().is_err());
    test.now.set(Moment::ORIGIN);
    let silent = test.admit().expect("no wait is a thousand seconds");
    test.now.set(Moment::ORIGIN + 100 * SECOND);
    let silent_too = test.admit().expect("the lease is over");
    test.now.set(Moment::ORIGIN + 97 * SECOND);
    assert!(
        test.admit().is_err(),
        "a small step back puts no more probes out"
    );
    test.now.set(Moment::ORIGIN);
    let probe = test.admit().expect("no lease is a hundred seconds");
    assert_eq!(test.settle(silent, Outcome::Failure), None);
    assert_eq!(test.settle(silent_too, Outcome::Failure), None);
    assert!(test.settle(probe, Outcome::Success).is_some());
}

#[test]
fn lease_is_not_mistaken_for_an_earlier_one_that_ended_at_the_same_time() {
    let test = Test::new(brittle());
    test.call(Outcome::Failure);
    test.advance(10 * SECOND);
    let start = test.now.get();
    let silent = test.admit().unwrap();
    test.advance(3600 * SECOND);
    let dropped = test.admit().unwrap();
    test.settle(dropped, Outcome::Abandoned);
    test.now.set(start);
    let probe = test.admit().unwrap();
    assert_eq!(test.settle(silent, Outcome::Success), None);
    assert!(test.settle(probe, Outcome::Success).is_some());
}

#[test]
fn time_window_evicts_nothing_for_a_step_back() {
    let test = Test::new(CircuitConfig::new().window_time(10 * SECOND, 10));
    let start = test.now.get();
    for step in [0, 3, 1, 2, 0, 3] {
        test.now.set(start + step * SECOND);
        test.call(Outcome::Failure);
    }
    assert_eq!(test.circuit.snapshot(|| test.read()).counts.failures, 6);
}

#[test]
fn time_window_believes_a_clock_that_jumps_back_by_a_window() {
    let test = Test::new(CircuitConfig::new().window_time(10 * SECOND, 10));
    let start = test.now.get();
    test.advance(Duration::from_secs(3600 * 24 * 365));
    test.calls(3, Outcome::Failure);
    test.now.set(start);
    test.calls(2, Outcome::Failure);
    assert_eq!(test.circuit.snapshot(|| test.read()).counts.failures, 2);
    test.advance(10 * SECOND);
    assert_eq!(
        test.circuit.snapshot(|| test.read()).counts.failures,
        0,
        "it slides again"
    );
}

#[test]
fn long_time_window_takes_a_step_back_within_it_for_a_step() {
    let test = Test::new(CircuitConfig::new().window_time(600 * SECOND, 10));
    test.call(Outcome::Failure);
    // More than a minute, and less than the window.
    test.now.set(test.now.get() - 500 * SECOND);
    test.call(Outcome::Failure);
    assert_eq!(test.circuit.snapshot(|| test.read()).counts.failures, 2);
    test.now.set(test.now.get() - 101 * SECOND);
    test.call(Outcome::Failure);
    assert_eq!(test.circuit.snapshot(|| test.read()).counts.failures, 1);
}

#[test]
fn circuit_works_at_the_end_of_time() {
    let test = Test::new(brittle().window_time(SECOND, 10).failure_rate(0.5));
    test.now.set(Moment::NEVER);
    let trip = test.call(Outcome::Failure).unwrap();
    assert_eq!(trip.until, Some(Moment::NEVER));
    assert_eq!(test.call(Outcome::Success).unwrap().to, State::Closed);
}

#[test]
fn lease_that_would_outlast_time_is_a_lease_all_the_same() {
    let test = Test::new(brittle().probe_lease(Duration::MAX));
    test.now.set(Moment::NEVER - 60 * SECOND);
    test.call(Outcome::Failure);
    test.advance(20 * SECOND);
    let probe = test.admit().unwrap();
    assert!(test.admit().is_err());
    assert_eq!(
        test.settle(probe, Outcome::Success).unwrap().to,
        State::Closed
    );
}
