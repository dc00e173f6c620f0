//! Hedging: a service of which some calls are slow by chance, and then all of them because it has too much to do.
//!
//! A call takes 20 ms on average, half of which every call takes; some stall for half a second more, which costs the workers nothing.

use std::sync::{Arc, Mutex};

use seaworthy::prelude::*;
use tower::{Layer as _, ServiceExt as _, service_fn};

use crate::cpu::{Cpu, Order};
use crate::ledger::{Ledger, Second, quantile};
use crate::load::poisson;
use crate::overload::Server;
use crate::report::Report;
use crate::world::{Chance, Seconds, World, run};
use chart::{Chart, Place};

/// Calls per second, of the 500 that the workers can do.
const RATE: f64 = 200.0;
const WORKERS: usize = 10;
/// How long a stall is.
const STALL: Seconds = 0.5;
/// The shares of calls that stall.
const STALLS: [f64; 5] = [0.0, 0.01, 0.02, 0.05, 0.08];
/// By then the layer knows what calls take.
const KNOWN: Seconds = 20.0;
const END: Seconds = 60.0;
/// From the end until then the workers do a quarter of what they can otherwise: 125 calls per second.
const SLOW_TO: Seconds = 90.0;
/// A percentile of the last minute has forgotten that by then.
const FORGOTTEN: Seconds = 170.0;
const LATER: Seconds = 200.0;

/// What a run came to.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Seen {
    /// The 99th percentile.
    pub p99: Seconds,
    /// The median.
    pub median: Seconds,
    /// Attempts for each call.
    pub attempts: f64,
    /// What each second saw.
    pub seconds: Vec<Second>,
}

/// One run: the share of the calls that stall, whether there are hedges, and for how long it lasts.
#[must_use]
pub fn simulate(seed: u64, stalls: f64, hedges: bool, end: Seconds) -> Seen {
    run(seed, |world, chance| {
        send(world, chance, stalls, hedges, end)
    })
}

async fn send(world: World, mut chance: Chance, stalls: f64, hedges: bool, end: Seconds) -> Seen {
    let ledger = Ledger::new(world);
    let cpu = Cpu::start(world, WORKERS, Order::Fifo);
    let remote = remote(world, &ledger, &cpu, chance.fork(), stalls);
    let hedge = HedgeLayer::plain("remote").build().expect("defaults");
    let client = if hedges {
        Server::new(hedge.layer(remote))
    } else {
        remote
    };
    let slow = tokio::spawn({
        let cpu = cpu.clone();
        async move {
            world.at(END).await;
            cpu.set_speed(0.25);
            world.at(SLOW_TO).await;
            cpu.set_speed(1.0);
        }
    });
    let make = || {
        let call = client.clone().oneshot(());
        async move { call.await.is_ok() }
    };
    poisson(world, ledger.clone(), chance, RATE, end, make).await;
    cpu.drain(world).await;
    slow.abort();
    let _ = ledger.close();
    let seconds = ledger.seconds();
    // The last ones of a run that ends there meet the slow workers.
    let latencies = ledger.latencies(KNOWN, END - 1.0);
    Seen {
        p99: quantile(&latencies, 0.99),
        median: quantile(&latencies, 0.5),
        attempts: attempts(&seconds, KNOWN, END),
        seconds,
    }
}

/// How many attempts there were for each call.
fn attempts(seconds: &[Second], from: Seconds, to: Seconds) -> f64 {
    let seconds = &seconds[whole(from)..whole(to)];
    let sent: u32 = seconds.iter().map(|it| it.sent).sum();
    let offered: u32 = seconds.iter().map(|it| it.offered).sum();
    f64::from(sent) / f64::from(offered)
}

fn remote(world: World, ledger: &Ledger, cpu: &Cpu, chance: Chance, stalls: f64) -> Server {
    let (ledger, cpu, chance) = (ledger.clone(), cpu.clone(), Arc::new(Mutex::new(chance)));
    Server::new(service_fn(move |()| {
        ledger.sent();
        let mut chance = chance.lock().expect("nothing panics under it");
        let work = 0.01 + chance.gap(100.0);
        let stall = if chance.share() < stalls { STALL } else { 0.0 };
        let cpu = cpu.clone();
        async move {
            world.at(world.now() + stall).await;
            let done = cpu.run(world.now(), work, f64::INFINITY).await;
            done.map_err(|_| BoxError::from("never: nothing expires"))
        }
    }))
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "whole seconds of a run"
)]
const fn whole(seconds: Seconds) -> usize {
    seconds as usize
}

/// Each share of stalls with and without hedges, and what must hold.
///
/// # Panics
/// If it does not.
#[must_use]
pub fn experiment(seed: u64) -> Report {
    let mut report = Report::new(
        "hedge",
        &[
            "calls that stall",
            "p99 without hedges",
            "p99 with them",
            "more calls",
        ],
    );
    let mut tails = Chart::new(
        "hedge",
        "Calls of 20 ms, of which some stall for half a second",
        "% of the calls that stall",
        "p99, ms",
    )
    .names(Place::UpperLeft);
    let (mut bare, mut hedged) = (Vec::new(), Vec::new());
    let mut chart = Chart::new(
        "hedge-overload",
        "2 % of the calls stall; the service has too much to do from 60 s to 90 s",
        "s",
        "hedges per second",
    );
    for stalls in STALLS {
        let [without, with] = [false, true].map(|hedges| simulate(seed, stalls, hedges, END));
        check(stalls, &without, &with);
        report.row([
            format!("{:.0} %", 100.0 * stalls),
            format!("{:.0} ms", 1000.0 * without.p99),
            format!("{:.0} ms", 1000.0 * with.p99),
            format!("{:.1} %", 100.0 * (with.attempts - 1.0)),
        ]);
        bare.push((100.0 * stalls, 1000.0 * without.p99));
        hedged.push((100.0 * stalls, 1000.0 * with.p99));
    }
    let overload = simulate(seed, 0.02, true, LATER).seconds;
    check_overload(&overload);
    let hedges = overload.iter().take(whole(LATER)).enumerate();
    let hedges = hedges.map(|(at, it)| (at as f64, f64::from(it.sent.saturating_sub(it.offered))));
    chart.curve("hedges", hedges.collect::<Vec<_>>());
    tails.curve("without hedges", bare);
    tails.curve("with hedges", hedged);
    report.show(tails);
    report.show(chart);
    report
}

fn check(stalls: f64, without: &Seen, with: &Seen) {
    let who = format!(
        "{stalls} stall: p99 {} without hedges, {} with {} attempts for a call",
        without.p99, with.p99, with.attempts
    );
    // The budget, whatever there is to hedge.
    assert!(with.attempts <= 1.05, "{who}");
    // Fewer stalls do not reach the 99th percentile, and more are beyond what the budget can mend.
    if (0.02..=0.05).contains(&stalls) {
        assert!(with.p99 <= without.p99 / 2.0, "{who}");
    }
    // Nor does it cost the others anything.
    assert!(with.median <= 1.1 * without.median, "{who}");
}

fn check_overload(seconds: &[Second]) {
    // Three seconds are what it takes to see that slow is no tail any more.
    let meanwhile = attempts(seconds, END + 3.0, SLOW_TO);
    assert!(meanwhile <= 1.0, "{meanwhile} attempts for a call");
    let afterwards = attempts(seconds, FORGOTTEN, LATER);
    assert!(afterwards > 1.02, "{afterwards} attempts for a call");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hedges_halve_the_tail_and_stop_where_there_is_too_much_to_do() {
        experiment(1).assert_told();
    }
}
