//! Levels: signals, hands, schedules, features that are off, and the layer.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

use seaworthy_kit::telemetry::Event;
use seaworthy_kit::testing::{ManualClock, Recorder, Rejects, conformance};
use tower::{Layer, Service, ServiceExt, service_fn};

use super::*;

/// Levels with one rule over a number that the test sets.
struct Test {
    levels: Levels,
    signal: Arc<AtomicU32>,
    clock: ManualClock,
}

impl Test {
    fn new() -> Self {
        let (signal, clock) = (Arc::new(AtomicU32::new(0)), ManualClock::new());
        let seen = signal.clone();
        let value = move || match seen.load(Ordering::Relaxed) {
            u32::MAX => panic!("a broken signal"),
            value => f64::from(value),
        };
        let levels = Levels::builder("shop")
            .rule(LevelRule::new(Level::Reduced, "queue", 10.0), value)
            .clock(clock.clock())
            .build()
            .unwrap();
        Self {
            levels,
            signal,
            clock,
        }
    }

    fn seconds(&self, seconds: u32, signal: u32) -> Level {
        self.signal.store(signal, Ordering::Relaxed);
        for _ in 0..seconds {
            self.clock.advance(SECOND);
            self.levels.observe();
        }
        self.levels.level()
    }
}

#[test]
fn level_follows_the_signal_and_says_so() {
    let test = Test::new();
    let recorder = Recorder::new();
    let _subscription = test.levels.subscribe(recorder.listener());
    assert_eq!(test.seconds(6, 10), Level::Reduced);
    assert_eq!(test.levels.snapshot().asking, ["queue"]);
    assert_eq!(test.seconds(31, 0), Level::Normal);
    let change = |from, to, cause, worse| Event::LevelChanged {
        from,
        to,
        cause,
        worse,
    };
    assert_eq!(
        recorder.events(),
        [
            change("normal", "reduced", "queue", true),
            change("reduced", "normal", "recovered", false),
        ]
    );
}

#[test]
fn hand_beats_the_rules_until_it_is_over_or_released() {
    let test = Test::new();
    test.seconds(6, 10);
    test.levels.set_for(Level::Normal, 60 * SECOND);
    assert_eq!(test.seconds(59, 10), Level::Normal);
    let snapshot = test.levels.snapshot();
    assert_eq!(
        (snapshot.by_hand, snapshot.by_hand_for),
        (true, Some(SECOND))
    );
    // Nobody observes any more, and it ends all the same.
    test.clock.advance(SECOND);
    assert_eq!(test.levels.level(), Level::Reduced);
    test.levels.set(Level::Maintenance);
    assert_eq!(test.seconds(1000, 0), Level::Maintenance);
    assert_eq!(test.levels.snapshot().by_hand_for, None);
    test.levels.release();
    assert_eq!(test.levels.level(), Level::Normal);
}

#[test]
fn signal_that_panics_says_nothing() {
    let test = Test::new();
    assert_eq!(test.seconds(10, u32::MAX), Level::Normal);
    assert_eq!(test.seconds(6, 10), Level::Reduced);
    assert_eq!(test.seconds(100, u32::MAX), Level::Reduced);
}

#[test]
fn signal_may_ask_for_the_level() {
    let itself: Arc<OnceLock<Levels>> = Arc::default();
    let seen = itself.clone();
    let signal = move || {
        seen.get()
            .map_or(0.0, |levels| levels.level().index() as f64)
    };
    let rule = LevelRule::new(Level::Reduced, "itself", 1.0);
    let levels = Levels::builder("shop").rule(rule, signal).build().unwrap();
    itself.set(levels.clone()).unwrap();
    levels.set_for(Level::Essential, SECOND);
    levels.observe();
}

#[test]
fn schedule_counts_in_each_round() {
    let plan = Schedule::new().once(0, Duration::from_secs(u64::MAX), Level::Essential);
    let levels = Levels::builder("shop")
        .schedule(plan.unwrap())
        .build()
        .unwrap();
    assert_eq!(levels.level(), Level::Normal);
    levels.observe();
    assert_eq!(levels.level(), Level::Essential);
}

#[test]
fn planned_night_begins_before_midnight_and_ends_after_it_also_by_a_clock_that_is_set_back() {
    let clock = ManualClock::new();
    let hour = 3600 * SECOND;
    let plan = Schedule::new().daily(23 * hour, 2 * hour, Level::Maintenance);
    let levels = Levels::builder("night")
        .schedule(plan.unwrap())
        .clock(clock.clock())
        .build()
        .unwrap();
    let at = |hours: u32| {
        clock.set(seaworthy_kit::Moment::ORIGIN + hour * hours);
        levels.observe();
        levels.level()
    };
    // The first night lasts until one, and it is over: the clock shows three, then two nights later.
    let nights = [3, 22, 23, 24, 25, 47, 48, 49].map(|hours| at(hours).index());
    assert_eq!(nights, [0, 0, 3, 3, 0, 3, 3, 0]);
    assert_eq!(at(24), Level::Maintenance, "back into the night");
    assert_eq!(at(22), Level::Normal, "and out of it on the other side");
}

