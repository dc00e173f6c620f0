//! tower's own layers inside, which panic if they are called before they are ready, and panics of the user's.

use std::panic::{AssertUnwindSafe, catch_unwind};

use seaworthy_kit::Outcome;
use tower::buffer::BufferLayer;
use tower::limit::ConcurrencyLimitLayer;
use tower::{Layer, ServiceBuilder, ServiceExt};

use super::*;

#[tokio::test(start_paused = true)]
async fn inner_buffer_is_ready_before_each_attempt() {
    let upstream = recovering(2);
    let stack = ServiceBuilder::new()
        .layer(plain().build().unwrap())
        .layer(BufferLayer::new(1))
        .service(upstream.view());
    assert_eq!(stack.oneshot(7).await.unwrap(), 7);
    assert_eq!(upstream.calls(), 3);
}

#[tokio::test(start_paused = true)]
async fn inner_limit_of_one_is_free_again_before_each_attempt_and_after_the_last() {
    let upstream = recovering(2);
    let mut stack = ServiceBuilder::new()
        .layer(plain().build().unwrap())
        .layer(ConcurrencyLimitLayer::new(1))
        .service(upstream.view());
    assert_eq!(stack.ready().await.unwrap().call(7).await.unwrap(), 7);
    assert_eq!(upstream.calls(), 3);
    // Nothing is held back, also where a call ends in the middle.
    let call = stack.ready().await.unwrap().call(8);
    drop(call);
    assert_eq!(stack.ready().await.unwrap().call(9).await.unwrap(), 9);
}

#[tokio::test(start_paused = true)]
async fn waiting_call_holds_no_place_of_an_inner_limit() {
    let upstream = recovering(1);
    let mut stack = ServiceBuilder::new()
        .layer(plain().build().unwrap())
        .layer(ConcurrencyLimitLayer::new(1))
        .service(upstream.view());
    let mut waiting = tokio_test::task::spawn(stack.ready().await.unwrap().call(7));
    tokio_test::assert_pending!(waiting.poll());
    assert_eq!(stack.ready().await.unwrap().call(8).await.unwrap(), 8);
    assert_eq!(waiting.await.unwrap(), 7);
}

#[tokio::test(start_paused = true)]
async fn finished_call_holds_no_place_of_an_inner_limit_until_it_is_dropped() {
    let mut stack = ServiceBuilder::new()
        .layer(plain().build().unwrap())
        .layer(ConcurrencyLimitLayer::new(1))
        .service(recovering(0));
    let mut finished = tokio_test::task::spawn(stack.ready().await.unwrap().call(7));
    assert_eq!(tokio_test::assert_ready!(finished.poll()).unwrap(), 7);
    let ready = tokio_test::task::spawn(()).enter(|cx, _| stack.poll_ready(cx).is_ready());
    assert!(ready);
    drop(finished);
}

/// What a call leaves behind in which something of the user's panics.
fn outcomes<S>(handle: &RetryHandle, service: S) -> Vec<Outcome>
where
    S: Service<u32, Response = u32, Error = BoxError>,
{
    let recorder = record(handle);
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        let mut call = tokio_test::task::spawn(service.oneshot(7));
        let _ = call.poll();
    }));
    assert!(panicked.is_err());
    assert_eq!(handle.snapshot().in_flight, 0);
    recorder.outcomes()
}

#[tokio::test(start_paused = true)]
async fn panic_of_a_predicate_or_callback_is_one_failure_and_leaves_nothing() {
    let failed = [Outcome::Failure];
    let layer = plain().retry_if(|_: &u32| panic!("as a predicate might"));
    let layer = layer.retry_error(|_| true).build().unwrap();
    assert_eq!(outcomes(&layer.handle(), layer.layer(failing())), failed);

    let layer = plain().retry_response(|_: &u32| -> bool { panic!("as a predicate might") });
    let layer = layer.build().unwrap();
    assert_eq!(
        outcomes(&layer.handle(), layer.layer(recovering(0))),
        failed
    );

    let layer = plain().retry_error(|_| -> bool { panic!("as a predicate might") });
    let layer = layer.build().unwrap();
    assert_eq!(outcomes(&layer.handle(), layer.layer(failing())), failed);

    let layer = plain()
        .max_attempts(2)
        .budget(crate::BudgetConfig::default().share(0.1).floor(0));
    let layer = layer.on_exhausted(|_| panic!("as a callback might"));
    let layer = layer.build().unwrap();
    assert_eq!(outcomes(&layer.handle(), layer.layer(failing())), failed);

    let layer = plain()
        .draw(|| panic!("as a generator might"))
        .build()
        .unwrap();
    assert_eq!(outcomes(&layer.handle(), layer.layer(failing())), failed);
}

#[tokio::test(start_paused = true)]
async fn panic_of_the_inner_call_itself_is_one_failure() {
    #[derive(Clone)]
    struct Panicking;

    impl Service<u32> for Panicking {
        type Response = u32;
        type Error = BoxError;
        type Future = Answer<u32>;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
            Poll::Ready(Ok(()))
        }

        fn call(&mut self, _: u32) -> Answer<u32> {
            panic!("as an inner service might")
        }
    }

    let layer = plain().build().unwrap();
    let failed = [Outcome::Failure];
    assert_eq!(outcomes(&layer.handle(), layer.layer(Panicking)), failed);
}

#[cfg(feature = "http")]
#[tokio::test(start_paused = true)]
async fn attempts_do_not_multiply_across_an_edge() {
    use seaworthy_http::RespondLayer;
    use seaworthy_http::replay::ReplayBody;

    use super::http::{Got, attempts, get, http};

    type Request = ::http::Request<ReplayBody<ReplayBody<http_body_util::Full<bytes::Bytes>>>>;
    let server =
        Upstream::<Request, Got>::new(|number, _| async move { Err(Fault(number).into()) });
    let bad_gateway = |_: &BoxError| ::http::StatusCode::BAD_GATEWAY;
    let stack = ServiceBuilder::new()
        .layer(http().build().unwrap())
        .layer(RespondLayer::new().otherwise(bad_gateway))
        .layer(http().build().unwrap())
        .service(server.view());
    let response = stack.oneshot(get()).await.unwrap();
    assert_eq!(
        (response.status().as_u16(), attempts(&response)),
        (502, Some(3))
    );
    assert_eq!(server.calls(), 3);
}
