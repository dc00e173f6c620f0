//! HTTP and gRPC: what is repeated, what is waited for, and what the caller gets.

use ::http::{HeaderValue, Request, Response, StatusCode, request, response};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use seaworthy_http::replay::ReplayBody;
use seaworthy_http::retry::HeaderName;
use seaworthy_http::{Http, HttpReplay};
use seaworthy_kit::deadline::{self, Deadline};
use seaworthy_kit::{Event, Outcome, Rejection, RejectionKind, clock};
use tokio::time::Instant;
use tower::{Layer, ServiceExt};

use super::*;
use crate::{Attempt, Attempts};

pub(super) type Sent = Request<ReplayBody<Full<Bytes>>>;
pub(super) type Got = Response<Full<Bytes>>;
pub(super) type Server = Upstream<Sent, Got>;

pub(super) fn http() -> Builder<Http, HttpReplay> {
    RetryLayer::http("gateway").backoff(exact())
}

pub(super) fn get() -> Request<Full<Bytes>> {
    Request::get("http://gateway.test/")
        .body(Full::default())
        .unwrap()
}

pub(super) fn post(body: &'static str) -> Request<Full<Bytes>> {
    let request = Request::post("http://gateway.test/v1/charges");
    request.body(Full::from(body)).unwrap()
}

pub(super) fn keyed(body: &'static str) -> Request<Full<Bytes>> {
    let mut request = post(body);
    let key = HeaderValue::from_static("\"8e03978e\"");
    request.headers_mut().insert("idempotency-key", key);
    request
}

pub(super) fn grpc() -> Request<Full<Bytes>> {
    let mut request = post("grpc");
    let value = HeaderValue::from_static("application/grpc");
    request.headers_mut().insert("content-type", value);
    request
}

pub(super) fn answer(status: u16, headers: &[(&'static str, &'static str)]) -> Got {
    let mut response = Response::builder().status(status);
    for (name, value) in headers {
        response = response.header(*name, *value);
    }
    response.body(Full::from("answer")).unwrap()
}

/// Answers so to all calls up to that one, and well afterwards.
pub(super) fn busy(
    until: u32,
    status: u16,
    headers: &'static [(&'static str, &'static str)],
) -> Server {
    Upstream::new(move |number, request: Sent| async move {
        // As a server does that answers a request it has read.
        request.into_body().collect().await.unwrap();
        Ok(if number <= until {
            answer(status, headers)
        } else {
            answer(200, &[])
        })
    })
}

pub(super) fn attempts<B>(response: &Response<B>) -> Option<u32> {
    let attempts = response.extensions().get::<Attempts>();
    attempts.map(|attempts| attempts.count())
}

