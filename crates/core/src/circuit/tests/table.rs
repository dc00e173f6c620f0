//! Every state against every event: where it leads, written by hand.

use super::*;
use crate::circuit::Cause;

const STATES: [State; 7] = [
    State::Closed,
    State::Open,
    State::HalfOpen,
    State::ForcedOpen,
    State::ForcedClosed,
    State::Disabled,
    State::Recovering,
];

/// C closed, O open, H half-open, FO forced open, FC forced closed, D disabled, R recovering; `-` where no call can be under way.
const TABLE: &str = "
    event              C   O   H   FO  FC  D   R
    asked_early        C   O   H   FO  FC  D   R
    asked_in_time      C   H   H   FO  FC  D   R
    checked_in_time    C   O   H   FO  FC  D   R
    success            C   -   C   -   FC  D   R
    failure            O   -   O   -   FC  D   O
    ignored            C   -   H   -   FC  D   R
    abandoned          C   -   H   -   FC  D   R
    success_in_time    C   -   C   -   FC  D   C
    failure_in_time    O   -   O   -   FC  D   O
    ignored_in_time    C   -   H   -   FC  D   C
    abandoned_in_time  C   -   H   -   FC  D   C
    late_success       C   O   H   FO  FC  D   R
    late_failure       C   O   H   FO  FC  D   R
    late_abandoned     C   O   H   FO  FC  D   R
    force_open         FO  FO  FO  FO  FO  FO  FO
    force_closed       FC  FC  FC  FC  FC  FC  FC
    disable            D   D   D   D   D   D   D
    reset              C   C   C   C   C   C   C
";

/// A circuit in this state, a call admitted in an earlier generation, and one admitted in this one where there can be.
fn arrive(state: State) -> (Test, Admission, Option<Admission>) {
    let is_ramp = state == State::Recovering;
    let test = Test::new(brittle().recovery_ramp(is_ramp.then_some(10 * SECOND)));
    let late = test.admit().unwrap();
    match state {
        State::Closed => assert_eq!(test.circuit.reset(), None),
        State::Open => assert!(test.call(Outcome::Failure).is_some()),
        State::HalfOpen => {
            test.call(Outcome::Failure);
            test.advance(10 * SECOND);
        }
        State::ForcedOpen => assert!(test.circuit.force_open().is_some()),
        State::ForcedClosed => assert!(test.circuit.force_closed().is_some()),
        State::Disabled => assert!(test.circuit.disable().is_some()),
        State::Recovering => {
            test.call(Outcome::Failure);
            test.advance(10 * SECOND);
            test.call(Outcome::Success);
        }
    }
    let call = test.admit().ok();
    assert_eq!(test.state(), state);
    (test, late, call)
}

/// What an event returned.
struct Reported(Option<Transition>);

/// The transition that the event reports; `None` where it cannot happen.
fn apply(event: &str, test: &Test, late: Admission, call: Option<Admission>) -> Option<Reported> {
    let end =
        |call: Option<Admission>, outcome| call.map(|call| Reported(test.settle(call, outcome)));
    let ask = || {
        test.admit()
            .ok()
            .and_then(|admission| admission.transition())
    };
    match event {
        "asked_early" => Some(Reported(ask())),
        "asked_in_time" => {
            test.advance(10 * SECOND);
            Some(Reported(ask()))
        }
        "checked_in_time" => {
            test.advance(10 * SECOND);
            let _verdict = test.circuit.check(|| test.read());
            Some(Reported(None))
        }
        "success" => end(call, Outcome::Success),
        "failure" => end(call, Outcome::Failure),
        "ignored" => end(call, Outcome::Ignored),
        "abandoned" => end(call, Outcome::Abandoned),
        "success_in_time" | "failure_in_time" | "ignored_in_time" | "abandoned_in_time" => {
            test.advance(10 * SECOND);
            apply(event.strip_suffix("_in_time")?, test, late, call)
        }
        "late_success" => Some(Reported(test.settle(late, Outcome::Success))),
        "late_failure" => Some(Reported(test.settle(late, Outcome::Failure))),
        "late_abandoned" => Some(Reported(test.settle(late, Outcome::Abandoned))),
        "force_open" => Some(Reported(test.circuit.force_open())),
        "force_closed" => Some(Reported(test.circuit.force_closed())),
        "disable" => Some(Reported(test.circuit.disable())),
        "reset" => Some(Reported(test.circuit.reset())),
        other => panic!("no such event: {other}"),
    }
}

