//! The closed state: what is counted, by how many threads at once.

use super::*;

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
fn outcome_of_an_older_generation_is_never_counted_in_a_newer_window_of_time() {
    explore(3, || {
        let circuit = build(CircuitConfig::new().window_time(2 * SECOND, 2));
        let call = circuit.try_admit(|| at(0)).unwrap();
        let thread = {
            let circuit = Arc::clone(&circuit);
            thread::spawn(move || settle(&circuit, call, Outcome::Failure, 0))
        };
        circuit.reset();
        let newer = circuit.try_admit(|| at(0)).unwrap();
        settle(&circuit, newer, Outcome::Failure, 0);
        thread.join().unwrap();
        let counts = circuit.snapshot(|| at(0)).counts;
        assert_eq!((counts.calls, counts.failures), (1, 1));
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
fn look_at_a_bucket_that_is_taken_over_never_shows_more_failures_than_calls() {
    explore(3, || {
        let circuit = build(CircuitConfig::new().window_time(2 * SECOND, 2));
        circuit.force_closed();
        let [one, other] = [(); 2].map(|()| circuit.try_admit(|| at(0)).unwrap());
        settle(&circuit, one, Outcome::Failure, 1);
        let thread = {
            let circuit = Arc::clone(&circuit);
            // Seconds one and three share a bucket of this window.
            thread::spawn(move || settle(&circuit, other, Outcome::Failure, 3))
        };
        let counts = circuit.snapshot(|| at(1)).counts;
        assert!(counts.failures <= counts.calls, "{counts:?}");
        thread.join().unwrap();
    });
}

/// Two failures that only together break a rule: whichever is counted last must see the other.
fn check_that_the_second_failure_trips(config: CircuitConfig, seconds: [u32; 2]) {
    explore(3, move || {
        let circuit = build(config);
        let [one, other] = [(); 2].map(|()| circuit.try_admit(|| at(0)).unwrap());
        let thread = {
            let circuit = Arc::clone(&circuit);
            thread::spawn(move || settle(&circuit, one, Outcome::Failure, seconds[0]))
        };
        let mine = settle(&circuit, other, Outcome::Failure, seconds[1]);
        let theirs = thread.join().unwrap();
        assert_eq!([mine, theirs].into_iter().flatten().count(), 1);
        assert_eq!(circuit.state(), State::Open);
    });
}

fn no_rule() -> CircuitConfig {
    CircuitConfig::new().failure_rate(None)
}

#[test]
fn second_failure_in_a_row_trips_whoever_counts_it() {
    check_that_the_second_failure_trips(no_rule().consecutive_failures(2), [0, 0]);
    check_that_the_second_failure_trips(no_rule().leaky_count(2), [0, 0]);
}

#[test]
fn second_failure_in_a_window_of_calls_trips_whoever_counts_it() {
    check_that_the_second_failure_trips(no_rule().window_calls(2).failure_count(2), [0, 0]);
    let rate = CircuitConfig::new().window_calls(4).minimum_calls(2);
    check_that_the_second_failure_trips(rate.failure_rate(1.0), [0, 0]);
}

#[test]
fn second_failure_in_a_window_of_time_trips_also_across_two_buckets() {
    let config = no_rule().window_time(2 * SECOND, 2).failure_count(2);
    check_that_the_second_failure_trips(config, [1, 1]);
    check_that_the_second_failure_trips(config, [1, 2]);
}
