//! The places of a stack: changed, left out, exchanged, and looked at.

use std::future::pending;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use seaworthy::circuit_breaker::{CircuitBreakerHandle, State};
use seaworthy::core::Backoff;
use seaworthy::http::Http;
use seaworthy::{BoxError, Rejection, RejectionKind, Verdict, client, server};
use tokio::sync::Notify;
use tower::{Layer, ServiceExt, service_fn};

const SECOND: Duration = Duration::from_secs(1);

fn kind(error: &BoxError) -> Option<RejectionKind> {
    Rejection::find(&**error).map(Rejection::kind)
}

#[tokio::test(start_paused = true)]
async fn stack_without_its_layers_only_limits_the_time() {
    let stack = client("gateway")
        .plain()
        .without_retry()
        .without_circuit_breaker()
        .without_bulkhead()
        .build()
        .unwrap();
    let calls = Arc::new(AtomicUsize::new(0));
    let service = stack.layer(service_fn({
        let calls = calls.clone();
        move |hangs: bool| {
            calls.fetch_add(1, Ordering::Relaxed);
            async move {
                if hangs {
                    pending().await
                } else {
                    Err::<(), _>(BoxError::from("broken"))
                }
            }
        }
    }));
    for _ in 0..200 {
        let error = service.clone().oneshot(false).await.unwrap_err();
        assert_eq!(error.to_string(), "broken");
    }
    assert_eq!(calls.load(Ordering::Relaxed), 200, "one attempt each");
    let error = service.oneshot(true).await.unwrap_err();
    assert_eq!(kind(&error), Some(RejectionKind::TimedOut));
    assert_eq!(stack.timeout().snapshot().timeouts, 1);
    stack.publish();
}

#[tokio::test(start_paused = true)]
async fn circuit_can_be_one_for_each_key() {
    let keys = NonZeroUsize::new(10).unwrap();
    let stack = client("hosts")
        .plain()
        .without_retry()
        .circuit_breaker(|circuit| circuit.minimum_calls(2).keyed(keys, |host: &u32| *host))
        .build()
        .unwrap();
    let service = stack.layer(service_fn(|host: u32| async move {
        if host == 0 {
            Err(BoxError::from("down"))
        } else {
            Ok(host)
        }
    }));
    for _ in 0..2 {
        service.clone().oneshot(0).await.unwrap_err();
    }
    let error = service.clone().oneshot(0).await.unwrap_err();
    assert_eq!(kind(&error), Some(RejectionKind::CircuitOpen));
    assert_eq!(service.oneshot(1).await.unwrap(), 1);
    let down = stack.circuit_breaker().get(&0).unwrap();
    assert_eq!(CircuitBreakerHandle::from(down).state(), State::Open);
}

#[tokio::test(start_paused = true)]
async fn bulkhead_can_have_a_queue() {
    let stack = client("gateway")
        .plain()
        .bulkhead(|bulkhead| bulkhead.max_concurrent(1).queue(1, SECOND))
        .build()
        .unwrap();
    let service = stack.layer(service_fn(|n: u32| async move {
        tokio::time::sleep(SECOND / 2).await;
        Ok::<_, BoxError>(n)
    }));
    let (one, two) = tokio::join!(service.clone().oneshot(1), service.oneshot(2));
    assert_eq!((one.unwrap(), two.unwrap()), (1, 2));
    assert_eq!(stack.bulkhead().snapshot().max_wait, Some(SECOND));
}

#[tokio::test(start_paused = true)]
async fn another_classifier_is_that_of_all_layers() {
    let stack = client("gateway")
        .http()
        .traffic(Http::classify(|result| match result {
            Ok(head) if head.status == StatusCode::NOT_FOUND => Verdict::FAILURE,
            Ok(_) => Verdict::SUCCESS,
            Err(_) => Verdict::FAILURE,
        }))
        .without_retry()
        .circuit_breaker(|circuit| circuit.minimum_calls(2))
        .build()
        .unwrap();
    let service = stack.layer(service_fn(|_: Request<Full<Bytes>>| async {
        let response = Response::builder().status(StatusCode::NOT_FOUND);
        Ok::<_, BoxError>(response.body(Full::<Bytes>::default())?)
    }));
    for _ in 0..2 {
        let response = service.clone().oneshot(Request::default()).await.unwrap();
        response.into_body().collect().await.unwrap();
    }
    assert_eq!(stack.circuit_breaker().state(), State::Open);
}

/// A call in the wait between two attempts, under a drain.
#[tokio::test(start_paused = true)]
async fn drain_lets_a_running_call_have_its_attempts() {
    let stack = client("gateway")
        .plain()
        .retry(|retry| retry.backoff(Backoff::constant(SECOND)))
        .build()
        .unwrap();
    let failed = Arc::new(Notify::new());
    let calls = Arc::new(AtomicUsize::new(0));
    let service = stack.layer(service_fn({
        let failed = failed.clone();
        move |n: u32| {
            let first = calls.fetch_add(1, Ordering::Relaxed) == 0;
            let failed = failed.clone();
            async move {
                if first {
                    failed.notify_one();
                    return Err(BoxError::from("broken"));
                }
                Ok(n)
            }
        }
    }));
    let running = tokio::spawn(service.clone().oneshot(7));
    failed.notified().await;
    let drained = stack.drain();
    let refused = service.clone().oneshot(8).await.unwrap_err();
    assert_eq!(kind(&refused), Some(RejectionKind::Draining));
    drained.await;
    assert!(running.is_finished(), "the drain waited for it");
    assert_eq!(running.await.unwrap().unwrap(), 7);
    stack.deadline().control().resume();
    assert_eq!(service.oneshot(9).await.unwrap(), 9);
}

#[tokio::test(start_paused = true)]
async fn plain_server_leaves_rejections_as_errors() {
    let stack = server("payments")
        .plain()
        .bulkhead(|bulkhead| bulkhead.max_concurrent(1))
        .build()
        .unwrap();
    let service = stack.layer(service_fn(|(): ()| pending::<Result<(), BoxError>>()));
    let running = tokio::spawn(service.clone().oneshot(()));
    tokio::task::yield_now().await;
    let error = service.oneshot(()).await.unwrap_err();
    assert_eq!(kind(&error), Some(RejectionKind::BulkheadFull));
    let error = running.await.unwrap().unwrap_err();
    assert_eq!(kind(&error), Some(RejectionKind::TimedOut), "after 15 s");
    stack.drain().await;
    stack.publish();
}

#[tokio::test(start_paused = true)]
async fn server_without_a_bulkhead_takes_what_comes() {
    let stack = server("payments")
        .http()
        .edge(|edge| edge.otherwise(|_| StatusCode::BAD_GATEWAY))
        .without_bulkhead()
        .build()
        .unwrap();
    let service = stack.layer(service_fn(|_: Request<Full<Bytes>>| async {
        tokio::time::sleep(SECOND).await;
        Err::<Response<Full<Bytes>>, _>(BoxError::from("no disk"))
    }));
    let calls = (0..300).map(|_| service.clone().oneshot(Request::default()));
    for response in futures_util::future::join_all(calls).await {
        assert_eq!(response.unwrap().status(), StatusCode::BAD_GATEWAY);
    }
}