#[test]
fn every_event_leads_where_the_table_says() {
    for row in TABLE.lines().filter(|row| !row.trim().is_empty()).skip(1) {
        let mut cells = row.split_whitespace();
        let event = cells.next().unwrap();
        for (from, to) in STATES.into_iter().zip(cells) {
            let to = match to {
                "C" => Some(State::Closed),
                "O" => Some(State::Open),
                "H" => Some(State::HalfOpen),
                "FO" => Some(State::ForcedOpen),
                "FC" => Some(State::ForcedClosed),
                "D" => Some(State::Disabled),
                "R" => Some(State::Recovering),
                _ => None,
            };
            let (test, late, call) = arrive(from);
            let before = test.circuit.generation();
            let Some(Reported(transition)) = apply(event, &test, late, call) else {
                assert_eq!(to, None, "{event} in {from:?}");
                continue;
            };
            assert_eq!(Some(test.state()), to, "{event} in {from:?}");
            if from == test.state() {
                assert_eq!(transition, None, "{event} in {from:?}");
            } else {
                let transition = transition.expect("a change of state is reported");
                assert_eq!(
                    (transition.from, transition.to),
                    (from, test.state()),
                    "{event}"
                );
                // What a recovery has counted counts on when it is over.
                let begun = u64::from(transition.cause != Cause::RampOver);
                assert_eq!(transition.generation, before + begun, "{event} in {from:?}");
                assert_eq!(transition.generation, test.circuit.generation());
                assert_eq!(
                    transition.until,
                    test.circuit.until(),
                    "{event} in {from:?}"
                );
            }
        }
    }
}

#[test]
fn each_transition_names_its_cause() {
    let end = |state, outcome| {
        let (test, _, call) = arrive(state);
        test.settle(call.unwrap(), outcome).unwrap().cause
    };
    assert_eq!(
        end(State::Closed, Outcome::Failure),
        Cause::ConsecutiveFailures
    );
    assert_eq!(end(State::HalfOpen, Outcome::Failure), Cause::ProbeFailed);
    assert_eq!(
        end(State::HalfOpen, Outcome::Success),
        Cause::ProbesSucceeded
    );
    let (test, _, call) = arrive(State::Recovering);
    test.advance(10 * SECOND);
    let ended = test.settle(call.unwrap(), Outcome::Success);
    assert_eq!(ended.unwrap().cause, Cause::RampOver);
    let (test, ..) = arrive(State::Open);
    test.advance(10 * SECOND);
    let probe = test.admit().unwrap();
    assert_eq!(
        probe.transition().unwrap().cause,
        Cause::RecoveryTimeoutOver
    );
    assert_eq!(test.circuit.force_open().unwrap().cause, Cause::Forced);
    assert_eq!(test.circuit.reset().unwrap().cause, Cause::Reset);
}

#[test]
fn reset_of_a_closed_circuit_forgets() {
    let test = Test::new(CircuitConfig::new().leaky_count(3).consecutive_failures(3));
    let late = test.admit().unwrap();
    test.calls(2, Outcome::Failure);
    assert!(test.circuit.last_failure().is_some());
    assert_eq!(test.circuit.reset(), None);
    test.settle(late, Outcome::Failure);
    let snapshot = test.circuit.snapshot(|| test.read());
    assert_eq!(snapshot.counts.calls, 0);
    assert_eq!(snapshot.leaky_count.unwrap().count, 0);
    assert_eq!(snapshot.consecutive_failures.unwrap().count, 0);
    assert_eq!(snapshot.last_failure, None);
    test.calls(2, Outcome::Failure);
    assert_eq!(test.state(), State::Closed);
}

