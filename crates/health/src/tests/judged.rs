//! What a run is taken for, and what is told of it.

use super::*;

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

#[tokio::test(start_paused = true)]
async fn errors_are_told_as_they_were_redacted() {
    let said = |name: &str, reading: Reading| Said::new(reading).check(name);
    let health = Health::builder("x")
        .check(said("fails", Reading::fail("password=hunter2")))
        .check(said("warns", Reading::warn("at db.internal").value(3.0)))
        .check(said("panics", Reading::fail("hunter2")))
        .check(said("passes", Reading::pass()))
        .check(said("long", Reading::fail("x".repeat(5_000))))
        .redact(|check, error| match check {
            "fails" => error.replace("hunter2", "***"),
            "warns" => check.to_owned(),
            "long" => {
                assert_eq!(error.len(), 5_000, "it sees all of it");
                error.to_owned()
            }
            "panics" => std::panic::resume_unwind(Box::new(())),
            _ => unreachable!("there is nothing to redact"),
        })
        .build()
        .unwrap();
    let report = health.report().await;
    let told: Vec<_> = report.checks.iter().map(|it| it.error.as_deref()).collect();
    let redacted = [Some("password=***"), Some("warns"), Some("redacted"), None];
    assert_eq!(told[..4], redacted);
    assert_eq!(told[4].map(|it| it.chars().count()), Some(1_001));
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

/// What is seen after the time was over is of another time.
#[tokio::test(start_paused = true)]
async fn answer_that_comes_too_late_tells_nothing() {
    let health = Health::builder("x")
        .check(Check::new("a", || async {
            // As a check that blocks its thread: nobody can cut it short.
            tokio::task::unconstrained(tokio::time::sleep(2 * SECOND)).await;
            Err::<(), _>("late")
        }))
        .build()
        .unwrap();
    let entry = &health.registry().entries()[0];
    let run = entry.renew().expect("it runs");
    tokio::task::yield_now().await;
    // Both its own time and that of the check are over before either is looked at.
    advance(10 * SECOND).now_or_never();
    entry.wait(run).await;
    tokio::task::yield_now().await;
    tokio::task::yield_now().await;
    let report = entry.report();
    assert_eq!(report.status, Some(Status::Warn));
    assert_eq!(report.error.as_deref(), Some("no answer within 3s"));
}

#[tokio::test(start_paused = true)]
async fn run_that_changes_nothing_is_no_change() {
    let health = Health::builder("x")
        .max_age(Duration::ZERO)
        .check(Check::new("a", || async {}))
        .build()
        .unwrap();
    let changed = health.changed();
    health.report().await;
    assert!(changed.now_or_never().is_some());
    let changed = health.changed();
    health.report().await;
    assert!(changed.now_or_never().is_none());
}

#[tokio::test(start_paused = true)]
async fn result_that_becomes_too_old_is_a_change() {
    let health = Health::builder("x")
        .check(Check::new("a", || async {}).critical(false))
        .refresh_every(SECOND)
        .build()
        .unwrap();
    assert!(health.ready().await.ready);
    let changed = health.changed();
    // Nothing runs while this task does not yield.
    advance(20 * SECOND).now_or_never();
    health.registry().entries()[0].notice_age();
    assert!(changed.now_or_never().is_some());
}
