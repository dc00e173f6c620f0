//! Payments that are sent again under one idempotency key.

use axum::{
    body::{Body, Bytes, to_bytes},
    http::{HeaderMap, Request},
};
use serde_json::Value;
use tonic::Code;
use tower::ServiceExt;

use super::{limits::visa_over_grpc, remote::Remote, *};

#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) bytes: Bytes,
}

pub(super) const VISA: &str = r#"{"amount":1,"currency":"USD","card_token":"tok_visa"}"#;
pub(super) const OTHER: &str = r#"{"amount":2,"currency":"USD","card_token":"tok_visa"}"#;

impl Test {
    pub(super) async fn send(&self, headers: &[(&str, &str)], body: &str) -> Answer {
        let mut request = Request::post("/v1/payments");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::from(body.to_owned())).unwrap();
        let response = self.http().oneshot(request).await.unwrap();
        let (head, body) = response.into_parts();
        Answer {
            status: head.status.as_u16(),
            headers: head.headers,
            bytes: to_bytes(body, usize::MAX).await.unwrap(),
        }
    }

    pub(super) async fn keyed(&self, key: &str, body: &str) -> Answer {
        self.send(&[("idempotency-key", key)], body).await
    }

    /// The same, while the test goes on.
    pub(super) fn keyed_meanwhile(
        self: &Arc<Self>,
        key: &'static str,
        body: &'static str,
    ) -> JoinHandle<Answer> {
        let test = self.clone();
        tokio::spawn(async move { test.keyed(key, body).await })
    }

    /// How often each charge was made.
    pub(super) fn charged(&self) -> Vec<usize> {
        self.charged.lock().unwrap().values().copied().collect()
    }
}

impl Answer {
    pub(super) fn is_replay(&self) -> bool {
        self.headers.contains_key("idempotent-replayed")
    }

    pub(super) fn body(&self) -> Value {
        serde_json::from_slice(&self.bytes).unwrap()
    }

    pub(super) fn assert_problem(&self, status: u16, kind: &str) {
        assert_eq!(self.status, status, "{:?}", self.bytes);
        assert_eq!(self.headers["content-type"], "application/problem+json");
        let problem = self.body()["type"].as_str().unwrap().to_owned();
        assert!(problem.ends_with(kind), "{problem}");
    }
}

#[tokio::test(start_paused = true)]
async fn payment_that_is_sent_again_gets_the_same_bytes() {
    let test = Test::start(1);
    let first = test.keyed("k", VISA).await;
    assert_eq!((first.status, first.is_replay()), (200, false));
    // Quoted or not, it is one key.
    for key in ["k", "\"k\""] {
        let again = test.keyed(key, VISA).await;
        assert_eq!(again.bytes, first.bytes);
        assert_eq!((again.status, again.is_replay()), (200, true));
    }
    test.keyed("k", OTHER)
        .await
        .assert_problem(422, "key-reused");
    assert_eq!(test.charged(), [1]);
    assert_eq!(test.keyed("l", OTHER).await.status, 200);
    assert_eq!(test.charged(), [1, 1]);
}

#[tokio::test(start_paused = true)]
async fn payment_without_a_key_is_another_each_time() {
    let test = Test::start(1);
    let first = test.send(&[], VISA).await;
    let second = test.send(&[], VISA).await;
    assert_ne!(first.bytes, second.bytes);
    assert_eq!(test.charged(), [1, 1]);
}

#[tokio::test(start_paused = true)]
async fn payment_that_is_sent_again_takes_no_slot() {
    let test = Test::start(1);
    let first = test.keyed("k", VISA).await;
    let holding = test.fill_the_slots();
    settle_down().await;
    let started = Instant::now();
    let again = test.keyed("k", VISA).await;
    assert_eq!(again.bytes, first.bytes);
    assert_eq!(started.elapsed(), Duration::ZERO);
    drop(holding);
}