#[test]
fn forced_closed_counts_for_the_eye_and_carries_nothing_over() {
    let test = Test::new(CircuitConfig::new().minimum_calls(2));
    test.circuit.force_closed();
    test.calls(5, Outcome::Failure);
    assert_eq!(test.circuit.snapshot(|| test.read()).counts.failures, 5);
    test.circuit.reset();
    test.call(Outcome::Failure);
    assert_eq!(test.state(), State::Closed);
}

#[test]
fn disabled_records_nothing() {
    let test = Test::new(CircuitConfig::new());
    test.circuit.disable();
    test.calls(5, Outcome::Failure);
    let snapshot = test.circuit.snapshot(|| test.read());
    assert_eq!((snapshot.counts.calls, snapshot.last_failure), (0, None));
}

#[test]
fn trips_in_a_row_double_the_wait_and_closing_forgets_them() {
    let test = Test::new(brittle());
    for (trips, seconds) in (1..).zip([10, 20, 40, 80, 160, 300, 300]) {
        let trip = test.call(Outcome::Failure).unwrap();
        assert_eq!(trip.until, Some(test.now.get() + seconds * SECOND));
        assert_eq!(test.circuit.snapshot(|| test.read()).trips, trips);
        test.advance(seconds * SECOND);
    }
    test.call(Outcome::Success);
    assert_eq!(test.circuit.snapshot(|| test.read()).trips, 0);
    let trip = test.call(Outcome::Failure).unwrap();
    assert_eq!(trip.until, Some(test.now.get() + 10 * SECOND));
}

#[test]
fn failure_that_says_when_to_come_back_opens_until_then_if_asked() {
    let config = CircuitConfig::new()
        .failure_rate(None)
        .open_on_retry_after(true);
    let test = Test::new(config.max_recovery_timeout(60 * SECOND));
    let failed = |seconds| Settlement::new(Outcome::Failure).retry_after(Some(seconds * SECOND));
    test.calls(9, Outcome::Failure);
    test.call(failed(0));
    test.call(Settlement::new(Outcome::Success).retry_after(Some(SECOND)));
    assert_eq!(test.state(), State::Closed);
    for (hint, wait) in [(2, 2), (45, 45), (3600, 60)] {
        let trip = test.call(failed(hint)).unwrap();
        assert_eq!(trip.cause, Cause::RetryAfter);
        assert_eq!(trip.until, Some(test.now.get() + wait * SECOND));
        test.circuit.reset();
    }
    let off = Test::new(CircuitConfig::new());
    assert_eq!(off.call(failed(2)), None);
    // A rule that trips at the same call has its own wait, which is the longer one.
    let both = Test::new(config.consecutive_failures(1).jitter(0.0));
    let trip = both.call(failed(2)).unwrap();
    assert_eq!(trip.cause, Cause::ConsecutiveFailures);
    assert_eq!(trip.until, Some(both.now.get() + 30 * SECOND));
}

#[test]
fn hint_of_the_last_failure_prolongs_the_opening() {
    let test = Test::new(brittle().max_recovery_timeout(60 * SECOND));
    for (hint, wait) in [(5, 10), (25, 25), (3600, 60)] {
        test.circuit.reset();
        let settlement = Settlement::new(Outcome::Failure).retry_after(Some(hint * SECOND));
        let trip = test.call(settlement).unwrap();
        assert_eq!(trip.until, Some(test.now.get() + wait * SECOND));
    }
}

#[test]
fn refusal_and_snapshot_tell_what_opened_the_circuit() {
    let test = Test::new(brittle());
    assert_eq!(test.circuit.tripped_by(), None);
    test.call(Outcome::Failure);
    let by = |test: &Test| test.admit().unwrap_err().cause;
    assert_eq!(by(&test), Some(Cause::ConsecutiveFailures));
    test.advance(10 * SECOND);
    let probe = test.admit().unwrap();
    assert_eq!(by(&test), Some(Cause::ConsecutiveFailures));
    test.settle(probe, Outcome::Failure);
    assert_eq!(by(&test), Some(Cause::ProbeFailed));
    test.advance(20 * SECOND);
    test.call(Outcome::Success);
    let snapshot = test.circuit.snapshot(|| test.read());
    assert_eq!(snapshot.tripped_by, Some(Cause::ProbeFailed));
    test.circuit.force_open();
    assert_eq!(by(&test), Some(Cause::Forced));
    test.circuit.reset();
    assert_eq!(test.circuit.tripped_by(), None);
}

