//! Contention and jitter: N clients write one row with optimistic locking; who loses a race waits and tries again.
//!
//! The model is that of the AWS Architecture Blog, "Exponential Backoff and Jitter": each client reads the row's version, then writes if the version is still the same; a message takes |N(10, 2)| ms one way; backoff from 5 ms, at most 2 s.
//! There is no limit to what the row's server can take, which is why no backoff at all ends soonest here.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use seaworthy::core::{Backoff, Jitter};
use seaworthy::kit::Budget;
use seaworthy::prelude::*;
use tower::{Layer as _, ServiceExt as _, service_fn};

use crate::ledger::Ledger;
use crate::report::Report;
use crate::world::{Chance, Seconds, World, run};
use chart::Chart;

/// How many seconds of the simulation stand for a millisecond of the model: tokio's timers would round a message of 10 ms by half a millisecond on average.
const SCALE: f64 = 1.0;

/// The policies of the study.
pub const POLICIES: [&str; 5] = ["none", "exponential", "equal", "full", "decorrelated"];

/// What one policy came to, on average over the runs.
#[derive(Clone, Copy, Default, Debug)]
#[non_exhaustive]
pub struct Cost {
    /// Milliseconds until the last client had written.
    pub completion: f64,
    /// Writes, the refused ones included.
    pub writes: f64,
}

type Written = Pin<Box<dyn Future<Output = Result<(), BoxError>> + Send>>;

struct Row {
    version: AtomicU64,
    writes: AtomicU64,
}

fn backoff(policy: &str) -> Backoff {
    let (base, cap) = (millis(5.0), millis(2000.0));
    // The study counts the attempt that has failed: its first wait is of twice the base.
    let exponential = Backoff::exponential(2 * base, 2.0, cap).expect("a valid backoff");
    match policy {
        "none" => Backoff::constant(Duration::ZERO),
        "exponential" => exponential.jitter(Jitter::None),
        "equal" => exponential.jitter(Jitter::Equal),
        "full" => exponential.jitter(Jitter::Full),
        _ => Backoff::exponential(base, 2.0, cap)
            .expect("a valid backoff")
            .jitter(Jitter::Decorrelated),
    }
}

fn millis(millis: f64) -> Duration {
    Duration::from_secs_f64(millis * SCALE)
}

/// One run: `clients` with one policy.
#[must_use]
pub fn simulate(seed: u64, policy: &'static str, clients: usize) -> Cost {
    run(seed, |world, chance| {
        contend(world, chance, policy, clients)
    })
}

async fn contend(world: World, mut chance: Chance, policy: &'static str, clients: usize) -> Cost {
    let row = Arc::new(Row {
        version: AtomicU64::new(0),
        writes: AtomicU64::new(0),
    });
    let ledger = Ledger::new(world);
    let tasks: Vec<_> = (0..clients)
        .map(|_| {
            let row = Arc::clone(&row);
            let mut chance = chance.fork();
            let retry = RetryLayer::plain("row")
                .max_attempts(u32::MAX)
                .backoff(backoff(policy))
                .max_delay(millis(2000.0))
                .budget(None::<Budget>)
                .build()
                .expect("a valid retry");
            let client = retry.layer(service_fn(move |()| {
                let row = Arc::clone(&row);
                let delays = [(); 4].map(|()| message(&mut chance));
                async move { transact(&row, world, delays).await }
            }));
            let call = ledger.begin();
            // In a box of a type without lifetimes, or the compiler does not see that it may be spawned.
            let written: Written = Box::pin(client.oneshot(()));
            tokio::spawn(async move {
                let written = written.await;
                call.end(written.is_ok());
                written
            })
        })
        .collect();
    for task in tasks {
        let written = task.await.expect("a client does not panic");
        written.expect("a client goes on until it has written");
    }
    assert_eq!(ledger.close(), clients as u64);
    assert_eq!(
        row.version.load(Ordering::Relaxed),
        clients as u64,
        "each client wrote once"
    );
    #[expect(clippy::cast_precision_loss, reason = "some thousands")]
    Cost {
        completion: world.now() / SCALE,
        writes: row.writes.load(Ordering::Relaxed) as f64,
    }
}

