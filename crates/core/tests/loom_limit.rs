//! The interleavings of calls that end while somebody ends their window: each counts once, in one window or the next.
#![cfg(seaworthy_loom)]

use loom::sync::{Arc, Mutex};
use loom::thread;
use seaworthy_core::Moment;
use seaworthy_core::limit::{Limit, LimitConfig, Samples, Terms, Window};

/// Loads are explored as well as writes, and a sample has many: three preemptions reach every race of two steps.
fn explore(model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(model);
}

fn at(nanos: u64) -> Moment {
    Moment::from_nanos(nanos)
}

fn samples() -> Arc<Samples> {
    Arc::new(Samples::new(&LimitConfig {
        min_samples: 2,
        ..LimitConfig::default()
    }))
}

/// What windows hold together.
fn sum(windows: &[Window]) -> (u32, u32, u128) {
    windows.iter().fold((0, 0, 0), |(calls, drops, took), w| {
        let all = w.mean.as_nanos() * u128::from(w.calls);
        (calls + w.calls, drops + w.drops, took + all)
    })
}

#[test]
fn every_call_counts_in_exactly_one_window() {
    explore(|| {
        let samples = samples();
        let caller = {
            let samples = Arc::clone(&samples);
            thread::spawn(move || {
                samples.on_success(at(0), at(1_024), 1);
                samples.on_drop(at(0), at(1), 1);
            })
        };
        samples.on_success(at(0), at(2_048), 1);
        let first = samples.take();
        caller.join().expect("no panic");
        let second = samples.take();
        assert_eq!(sum(&[first, second]), (2, 1, 3_072));
    });
}

#[test]
fn most_in_flight_of_the_last_window_is_not_lost() {
    explore(|| {
        let samples = samples();
        let caller = {
            let samples = Arc::clone(&samples);
            thread::spawn(move || {
                samples.on_success(at(0), at(1_024), 5);
            })
        };
        samples.on_success(at(0), at(1_024), 3);
        caller.join().expect("no panic");
        assert_eq!(samples.take().in_flight, 5);
    });
}

#[test]
fn window_is_ended_by_one_of_those_who_see_its_end() {
    explore(|| {
        let samples = samples();
        let terms = Terms {
            length: std::time::Duration::from_nanos(10),
            calls: 2,
            took: std::time::Duration::ZERO,
            longest: std::time::Duration::MAX,
            only_new: false,
        };
        samples.open(at(1_000), terms);
        let limit = Arc::new(Mutex::new(
            Limit::try_new(LimitConfig {
                min_samples: 2,
                ..LimitConfig::default()
            })
            .expect("valid"),
        ));
        let end_call = {
            let (samples, limit) = (Arc::clone(&samples), Arc::clone(&limit));
            move || {
                let now = at(5_000);
                if samples.on_success(at(900), now, 20) {
                    let mut limit = limit.lock().expect("not poisoned");
                    let _ = limit.close(&samples, now, || 0);
                }
            }
        };
        let caller = thread::spawn(end_call.clone());
        end_call();
        caller.join().expect("no panic");
        let limit = limit.lock().expect("not poisoned");
        assert_eq!(limit.as_f64(), 20.8);
        assert!(limit.baseline().is_some());
    });
}
