//! Leases of a shared rate limit: what they save, and what they cost.
//!
//! The only experiment with a server, a Redis, and so the only one whose time is not paused.
//! The limit is a thousand in a hundred days: time plays no part but where it is made to pass, by what it does, which is to fill the quota up.

use std::time::Duration;

use redis::Client;
use seaworthy::rate_limit::{Quota, SharedLimit};
use servers::{Proxy, Redis};

use crate::report::Report;
use chart::{Chart, Place};

const UNITS: u64 = 1000;
const LIMIT: Quota = Quota::new(UNITS, Duration::from_secs(100 * 24 * 3600));
/// The units of a lease; one is none.
const LEASES: [u64; 4] = [1, 10, 20, 50];
const PROCESSES: [u64; 4] = [1, 2, 5, 10];

/// What the worst moment came to.
#[derive(Clone, Copy, PartialEq, Debug)]
#[non_exhaustive]
pub struct Seen {
    /// Calls that were admitted at once.
    pub admitted: u64,
    /// Round trips for each check of a process that has its leases, one after the other.
    pub round_trips: f64,
}

/// One process.
struct Process {
    wire: Proxy,
    limit: SharedLimit,
}

/// One run: each process has a lease in hand when the quota is full again, and then all call at once until nobody has anything left.
///
/// # Panics
/// If there is no Redis on this machine.
#[must_use]
pub fn simulate(redis: &Redis, processes: u64, lease: u64) -> Seen {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime of one thread needs nothing");
    runtime.block_on(storm(redis, processes, lease))
}

async fn storm(redis: &Redis, processes: u64, lease: u64) -> Seen {
    refill(redis);
    let processes: Vec<_> = (0..processes).map(|_| Process::new(redis, lease)).collect();
    for process in &processes {
        // A key that is seen a second time has a lease taken.
        let _ = (process.admits().await, process.admits().await);
    }
    refill(redis);
    for process in &processes {
        let _ = process.wire.take_turns();
    }
    let (mut admitted, mut is_spent) = (0, false);
    while !is_spent {
        is_spent = true;
        for process in &processes {
            if process.admits().await {
                admitted += 1;
                is_spent = false;
            }
        }
    }
    let turns: usize = processes.iter().map(|it| it.wire.take_turns()).sum();
    Seen {
        admitted,
        round_trips: turns as f64 / admitted as f64,
    }
}

impl Process {
    fn new(redis: &Redis, lease: u64) -> Self {
        let wire = Proxy::to(redis.address());
        let client = Client::open(format!("redis://{}/", wire.address()));
        let limit = SharedLimit::builder("leases", client.expect("a valid address"))
            .quota(LIMIT)
            .hold(Duration::from_secs(3600))
            .timeout(Duration::from_secs(20));
        let limit = match lease {
            1 => limit,
            units => limit.lease(units as f64 / UNITS as f64),
        };
        let limit = limit.build().expect("a valid limit");
        Self { wire, limit }
    }

    async fn admits(&self) -> bool {
        self.limit.check("key", 1).await.is_ok()
    }
}

/// Lets the quota be full again, as time does.
fn refill(redis: &Redis) {
    let client = Client::open(redis.url()).expect("a valid address");
    let mut connection = client.get_connection().expect("it runs");
    let _: () = redis::cmd("FLUSHDB")
        .query(&mut connection)
        .expect("it runs");
}

/// Each lease with each number of processes, and what must hold.
///
/// # Panics
/// If it does not, or if there is no Redis on this machine.
#[must_use]
pub fn experiment() -> Report {
    let redis = Redis::start();
    let mut report = Report::new(
        "leases",
        &[
            "units in a lease",
            "round trips for 100 checks",
            "most at once, of 1000: 1 process",
            "2",
            "5",
            "10",
            "bound for 10",
        ],
    );
    let mut chart = Chart::new(
        "leases",
        "A limit of 1000 that processes share: what is beyond it at the worst moment",
        "processes",
        "calls beyond the limit",
    )
    .names(Place::UpperLeft);
    for lease in LEASES {
        let seen = PROCESSES.map(|processes| simulate(&redis, processes, lease));
        for (processes, seen) in PROCESSES.into_iter().zip(seen) {
            check(processes, lease, seen);
        }
        let name = match lease {
            1 => "none".to_owned(),
            units => units.to_string(),
        };
        let held = if lease == 1 { 0 } else { lease };
        let mut row = vec![name.clone(), format!("{:.0}", 100.0 * seen[0].round_trips)];
        row.extend(seen.map(|it| it.admitted.to_string()));
        row.push((UNITS + 10 * held).to_string());
        report.row(row);
        let points = PROCESSES.into_iter().zip(seen);
        let points = points.map(|(processes, it)| (processes as f64, (it.admitted - UNITS) as f64));
        chart.curve(format!("leases: {name}"), points.collect::<Vec<_>>());
    }
    report.show(chart);
    report
}

fn check(processes: u64, lease: u64, seen: Seen) {
    let who = format!("{processes} processes, {lease} in a lease: {seen:?}");
    // One of each lease was spent before.
    assert_eq!(seen.admitted, UNITS + processes * (lease - 1), "{who}");
    let held = if lease == 1 { 0 } else { lease };
    assert!(seen.admitted <= UNITS + processes * held, "{who}");
    assert!(seen.round_trips <= 1.1 / lease as f64 + 0.01, "{who}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leases_admit_no_more_than_their_bound_and_save_the_round_trips() {
        experiment().assert_told();
    }
}
