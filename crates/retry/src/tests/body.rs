//! Bodies over HTTP: of responses that are given up, of requests that are sent again, and of the last answer.

use std::convert::Infallible;

use ::http::{HeaderMap, Method, Request, Response, StatusCode};
use bytes::Bytes;
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Empty};
use seaworthy_http::replay::ReplayBody;
use seaworthy_http::testing::{Answers, BodyRemote};
use seaworthy_kit::{Event, Outcome};
use tokio_test::{assert_pending, assert_ready, task};
use tower::{Layer, ServiceExt};

use super::http::{Got, Sent, answer, attempts, busy, get, http, keyed};
use super::*;

#[tokio::test(start_paused = true)]
async fn failed_response_is_dropped_before_the_wait() {
    let (body, remote) = BodyRemote::new();
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    let server = Answers::default();
    server.put(response);
    let layer = http().build().unwrap();
    let mut call = task::spawn(layer.layer(server).oneshot(get()));
    assert_pending!(call.poll(), "it waits");
    assert!(remote.is_dropped());
}

#[tokio::test(start_paused = true)]
async fn response_given_up_for_a_retry_that_could_not_be_made_is_told_in_words() {
    let server = busy(9, 503, &[]);
    let layer = http().build().unwrap();
    let mut call = task::spawn(layer.layer(server.view()).oneshot(get()));
    assert_pending!(call.poll());
    server.set_pending(true);
    tokio::time::advance(100 * MILLI).await;
    let error = assert_ready!(call.poll()).unwrap_err();
    assert_eq!(exhausted(&error), (1, Reason::NotReady));
    let source = error.source().unwrap().to_string();
    assert_eq!(source, "HTTP status 503 Service Unavailable");
}

#[tokio::test(start_paused = true)]
async fn body_above_the_cap_is_sent_once_and_whole() {
    let server = busy(9, 503, &[]);
    let layer = http().max_body(4).build().unwrap();
    let recorder = record(&layer.handle());
    let call = layer.layer(server.view()).oneshot(keyed("amount=99"));
    let response = call.await.unwrap();
    assert_eq!(
        (response.status(), server.calls()),
        (StatusCode::SERVICE_UNAVAILABLE, 1)
    );
    let gave_up = Event::GaveUp {
        attempts: 1,
        reason: "body",
    };
    assert_eq!(recorder.count(|event| *event == gave_up), 1);
}

/// A body of unknown length, in chunks of four.
#[derive(Clone)]
struct Chunks(u32);

impl Body for Chunks {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.0 == 0 {
            return Poll::Ready(None);
        }
        self.0 -= 1;
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b"four")))))
    }
}

#[tokio::test(start_paused = true)]
async fn body_that_turns_out_to_be_too_long_is_sent_once_and_whole() {
    let read = Arc::new(AtomicU32::new(0));
    let counter = read.clone();
    let server = Upstream::new(move |_, request: Request<ReplayBody<Chunks>>| {
        let counter = counter.clone();
        async move {
            let body = request.into_body().collect().await?.to_bytes();
            counter.store(body.len() as u32, Ordering::SeqCst);
            Err::<Got, BoxError>("connection reset".into())
        }
    });
    let layer = http().max_body(8).build().unwrap();
    let request = |chunks| Request::put("/").body(Chunks(chunks)).unwrap();
    let error = layer.layer(server.view()).oneshot(request(3)).await;
    assert_eq!(error.unwrap_err().to_string(), "connection reset");
    assert_eq!((server.calls(), read.load(Ordering::SeqCst)), (1, 12));
    let error = layer.layer(server.view()).oneshot(request(2)).await;
    assert_eq!(exhausted(&error.unwrap_err()), (3, Reason::Attempts));
    assert_eq!(read.load(Ordering::SeqCst), 8);
}

/// As a connection task does that has not noticed yet that its call is over.
#[tokio::test(start_paused = true)]
async fn body_that_comes_back_during_the_wait_is_in_time() {
    let held = Arc::new(Mutex::new(Vec::new()));
    let connection = held.clone();
    let server = Upstream::new(move |number, request: Request<ReplayBody<Chunks>>| {
        let connection = connection.clone();
        async move {
            let mut body = request.into_body();
            if number == 1 {
                body.frame().await.unwrap().unwrap();
                connection.lock().unwrap().push(body);
                return Err::<Got, BoxError>("connection reset".into());
            }
            assert_eq!(body.collect().await.unwrap().to_bytes(), "fourfour");
            Ok(answer(200, &[]))
        }
    });
    let layer = http().build().unwrap();
    let request = || Request::put("/").body(Chunks(2)).unwrap();
    let mut call = task::spawn(layer.layer(server.view()).oneshot(request()));
    assert_pending!(call.poll());
    held.lock().unwrap().clear();
    tokio::time::advance(100 * MILLI).await;
    assert_eq!(assert_ready!(call.poll()).unwrap().status(), 200);
}

