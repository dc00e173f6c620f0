//! The circuit under every interleaving of its atomics, as far as loom explores them.
//!
//! Run with `RUSTFLAGS="--cfg seaworthy_loom" cargo test -p seaworthy-core --test loom_circuit --release`.
#![cfg(seaworthy_loom)]

use core::time::Duration;

use loom::sync::Arc;
use loom::thread;
use seaworthy_core::circuit::{
    Admission, Circuit, CircuitConfig, Settlement, State, Transition, Why,
};
use seaworthy_core::{Moment, Outcome};

const SECOND: Duration = Duration::from_secs(1);

fn explore(preemptions: usize, model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(model);
}

fn at(seconds: u32) -> Moment {
    Moment::ORIGIN + seconds * SECOND
}

/// Opens for ten seconds at the first failure, without jitter.
fn brittle() -> CircuitConfig {
    CircuitConfig::new()
        .failure_rate(None)
        .consecutive_failures(1)
        .recovery_timeout(10 * SECOND)
        .recovery_factor(1.0)
        .jitter(0.0)
        .half_open_max_calls(1)
        .success_threshold(1)
}

fn build(config: CircuitConfig) -> Arc<Circuit> {
    Arc::new(Circuit::try_new(config).expect("the configuration is valid"))
}

fn settle(circuit: &Circuit, call: Admission, outcome: Outcome, now: u32) -> Option<Transition> {
    circuit.settle(call, Settlement::new(outcome), || at(now), || 0)
}

/// A circuit that tripped at second zero and may probe from second ten on.
fn tripped(config: CircuitConfig) -> Arc<Circuit> {
    let circuit = build(config);
    let call = circuit
        .try_admit(|| at(0))
        .expect("a new circuit is closed");
    settle(&circuit, call, Outcome::Failure, 0).expect("the first failure trips");
    circuit
}

/// One that is half-open since second ten, and its first probe.
fn probing(config: CircuitConfig) -> (Arc<Circuit>, Admission) {
    let circuit = tripped(config);
    let probe = circuit.try_admit(|| at(10)).expect("its time is over");
    (circuit, probe)
}

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
fn no_outcome_is_lost_or_counted_twice() {
    for (size, outcomes) in [
        (3, [Outcome::Failure, Outcome::Failure, Outcome::Success]),
        (2, [Outcome::Failure, Outcome::Success, Outcome::Failure]),
        (1, [Outcome::Success, Outcome::Failure, Outcome::Success]),
    ] {
        explore(2, move || {
            let circuit = build(CircuitConfig::new().window_calls(size));
            // Counts all the same, and cannot trip.
            circuit.force_closed();
            let calls = outcomes.map(|outcome| (circuit.try_admit(|| at(0)).unwrap(), outcome));
            let [first, second, third] = calls;
            let threads = [first, second].map(|(call, outcome)| {
                let circuit = Arc::clone(&circuit);
                thread::spawn(move || settle(&circuit, call, outcome, 0))
            });
            settle(&circuit, third.0, third.1, 0);
            threads
                .into_iter()
                .for_each(|thread| assert!(thread.join().unwrap().is_none()));
            circuit.audit();
            let counts = circuit.snapshot(|| at(0)).counts;
            assert_eq!(counts.calls, u64::from(size));
            if size == 3 {
                assert_eq!(counts.failures, 2);
            }
        });
    }
}

#[test]
fn outcome_of_an_older_generation_is_never_counted_in_a_newer_one() {
    explore(3, || {
        let config = CircuitConfig::new()
            .window_calls(2)
            .leaky_count(5)
            .consecutive_failures(5);
        let circuit = build(config.minimum_calls(2));
        let call = circuit.try_admit(|| at(0)).unwrap();
        let thread = {
            let circuit = Arc::clone(&circuit);
            thread::spawn(move || settle(&circuit, call, Outcome::Failure, 0))
        };
        circuit.reset();
        let newer = circuit.try_admit(|| at(0)).unwrap();
        settle(&circuit, newer, Outcome::Failure, 0);
        thread.join().unwrap();
        circuit.audit();
        let snapshot = circuit.snapshot(|| at(0));
        assert_eq!((snapshot.counts.calls, snapshot.counts.failures), (1, 1));
        assert_eq!(snapshot.leaky_count.map(|level| level.count), Some(1));
        assert_eq!(
            snapshot.consecutive_failures.map(|level| level.count),
            Some(1)
        );
    });
}

#[test]
fn leaky_count_loses_no_step() {
    explore(3, || {
        let circuit = build(brittle().consecutive_failures(None).leaky_count(9));
        let [base, up, down] = [(); 3].map(|()| circuit.try_admit(|| at(0)).unwrap());
        settle(&circuit, base, Outcome::Failure, 0);
        let thread = {
            let circuit = Arc::clone(&circuit);
            thread::spawn(move || settle(&circuit, up, Outcome::Failure, 0))
        };
        settle(&circuit, down, Outcome::Success, 0);
        thread.join().unwrap();
        let level = circuit
            .snapshot(|| at(0))
            .leaky_count
            .expect("the rule is on");
        assert_eq!(level.count, 1);
    });
}

#[test]
fn time_window_counts_each_outcome_once() {
    explore(2, || {
        let circuit = build(CircuitConfig::new().window_time(2 * SECOND, 2));
        circuit.force_closed();
        let calls = [(); 2].map(|()| circuit.try_admit(|| at(0)).unwrap());
        let [one, other] = calls;
        // Two laps: the first call is of second one, or booked into second two behind the other.
        let thread = {
            let circuit = Arc::clone(&circuit);
            thread::spawn(move || settle(&circuit, one, Outcome::Failure, 1))
        };
        settle(&circuit, other, Outcome::Failure, 2);
        thread.join().unwrap();
        let counts = circuit.snapshot(|| at(2)).counts;
        assert_eq!((counts.calls, counts.failures), (2, 2));
        assert_eq!(circuit.snapshot(|| at(4)).counts.calls, 0);
    });
}

#[test]
fn bucket_of_a_later_lap_is_never_evicted() {
    explore(3, || {
        let circuit = build(CircuitConfig::new().window_time(2 * SECOND, 2));
        circuit.force_closed();
        let [one, other] = [(); 2].map(|()| circuit.try_admit(|| at(0)).unwrap());
        // Seconds one and three share a bucket of this window.
        let thread = {
            let circuit = Arc::clone(&circuit);
            thread::spawn(move || settle(&circuit, one, Outcome::Failure, 1))
        };
        settle(&circuit, other, Outcome::Failure, 3);
        thread.join().unwrap();
        // The earlier call is in the bucket as well only if it came late.
        let counts = circuit.snapshot(|| at(3)).counts;
        assert!((1..=2).contains(&counts.calls), "{counts:?}");
        assert!((1..=counts.calls).contains(&counts.failures), "{counts:?}");
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
