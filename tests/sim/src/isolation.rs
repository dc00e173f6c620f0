//! A slow dependency: a service with a limited number of places calls two dependencies, one of which becomes slow.
//!
//! Without a bulkhead the calls that wait for the slow one take all places, and calls to the other wait with them.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use seaworthy::prelude::*;
use tokio::sync::Semaphore;
use tower::util::BoxCloneSyncService;
use tower::{Layer as _, ServiceExt as _, service_fn};

use crate::invariants::Limit;
use crate::ledger::{Ledger, quantile};
use crate::load::poisson;
use crate::report::Report;
use crate::world::{Chance, Seconds, World, run};
use chart::Chart;

/// Calls that the service handles at a time.
const PLACES: usize = 100;
/// Calls that a bulkhead lets through at a time.
const SLOTS: usize = 20;
/// Calls per second, to each dependency.
const RATE: f64 = 200.0;
const SLOW_FROM: Seconds = 20.0;
const SLOW_TO: Seconds = 40.0;
const END: Seconds = 60.0;

/// How long calls to the healthy dependency took while the other was slow, and how many calls to the slow one ended well.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Seen {
    /// The 99th percentile before.
    pub before: Seconds,
    /// The 99th percentile meanwhile.
    pub meanwhile: Seconds,
    curve: Vec<(f64, f64)>,
}

/// One run, with or without a bulkhead in front of each dependency.
#[must_use]
pub fn simulate(seed: u64, bulkhead: bool) -> Seen {
    run(seed, |world, chance| isolate(world, chance, bulkhead))
}

type Dependency = BoxCloneSyncService<(), (), BoxError>;

async fn isolate(world: World, mut chance: Chance, bulkhead: bool) -> Seen {
    let places = Arc::new(Semaphore::new(PLACES));
    let mut loads = tokio::task::JoinSet::new();
    let ledgers = [Ledger::new(world), Ledger::new(world)];
    for (slow, ledger) in [false, true].into_iter().zip(&ledgers) {
        let dependency = dependency(ledger, chance.fork(), slow, bulkhead);
        let places = places.clone();
        let call = move || {
            let (places, dependency) = (places.clone(), dependency.clone());
            async move {
                let _place = places.acquire_owned().await;
                dependency.oneshot(()).await.is_ok()
            }
        };
        loads.spawn(poisson(
            world,
            ledger.clone(),
            chance.fork(),
            RATE,
            END,
            call,
        ));
    }
    while let Some(load) = loads.join_next().await {
        load.expect("a load does not panic");
    }
    for ledger in &ledgers {
        let _ = ledger.close();
    }
    let [healthy, _] = ledgers;
    let p99 = |from, to| quantile(&healthy.latencies(from, to), 0.99);
    Seen {
        before: p99(5.0, SLOW_FROM),
        meanwhile: p99(SLOW_FROM + 2.0, SLOW_TO),
        curve: (0..60)
            .map(|second| {
                (
                    f64::from(second),
                    1000.0 * p99(f64::from(second), f64::from(second) + 1.0),
                )
            })
            .collect(),
    }
}

fn dependency(ledger: &Ledger, chance: Chance, slow: bool, bulkhead: bool) -> Dependency {
    let world = ledger.world();
    let chance = Arc::new(Mutex::new(chance));
    let limit = Limit::new(ledger, if bulkhead { SLOTS } else { PLACES });
    let upstream = service_fn(move |()| {
        let inside = limit.enter();
        let mut took = chance.lock().expect("nothing panics under it").gap(50.0);
        if slow && (SLOW_FROM..SLOW_TO).contains(&world.now()) {
            took += 5.0;
        }
        async move {
            let _inside = inside;
            tokio::time::sleep(Duration::from_secs_f64(took)).await;
            Ok::<_, BoxError>(())
        }
    });
    if bulkhead {
        let layer = BulkheadLayer::plain("dependency")
            .max_concurrent(SLOTS)
            .build();
        BoxCloneSyncService::new(layer.expect("a valid bulkhead").layer(upstream))
    } else {
        BoxCloneSyncService::new(upstream)
    }
}

/// Both runs, and what must hold of them.
///
/// # Panics
/// If it does not.
#[must_use]
pub fn experiment(seed: u64) -> Report {
    let (without, with) = (simulate(seed, false), simulate(seed, true));
    assert!(
        without.meanwhile > 5.0 * without.before,
        "the slow dependency drags the other down: {without:?}"
    );
    assert!(
        with.meanwhile < 1.2 * with.before,
        "the bulkhead keeps it apart: {with:?}"
    );
    let mut report = Report::new(
        "isolation",
        &[
            "p99 of calls to the healthy dependency",
            "before",
            "meanwhile",
        ],
    );
    let mut chart = Chart::new(
        "isolation",
        "Calls to the healthy dependency; the other is slow from 20 s to 40 s",
        "s",
        "p99, ms",
    );
    for (name, seen) in [("without bulkheads", without), ("with bulkheads", with)] {
        report.row([
            name.to_owned(),
            format!("{:.0} ms", 1000.0 * seen.before),
            format!("{:.0} ms", 1000.0 * seen.meanwhile),
        ]);
        chart.curve(name, seen.curve);
    }
    report.chart(chart);
    report
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bulkhead_keeps_the_latency_of_the_healthy_dependency() {
        for chart in experiment(1).charts() {
            chart.write().unwrap();
        }
    }
}