#[tokio::test(start_paused = true)]
async fn body_that_does_not_come_back_ends_the_call() {
    let held = Arc::new(Mutex::new(Vec::new()));
    let connection = held.clone();
    let server = Upstream::new(move |_, request: Request<ReplayBody<Chunks>>| {
        let connection = connection.clone();
        async move {
            let mut body = request.into_body();
            body.frame().await.unwrap().unwrap();
            connection.lock().unwrap().push(body);
            Err::<Got, BoxError>("connection reset".into())
        }
    });
    let layer = http().build().unwrap();
    let request = Request::put("/").body(Chunks(2)).unwrap();
    let error = layer.layer(server.view()).oneshot(request).await;
    assert_eq!(exhausted(&error.unwrap_err()), (1, Reason::Body));
    assert_eq!(server.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn answer_before_the_request_was_read_is_returned_rather_than_lost() {
    let held = Arc::new(Mutex::new(Vec::new()));
    let connection = held.clone();
    let server = Upstream::new(move |_, request: Request<ReplayBody<Chunks>>| {
        connection.lock().unwrap().push(request.into_body());
        async move { Ok(answer(503, &[])) }
    });
    let layer = http().build().unwrap();
    let request = Request::put("/").body(Chunks(2)).unwrap();
    let response = layer.layer(server.view()).oneshot(request).await.unwrap();
    assert_eq!(
        (response.status(), attempts(&response)),
        (StatusCode::SERVICE_UNAVAILABLE, Some(1))
    );
}

#[tokio::test(start_paused = true)]
async fn call_is_over_when_its_body_is() {
    let server = busy(1, 503, &[]);
    let layer = http().build().unwrap();
    let recorder = record(&layer.handle());
    let response = layer.layer(server.view()).oneshot(get()).await.unwrap();
    assert_eq!(layer.handle().snapshot().in_flight, 1);
    assert!(recorder.outcomes().is_empty());
    response.into_body().collect().await.unwrap();
    assert_eq!(layer.handle().snapshot().in_flight, 0);
    assert_eq!(recorder.outcomes(), [Outcome::Success]);
}

#[tokio::test(start_paused = true)]
async fn body_dropped_halfway_is_one_abandoned_call() {
    let server = Upstream::new(|_, _: Sent| async { Ok(Response::new(Chunks(2))) });
    let layer = http().build().unwrap();
    let recorder = record(&layer.handle());
    let mut response = layer.layer(server.view()).oneshot(get()).await.unwrap();
    response.body_mut().frame().await.unwrap().unwrap();
    drop(response);
    assert_eq!(recorder.outcomes(), [Outcome::Abandoned]);
    assert_eq!(layer.handle().snapshot().in_flight, 0);
}

/// As `tonic::body::Body`, which is what a tonic `Channel` takes.
struct Boxed(http_body_util::combinators::UnsyncBoxBody<Bytes, BoxError>);

impl Boxed {
    fn new<B>(body: B) -> Self
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        Self(body.map_err(Into::into).boxed_unsync())
    }
}

#[tokio::test(start_paused = true)]
async fn inner_service_may_take_another_body() {
    let channel = Upstream::new(|number, request: Request<Boxed>| async move {
        let body = request.into_body().0.collect().await?;
        assert_eq!(body.to_bytes(), "amount=99");
        Ok(answer(if number == 1 { 503 } else { 200 }, &[]))
    });
    let layer = http().body(Boxed::new).build().unwrap();
    let call = layer.layer(channel.view()).oneshot(keyed("amount=99"));
    assert_eq!(call.await.unwrap().status(), 200);
}

#[tokio::test(start_paused = true)]
async fn types_are_those_that_axum_and_tonic_ask_for() {
    fn layer<L: Clone + Send + Sync + 'static>(_: &L) {}
    fn service<S: Clone + Send + Sync + 'static>(service: S) -> S {
        service
    }
    fn future<F: Send>(future: F) -> F {
        future
    }
    let made = http().build().unwrap();
    layer(&made);
    let service = service(made.layer(busy(0, 200, &[])));
    let body = future(service.oneshot(get())).await.unwrap().into_body();
    fn unpin_and_sync<B: Unpin + Send + Sync>(_: &B) {}
    unpin_and_sync(&body);
}

#[tokio::test(start_paused = true)]
async fn empty_body_needs_no_place_to_be_kept() {
    let server = Upstream::new(
        |number, request: Request<ReplayBody<Empty<Bytes>>>| async move {
            assert!(request.body().is_end_stream());
            assert_eq!(request.headers(), &HeaderMap::new());
            Ok(answer(if number == 1 { 503 } else { 200 }, &[]))
        },
    );
    let layer = http().build().unwrap();
    let mut request = Request::new(Empty::new());
    *request.method_mut() = Method::DELETE;
    let response = layer.layer(server.view()).oneshot(request).await.unwrap();
    assert_eq!(attempts(&response), Some(2));
}
