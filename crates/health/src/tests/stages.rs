//! Startup, holds, and drains.

use super::*;

#[tokio::test(start_paused = true)]
async fn first_readiness_waits_for_the_whole_first_round() {
    let (critical, other) = (Probe::default(), Probe::default());
    let health = Health::builder("x")
        .check(critical.check("critical"))
        .check(other.check("other").critical(false))
        .build()
        .unwrap();
    assert!(!health.snapshot().ready, "nobody knows");
    let mut ready = Box::pin(health.ready());
    assert!((&mut ready).now_or_never().is_none());
    critical.go.notify_one();
    advance(SECOND).await;
    assert!((&mut ready).now_or_never().is_none());
    other.go.notify_one();
    let report = ready.await;
    assert!(report.ready && report.started);

    // From then on, only the critical ones are waited for.
    advance(5 * SECOND).await;
    let mut ready = Box::pin(health.ready());
    assert!((&mut ready).now_or_never().is_none());
    critical.go.notify_one();
    assert!(ready.await.ready);
    assert_eq!(
        (critical.runs(), other.runs()),
        (2, 2),
        "all are kept up to date"
    );
}

#[tokio::test(start_paused = true)]
async fn start_comes_when_a_round_has_passed_and_stays() {
    let said = Said::new(Reading::fail("no"));
    let check = said.check("a").max_age(Duration::ZERO);
    let health = Health::builder("x").check(check).build().unwrap();
    for _ in 0..3 {
        let report = health.ready().await;
        assert!(!report.started && !report.ready);
    }
    said.says(Reading::pass());
    assert!(health.ready().await.started);
    said.says(Reading::fail("no"));
    let report = health.ready().await;
    assert!(report.started && !report.ready);
    assert!(health.is_started());
}

#[tokio::test(start_paused = true)]
async fn hold_keeps_the_start_back_until_it_is_released() {
    let health = Health::builder("x").build().unwrap();
    let holds = [health.hold(), health.hold()];
    let mut changed = Box::pin(health.changed());
    for hold in holds {
        let report = health.ready().await;
        assert!(!report.started && !report.ready);
        assert_eq!(report.overall, Overall::Healthy);
        hold.release();
    }
    assert!((&mut changed).now_or_never().is_some());
    assert!(health.is_started(), "the release is enough");
    assert!(health.ready().await.ready);
    let late = health.hold();
    assert!(health.ready().await.ready, "it has started");
    drop(late);
}

/// Whoever was to warm the cache has panicked, say.
#[tokio::test(start_paused = true)]
async fn hold_that_is_dropped_is_not_released() {
    let health = Health::builder("x").build().unwrap();
    drop(health.hold());
    assert!(!health.ready().await.ready);
}

#[tokio::test(start_paused = true)]
async fn drain_is_for_ever_and_leaves_the_process_alive() {
    let health = Health::builder("x").heartbeat(SECOND).build().unwrap();
    assert!(health.ready().await.ready);
    let heard = Recorder::new();
    health.subscribe(heard.listener()).forever();
    health.begin_drain();
    health.begin_drain();
    let (from, to) = ("ready", "not_ready");
    assert_eq!(heard.events(), [Event::HealthChanged { from, to }]);
    let report = health.ready().await;
    assert!(report.draining && report.started && !report.ready && report.alive);
    assert_eq!(report.overall, Overall::Healthy);
}

#[tokio::test(start_paused = true)]
async fn drain_before_the_start_is_a_drain() {
    let health = Health::builder("x").build().unwrap();
    health.begin_drain();
    assert!(!health.ready().await.ready);
}

#[tokio::test(start_paused = true)]
async fn check_that_comes_later_is_waited_for_where_it_is_critical() {
    let health = Health::builder("x").build().unwrap();
    assert!(health.ready().await.ready);
    let probe = Probe::default();
    health.add(probe.check("late")).unwrap();
    assert!(
        health.add(probe.check("late")).is_err(),
        "its name is taken"
    );
    assert!(!health.snapshot().ready, "nobody knows");
    let mut ready = Box::pin(health.ready());
    assert!((&mut ready).now_or_never().is_none());
    probe.go.notify_one();
    assert!(ready.await.ready);
}

