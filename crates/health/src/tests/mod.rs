//! The registry in paused time: who runs a check, who waits for it, and what is said.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::join_all;
use seaworthy_kit::Event;
use seaworthy_kit::testing::Recorder;
use tokio::sync::Notify;
use tokio::time::{Instant, advance};

use crate::{Check, Health, Overall, Reading, Status};

mod background;
mod drain;
mod groups;
mod judged;
mod stages;
mod upstream;

#[cfg(feature = "metrics")]
mod metrics;

#[cfg(feature = "net")]
mod ready_made;

#[cfg(feature = "http")]
mod face;

#[cfg(feature = "grpc")]
mod grpc;

const SECOND: Duration = Duration::from_secs(1);

/// A check that counts its runs and waits until it is let go.
#[derive(Clone, Default)]
struct Probe {
    runs: Arc<AtomicUsize>,
    go: Arc<Notify>,
}

impl Probe {
    fn check(&self, name: &str) -> Check {
        let probe = self.clone();
        Check::new(name, move || {
            let probe = probe.clone();
            probe.runs.fetch_add(1, Ordering::SeqCst);
            async move { probe.go.notified().await }
        })
    }

    fn runs(&self) -> usize {
        self.runs.load(Ordering::SeqCst)
    }
}

/// A check that says what it is told to say.
#[derive(Clone)]
struct Said(Arc<std::sync::Mutex<Reading>>);

impl Said {
    fn new(reading: Reading) -> Self {
        Self(Arc::new(std::sync::Mutex::new(reading)))
    }

    fn says(&self, reading: Reading) {
        *self.0.lock().unwrap() = reading;
    }

    fn check(&self, name: &str) -> Check {
        let said = self.clone();
        Check::new(name, move || {
            std::future::ready(said.0.lock().unwrap().clone())
        })
    }
}

fn status(health: &Health, name: &str) -> Option<Status> {
    health.snapshot().check(name).unwrap().status
}

#[tokio::test(start_paused = true)]
async fn thousand_probes_run_each_check_once() {
    let probes = [Probe::default(), Probe::default(), Probe::default()];
    let checks = probes.iter().enumerate();
    let checks = checks.map(|(at, probe)| probe.check(&at.to_string()));
    let health = Health::builder("x").checks(checks).build().unwrap();
    let asked: Vec<_> = (0..1_000)
        .map(|at| {
            let health = health.clone();
            tokio::spawn(async move {
                if at % 2 == 0 {
                    health.report().await
                } else {
                    health.ready().await
                }
            })
        })
        .collect();
    tokio::task::yield_now().await;
    advance(SECOND).await;
    for probe in &probes {
        probe.go.notify_one();
    }
    for report in join_all(asked).await {
        assert_eq!(report.unwrap().overall, Overall::Healthy);
    }
    assert_eq!(probes.map(|probe| probe.runs()), [1; 3]);
}

#[tokio::test(start_paused = true)]
async fn dropped_probe_does_not_end_the_run_for_the_others() {
    let probe = Probe::default();
    let health = Health::builder("x")
        .check(probe.check("a"))
        .build()
        .unwrap();
    let mut first = Box::pin(health.report());
    assert!((&mut first).now_or_never().is_none());
    let mut second = Box::pin(health.report());
    assert!((&mut second).now_or_never().is_none());
    drop(first);
    tokio::task::yield_now().await;
    assert_eq!(probe.runs(), 1);
    probe.go.notify_one();
    assert_eq!(second.await.overall, Overall::Healthy);
    assert_eq!(probe.runs(), 1);
    assert!(health.report().now_or_never().is_some(), "it is kept");
}

#[tokio::test(start_paused = true)]
async fn result_is_kept_for_its_age() {
    let probe = Probe::default();
    let health = Health::builder("x")
        .check(probe.check("a"))
        .build()
        .unwrap();
    for runs in 1..4 {
        probe.go.notify_one();
        for _ in 0..3 {
            health.report().await;
            assert_eq!(probe.runs(), runs);
        }
        advance(5 * SECOND).await;
    }
}

