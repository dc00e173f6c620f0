//! Groups, and what a builder refuses.

use super::*;

fn builder() -> crate::Builder {
    Health::builder("x")
        .check(Check::new("database", || async { Err::<(), _>("down") }).tag("storage"))
        .check(Check::new("cache", || async {}).tag("storage"))
        .check(Check::new("mail", || async {}))
}

#[tokio::test(start_paused = true)]
async fn group_is_judged_by_its_members_alone() {
    let health = builder()
        .group("by_tag", ["storage"])
        .group("by_name", ["mail", "cache"])
        .build()
        .unwrap();
    let bad = health.group("by_tag").await.unwrap();
    assert_eq!(
        (bad.overall, bad.ready, bad.checks.len()),
        (Overall::Unhealthy, false, 2)
    );
    let good = health.group("by_name").await.unwrap();
    assert_eq!(
        (good.overall, good.ready, good.checks.len()),
        (Overall::Healthy, true, 2)
    );
    assert!(health.group("none").await.is_none());
    assert!(!health.ready().await.ready);
    health.begin_drain();
    assert!(!health.group("by_name").await.unwrap().ready);
}

#[tokio::test(start_paused = true)]
async fn groups_come_and_go_at_run_time() {
    let health = builder().build().unwrap();
    assert!(health.set_group("late", ["nobody"]).is_err());
    let changed = Box::pin(health.changed());
    health.set_group("late", ["mail"]).unwrap();
    changed.await;
    assert!(health.group("late").await.unwrap().ready);
    health.set_group("late", ["database"]).unwrap();
    assert!(!health.group("late").await.unwrap().ready);
    assert_eq!(&*health.groups()[0], "late");
    health.remove_group("late");
    health.remove_group("late");
    assert!(health.group("late").await.is_none());
}

#[test]
fn registry_that_cannot_work_is_refused() {
    let check = || Check::new("a", || async {});
    let with = |check| Health::builder("x").check(check);
    for (builder, option) in [
        (with(check()).check(check()), "check"),
        (with(Check::new("", || async {})), "check"),
        (with(check().warn_above(2.0).fail_above(1.0)), "check"),
        (with(check().timeout(Duration::ZERO)), "timeout"),
        (with(check().failures(0)), "failures"),
        (with(check().passes(0)), "passes"),
        (
            with(check().max_time_in_error(Duration::ZERO)),
            "max_time_in_error",
        ),
        (with(check()).group("g", ["b"]), "group"),
        (with(check()).group("", ["a"]), "group"),
        (with(check()).group("g", [""; 0]), "group"),
        (with(check()).group("g", ["a"]).group("g", ["a"]), "group"),
        (with(check()).refresh_every(Duration::ZERO), "refresh_every"),
        (
            with(check()).refresh_every(Duration::from_millis(9)),
            "refresh_every",
        ),
        (
            with(check()).heartbeat(Duration::from_millis(99)),
            "heartbeat",
        ),
        (with(check()).refresh_every(Duration::MAX), "refresh_every"),
        (with(check()).refresh_every(SECOND).jitter(1.1), "jitter"),
        (
            with(check()).refresh_every(SECOND).jitter(f64::NAN),
            "jitter",
        ),
    ] {
        assert_eq!(builder.build().unwrap_err().option(), option);
    }
}

/// So many fit into one answer of `List` of gRPC, with the whole.
#[test]
fn groups_are_99_at_most() {
    let health = builder().build().unwrap();
    for group in 0..99 {
        health.set_group(group.to_string(), ["mail"]).unwrap();
    }
    let error = health.set_group("one more", ["mail"]).unwrap_err();
    assert_eq!(error.option(), "group");
    health.set_group("7", ["cache"]).expect("made anew");
    health.remove_group("7");
    health
        .set_group("one more", ["mail"])
        .expect("there is room");
}

#[tokio::test(start_paused = true)]
async fn group_is_not_ready_while_the_start_is_held_up() {
    let health = builder().group("g", ["mail"]).build().unwrap();
    let hold = health.hold();
    assert!(!health.group("g").await.unwrap().ready);
    hold.release();
    assert!(health.group("g").await.unwrap().ready);
}
