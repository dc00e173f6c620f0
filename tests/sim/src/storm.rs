//! A retry storm: one server loses half of its capacity for ten seconds, and the question is whether its clients let it come back.
//!
//! One worker does 1,000 jobs per second from a queue, calls come at random, a client waits for one second, and the server does the work of a caller that has gone all the same: that is what makes the state metastable.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use seaworthy::core::budget::BudgetConfig;
use seaworthy::core::{Backoff, Jitter};
use seaworthy::kit::Budget;
use seaworthy::prelude::*;
use seaworthy::{client, server};
use tower::{Layer as _, Service, ServiceExt as _, service_fn};

use crate::cpu::{Cpu, Order};
use crate::invariants::{Limit, watch};
use crate::ledger::{Ledger, Second};
use crate::load::poisson;
use crate::report::Report;
use crate::world::{Chance, Seconds, World, run};
use chart::Chart;

/// Jobs per second.
const CAPACITY: f64 = 1000.0;
/// When half of the capacity goes.
const FAULT: Seconds = 20.0;
/// When it is back.
const HEALED: Seconds = 30.0;
/// How long a client waits for an attempt.
const PATIENCE: Seconds = 1.0;
/// Machines that a fleet of presets runs on.
const FLEET: usize = 20;

/// What a client does about a failure, and a server about its queue.
#[derive(Clone, Copy, PartialEq, Debug)]
#[expect(clippy::exhaustive_enums, reason = "the rows of the table")]
pub enum Policy {
    /// Attempts, the budget as a share of the calls, and the order of the queue.
    Plain(u32, Option<f64>, Order),
    /// The presets `client` and `server`, as they are.
    Presets,
}

/// What a run came to.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Aftermath {
    /// Seconds from the end of the fault until the server did nearly all that was asked; `None` for never.
    pub recovery: Option<usize>,
    /// Calls per second that ended well, at the end.
    pub goodput: f64,
    /// Calls per second that were made, at the end.
    pub offered: f64,
    /// Attempts per second, at the end.
    pub sent: f64,
    /// What each second saw.
    pub seconds: Vec<Second>,
}

/// One run: calls per second, and for how long it is watched after the fault.
#[must_use]
pub fn simulate(seed: u64, policy: Policy, rate: f64, watch: Seconds) -> Aftermath {
    run(seed, |world, chance| async move {
        storm(world, chance, policy, rate, HEALED + watch).await
    })
}

async fn storm(
    world: World,
    mut chance: Chance,
    policy: Policy,
    rate: f64,
    end: Seconds,
) -> Aftermath {
    let ledger = Ledger::new(world);
    let order = match policy {
        Policy::Plain(_, _, order) => order,
        Policy::Presets => Order::Fifo,
    };
    let cpu = Cpu::start(world, 1, order);
    let fault = tokio::spawn({
        let cpu = cpu.clone();
        async move {
            world.at(FAULT).await;
            cpu.set_speed(0.5);
            world.at(HEALED).await;
            cpu.set_speed(1.0);
        }
    });
    match policy {
        Policy::Plain(attempts, budget, _) => {
            let service = plain(world, &ledger, chance.fork(), cpu, attempts, budget);
            let call = move || {
                let call = service.clone().oneshot(());
                async move { call.await.is_ok() }
            };
            poisson(world, ledger.clone(), chance, rate, end, call).await;
        }
        Policy::Presets => {
            let clients = presets(world, &ledger, chance.fork(), cpu);
            let mut turn = 0;
            let call = move || {
                turn = (turn + 1) % FLEET;
                get(clients[turn].clone())
            };
            poisson(world, ledger.clone(), chance, rate, end, call).await;
        }
    }
    fault.await.expect("the fault does not panic");
    let _ = ledger.close();
    Aftermath::of(ledger.seconds(), end)
}

/// One client with the layers timeout and retry.
fn plain(
    world: World,
    ledger: &Ledger,
    mut chance: Chance,
    cpu: Cpu,
    attempts: u32,
    budget: Option<f64>,
) -> impl Service<(), Response = (), Error = BoxError, Future: Send> + Clone + Send + 'static {
    let timeout = TimeoutLayer::plain("attempt")
        .limit(Duration::from_secs_f64(PATIENCE))
        .build()
        .expect("a valid timeout");
    let backoff = Backoff::exponential(Duration::from_millis(100), 2.0, Duration::from_secs(1))
        .expect("a valid backoff")
        .jitter(Jitter::Full);
    let budget = budget.map(|share| {
        let config = BudgetConfig::default().share(share).floor(0);
        Budget::try_new(config).expect("a valid budget")
    });
    let retry = RetryLayer::plain("storm")
        .max_attempts(attempts)
        .backoff(backoff)
        .budget(budget)
        .build()
        .expect("a valid retry");
    let ledger = ledger.clone();
    let chance = Arc::new(std::sync::Mutex::new(chance.fork()));
    let server = service_fn(move |()| {
        ledger.sent();
        let now = world.now();
        let work = chance
            .lock()
            .expect("nothing panics under it")
            .gap(CAPACITY);
        let cpu = cpu.clone();
        async move {
            let done = cpu.run(now, work, now + PATIENCE).await;
            done.map_err(|_| BoxError::from("expired"))
        }
    });
    retry.layer(timeout.layer(server))
}