#[tokio::test(start_paused = true)]
async fn checks_run_at_once_and_none_delays_an_answer_beyond_its_timeout() {
    let hangs = |name: &str| Check::new(name, std::future::pending::<()>);
    let slow = || async { tokio::time::sleep(2 * SECOND).await };
    let health = Health::builder("x")
        .check(hangs("a"))
        .check(hangs("b").timeout(SECOND).timeout_fails().critical(false))
        .check(Check::new("c", slow))
        .build()
        .unwrap();
    let began = Instant::now();
    let report = health.report().await;
    assert_eq!(began.elapsed(), 3 * SECOND);
    assert_eq!(report.overall, Overall::Degraded);
    assert!(report.ready, "silence is no failure");
    let [a, b, c] = ["a", "b", "c"].map(|name| report.check(name).unwrap().clone());
    assert_eq!(
        [a.status, b.status, c.status],
        [Status::Warn, Status::Fail, Status::Pass].map(Some)
    );
    assert_eq!(a.error.as_deref(), Some("no answer within 3s"));
    assert_eq!(
        [a.response_time, c.response_time],
        [Some(3 * SECOND), Some(2 * SECOND)]
    );
    // It was dropped, and so may be tried again.
    advance(5 * SECOND).await;
    assert!(health.report().now_or_never().is_none());
}

/// Only a thread of its own can be blocked without blocking the test.
#[test]
fn check_that_blocks_its_thread_delays_nobody_and_is_not_started_twice() {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(2).enable_time().build().unwrap();
    let (unblock, blocked) = std::sync::mpsc::channel::<()>();
    let blocked = Arc::new(std::sync::Mutex::new(blocked));
    let runs = Arc::new(AtomicUsize::new(0));
    let check = Check::new("a", {
        let runs = runs.clone();
        move || {
            let blocked = blocked.clone();
            runs.fetch_add(1, Ordering::SeqCst);
            async move {
                let _ = blocked.lock().unwrap().recv();
            }
        }
    });
    let timeout = Duration::from_millis(20);
    let check = check.timeout(timeout).max_age(Duration::ZERO);
    let health = Health::builder("x").check(check).build().unwrap();
    runtime.block_on(async {
        for _ in 0..3 {
            assert_eq!(health.report().await.overall, Overall::Degraded);
        }
    });
    assert_eq!(runs.load(Ordering::SeqCst), 1);
    drop(unblock);
}

/// One that has ended before the next question must not be taken for one that was not asked.
#[test]
fn readiness_asks_each_check_once() {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(2).enable_time().build().unwrap();
    let runs = Arc::new(AtomicUsize::new(0));
    let counts = {
        let runs = runs.clone();
        Check::new("critical", move || {
            runs.fetch_add(1, Ordering::SeqCst);
            std::future::ready(())
        })
    };
    let others = (0..100).map(|at| Check::new(at.to_string(), || async {}).critical(false));
    let health = Health::builder("x")
        .max_age(Duration::ZERO)
        .check(counts)
        .checks(others)
        .build()
        .unwrap();
    runtime.block_on(async {
        for asked in 1..200 {
            assert!(health.ready().await.ready);
            assert_eq!(runs.load(Ordering::SeqCst), asked);
        }
    });
}

#[test]
fn run_that_its_runtime_drops_holds_nobody() {
    let health = Health::builder("x")
        .check(Probe::default().check("a"))
        .build()
        .unwrap();
    let runtime = || {
        tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap()
    };
    let first = runtime();
    first.block_on(async {
        assert!(health.report().now_or_never().is_none());
        tokio::task::yield_now().await;
    });
    drop(first);
    assert_eq!(status(&health, "a"), None);
    runtime().block_on(async {
        assert!(health.report().now_or_never().is_none(), "it runs again");
    });
}

/// Of another runtime than theirs.
#[test]
fn run_that_its_runtime_drops_wakes_those_who_wait() {
    let probe = Probe::default();
    let health = Health::builder("x").check(probe.check("a")).build();
    let health = health.unwrap();
    let entry = &health.registry().entries()[0];
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let first = builder.enable_time().build().unwrap();
    let run = first.block_on(async { entry.renew() }).expect("it runs");
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let second = builder.enable_time().start_paused(true).build().unwrap();
    second.block_on(async {
        let mut waits = Box::pin(entry.wait(run));
        assert!((&mut waits).now_or_never().is_none());
        first.shutdown_background();
        assert!(waits.now_or_never().is_some());
    });
}
