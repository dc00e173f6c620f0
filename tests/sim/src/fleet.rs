//! A fleet: 200 clients and 20 servers with the presets, and crashes, pauses and partitions at random.
//!
//! It has no figure to reach; it holds the invariants: no call is lost, every call ends once, a server never runs more calls than its limit, and once the faults are over everything works again by itself.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use seaworthy::circuit_breaker::CircuitBreakerHandle;
use seaworthy::http::replay::ReplayBody;
use seaworthy::{client, server};
use tower::util::BoxCloneSyncService;
use tower::{Layer as _, Service, ServiceExt as _, service_fn};

use crate::cpu::{Cpu, Order};
use crate::invariants::{Limit, watch};
use crate::ledger::{Ledger, Second};
use crate::load::poisson;
use crate::net::{Fault, Link, Lost};
use crate::report::Report;
use crate::world::{Chance, Seconds, World, run};
use chart::Chart;

const CLIENTS: usize = 200;
const SERVERS: usize = 20;
/// Calls per second of one client, each to a server at random.
const RATE: f64 = 4.0;
/// Calls that a server runs at a time.
const LIMIT: usize = 30;
const FAULTS_FROM: Seconds = 20.0;
const FAULTS_TO: Seconds = 140.0;
const END: Seconds = 260.0;

/// What a run came to.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Seen {
    /// What each second saw.
    pub seconds: Vec<Second>,
    /// The most calls that any server ran at a time.
    pub most_running: usize,
    /// Faults that were made.
    pub faults: usize,
}

/// One server of the fleet: its way, its processor, and what it runs.
#[derive(Clone)]
struct Node {
    link: Link,
    cpu: Cpu,
    running: Limit,
}

/// One run of so many seconds.
///
/// # Panics
/// If a call was lost.
#[must_use]
pub fn simulate(seed: u64, end: Seconds) -> Seen {
    run(seed, |world, chance| fleet(world, chance, end))
}

async fn fleet(world: World, mut chance: Chance, end: Seconds) -> Seen {
    let ledger = Ledger::new(world);
    let nodes: Arc<[Node]> = (0..SERVERS)
        .map(|_| Node {
            link: Link::new(world, chance.fork(), 0.002),
            cpu: Cpu::start(world, 4, Order::Fifo),
            running: Limit::new(&ledger, LIMIT),
        })
        .collect();
    let ways = ways(world, &nodes, &ledger, &mut chance);
    let faults = tokio::spawn(torment(world, chance.fork(), Arc::clone(&nodes), end));

    let mut loads = tokio::task::JoinSet::new();
    for _ in 0..CLIENTS {
        let stack = client("fleet")
            .http()
            .circuit_breaker(|circuit| {
                // With room to spare: which key gives way when there is none depends on a hash that no seed decides.
                let servers = NonZeroUsize::new(50 * SERVERS).expect("there are servers");
                let by_server = |request: &Request<_>| server_of(request);
                let by_name = |server: &usize| Some(server.to_string());
                circuit
                    .consecutive_failures(5)
                    .keyed_with_label(servers, by_server, by_name)
            })
            .build()
            .expect("the preset is valid");
        // The circuits of all servers have the listeners of one.
        let any = stack.circuit_breaker().get_or_make(&0);
        watch(&ledger, &CircuitBreakerHandle::from(any));
        let service = stack.layer(ways.clone());
        let mut targets = chance.fork();
        let call = move || {
            let uri = format!("http://{}/", targets.below(SERVERS));
            let request = Request::get(uri).body(Full::<Bytes>::default());
            let answer = service.clone().oneshot(request.expect("a valid request"));
            async move {
                match answer.await {
                    Ok(response) => {
                        let well = response.status().is_success();
                        response.into_body().collect().await.is_ok() && well
                    }
                    Err(_) => false,
                }
            }
        };
        loads.spawn(poisson(
            world,
            ledger.clone(),
            chance.fork(),
            RATE,
            end,
            call,
        ));
    }
    while let Some(load) = loads.join_next().await {
        load.expect("a load does not panic");
    }
    let _ = ledger.close();
    for node in &*nodes {
        assert_eq!(node.running.now(), 0, "a handler is left");
    }
    Seen {
        most_running: nodes
            .iter()
            .map(|node| node.running.most())
            .max()
            .unwrap_or(0),
        faults: faults.await.expect("the faults do not panic"),
        seconds: ledger.seconds(),
    }
}

fn server_of<B>(request: &Request<B>) -> usize {
    let host = request.uri().host().unwrap_or_default();
    host.parse().expect("requests go to servers of the fleet")
}

/// A server's answer, whatever its layers made of the body.
type Body = http_body_util::combinators::UnsyncBoxBody<Bytes, Lost>;