/// One machine's client.
type Machine =
    tower::util::BoxCloneSyncService<Request<Full<Bytes>>, Response<Full<Bytes>>, BoxError>;

/// A fleet of clients, each with the preset `client`, in front of one server with the preset `server`.
fn presets(world: World, ledger: &Ledger, mut chance: Chance, cpu: Cpu) -> Vec<Machine> {
    let chance = Arc::new(std::sync::Mutex::new(chance.fork()));
    let stack = server("storm").http().build().expect("the preset is valid");
    let limit = Limit::new(ledger, stack.bulkhead().snapshot().limit);
    let handler = service_fn(move |_: Request<_>| {
        let (now, inside) = (world.now(), limit.enter());
        let work = chance
            .lock()
            .expect("nothing panics under it")
            .gap(CAPACITY);
        let cpu = cpu.clone();
        async move {
            let _inside = inside;
            let done = cpu.run(now, work, f64::INFINITY).await;
            let status = done.map_or(StatusCode::INTERNAL_SERVER_ERROR, |()| StatusCode::OK);
            let mut response = Response::new(Full::new(Bytes::from_static(b"done")));
            *response.status_mut() = status;
            Ok::<_, Infallible>(response)
        }
    });
    let server = stack.layer(handler);
    (0..FLEET)
        .map(|_| {
            let client = client("storm").http().build().expect("the preset is valid");
            watch(ledger, &client.circuit_breaker());
            let limit = Limit::new(ledger, client.bulkhead().snapshot().limit);
            let (server, ledger) = (server.clone(), ledger.clone());
            // The server does not notice that a caller has gone: the task goes on.
            let network = service_fn(move |request| {
                ledger.sent();
                let served = tokio::spawn(server.clone().oneshot(request));
                let inside = limit.enter();
                async move {
                    let _inside = inside;
                    match served.await {
                        Ok(Ok(response)) => Ok(response),
                        Err(error) => Err(error),
                    }
                }
            });
            let service = client.layer(network);
            tower::util::BoxCloneSyncService::new(service_fn(move |request| {
                let answer = service.clone().oneshot(request);
                async move {
                    let (head, body) = match answer.await {
                        Ok(response) => response.into_parts(),
                        Err(error) => return Err(error),
                    };
                    match body.collect().await {
                        Ok(body) => Ok(Response::from_parts(head, Full::new(body.to_bytes()))),
                        Err(error) => Err(error),
                    }
                }
            }))
        })
        .collect()
}

async fn get(client: Machine) -> bool {
    let answer = client.oneshot(Request::new(Full::default())).await;
    answer.is_ok_and(|response| response.status().is_success())
}

// ===== impl Aftermath =====

impl Aftermath {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "whole seconds of a run"
    )]
    fn of(seconds: Vec<Second>, end: Seconds) -> Self {
        let (healed, end) = (HEALED as usize, end as usize);
        let mean = |from: usize, of: fn(&Second) -> u32| {
            let span = &seconds[from..end];
            span.iter().map(|it| f64::from(of(it))).sum::<f64>() / span.len() as f64
        };
        // Against what was offered in the same seconds: calls come at random.
        let well = |at: usize| {
            let span = &seconds[at..at + 5];
            let sum = |of: fn(&Second) -> u32| f64::from(span.iter().map(of).sum::<u32>());
            sum(|it| it.good) >= 0.9 * sum(|it| it.offered)
        };
        let last_bad = (healed..end - 5).rev().find(|at| !well(*at));
        let recovery = match last_bad {
            None => Some(0),
            Some(at) if at + 10 < end => Some(at + 1 - healed),
            Some(_) => None,
        };
        Self {
            recovery,
            goodput: mean(end - 10, |it| it.good),
            offered: mean(end - 10, |it| it.offered),
            sent: mean(end - 10, |it| it.sent),
            seconds,
        }
    }

    /// The cell of the table.
    #[must_use]
    pub fn cell(&self) -> String {
        let recovery = match self.recovery {
            Some(seconds) => format!("{seconds} s"),
            None => "never".to_owned(),
        };
        format!("{recovery}, {:.0}, {:.0}", self.goodput, self.sent)
    }
}

