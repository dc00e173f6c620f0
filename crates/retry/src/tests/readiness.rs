//! The inner service's readiness: of the first attempt, and of the others.

use seaworthy_kit::deadline::{self, Deadline};
use seaworthy_kit::{Event, clock};
use tokio::time::Instant;
use tokio_test::{assert_pending, assert_ready, task};
use tower::{Layer, ServiceExt};

use super::*;

#[tokio::test(start_paused = true)]
async fn retry_that_finds_the_service_not_ready_gives_up() {
    let upstream = failing();
    let layer = plain().build().unwrap();
    let recorder = record(&layer.handle());
    let mut call = task::spawn(layer.layer(upstream.view()).oneshot(7));
    assert_pending!(call.poll());
    upstream.set_pending(true);
    tokio::time::advance(100 * MILLI).await;
    let error = assert_ready!(call.poll()).unwrap_err();
    assert_eq!(exhausted(&error), (1, Reason::NotReady));
    assert_eq!(fault(error.source().unwrap()), Some(1));
    let gave_up = Event::GaveUp {
        attempts: 1,
        reason: "not_ready",
    };
    assert_eq!(recorder.count(|event| *event == gave_up), 1);
}

#[tokio::test(start_paused = true)]
async fn retry_waits_for_a_service_that_is_not_ready_where_asked() {
    let upstream = recovering(1);
    let layer = plain().wait_for_ready(true).build().unwrap();
    let mut call = task::spawn(layer.layer(upstream.view()).oneshot(7));
    assert_pending!(call.poll());
    upstream.set_pending(true);
    tokio::time::advance(100 * MILLI).await;
    assert_pending!(call.poll());
    assert_pending!(call.poll());
    upstream.set_pending(false);
    assert!(call.is_woken());
    assert_eq!(assert_ready!(call.poll()).unwrap(), 7);
}

#[tokio::test(start_paused = true)]
async fn wait_for_a_service_that_is_never_ready_has_an_end() {
    let upstream = failing();
    let layer = plain()
        .wait_for_ready(true)
        .total_timeout(SECOND)
        .build()
        .unwrap();
    let mut service = layer.layer(upstream.view());
    let call = service.ready().await.unwrap().call(7);
    upstream.set_pending(true);
    let before = Instant::now();
    let error = call.await.unwrap_err();
    assert_eq!(before.elapsed(), SECOND);
    assert_eq!(exhausted(&error), (1, Reason::NotReady));
}

#[tokio::test(start_paused = true)]
async fn wait_for_readiness_has_a_limit_of_its_own() {
    let upstream = Upstream::new(|number, request: u32| async move {
        if number > 1 {
            return Ok(request);
        }
        // Most of the attempt's limit is used up.
        tokio::time::sleep(1900 * MILLI).await;
        Err(Fault(1).into())
    });
    let layer = plain()
        .backoff(Backoff::constant(Duration::ZERO))
        .attempt_timeout(2 * SECOND)
        .wait_for_ready(true)
        .build()
        .unwrap();
    let mut service = layer.layer(upstream.view());
    let mut call = task::spawn(service.ready().await.unwrap().call(7));
    assert_pending!(call.poll());
    upstream.set_pending(true);
    tokio::time::advance(1900 * MILLI).await;
    assert_pending!(call.poll());
    tokio::time::advance(SECOND).await;
    assert_pending!(call.poll());
    upstream.set_pending(false);
    assert_eq!(assert_ready!(call.poll()).unwrap(), 7);
}

#[tokio::test(start_paused = true)]
async fn wait_for_a_service_that_is_not_ready_ends_with_the_deadline() {
    let upstream = failing();
    let layer = plain().wait_for_ready(true).build().unwrap();
    let mut service = layer.layer(upstream.view());
    let call = service.ready().await.unwrap().call(7);
    upstream.set_pending(true);
    let before = Instant::now();
    let limit = Deadline::after(clock::now(), 3 * SECOND);
    let error = deadline::scope(limit, call).await.unwrap_err();
    assert_eq!(before.elapsed(), 3 * SECOND);
    assert_eq!(exhausted(&error), (1, Reason::NotReady));
    assert_eq!(
        fault(error.source().unwrap()),
        Some(1),
        "the last real failure"
    );
}

#[tokio::test(start_paused = true)]
async fn failure_of_readiness_ends_the_call() {
    let upstream = failing();
    let layer = plain().build().unwrap();
    let mut service = layer.layer(upstream.view());
    let call = service.ready().await.unwrap().call(7);
    upstream.fail_readiness();
    let error = call.await.unwrap_err();
    assert_eq!(exhausted(&error), (1, Reason::NotReady));
    let source = error.source().unwrap();
    assert_eq!(source.to_string(), "broken for good");
}

/// Ready only while the task has some of its time slice left, as tokio's channels and semaphores are.
#[derive(Clone)]
struct Cooperative(Upstream<u32, u32>);

impl Service<u32> for Cooperative {
    type Response = u32;
    type Error = BoxError;
    type Future = Answer<u32>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        let slice = std::pin::pin!(tokio::task::coop::consume_budget());
        if slice.poll(cx).is_pending() {
            return Poll::Pending;
        }
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: u32) -> Answer<u32> {
        self.0.call(request)
    }
}

#[tokio::test(start_paused = true)]
async fn task_that_has_used_up_its_slice_does_not_give_up() {
    let upstream = Upstream::new(|number, request: u32| async move {
        if number > 1 {
            return Ok(request);
        }
        while tokio::task::coop::has_budget_remaining() {
            tokio::task::coop::consume_budget().await;
        }
        Err(Fault(1).into())
    });
    let layer = plain()
        .backoff(Backoff::constant(Duration::ZERO))
        .build()
        .unwrap();
    let service = layer.layer(Cooperative(upstream));
    assert_eq!(service.oneshot(7).await.unwrap(), 7);
}
