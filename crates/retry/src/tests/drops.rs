//! Calls dropped at each of their awaits, panics, and the drain.

use std::panic::{AssertUnwindSafe, catch_unwind};

use seaworthy_kit::{Outcome, Rejection, RejectionKind};
use tokio_test::{assert_pending, assert_ready, task};
use tower::{Layer, ServiceExt};

use super::*;

type TestLayer = RetryLayer<seaworthy_kit::Plain, seaworthy_kit::Plain>;

/// What is left behind by a call that is dropped after that many polls, with 100 ms between them.
async fn outcomes_after(
    layer: &TestLayer,
    upstream: Upstream<u32, u32>,
    polls: u32,
) -> Vec<Outcome> {
    let recorder = record(&layer.handle());
    let mut service = layer.layer(upstream);
    let mut call = task::spawn(service.ready().await.unwrap().call(7));
    for _ in 0..polls {
        assert_pending!(call.poll());
        tokio::time::advance(100 * MILLI).await;
    }
    assert_eq!(layer.handle().snapshot().in_flight, 1);
    drop(call);
    assert_eq!(layer.handle().snapshot().in_flight, 0);
    recorder.outcomes()
}

fn hanging(from: u32) -> Upstream<u32, u32> {
    Upstream::new(move |number, _| async move {
        if number >= from {
            std::future::pending::<()>().await;
        }
        Err(Fault(number).into())
    })
}

#[tokio::test(start_paused = true)]
async fn call_dropped_anywhere_is_abandoned_once() {
    let abandoned = [Outcome::Abandoned];
    let layer = || plain().wait_for_ready(true).build().unwrap();
    assert_eq!(outcomes_after(&layer(), failing(), 0).await, abandoned);
    assert_eq!(outcomes_after(&layer(), hanging(1), 1).await, abandoned);
    assert_eq!(outcomes_after(&layer(), failing(), 1).await, abandoned);
    assert_eq!(outcomes_after(&layer(), hanging(2), 2).await, abandoned);
}

#[tokio::test(start_paused = true)]
async fn call_that_is_over_keeps_nothing_until_it_is_dropped() {
    let request = Arc::new(());
    let upstream = Upstream::new(|number, _: Arc<()>| async move {
        match number {
            1 => Ok(number),
            _ => Err(Fault(number).into()),
        }
    });
    let layer = plain().build().unwrap();
    let mut service = layer.layer(upstream.view());
    let mut answered = task::spawn(service.ready().await.unwrap().call(request.clone()));
    assert_eq!(assert_ready!(answered.poll()).unwrap(), 1);
    assert_eq!(Arc::strong_count(&request), 1);

    // Nor one that ends where its next attempt cannot be made.
    let mut failed = task::spawn(service.ready().await.unwrap().call(request.clone()));
    assert_pending!(failed.poll());
    upstream.set_pending(true);
    tokio::time::advance(100 * MILLI).await;
    assert_ready!(failed.poll()).unwrap_err();
    assert_eq!(Arc::strong_count(&request), 1);
}

#[tokio::test(start_paused = true)]
async fn call_dropped_while_it_waits_for_readiness_is_abandoned_once() {
    let layer = plain().wait_for_ready(true).build().unwrap();
    let recorder = record(&layer.handle());
    let upstream = failing();
    let mut service = layer.layer(upstream.view());
    let mut call = task::spawn(service.ready().await.unwrap().call(7));
    upstream.set_pending(true);
    assert_pending!(call.poll());
    tokio::time::advance(100 * MILLI).await;
    assert_pending!(call.poll());
    assert_eq!(upstream.calls(), 1);
    drop(call);
    assert_eq!(recorder.outcomes(), [Outcome::Abandoned]);
}

fn panicking(at: u32) -> Upstream<u32, u32> {
    Upstream::new(move |number, _| async move {
        assert_ne!(number, at, "as an inner service might");
        Err(Fault(number).into())
    })
}

