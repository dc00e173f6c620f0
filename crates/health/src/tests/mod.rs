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
mod stages;
mod upstream;

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

#[tokio::test(start_paused = true)]
async fn failure_fails_and_panics_fail_wherever_they_come_from() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            // Not while another panic unwinds, which would abort.
            if !std::thread::panicking() {
                std::panic::resume_unwind(Box::new(()));
            }
        }
    }
    fn panics() {
        std::panic::resume_unwind(Box::new(()));
    }
    let bomb = || async {
        let _bomb = Bomb;
    };
    let health = Health::builder("x")
        .check(Check::new("fails", || async { Err::<(), _>("refused") }))
        .check(Check::new("call", || -> std::future::Ready<()> {
            std::panic::resume_unwind(Box::new(()))
        }))
        .check(Check::new("poll", || async { panics() }))
        .check(Check::new("drop", bomb))
        .build()
        .unwrap();
    let report = health.report().await;
    assert_eq!((report.overall, report.ready), (Overall::Unhealthy, false));
    let told: Vec<_> = report
        .checks
        .iter()
        .map(|it| (it.status, it.error.as_deref().unwrap()))
        .collect();
    let panicked = (Some(Status::Fail), "the check panicked");
    let fails = (Some(Status::Fail), "refused");
    assert_eq!(told, [fails, panicked, panicked, panicked]);
}

/// What is foreign may panic also when it is dropped.
#[tokio::test(start_paused = true)]
async fn check_that_panics_as_its_time_is_over_warns_all_the_same() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            std::panic::resume_unwind(Box::new(()));
        }
    }
    let hangs = || async {
        let _bomb = Bomb;
        std::future::pending::<()>().await;
    };
    let health = Health::builder("x")
        .check(Check::new("a", hangs))
        .build()
        .unwrap();
    let entry = &health.registry().entries()[0];
    // Nobody waits for it, who would notice that its time is over.
    entry.renew();
    tokio::time::sleep(4 * SECOND).await;
    let report = entry.report();
    assert_eq!(report.status, Some(Status::Warn));
    assert_eq!(report.error.as_deref(), Some("no answer within 3s"));
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

#[tokio::test(start_paused = true)]
async fn errors_are_told_as_they_were_redacted() {
    let said = |name: &str, reading: Reading| Said::new(reading).check(name);
    let health = Health::builder("x")
        .check(said("fails", Reading::fail("password=hunter2")))
        .check(said("warns", Reading::warn("at db.internal").value(3.0)))
        .check(said("panics", Reading::fail("hunter2")))
        .check(said("passes", Reading::pass()))
        .redact(|check, error| match check {
            "fails" => error.replace("hunter2", "***"),
            "warns" => check.to_owned(),
            "panics" => std::panic::resume_unwind(Box::new(())),
            _ => unreachable!("there is nothing to redact"),
        })
        .build()
        .unwrap();
    let report = health.report().await;
    let told: Vec<_> = report.checks.iter().map(|it| it.error.as_deref()).collect();
    let redacted = [Some("password=***"), Some("warns"), Some("redacted"), None];
    assert_eq!(told, redacted);
    assert_eq!(report.checks[1].value, Some(3.0));
}

#[tokio::test(start_paused = true)]
async fn hysteresis_is_that_of_the_registry_or_of_the_check() {
    let said = Said::new(Reading::pass());
    let health = Health::builder("x")
        .failures(2)
        .passes(2)
        .max_age(Duration::ZERO)
        .check(said.check("two"))
        .check(said.check("one").failures(1).passes(1))
        .build()
        .unwrap();
    let mut seen = Vec::new();
    for reading in [
        Reading::pass(),
        Reading::fail("no"),
        Reading::fail("no"),
        Reading::pass(),
        Reading::pass(),
    ] {
        said.says(reading);
        health.report().await;
        seen.push((
            status(&health, "two").unwrap(),
            status(&health, "one").unwrap(),
        ));
    }
    use Status::{Fail, Pass, Warn};
    assert_eq!(
        seen,
        [
            (Pass, Pass),
            (Warn, Fail),
            (Fail, Fail),
            (Fail, Pass),
            (Pass, Pass)
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn check_that_never_answers_fails_after_its_longest_time_in_error() {
    let hangs = |name: &str| Check::new(name, std::future::pending::<()>);
    let health = Health::builder("x")
        .max_age(Duration::ZERO)
        .max_time_in_error(10 * SECOND)
        .check(hangs("a"))
        .check(hangs("b").max_time_in_error(5 * SECOND))
        .build()
        .unwrap();
    let mut seen = Vec::new();
    // Each takes its three seconds.
    for _ in 0..5 {
        let report = health.report().await;
        seen.push((
            report.checks[0].status.unwrap(),
            report.checks[1].status.unwrap(),
        ));
        assert_eq!(report.ready, report.overall != Overall::Unhealthy);
        // The run itself ends as well.
        tokio::task::yield_now().await;
    }
    use Status::{Fail, Warn};
    assert_eq!(
        seen,
        [
            (Warn, Warn),
            (Warn, Warn),
            (Warn, Fail),
            (Warn, Fail),
            (Fail, Fail)
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn every_run_and_every_change_is_told() {
    let said = Said::new(Reading::fail("no").value(3.0));
    let check = said.check("a").max_age(Duration::ZERO);
    let health = Health::builder("x").check(check).build().unwrap();
    let heard = Recorder::new();
    health.subscribe(heard.listener()).forever();
    health.report().await;
    said.says(Reading::pass());
    health.report().await;
    health.report().await;
    let took = Duration::ZERO;
    let checked = |result| (Some("a".to_owned()), Event::Checked { result, took });
    let a = |from, to| (Some("a".to_owned()), Event::HealthChanged { from, to });
    let (from, to) = ("not_ready", "ready");
    let told: Vec<_> = heard
        .recorded()
        .into_iter()
        .map(|it| (it.key, it.event))
        .collect();
    assert_eq!(
        told,
        [
            a("unknown", "fail"),
            checked("fail"),
            a("fail", "pass"),
            checked("pass"),
            (None, Event::HealthChanged { from, to }),
            checked("pass"),
        ]
    );
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
