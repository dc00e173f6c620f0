//! The limit until the head, and the deadline of the task.

use seaworthy_kit::{Event, Outcome};
use tokio::time::{advance, sleep};
use tokio_test::{assert_pending, assert_ready, assert_ready_err, assert_ready_ok};
use tower::{ServiceExt, service_fn};

use super::*;
use crate::Limit;
use crate::deadline::{scope, sync_scope};

fn timed_out(limit: &'static str) -> [Event; 2] {
    [
        Event::TimedOut { limit },
        Event::Ended {
            outcome: Outcome::Failure,
        },
    ]
}

#[tokio::test(start_paused = true)]
async fn call_is_cut_at_its_limit_counted_from_the_first_wait() {
    let (mut test, handle) = Test::with(|layer| layer.limit(2 * SECOND));
    let mut call = test.call();
    advance(5 * SECOND).await;
    assert_pending!(call.poll());
    advance(2 * SECOND - MILLI).await;
    assert_pending!(call.poll());
    advance(MILLI).await;
    assert!(call.is_woken());
    let error = assert_ready_err!(call.poll());
    assert_eq!(kind(&error), RejectionKind::TimedOut);
    assert_eq!(Rejection::find(&*error).unwrap().layer(), "slow");
    assert_eq!(test.recorder.take(), timed_out("head"));
    assert_eq!(handle.snapshot().timeouts, 1);
}

#[tokio::test(start_paused = true)]
async fn inner_call_is_dropped_at_the_cut_not_with_the_future() {
    let (mut test, handle) = Test::with(|layer| layer.limit(SECOND));
    let mut call = test.call();
    assert_pending!(call.poll());
    assert_eq!(test.inner.running(), 1);
    advance(SECOND).await;
    assert_ready_err!(call.poll());
    assert_eq!(test.inner.running(), 0);
    assert_eq!(handle.snapshot().in_flight, 0);
    drop(call);
    assert_eq!(test.recorder.take(), timed_out("head"), "reported once");
}

#[tokio::test(start_paused = true)]
async fn answer_at_the_very_limit_wins() {
    let layer = TimeoutLayer::plain("x").limit(SECOND).build().unwrap();
    let inner = service_fn(|(): ()| async {
        sleep(SECOND).await;
        Ok::<_, BoxError>(7)
    });
    assert_eq!(layer.layer(inner).oneshot(()).await.unwrap(), 7);
}

#[tokio::test(start_paused = true)]
async fn answer_that_is_there_at_a_late_poll_wins() {
    let (mut test, _) = Test::with(|layer| layer.limit(SECOND));
    let mut call = test.call();
    assert_pending!(call.poll());
    advance(60 * SECOND).await;
    test.inner.next_call().unwrap().answer(7);
    assert_eq!(assert_ready_ok!(call.poll()), 7);
    let ended = Event::Ended {
        outcome: Outcome::Success,
    };
    assert_eq!(test.recorder.take(), [ended]);
}

#[tokio::test(start_paused = true)]
async fn late_error_of_the_inner_service_is_not_replaced() {
    let (mut test, _) = Test::with(|layer| layer.limit(SECOND));
    let mut call = test.call();
    assert_pending!(call.poll());
    advance(60 * SECOND).await;
    test.inner.next_call().unwrap().fail("its own");
    assert_eq!(assert_ready_err!(call.poll()).to_string(), "its own");
}

#[test]
fn answer_at_once_needs_no_timer() {
    // Outside of a runtime a timer cannot be made.
    let (mut test, _) = Test::with(|layer| layer.limit(SECOND).body_limit(SECOND));
    let mut call = test.call();
    test.inner.next_call().unwrap().answer(7);
    assert_eq!(assert_ready_ok!(call.poll()), 7);
}

#[test]
fn limit_of_ever_needs_no_timer() {
    let (mut test, _) = Test::with(|layer| layer.limit(Duration::MAX));
    let mut call = test.call();
    assert_pending!(call.poll());
    test.inner.next_call().unwrap().answer(7);
    assert_eq!(assert_ready_ok!(call.poll()), 7);
}

