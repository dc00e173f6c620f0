//! Overload by callers who do not wait for one another: what a server still serves in time, bare and behind an adaptive limit.
//!
//! The capacity is set by the handler, eight slots and a fixed time, far below what the machine carries.
//! Everything is counted within one run and compared with what the same server serves when it is asked for just as much as it can.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::routing::get;
use http::{HeaderValue, Request, StatusCode};
use seaworthy::adaptive::AdaptiveHandle;
use seaworthy::prelude::*;
use seaworthy_tests::{Answer, Protocol, Server, eventually};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};
use tower::{ServiceBuilder, ServiceExt};

/// How many calls the handler can work on at once.
const SLOTS: usize = 8;

/// How long it works on each: with the slots, 100 calls a second.
const WORK: Duration = Duration::from_millis(80);

const CAPACITY: u32 = 100;

/// How long a caller waits before it hangs up.
const PATIENCE: Duration = Duration::from_millis(400);

/// How long a load lasts; its first half is for the limit to be found, and not counted.
const RUN: Duration = Duration::from_secs(4);

/// What came of the calls of one load, of the second half of it.
#[derive(Clone, Copy, Default, Debug)]
struct Tally {
    offered: u32,
    /// Answered well, and in time.
    good: u32,
}

impl Tally {
    fn share(self) -> f64 {
        f64::from(self.good) / f64::from(self.offered)
    }
}

/// The handler: whoever finds no slot waits for one, the first first.
fn routes() -> Router {
    let slots = Arc::new(Semaphore::new(SLOTS));
    let work = move || {
        let slots = slots.clone();
        async move {
            let _slot = slots.acquire().await.unwrap();
            sleep(WORK).await;
        }
    };
    Router::new().route("/", get(work))
}

/// The same behind an adaptive limit.
async fn limited() -> (Server, AdaptiveHandle) {
    let limit = AdaptiveLayer::http("server").queue(SLOTS).build().unwrap();
    let handle = limit.handle();
    let stack = ServiceBuilder::new()
        .layer(RespondLayer::new())
        .layer(DeadlineLayer::http("server").build().unwrap())
        .layer(CriticalityLayer::new())
        .layer(limit);
    (Server::axum(routes().layer(stack)).await, handle)
}

/// Offers `tenths` tenths of the capacity, evenly, whatever becomes of the calls; every `critical`th is critical, the others may be shed first.
/// Gives what came of the critical ones and of the others.
async fn offer(server: &Server, tenths: u32, critical: usize) -> [Tally; 2] {
    let client = Protocol::Http1.hyper::<Body>();
    let gap = Duration::from_secs(10) / (CAPACITY * tenths);
    let calls = usize::try_from(RUN.as_nanos() / gap.as_nanos()).unwrap();
    let mut due = interval(gap);
    due.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut running = JoinSet::new();
    for number in 0..calls {
        due.tick().await;
        let (client, mut request) = (client.clone(), server.get("/"));
        let is_critical = number % critical == 0;
        let class = if is_critical { "critical" } else { "sheddable" };
        told(&mut request, "x-criticality", class);
        told(&mut request, "x-request-timeout-ms", "400");
        running.spawn(async move {
            let answer = async {
                Answer::read(client.oneshot(request).await.ok()?)
                    .await
                    .into()
            };
            let answer: Option<Answer> = timeout(PATIENCE, answer).await.ok().flatten();
            let good = answer.is_some_and(|answer| answer.status == StatusCode::OK);
            (number >= calls / 2).then_some((is_critical, good))
        });
    }
    let mut tallies = [Tally::default(); 2];
    while let Some(call) = running.join_next().await {
        if let Some((is_critical, good)) = call.unwrap() {
            let tally = &mut tallies[usize::from(!is_critical)];
            tally.offered += 1;
            tally.good += u32::from(good);
        }
    }
    tallies
}

fn told(request: &mut Request<Body>, name: &'static str, value: &'static str) {
    let value = HeaderValue::from_static(value);
    request.headers_mut().insert(name, value);
}

fn good(tallies: [Tally; 2]) -> f64 {
    tallies.iter().map(|tally| f64::from(tally.good)).sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn limited_server_keeps_its_goodput_where_a_bare_one_collapses() {
    let (limited, handle) = limited().await;
    let peak = good(offer(&limited, 10, 1).await);
    let bare = Server::axum(routes()).await;
    let bare_peak = good(offer(&bare, 10, 1).await);
    for times in [2, 5, 10] {
        let served = good(offer(&limited, 10 * times, 1).await);
        assert!(
            served >= 0.85 * peak,
            "{served} of {peak} at {times} times the capacity: {:?}",
            handle.snapshot()
        );
    }
    let served = good(offer(&bare, 50, 1).await);
    assert!(served < 0.5 * bare_peak, "{served} of {bare_peak}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn critical_calls_get_through_an_overload_that_leaves_nothing_behind() {
    let (server, handle) = limited().await;
    // A quarter of the capacity is critical, in five times the capacity.
    let [critical, sheddable] = offer(&server, 50, 20).await;
    assert!(
        critical.share() >= 0.99,
        "{critical:?}, {:?}",
        handle.snapshot()
    );
    assert!(sheddable.share() < 0.5, "{sheddable:?}");
    assert!(sheddable.good > 0, "{sheddable:?}");
    eventually("nobody waits or runs any more", || {
        let seen = handle.snapshot();
        seen.running == 0 && seen.waiting == 0
    })
    .await;
    // Whoever comes when it is over is served, and be it the least important.
    let [critical, sheddable] = offer(&server, 5, 2).await;
    assert_eq!(critical.good, critical.offered);
    assert_eq!(sheddable.good, sheddable.offered);
}
