//! The closed state: what the windows and counts hold, and when they trip.

use super::*;
use crate::circuit::Cause;

#[test]
fn window_really_slides() {
    // rust-peers.md 2.4 #1: a hundred thousand good calls must not take as many bad ones to outweigh.
    let test = Test::new(CircuitConfig::new().window_calls(10).minimum_calls(10));
    test.calls(100_000, Outcome::Success);
    test.calls(4, Outcome::Failure);
    assert_eq!(test.state(), State::Closed);
    assert_eq!(
        test.call(Outcome::Failure).unwrap().cause,
        Cause::FailureRate
    );
}

#[test]
fn minimum_below_the_window_is_enough() {
    // rust-peers.md 2.4 #2.
    let test = Test::new(CircuitConfig::new().window_calls(100).minimum_calls(3));
    test.calls(2, Outcome::Failure);
    assert_eq!(test.state(), State::Closed);
    assert!(test.call(Outcome::Failure).is_some());
}

#[test]
fn good_call_never_trips() {
    let test = Test::new(CircuitConfig::new().minimum_calls(4));
    test.calls(3, Outcome::Failure);
    test.calls(1, Outcome::Success);
    assert_eq!(
        test.state(),
        State::Closed,
        "three of four failed, but the last one did not"
    );
    assert!(test.call(Outcome::Failure).is_some());
}

#[test]
fn ignored_and_abandoned_calls_count_nowhere() {
    let test = Test::new(CircuitConfig::new().leaky_count(9).consecutive_failures(9));
    test.calls(3, Outcome::Failure);
    test.calls(5, Outcome::Ignored);
    test.calls(5, Outcome::Abandoned);
    let snapshot = test.circuit.snapshot(|| test.read());
    assert_eq!(snapshot.counts.calls, 3);
    assert_eq!(snapshot.leaky_count.unwrap().count, 3);
    assert_eq!(snapshot.consecutive_failures.unwrap().count, 3);
}

#[test]
fn slow_calls_trip_whether_they_fail_or_not() {
    let config = CircuitConfig::new().failure_rate(None).minimum_calls(4);
    let test = Test::new(config.slow_call_threshold(SECOND).slow_call_rate(0.75));
    test.call(Outcome::Failure);
    test.call(slow(Outcome::Failure));
    test.call(slow(Outcome::Success));
    assert_eq!(
        test.call(slow(Outcome::Success)).unwrap().cause,
        Cause::SlowCallRate
    );
}

#[test]
fn slowness_means_nothing_without_the_rule() {
    let test = Test::new(CircuitConfig::new().minimum_calls(1));
    for _ in 0..30 {
        test.call(slow(Outcome::Success));
    }
    let snapshot = test.circuit.snapshot(|| test.read());
    assert_eq!((snapshot.state, snapshot.counts.slow), (State::Closed, 0));
}

#[test]
fn leaky_count_is_failures_less_successes_and_never_negative() {
    let test = Test::new(CircuitConfig::new().failure_rate(None).leaky_count(3));
    test.calls(10, Outcome::Success);
    test.calls(2, Outcome::Failure);
    test.calls(1, Outcome::Success);
    test.calls(1, Outcome::Failure);
    assert_eq!(test.state(), State::Closed);
    assert_eq!(
        test.call(Outcome::Failure).unwrap().cause,
        Cause::LeakyCount
    );
}

#[test]
fn success_ends_a_run_of_failures() {
    let test = Test::new(
        CircuitConfig::new()
            .failure_rate(None)
            .consecutive_failures(3),
    );
    test.calls(2, Outcome::Failure);
    test.calls(1, Outcome::Success);
    test.calls(2, Outcome::Failure);
    assert_eq!(
        test.call(Outcome::Failure).unwrap().cause,
        Cause::ConsecutiveFailures
    );
}

#[test]
fn failure_count_asks_neither_for_a_share_nor_for_a_minimum() {
    let config = CircuitConfig::new().failure_rate(None).failure_count(3);
    let test = Test::new(config.window_calls(10));
    test.calls(2, Outcome::Failure);
    test.calls(8, Outcome::Success);
    // The first of them slides out, and this one is the second again.
    test.call(Outcome::Failure);
    assert_eq!(test.state(), State::Closed);
    test.calls(3, Outcome::Success);
    test.call(Outcome::Failure);
    assert_eq!(
        test.call(Outcome::Failure).unwrap().cause,
        Cause::FailureCount
    );
    let test = Test::new(config.window_time(10 * SECOND, 10));
    test.calls(2, Outcome::Failure);
    test.calls(10_000, Outcome::Success);
    assert!(test.call(Outcome::Failure).is_some());
}