#[tokio::test(start_paused = true)]
async fn payment_that_finds_no_slot_leaves_its_key_free() {
    let test = Test::start(1);
    let holding = test.fill_the_slots();
    settle_down().await;
    let refused = test.keyed("k", VISA).await;
    assert_eq!(
        (refused.status, refused.body()["kind"].as_str()),
        (503, Some("shed"))
    );
    for held in holding {
        held.abort();
    }
    settle_down().await;
    // Also for another payment: under this key nothing has begun.
    assert_eq!(test.keyed("k", OTHER).await.status, 200);
}

#[tokio::test(start_paused = true)]
async fn payment_that_may_have_begun_keeps_its_key_when_it_finds_no_slot() {
    let test = Test::start(1);
    test.gateway(Gateway::Breaks);
    assert_eq!(test.keyed("k", VISA).await.status, 502);
    let holding = test.fill_the_slots();
    settle_down().await;
    assert_eq!(test.keyed("k", VISA).await.status, 503);
    for held in holding {
        held.abort();
    }
    settle_down().await;
    test.keyed("k", OTHER)
        .await
        .assert_problem(422, "key-reused");
}

#[tokio::test(start_paused = true)]
async fn payment_whose_caller_leaves_is_made_and_kept_for_the_next_try() {
    let test = Arc::new(Test::start(1));
    test.gateway(Gateway::Hangs);
    let paying = test.keyed_meanwhile("k", VISA);
    settle_down().await;
    paying.abort();
    settle_down().await;
    let keys = &test.stack().guards.payment.keys.handle;
    assert_eq!(keys.snapshot().detached, 1);
    test.keyed("k", VISA)
        .await
        .assert_problem(409, "request-in-progress");

    // The first attempt at the gateway is given up, and the second one charges.
    test.gateway(OK);
    sleep(3 * SECOND).await;
    assert_eq!(keys.snapshot().in_flight, 0);
    assert_eq!(test.count(Status::Approved), 1);
    assert_eq!(test.count(Status::Unknown), 0);
    let again = test.keyed("k", VISA).await;
    assert_eq!((again.status, again.is_replay()), (200, true));
    assert_eq!(test.charged(), [1]);
}

#[tokio::test(start_paused = true)]
async fn payment_that_came_to_nothing_is_tried_again_under_the_same_charge() {
    for (gateway, status) in [
        (Gateway::Breaks, 502),
        (DOWN, 502),
        (Gateway::Says("<html>"), 502),
        (Gateway::Answers(StatusCode::PAYMENT_REQUIRED), 502),
        (Gateway::Hangs, 504),
    ] {
        let test = Test::start(1);
        test.gateway(gateway);
        let failed = test.keyed("k", VISA).await;
        assert_eq!(failed.status, status, "{gateway:?}");
        test.gateway(OK);
        let paid = test.keyed("k", VISA).await;
        assert_eq!((paid.status, paid.is_replay()), (200, false), "{gateway:?}");
        assert_eq!(paid.body()["payment_id"], failed.body()["payment_id"]);
        // One key at the gateway: whatever became of the first attempt, it charges once.
        assert_eq!(test.seen.lock().unwrap().len(), 1, "{gateway:?}");
        assert!(test.keyed("k", VISA).await.is_replay());
    }
}

#[tokio::test(start_paused = true)]
async fn payment_that_no_slot_of_the_gateway_was_free_for_is_tried_again() {
    let test = Test::start(1);
    test.gateway(Gateway::Hangs);
    let paying = test.pay_at_once(70);
    settle_down().await;
    assert_eq!(test.keyed("k", VISA).await.status, 503);
    for payment in paying {
        payment.abort();
    }
    settle_down().await;
    test.gateway(OK);
    assert_eq!(test.keyed("k", VISA).await.status, 200);
}

#[tokio::test(start_paused = true)]
async fn key_that_is_used_again_after_its_day_is_that_of_another_payment() {
    let test = Test::start(1);
    let first = test.keyed("k", VISA).await;
    sleep(25 * 3_600 * SECOND).await;
    let other = test.keyed("k", OTHER).await;
    assert_eq!((other.status, other.is_replay()), (200, false));
    assert_ne!(other.body()["payment_id"], first.body()["payment_id"]);
    assert_eq!(test.charged(), [1, 1]);
}

