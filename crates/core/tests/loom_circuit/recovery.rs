//! The way back along a ramp.

use super::*;

/// One that began to recover at second eleven, for ten seconds.
fn recovering() -> Arc<Circuit> {
    let (circuit, probe) = probing(brittle().recovery_ramp(10 * SECOND));
    let moved = settle(&circuit, probe, Outcome::Success, 11).expect("one success is enough");
    assert_eq!(moved.to, State::Recovering);
    circuit
}

#[test]
fn first_call_of_a_recovery_passes_alone() {
    explore(3, || {
        let circuit = recovering();
        let thread = {
            let circuit = Arc::clone(&circuit);
            thread::spawn(move || circuit.try_admit(|| at(11)).is_ok())
        };
        let mine = circuit.try_admit(|| at(11)).is_ok();
        assert!(
            mine != thread.join().unwrap(),
            "nothing is earned yet but the first call"
        );
    });
}

#[test]
fn end_of_a_recovery_has_one_winner() {
    explore(3, || {
        let circuit = recovering();
        let calls = [(); 2].map(|()| circuit.try_admit(|| at(21)).unwrap());
        let threads = calls.map(|call| {
            let circuit = Arc::clone(&circuit);
            thread::spawn(move || settle(&circuit, call, Outcome::Success, 21))
        });
        let winners = threads
            .into_iter()
            .filter_map(|thread| thread.join().unwrap());
        assert_eq!(winners.count(), 1);
        assert_eq!(circuit.state(), State::Closed);
    });
}

#[test]
fn trip_is_not_lost_to_the_end_of_a_recovery() {
    explore(3, || {
        let circuit = recovering();
        let early = circuit.try_admit(|| at(11)).unwrap();
        let late = circuit.try_admit(|| at(21)).unwrap();
        let thread = {
            let circuit = Arc::clone(&circuit);
            thread::spawn(move || settle(&circuit, late, Outcome::Success, 21))
        };
        // A moment before its end, by this thread's clock.
        let tripped = settle(&circuit, early, Outcome::Failure, 20).expect("one failure is enough");
        let ended = thread.join().unwrap();
        assert_eq!(circuit.state(), State::Open);
        match ended {
            Some(ended) => assert_eq!((ended.to, tripped.from), (State::Closed, State::Closed)),
            None => assert_eq!(tripped.from, State::Recovering),
        }
    });
}

#[test]
fn failure_that_ends_a_recovery_opens_no_circuit_that_is_open() {
    explore(3, || {
        let circuit = recovering();
        let early = circuit.try_admit(|| at(11)).unwrap();
        let late = circuit.try_admit(|| at(21)).unwrap();
        let thread = {
            let circuit = Arc::clone(&circuit);
            thread::spawn(move || settle(&circuit, late, Outcome::Failure, 21))
        };
        let mine = settle(&circuit, early, Outcome::Failure, 20);
        let theirs = thread.join().unwrap();
        let openings = [mine, theirs].into_iter().flatten();
        assert_eq!(openings.filter(|moved| moved.to == State::Open).count(), 1);
        assert_eq!(circuit.snapshot(|| at(21)).state, State::Open);
    });
}

#[test]
fn call_of_a_recovery_that_an_order_ended_counts_nowhere() {
    explore(3, || {
        let circuit = recovering();
        let call = circuit.try_admit(|| at(21)).unwrap();
        let thread = {
            let circuit = Arc::clone(&circuit);
            thread::spawn(move || settle(&circuit, call, Outcome::Failure, 21))
        };
        circuit.reset();
        let moved = thread.join().unwrap();
        // Before the order it opened the circuit, and the order closed it; after it, it is late.
        assert_eq!(circuit.state(), State::Closed, "{moved:?}");
        let level = circuit.snapshot(|| at(21)).consecutive_failures.unwrap();
        assert_eq!(level.count, 0);
    });
}

#[test]
fn who_sees_a_recovery_knows_when_it_began() {
    explore(3, || {
        let (circuit, probe) = probing(brittle().recovery_ramp(10 * SECOND));
        let thread = {
            let circuit = Arc::clone(&circuit);
            thread::spawn(move || settle(&circuit, probe, Outcome::Success, 11))
        };
        let share = circuit.snapshot(|| at(16)).admitted_share;
        assert!(share.is_none() || share == Some(0.5), "{share:?}");
        thread.join().unwrap();
    });
}

/// Goes from a recovery through a trip into the next recovery, which begins at second 24.
fn recover_again(circuit: &Circuit, call: Admission) {
    settle(circuit, call, Outcome::Failure, 13).expect("one failure is enough");
    let probe = circuit.try_admit(|| at(23)).expect("its time is over");
    settle(circuit, probe, Outcome::Success, 24).expect("one success is enough");
}

#[test]
fn beginning_of_a_recovery_is_not_overwritten_by_one_that_slept() {
    explore(2, || {
        let config = brittle().half_open_max_calls(2);
        let (circuit, one) = probing(config.recovery_ramp(10 * SECOND));
        let other = circuit.try_admit(|| at(10)).unwrap();
        let thread = {
            let circuit = Arc::clone(&circuit);
            thread::spawn(move || settle(&circuit, one, Outcome::Success, 11))
        };
        if settle(&circuit, other, Outcome::Success, 12).is_some() {
            let call = circuit.try_admit(|| at(12)).expect("the first one passes");
            recover_again(&circuit, call);
            thread.join().unwrap();
            assert_eq!(circuit.snapshot(|| at(29)).admitted_share, Some(0.5));
        }
    });
}

#[test]
fn call_that_slept_through_a_recovery_leaves_the_credit_of_the_next() {
    explore(3, || {
        let circuit = recovering();
        let call = circuit.try_admit(|| at(11)).expect("the first one passes");
        let thread = {
            let circuit = Arc::clone(&circuit);
            thread::spawn(move || circuit.try_admit(|| at(20)))
        };
        recover_again(&circuit, call);
        let mut admitted = vec![circuit.try_admit(|| at(24)), circuit.try_admit(|| at(24))];
        admitted.push(thread.join().unwrap());
        let newest = circuit.generation();
        let passed = admitted
            .iter()
            .flatten()
            .filter(|admission| admission.generation() == newest);
        assert_eq!(
            passed.count(),
            1,
            "nothing is earned yet but the first call"
        );
    });
}
