//! A circuit that is well is only read: threads that share it must not take its words from each other.

use super::*;
use crate::sync::atomic::{loads, writes};

/// Writes of so many calls from beginning to end.
fn writes_of(calls: usize, test: &Test, outcome: Outcome) -> u64 {
    writes(|| test.calls(calls, outcome))
}

#[test]
fn closed_circuit_admits_with_one_load() {
    let test = Test::new(CircuitConfig::new().leaky_count(5).window_time(SECOND, 10));
    let ask: [fn(&Circuit) -> bool; 4] = [
        |circuit| circuit.try_admit(|| unreachable!("no clock")).is_ok(),
        |circuit| circuit.check(|| unreachable!("no clock")).is_ok(),
        |circuit| circuit.admit_closed().is_some(),
        |circuit| circuit.is_closed(),
    ];
    for ask in ask {
        let (mut admits, mut written) = (false, 0);
        let loaded = loads(|| written = writes(|| admits = ask(&test.circuit)));
        assert_eq!((admits, loaded, written), (true, 1, 0));
    }
}

#[test]
fn success_in_a_full_window_without_bad_calls_writes_nothing() {
    let config = CircuitConfig::new()
        .window_calls(50)
        .slow_call_threshold(SECOND);
    let test = Test::new(config.leaky_count(5).consecutive_failures(5));
    assert!(writes_of(50, &test, Outcome::Success) > 0, "it fills up");
    assert_eq!(writes_of(1000, &test, Outcome::Success), 0);
    // One bad call, and the window is written to until it has slid out.
    test.call(Outcome::Failure);
    assert!(writes_of(1, &test, Outcome::Success) > 0);
    test.calls(49, Outcome::Success);
    assert_eq!(writes_of(1000, &test, Outcome::Success), 0);
}

#[test]
fn success_at_a_count_of_zero_writes_nothing() {
    for config in [
        CircuitConfig::new().leaky_count(5),
        CircuitConfig::new().consecutive_failures(5),
    ] {
        let test = Test::new(config.failure_rate(None));
        assert_eq!(writes_of(1000, &test, Outcome::Success), 0);
        test.call(Outcome::Failure);
        assert_eq!(writes_of(1, &test, Outcome::Success), 1);
        assert_eq!(writes_of(1000, &test, Outcome::Success), 0);
    }
}

#[test]
fn call_without_a_verdict_writes_nothing() {
    let test = Test::new(CircuitConfig::new().leaky_count(5));
    for outcome in [Outcome::Ignored, Outcome::Abandoned] {
        assert_eq!(writes_of(100, &test, outcome), 0);
    }
}

#[test]
fn call_in_a_time_window_writes_its_count_and_nothing_else() {
    let test = Test::new(CircuitConfig::new().window_time(10 * SECOND, 10));
    test.call(Outcome::Success);
    assert_eq!(writes_of(100, &test, Outcome::Success), 100);
    test.advance(SECOND);
    // In a new step the newest bucket is moved on, once.
    assert_eq!(writes_of(100, &test, Outcome::Success), 101);
}

#[test]
fn question_and_refusal_of_an_open_circuit_write_nothing() {
    let test = Test::new(brittle());
    test.call(Outcome::Failure);
    let refuse = || {
        assert!(test.circuit.check(|| test.read()).is_err());
        assert!(test.admit().is_err());
    };
    assert_eq!(writes(|| (0..100).for_each(|_| refuse())), 0);
}

#[test]
fn healthy_call_writes_nothing_again_once_a_recovery_is_over() {
    let test = Test::new(brittle().recovery_ramp(SECOND));
    test.call(Outcome::Failure);
    test.advance(10 * SECOND);
    test.call(Outcome::Success);
    test.advance(SECOND);
    test.call(Outcome::Success);
    assert_eq!(test.state(), State::Closed);
    assert_eq!(writes_of(100, &test, Outcome::Success), 0);
}

#[test]
fn window_at_rest_is_not_written_while_a_count_comes_down() {
    let config = CircuitConfig::new().failure_rate(None).leaky_count(9);
    let test = Test::new(config.slow_call_threshold(SECOND).window_calls(2));
    test.calls(5, Outcome::Failure);
    test.calls(2, Outcome::Success);
    assert_eq!(
        writes_of(3, &test, Outcome::Success),
        3,
        "the count's alone"
    );
    assert_eq!(writes_of(100, &test, Outcome::Success), 0);
}
