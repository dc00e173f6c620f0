//! The half-open state: leases, what returns a slot, and when the probes have said enough.

use super::*;
use crate::circuit::{Cause, Why};

/// A circuit that has just become due for its first probe.
fn due(config: CircuitConfig) -> Test {
    let test = Test::new(config.failure_rate(None).consecutive_failures(1));
    test.call(Outcome::Failure).unwrap();
    test.advance(30 * SECOND);
    test
}

#[test]
fn probes_are_limited_and_checking_reserves_nothing() {
    let test = due(CircuitConfig::new());
    for _ in 0..10 {
        assert_eq!(test.circuit.check(|| test.read()), Ok(()));
    }
    let probes = [(); 3].map(|()| test.admit().unwrap());
    assert_eq!(probes.each_ref().map(Admission::is_probe), [true; 3]);
    assert_eq!(
        probes
            .iter()
            .filter(|probe| probe.transition().is_some())
            .count(),
        1
    );
    let refusal = test.admit().unwrap_err();
    assert_eq!(refusal.why, Why::HalfOpen);
    assert_eq!(test.circuit.check(|| test.read()), Err(refusal));
}

#[test]
fn refusal_says_when_the_first_lease_ends() {
    let config = CircuitConfig::new().half_open_max_calls(2);
    let test = due(config.probe_lease(5 * SECOND));
    let _first = test.admit().unwrap();
    let end = test.now.get() + 5 * SECOND;
    test.advance(SECOND);
    let _second = test.admit().unwrap();
    let refusal = test.admit().unwrap_err();
    let until = refusal.until.unwrap();
    // In steps of about a millisecond, rounded up.
    assert!(
        until >= end && until.since(end) < Duration::from_millis(2),
        "{refusal:?}"
    );
    assert_eq!(test.circuit.check(|| test.read()), Err(refusal));
}

#[test]
fn dropped_probe_returns_its_slot_and_gives_no_verdict() {
    for outcome in [Outcome::Abandoned, Outcome::Ignored] {
        let test = due(CircuitConfig::new().half_open_max_calls(1));
        for _ in 0..10 {
            assert_eq!(test.call(outcome), None);
            assert_eq!(test.state(), State::HalfOpen);
        }
    }
}

#[test]
fn silent_probe_loses_its_slot_and_its_say() {
    let config = CircuitConfig::new()
        .half_open_max_calls(1)
        .success_threshold(2);
    let test = due(config.probe_lease(5 * SECOND));
    let silent = test.admit().unwrap();
    let until = test.admit().unwrap_err().until.unwrap();
    test.now.set(until);
    let reissued = test.admit().expect("the lease is over");
    assert_eq!(test.settle(silent, Outcome::Failure), None);
    assert_eq!(test.state(), State::HalfOpen);
    assert!(
        test.admit().is_err(),
        "the silent probe did not return another's slot"
    );
    test.settle(reissued, Outcome::Success);
    assert_eq!(
        test.call(Outcome::Success).unwrap().cause,
        Cause::ProbesSucceeded
    );
}

#[test]
fn silent_probe_whose_slot_nobody_took_still_has_its_say() {
    let test = due(CircuitConfig::new().success_threshold(1));
    let silent = test.admit().unwrap();
    test.advance(3600 * SECOND);
    assert_eq!(
        test.settle(silent, Outcome::Success).unwrap().to,
        State::Closed
    );
}

#[test]
fn probes_wide_apart_still_close() {
    // rust-peers.md 2.4 #3: successes must not age away while their slots stay spent.
    let test = due(CircuitConfig::new().window_time(SECOND, 10));
    for _ in 0..3 {
        test.advance(3600 * SECOND);
        test.call(Outcome::Success);
    }
    assert_eq!(test.state(), State::Closed);
}

#[test]
fn probe_of_an_older_generation_returns_nobody_elses_slot() {
    let test = due(CircuitConfig::new().half_open_max_calls(2));
    let [stale, failing] = [(); 2].map(|()| test.admit().unwrap());
    test.settle(failing, Outcome::Failure).unwrap();
    test.advance(300 * SECOND);
    let probes = [(); 2].map(|()| test.admit().unwrap());
    test.settle(stale, Outcome::Abandoned);
    assert!(test.admit().is_err());
    assert!(probes.iter().all(Admission::is_probe));
}

#[test]
fn spent_probes_keep_their_slots() {
    let test = due(CircuitConfig::new());
    test.calls(2, Outcome::Success);
    let last = test.admit().unwrap();
    let refusal = test.admit().unwrap_err();
    assert!(
        refusal.until.is_some(),
        "the lease that is still out ends some time"
    );
    assert!(test.settle(last, Outcome::Success).is_some());
}

#[test]
fn fewer_slots_than_successes_needed_are_used_again_but_not_beyond() {
    let test = due(CircuitConfig::new()
        .half_open_max_calls(2)
        .success_threshold(5));
    let mut admitted = 0;
    let mut out = Vec::new();
    while test.state() != State::Closed {
        while let Ok(probe) = test.admit() {
            admitted += 1;
            out.push(probe);
            assert!(out.len() <= 2);
        }
        test.settle(out.remove(0), Outcome::Success);
    }
    assert_eq!(admitted, 5);
}