fn message(chance: &mut Chance) -> Seconds {
    chance.normal(10.0, 2.0).abs() * SCALE
}

/// Reads the version, and writes if it is still the same.
async fn transact(row: &Row, world: World, delays: [Seconds; 4]) -> Result<(), BoxError> {
    let [request, answer, write, confirmation] = delays;
    let mut now = world.now();
    let mut after = async |delay: Seconds| {
        now += delay;
        world.at(now).await;
    };
    after(request).await;
    let version = row.version.load(Ordering::Relaxed);
    after(answer).await;
    after(write).await;
    row.writes.fetch_add(1, Ordering::Relaxed);
    let next = version + 1;
    let swap = row
        .version
        .compare_exchange(version, next, Ordering::Relaxed, Ordering::Relaxed);
    after(confirmation).await;
    swap.map(drop)
        .map_err(|_| "somebody else wrote first".into())
}

/// All policies for each number of clients, so many runs each.
///
/// # Panics
/// If a relation does not hold that the study found.
#[must_use]
pub fn experiment(seed: u64, clients: &[usize], runs: u32) -> Report {
    let mut report = Report::new(
        "contention",
        &[
            "clients",
            "none",
            "exponential",
            "equal",
            "full",
            "decorrelated",
        ],
    );
    let mut calls = Chart::new(
        "contention-writes",
        "Writes until all clients have written",
        "clients",
        "writes",
    );
    let mut times = Chart::new(
        "contention-time",
        "Time until all clients have written",
        "clients",
        "ms",
    );
    let mut curves = vec![(Vec::new(), Vec::new()); POLICIES.len()];
    for &count in clients {
        let costs = POLICIES.map(|policy| average(seed, policy, count, runs));
        check(count, costs);
        for (curve, cost) in curves.iter_mut().zip(costs) {
            #[expect(clippy::cast_precision_loss, reason = "some hundreds")]
            let x = count as f64;
            curve.0.push((x, cost.writes));
            curve.1.push((x, cost.completion));
        }
        let cells = costs.map(|cost| format!("{:.0} / {:.0}", cost.completion, cost.writes));
        report.row([count.to_string()].into_iter().chain(cells));
    }
    for (policy, (writes, completion)) in POLICIES.into_iter().zip(curves) {
        calls.curve(policy, writes);
        times.curve(policy, completion);
    }
    report.chart(calls);
    report.chart(times);
    report
}

fn average(seed: u64, policy: &'static str, clients: usize, runs: u32) -> Cost {
    let mut sum = Cost::default();
    for at in 0..runs {
        let cost = simulate(seed.wrapping_add(at.into()), policy, clients);
        sum.completion += cost.completion;
        sum.writes += cost.writes;
    }
    Cost {
        completion: sum.completion / f64::from(runs),
        writes: sum.writes / f64::from(runs),
    }
}

/// What the study found, and what must hold for our backoff too.
fn check(clients: usize, costs: [Cost; 5]) {
    if clients < 100 {
        return;
    }
    let [none, exponential, equal, full, decorrelated] = costs;
    assert!(
        full.writes < exponential.writes / 2.0,
        "jitter halves the writes"
    );
    assert!(
        exponential.completion > 10.0 * full.completion,
        "without jitter it takes for ever"
    );
    assert!(
        full.writes < decorrelated.writes && decorrelated.writes < exponential.writes,
        "decorrelated jitter stands between"
    );
    #[expect(clippy::cast_precision_loss, reason = "some hundreds")]
    let quarter = (clients * clients) as f64 / 4.0;
    assert!(
        (0.8..1.25).contains(&(none.writes / quarter)),
        "none grows with the square: {}",
        none.writes
    );
    assert!(
        (0.8..1.25).contains(&(equal.writes / full.writes)),
        "equal jitter writes as much"
    );
    assert!(equal.completion > full.completion, "and takes longer");
    assert!(
        none.completion < full.completion,
        "a server without limits rewards haste"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jitter_halves_the_writes_and_the_relations_of_the_study_hold() {
        let report = experiment(1, &[10, 100], 8);
        for chart in report.charts() {
            chart.write().unwrap();
        }
    }
}
