//! Transitions: each has one winner, and no other undoes it.

use super::*;

#[test]
fn trip_has_one_winner() {
    explore(3, || {
        let circuit = build(brittle());
        let calls = [(); 2].map(|()| circuit.try_admit(|| at(0)).unwrap());
        let threads = calls.map(|call| {
            let circuit = Arc::clone(&circuit);
            thread::spawn(move || settle(&circuit, call, Outcome::Failure, 0))
        });
        let winners = threads
            .into_iter()
            .filter_map(|thread| thread.join().unwrap())
            .count();
        assert_eq!(winners, 1);
        assert_eq!(circuit.until(), Some(at(10)));
        assert_eq!(circuit.snapshot(|| at(0)).trips, 1);
    });
}

#[test]
fn verdict_of_the_probes_has_one_winner() {
    explore(3, || {
        let (circuit, one) = probing(brittle().half_open_max_calls(2));
        let other = circuit.try_admit(|| at(10)).unwrap();
        let thread = {
            let circuit = Arc::clone(&circuit);
            thread::spawn(move || settle(&circuit, one, Outcome::Failure, 11))
        };
        let mine = settle(&circuit, other, Outcome::Success, 11);
        let theirs = thread.join().unwrap();
        let moved = mine.or(theirs).expect("one of the two decides");
        assert!(mine.is_none() || theirs.is_none());
        assert_eq!(circuit.state(), moved.to);
    });
}

#[test]
fn time_of_an_earlier_opening_is_never_believed() {
    explore(3, || {
        let (circuit, probe) = probing(brittle());
        // Open again at second 15, until 25; the first opening ended at 10.
        let thread = {
            let circuit = Arc::clone(&circuit);
            thread::spawn(move || settle(&circuit, probe, Outcome::Failure, 15))
        };
        let refusal = circuit
            .try_admit(|| at(15))
            .expect_err("the probe is out, or has failed");
        match refusal.why {
            Why::Open => assert!(refusal.until.is_none_or(|until| until == at(25))),
            _ => assert_eq!(refusal.why, Why::HalfOpen),
        }
        if let Some(until) = circuit.until() {
            assert_eq!(until, at(25));
        }
        assert!(thread.join().unwrap().is_some());
        assert_eq!(circuit.until(), Some(at(25)));
    });
}

#[test]
fn order_is_not_undone_by_a_trip() {
    explore(3, || {
        let circuit = build(brittle());
        let call = circuit.try_admit(|| at(0)).unwrap();
        let thread = {
            let circuit = Arc::clone(&circuit);
            thread::spawn(move || settle(&circuit, call, Outcome::Failure, 0))
        };
        assert!(circuit.force_open().is_some());
        thread.join().unwrap();
        assert_eq!(circuit.state(), State::ForcedOpen);
    });
}

#[test]
fn models_ask_before_and_after_what_another_thread_does() {
    // Of loom itself: without `sync/explored.rs` it never runs the asking thread last, and models of this kind prove nothing.
    let seen = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let answers = std::sync::Arc::clone(&seen);
    explore(3, move || {
        let circuit = tripped(brittle());
        let thread = {
            let circuit = Arc::clone(&circuit);
            thread::spawn(move || circuit.reset())
        };
        let is_admitted = circuit.try_admit(|| at(5)).is_ok();
        answers.lock().unwrap().push(is_admitted);
        thread.join().unwrap();
    });
    let seen = seen.lock().unwrap();
    assert!(seen.contains(&true) && seen.contains(&false));
}

#[test]
fn close_has_one_winner_also_with_more_successes_than_needed() {
    for ramp in [None, Some(10 * SECOND)] {
        explore(3, move || {
            let config = brittle().half_open_max_calls(2).recovery_ramp(ramp);
            let (circuit, one) = probing(config);
            let other = circuit.try_admit(|| at(10)).unwrap();
            let thread = {
                let circuit = Arc::clone(&circuit);
                thread::spawn(move || settle(&circuit, one, Outcome::Success, 11))
            };
            let mine = settle(&circuit, other, Outcome::Success, 11);
            let theirs = thread.join().unwrap();
            assert!(mine.is_some() != theirs.is_some());
            let share = circuit.snapshot(|| at(16)).admitted_share;
            assert_eq!(share, ramp.map(|_| 0.5), "it began at second eleven");
        });
    }
}

#[test]
fn reopening_has_one_winner() {
    explore(3, || {
        let (circuit, one) = probing(brittle().half_open_max_calls(2));
        let other = circuit.try_admit(|| at(10)).unwrap();
        let thread = {
            let circuit = Arc::clone(&circuit);
            thread::spawn(move || settle(&circuit, one, Outcome::Failure, 11))
        };
        let mine = settle(&circuit, other, Outcome::Failure, 11);
        let theirs = thread.join().unwrap();
        assert!(mine.is_some() != theirs.is_some());
        assert_eq!(circuit.snapshot(|| at(11)).trips, 2);
    });
}

#[test]
fn order_given_twice_has_one_winner() {
    explore(3, || {
        let circuit = build(brittle());
        let thread = {
            let circuit = Arc::clone(&circuit);
            thread::spawn(move || circuit.force_open())
        };
        let mine = circuit.force_open();
        let theirs = thread.join().unwrap();
        assert!(mine.is_some() != theirs.is_some());
        assert_eq!(circuit.generation(), 1);
    });
}

#[test]
fn reset_forgets_nothing_that_came_after_it() {
    explore(3, || {
        let circuit = tripped(brittle());
        let thread = {
            let circuit = Arc::clone(&circuit);
            thread::spawn(move || circuit.reset())
        };
        if let Ok(call) = circuit.try_admit(|| at(5)) {
            settle(&circuit, call, Outcome::Failure, 5).expect("the first failure trips");
        }
        thread.join().unwrap().expect("it was open");
        let is_open = circuit.state() == State::Open;
        assert_eq!(circuit.tripped_by().is_some(), is_open);
        assert_eq!(circuit.last_failure(), is_open.then_some(at(5)));
    });
}

#[test]
fn times_of_an_opening_belong_to_its_generation() {
    explore(3, || {
        let circuit = tripped(brittle());
        let thread = {
            let circuit = Arc::clone(&circuit);
            thread::spawn(move || {
                let probe = circuit.try_admit(|| at(10)).expect("its time is over");
                settle(&circuit, probe, Outcome::Failure, 15);
            })
        };
        let seen = circuit.snapshot(|| at(15));
        let times = (seen.opened_at, seen.until);
        match (seen.state, seen.trips) {
            (State::Open, 1) => assert_eq!(times, (Some(at(0)), Some(at(10)))),
            // Opened, or about to be: then nobody knows the times yet.
            (State::Open, 2) if seen.until.is_some() => {
                assert_eq!(times, (Some(at(15)), Some(at(25))));
            }
            _ => assert_eq!(times, (None, None)),
        }
        thread.join().unwrap();
    });
}
