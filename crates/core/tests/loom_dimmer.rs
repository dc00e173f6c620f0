//! The interleavings of calls that end while somebody ends their period, or books their slot: each counts once.
#![cfg(seaworthy_loom)]

use std::time::Duration;

use loom::sync::Arc;
use loom::thread;
use seaworthy_core::Moment;
use seaworthy_core::dimmer::{Dimmer, DimmerConfig, Latencies};
use seaworthy_core::error_budget::Tally;

const SECOND: Duration = Duration::from_secs(1);

fn explore(model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(model);
}

fn at(seconds: u64) -> Moment {
    Moment::ORIGIN + Duration::from_secs(seconds)
}

#[test]
fn every_call_counts_in_exactly_one_period() {
    explore(|| {
        let latencies = Arc::new(Latencies::new());
        let config = DimmerConfig::new(SECOND).min_samples(1);
        let mut dimmer = Dimmer::try_new(config).expect("valid");
        assert_eq!(dimmer.close(&latencies, at(1)), None);
        let caller = {
            let latencies = Arc::clone(&latencies);
            thread::spawn(move || {
                let _ = latencies.record(Duration::from_nanos(1), at(2));
                let _ = latencies.record(SECOND, at(2));
            })
        };
        let _ = latencies.record(SECOND, at(2));
        let first = dimmer.close(&latencies, at(2)).expect("one call at least");
        caller.join().expect("no panic");
        let second = dimmer.close(&latencies, at(3));
        let second = second.map_or(0, |step| step.samples);
        assert_eq!(first.samples + second, 3);
    });
}

#[test]
fn every_call_is_booked_in_exactly_one_slot() {
    explore(|| {
        let tally = Arc::new(Tally::with_slot(SECOND));
        let caller = {
            let tally = Arc::clone(&tally);
            thread::spawn(move || {
                tally.count(true);
                tally.count(false);
            })
        };
        tally.count(true);
        let (first, _) = tally.take(at(1));
        caller.join().expect("no panic");
        let (second, _) = tally.take(at(2));
        assert_eq!((first.good + second.good, first.bad + second.bad), (2, 1));
    });
}