#[tokio::test(start_paused = true)]
async fn wrong_input_leaves_its_key_free() {
    let test = Test::start(1);
    for wrong in ["", "{", r#"{"amount":0,"currency":"USD","card_token":"t"}"#] {
        let refused = test.keyed("k", wrong).await;
        assert_eq!(refused.status, 422, "{wrong}");
    }
    let wrong = tonic::Request::new(visa_over_grpc());
    let (mut metadata, extensions, mut message) = wrong.into_parts();
    metadata.insert("idempotency-key", "k".parse().unwrap());
    message.amount = 0.0;
    let wrong = tonic::Request::from_parts(metadata.clone(), extensions, message);
    let refused = test.grpc().create_payment(wrong).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);

    assert_eq!(test.keyed("k", VISA).await.status, 200);
    let right = tonic::Request::from_parts(metadata, Default::default(), visa_over_grpc());
    test.grpc().create_payment(right).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn keys_of_one_caller_are_not_those_of_another() {
    let test = Test::start(1);
    let key = ("idempotency-key", "k");
    let [ann, bob] = ["Bearer ann", "Bearer bob"].map(|token| ("authorization", token));
    let mut ids = Vec::new();
    for credentials in [&[][..], &[ann], &[bob]] {
        let paid = test.send(&[&[key], credentials].concat(), VISA).await;
        assert_eq!((paid.status, paid.is_replay()), (200, false));
        ids.push(paid.body()["payment_id"].clone());
    }
    assert_eq!(test.charged(), [1, 1, 1]);
    let again = test.send(&[key, ann], VISA).await;
    assert_eq!(
        (again.is_replay(), &again.body()["payment_id"]),
        (true, &ids[1])
    );
    let both = test.send(&[key, ann, bob], VISA).await;
    both.assert_problem(403, "caller-unknown");
}

#[tokio::test(start_paused = true)]
async fn callers_wait_for_the_store_no_longer_than_for_a_payment() {
    let test = Test::with_keys(
        1,
        AnyStore::new(Remote {
            before_claim: 60 * SECOND,
            ..Remote::new()
        }),
    );
    let headers = [("idempotency-key", "k"), ("x-request-timeout-ms", "500")];
    let started = Instant::now();
    let late = test.send(&headers, VISA).await;
    assert_eq!(late.status, 504);
    assert_eq!(started.elapsed().as_millis(), 500);
    // Without its own limit: the store's, twice.
    let away = test.keyed("k", VISA).await;
    away.assert_problem(503, "store-unavailable");
    assert_eq!(away.headers["retry-after"], "1");
    assert_eq!(started.elapsed().as_millis(), 2_500);
    // Who has no key needs no store.
    assert_eq!(test.send(&[], VISA).await.status, 200);
}

#[tokio::test(start_paused = true)]
async fn time_limit_does_not_come_between_a_charge_and_its_record() {
    let test = Test::with_keys(
        1,
        AnyStore::new(Remote {
            before_complete: SECOND / 2,
            ..Remote::new()
        }),
    );
    let headers = [("idempotency-key", "k"), ("x-request-timeout-ms", "200")];
    assert_eq!(test.send(&headers, VISA).await.status, 504);
    assert_eq!(test.charged(), [1]);
    sleep(SECOND).await;
    let again = test.keyed("k", VISA).await;
    assert_eq!((again.status, again.is_replay()), (200, true));
    assert_eq!(test.charged(), [1]);
}

#[tokio::test(start_paused = true)]
async fn payment_whose_answer_could_not_be_kept_is_not_charged_again() {
    let remote = Remote::new();
    let test = Test::with_keys(1, AnyStore::new(remote.clone()));
    *remote.completes.lock().unwrap() = false;
    test.keyed("k", VISA)
        .await
        .assert_problem(503, "store-unavailable");
    *remote.completes.lock().unwrap() = true;
    test.gateway(DOWN);
    let again = test.keyed("k", VISA).await;
    assert_eq!(
        (again.status, again.body()["status"].as_str()),
        (200, Some("approved"))
    );
    assert_eq!(test.seen(), 1, "known already: the gateway is not asked");
    assert!(test.keyed("k", VISA).await.is_replay());
}
