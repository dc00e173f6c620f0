//! What counts, for whom, for how long, and what is refused for it.

use seaworthy_kit::testing::Recorder;
use seaworthy_kit::{Event, Verdict};
use tokio_test::task;
use tokio_test::{assert_pending, assert_ready};
use tower::{Layer, ServiceExt, service_fn};

use super::*;

#[tokio::test(start_paused = true)]
async fn nothing_is_refused_while_every_second_call_is_accepted() {
    let handle = throttle();
    refused_where_possible(true);
    for _ in 0..20 {
        accepted(&handle).await.unwrap();
        assert!(!is_shed(&not_accepted(&handle).await));
    }
    assert_eq!(handle.probability(Critical), 0.0);
    assert!(!is_shed(&not_accepted(&handle).await));
    assert_eq!(handle.probability(Critical), 1.0 / 42.0);
    assert!(is_shed(&accepted(&handle).await.unwrap_err()));
    assert_eq!(counts(&handle, Critical), (42, 20, 1));
    refused_where_possible(false);
    accepted(&handle).await.unwrap();
    assert_eq!(counts(&handle, Critical), (43, 21, 1));
}

#[tokio::test(start_paused = true)]
async fn default_waits_for_a_hundred_calls() {
    let layer = ThrottleLayer::plain("search").draw(draw).build().unwrap();
    let handle = layer.handle();
    refused_where_possible(true);
    for _ in 0..100 {
        assert!(!is_shed(&not_accepted(&handle).await));
    }
    assert_eq!(handle.probability(Critical), 0.9);
    assert!(is_shed(&not_accepted(&handle).await));
}

#[tokio::test(start_paused = true)]
async fn two_minutes_after_the_last_refusal_all_is_forgotten() {
    let handle = throttle();
    refused_where_possible(true);
    not_accepted(&handle).await;
    advance(Duration::from_secs(100)).await;
    assert!(is_shed(&accepted(&handle).await.unwrap_err()));
    // What was refused here keeps nobody out by itself.
    advance(Duration::from_secs(20)).await;
    accepted(&handle).await.unwrap();
    assert_eq!(counts(&handle, Critical), (2, 1, 1));
}

#[tokio::test(start_paused = true)]
async fn call_is_booked_in_the_class_of_its_task() {
    let handle = throttle();
    refused_where_possible(true);
    for _ in 0..10 {
        scope(SheddablePlus, not_accepted(&handle)).await;
        scope(Critical, accepted(&handle)).await.unwrap();
    }
    assert_eq!(counts(&handle, SheddablePlus), (10, 0, 9));
    assert_eq!(counts(&handle, Critical), (10, 10, 0));
    assert!(is_shed(
        &scope(Sheddable, accepted(&handle)).await.unwrap_err()
    ));
    scope(CriticalPlus, accepted(&handle)).await.unwrap();
    // A task without a class is critical.
    accepted(&handle).await.unwrap();
    assert_eq!(counts(&handle, Critical), (11, 11, 0));
}

#[tokio::test(start_paused = true)]
async fn call_that_says_nothing_counts_for_nothing() {
    let handle = throttle();
    let local = || async {
        let refused = Rejection::new(RejectionKind::CircuitOpen, "inner".into());
        Err::<(), _>(refused)
    };
    handle.call(local).await.unwrap_err();
    let mut given_up = task::spawn(handle.call(std::future::pending::<Result<(), BoxError>>));
    assert_pending!(given_up.poll());
    assert_eq!(handle.snapshot().in_flight, 1);
    assert_eq!(counts(&handle, Critical), (0, 0, 0));
    drop(given_up);
    assert_eq!(handle.snapshot().in_flight, 0);
    assert_eq!(counts(&handle, Critical), (0, 0, 0));
    let late = || async { Err::<(), _>(Rejection::new(RejectionKind::TimedOut, "inner".into())) };
    handle.call(late).await.unwrap_err();
    assert_eq!(counts(&handle, Critical), (1, 0, 0), "a timeout does");
}

#[tokio::test(start_paused = true)]
async fn call_under_way_is_no_request_without_an_answer() {
    let handle = throttle();
    accepted(&handle).await.unwrap();
    not_accepted(&handle).await;
    let calls: Vec<_> = (0..50)
        .map(|_| {
            let mut call = task::spawn(handle.call(std::future::pending::<Result<(), BoxError>>));
            assert_pending!(call.poll());
            call
        })
        .collect();
    assert_eq!(handle.probability(Critical), 0.0);
    assert_eq!(handle.snapshot().in_flight, 50);
    drop(calls);
}

