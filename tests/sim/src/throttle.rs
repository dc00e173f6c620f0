//! Adaptive throttling by clients: how much of what they want still reaches a backend that cannot take it.
//!
//! The backend does a hundred calls per second and refuses the rest at once, which costs it something, too; ten clients hold back, each by the answers that it got.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use seaworthy::adaptive::throttle::{AcceptanceConfig, ThrottleLayer};
use seaworthy::core::acceptance::Acceptance;
use seaworthy::kit::clock;
use seaworthy::prelude::*;
use tower::{Layer as _, ServiceExt as _, service_fn};

use crate::cpu::{Cpu, Order};
use crate::ledger::Ledger;
use crate::load::poisson;
use crate::overload::{Server, WORKERS, workers};
use crate::report::Report;
use crate::world::{Chance, Seconds, World, run};
use chart::{Chart, Place};

/// How many clients there are.
const CLIENTS: usize = 10;
/// For how long a client remembers its answers.
const WINDOW: Duration = Duration::from_secs(10);
/// From then on it counts: all windows are full, and have been for another.
const SETTLED: usize = 20;
const END: usize = 40;
/// What is wanted, in calls per second.
const WANTED: [f64; 7] = [50.0, 100.0, 150.0, 200.0, 300.0, 500.0, 1000.0];
/// Those of the table.
const TOLD: [f64; 5] = [50.0, 100.0, 200.0, 500.0, 1000.0];
/// K.
const MULTIPLIER: f64 = 2.0;

/// What a client does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(clippy::exhaustive_enums, reason = "the rows of the table")]
pub enum Client {
    /// It sends everything.
    Plain,
    /// The layer.
    Throttled,
    /// The formula, without the calls that were refused here: by the layer's own machine, which is told of what was sent only.
    Forgetful,
}

/// Calls per second.
#[derive(Clone, Copy, PartialEq, Debug)]
#[non_exhaustive]
pub struct Seen {
    /// That reached the backend.
    pub sent: f64,
    /// That it accepted.
    pub accepted: f64,
}

/// One run: what is wanted of the backend, in calls per second.
#[must_use]
pub fn simulate(seed: u64, client: Client, wanted: f64) -> Seen {
    run(seed, |world, chance| ask(world, chance, client, wanted))
}

async fn ask(world: World, mut chance: Chance, client: Client, wanted: f64) -> Seen {
    let ledger = Ledger::new(world);
    let cpu = Cpu::start(world, WORKERS, Order::Fifo);
    let backend = backend(world, &ledger, &cpu, chance.fork());
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| behind(client, backend.clone(), chance.fork()))
        .collect();
    let mut turn = 0;
    let make = || {
        turn = (turn + 1) % CLIENTS;
        let call = clients[turn].clone().oneshot(());
        async move { call.await.is_ok() }
    };
    let end = END as Seconds;
    poisson(world, ledger.clone(), chance, wanted, end, make).await;
    let _ = ledger.close();
    let seconds = &ledger.seconds()[SETTLED..END];
    let rate = |of: fn(&crate::ledger::Second) -> u32| {
        f64::from(seconds.iter().map(of).sum::<u32>()) / seconds.len() as f64
    };
    Seen {
        sent: rate(|it| it.sent),
        accepted: rate(|it| it.good),
    }
}

fn backend(world: World, ledger: &Ledger, cpu: &Cpu, chance: Chance) -> Server {
    let places = BulkheadLayer::plain("backend").max_concurrent(WORKERS);
    let places = places.build().expect("a valid bulkhead");
    let workers = places.layer(workers(world, cpu, chance));
    let ledger = ledger.clone();
    // What a server's edge does of it: an answer, and no longer a refusal that is known to have reached nobody.
    let answers = workers.map_err(|refused: BoxError| BoxError::from(refused.to_string()));
    let counted = answers.map_request(move |()| ledger.sent());
    Server::new(counted)
}

fn config() -> AcceptanceConfig {
    AcceptanceConfig::new()
        .multiplier(MULTIPLIER)
        .window(WINDOW)
}

fn behind(client: Client, backend: Server, chance: Chance) -> Server {
    match client {
        Client::Plain => backend,
        Client::Throttled => {
            let throttle = ThrottleLayer::plain("backend").config(config()).build();
            Server::new(throttle.expect("a valid throttle").layer(backend))
        }
        Client::Forgetful => {
            let account = Arc::new(Acceptance::try_new(config()).expect("a valid account"));
            let chance = Arc::new(Mutex::new(chance));
            Server::new(service_fn(move |()| {
                let class = Criticality::default();
                let standing = account.standings(clock::now())[class.index()];
                let draw = chance.lock().expect("nothing panics under it").share();
                let (backend, account) = (backend.clone(), Arc::clone(&account));
                async move {
                    if draw < standing.probability {
                        return Err(BoxError::from("refused here, and forgotten"));
                    }
                    let answer = backend.oneshot(()).await;
                    match &answer {
                        Ok(()) => account.on_accepted(class, clock::now()),
                        Err(_) => account.on_refused(class, clock::now()),
                    }
                    answer
                }
            }))
        }
    }
}

/// Each client at each load, and what must hold.
///
/// # Panics
/// If it does not.
#[must_use]
pub fn experiment(seed: u64) -> Report {
    let mut report = Report::new(
        "throttle",
        &[
            "sent / accepted per second, where so many are wanted",
            "50",
            "100",
            "200",
            "500",
            "1000",
        ],
    );
    let mut chart = Chart::new(
        "throttle",
        "A backend that does 100 calls per second: what is sent to it",
        "calls per second that are wanted",
        "calls per second that are sent",
    )
    .names(Place::UpperLeft);
    for (name, client) in [
        ("without the layer", Client::Plain),
        ("the layer", Client::Throttled),
        ("refusals here not counted", Client::Forgetful),
    ] {
        let seen = WANTED.map(|wanted| (wanted, simulate(seed, client, wanted)));
        for (wanted, seen) in seen {
            check(client, wanted, seen);
        }
        let told = seen.iter().filter(|(wanted, _)| TOLD.contains(wanted));
        let cells = told.map(|(_, it)| format!("{:.0} / {:.0}", it.sent, it.accepted));
        report.row([name.to_owned()].into_iter().chain(cells));
        let sent = seen.iter().map(|(wanted, seen)| (*wanted, seen.sent));
        chart.curve(name, sent.collect::<Vec<_>>());
    }
    report.show(chart);
    report
}

fn check(client: Client, wanted: f64, seen: Seen) {
    let Seen { sent, accepted } = seen;
    let near = |expected: f64| (0.9..1.1).contains(&(sent / expected));
    // Far enough above, what the formula settles at is all there is.
    let overloaded = wanted >= 500.0;
    let holds = match client {
        Client::Throttled if overloaded => near(MULTIPLIER * accepted),
        Client::Forgetful if overloaded => near((MULTIPLIER * accepted * wanted).sqrt()),
        Client::Throttled | Client::Forgetful if wanted > 100.0 => sent < 1.1 * wanted,
        // There is no reason to refuse.
        Client::Plain | Client::Throttled | Client::Forgetful => near(wanted),
    };
    assert!(holds, "{client:?}, {wanted} wanted: {seen:?}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn throttle_sends_k_times_what_is_accepted_and_forgetting_sends_more() {
        experiment(1).assert_told();
    }
}