#[test]
fn failure_rate_of_the_probes_decides_as_soon_as_it_is_forced() {
    let config = CircuitConfig::new()
        .half_open_max_calls(10)
        .half_open_failure_rate(0.5);
    let trial = |pattern: &str| {
        let test = due(config);
        let mut used = 0;
        let transition = pattern.bytes().find_map(|call| {
            used += 1;
            test.call(if call == b'F' {
                Outcome::Failure
            } else {
                Outcome::Success
            })
        });
        transition.map(|transition| (transition.cause, used))
    };
    assert_eq!(trial("FFSSS"), Some((Cause::ProbesSucceeded, 5)));
    assert_eq!(trial("FFF"), Some((Cause::ProbeFailureRate, 3)));
    // Two successes so far, and a third would make it three of six.
    assert_eq!(trial("SFSFF"), Some((Cause::ProbeFailureRate, 5)));
    assert_eq!(trial("SSFF"), None);
}

#[test]
fn too_few_probes_left_to_succeed_reopens() {
    let config = CircuitConfig::new()
        .half_open_max_calls(4)
        .half_open_failure_rate(1.0);
    let test = due(config);
    assert_eq!(test.call(Outcome::Failure), None);
    assert_eq!(
        test.call(Outcome::Failure).unwrap().cause,
        Cause::ProbeFailureRate
    );
}

#[test]
fn slow_successes_count_as_slow() {
    // rust-peers.md 2.4 #12.
    let config = CircuitConfig::new()
        .slow_call_threshold(SECOND)
        .slow_call_rate(0.5);
    let test = due(config);
    assert_eq!(test.call(slow(Outcome::Success)), None);
    assert_eq!(
        test.call(slow(Outcome::Success)).unwrap().cause,
        Cause::ProbeSlowCallRate
    );
    test.advance(3600 * SECOND);
    test.call(slow(Outcome::Success));
    test.calls(2, Outcome::Success);
    assert_eq!(
        test.state(),
        State::Closed,
        "one of three is below the half"
    );
}

#[test]
fn last_success_closes_nothing_if_it_makes_the_slow_rate_bad() {
    let config = CircuitConfig::new()
        .half_open_max_calls(9)
        .half_open_failure_rate(0.9);
    let test = due(config.slow_call_threshold(SECOND).slow_call_rate(0.6));
    test.calls(1, Outcome::Success);
    test.call(slow(Outcome::Success));
    assert_eq!(
        test.call(slow(Outcome::Success)).unwrap().cause,
        Cause::ProbeSlowCallRate
    );
}

#[test]
fn snapshot_tells_how_the_probes_fare() {
    let test = due(CircuitConfig::new()
        .half_open_max_calls(9)
        .half_open_failure_rate(1.0));
    let _out = test.admit().unwrap();
    test.calls(2, Outcome::Success);
    test.call(Outcome::Failure);
    let probes = test.circuit.snapshot(|| test.read()).probes;
    assert_eq!(
        (
            probes.running,
            probes.successes,
            probes.failures,
            probes.slow
        ),
        (1, 2, 1, 0)
    );
}

#[test]
fn slot_spent_long_ago_is_not_taken_for_a_spent_one() {
    // The tag of a slot has 14 bits: a slot that a trial spent and no later one touched looks spent again 2^14 generations on.
    let test = due(CircuitConfig::new()
        .recovery_timeout(30 * SECOND)
        .recovery_factor(1.0));
    let spent_in = test.circuit.generation() + 1;
    test.calls(3, Outcome::Success);
    test.circuit.reset();
    test.call(Outcome::Failure).unwrap();
    loop {
        test.advance(30 * SECOND);
        let probe = test.admit().unwrap();
        if test.circuit.generation() == spent_in + (1 << 14) {
            test.settle(probe, Outcome::Success);
            break;
        }
        test.settle(probe, Outcome::Failure).unwrap();
    }
    test.calls(2, Outcome::Success);
    assert_eq!(test.state(), State::Closed);
}

#[test]
fn probes_given_up_when_they_had_been_slow_reopen_and_never_close() {
    let config = CircuitConfig::new().slow_call_threshold(SECOND);
    let test = due(config.slow_call_rate(0.5));
    assert_eq!(test.call(slow(Outcome::Abandoned)), None);
    let probes = test.circuit.snapshot(|| test.read()).probes;
    assert_eq!((probes.running, probes.successes, probes.slow), (0, 0, 1));
    assert_eq!(
        test.call(slow(Outcome::Abandoned)).unwrap().cause,
        Cause::ProbeSlowCallRate
    );
    // One of three is below the half, and its slot is there for a probe that has something to say.
    test.advance(3600 * SECOND);
    test.call(slow(Outcome::Abandoned));
    test.calls(2, Outcome::Success);
    assert_eq!(test.state(), State::HalfOpen);
    test.call(Outcome::Success);
    assert_eq!(test.state(), State::Closed);
}