#[test]
fn limit_of_zero_refuses_at_once_whatever_the_inner_service_does() {
    let (mut test, handle) = Test::with(|layer| layer.limit(Duration::ZERO));
    test.inner.make_pending();
    let error = assert_ready_err!(test.call().poll());
    assert_eq!(kind(&error), RejectionKind::DeadlineExceeded);
    assert_eq!(test.inner.counts().calls, 0);

    handle.set_limit(SECOND);
    handle.set_body_limit(Duration::ZERO);
    let error = assert_ready_err!(test.call().poll());
    assert_eq!(kind(&error), RejectionKind::DeadlineExceeded);
}

#[tokio::test(start_paused = true)]
async fn limit_of_the_whole_counts_until_the_head_too() {
    let (mut test, _) = Test::with(|layer| layer.limit(9 * SECOND).body_limit(SECOND));
    let mut call = test.call();
    assert_pending!(call.poll());
    advance(SECOND).await;
    assert_ready_err!(call.poll());
    assert_eq!(test.recorder.take(), timed_out("body"));
}

#[tokio::test(start_paused = true)]
async fn request_may_have_a_limit_of_its_own() {
    let limit_for = |request: &u32| match request {
        0 => Some(Duration::ZERO),
        1 => None,
        seconds => Some(SECOND * *seconds),
    };
    let layer = TimeoutLayer::plain("x")
        .limit(SECOND)
        .body_limit(9 * SECOND);
    let layer = layer.limit_for(limit_for).build().unwrap();
    let (inner, remote) = Inner::<u32, u32>::new();
    let mut service = layer.layer(inner);
    let mut call = |request| {
        let ready = task::spawn(()).enter(|cx, _| service.poll_ready(cx).is_ready());
        assert!(ready);
        task::spawn(service.call(request))
    };

    let error = assert_ready_err!(call(0).poll());
    assert_eq!(kind(&error), RejectionKind::DeadlineExceeded);
    let (mut one, mut five) = (call(1), call(5));
    assert_pending!(one.poll());
    assert_pending!(five.poll());
    advance(SECOND).await;
    assert_ready_err!(one.poll());
    advance(3 * SECOND).await;
    assert_pending!(five.poll());
    advance(SECOND).await;
    assert_ready_err!(five.poll());
    assert_eq!(remote.counts().calls, 2);
}

#[tokio::test(start_paused = true)]
async fn deadline_of_the_task_caps_every_limit_and_counts_always() {
    let (mut test, _) = Test::with(|layer| layer.limit(9 * SECOND));
    let mut call = sync_scope(in_time(3 * SECOND), || test.call());
    // Absolute: the time before the first poll counts.
    advance(2 * SECOND).await;
    assert_pending!(call.poll());
    advance(SECOND).await;
    let error = assert_ready_err!(call.poll());
    assert_eq!(kind(&error), RejectionKind::TimedOut);
    assert_eq!(test.recorder.take(), timed_out("deadline"));
}

#[tokio::test(start_paused = true)]
async fn deadline_that_passed_before_the_first_poll_still_lets_an_answer_win() {
    let (mut test, _) = Test::with(|layer| layer);
    let mut answered = sync_scope(in_time(SECOND), || test.call());
    let mut silent = sync_scope(in_time(SECOND), || test.call());
    advance(2 * SECOND).await;
    test.inner.next_call().unwrap().answer(7);
    assert_eq!(assert_ready_ok!(answered.poll()), 7);
    assert_ready_err!(silent.poll());
}

