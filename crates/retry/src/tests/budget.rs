//! The budget and the throttling tokens.

use seaworthy_core::health::Status;
use seaworthy_kit::{Budget, Vital};
use tower::{Layer, ServiceExt};

use super::*;
use crate::BudgetConfig;

/// Half of the calls, and no floor.
fn half() -> Budget {
    Budget::try_new(BudgetConfig::default().share(0.5).floor(0)).unwrap()
}

#[tokio::test(start_paused = true)]
async fn call_that_finds_the_budget_empty_says_so_after_one_attempt() {
    let layer = plain().budget(half()).build().unwrap();
    let upstream = failing();
    let error = layer.layer(upstream.view()).oneshot(7).await.unwrap_err();
    assert_eq!(exhausted(&error), (1, Reason::Budget));
    assert_eq!(fault(error.source().unwrap()), Some(1));
    assert_eq!(
        error.to_string(),
        "gave up after 1 attempt: retry budget exhausted"
    );
    assert_eq!(upstream.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn budget_bounds_the_attempts_of_all_calls_together() {
    let layer = plain().budget(half()).build().unwrap();
    let upstream = failing();
    let mut service = layer.layer(upstream.view());
    for _ in 0..100 {
        service.ready().await.unwrap().call(7).await.unwrap_err();
    }
    // The calls of the last ten seconds count, and no retry pays for another.
    let retries = upstream.calls() - 100;
    assert!((40..=50).contains(&retries), "{retries}");
    assert_eq!(layer.handle().snapshot().retries, u64::from(retries));
}

#[tokio::test(start_paused = true)]
async fn default_is_a_fifth_of_the_calls_and_ten_per_second() {
    let layer = plain()
        .backoff(Backoff::constant(Duration::ZERO))
        .build()
        .unwrap();
    let upstream = failing();
    for _ in 0..100 {
        let service = layer.layer(upstream.view());
        service.oneshot(7).await.unwrap_err();
    }
    assert_eq!(upstream.calls() - 100, 10 + 20);
}

#[tokio::test(start_paused = true)]
async fn layers_share_a_budget() {
    let budget = half();
    let one = plain().budget(budget.clone()).build().unwrap();
    let other = plain().budget(budget.clone()).build().unwrap();
    let (healthy, sick) = (recovering(0), failing());
    let mut service = one.layer(healthy.view());
    for _ in 0..3 {
        service.ready().await.unwrap().call(7).await.unwrap();
    }
    let error = other.layer(sick.view()).oneshot(7).await.unwrap_err();
    assert_eq!(exhausted(&error), (3, Reason::Attempts));
    let error = one.layer(sick.view()).oneshot(7).await.unwrap_err();
    assert_eq!(exhausted(&error), (1, Reason::Budget));
    assert_eq!(other.handle().snapshot().budget_remaining, Some(0.0));
}

#[tokio::test(start_paused = true)]
async fn without_a_budget_every_call_has_all_its_attempts() {
    let layer = plain().budget(None).build().unwrap();
    let upstream = failing();
    for _ in 0..50 {
        let error = layer.layer(upstream.view()).oneshot(7).await.unwrap_err();
        assert_eq!(exhausted(&error), (3, Reason::Attempts));
    }
    assert_eq!(layer.handle().snapshot().budget_remaining, None);
}

#[tokio::test(start_paused = true)]
async fn call_dropped_during_its_wait_gives_its_retry_back() {
    let budget = half();
    let layer = plain().budget(budget.clone()).build().unwrap();
    layer.layer(recovering(0)).oneshot(7).await.unwrap();
    let mut waiting = tokio_test::task::spawn(layer.layer(failing()).oneshot(7));
    tokio_test::assert_pending!(waiting.poll());
    assert_eq!(layer.handle().snapshot().budget_remaining, Some(0.0));
    drop(waiting);
    assert_eq!(layer.handle().snapshot().budget_remaining, Some(1.0));
}

#[tokio::test(start_paused = true)]
async fn retry_that_could_not_be_sent_is_given_back() {
    let layer = plain().budget(half()).build().unwrap();
    layer.layer(recovering(0)).oneshot(7).await.unwrap();
    let upstream = failing();
    let mut service = layer.layer(upstream.view());
    let call = service.ready().await.unwrap().call(7);
    upstream.set_pending(true);
    let error = call.await.unwrap_err();
    assert_eq!(exhausted(&error), (1, Reason::NotReady));
    assert_eq!(layer.handle().snapshot().budget_remaining, Some(1.0));
}

#[tokio::test(start_paused = true)]
async fn retry_that_was_sent_is_not_given_back() {
    let layer = plain().budget(half()).build().unwrap();
    layer.layer(recovering(0)).oneshot(7).await.unwrap();
    let hangs = Upstream::<u32, u32>::new(|number, _| async move {
        if number > 1 {
            std::future::pending::<()>().await;
        }
        Err(Fault(number).into())
    });
    let mut call = tokio_test::task::spawn(layer.layer(hangs.view()).oneshot(7));
    tokio_test::assert_pending!(call.poll());
    tokio::time::advance(100 * MILLI).await;
    tokio_test::assert_pending!(call.poll());
    assert_eq!(hangs.calls(), 2);
    drop(call);
    assert_eq!(layer.handle().snapshot().budget_remaining, Some(0.0));
}

#[tokio::test(start_paused = true)]
async fn throttle_stops_retries_while_too_many_attempts_fail() {
    let layer = plain().budget(None).throttle(4, 1.0).build().unwrap();
    let upstream = failing();
    // Two failures take the tokens to half of four.
    let error = layer.layer(upstream.view()).oneshot(7).await.unwrap_err();
    assert_eq!(exhausted(&error), (2, Reason::Throttled));
    let error = layer.layer(upstream.view()).oneshot(7).await.unwrap_err();
    assert_eq!(exhausted(&error), (1, Reason::Throttled));
    assert_eq!(layer.handle().snapshot().throttle_tokens, Some(1.0));
    for _ in 0..3 {
        layer.layer(recovering(0)).oneshot(7).await.unwrap();
    }
    assert_eq!(layer.handle().snapshot().throttle_tokens, Some(4.0));
    assert_eq!(layer.layer(recovering(1)).oneshot(7).await.unwrap(), 7);
}

#[tokio::test(start_paused = true)]
async fn throttle_counts_calls_that_are_not_repeated() {
    let layer = plain()
        .throttle(4, 1.0)
        .retry_if(|_: &u32| false)
        .build()
        .unwrap();
    layer.layer(failing()).oneshot(7).await.unwrap_err();
    assert_eq!(layer.handle().snapshot().throttle_tokens, Some(3.0));
}

#[cfg(feature = "http")]
#[tokio::test(start_paused = true)]
async fn throttle_counts_what_says_something_about_the_server() {
    use super::http::{Server, answer, get, http};

    const GRPC: (&str, &str) = ("content-type", "application/grpc");
    let tokens = |status, headers: &'static [_]| async move {
        let layer = http().throttle(10, 1.0).build().unwrap();
        let server = Server::new(move |number, _| async move {
            // Takes a token first, so that one can come back.
            match number {
                1 => Ok(answer(503, &[])),
                _ => Ok(answer(status, headers)),
            }
        });
        layer.layer(server).oneshot(get()).await.unwrap();
        layer.handle().snapshot().throttle_tokens.unwrap()
    };
    assert_eq!(tokens(200, &[]).await, 10.0, "a success gives one back");
    assert_eq!(tokens(404, &[]).await, 10.0);
    assert_eq!(tokens(500, &[]).await, 9.0, "final, and no success");
    let invalid: &[_] = &[GRPC, ("grpc-status", "3")];
    assert_eq!(tokens(200, invalid).await, 9.0);
    let stop: &[_] = &[GRPC, ("grpc-status", "3"), ("grpc-retry-pushback-ms", "-1")];
    assert_eq!(tokens(200, stop).await, 8.0, "it said not to come back");
}

#[tokio::test(start_paused = true)]
async fn throttle_does_not_count_local_refusals() {
    use seaworthy_kit::{Rejection, RejectionKind};

    let layer = plain()
        .retry_refusals(true)
        .throttle(10, 1.0)
        .build()
        .unwrap();
    let upstream = Upstream::<u32, u32>::new(|_, _| async {
        let rejection = Rejection::new(RejectionKind::BulkheadFull, "inner".into());
        Err(rejection.into())
    });
    layer.layer(upstream.view()).oneshot(7).await.unwrap_err();
    assert_eq!(upstream.calls(), 3);
    assert_eq!(layer.handle().snapshot().throttle_tokens, Some(10.0));
}

#[tokio::test(start_paused = true)]
async fn layer_that_would_not_try_again_says_so() {
    let vitals = async |layer: &RetryLayer<_, _>, calls: u32| {
        for _ in 0..calls {
            let service = layer.layer(failing().view());
            service.oneshot(7).await.unwrap_err();
        }
        layer.handle().vitals()
    };
    let layer = plain().budget(half()).build().unwrap();
    let idle = vitals(&layer, 0).await;
    assert_eq!((idle.layer, &*idle.name), ("retry", "gateway"));
    assert_eq!((idle.status, idle.value), (Status::Pass, Some(0.0)));
    let spent = vitals(&layer, 10).await;
    assert_eq!((spent.status, spent.state), (Status::Warn, "exhausted"));
    assert_eq!((spent.value, spent.threshold), (Some(1.0), Some(1.0)));
    tokio::time::advance(60 * SECOND).await;
    let again = vitals(&layer, 0).await;
    assert_eq!((again.status, again.value), (Status::Pass, Some(0.0)));

    let layer = plain().budget(None).throttle(4, 1.0).build().unwrap();
    assert_eq!(vitals(&layer, 0).await.status, Status::Pass);
    let throttled = vitals(&layer, 4).await;
    assert_eq!(
        (throttled.status, throttled.state),
        (Status::Warn, "throttled")
    );
    assert_eq!(throttled.value, None);
}
