//! Over HTTP a slot is held until the body is over, however it ends.

use std::task::Poll;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body::{Body, Frame};
use seaworthy_http::testing::{Answers, BodyRemote};
use tower::{Layer, ServiceExt};

use super::*;

trait AnyBody: Body<Data = Bytes, Error = BoxError> + Unpin + Send + Sync {}

impl<B: Body<Data = Bytes, Error = BoxError> + Unpin + Send + Sync> AnyBody for B {}

/// A response whose head has come through a bulkhead of one slot.
struct Answered {
    body: Spawn<Box<dyn AnyBody>>,
    script: BodyRemote,
    handle: BulkheadHandle,
    upgrade: bool,
}

/// What a client is told that asks for an upgrade.
#[derive(Clone)]
struct Upgrade;

async fn answered(method: Method, status: StatusCode, is_over: bool) -> Answered {
    let layer = BulkheadLayer::http("server").max_concurrent(1);
    let layer = layer.queue(1, Duration::MAX).build().unwrap();
    let (body, script) = BodyRemote::new();
    script.tell_end();
    if is_over {
        script.end();
    }
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.extensions_mut().insert(Upgrade);
    let inner = Answers::default();
    inner.put(response);
    let mut request = Request::new(());
    *request.method_mut() = method;
    let response = layer.layer(inner).oneshot(request).await.unwrap();
    assert_eq!(response.status(), status);
    Answered {
        upgrade: response.extensions().get::<Upgrade>().is_some(),
        body: task::spawn(Box::new(response.into_body())),
        script,
        handle: layer.handle(),
    }
}

impl Answered {
    fn poll(&mut self) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        self.body.enter(|cx, body| body.poll_frame(cx))
    }

    fn running(&self) -> usize {
        self.handle.snapshot().running
    }
}

async fn ok() -> Answered {
    answered(Method::GET, StatusCode::OK, false).await
}

#[tokio::test(start_paused = true)]
async fn slot_is_held_until_the_stream_ends_and_then_goes_to_the_next() {
    let mut answered = ok().await;
    assert_eq!(answered.running(), 1);
    assert_pending!(answered.poll());
    let waiting = Call::start(&answered.handle);
    for _ in 0..3 {
        answered.script.data("x");
        assert!(assert_ready!(answered.poll()).unwrap().is_ok());
    }
    assert!(!waiting.is_woken());
    answered.script.end();
    assert!(assert_ready!(answered.poll()).is_none());
    assert!(waiting.is_woken(), "though the body is still there");
    waiting.end();
    assert_eq!(answered.running(), 0);
}

#[tokio::test(start_paused = true)]
async fn trailers_are_part_of_the_call_and_the_last_of_it() {
    let mut answered = ok().await;
    answered.script.data("x");
    assert!(assert_ready!(answered.poll()).unwrap().is_ok());
    assert_pending!(answered.poll());
    assert_eq!(answered.running(), 1, "the trailers are not there yet");
    answered.script.trailers(HeaderMap::new());
    assert!(
        assert_ready!(answered.poll())
            .unwrap()
            .unwrap()
            .is_trailers()
    );
    assert_eq!(answered.running(), 0, "nothing comes after them");
}

#[tokio::test(start_paused = true)]
async fn body_that_fails_frees_its_slot() {
    let mut answered = ok().await;
    answered.script.fail("reset");
    assert!(assert_ready!(answered.poll()).unwrap().is_err());
    assert_eq!(answered.running(), 0);
}

#[tokio::test(start_paused = true)]
async fn body_that_is_dropped_frees_its_slot_read_or_not() {
    let unread = ok().await;
    let handle = unread.handle.clone();
    assert_eq!(counts(&handle), (1, 1, 0));
    drop(unread);
    assert_eq!(counts(&handle), (1, 0, 0));

    let mut halfway = ok().await;
    halfway.script.data("x");
    assert!(assert_ready!(halfway.poll()).unwrap().is_ok());
    let handle = halfway.handle.clone();
    let waiting = Call::start(&handle);
    drop(halfway);
    assert!(waiting.is_woken());
    waiting.end();
    assert_eq!(counts(&handle), (1, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn body_that_is_empty_frees_its_slot_with_the_head() {
    let answered = answered(Method::GET, StatusCode::NO_CONTENT, true).await;
    assert_eq!(answered.running(), 0);
}

#[tokio::test(start_paused = true)]
async fn upgrade_passes_and_holds_its_slot_until_the_handshake_is_over() {
    for (method, status) in [
        (Method::GET, StatusCode::SWITCHING_PROTOCOLS),
        (Method::CONNECT, StatusCode::OK),
    ] {
        // As hyper has it: the response to a handshake has no body, and is over with its head.
        let over = answered(method.clone(), status, true).await;
        assert!(over.upgrade, "what the framework put there is still there");
        assert_eq!(over.running(), 0);

        let mut open = answered(method, status, false).await;
        assert_eq!(open.running(), 1);
        open.script.end();
        assert!(assert_ready!(open.poll()).is_none());
        assert_eq!(open.running(), 0);
    }
}