#[tokio::test(start_paused = true)]
async fn deadline_that_is_over_refuses_without_calling() {
    let (mut test, _) = Test::with(|layer| layer);
    let deadline = in_time(SECOND);
    advance(SECOND).await;
    let mut call = sync_scope(deadline, || test.call());
    let error = assert_ready_err!(call.poll());
    assert_eq!(kind(&error), RejectionKind::DeadlineExceeded);
    assert_eq!(test.inner.counts().calls, 0);
    let refused = Event::Refused {
        kind: RejectionKind::DeadlineExceeded,
        retry_after: None,
        enforced: true,
    };
    assert_eq!(test.recorder.take(), [refused]);
}

#[tokio::test(start_paused = true)]
async fn deadline_that_is_over_does_not_wait_for_readiness() {
    let (mut test, _) = Test::with(|layer| layer);
    test.inner.make_pending();
    let deadline = in_time(SECOND);
    let ready = |test: &mut Test<Limited>| {
        task::spawn(()).enter(|cx, _| test.service.poll_ready(cx).is_ready())
    };
    assert!(!sync_scope(deadline, || ready(&mut test)));
    advance(SECOND).await;
    assert!(sync_scope(deadline, || ready(&mut test)));
    // The refusal belongs to the service that was asked; a clone starts anew.
    assert!(!task::spawn(()).enter(|cx, _| test.service.clone().poll_ready(cx).is_ready()));
    let error = assert_ready_err!(task::spawn(test.service.call(1)).poll());
    assert_eq!(kind(&error), RejectionKind::DeadlineExceeded);
}

#[tokio::test(start_paused = true)]
async fn call_with_less_time_than_is_of_use_is_refused_and_any_other_is_evidence() {
    let (mut test, handle) = Test::with(|layer| layer.min_useful(SECOND));
    let mut late = sync_scope(in_time(SECOND - MILLI), || test.call());
    let error = assert_ready_err!(late.poll());
    assert_eq!(kind(&error), RejectionKind::DeadlineExceeded);
    assert!(!Rejection::find(&*error).unwrap().reached_inner());
    assert_eq!(test.inner.counts().calls, 0);
    let function = scope(in_time(SECOND - MILLI), async {
        let unreachable = || async { unreachable!("there is too little time") };
        handle.call::<_, _, (), BoxError>(unreachable).await
    });
    let error = function.await.unwrap_err();
    assert_eq!(kind(&error), RejectionKind::DeadlineExceeded);
    assert_eq!(test.recorder.refused(true), 2);
    let _ = test.recorder.take();

    let mut just = sync_scope(in_time(SECOND), || test.call());
    assert_pending!(just.poll());
    advance(SECOND).await;
    let error = assert_ready_err!(just.poll());
    assert!(Rejection::find(&*error).unwrap().reached_inner());
    assert_eq!(test.recorder.take(), timed_out("deadline"));

    let mut without = test.call();
    assert_pending!(without.poll());
}

#[tokio::test(start_paused = true)]
async fn call_with_no_more_time_than_its_way_takes_is_refused() {
    let (mut test, _) = Test::with(|layer| layer.margin(SECOND));
    let mut late = sync_scope(in_time(SECOND), || test.call());
    let error = assert_ready_err!(late.poll());
    assert_eq!(kind(&error), RejectionKind::DeadlineExceeded);
    let mut call = sync_scope(in_time(SECOND + MILLI), || test.call());
    assert_pending!(call.poll());
}

#[tokio::test(start_paused = true)]
async fn time_to_connect_is_limited_around_the_connector() {
    let connect = TimeoutLayer::plain("connect")
        .limit(SECOND)
        .build()
        .unwrap();
    let connector = service_fn(|host: &'static str| async move {
        if host == "far" {
            sleep(60 * SECOND).await;
        }
        Ok::<_, BoxError>(host)
    });
    let connector = connect.layer(connector);
    assert_eq!(connector.clone().oneshot("near").await.unwrap(), "near");
    let error = connector.oneshot("far").await.unwrap_err();
    assert_eq!(kind(&error), RejectionKind::TimedOut);
}

