//! The half-open state: leases that are taken, returned, and lost.

use super::*;

#[test]
fn probes_never_exceed_the_limit_and_one_of_them_enters() {
    for limit in [1, 2] {
        explore(2, move || {
            let circuit = tripped(brittle().half_open_max_calls(limit));
            let threads: Vec<_> = (0..2)
                .map(|_| {
                    let circuit = Arc::clone(&circuit);
                    thread::spawn(move || circuit.try_admit(|| at(10)))
                })
                .collect();
            let mut probes = vec![circuit.try_admit(|| at(10))];
            probes.extend(threads.into_iter().map(|thread| thread.join().unwrap()));
            for refusal in probes.iter().filter_map(|probe| probe.as_ref().err()) {
                assert_eq!(refusal.why, Why::HalfOpen);
            }
            let probes: Vec<_> = probes.into_iter().flatten().collect();
            assert_eq!(probes.len(), limit as usize);
            assert_eq!(
                probes
                    .iter()
                    .filter(|probe| probe.transition().is_some())
                    .count(),
                1
            );
            assert!(
                probes
                    .iter()
                    .all(|probe| probe.generation() == circuit.generation())
            );
        });
    }
}

#[test]
fn dropped_probe_returns_its_slot_once() {
    explore(3, || {
        let (circuit, probe) = probing(brittle());
        let thread = {
            let circuit = Arc::clone(&circuit);
            thread::spawn(move || settle(&circuit, probe, Outcome::Abandoned, 11))
        };
        let early = circuit.try_admit(|| at(11));
        assert!(thread.join().unwrap().is_none());
        let late = circuit.try_admit(|| at(11));
        assert!(early.is_ok() != late.is_ok(), "one slot, one probe");
    });
}

#[test]
fn lease_is_reissued_or_settled_but_not_both() {
    explore(3, || {
        let (circuit, probe) = probing(brittle().probe_lease(5 * SECOND));
        let thread = {
            let circuit = Arc::clone(&circuit);
            thread::spawn(move || settle(&circuit, probe, Outcome::Success, 20))
        };
        // Its lease is over, so its slot is taken, unless it reports first.
        let admitted = circuit.try_admit(|| at(20));
        let closed = thread.join().unwrap();
        match (admitted, closed) {
            (Ok(call), Some(_)) => assert!(!call.is_probe(), "admitted once it was closed"),
            (Ok(call), None) => assert!(call.is_probe()),
            (Err(refusal), Some(_)) => assert_eq!(refusal.why, Why::HalfOpen),
            (Err(_), None) => panic!("neither settled nor reissued"),
        }
    });
}

#[test]
fn reservation_that_slept_through_a_transition_takes_no_newer_slot() {
    explore(3, || {
        let (circuit, probe) = probing(brittle().half_open_max_calls(2).success_threshold(2));
        let thread = {
            let circuit = Arc::clone(&circuit);
            thread::spawn(move || circuit.try_admit(|| at(40)))
        };
        settle(&circuit, probe, Outcome::Failure, 11).expect("any failure reopens");
        let mut probes = vec![circuit.try_admit(|| at(40))];
        probes.push(thread.join().unwrap());
        probes.extend([(); 2].map(|()| circuit.try_admit(|| at(40))));
        let newest = circuit.generation();
        let out = probes
            .iter()
            .flatten()
            .filter(|probe| probe.generation() == newest);
        assert_eq!(
            out.count(),
            2,
            "as many probes as slots, none of them robbed"
        );
    });
}

#[test]
fn result_of_an_older_trial_takes_nothing_from_a_newer_one() {
    explore(3, || {
        let (circuit, one) = probing(brittle().half_open_max_calls(2).success_threshold(2));
        let other = circuit.try_admit(|| at(10)).unwrap();
        let thread = {
            let circuit = Arc::clone(&circuit);
            thread::spawn(move || settle(&circuit, one, Outcome::Success, 11))
        };
        if settle(&circuit, other, Outcome::Failure, 11).is_none() {
            // Both are counted, and the other thread is about to reopen.
            assert!(thread.join().unwrap().is_some());
            return;
        }
        let probes = [(); 2].map(|()| circuit.try_admit(|| at(40)).expect("two slots"));
        let moved = probes.map(|probe| settle(&circuit, probe, Outcome::Success, 41));
        thread.join().unwrap();
        assert_eq!(moved[0], None);
        assert_eq!(moved[1].map(|moved| moved.to), Some(State::Closed));
    });
}

#[test]
fn exactly_as_many_slots_return_as_the_verdict_still_needs() {
    explore(3, || {
        let (circuit, one) = probing(brittle().half_open_max_calls(2).success_threshold(3));
        let other = circuit.try_admit(|| at(10)).unwrap();
        let thread = {
            let circuit = Arc::clone(&circuit);
            thread::spawn(move || settle(&circuit, one, Outcome::Success, 11))
        };
        assert!(settle(&circuit, other, Outcome::Success, 11).is_none());
        assert!(thread.join().unwrap().is_none());
        let last = circuit.try_admit(|| at(11)).expect("one more is needed");
        assert!(circuit.try_admit(|| at(11)).is_err(), "and no other");
        assert!(settle(&circuit, last, Outcome::Success, 11).is_some());
    });
}

#[test]
fn entrance_that_slept_through_a_trial_takes_no_newer_slot() {
    explore(3, || {
        let circuit = tripped(brittle());
        let thread = {
            let circuit = Arc::clone(&circuit);
            // It finds the circuit open for the first time, or the trial of that time, or the second one.
            thread::spawn(move || circuit.try_admit(|| at(35)))
        };
        let first = circuit.try_admit(|| at(10));
        let reopened = first.map(|probe| settle(&circuit, probe, Outcome::Failure, 11));
        if let Ok(Some(_)) = reopened
            && let Ok(probe) = circuit.try_admit(|| at(35))
        {
            let closed = settle(&circuit, probe, Outcome::Success, 36);
            assert_eq!(closed.map(|moved| moved.to), Some(State::Closed));
        }
        let _theirs = thread.join().unwrap();
    });
}

#[test]
fn slot_spent_while_another_thread_enters_stays_spent() {
    explore(3, || {
        let circuit = tripped(brittle().half_open_max_calls(2).success_threshold(2));
        let thread = {
            let circuit = Arc::clone(&circuit);
            thread::spawn(move || circuit.try_admit(|| at(10)).is_ok())
        };
        let probe = circuit.try_admit(|| at(10)).expect("one of two slots");
        settle(&circuit, probe, Outcome::Success, 11);
        let mine = [(); 2].map(|()| circuit.try_admit(|| at(11)).is_ok());
        let theirs = thread.join().unwrap();
        let out = mine.iter().filter(|admitted| **admitted).count();
        assert_eq!(out + usize::from(theirs), 1, "two probes, two results");
    });
}