#[tokio::test(start_paused = true)]
async fn panic_of_any_attempt_is_one_failure() {
    for at in [1, 2] {
        let layer = plain()
            .backoff(Backoff::constant(Duration::ZERO))
            .build()
            .unwrap();
        let recorder = record(&layer.handle());
        let mut call = task::spawn(layer.layer(panicking(at)).oneshot(7));
        let result = catch_unwind(AssertUnwindSafe(|| call.poll()));
        assert!(result.is_err());
        // The future is still there, as behind a layer that catches panics.
        assert_eq!(recorder.outcomes(), [Outcome::Failure], "{at}");
        drop(call);
        assert_eq!(recorder.outcomes(), [Outcome::Failure], "{at}");
        assert_eq!(layer.layer(recovering(1)).oneshot(7).await.unwrap(), 7);
    }
}

#[tokio::test(start_paused = true)]
async fn panic_of_a_callback_is_one_failure_and_gives_the_retry_back() {
    let layer = plain()
        .budget(crate::BudgetConfig::default().share(1.0).floor(0))
        .on_retry(|_| panic!("as a callback might"))
        .build()
        .unwrap();
    let recorder = record(&layer.handle());
    let mut call = task::spawn(layer.layer(failing()).oneshot(7));
    assert!(catch_unwind(AssertUnwindSafe(|| call.poll())).is_err());
    drop(call);
    assert_eq!(recorder.outcomes(), [Outcome::Failure]);
    assert_eq!(layer.handle().snapshot().budget_remaining, Some(1.0));
}

#[tokio::test(start_paused = true)]
async fn drain_lets_a_call_have_its_attempts_and_refuses_new_ones() {
    let layer = plain().build().unwrap();
    let upstream = recovering(1);
    let mut call = task::spawn(layer.layer(upstream.view()).oneshot(7));
    assert_pending!(call.poll());
    let mut drain = task::spawn(layer.handle().drain());
    assert_pending!(drain.poll());

    let refused = layer.layer(upstream.view()).oneshot(8).await.unwrap_err();
    let rejection = refused.downcast_ref::<Rejection>().expect("a refusal");
    assert_eq!(rejection.kind(), RejectionKind::Draining);

    tokio::time::advance(100 * MILLI).await;
    assert_eq!(assert_ready!(call.poll()).unwrap(), 7);
    drop(call);
    assert_ready!(drain.poll());
    assert_eq!(upstream.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn drain_refuses_although_the_inner_service_is_never_ready() {
    let layer = plain().build().unwrap();
    let upstream = recovering(0);
    upstream.set_pending(true);
    let mut service = layer.layer(upstream.view());
    let _drain = layer.handle().drain();
    service.ready().await.unwrap();
    // Even if the drain ends in between: the inner service was not polled for this call.
    layer.handle().control().resume();
    let refused = service.call(7).await.unwrap_err();
    assert!(refused.downcast_ref::<Rejection>().is_some());
    assert_eq!(upstream.calls(), 0);
}

#[tokio::test(start_paused = true)]
async fn service_that_was_ready_in_a_drain_stays_ready_after_it() {
    let layer = plain().build().unwrap();
    let upstream = recovering(0);
    upstream.set_pending(true);
    let mut service = layer.layer(upstream.view());
    let _drain = layer.handle().drain();
    service.ready().await.unwrap();
    layer.handle().control().resume();
    // tower's contract: ready until it is called, or broken.
    let again = task::spawn(()).enter(|cx, _| service.poll_ready(cx).is_ready());
    assert!(again);
    let refused = service.call(7).await.unwrap_err();
    assert!(refused.downcast_ref::<Rejection>().is_some());
    assert_eq!(upstream.calls(), 0);
    let again = task::spawn(()).enter(|cx, _| service.poll_ready(cx).is_ready());
    assert!(!again, "and then it is as ready as what is inside");
}
