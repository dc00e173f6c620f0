//! Every interleaving of a few threads around `Acceptance`: no refusal is lost, neither as a count nor as a sign of trouble.
#![cfg(seaworthy_loom)]

use std::time::Duration;

use loom::sync::Arc;
use loom::thread;
use seaworthy_core::acceptance::{Acceptance, AcceptanceConfig, Counts};
use seaworthy_core::{Criticality, Moment};

const CLASS: Criticality = Criticality::Critical;

fn at(seconds: u64) -> Moment {
    Moment::from_nanos(seconds * 1_000_000_000)
}

/// With two buckets of six seconds.
fn build() -> Arc<Acceptance> {
    let config = AcceptanceConfig::new().window(Duration::from_secs(12));
    Arc::new(Acceptance::try_new(config).expect("possible options"))
}

fn counts(acceptance: &Acceptance, now: Moment) -> Counts {
    acceptance.standings(now)[CLASS.index()].counts
}

fn explore(preemptions: usize, model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(model);
}

#[test]
fn refusal_is_not_hidden_by_whoever_finds_that_an_older_one_is_forgotten() {
    explore(3, || {
        let acceptance = build();
        acceptance.on_refused(CLASS, at(1));
        let refused = {
            let acceptance = Arc::clone(&acceptance);
            thread::spawn(move || acceptance.on_refused(CLASS, at(20)))
        };
        // The older refusal is out of the window, the newer one may come at any step of this.
        let _ = acceptance.try_admit(CLASS, || at(20), || u64::MAX);
        refused.join().unwrap();
        assert_eq!(counts(&acceptance, at(20)).refused(), 1);
        assert!(acceptance.is_troubled());
    });
}

#[test]
fn two_who_find_the_trouble_over_hide_no_refusal_that_comes_in_between() {
    explore(2, || {
        let acceptance = build();
        acceptance.on_refused(CLASS, at(1));
        let looks = {
            let acceptance = Arc::clone(&acceptance);
            thread::spawn(move || {
                let _ = acceptance.try_admit(CLASS, || at(20), || u64::MAX);
            })
        };
        let _ = acceptance.try_admit(CLASS, || at(20), || u64::MAX);
        acceptance.on_refused(CLASS, at(20));
        looks.join().unwrap();
        assert!(acceptance.is_troubled());
    });
}

#[test]
fn no_answer_is_lost_at_the_border_of_two_buckets() {
    explore(2, || {
        let acceptance = build();
        let threads = [at(5), at(6)].map(|now| {
            let acceptance = Arc::clone(&acceptance);
            thread::spawn(move || {
                acceptance.on_accepted(CLASS, now);
                acceptance.on_refused(CLASS, now);
            })
        });
        threads
            .into_iter()
            .for_each(|thread| thread.join().unwrap());
        let counts = counts(&acceptance, at(6));
        assert_eq!((counts.accepts, counts.refused()), (2, 2));
    });
}
