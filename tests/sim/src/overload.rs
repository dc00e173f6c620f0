//! Overload: a server of which more is asked than it can give, by callers who do not wait for one another.
//!
//! Ten workers do a hundred jobs per second, a caller waits for a second, and the server does the work of one who has gone all the same.
//! What counts is what ends well, in time: a server that is busy with what nobody waits for any more is busy for nothing.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use seaworthy::adaptive::{Aimd, Algorithm, Gradient2, Vegas};
use seaworthy::prelude::*;
use tower::util::BoxCloneSyncService;
use tower::{Layer as _, ServiceExt as _, service_fn};

use crate::cpu::{Cpu, Order};
use crate::ledger::Ledger;
use crate::load::poisson;
use crate::report::Report;
use crate::world::{Chance, Seconds, World, run};
use chart::{Chart, Place};

/// How many jobs are done at a time.
pub(crate) const WORKERS: usize = 10;
/// Jobs per second.
pub(crate) const CAPACITY: f64 = 100.0;
/// How long a caller waits.
pub(crate) const PATIENCE: Duration = Duration::from_secs(1);
/// From then on it counts: a limit has been found.
const FOUND: usize = 15;
const END: usize = 30;
/// The loads of the curves, in times of the capacity.
const LOADS: [f64; 7] = [0.5, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0];
/// Those of the table.
const TOLD: [f64; 5] = [0.5, 1.0, 2.0, 5.0, 10.0];

/// A server with what stands in front of it.
pub(crate) type Server = BoxCloneSyncService<(), (), BoxError>;

/// What stands in front of the workers.
#[derive(Clone, Copy, PartialEq, Debug)]
#[expect(clippy::exhaustive_enums, reason = "the rows of the table")]
pub enum Front {
    /// Nothing.
    Bare,
    /// A bulkhead that somebody has set to the number of workers, with so many waiting in order.
    Bulkhead(usize),
    /// A limit that is found by this law, with a queue of controlled delay.
    Adaptive(Algorithm),
}

/// The three laws, each with a name.
pub(crate) fn laws() -> [(&'static str, Algorithm); 3] {
    // It knows drops only: what takes four times as long as it should is one.
    let aimd = Aimd::new().timeout(Duration::from_millis(400));
    [
        ("AIMD", Algorithm::Aimd(aimd)),
        ("Vegas", Algorithm::Vegas(Vegas::new())),
        ("Gradient2", Algorithm::Gradient2(Gradient2::new())),
    ]
}

/// The workers' service: 100 ms on average, half of which every job takes.
pub(crate) fn workers(world: World, cpu: &Cpu, chance: Chance) -> Server {
    let (cpu, chance) = (cpu.clone(), Arc::new(Mutex::new(chance)));
    BoxCloneSyncService::new(service_fn(move |()| {
        let extra = chance.lock().expect("nothing panics under it").gap(20.0);
        let cpu = cpu.clone();
        async move {
            let done = cpu.run(world.now(), 0.05 + extra, f64::INFINITY).await;
            done.map_err(|_| BoxError::from("never: nothing expires"))
        }
    }))
}

/// A call by somebody who waits for a second; the server does not notice that he has gone.
pub(crate) async fn call(server: Server) -> bool {
    let served = tokio::spawn(server.oneshot(()));
    let answer = tokio::time::timeout(PATIENCE, served).await;
    answer.is_ok_and(|ended| ended.expect("a server does not panic").is_ok())
}

fn front(front: Front, workers: Server) -> Server {
    match front {
        Front::Bare => workers,
        Front::Bulkhead(waiting) => {
            let bulkhead = BulkheadLayer::plain("server")
                .max_concurrent(WORKERS)
                .queue(waiting, Duration::MAX)
                .build();
            Server::new(bulkhead.expect("a valid bulkhead").layer(workers))
        }
        Front::Adaptive(law) => {
            let limit = AdaptiveLayer::plain("server").algorithm(law).queue(100);
            Server::new(limit.build().expect("a valid limit").layer(workers))
        }
    }
}

/// Calls per second that end well, where so many times the capacity is asked for.
#[must_use]
pub fn simulate(seed: u64, behind: Front, times: f64) -> f64 {
    run(seed, |world, mut chance| async move {
        let ledger = Ledger::new(world);
        let cpu = Cpu::start(world, WORKERS, Order::Fifo);
        let server = front(behind, workers(world, &cpu, chance.fork()));
        let make = || call(server.clone());
        let (rate, end) = (CAPACITY * times, END as Seconds);
        poisson(world, ledger.clone(), chance, rate, end, make).await;
        cpu.drain(world).await;
        let _ = ledger.close();
        let counted = &ledger.seconds()[FOUND..END];
        let good: u32 = counted.iter().map(|second| second.good).sum();
        f64::from(good) / counted.len() as f64
    })
}

/// The rows of the table.
fn rows() -> Vec<(String, Front)> {
    let mut rows = vec![
        ("bare".to_owned(), Front::Bare),
        (
            "bulkhead, 100 wait in order".to_owned(),
            Front::Bulkhead(100),
        ),
        ("bulkhead, 20 wait in order".to_owned(), Front::Bulkhead(20)),
    ];
    for (name, law) in laws() {
        rows.push((format!("adaptive, {name}"), Front::Adaptive(law)));
    }
    rows
}

/// Each row at each load, and what must hold.
///
/// # Panics
/// If it does not.
#[must_use]
pub fn experiment(seed: u64) -> Report {
    let mut report = Report::new(
        "overload",
        &[
            "good answers per second at",
            "0.5×",
            "1×",
            "2×",
            "5×",
            "10×",
        ],
    );
    let mut chart = Chart::new(
        "overload",
        "A server that does 100 calls per second: what still ends well",
        "load, in times of the capacity",
        "good answers per second",
    )
    .names(Place::MiddleRight);
    for (name, front) in rows() {
        let seen: Vec<_> = LOADS
            .map(|times| (times, simulate(seed, front, times)))
            .into();
        check(front, &seen);
        let told = TOLD.map(|times| format!("{:.0}", at(&seen, times)));
        report.row([name.clone()].into_iter().chain(told));
        chart.curve(name, [(0.0, 0.0)].into_iter().chain(seen));
    }
    report.show(chart);
    report
}

fn at(seen: &[(f64, f64)], times: f64) -> f64 {
    let found = seen.iter().find(|(load, _)| load.total_cmp(&times).is_eq());
    found.expect("one of the loads").1
}

fn check(front: Front, seen: &[(f64, f64)]) {
    let peak = seen.iter().map(|(_, good)| *good).fold(0.0, f64::max);
    // A queue that is as long as the callers' patience costs something at the capacity itself.
    assert!(peak > 0.75 * CAPACITY, "{front:?}: {seen:?}");
    for times in [2.0, 5.0, 10.0] {
        let good = at(seen, times);
        match front {
            // What is done is never in time.
            Front::Bare | Front::Bulkhead(100) => {
                assert!(good < 0.1 * peak, "{front:?}: {good} at {times}");
            }
            Front::Bulkhead(_) | Front::Adaptive(_) => {
                assert!(good >= 0.85 * peak, "{front:?}: {good} at {times}");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adaptive_limit_keeps_the_goodput_that_a_bare_server_loses() {
        experiment(1).assert_told();
    }
}