#[test]
fn call_that_outlives_the_window_is_counted_when_it_ends() {
    // gobreaker drops it, since its generations change with the window; and timeouts are such calls.
    let config = CircuitConfig::new().window_time(10 * SECOND, 10);
    let test = Test::new(config.minimum_calls(1));
    let long = test.admit().unwrap();
    test.call(Outcome::Success);
    test.advance(60 * SECOND);
    assert!(test.settle(long, Outcome::Failure).is_some());
}

#[test]
fn rules_are_combined_with_or() {
    let config = CircuitConfig::new()
        .minimum_calls(6)
        .leaky_count(5)
        .consecutive_failures(4);
    let trip = |pattern: &str| {
        let test = Test::new(config);
        pattern.bytes().find_map(|call| {
            test.call(if call == b'F' {
                Outcome::Failure
            } else {
                Outcome::Success
            })
        })
    };
    assert_eq!(trip("FFFSSFSFSFF").unwrap().cause, Cause::FailureRate);
    assert_eq!(
        trip("SSSSSSSFFFF").unwrap().cause,
        Cause::ConsecutiveFailures
    );
    assert_eq!(
        trip("SSSSSSSSSSFFFSFFFSF").unwrap().cause,
        Cause::LeakyCount
    );
    assert_eq!(trip("SSSSSSFFFSSS"), None);
}

#[test]
fn time_window_forgets_bucket_by_bucket() {
    let test = Test::new(
        CircuitConfig::new()
            .window_time(10 * SECOND, 5)
            .minimum_calls(3),
    );
    test.calls(2, Outcome::Failure);
    test.advance(8 * SECOND);
    assert_eq!(test.circuit.snapshot(|| test.read()).counts.failures, 2);
    test.advance(2 * SECOND);
    // Expired on reading as well as on recording.
    assert_eq!(test.circuit.snapshot(|| test.read()).counts.failures, 0);
    test.calls(2, Outcome::Failure);
    assert_eq!(test.state(), State::Closed);
    assert!(test.call(Outcome::Failure).is_some());
}

#[test]
fn time_window_survives_any_gap() {
    let test = Test::new(
        CircuitConfig::new()
            .window_time(10 * SECOND, 10)
            .minimum_calls(2),
    );
    for gap in [
        10 * SECOND,
        100 * SECOND,
        Duration::from_secs(3600 * 24 * 365 * 100),
    ] {
        test.calls(1, Outcome::Failure);
        test.advance(gap);
        assert_eq!(test.circuit.snapshot(|| test.read()).counts.calls, 0);
    }
    assert_eq!(test.state(), State::Closed);
}

#[test]
fn snapshot_tells_failures_and_the_limit_of_the_rule_that_is_on() {
    let failures = |config: CircuitConfig| {
        let test = Test::new(config);
        test.calls(2, Outcome::Failure);
        let level = test.circuit.snapshot(|| test.read()).failures()?;
        Some((level.count, level.limit))
    };
    let config = CircuitConfig::new();
    assert_eq!(failures(config), Some((2, 10)));
    assert_eq!(failures(config.consecutive_failures(4)), Some((2, 4)));
    assert_eq!(
        failures(config.consecutive_failures(4).leaky_count(5)),
        Some((2, 5))
    );
    assert_eq!(failures(config.failure_count(7)), Some((2, 7)));
    assert_eq!(
        failures(config.failure_rate(None).slow_call_threshold(SECOND)),
        None
    );
}

#[test]
fn call_given_up_when_it_had_been_slow_counts_as_slow_and_as_nothing_else() {
    // A caller's own timeout outside of the circuit must not hide the slowest calls from the slow-call rule.
    let config = CircuitConfig::new().minimum_calls(4);
    let test = Test::new(
        config
            .slow_call_threshold(SECOND)
            .leaky_count(3)
            .consecutive_failures(3),
    );
    test.calls(2, Outcome::Failure);
    test.call(slow(Outcome::Abandoned));
    let snapshot = test.circuit.snapshot(|| test.read());
    let counts = snapshot.counts;
    assert_eq!((counts.calls, counts.failures, counts.slow), (3, 2, 1));
    assert_eq!(snapshot.leaky_count.unwrap().count, 2, "it is no success");
    assert_eq!(snapshot.consecutive_failures.unwrap().count, 2);
    assert_eq!(
        test.call(slow(Outcome::Abandoned)).unwrap().cause,
        Cause::SlowCallRate
    );
    let without = Test::new(CircuitConfig::new());
    without.call(slow(Outcome::Abandoned));
    assert_eq!(without.circuit.snapshot(|| without.read()).counts.calls, 0);
    let ignored = Test::new(config.slow_call_threshold(SECOND));
    ignored.call(slow(Outcome::Ignored));
    assert_eq!(ignored.circuit.snapshot(|| ignored.read()).counts.calls, 0);
}
