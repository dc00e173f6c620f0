//! A limit that is found, over time: through an overload, through a loss of workers, and back each time.
//!
//! The server is that of [`overload`](crate::overload), asked for half of what it can do but for the overload.

use std::sync::{Arc, Mutex, PoisonError};

use seaworthy::adaptive::{AdaptiveHandle, Algorithm};
use seaworthy::prelude::*;
use tower::Layer as _;

use crate::cpu::{Cpu, Order};
use crate::ledger::{Ledger, Second};
use crate::load::poisson;
use crate::overload::{CAPACITY, Server, WORKERS, call, laws, workers};
use crate::report::Report;
use crate::world::{Chance, Seconds, World, run};
use chart::{Chart, Place};

/// Calls per second, most of the time.
const RATE: f64 = 0.5 * CAPACITY;
/// And more of them, between these.
const OVERLOAD: f64 = 5.0 * CAPACITY;
const OVERLOAD_FROM: Seconds = 30.0;
const OVERLOAD_TO: Seconds = 60.0;
/// Between these, so many workers are left: they can do 30 calls per second.
const LEFT: usize = 3;
const LOSS_FROM: Seconds = 90.0;
const LOSS_TO: Seconds = 210.0;
const END: Seconds = 240.0;
/// How long the limit may take to come down to them.
const FALLS: Seconds = 60.0;
/// How long it may take to follow otherwise, and the queue to be empty.
const FOLLOWS: Seconds = 3.0;

/// What a run came to.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Seen {
    /// What each second saw.
    pub seconds: Vec<Second>,
    /// The limit and those that wait, every tenth of a second.
    pub samples: Vec<(Seconds, usize, usize)>,
}

/// One run, by this law.
#[must_use]
pub fn simulate(seed: u64, law: Algorithm) -> Seen {
    run(seed, |world, chance| follow(world, chance, law))
}

async fn follow(world: World, mut chance: Chance, law: Algorithm) -> Seen {
    let ledger = Ledger::new(world);
    let cpu = Cpu::start(world, WORKERS, Order::Fifo);
    let limit = AdaptiveLayer::plain("server").algorithm(law).queue(100);
    let limit = limit.build().expect("a valid limit");
    let server = Server::new(limit.layer(workers(world, &cpu, chance.fork())));
    let samples = Arc::default();
    let sampled = tokio::spawn(sample(world, limit.handle(), Arc::clone(&samples)));
    let mut loads = tokio::task::JoinSet::new();
    for (from, to, rate) in [
        (0.0, END, RATE),
        (OVERLOAD_FROM, OVERLOAD_TO, OVERLOAD - RATE),
    ] {
        let (server, ledger, chance) = (server.clone(), ledger.clone(), chance.fork());
        loads.spawn(async move {
            world.at(from).await;
            poisson(world, ledger, chance, rate, to, || call(server.clone())).await;
        });
    }
    world.at(LOSS_FROM).await;
    cpu.set_working(LEFT);
    world.at(LOSS_TO).await;
    cpu.set_working(WORKERS);
    while let Some(load) = loads.join_next().await {
        load.expect("a load does not panic");
    }
    sampled.await.expect("nothing panics in there");
    cpu.drain(world).await;
    let _ = ledger.close();
    let samples = samples.lock().unwrap_or_else(PoisonError::into_inner);
    Seen {
        seconds: ledger.seconds(),
        samples: samples.clone(),
    }
}

async fn sample(
    world: World,
    limit: AdaptiveHandle,
    samples: Arc<Mutex<Vec<(Seconds, usize, usize)>>>,
) {
    for tenth in 0..10 * whole(END) {
        let moment = tenth as Seconds / 10.0;
        world.at(moment).await;
        let seen = limit.snapshot();
        let mut samples = samples.lock().unwrap_or_else(PoisonError::into_inner);
        samples.push((moment, seen.limit, seen.waiting));
    }
}

