//! The payments API as its callers see it when there is too much to do, or too little time.

use axum::{
    body::{Body, to_bytes},
    http::{Request, request::Builder},
};
use serde_json::Value;
use tonic::Code;
use tower::ServiceExt;

use super::*;
use crate::proto::payments::{CreatePaymentRequest, GetPaymentRequest};

struct Answer {
    status: u16,
    retry_after: Option<String>,
    body: Value,
}

impl Test {
    async fn post(&self, change: impl FnOnce(Builder) -> Builder) -> Answer {
        let request = change(Request::post("/v1/payments"))
            .body(Body::from(
                r#"{"amount":1,"currency":"USD","card_token":"tok_visa"}"#,
            ))
            .unwrap();
        let response = self.http().oneshot(request).await.unwrap();
        let (head, body) = response.into_parts();
        let body = to_bytes(body, usize::MAX).await.unwrap();
        let header = head.headers.get("retry-after");
        Answer {
            status: head.status.as_u16(),
            retry_after: header.map(|value| value.to_str().unwrap().to_owned()),
            body: serde_json::from_slice(&body).unwrap(),
        }
    }

    /// Takes every slot for payments, and every place in the queue.
    pub(super) fn fill_the_slots(&self) -> Vec<JoinHandle<Result<(), BoxError>>> {
        self.hold_slots(250)
    }

    /// Takes so many slots for payments.
    pub(super) fn hold_slots(&self, count: usize) -> Vec<JoinHandle<Result<(), BoxError>>> {
        let payment = &self.stack().guards.payment.limit;
        let hold = || {
            let payment = payment.clone();
            tokio::spawn(async move { payment.call(pending::<Result<(), BoxError>>).await })
        };
        (0..count).map(|_| hold()).collect()
    }
}

pub(super) fn visa_over_grpc() -> CreatePaymentRequest {
    CreatePaymentRequest {
        amount: 1.0,
        currency: "USD".to_owned(),
        card_token: "tok_visa".to_owned(),
        ..CreatePaymentRequest::default()
    }
}

#[tokio::test(start_paused = true)]
async fn payment_without_a_slot_is_refused_at_once_and_looking_still_works() {
    let test = Test::start(1);
    let known = test.cashier.pay(visa()).await.unwrap().payment_id;
    let holding = test.fill_the_slots();
    let started = Instant::now();
    while test.stack().guards.payment.limit.snapshot().waiting < 200 {
        tokio::task::yield_now().await;
    }

    let refused = test.post(|request| request).await;
    assert_eq!(refused.status, 503);
    assert_eq!(refused.retry_after.as_deref(), Some("1"));
    assert_eq!(refused.body["status"], 503);
    assert_eq!(refused.body["kind"], "shed");
    let mut client = test.grpc();
    let refused = client.create_payment(visa_over_grpc()).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable);

    let look = Request::get(format!("/v1/payments/{known}"));
    let look = look.body(Body::empty()).unwrap();
    let found = test.http().oneshot(look).await.unwrap();
    assert_eq!(found.status(), StatusCode::OK);
    let look = GetPaymentRequest { payment_id: known };
    client.get_payment(look).await.unwrap();
    assert_eq!(started.elapsed(), Duration::ZERO);
    drop(holding);
}

#[tokio::test(start_paused = true)]
async fn payment_waits_a_second_for_its_slot() {
    let test = Test::start(1);
    let mut holding = test.fill_the_slots();
    // Those who wait give up; those who run do not.
    sleep(2 * SECOND).await;
    let seen = test.stack().guards.payment.limit.snapshot();
    assert_eq!((seen.running, seen.waiting), (50, 0));

    let started = Instant::now();
    let refused = test.post(|request| request).await;
    assert_eq!(refused.status, 503);
    assert_eq!(refused.body["kind"], "queue_timeout");
    assert_eq!(started.elapsed().as_millis(), 1_000);
    holding.swap_remove(0).abort();
    assert_eq!(test.post(|request| request).await.status, 200);
    assert_eq!(test.stack().guards.payment.limit.snapshot().running, 49);
}