#[tokio::test(start_paused = true)]
async fn deadline_of_the_task_may_be_ignored() {
    let (mut test, _) = Test::with(|layer| layer.limit(9 * SECOND).ignore_deadline(true));
    let deadline = in_time(SECOND);
    advance(2 * SECOND).await;
    let mut call = sync_scope(deadline, || test.call());
    assert_pending!(call.poll());
    test.inner.next_call().unwrap().answer(7);
    assert_eq!(assert_ready_ok!(call.poll()), 7);
}

#[tokio::test(start_paused = true)]
async fn new_limit_is_for_calls_that_begin_after_it() {
    let (mut test, handle) = Test::with(|layer| layer.limit(SECOND));
    let mut before = test.call();
    assert_pending!(before.poll());
    handle.set_limit(3 * SECOND);
    assert_eq!(handle.snapshot().limit, Some(3 * SECOND));
    let mut after = test.call();
    assert_pending!(after.poll());
    advance(SECOND).await;
    assert_ready_err!(before.poll());
    advance(SECOND).await;
    assert_pending!(after.poll());
    advance(SECOND).await;
    assert_ready_err!(after.poll());
}

#[tokio::test(start_paused = true)]
async fn moved_call_is_cut_in_its_new_task() {
    let (mut test, _) = Test::with(|layer| layer.limit(SECOND));
    test.ready();
    let mut call = Box::pin(test.service.call(1));
    assert_pending!(task::spawn(call.as_mut()).poll());
    let error = tokio::spawn(call).await.unwrap().unwrap_err();
    assert_eq!(kind(&error), RejectionKind::TimedOut);
}

#[tokio::test(start_paused = true)]
async fn function_is_cut_like_a_call() {
    let (test, handle) = Test::with(|layer| layer.limit(SECOND));
    let answer = handle.call(|| async { Ok::<_, BoxError>(7) }).await;
    assert_eq!(answer.unwrap(), 7);
    let error = handle.call(std::future::pending::<Result<(), BoxError>>);
    assert_eq!(kind(&error.await.unwrap_err()), RejectionKind::TimedOut);
    let error = handle.call(|| async { Err::<(), _>("its own") }).await;
    assert_eq!(error.unwrap_err().to_string(), "its own");

    let late = scope(Deadline::after(clock::now(), Duration::ZERO), async {
        let unreachable = || async { unreachable!("there is no time left") };
        handle.call::<_, _, (), BoxError>(unreachable).await
    });
    assert_eq!(
        kind(&late.await.unwrap_err()),
        RejectionKind::DeadlineExceeded
    );

    let ended = |event: &Event| match event {
        Event::Ended { outcome } => Some(*outcome),
        _ => None,
    };
    let outcomes: Vec<_> = test.recorder.events().iter().filter_map(ended).collect();
    assert_eq!(
        outcomes,
        [Outcome::Success, Outcome::Failure, Outcome::Failure]
    );
}

#[test]
fn dropped_function_counts_as_abandoned() {
    let (test, handle) = Test::with(|layer| layer.limit(Duration::MAX));
    let mut call = task::spawn(handle.call(std::future::pending::<Result<(), BoxError>>));
    assert_pending!(call.poll());
    assert_eq!(handle.snapshot().in_flight, 1);
    drop(call);
    assert_eq!(handle.snapshot().in_flight, 0);
    let ended = Event::Ended {
        outcome: Outcome::Abandoned,
    };
    assert_eq!(test.recorder.take(), [ended]);
}

#[test]
#[should_panic(expected = "polled after it was ready")]
fn future_polled_after_it_was_ready_panics() {
    let (mut test, _) = Test::with(|layer| layer);
    let mut call = test.call();
    test.inner.next_call().unwrap().answer(7);
    assert_ready!(call.poll()).unwrap();
    let _ = call.poll();
}

#[test]
fn page_of_the_metrics_has_every_limit() {
    let page = include_str!("../../../../docs/metrics.md");
    for limit in [Limit::Head, Limit::Body, Limit::Idle, Limit::Deadline] {
        assert!(page.contains(&format!("`{}`", limit.as_str())), "{limit:?}");
    }
}
