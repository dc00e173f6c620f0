//! Every interleaving of calls that end while somebody ends their window: each counts once, in one window or the next.
#![cfg(seaworthy_loom)]

use loom::sync::{Arc, Mutex};
use loom::thread;
use seaworthy_core::Moment;
use seaworthy_core::limit::{Limit, LimitConfig, Samples, Window};

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
    loom::model(|| {
        let samples = samples();
        let callers: Vec<_> = [1_024, 2_048]
            .map(|took| {
                let samples = Arc::clone(&samples);
                thread::spawn(move || {
                    samples.on_success(at(0), at(took), 1);
                })
            })
            .into_iter()
            .collect();
        let first = samples.take();
        samples.on_drop(at(0), at(1), 1);
        for caller in callers {
            caller.join().expect("no panic");
        }
        let second = samples.take();
        assert_eq!(sum(&[first, second]), (2, 1, 3_072));
    });
}

#[test]
fn most_in_flight_of_the_last_window_is_not_lost() {
    loom::model(|| {
        let samples = samples();
        let callers: Vec<_> = [3, 5]
            .map(|in_flight| {
                let samples = Arc::clone(&samples);
                thread::spawn(move || {
                    samples.on_success(at(0), at(1_024), in_flight);
                })
            })
            .into_iter()
            .collect();
        for caller in callers {
            caller.join().expect("no panic");
        }
        assert_eq!(samples.take().in_flight, 5);
    });
}

#[test]
fn window_is_ended_by_one_of_those_who_see_its_end() {
    loom::model(|| {
        let samples = samples();
        samples.open(at(1_000), std::time::Duration::from_nanos(10), false);
        let limit = Arc::new(Mutex::new(
            Limit::try_new(LimitConfig {
                min_samples: 2,
                ..LimitConfig::default()
            })
            .expect("valid"),
        ));
        let callers: Vec<_> = (0..2)
            .map(|_| {
                let (samples, limit) = (Arc::clone(&samples), Arc::clone(&limit));
                thread::spawn(move || {
                    let now = at(5_000);
                    samples.on_success(at(900), now, 20)
                        && limit
                            .lock()
                            .expect("not poisoned")
                            .close(&samples, now, || 0)
                            .is_some()
                })
            })
            .collect();
        let ended = callers.into_iter().map(|c| c.join().expect("no panic"));
        // The limit, 20, becomes 20.8: known, but not yet another number.
        assert_eq!(ended.filter(|changed| *changed).count(), 0);
        let limit = limit.lock().expect("not poisoned");
        assert_eq!(limit.as_f64(), 20.8);
        assert!(limit.baseline().is_some());
    });
}
