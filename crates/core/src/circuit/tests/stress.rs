//! Real threads on one circuit, each with a schedule drawn from a seed: nothing is lost, whatever the machine makes of it.

extern crate std;

use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::sync::Barrier;
use std::thread;

use super::*;

const THREADS: u64 = 4;

/// Numbers from a seed (splitmix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

/// Runs `body` in all threads at once, with a seed for each, and returns what they say.
fn in_threads<T: Send>(seed: u64, body: impl Fn(&mut Random) -> T + Sync) -> Vec<T> {
    let start = Barrier::new(THREADS as usize);
    let (start, body) = (&start, &body);
    thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|thread| {
                scope.spawn(move || {
                    let mut random = Random(seed * THREADS + thread);
                    start.wait();
                    body(&mut random)
                })
            })
            .collect();
        let ended = threads.into_iter().map(|thread| thread.join().unwrap());
        ended.collect()
    })
}

fn outcome(random: &mut Random) -> Outcome {
    match random.below(8) {
        0..3 => Outcome::Failure,
        3..6 => Outcome::Success,
        6 => Outcome::Ignored,
        _ => Outcome::Abandoned,
    }
}

/// The probes that are out, by their generation; a thread holds few calls, and so none for as long as it takes to come round.
struct Out([AtomicUsize; 4096]);

impl Out {
    fn of(&self, call: &Admission) -> &AtomicUsize {
        &self.0[(call.generation() % 4096) as usize]
    }
}

#[test]
fn each_transition_is_reported_once_and_no_probe_is_one_too_many() {
    const LIMIT: u32 = 2;
    for (seed, ramp) in (0..8).zip([None, Some(3 * SECOND)].into_iter().cycle()) {
        let config = brittle().half_open_max_calls(LIMIT).success_threshold(3);
        let test = config.probe_lease(Duration::MAX).recovery_ramp(ramp);
        let circuit = Circuit::try_new(test).unwrap();
        let clock = AtomicU64::new(1 << 40);
        let now = || Moment::from_nanos(clock.load(SeqCst));
        let out = Out([const { AtomicUsize::new(0) }; 4096]);
        let mut moved: Vec<Transition> = in_threads(seed, |random| {
            let mut moved = Vec::new();
            let mut calls: Vec<Admission> = Vec::new();
            let end = |call: Admission, outcome| {
                if call.is_probe() {
                    out.of(&call).fetch_sub(1, SeqCst);
                }
                circuit.settle(call, Settlement::new(outcome), now, || u64::MAX / 2)
            };
            for _ in 0..2_000 {
                match random.below(16) {
                    0..8 if calls.len() < 3 => {
                        let Ok(call) = circuit.try_admit(now) else {
                            clock.fetch_add(1_000_000_000, SeqCst);
                            continue;
                        };
                        moved.extend(call.transition());
                        if call.is_probe() {
                            let others = out.of(&call).fetch_add(1, SeqCst);
                            assert!(others < LIMIT as usize, "{others} others are out");
                        }
                        calls.push(call);
                    }
                    0..15 => {
                        let call = calls.pop();
                        moved.extend(call.and_then(|call| end(call, outcome(random))));
                    }
                    _ => moved.extend(match random.below(40) {
                        0 => circuit.force_open(),
                        1 => circuit.force_closed(),
                        2..8 => circuit.reset(),
                        _ => None,
                    }),
                }
            }
            for call in calls {
                moved.extend(end(call, Outcome::Abandoned));
            }
            moved
        })
        .concat();
        // The end of a recovery stays in its generation, and a reset of a closed circuit begins one silently.
        moved.sort_by_key(|moved| (moved.generation, moved.from == State::Recovering));
        for (before, after) in moved.iter().zip(&moved[1..]) {
            let is_end = after.from == State::Recovering && after.to == State::Closed;
            assert!(
                before.generation < after.generation || is_end,
                "{before:?} {after:?}"
            );
            assert_eq!(before.to, after.from, "{before:?} {after:?}");
        }
        let last = moved.last().unwrap();
        assert_eq!(last.to, circuit.state());
        assert!(moved.len() > 20, "{} transitions", moved.len());
        let out = out.0.iter().map(|count| count.load(SeqCst));
        assert_eq!(out.sum::<usize>(), 0, "admitted are those settled");
    }
}

#[test]
fn each_outcome_is_counted_once() {
    const CALLS: u64 = 1_000;
    for seed in 0..8 {
        let config = CircuitConfig::new();
        let small = 1 + seed as u32;
        for (config, size) in [
            (config.window_calls(8192), None),
            (config.window_time(100 * SECOND, 10), None),
            (config.window_calls(small), Some(small)),
        ] {
            let circuit = Circuit::try_new(config).unwrap();
            // It counts all the same, and does not trip.
            circuit.force_closed();
            let clock = AtomicU64::new(0);
            let failed: u64 = in_threads(seed, |random| {
                let mut failed = 0;
                for _ in 0..CALLS {
                    let outcome = outcome(random);
                    failed += u64::from(outcome == Outcome::Failure);
                    let call = circuit.try_admit(|| unreachable!("it is forced")).unwrap();
                    let now = || Moment::from_nanos(clock.fetch_add(10_000_000, SeqCst));
                    circuit.settle(call, Settlement::new(outcome), now, || 0);
                }
                failed
            })
            .iter()
            .sum();
            circuit.audit();
            let counts = circuit.snapshot(|| Moment::ORIGIN).counts;
            match size {
                None => assert_eq!(counts.failures, failed),
                Some(size) => assert_eq!(counts.calls, u64::from(size)),
            }
        }
    }
}