/// The rows of the table.
#[must_use]
pub const fn rows() -> [(&'static str, Policy); 9] {
    use Order::{Fifo, FifoUnlessExpired, Lifo};
    use Policy::{Plain, Presets};
    [
        ("1 attempt", Plain(1, None, Fifo)),
        ("3 attempts, no budget", Plain(3, None, Fifo)),
        ("3 attempts, budget 20 %", Plain(3, Some(0.2), Fifo)),
        ("3 attempts, budget 10 %", Plain(3, Some(0.1), Fifo)),
        ("3 attempts, budget 5 %", Plain(3, Some(0.05), Fifo)),
        (
            "3 attempts, expired jobs dropped",
            Plain(3, None, FifoUnlessExpired),
        ),
        (
            "budget 20 %, expired jobs dropped",
            Plain(3, Some(0.2), FifoUnlessExpired),
        ),
        ("3 attempts, newest first", Plain(3, None, Lifo)),
        ("presets client and server", Presets),
    ]
}

/// All rows at each load.
///
/// # Panics
/// If what the study teaches does not hold.
#[must_use]
pub fn experiment(seed: u64, watch: Seconds) -> Report {
    let mut report = Report::new("storm", &["policy", "λ=300", "λ=700", "λ=900"]);
    let mut cells = vec![Vec::new(); rows().len()];
    for rate in [300.0, 700.0, 900.0] {
        let file = format!("storm-{rate:.0}");
        let title = format!("Calls that end well, at {rate:.0} calls per second");
        let mut chart = Chart::new(file, title, "s", "calls per second");
        for ((name, policy), cells) in rows().into_iter().zip(&mut cells) {
            let aftermath = simulate(seed, policy, rate, watch);
            check(policy, rate, watch, &aftermath);
            cells.push(aftermath.cell());
            let points = aftermath.seconds.iter().enumerate();
            chart.curve(name, points.map(|(at, it)| (at as f64, f64::from(it.good))));
        }
        report.chart(chart);
    }
    for ((name, _), cells) in rows().into_iter().zip(cells) {
        report.row([name.to_owned()].into_iter().chain(cells));
    }
    report
}

/// What the study teaches, and what our presets claim.
fn check(policy: Policy, rate: f64, watch: Seconds, seen: &Aftermath) {
    let who = format!("{policy:?} at {rate}: {}", seen.cell());
    let well = seen.goodput > 0.95 * seen.offered && seen.recovery.is_some();
    match policy {
        Policy::Presets => assert!(well && seen.recovery.is_some_and(|it| it <= 10), "{who}"),
        Policy::Plain(1, ..) => assert!(well, "{who}"),
        Policy::Plain(_, Some(_), Order::FifoUnlessExpired) => assert!(well, "{who}"),
        // What was sent a second ago waits behind what is sent now, and is done when there is nothing better to do.
        Policy::Plain(_, None, Order::Lifo) => assert!(well, "{who}"),
        // Nobody holds the retries back: three times the load is beyond the capacity, if the load is more than a third of it.
        Policy::Plain(_, None, Order::Fifo) => assert_eq!(well, 3.0 * rate < CAPACITY, "{who}"),
        // Dropping what has expired serves what is about to: it is not enough near the capacity, and a matter of luck between.
        Policy::Plain(_, None, Order::FifoUnlessExpired) if rate > 800.0 => assert!(!well, "{who}"),
        // A budget bounds them, and the server comes back where that bound is within its capacity; near to it that takes more than a minute.
        Policy::Plain(_, Some(share), _)
            if (1.0 + share) * rate < 0.9 * CAPACITY || watch > 120.0 =>
        {
            assert_eq!(well, (1.0 + share) * rate < 0.98 * CAPACITY, "{who}");
        }
        Policy::Plain(..) => {}
    }
    if let Policy::Plain(_, Some(share), _) = policy {
        let sum = |of: fn(&Second) -> u32| seen.seconds.iter().map(of).sum::<u32>();
        let (offered, sent) = (sum(|it| it.offered), sum(|it| it.sent));
        assert!(
            f64::from(sent) <= (1.0 + share) * f64::from(offered),
            "{sent} of {offered}, {who}"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn presets_let_a_server_come_back_where_a_budget_alone_does_not() {
        for chart in experiment(1, 60.0).charts() {
            chart.write().unwrap();
        }
    }
}