/// The network as one service, which finds the server by the request's host.
fn ways(
    world: World,
    nodes: &[Node],
    ledger: &Ledger,
    chance: &mut Chance,
) -> impl Service<
    Request<ReplayBody<Full<Bytes>>>,
    Response = Response<Body>,
    Error = Lost,
    Future: Send,
> + Clone
+ Send
+ 'static {
    let servers: Vec<_> = nodes
        .iter()
        .map(|node| {
            let (cpu, running) = (node.cpu.clone(), node.running.clone());
            let chance = Arc::new(Mutex::new(chance.fork()));
            let handler = service_fn(move |_: Request<ReplayBody<Full<Bytes>>>| {
                let work = chance.lock().expect("nothing panics under it").gap(200.0);
                let (cpu, inside) = (cpu.clone(), running.enter());
                async move {
                    let _inside = inside;
                    let done = cpu.run(world.now(), work, f64::INFINITY).await;
                    done.map(|()| Response::new(Full::new(Bytes::from_static(b"done"))))
                        .map_err(|_| Lost::Broken)
                }
            });
            let stack = server("fleet")
                .http()
                .bulkhead(|bulkhead| bulkhead.max_concurrent(LIMIT))
                .build()
                .expect("the preset is valid");
            let served = stack.layer(handler);
            let boxed = served.map_response(|response: Response<_>| {
                response.map(|body| body.map_err(|_| Lost::Broken).boxed_unsync())
            });
            (node.link.clone(), BoxCloneSyncService::new(boxed))
        })
        .collect();
    let (servers, ledger) = (Arc::new(servers), ledger.clone());
    service_fn(move |request: Request<_>| {
        ledger.sent();
        let (link, server) = &servers[server_of(&request)];
        link.send(server.clone(), request)
    })
}

/// Breaks a server at a time, in one way or another, for some seconds.
async fn torment(world: World, mut chance: Chance, nodes: Arc<[Node]>, end: Seconds) -> usize {
    let mut faults = 0;
    let mut healing = tokio::task::JoinSet::new();
    let mut next = FAULTS_FROM;
    while next < FAULTS_TO.min(end) {
        world.at(next).await;
        faults += 1;
        let node = nodes[chance.below(SERVERS)].clone();
        let until = world.now() + 3.0 + 12.0 * chance.share();
        match chance.below(3) {
            0 => node.link.set(Fault::Crashed),
            1 => node.link.set(Fault::Partitioned),
            _ => node.cpu.set_speed(0.001),
        }
        healing.spawn(async move {
            world.at(until).await;
            node.link.set(Fault::None);
            node.cpu.set_speed(1.0);
        });
        next += chance.gap(0.5);
    }
    while healing.join_next().await.is_some() {}
    faults
}

/// The run, and what must hold of it.
///
/// # Panics
/// If it does not.
#[must_use]
pub fn experiment(seed: u64) -> Report {
    let seen = simulate(seed, END);
    let good = |from: usize, to: usize| {
        let good: u32 = seen.seconds[from..to].iter().map(|it| it.good).sum();
        let bad: u32 = seen.seconds[from..to].iter().map(|it| it.bad).sum();
        f64::from(good) / f64::from(good + bad)
    };
    let (before, meanwhile, after) = (good(5, 20), good(20, 140), good(240, 259));
    assert!(
        before > 0.999 && after > 0.99,
        "{before} before, {after} after the faults"
    );
    let mut report = Report::new("fleet", &["calls that end well", "share"]);
    for (name, share) in [
        ("before the faults", before),
        ("meanwhile", meanwhile),
        ("afterwards", after),
    ] {
        report.row([name.to_owned(), format!("{:.2} %", 100.0 * share)]);
    }
    report.row(["faults".to_owned(), seen.faults.to_string()]);
    report.row([
        "most calls of a server at a time, of 30".to_owned(),
        seen.most_running.to_string(),
    ]);
    let mut chart = Chart::new(
        "fleet",
        "200 clients, 20 servers, faults from 20 s to 140 s",
        "s",
        "calls per second",
    );
    let curve = |of: fn(&Second) -> u32| -> Vec<_> {
        let seconds = seen.seconds.iter().take(260).enumerate();
        seconds
            .map(|(at, it)| (at as f64, f64::from(of(it))))
            .collect()
    };
    chart.curve("offered", curve(|it| it.offered));
    chart.curve("ended well", curve(|it| it.good));
    report.chart(chart);
    report
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn same_seed_is_the_same_run() {
        assert_eq!(simulate(3, 30.0).seconds, simulate(3, 30.0).seconds);
    }

    #[test]
    fn fleet_under_faults_loses_no_call_and_comes_back() {
        for chart in experiment(1).charts() {
            chart.write().unwrap();
        }
    }
}
