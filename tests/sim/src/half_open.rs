//! Half-open: 500 clients, each with a circuit of its own, and one server that is down and comes back.
//!
//! What is at stake is the herd: all circuits opened together, and must neither probe together nor find the server at its knees again.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use seaworthy::Event;
use seaworthy::circuit_breaker::{CircuitBreakerHandle, State};
use seaworthy::prelude::*;
use tower::{Layer as _, ServiceExt as _, service_fn};

use crate::invariants::watch;
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

/// What a run came to.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Herd {
    /// What each second saw.
    pub seconds: Vec<Second>,
    /// When the last circuit had opened.
    pub all_opened: Seconds,
    /// The most calls that the server saw in one second from then until it was back.
    pub peak: u32,
    /// All calls that it saw in that time.
    pub probes: u32,
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
    let notes = Arc::new(Mutex::new(Notes::default()));
    let mut handles = Vec::new();
    let mut loads = tokio::task::JoinSet::new();
    for _ in 0..CLIENTS {
        let circuit = CircuitBreakerLayer::plain("server")
            .build()
            .expect("defaults");
        watch(&ledger, &circuit.handle());
        note(world, &circuit.handle(), Arc::clone(&notes));
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
    let notes = notes.lock().unwrap_or_else(PoisonError::into_inner);
    let all_open = whole(notes.all_opened) + 1..whole(BACK);
    Herd {
        peak: all_open
            .clone()
            .map(|at| seconds[at].sent)
            .max()
            .unwrap_or(0),
        probes: all_open.map(|at| seconds[at].sent).sum(),
        all_opened: notes.all_opened,
        closed_after: notes.all_closed - BACK,
        seconds,
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

/// Notes when the circuit opens for the first time, and when it closes.
fn note(world: World, handle: &CircuitBreakerHandle, notes: Arc<Mutex<Notes>>) {
    let opened = AtomicBool::new(false);
    let listener = handle.subscribe(move |report| {
        let Event::CircuitChanged { to, .. } = report.event else {
            return;
        };
        let mut notes = notes.lock().unwrap_or_else(PoisonError::into_inner);
        match *to {
            "open" if !opened.swap(true, Ordering::Relaxed) => notes.all_opened = world.now(),
            "closed" => notes.all_closed = world.now(),
            _ => {}
        }
    });
    listener.forever();
}

/// When the last circuit did something.
#[derive(Default)]
struct Notes {
    /// Opened for the first time.
    all_opened: Seconds,
    /// Closed.
    all_closed: Seconds,
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
    // The outage has room for three openings after the first, and one failed probe begins each.
    assert!(
        herd.probes as usize <= 3 * CLIENTS,
        "{} probes of {CLIENTS} circuits",
        herd.probes
    );
    assert!(
        herd.closed_after < 150.0,
        "the last circuit closed after {} s",
        herd.closed_after
    );

    let mut report = Report::new("half-open", &["what", "figure"]);
    report.row(["calls offered per second".into(), format!("{offered:.0}")]);
    report.row([
        "seconds of the outage until the last circuit was open".into(),
        format!("{:.0}", herd.all_opened - DOWN),
    ]);
    report.row([
        "most probes in a second of the rest of it".into(),
        herd.peak.to_string(),
    ]);
    report.row([
        "all probes of the rest of it, by 500 circuits".into(),
        herd.probes.to_string(),
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