impl Seen {
    /// The limit on average.
    fn limit(&self, from: Seconds, to: Seconds) -> f64 {
        let limits = self.between(from, to).map(|(_, limit, _)| *limit as f64);
        limits.sum::<f64>() / self.between(from, to).count() as f64
    }

    /// The most that waited.
    fn waited(&self, from: Seconds, to: Seconds) -> usize {
        self.between(from, to).map(|it| it.2).max().unwrap_or(0)
    }

    /// Calls that did not end well.
    fn bad(&self, from: Seconds, to: Seconds) -> u32 {
        let seconds = &self.seconds[whole(from)..whole(to)];
        seconds.iter().map(|second| second.bad).sum()
    }

    /// Calls per second that ended well.
    fn good(&self, from: Seconds, to: Seconds) -> f64 {
        let seconds = &self.seconds[whole(from)..whole(to)];
        let good: u32 = seconds.iter().map(|second| second.good).sum();
        f64::from(good) / (to - from)
    }

    fn between(&self, from: Seconds, to: Seconds) -> impl Iterator<Item = &(f64, usize, usize)> {
        let within = move |it: &&(f64, usize, usize)| (from..to).contains(&it.0);
        self.samples.iter().filter(within)
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "whole seconds of a run"
)]
const fn whole(seconds: Seconds) -> usize {
    seconds as usize
}

/// Each law, and what must hold.
///
/// # Panics
/// If it does not.
#[must_use]
pub fn experiment(seed: u64) -> Report {
    let mut report = Report::new(
        "limit",
        &[
            "law",
            "limit in the overload",
            "good answers per second in it",
            "limit with three workers, at last",
            "good answers per second with them",
        ],
    );
    let mut chart = Chart::new(
        "limit",
        "Ten workers, half used; five times too much from 30 s to 60 s, three workers from 90 s to 210 s",
        "s",
        "limit",
    )
    .names(Place::UpperMiddle);
    for (name, law) in laws() {
        let seen = simulate(seed, law);
        let over = (OVERLOAD_FROM + 10.0, OVERLOAD_TO);
        let loss = (LOSS_TO - 20.0, LOSS_TO);
        check(name, &seen, over, loss);
        report.row([
            name.to_owned(),
            format!("{:.0}", seen.limit(over.0, over.1)),
            format!("{:.0}", seen.good(over.0, over.1)),
            format!("{:.0}", seen.limit(loss.0, loss.1)),
            format!("{:.0}", seen.good(loss.0, loss.1)),
        ]);
        let points = seen.samples.iter().map(|it| (it.0, it.1 as f64));
        chart.curve(name, points.collect::<Vec<_>>());
    }
    report.show(chart);
    report
}

fn check(law: &str, seen: &Seen, over: (Seconds, Seconds), loss: (Seconds, Seconds)) {
    // So many must run for full work, and so many may: Vegas lets six of them queue.
    let near = |limit, workers, most| (workers as f64..=f64::from(most)).contains(&limit);
    let limit = seen.limit(over.0, over.1);
    assert!(near(limit, WORKERS, 26), "{law}: {limit} for ten workers");
    for (from, to) in [(LOSS_FROM + FALLS, loss.0), loss] {
        let limit = seen.limit(from, to);
        assert!(near(limit, LEFT, 10), "{law}: {limit} for three workers");
    }
    let (served, possible) = (seen.good(over.0, over.1), CAPACITY);
    assert!(served > 0.95 * possible, "{law}: {served} in the overload");
    let possible = CAPACITY * LEFT as f64 / WORKERS as f64;
    let served = seen.good(loss.0, loss.1);
    assert!(served > 0.9 * possible, "{law}: {served} by three workers");
    for (from, to) in [(OVERLOAD_TO, LOSS_FROM), (LOSS_TO, END)] {
        let from = from + FOLLOWS;
        let (shed, waited) = (seen.bad(from, to), seen.waited(from, to));
        assert_eq!((shed, waited), (0, 0), "{law}: after {from}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limit_follows_an_overload_and_a_loss_and_leaves_nothing_behind() {
        experiment(1).assert_told();
    }
}