#[tokio::test(start_paused = true)]
async fn slots_of_the_gateway_are_bounded_and_refusals_are_not_its_fault() {
    let test = Test::start(1);
    test.gateway(Gateway::Hangs);
    let paying = test.pay_at_once(71);
    settle_down().await;
    assert_eq!(test.seen(), 20);
    let seen = test.stack().guards.gateway.bulkhead.snapshot();
    assert_eq!((seen.running, seen.waiting), (20, 50));
    assert_eq!(test.count(Status::Failed), 1, "neither a slot nor a place");
    let refused = test.post(|request| request).await;
    assert_eq!(
        (refused.status, refused.retry_after.as_deref()),
        (503, Some("1"))
    );
    assert!(refused.body["payment_id"].is_string());
    tokio::time::advance(SECOND).await;
    settle_down().await;
    assert_eq!(test.count(Status::Failed), 52, "nobody waits for longer");
    assert_eq!(test.circuit().snapshot().failures, 0);
    drop(paying);
}

#[tokio::test(start_paused = true)]
async fn every_payment_is_answered_within_ten_seconds() {
    for gateway in [
        Gateway::Hangs,
        Gateway::AnswersBusyLate,
        Gateway::Breaks,
        DOWN,
    ] {
        for fraud in [Fraud::Away, Fraud::Hangs] {
            let test = Arc::new(Test::start(1_000));
            test.gateway(gateway);
            test.fraud(fraud);
            let started = Instant::now();
            let pay = || {
                let test = test.clone();
                tokio::spawn(async move { test.post(|request| request).await })
            };
            let paying: Vec<_> = (0..300).map(|_| pay()).collect();
            for payment in paying {
                let answer = payment.await.unwrap();
                let known = [202, 502, 503, 504].contains(&answer.status);
                assert!(known, "{gateway:?} {fraud:?} {}", answer.body);
            }
            let took = started.elapsed();
            assert!(took <= 10 * SECOND, "{gateway:?} {fraud:?} {took:?}");
            assert_eq!(test.count(Status::Processing), 0);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn time_limit_of_the_caller_cuts_the_payment_short() {
    let test = Test::start(1);
    test.gateway(Gateway::Hangs);
    let started = Instant::now();
    let late = test
        .post(|request| request.header("x-request-timeout-ms", "2500"))
        .await;
    assert_eq!(started.elapsed().as_millis(), 2_500);
    assert_eq!((late.status, late.retry_after.as_deref()), (504, Some("1")));
    let id = late.body["payment_id"].as_str().unwrap();
    assert_eq!(test.stored(id).status, Status::Unknown);

    let mut request = tonic::Request::new(visa_over_grpc());
    request.set_timeout(Duration::from_millis(2_500));
    let late = test.grpc().create_payment(request).await.unwrap_err();
    assert_eq!(late.code(), Code::DeadlineExceeded);
    assert_eq!(started.elapsed().as_secs(), 5);
}

#[tokio::test(start_paused = true)]
async fn payment_that_is_held_up_everywhere_still_has_its_ten_seconds() {
    let test = Test::start(1);
    test.fraud(Fraud::Hangs);
    test.gateway(Gateway::AnswersBusyLate);
    let bulkhead = test.stack().guards.gateway.bulkhead.clone();
    bulkhead.set_limit(1).unwrap();
    // Before each attempt, somebody else has the slot for almost as long as one waits.
    let busy = tokio::spawn(async move {
        loop {
            let hold = || async {
                sleep(Duration::from_millis(900)).await;
                Ok::<_, BoxError>(())
            };
            drop(bulkhead.call(hold).await);
        }
    });
    let started = Instant::now();
    let late = test.post(|request| request).await;
    assert_eq!(started.elapsed().as_millis(), 9_500);
    assert_eq!(late.status, 504);
    let id = late.body["payment_id"].as_str().unwrap();
    assert_eq!(test.stored(id).status, Status::Unknown);
    busy.abort();
}