#[tokio::test(start_paused = true)]
async fn answer_that_says_not_now_is_tried_again() {
    let server = busy(1, 503, &[]);
    let layer = http().build().unwrap();
    let response = layer.layer(server.view()).oneshot(get()).await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(attempts(&response), Some(2));
    assert_eq!(server.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn good_answer_is_not_touched() {
    let server = busy(0, 503, &[]);
    let layer = http().build().unwrap();
    let response = layer.layer(server.view()).oneshot(get()).await.unwrap();
    assert_eq!(attempts(&response), None);
    assert_eq!(server.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn last_bad_answer_is_returned_as_it_is_and_says_how_often() {
    let server = busy(9, 503, &[("x-from", "gateway")]);
    let layer = http().build().unwrap();
    let recorder = record(&layer.handle());
    let response = layer.layer(server.view()).oneshot(get()).await.unwrap();
    assert_eq!(response.status(), 503);
    assert_eq!(response.headers()["x-from"], "gateway");
    assert_eq!(attempts(&response), Some(3));
    let body = response.into_body().collect().await.unwrap();
    assert_eq!(body.to_bytes(), "answer");
    assert_eq!(recorder.outcomes(), [Outcome::Failure], "one call");
}

#[tokio::test(start_paused = true)]
async fn answer_that_says_no_is_final() {
    for status in [400, 404, 409, 500] {
        let server = Server::new(move |_, _| async move { Ok(answer(status, &[])) });
        let layer = http().build().unwrap();
        let response = layer.layer(server.view()).oneshot(get()).await.unwrap();
        assert_eq!(response.status(), status);
        assert_eq!((server.calls(), attempts(&response)), (1, None), "{status}");
    }
}

#[tokio::test(start_paused = true)]
async fn post_is_sent_once_unless_it_carries_a_key() {
    let server = busy(9, 503, &[]);
    let layer = http().build().unwrap();
    let call = layer.layer(server.view()).oneshot(post("amount=99"));
    let response = call.await.unwrap();
    assert_eq!(attempts(&response), None, "passes unchanged");
    assert_eq!((server.calls(), server.clones()), (1, 0));
    let call = layer.layer(server.view()).oneshot(keyed("amount=99"));
    assert_eq!(attempts(&call.await.unwrap()), Some(3));
    assert_eq!((server.calls(), server.clones()), (4, 1));
}

#[tokio::test(start_paused = true)]
async fn post_is_repeated_where_the_user_says_so() {
    let server = busy(9, 503, &[]);
    let layer = http().retry_any_method(true).build().unwrap();
    let call = layer.layer(server.view()).oneshot(post("x"));
    assert_eq!(attempts(&call.await.unwrap()), Some(3));
    let layer = http()
        .retry_if(|head: &request::Parts| head.uri.path().starts_with("/v1"))
        .build()
        .unwrap();
    let call = layer.layer(server.view()).oneshot(post("x"));
    assert_eq!(attempts(&call.await.unwrap()), Some(3));
    let call = layer.layer(server.view()).oneshot(get());
    assert_eq!(attempts(&call.await.unwrap()), None);
}

#[tokio::test(start_paused = true)]
async fn user_says_which_answers_are_tried_again() {
    let server = busy(9, 500, &[]);
    let layer = http()
        .retry_response(|head: &response::Parts| head.status == StatusCode::INTERNAL_SERVER_ERROR)
        .build()
        .unwrap();
    let response = layer.layer(server.view()).oneshot(get()).await.unwrap();
    assert_eq!(attempts(&response), Some(3));
    let server = busy(9, 503, &[]);
    let response = layer.layer(server.view()).oneshot(get()).await.unwrap();
    assert_eq!(attempts(&response), None);
}

#[tokio::test(start_paused = true)]
async fn every_attempt_sends_the_whole_request_and_its_number() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = seen.clone();
    let server = Server::new(move |_, request: Sent| {
        let log = log.clone();
        async move {
            let (head, body) = request.into_parts();
            let number = head.extensions.get().copied().map(Attempt::number);
            let told = head.headers.get("x-attempt").cloned();
            let body = body.collect().await?.to_bytes();
            log.lock().unwrap().push((number, told, body));
            Ok(answer(503, &[]))
        }
    });
    let layer = http()
        .attempt_header(HeaderName::from_static("x-attempt"))
        .max_attempts(2)
        .build()
        .unwrap();
    let call = layer.layer(server.view()).oneshot(keyed("amount=99"));
    call.await.unwrap();
    let body = Bytes::from("amount=99");
    let two = HeaderValue::from_static("2");
    assert_eq!(
        *seen.lock().unwrap(),
        [(None, None, body.clone()), (Some(2), Some(two), body)]
    );
}

#[tokio::test(start_paused = true)]
async fn server_says_when() {
    let server = busy(1, 429, &[("retry-after", "7")]);
    let layer = http().build().unwrap();
    let recorder = record(&layer.handle());
    let before = Instant::now();
    let response = layer.layer(server.view()).oneshot(get()).await.unwrap();
    assert_eq!(
        (response.status(), before.elapsed()),
        (StatusCode::OK, 7 * SECOND)
    );
    let hinted = Event::Retrying {
        attempt: 1,
        delay: 7 * SECOND,
        hinted: true,
    };
    assert_eq!(recorder.count(|event| *event == hinted), 1);
}

#[tokio::test(start_paused = true)]
async fn server_cannot_park_a_caller_for_hours() {
    let server = busy(1, 503, &[("retry-after", "86400")]);
    let layer = http().max_delay(10 * SECOND).build().unwrap();
    let before = Instant::now();
    layer.layer(server.view()).oneshot(get()).await.unwrap();
    assert_eq!(before.elapsed(), 10 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn default_is_a_minute_at_most_whoever_asks_for_it() {
    let server = busy(1, 503, &[("retry-after", "86400")]);
    let layer = http().build().unwrap();
    let before = Instant::now();
    layer.layer(server.view()).oneshot(get()).await.unwrap();
    assert_eq!(before.elapsed(), 60 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn default_is_64_kib_of_a_body() {
    for (length, calls) in [(64 * 1024, 3), (64 * 1024 + 1, 1)] {
        let server = busy(9, 503, &[]);
        let layer = http().build().unwrap();
        let body = String::from_utf8(vec![b'x'; length]).unwrap();
        let call = layer.layer(server.view()).oneshot(keyed(body.leak()));
        call.await.unwrap();
        assert_eq!(server.calls(), calls);
    }
}

#[tokio::test(start_paused = true)]
async fn wait_beyond_the_deadline_returns_the_answer_at_once() {
    let server = busy(1, 503, &[("retry-after", "7")]);
    let layer = http().build().unwrap();
    let recorder = record(&layer.handle());
    let before = Instant::now();
    let limit = Deadline::after(clock::now(), 5 * SECOND);
    let call = layer.layer(server.view()).oneshot(get());
    let response = deadline::scope(limit, call).await.unwrap();
    assert_eq!(before.elapsed(), Duration::ZERO);
    assert_eq!(response.headers()["retry-after"], "7");
    assert_eq!(
        attempts(&response),
        Some(1),
        "a retry further out leaves it"
    );
    let gave_up = Event::GaveUp {
        attempts: 1,
        reason: "hint_too_long",
    };
    assert_eq!(recorder.count(|event| *event == gave_up), 1);
}

#[tokio::test(start_paused = true)]
async fn server_that_says_never_is_not_asked_again() {
    let server = busy(9, 429, &[("x-envoy-ratelimited", "true")]);
    let layer = http().build().unwrap();
    let response = layer.layer(server.view()).oneshot(get()).await.unwrap();
    assert_eq!((server.calls(), attempts(&response)), (1, Some(1)));
}

#[tokio::test(start_paused = true)]
async fn grpc_call_is_repeated_where_it_is_declared_idempotent() {
    static UNAVAILABLE: [(&str, &str); 2] =
        [("content-type", "application/grpc"), ("grpc-status", "14")];
    let server = busy(9, 200, &UNAVAILABLE);
    let layer = http().build().unwrap();
    let response = layer.layer(server.view()).oneshot(grpc()).await.unwrap();
    assert_eq!((server.calls(), attempts(&response)), (1, None));

    let previous = Arc::new(Mutex::new(Vec::new()));
    let log = previous.clone();
    let server = Server::new(move |number, request: Sent| {
        let told = request.headers().get("grpc-previous-rpc-attempts").cloned();
        log.lock().unwrap().push(told);
        async move {
            request.into_body().collect().await?;
            let mut response = answer(200, &UNAVAILABLE);
            let wait = HeaderValue::from_static(if number == 1 { "250" } else { "-1" });
            response
                .headers_mut()
                .insert("grpc-retry-pushback-ms", wait);
            Ok(response)
        }
    });
    let layer = http().retry_any_method(true).build().unwrap();
    let before = Instant::now();
    let response = layer.layer(server.view()).oneshot(grpc()).await.unwrap();
    assert_eq!(before.elapsed(), 250 * MILLI, "the first pushback");
    assert_eq!(attempts(&response), Some(2), "the second said to stop");
    let one = HeaderValue::from_static("1");
    assert_eq!(*previous.lock().unwrap(), [None, Some(one)]);
}

fn refusal() -> Got {
    let mut response = answer(503, &[("retry-after", "3")]);
    let rejection = Rejection::new(RejectionKind::CircuitOpen, "inner".into())
        .with_retry_after(Some(2 * SECOND));
    response.extensions_mut().insert(rejection);
    response
}

#[tokio::test(start_paused = true)]
async fn refusal_that_an_edge_turned_into_a_response_is_still_a_refusal() {
    let server = Server::new(|_, _| async { Ok(refusal()) });
    let layer = http().build().unwrap();
    layer.layer(server.view()).oneshot(get()).await.unwrap();
    assert_eq!(server.calls(), 1);
    let layer = http().retry_refusals(true).max_attempts(2).build().unwrap();
    let before = Instant::now();
    layer.layer(server.view()).oneshot(get()).await.unwrap();
    assert_eq!(server.calls(), 3);
    assert_eq!(
        before.elapsed(),
        2 * SECOND,
        "the exact time, not the header's"
    );
}

/// The outer layer takes requests whose body is one of its own.
#[tokio::test(start_paused = true)]
async fn attempts_of_nested_layers_do_not_multiply() {
    let server = Upstream::new(
        |_, request: Request<ReplayBody<ReplayBody<Full<Bytes>>>>| async move {
            request.into_body().collect().await?;
            Ok(answer(503, &[]))
        },
    );
    let (inner, outer) = (http().build().unwrap(), http().build().unwrap());
    let stack = outer.layer(inner.layer(server.view()));
    let response = stack.oneshot(get()).await.unwrap();
    assert_eq!(response.status(), 503);
    assert_eq!(server.calls(), 3);
}
