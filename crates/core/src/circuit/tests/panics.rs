//! The clock and the draw are the caller's code: one that panics must not leave a circuit that nobody can move.

extern crate std;

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::*;

/// Settles a failure at the end of which the clock or the draw panics.
fn settle_badly(test: &Test, call: Admission, now: impl FnOnce() -> Moment) {
    let draw = || -> u64 { panic!("no draw") };
    let settling = || {
        test.circuit
            .settle(call, Settlement::new(Outcome::Failure), now, draw)
    };
    assert!(catch_unwind(AssertUnwindSafe(settling)).is_err());
}

fn broken_clock() -> Moment {
    panic!("no clock")
}

#[test]
fn panic_in_a_trip_leaves_the_circuit_closed_and_able_to_trip() {
    for config in [
        brittle(),
        brittle().window_time(SECOND, 10).failure_count(1),
    ] {
        let test = Test::new(config);
        settle_badly(&test, test.admit().unwrap(), broken_clock);
        settle_badly(&test, test.admit().unwrap(), || test.read());
        assert_eq!(test.state(), State::Closed);
        assert_eq!(test.call(Outcome::Failure).unwrap().to, State::Open);
    }
}

#[test]
fn panic_at_the_end_of_a_probe_costs_its_lease_and_no_more() {
    let test = Test::new(brittle());
    test.call(Outcome::Failure).unwrap();
    test.advance(10 * SECOND);
    settle_badly(&test, test.admit().unwrap(), broken_clock);
    assert!(test.admit().is_err(), "its lease is still out");
    test.advance(31 * SECOND);
    settle_badly(&test, test.admit().unwrap(), || test.read());
    assert_eq!(test.state(), State::HalfOpen);
    test.advance(31 * SECOND);
    assert_eq!(test.call(Outcome::Success).unwrap().to, State::Closed);
}

#[test]
fn panic_while_asking_reserves_nothing() {
    let test = Test::new(brittle().recovery_ramp(SECOND));
    let ask_badly = || {
        let asking = || test.circuit.try_admit(broken_clock);
        assert!(catch_unwind(AssertUnwindSafe(asking)).is_err());
    };
    test.call(Outcome::Failure).unwrap();
    test.advance(10 * SECOND);
    ask_badly();
    assert_eq!(test.state(), State::Open);
    let probe = test.admit().unwrap();
    ask_badly();
    assert_eq!(
        test.settle(probe, Outcome::Success).unwrap().to,
        State::Recovering
    );
    ask_badly();
    assert!(test.admit().is_ok(), "the first call of a recovery passes");
}
