//! Over HTTP and gRPC: which requests and answers, the number of the attempt, and bodies.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use ::http::{HeaderMap, Method, Request, Response, StatusCode};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use seaworthy_http::replay::ReplayBody;
use seaworthy_http::testing::BodyRemote;
use seaworthy_http::{Http, HttpReplay};
use seaworthy_kit::{Outcome, Rejection, RejectionKind};
use tokio_test::{assert_pending, assert_ready};
use tower::{ServiceExt, service_fn};

use super::*;
use crate::Attempt;

type Sent = Request<ReplayBody<Full<Bytes>>>;
type Got = Response<Full<Bytes>>;
type HttpHedge = Hedge<Inner<Sent, Got>, Http, HttpReplay>;

fn http() -> Builder<Http, HttpReplay> {
    HedgeLayer::http("gateway")
        .delay(DELAY)
        .budget(None)
        .max_late(None)
}

struct HttpRig {
    service: HttpHedge,
    remote: Remote<Sent, Got>,
    handle: HedgeHandle,
    recorder: Recorder,
}

impl HttpRig {
    fn new(builder: Builder<Http, HttpReplay>) -> Self {
        let layer = builder.build().expect("valid options");
        let (inner, remote) = Inner::new();
        let handle = layer.handle();
        Self {
            service: layer.layer(inner),
            remote,
            recorder: record(&handle),
            handle,
        }
    }

    fn call(
        &mut self,
        request: Request<Full<Bytes>>,
    ) -> Spawn<<HttpHedge as Service<Request<Full<Bytes>>>>::Future> {
        let ready = task::spawn(()).enter(|cx, _| {
            Service::<Request<Full<Bytes>>>::poll_ready(&mut self.service, cx).is_ready()
        });
        assert!(ready);
        task::spawn(self.service.call(request))
    }

    /// How many attempts such a slow call has; the first reads its body.
    async fn attempts(&mut self, request: Request<Full<Bytes>>) -> usize {
        let before = self.remote.counts().calls;
        let mut call = self.call(request);
        assert_pending!(call.poll());
        let mut first = self.remote.next_call().expect("the first attempt");
        read(&mut first).await;
        tokio::time::advance(DELAY).await;
        assert_pending!(call.poll());
        while self.remote.next_call().is_some() {}
        self.remote.counts().calls - before
    }
}

/// Reads the body of an attempt to its end.
async fn read(exchange: &mut Exchange<Sent, Got>) -> (::http::request::Parts, Bytes) {
    let (head, body) = exchange.request().expect("not read yet").into_parts();
    let body = body.collect().await.expect("it is there").to_bytes();
    (head, body)
}

fn request(method: Method) -> Request<Full<Bytes>> {
    Request::builder()
        .method(method)
        .uri("/v1/charges")
        .body("amount=99".into())
        .expect("a valid request")
}

fn keyed() -> Request<Full<Bytes>> {
    let mut request = request(Method::POST);
    let key = "\"8e03978e\"".parse().expect("a valid value");
    request.headers_mut().insert("idempotency-key", key);
    request
}

fn grpc() -> Request<Full<Bytes>> {
    let mut request = request(Method::POST);
    let kind = "application/grpc".parse().expect("a valid value");
    request.headers_mut().insert("content-type", kind);
    request
}