#[test]
fn every_cause_of_a_trip_is_kept_as_it_is() {
    let trips = (1..).map_while(Cause::unpack);
    assert_eq!(trips.clone().count(), 9);
    for (number, cause) in (1..).zip(trips) {
        let packed = cause.pack(u64::MAX >> 11);
        assert_eq!(packed & 0b1111, number);
        assert_eq!(Cause::packed_generation(packed), u64::MAX >> 11);
        assert_eq!(Cause::unpack(packed), Some(cause));
    }
    assert_eq!(Cause::unpack(0), None);
    assert_eq!(Cause::Reset.pack(7), 0);
}

#[test]
fn circuit_may_be_forgotten_once_nobody_has_asked_for_as_long_as_it_may_be_open() {
    // A host that died with its circuit open must not keep its place among many for ever.
    let config = brittle().max_recovery_timeout(20 * SECOND).jitter(0.5);
    let forgettable = |test: &Test| test.circuit.is_forgettable(|| test.read());
    let test = Test::new(config.probe_lease(5 * SECOND).recovery_ramp(SECOND));
    assert!(forgettable(&test));
    test.call(Outcome::Failure);
    test.advance(10 * SECOND);
    assert!(!forgettable(&test), "its time is over, but only just");
    test.advance(30 * SECOND - Duration::from_nanos(1));
    assert!(!forgettable(&test));
    test.advance(Duration::from_nanos(1));
    assert!(forgettable(&test));
    let _silent = test.admit().unwrap();
    assert!(!forgettable(&test), "a probe is out");
    test.advance(10 * SECOND);
    assert!(forgettable(&test), "its lease is over");
    test.call(Outcome::Success);
    assert_eq!(test.state(), State::Recovering);
    assert!(!forgettable(&test));
    test.advance(SECOND);
    assert!(forgettable(&test));
    test.circuit.force_open();
    test.advance(3600 * SECOND);
    assert!(!forgettable(&test), "an order stands until the next one");
}

#[test]
fn detached_admission_reports_nothing() {
    let test = Test::new(brittle());
    for outcome in [Outcome::Failure, Outcome::Success] {
        assert_eq!(test.settle(Admission::detached(), outcome), None);
    }
    assert_eq!(test.state(), State::Closed);
    assert_eq!(test.circuit.last_failure(), None);
}

#[test]
fn snapshot_of_an_open_circuit_shows_what_opened_it() {
    let config = CircuitConfig::new().minimum_calls(4).leaky_count(3);
    let test = Test::new(config.consecutive_failures(9));
    let seen = |test: &Test| {
        let snapshot = test.circuit.snapshot(|| test.read());
        let level = snapshot.failures().unwrap();
        (level.count, level.limit, snapshot.counts.failures)
    };
    test.call(Outcome::Success);
    test.calls(3, Outcome::Failure);
    assert_eq!(seen(&test), (3, 3, 3));
    test.advance(30 * SECOND);
    test.call(Outcome::Failure);
    assert_eq!(test.circuit.tripped_by(), Some(Cause::ProbeFailed));
    assert_eq!(seen(&test), (3, 3, 3));
    test.advance(60 * SECOND);
    let probe = test.admit().unwrap();
    assert_eq!(seen(&test), (3, 3, 3));
    test.settle(probe, Outcome::Success);
    test.calls(2, Outcome::Success);
    assert_eq!((test.state(), seen(&test)), (State::Closed, (0, 3, 0)));
    test.call(Outcome::Failure);
    test.circuit.force_open();
    assert_eq!(seen(&test), (0, 3, 0));
}
