//! Checks that run by themselves, and layers that are looked at.

use seaworthy_kit::{Vital, Vitals};

use super::*;

#[tokio::test(start_paused = true)]
async fn nobody_waits_for_what_runs_in_the_background() {
    let probe = Probe::default();
    let health = Health::builder("x")
        .check(probe.check("a"))
        .refresh_every(10 * SECOND)
        .jitter(0.0)
        .build()
        .unwrap();
    let mut first = Box::pin(health.ready());
    assert!(
        (&mut first).now_or_never().is_none(),
        "there is no result yet"
    );
    probe.go.notify_one();
    assert!(first.await.ready);
    for round in 2..5 {
        advance(9 * SECOND).await;
        assert_eq!(probe.runs(), round - 1);
        assert!(health.ready().now_or_never().unwrap().ready);
        tokio::time::sleep(SECOND).await;
        tokio::task::yield_now().await;
        assert_eq!(probe.runs(), round);
        assert!(health.ready().now_or_never().unwrap().ready);
        probe.go.notify_one();
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn background_ends_with_the_registry() {
    let probe = Probe::default();
    let check = probe.check("a");
    let health = Health::builder("x")
        .check(check)
        .refresh_every(SECOND)
        .build()
        .unwrap();
    probe.go.notify_one();
    health.ready().await;
    drop(health);
    tokio::time::sleep(60 * SECOND).await;
    assert_eq!(
        Arc::strong_count(&probe.runs),
        1,
        "nobody holds it any more"
    );
}

/// A scheduler that died must not look healthy.
#[test]
fn result_that_nobody_renews_says_nothing_any_more() {
    let health = Health::builder("x")
        .check(Check::new("a", || async {}))
        .check(Check::new("live", || async {}).max_age(Duration::ZERO))
        .refresh_every(SECOND)
        .build()
        .unwrap();
    let entries = health.registry().entries();
    let seen = || entries[0].report();
    assert_eq!(seen().error.as_deref(), Some("no result yet"));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    let held = runtime.block_on(async {
        assert!(health.ready().await.ready);
        // Nothing runs while this thread does not yield.
        advance(12 * SECOND).now_or_never();
        assert!(health.snapshot().ready, "three rounds and their timeouts");
        assert_eq!(status(&health, "live"), Some(Status::Pass));
        let changed = health.changed();
        advance(SECOND).now_or_never();
        assert!(!health.snapshot().ready);
        assert!(
            changed.now_or_never().is_some(),
            "whoever looks tells of it"
        );
        seen()
    });
    assert_eq!(held.status, None);
    assert_eq!(held.error.as_deref(), Some("the last result is too old"));
    assert_eq!(held.counts_as(), Status::Fail);
}

#[derive(Clone)]
struct Layer(Arc<std::sync::Mutex<Vitals>>);

impl Vital for Layer {
    fn vitals(&self) -> Vitals {
        self.0.lock().unwrap().clone()
    }
}

#[tokio::test(start_paused = true)]
async fn layers_are_looked_at_whenever_somebody_asks() {
    let vitals = |kind| {
        Layer(Arc::new(std::sync::Mutex::new(Vitals::new(
            kind, "gateway",
        ))))
    };
    let (circuit, bulkhead) = (vitals("circuit_breaker"), vitals("bulkhead"));
    let layers = (circuit.clone(), bulkhead.clone());
    let health = Health::builder("x").layers(layers).build().unwrap();
    let report = health.report().await;
    let names: Vec<_> = report.checks.iter().map(|check| &*check.name).collect();
    assert_eq!(names, ["gateway:circuit_breaker", "gateway:bulkhead"]);
    assert_eq!(report.overall, Overall::Healthy);
    {
        let mut vitals = circuit.0.lock().unwrap();
        *vitals = vitals
            .clone()
            .status(Status::Fail, "open")
            .value(5.0, Some(5.0));
    }
    let report = health.report().await;
    assert_eq!((report.overall, report.ready), (Overall::Degraded, true));
    let check = report.check("gateway:circuit_breaker").unwrap();
    assert_eq!(
        (check.status, check.error.as_deref()),
        (Some(Status::Fail), Some("open"))
    );
    assert_eq!((check.value, check.threshold), (Some(5.0), Some(5.0)));
}

#[tokio::test(start_paused = true)]
async fn check_that_hangs_keeps_no_other_from_its_rounds() {
    let probe = Probe::default();
    let hangs = Check::new("hangs", std::future::pending::<()>);
    let health = Health::builder("x")
        .check(hangs.critical(false).timeout(60 * SECOND))
        .check(probe.check("a"))
        .refresh_every(SECOND)
        .jitter(0.0)
        .build()
        .unwrap();
    for round in 1..40 {
        probe.go.notify_one();
        tokio::time::sleep(SECOND).await;
        let runs = probe.runs();
        assert!((round..=round + 1).contains(&runs), "{runs} in {round} s");
        assert_eq!(status(&health, "a"), Some(Status::Pass));
    }
}

/// A result is not too old before the next one can be there.
#[tokio::test(start_paused = true)]
async fn check_with_times_of_its_own_is_as_old_as_it_may_be() {
    let slow = || tokio::time::sleep(30 * SECOND);
    let health = Health::builder("x")
        .check(Check::new("slow", slow).timeout(60 * SECOND))
        .check(Check::new("kept", || async {}).max_age(600 * SECOND))
        .refresh_every(SECOND)
        .build()
        .unwrap();
    health.report().await;
    for _ in 0..100 {
        assert_eq!(status(&health, "slow"), Some(Status::Pass));
        assert_eq!(status(&health, "kept"), Some(Status::Pass));
        tokio::time::sleep(SECOND).await;
    }
}

#[tokio::test(start_paused = true)]
async fn layers_that_come_later_are_looked_at_like_the_others() {
    let layer = |kind| {
        Layer(Arc::new(std::sync::Mutex::new(Vitals::new(
            kind, "gateway",
        ))))
    };
    let health = Health::builder("x").build().unwrap();
    assert!(health.ready().await.ready);
    let circuit = layer("circuit_breaker");
    health
        .add_layers((circuit.clone(), layer("bulkhead")))
        .unwrap();
    {
        let mut vitals = circuit.0.lock().unwrap();
        *vitals = vitals.clone().status(Status::Fail, "open");
    }
    let report = health.report().await;
    assert_eq!((report.overall, report.ready), (Overall::Degraded, true));
    let names: Vec<_> = report.checks.iter().map(|check| &*check.name).collect();
    assert_eq!(names, ["gateway:circuit_breaker", "gateway:bulkhead"]);
    let again = health.add_layers((layer("bulkhead"),)).unwrap_err();
    assert_eq!(again.option(), "check");
}

#[tokio::test(start_paused = true)]
async fn background_is_one_task_however_many_ask() {
    let runs = Arc::new(AtomicUsize::new(0));
    let counts = {
        let runs = runs.clone();
        Check::new("a", move || {
            runs.fetch_add(1, Ordering::SeqCst);
            std::future::ready(())
        })
    };
    let health = Health::builder("x")
        .check(counts)
        .refresh_every(10 * SECOND)
        .jitter(0.0)
        .build()
        .unwrap();
    for _ in 0..5 {
        tokio::time::sleep(SECOND).await;
        health.ready().await;
    }
    tokio::time::sleep(20 * SECOND).await;
    assert_eq!(runs.load(Ordering::SeqCst), 3, "at 0, 10 and 20 s");
}

#[tokio::test(start_paused = true)]
async fn group_takes_in_all_layers_of_a_kind() {
    let vitals = Arc::new(std::sync::Mutex::new(Vitals::new("bulkhead", "gateway")));
    let health = Health::builder("x")
        .layers((Layer(vitals),))
        .group("full", ["bulkhead"])
        .build()
        .unwrap();
    let report = health.group("full").await.unwrap();
    assert_eq!(&*report.checks[0].name, "gateway:bulkhead");
}