fn answer(status: u16, headers: &[(&'static str, &str)]) -> Got {
    let mut response = Response::builder().status(status);
    for (name, value) in headers {
        response = response.header(*name, *value);
    }
    response.body(Full::default()).expect("a valid response")
}

#[tokio::test(start_paused = true)]
async fn only_what_may_be_repeated_is_hedged() {
    let mut rig = HttpRig::new(http());
    for method in [Method::GET, Method::HEAD, Method::PUT, Method::DELETE] {
        assert_eq!(rig.attempts(request(method)).await, 2);
    }
    for method in [Method::POST, Method::PATCH] {
        assert_eq!(rig.attempts(request(method)).await, 1);
    }
    assert_eq!(rig.attempts(keyed()).await, 2);
    assert_eq!(rig.attempts(grpc()).await, 1);
    assert_eq!(rig.handle.snapshot().calls, 5);

    let mut rig = HttpRig::new(http().hedge_any_method(true));
    assert_eq!(rig.attempts(grpc()).await, 2);
}

#[tokio::test(start_paused = true)]
async fn both_attempts_send_the_same_and_the_second_says_that_it_is() {
    let mut rig = HttpRig::new(http().attempt_header("x-attempt".parse().unwrap()));
    let mut call = rig.call(keyed());
    assert_pending!(call.poll());
    let mut first = rig.remote.next_call().unwrap();
    let (head, body) = read(&mut first).await;
    assert_eq!(body, "amount=99");
    assert_eq!(head.extensions.get::<Attempt>(), None);
    assert!(!head.headers.contains_key("x-attempt"));

    tokio::time::advance(DELAY).await;
    assert_pending!(call.poll());
    let mut second = rig.remote.next_call().expect("the hedge");
    let (head, body) = read(&mut second).await;
    assert_eq!(body, "amount=99");
    assert_eq!(head.method, Method::POST);
    assert_eq!(head.headers["idempotency-key"], "\"8e03978e\"");
    assert_eq!(head.extensions.get(), Some(&Attempt::new(2)));
    assert_eq!(head.headers["x-attempt"], "2");
}

#[tokio::test(start_paused = true)]
async fn hedge_of_a_second_attempt_is_the_third() {
    let mut rig = HttpRig::new(http().hedge_any_method(true));
    let mut second = grpc();
    // As a retry layer outside leaves it.
    second.extensions_mut().insert(Attempt::new(2));
    let mut call = rig.call(second);
    assert_pending!(call.poll());
    read(&mut rig.remote.next_call().unwrap()).await;
    tokio::time::advance(DELAY).await;
    assert_pending!(call.poll());
    let (head, _) = read(&mut rig.remote.next_call().expect("the hedge")).await;
    assert_eq!(head.extensions.get(), Some(&Attempt::new(3)));
    assert_eq!(head.headers["grpc-previous-rpc-attempts"], "2");
}

#[tokio::test(start_paused = true)]
async fn answer_that_says_not_now_is_tried_again_at_once_and_final_ones_are_not() {
    for (status, attempts) in [
        (503, 2),
        (502, 2),
        (408, 2),
        (500, 1),
        (501, 1),
        (404, 1),
        (200, 1),
    ] {
        let mut rig = HttpRig::new(http());
        let mut call = rig.call(request(Method::GET));
        assert_pending!(call.poll());
        let mut first = rig.remote.next_call().unwrap();
        read(&mut first).await;
        first.answer(answer(status, &[]));
        let polled = call.poll();
        assert_eq!(rig.remote.counts().calls, attempts, "{status}");
        if attempts == 2 {
            assert_pending!(polled);
            rig.remote.next_call().unwrap().answer(answer(200, &[]));
            assert_eq!(assert_ready!(call.poll()).unwrap().status(), 200);
        } else {
            assert_eq!(assert_ready!(polled).unwrap().status().as_u16(), status);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn server_that_says_when_to_come_back_gets_no_hedge() {
    for (status, headers) in [
        (503, vec![("retry-after", "1")]),
        (429, vec![("retry-after", "0")]),
        (503, vec![("x-envoy-ratelimited", "true")]),
        (
            200,
            vec![
                ("content-type", "application/grpc"),
                ("grpc-status", "14"),
                ("grpc-retry-pushback-ms", "-1"),
            ],
        ),
    ] {
        let mut rig = HttpRig::new(http());
        let mut call = rig.call(request(Method::GET));
        assert_pending!(call.poll());
        let mut first = rig.remote.next_call().unwrap();
        read(&mut first).await;
        first.answer(answer(status, &headers));
        assert_eq!(
            assert_ready!(call.poll()).unwrap().status().as_u16(),
            status
        );
        assert_eq!(rig.remote.counts().calls, 1);
        assert_eq!(withheld(&rig.recorder), ["server_says_no"]);
    }
}

#[tokio::test(start_paused = true)]
async fn pushback_of_a_hedge_ends_further_ones() {
    let mut rig = HttpRig::new(http().max_hedges(2));
    let mut call = rig.call(request(Method::GET));
    assert_pending!(call.poll());
    let mut first = rig.remote.next_call().unwrap();
    read(&mut first).await;
    tokio::time::advance(DELAY).await;
    assert_pending!(call.poll());
    let second = rig.remote.next_call().expect("the hedge");
    second.answer(answer(429, &[("retry-after", "1")]));
    assert_pending!(call.poll(), "the first may still succeed");
    tokio::time::advance(10 * DELAY).await;
    assert_pending!(call.poll());
    assert_eq!(rig.remote.counts().calls, 2);
    first.answer(answer(200, &[]));
    assert_eq!(assert_ready!(call.poll()).unwrap().status(), 200);
}

#[tokio::test(start_paused = true)]
async fn best_failure_is_the_last_word_before_a_not_now() {
    let mut rig = HttpRig::new(http());
    let mut call = rig.call(request(Method::GET));
    assert_pending!(call.poll());
    let mut first = rig.remote.next_call().unwrap();
    read(&mut first).await;
    first.answer(answer(503, &[]));
    assert_pending!(call.poll());
    rig.remote.next_call().unwrap().answer(answer(500, &[]));
    let response = assert_ready!(call.poll()).unwrap();
    assert_eq!(response.status(), 500);
    drop(response);
    assert_eq!(rig.recorder.outcomes().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn conflict_with_its_own_first_attempt_does_not_win() {
    for status in [409, 412] {
        let mut rig = HttpRig::new(http());
        let mut call = rig.call(keyed());
        assert_pending!(call.poll());
        let mut first = rig.remote.next_call().unwrap();
        read(&mut first).await;
        tokio::time::advance(DELAY).await;
        assert_pending!(call.poll());
        // "The request with this key is in progress": it is, and it is this one.
        let second = rig.remote.next_call().expect("the hedge");
        second.answer(answer(status, &[]));
        assert_pending!(call.poll());
        first.answer(answer(201, &[]));
        assert_eq!(assert_ready!(call.poll()).unwrap().status(), 201);
    }
}

#[tokio::test(start_paused = true)]
async fn conflict_is_the_answer_where_there_is_no_other() {
    // Alone, at once or late.
    for late in [false, true] {
        let mut rig =
            HttpRig::new(http().budget(crate::BudgetConfig::default().share(0.01).floor(0)));
        let mut call = rig.call(keyed());
        assert_pending!(call.poll());
        let first = rig.remote.next_call().unwrap();
        if late {
            tokio::time::advance(DELAY).await;
            assert_pending!(call.poll());
        }
        first.answer(answer(409, &[]));
        assert_eq!(assert_ready!(call.poll()).unwrap().status(), 409);
    }
    // After a first that failed, it is that failure's: a retry further out may try again.
    let mut rig = HttpRig::new(http());
    let mut call = rig.call(keyed());
    assert_pending!(call.poll());
    let mut first = rig.remote.next_call().unwrap();
    read(&mut first).await;
    first.answer(answer(503, &[]));
    assert_pending!(call.poll());
    rig.remote.next_call().unwrap().answer(answer(409, &[]));
    assert_eq!(assert_ready!(call.poll()).unwrap().status(), 503);
}

#[tokio::test(start_paused = true)]
async fn response_that_an_edge_made_of_a_refusal_brings_no_hedge() {
    let mut rig = HttpRig::new(http());
    let mut call = rig.call(request(Method::GET));
    assert_pending!(call.poll());
    let mut first = rig.remote.next_call().unwrap();
    read(&mut first).await;
    let mut response = answer(503, &[]);
    let refusal = Rejection::new(RejectionKind::BulkheadFull, "pool".into());
    response.extensions_mut().insert(refusal);
    first.answer(response);
    assert_eq!(assert_ready!(call.poll()).unwrap().status(), 503);
    assert_eq!(rig.remote.counts().calls, 1);
}

#[tokio::test(start_paused = true)]
async fn body_that_is_not_sent_yet_puts_the_hedge_off() {
    let mut rig = HttpRig::new(http());
    let mut call = rig.call(request(Method::PUT));
    assert_pending!(call.poll());
    let mut first = rig.remote.next_call().unwrap();
    for _ in 0..3 {
        tokio::time::advance(DELAY).await;
        assert_pending!(call.poll());
    }
    assert_eq!(rig.remote.counts().calls, 1, "it waits for a connection");
    assert_eq!(withheld(&rig.recorder), ["body"], "told once");
    read(&mut first).await;
    tokio::time::advance(DELAY).await;
    assert_pending!(call.poll());
    let (_, body) = read(&mut rig.remote.next_call().expect("the hedge")).await;
    assert_eq!(body, "amount=99");
}

#[tokio::test(start_paused = true)]
async fn body_above_the_cap_is_sent_once_and_whole() {
    let mut rig = HttpRig::new(http().max_body(4));
    let mut call = rig.call(request(Method::PUT));
    assert_pending!(call.poll());
    let mut first = rig.remote.next_call().unwrap();
    assert_eq!(read(&mut first).await.1, "amount=99");
    tokio::time::advance(10 * DELAY).await;
    assert_pending!(call.poll());
    first.answer(answer(503, &[]));
    assert_eq!(assert_ready!(call.poll()).unwrap().status(), 503);
    assert_eq!(rig.remote.counts().calls, 1);
}

#[tokio::test(start_paused = true)]
async fn call_lasts_to_the_end_of_the_winners_body_and_the_losers_is_dropped() {
    let calls = Arc::new(AtomicU32::new(0));
    let bodies = Arc::new(Mutex::new(Vec::new()));
    let put = bodies.clone();
    let server = service_fn(move |_: Request<ReplayBody<Full<Bytes>>>| {
        let number = calls.fetch_add(1, Ordering::SeqCst);
        let (body, remote) = BodyRemote::new();
        put.lock().unwrap().push(remote);
        async move {
            let mut response = Response::new(body);
            if number == 0 {
                *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
            }
            Ok::<_, BoxError>(response)
        }
    });
    let layer = http().build().unwrap();
    let recorder = record(&layer.handle());
    let mut get = request(Method::GET);
    *get.body_mut() = Full::default();
    let response = layer.layer(server).oneshot(get).await.unwrap();
    assert_eq!(response.status(), 200);
    let bodies = bodies.lock().unwrap();
    assert!(bodies[0].is_dropped(), "the failure's");
    assert_eq!(layer.handle().snapshot().in_flight, 1);
    // Dropped halfway.
    drop(response);
    assert!(bodies[1].is_dropped());
    assert_eq!(layer.handle().snapshot().in_flight, 0);
    // What the head said counts, once: the caller has seen enough.
    assert_eq!(recorder.outcomes(), [Outcome::Success]);
}

#[tokio::test(start_paused = true)]
async fn inner_service_may_take_a_body_of_its_own() {
    let server = service_fn(|request: Request<Vec<u8>>| async move {
        assert_eq!(request.headers(), &HeaderMap::new());
        Ok::<_, BoxError>(Response::new(Full::<Bytes>::default()))
    });
    let layer = http().body(|_| Vec::new()).build().unwrap();
    let response = layer.layer(server).oneshot(request(Method::GET)).await;
    assert_eq!(response.unwrap().status(), 200);
}
