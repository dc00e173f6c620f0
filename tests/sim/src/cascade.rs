//! A cascade: three tiers, of which the last hangs, and a page of the first that does not need it.
//!
//! Each tier has a limited number of places. Without limits on what waits for the tier behind, the last tier's hang fills the places of the middle, then those of the front.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use seaworthy::prelude::*;
use tower::limit::ConcurrencyLimit;
use tower::util::BoxCloneSyncService;
use tower::{Layer as _, Service, ServiceExt as _, service_fn};

use crate::invariants::{Limit, watch};
use crate::ledger::{Ledger, Second};
use crate::load::poisson;
use crate::report::Report;
use crate::world::{Chance, Seconds, World, run};
use chart::Chart;

const PLACES: usize = 100;
/// Calls that a bulkhead lets through to the tier behind at a time.
const SLOTS: usize = PLACES / 4;
/// Calls per second, of each kind.
const RATE: f64 = 100.0;
const HANGS_FROM: Seconds = 20.0;
const HANGS_TO: Seconds = 80.0;
const END: Seconds = 150.0;
/// How long somebody waits for a page.
const PATIENCE: Duration = Duration::from_secs(10);

/// Answers per second, during the fault and at the end.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Seen {
    /// Of the page that does not need the last tier, while that hangs.
    pub page: f64,
    /// Of the page that does, after the fault.
    pub after: f64,
    curve: Vec<(f64, f64)>,
}

type Tier = BoxCloneSyncService<bool, (), BoxError>;

/// What stands in front of each tier but the first.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(clippy::exhaustive_structs, reason = "the columns of the table")]
pub struct Layers {
    /// Circuit and bulkhead.
    pub isolation: bool,
    /// A timeout of one second.
    pub timeout: bool,
}

/// One run, with or without these layers.
#[must_use]
pub fn simulate(seed: u64, layers: Layers) -> Seen {
    run(seed, |world, chance| cascade(world, chance, layers))
}

