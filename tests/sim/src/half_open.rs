//! Half-open: 500 clients, each with a circuit of its own, and one server that is down and comes back.
//!
//! What is at stake is the herd: all circuits opened together, and must neither probe together nor find the server at its knees again.

use std::sync::{Arc, Mutex, PoisonError};

use seaworthy::circuit_breaker::{CircuitBreakerHandle, State};
use seaworthy::prelude::*;
use seaworthy::{Event, Subscription};
use tower::{Layer as _, ServiceExt as _, service_fn};

use crate::ledger::{Ledger, Second};
use crate::load::poisson;
use crate::report::Report;
use crate::world::{Chance, Seconds, World, run};
use chart::Chart;

const CLIENTS: usize = 500;
/// Calls per second of one client.
const RATE: f64 = 2.0;
const DOWN: Seconds = 30.0;
const BACK: Seconds = 210.0;
const END: Seconds = 600.0;
/// Probes that one circuit lets out at a time, by default.
const PROBES: usize = 3;

/// What a run came to.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Herd {
    /// What each second saw.
    pub seconds: Vec<Second>,
    /// The most calls that the server saw in one second while it was down and all circuits were open or probing.
    pub peak: u32,
    /// When the last circuit had closed, in seconds after the server was back.
    pub closed_after: Seconds,
}

/// One run.
///
/// # Panics
/// If a circuit refuses a call although its time is over, or does not close in the end.
#[must_use]
pub fn simulate(seed: u64) -> Herd {
    run(seed, herd)
}

async fn herd(world: World, mut chance: Chance) -> Herd {
    let ledger = Ledger::new(world);
    let last_closed = Arc::new(Mutex::new(0.0));
    let mut watchers = Vec::new();
    let mut handles = Vec::new();
    let mut loads = tokio::task::JoinSet::new();
    for _ in 0..CLIENTS {
        let circuit = CircuitBreakerLayer::plain("server")
            .build()
            .expect("defaults");
        watchers.push(watch(world, &circuit.handle(), Arc::clone(&last_closed)));
        handles.push(circuit.handle());
        let server = {
            let ledger = ledger.clone();
            service_fn(move |()| {
                ledger.sent();
                let up = !(DOWN..BACK).contains(&world.now());
                async move { if up { Ok(()) } else { Err("down") } }
            })
        };
        let client = circuit.layer(server);
        let call = move || {
            let call = client.clone().oneshot(());
            async move { call.await.is_ok() }
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
    let _ = ledger.close();
    assert!(
        handles.iter().all(|handle| handle.state() == State::Closed),
        "all circuits close by themselves"
    );
    let seconds = ledger.seconds();
    // By then every client had made the calls that its circuit asks for.
    let settled = &seconds[90..210];
    let closed = *last_closed.lock().unwrap_or_else(PoisonError::into_inner);
    Herd {
        peak: settled.iter().map(|it| it.sent).max().unwrap_or(0),
        closed_after: closed - BACK,
        seconds,
    }
}

/// Sees to it that an open circuit is probed by the first call after its time.
fn watch(
    world: World,
    handle: &CircuitBreakerHandle,
    last_closed: Arc<Mutex<Seconds>>,
) -> Subscription {
    let until = Mutex::new(None);
    handle.subscribe(move |report| {
        let mut until = until.lock().unwrap_or_else(PoisonError::into_inner);
        match report.event {
            Event::CircuitChanged {
                to: "open",
                open_for,
                ..
            } => {
                let open_for = open_for.expect("an open circuit knows for how long");
                *until = Some(world.now() + open_for.as_secs_f64());
            }
            Event::CircuitChanged { to, .. } => {
                *until = None;
                if *to == "closed" {
                    *last_closed.lock().unwrap_or_else(PoisonError::into_inner) = world.now();
                }
            }
            Event::Refused { .. } => {
                assert!(
                    until.is_none_or(|until| world.now() <= until),
                    "a call was refused at {}, and the circuit was open until {until:?}",
                    world.now()
                );
            }
            _ => {}
        }
    })
}

/// The run, and what must hold of it.
///
/// # Panics
/// If it does not.
#[must_use]
pub fn experiment(seed: u64) -> Report {
    let herd = simulate(seed);
    let offered = CLIENTS as f64 * RATE;
    // 30 s at first, 60 s and 120 s later, each ±10 %, and one probe ends an opening: the herd spreads.
    assert!(
        f64::from(herd.peak) < offered / 4.0,
        "{} probes in a second",
        herd.peak
    );
    assert!(
        herd.seconds[90..210]
            .iter()
            .map(|it| it.sent as usize)
            .sum::<usize>()
            <= 3 * CLIENTS * PROBES
    );
    assert!(
        herd.closed_after < 150.0,
        "the last circuit closed after {} s",
        herd.closed_after
    );

    let mut report = Report::new("half-open", &["what", "figure"]);
    report.row(["calls offered per second".into(), format!("{offered:.0}")]);
    report.row([
        "most probes in a second of the outage".into(),
        herd.peak.to_string(),
    ]);
    report.row([
        "last circuit closed, after the server was back".into(),
        format!("{:.0} s", herd.closed_after),
    ]);
    let mut chart = Chart::new(
        "half-open",
        "500 clients, one server that is down from 30 s to 210 s",
        "s",
        "calls per second",
    );
    let curve = |of: fn(&Second) -> u32| {
        let points: Vec<_> = herd
            .seconds
            .iter()
            .enumerate()
            .map(|(at, it)| (at as f64, f64::from(of(it))))
            .collect();
        points
    };
    chart.curve("that reached the server", curve(|it| it.sent));
    chart.curve("that ended well", curve(|it| it.good));
    report.chart(chart);
    report
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recovering_server_sees_a_bounded_number_of_probes() {
        for chart in experiment(1).charts() {
            chart.write().unwrap();
        }
    }
}
