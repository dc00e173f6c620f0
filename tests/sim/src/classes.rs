//! Criticality: in an overload, what matters is served, and what nobody waits for gives way.
//!
//! The server is that of [`overload`](crate::overload); a fifth of its capacity is asked for by critical calls, whatever the load, and the rest of the load may be shed.

use seaworthy::adaptive::Algorithm;
use seaworthy::kit::criticality;
use seaworthy::prelude::*;
use tower::{Layer as _, ServiceExt as _};

use crate::cpu::{Cpu, Order};
use crate::ledger::Ledger;
use crate::load::poisson;
use crate::overload::{CAPACITY, PATIENCE, Server, WORKERS, laws, workers};
use crate::report::Report;
use crate::world::{Chance, Seconds, World, run};
use chart::{Chart, Place};

/// Critical calls per second.
const CRITICAL: f64 = 0.2 * CAPACITY;
/// From then on it counts: a limit has been found.
const FOUND: usize = 15;
const END: usize = 40;
/// The loads of the curves, in times of the capacity.
const LOADS: [f64; 5] = [0.5, 1.0, 2.0, 5.0, 10.0];

/// What a run came to: the share of the calls of a class that ended well.
#[derive(Clone, Copy, PartialEq, Debug)]
#[non_exhaustive]
pub struct Served {
    /// Of the critical ones.
    pub critical: f64,
    /// Of the others.
    pub sheddable: f64,
}

/// One run by this law at so many times the capacity; without classes, all calls are critical.
#[must_use]
pub fn simulate(seed: u64, law: Algorithm, times: f64, classes: bool) -> Served {
    run(seed, |world, chance| {
        serve(world, chance, law, times, classes)
    })
}

async fn serve(
    world: World,
    mut chance: Chance,
    law: Algorithm,
    times: f64,
    classes: bool,
) -> Served {
    let cpu = Cpu::start(world, WORKERS, Order::Fifo);
    let limit = AdaptiveLayer::plain("server").algorithm(law).queue(100);
    let limit = limit.build().expect("a valid limit");
    let server = Server::new(limit.layer(workers(world, &cpu, chance.fork())));
    let ledgers = [Ledger::new(world), Ledger::new(world)];
    let mut loads = tokio::task::JoinSet::new();
    for (class, rate, ledger) in [
        (Criticality::Critical, CRITICAL, &ledgers[0]),
        (
            Criticality::Sheddable,
            times * CAPACITY - CRITICAL,
            &ledgers[1],
        ),
    ] {
        let (server, ledger, chance) = (server.clone(), ledger.clone(), chance.fork());
        let class = if classes {
            class
        } else {
            Criticality::Critical
        };
        let make = move || call(server.clone(), class);
        loads.spawn(poisson(world, ledger, chance, rate, END as Seconds, make));
    }
    while let Some(load) = loads.join_next().await {
        load.expect("a load does not panic");
    }
    cpu.drain(world).await;
    let share = |ledger: &Ledger| {
        let _ = ledger.close();
        let seconds = &ledger.seconds()[FOUND..END];
        let good: u32 = seconds.iter().map(|it| it.good).sum();
        let bad: u32 = seconds.iter().map(|it| it.bad).sum();
        f64::from(good) / f64::from(good + bad)
    };
    Served {
        critical: share(&ledgers[0]),
        sheddable: share(&ledgers[1]),
    }
}

async fn call(server: Server, class: Criticality) -> bool {
    let served = tokio::spawn(criticality::scope(class, server.oneshot(())));
    let answer = tokio::time::timeout(PATIENCE, served).await;
    answer.is_ok_and(|ended| ended.expect("a server does not panic").is_ok())
}

/// Each law at each load, and what must hold.
///
/// # Panics
/// If it does not.
#[must_use]
pub fn experiment(seed: u64) -> Report {
    let mut report = Report::new(
        "classes",
        &[
            "calls that end well, critical / sheddable, at",
            "0.5×",
            "1×",
            "2×",
            "5×",
            "10×",
        ],
    );
    let mut chart = Chart::new(
        "classes",
        "Critical calls are a fifth of what the server can do, the rest of the load is sheddable",
        "load, in times of the capacity",
        "% of the calls that end well",
    )
    .names(Place::MiddleRight);
    let [.., (default, gradient)] = laws();
    let mut rows = vec![(
        format!("{default}, all of one class"),
        LOADS.map(|times| simulate(seed, gradient, times, false)),
    )];
    for (name, law) in laws() {
        let row = LOADS.map(|times| simulate(seed, law, times, true));
        rows.push((format!("{name}, two classes"), row));
    }
    for (at, (name, row)) in rows.iter().enumerate() {
        let cell = |it: &Served| {
            let (critical, sheddable) = (100.0 * it.critical, 100.0 * it.sheddable);
            format!("{critical:.1} % / {sheddable:.0} %")
        };
        report.row([name.clone()].into_iter().chain(row.iter().map(cell)));
        let curve = |of: fn(&Served) -> f64| {
            let points = LOADS.into_iter().zip(row);
            points.map(move |(times, served)| (times, 100.0 * of(served)))
        };
        // The laws lie upon each other.
        if at == 0 || at + 1 == rows.len() {
            chart.curve(format!("critical, {name}"), curve(|it| it.critical));
        }
        if at + 1 == rows.len() {
            chart.curve(format!("sheddable, {name}"), curve(|it| it.sheddable));
        }
        check(name, at > 0, row);
    }
    report.show(chart);
    report
}

fn check(name: &str, classes: bool, row: &[Served]) {
    for (times, served) in LOADS.into_iter().zip(row) {
        let Served {
            critical,
            sheddable,
        } = *served;
        let who =
            format!("{name}, {times}×: {critical} of the critical, {sheddable} of the others");
        if classes {
            assert!(critical >= 0.99, "{who}");
            // And nothing of the capacity is left unused: whoever may be shed has the rest.
            let rest = (CAPACITY - CRITICAL) / (times * CAPACITY - CRITICAL);
            assert!(sheddable > 0.8 * rest.min(1.0), "{who}");
        } else if times >= 5.0 {
            assert!(critical < 0.25, "{who}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn critical_calls_are_served_in_an_overload_of_others() {
        experiment(1).assert_told();
    }
}