#[tokio::test(start_paused = true)]
async fn classifier_says_what_was_accepted() {
    let traffic = Plain::classify(|result: Result<&u32, &BoxError>| match result {
        Ok(503) => Verdict::FAILURE,
        _ => Verdict::SUCCESS,
    });
    let layer = builder().traffic(traffic).build().unwrap();
    let service = layer.layer(service_fn(async |answer: u32| match answer {
        0 => Err("a bug"),
        answer => Ok(answer),
    }));
    service.clone().oneshot(0).await.unwrap_err();
    service.clone().oneshot(503).await.unwrap();
    service.clone().oneshot(200).await.unwrap();
    assert_eq!(counts(&layer.handle(), Critical), (3, 2, 0));
}

#[tokio::test(start_paused = true)]
async fn refusal_is_reported_and_says_no_time_to_come_back() {
    let handle = throttle();
    let recorder = Recorder::new();
    handle.subscribe(recorder.listener()).forever();
    let _overloaded = Overloaded::new(&handle);
    let refused = accepted(&handle).await.unwrap_err();
    let rejection = Rejection::find(&*refused).unwrap();
    assert_eq!(
        (rejection.layer(), rejection.retry_after()),
        ("search", None)
    );
    assert!(rejection.is_overload() && !rejection.reached_inner());
    let refused = Event::Refused {
        kind: RejectionKind::Shed,
        retry_after: None,
        enforced: true,
    };
    assert_eq!(recorder.events(), [refused]);
}

#[tokio::test(start_paused = true)]
async fn observed_refusal_counts_as_one_and_only_as_that() {
    let handle = throttle();
    let _overloaded = Overloaded::new(&handle);
    handle.control().observe_only(true);
    accepted(&handle).await.unwrap();
    assert_eq!(counts(&handle, Critical), (2, 0, 1));
    handle.control().observe_only(false);
    accepted(&handle).await.unwrap_err();
    assert_eq!(counts(&handle, Critical), (3, 0, 2));
}

#[tokio::test(start_paused = true)]
async fn drain_ends_with_the_last_call_and_can_be_taken_back() {
    let handle = throttle();
    let (end, ended) = tokio::sync::oneshot::channel::<()>();
    let mut running = task::spawn(Box::pin(handle.call(|| async {
        let _ = ended.await;
        Ok::<_, BoxError>(())
    })));
    assert_pending!(running.poll());
    let mut drained = task::spawn(handle.drain());
    assert_pending!(drained.poll());
    let refused = accepted(&handle).await.unwrap_err();
    let kind = Rejection::find(&*refused).unwrap().kind();
    assert_eq!(kind, RejectionKind::Draining);
    drop(end);
    assert_ready!(running.poll()).unwrap();
    assert_ready!(drained.poll());
    assert_eq!(
        counts(&handle, Critical),
        (1, 1, 0),
        "a drain is no refusal of the formula"
    );
    handle.control().resume();
    accepted(&handle).await.unwrap();
}

#[test]
fn options_that_cannot_work_are_refused_when_the_layer_is_built() {
    for (option, builder) in [
        ("multiplier", builder().multiplier(1.0)),
        ("window", builder().window(Duration::ZERO)),
        ("max_rejection", builder().max_rejection(1.0)),
        (
            "multiplier",
            builder().config(AcceptanceConfig::new().multiplier(0.0)),
        ),
    ] {
        let keyed = builder
            .clone()
            .keyed::<u32, _>(std::num::NonZeroUsize::MIN, |key: &u32| *key);
        assert_eq!(keyed.unwrap_err().option(), option);
        assert_eq!(builder.build().unwrap_err().option(), option);
    }
}

#[tokio::test(start_paused = true)]
async fn real_draws_refuse_about_the_share_they_should() {
    let layer = ThrottleLayer::plain("search").build().unwrap();
    let handle = layer.handle();
    let now = seaworthy_kit::clock::now();
    // So many that the calls below change little.
    for call in 0..100_000 {
        match call % 4 {
            0 => handle.gate().acceptance().on_accepted(Critical, now),
            _ => handle.gate().acceptance().on_refused(Critical, now),
        }
    }
    let mut shed = 0;
    for _ in 0..2_000 {
        shed += u32::from(accepted(&handle).await.is_err());
    }
    // Half of them, within eight standard deviations.
    assert!((820..=1_180).contains(&shed), "{shed}");
}