async fn cascade(world: World, mut chance: Chance, layers: Layers) -> Seen {
    let ledgers = [Ledger::new(world), Ledger::new(world)];
    let ledger = &ledgers[0];
    let hangs = Arc::new(AtomicBool::new(false));
    let back = places(service_fn({
        let hangs = Arc::clone(&hangs);
        move |_: bool| {
            let took = if hangs.load(Ordering::Relaxed) { 60 } else { 0 };
            async move {
                tokio::time::sleep(Duration::from_secs(took)).await;
                Ok::<_, Infallible>(())
            }
        }
    }));
    let middle = places(tier(guard(ledger, back, layers)));
    let front = places(tier(guard(ledger, middle, layers)));

    let fault = tokio::spawn(async move {
        world.at(HANGS_FROM).await;
        hangs.store(true, Ordering::Relaxed);
        world.at(HANGS_TO).await;
        hangs.store(false, Ordering::Relaxed);
    });
    let mut loads = tokio::task::JoinSet::new();
    for (needs_back, ledger) in [false, true].into_iter().zip(&ledgers) {
        let front = front.clone();
        let call = move || {
            let call = front.clone().oneshot(needs_back);
            async move {
                tokio::time::timeout(PATIENCE, call)
                    .await
                    .is_ok_and(|page| page.is_ok())
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
    fault.await.expect("the fault does not panic");
    let mean = |seconds: &[Second]| {
        seconds.iter().map(|it| f64::from(it.good)).sum::<f64>() / seconds.len() as f64
    };
    for ledger in &ledgers {
        let _ = ledger.close();
    }
    let [page, needing] = ledgers.map(|ledger| ledger.seconds());
    Seen {
        page: mean(&page[30..80]),
        after: mean(&needing[140..150]),
        curve: page
            .iter()
            .take(150)
            .enumerate()
            .map(|(at, it)| (at as f64, f64::from(it.good)))
            .collect(),
    }
}

/// A tier: 5 ms of its own, and a call to the tier behind where the page needs it.
fn tier(
    behind: Tier,
) -> impl Service<bool, Response = (), Error = BoxError, Future: Send> + Clone + Send + Sync + 'static
{
    service_fn(move |needs_back: bool| {
        let behind = needs_back.then(|| behind.clone().oneshot(needs_back));
        async move {
            tokio::time::sleep(Duration::from_millis(5)).await;
            match behind {
                Some(call) => call.await,
                None => Ok(()),
            }
        }
    })
}

/// So many at a time; the others wait, and do not notice when their caller goes.
fn places<S>(service: S) -> Tier
where
    S: Service<bool, Response = (), Future: Send> + Clone + Send + Sync + 'static,
    S::Error: Into<BoxError> + Send + 'static,
{
    let limited = ConcurrencyLimit::new(service.map_err(Into::into), PLACES);
    BoxCloneSyncService::new(service_fn(move |request| {
        let served = tokio::spawn(limited.clone().oneshot(request));
        async move {
            match served.await {
                Ok(served) => served,
                Err(panicked) => Err(panicked.into()),
            }
        }
    }))
}

/// What stands in front of a tier.
fn guard(ledger: &Ledger, tier: Tier, layers: Layers) -> Tier {
    let Layers { isolation, timeout } = layers;
    let slots = Limit::new(ledger, SLOTS);
    let mut tier = tier;
    if timeout {
        let timeout = TimeoutLayer::plain("tier").limit(Duration::from_secs(1));
        tier = Tier::new(timeout.build().expect("a valid timeout").layer(tier));
    }
    if isolation {
        // Inside of the bulkhead, so that what is counted has a slot.
        let counted = tier.map_future(move |call| {
            let inside = slots.enter();
            async move {
                let _inside = inside;
                call.await
            }
        });
        let circuit = CircuitBreakerLayer::plain("tier").build();
        let circuit = circuit.expect("defaults");
        watch(ledger, &circuit.handle());
        let bulkhead = BulkheadLayer::plain("tier").max_concurrent(SLOTS).build();
        let bulkhead = bulkhead.expect("a valid bulkhead");
        tier = Tier::new(circuit.layer(bulkhead.layer(counted)));
    }
    tier
}

/// All runs, and what must hold of them.
///
/// # Panics
/// If it does not.
#[must_use]
pub fn experiment(seed: u64) -> Report {
    let mut report = Report::new(
        "cascade",
        &[
            "answers per second",
            "page without the tier, during the fault",
            "page with it, afterwards",
        ],
    );
    let mut chart = Chart::new(
        "cascade",
        "The page that does not need the tier that hangs from 20 s to 80 s",
        "s",
        "answers per second",
    );
    for (name, layers) in rows() {
        let seen = simulate(seed, layers);
        check(layers, &seen);
        report.row([
            name.to_owned(),
            format!("{:.0}", seen.page),
            format!("{:.0}", seen.after),
        ]);
        chart.curve(name, seen.curve);
    }
    report.chart(chart);
    report
}

/// The rows of the table.
fn rows() -> [(&'static str, Layers); 4] {
    let layers = |isolation, timeout| Layers { isolation, timeout };
    [
        ("without layers", layers(false, false)),
        ("timeout", layers(false, true)),
        ("circuit, bulkhead", layers(true, false)),
        ("circuit, bulkhead, timeout", layers(true, true)),
    ]
}

fn check(layers: Layers, seen: &Seen) {
    let Layers { isolation, timeout } = layers;
    if isolation {
        assert!(seen.page > 0.95 * RATE, "contained: {layers:?}, {seen:?}");
    }
    if !isolation && !timeout {
        assert!(seen.page < 0.2 * RATE, "it spreads: {seen:?}");
    }
    if isolation && timeout {
        assert!(seen.after > 0.95 * RATE, "and it comes back: {seen:?}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_contain_a_hang_that_otherwise_reaches_the_front() {
        for chart in experiment(1).charts() {
            chart.write().unwrap();
        }
    }
}