#[tokio::test(start_paused = true)]
async fn heartbeat_that_stops_is_noticed() {
    let health = Health::builder("x").heartbeat(SECOND).build().unwrap();
    for _ in 0..30 {
        advance(SECOND / 10).await;
        tokio::task::yield_now().await;
        assert!(health.is_alive(), "it beats");
    }
    // Time goes on, and nothing runs: this thread is the runtime's only one, and busy.
    advance(SECOND / 2).now_or_never();
    assert!(health.is_alive(), "within the limit");
    advance(SECOND).now_or_never();
    assert!(!health.is_alive());
    assert!(!health.snapshot().alive);
    tokio::task::yield_now().await;
    advance(SECOND / 5).await;
    tokio::task::yield_now().await;
    assert!(health.is_alive(), "it runs again");
}

#[test]
fn registry_without_a_runtime_is_alive_until_it_is_started() {
    let health = Health::builder("x").heartbeat(SECOND).build().unwrap();
    assert!(health.is_alive());
    assert!(
        Health::builder("x")
            .heartbeat(Duration::ZERO)
            .build()
            .is_err()
    );
}

/// Whatever the checks say, and however long they take to say it.
#[tokio::test(start_paused = true)]
async fn drain_is_told_at_once_and_asks_nobody() {
    let probe = Probe::default();
    let health = Health::builder("x")
        .max_age(Duration::ZERO)
        .check(probe.check("a"))
        .group("g", ["a"])
        .build()
        .unwrap();
    let mut ready = Box::pin(health.ready());
    assert!((&mut ready).now_or_never().is_none());
    let mut group = Box::pin(health.group("g"));
    assert!((&mut group).now_or_never().is_none());
    health.begin_drain();
    assert!(!ready.now_or_never().expect("at once").ready);
    assert!(!group.now_or_never().expect("at once").unwrap().ready);
    probe.go.notify_one();
    tokio::task::yield_now().await;
    let report = health.ready().now_or_never().expect("at once");
    assert!(report.draining && !report.ready);
    assert!(
        !health
            .group("g")
            .now_or_never()
            .expect("at once")
            .unwrap()
            .ready
    );
    assert!(health.group("none").await.is_none());
    tokio::task::yield_now().await;
    assert_eq!(probe.runs(), 1);
}

#[tokio::test(start_paused = true)]
async fn process_that_closes_drains() {
    let health = Health::builder("x").build().unwrap();
    health.close();
    assert!(health.is_draining() && !health.ready().await.ready);
}

/// Who waits for a first round hears of a release at once, also where nobody asks again.
#[tokio::test(start_paused = true)]
async fn background_starts_the_process_and_tells_of_it() {
    let health = Health::builder("x")
        .check(Check::new("a", || async {}))
        .refresh_every(SECOND)
        .build()
        .unwrap();
    let heard = Recorder::new();
    health.subscribe(heard.listener()).forever();
    tokio::time::sleep(SECOND).await;
    assert!(health.is_started(), "though nobody has asked");
    let (from, to) = ("not_ready", "ready");
    assert!(heard.events().contains(&Event::HealthChanged { from, to }));
}

#[tokio::test(start_paused = true)]
async fn server_that_ends_as_the_signal_comes_has_ended_by_itself() {
    for _ in 0..50 {
        let health = Health::builder("x").build().unwrap();
        let (drain, handle) = crate::Drain::by_hand(&health);
        (0..2).for_each(|_| handle.signal());
        let end = drain.serve(|_| std::future::ready(Ok::<_, ()>(()))).await;
        assert_eq!(end, Ok(crate::End::ByItself));
        assert!(!health.is_draining());
    }
}

#[tokio::test(start_paused = true)]
async fn stream_without_an_end_hears_of_the_drain() {
    let health = Health::builder("x").build().unwrap();
    let mut drains = Box::pin(health.drains());
    assert!((&mut drains).now_or_never().is_none());
    health.hold().release();
    assert!((&mut drains).now_or_never().is_none(), "another change");
    health.begin_drain();
    assert!(drains.now_or_never().is_some());
    assert!(health.drains().now_or_never().is_some(), "already");
}