#[test]
fn rule_that_cannot_work_is_an_error_when_built() {
    let rule = LevelRule::new(Level::Reduced, "x", 1.0).leave(2.0);
    let error = Levels::builder("shop")
        .rule(rule, || 0.0)
        .build()
        .unwrap_err();
    assert_eq!(error.option(), "leave");
}

#[tokio::test(start_paused = true)]
async fn rounds_go_on_until_the_last_clone_is_gone() {
    let rounds = Arc::new(AtomicU32::new(0));
    let seen = rounds.clone();
    let signal = move || f64::from(seen.fetch_add(1, Ordering::Relaxed));
    let rule = LevelRule::new(Level::Reduced, "rounds", 1e9);
    let levels = Levels::builder("shop").rule(rule, signal).build().unwrap();
    let runs = tokio::spawn(levels.run(SECOND));
    tokio::time::sleep(Duration::from_millis(4500)).await;
    assert_eq!(rounds.load(Ordering::Relaxed), 5);
    drop(levels);
    runs.await.unwrap();
    assert_eq!(rounds.load(Ordering::Relaxed), 5);
}

#[tokio::test]
async fn feature_that_is_off_is_not_called_at_all() {
    let levels = Levels::builder("shop").build().unwrap();
    let polled = Arc::new(AtomicU32::new(0));
    let ask = |critical: Option<bool>| {
        let polls = polled.clone();
        let feature = feature("reviews").off_from(&levels, Level::Essential);
        let feature = match critical {
            Some(critical) => feature.critical(critical),
            None => feature,
        };
        gather(feature.fallback(0).run(async move {
            polls.fetch_add(1, Ordering::Relaxed);
            Ok::<_, io::Error>(1)
        }))
    };
    for (level, expected) in [
        (Level::Reduced, 1),
        (Level::Essential, 0),
        (Level::Maintenance, 0),
    ] {
        levels.set(level);
        let (value, less) = ask(None).await;
        assert_eq!(value.unwrap(), expected, "{level}");
        let off = [("reviews", "off", "value")];
        assert_eq!(list(less), if expected == 0 { &off[..] } else { &[] });
    }
    assert_eq!(polled.load(Ordering::Relaxed), 1);
    assert_eq!(ask(Some(true)).await.0.unwrap(), 1, "critical: never off");
    // Nothing to give after all: it ends as what was shed.
    let last = LastGood::<u32>::new(SECOND);
    let empty = feature("x")
        .off_from(&levels, Level::Reduced)
        .or_last(&last)
        .run(up(1));
    let error = empty.await.unwrap_err();
    assert_eq!(
        Rejection::find(&*error).unwrap().kind(),
        RejectionKind::Shed
    );
}

#[tokio::test]
async fn route_that_is_off_says_at_which_level() {
    let levels = Levels::builder("shop").build().unwrap();
    let layer = LevelLayer::plain("search", &levels, Level::Essential);
    let mut service = layer.layer(service_fn(|n: u32| up(n)));
    levels.set(Level::Reduced);
    assert_eq!(service.ready().await.unwrap().call(3).await.unwrap(), 3);
    levels.set(Level::Maintenance);
    let error = service.ready().await.unwrap().call(3).await.unwrap_err();
    let rejection = Rejection::find(&*error).unwrap();
    assert_eq!(rejection.state(), Some("maintenance"));
    assert!(rejection.retry_after().is_some());
}

mod contract {
    use seaworthy_kit::Plain;

    use super::*;

    /// At maintenance until it is dropped. A layer keeps its levels to itself, so they are found by the thread of the test.
    struct Off(Levels);

    impl Drop for Off {
        fn drop(&mut self) {
            self.0.release();
        }
    }

    thread_local! {
        static LEVELS: Levels = Levels::builder("shop").build().unwrap();
    }

    fn layer() -> LevelLayer<Plain> {
        LEVELS.with(|levels| LevelLayer::plain("search", levels, Level::Essential))
    }

    conformance! {
        layer: layer,
        readiness: inner,
        errors: unchanged,
        on_drop: cancels,
        held: |layer: &LevelLayer<Plain>| layer.handle().in_flight(),
        events: |layer: &LevelLayer<Plain>, recorder| {
            layer.handle().subscribe(recorder.listener()).forever();
        },
        refuses: |_: &LevelLayer<Plain>| {
            let levels = LEVELS.with(Clone::clone);
            levels.set(Level::Maintenance);
            Off(levels)
        },
        rejects: Rejects::with(RejectionKind::Shed, "search").says_when(),
        drains: |layer: &LevelLayer<Plain>| layer.handle().drain(),
        observes: |layer: &LevelLayer<Plain>, on| layer.handle().control().observe_only(on),
        meddles: |layer: &LevelLayer<Plain>, draw| layer.handle().control().enforce_percent((draw % 101) as u8),
    }
}
