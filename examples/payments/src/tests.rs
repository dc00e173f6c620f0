//! Payments over a gateway that does what the test says, without sockets, in paused time.

use std::{
    future::pending,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    http::{Request, Response, StatusCode},
    response::IntoResponse,
};
use bytes::Bytes;
use futures_util::FutureExt;
use http_body_util::Full;
use tokio::{task::JoinHandle, time::Instant};
use tonic::Code;
use tower::{BoxError, service_fn};

use crate::{
    cashier::{Cashier, NotPaid, Why},
    payment::{FraudCheck, NewPayment, Payment, Status},
    problem::Problem,
    queue::queue,
    stack::Stack,
    store::Store,
    upstreams::Upstreams,
};

/// What the gateway does with the next charges.
#[derive(Clone, Copy, Debug)]
enum Gateway {
    Answers(StatusCode),
    Breaks,
    Hangs,
}

struct Test {
    cashier: Cashier,
    gateway: Arc<Mutex<Gateway>>,
    /// The idempotency keys of the charges that reached the gateway.
    keys: Arc<Mutex<Vec<String>>>,
    worker: JoinHandle<()>,
}

const OK: Gateway = Gateway::Answers(StatusCode::OK);

impl Test {
    fn start(capacity: usize) -> Self {
        let gateway = Arc::new(Mutex::new(OK));
        let keys = Arc::<Mutex<Vec<String>>>::default();
        let calls = service_fn({
            let (gateway, keys) = (gateway.clone(), keys.clone());
            move |request: Request<Full<Bytes>>| {
                let key = request.headers()["idempotency-key"]
                    .to_str()
                    .unwrap()
                    .to_owned();
                keys.lock().unwrap().push(key);
                let gateway = *gateway.lock().unwrap();
                async move {
                    match gateway {
                        Gateway::Answers(status) => Ok((status, "{}").into_response()),
                        Gateway::Breaks => Err(BoxError::from("connection reset")),
                        Gateway::Hangs => pending().await,
                    }
                }
            }
        });
        let fraud = service_fn(async |_| Err::<Response<_>, _>(BoxError::from("away")));
        let upstreams = Upstreams::new(
            Stack::over(calls, fraud),
            &"http://gateway.example".parse().unwrap(),
        )
        .unwrap();
        let store = Store::new();
        let (queue, waiting) = queue(capacity);
        let worker = tokio::spawn(waiting.work(upstreams.clone(), store.clone()));
        Self {
            cashier: Cashier {
                upstreams,
                store,
                queue,
            },
            gateway,
            keys,
            worker,
        }
    }

    fn gateway(&self, does: Gateway) {
        *self.gateway.lock().unwrap() = does;
    }

    fn circuit(&self, closed: bool) {
        self.cashier.upstreams.stack().circuit.force(closed);
    }

    fn stored(&self, payment_id: &str) -> Payment {
        self.cashier.store.get(payment_id).unwrap()
    }

    fn only_payment(&self) -> Status {
        let (status, count) = self
            .cashier
            .store
            .counts()
            .find(|(_, count)| *count > 0)
            .unwrap();
        assert_eq!(count, 1);
        status
    }
}

fn visa() -> NewPayment {
    NewPayment {
        amount: 99.99,
        currency: "USD".to_owned(),
        card_token: "tok_visa".to_owned(),
        merchant_id: None,
        idempotency_key: None,
    }
}

#[tokio::test(start_paused = true)]
async fn payment_goes_on_without_the_fraud_service() {
    let test = Test::start(1);
    let payment = test.cashier.pay(visa()).await.unwrap();
    assert_eq!(payment.status, Status::Approved);
    assert_eq!(payment.fraud_check, Some(FraudCheck::Skipped));
    assert_eq!(test.stored(&payment.payment_id), payment);
}

#[tokio::test(start_paused = true)]
async fn queued_payments_are_charged_once_each_when_the_circuit_closes() {
    let test = Test::start(20);
    test.circuit(false);
    let started = Instant::now();
    let mut ids = Vec::new();
    for _ in 0..20 {
        let payment = test.cashier.pay(visa()).await.unwrap();
        assert_eq!(payment.status, Status::Queued);
        assert_eq!(payment.message, Some("Payment will be processed shortly"));
        ids.push(payment.payment_id);
    }
    assert_eq!(started.elapsed(), Duration::ZERO, "queued at once");
    assert_eq!(
        test.keys.lock().unwrap().len(),
        0,
        "nothing reaches the gateway"
    );

    // The queue tries, is refused, and waits; then it is woken, and does not sit its pause out.
    tokio::time::advance(Duration::from_millis(500)).await;
    let closes = Instant::now();
    test.circuit(true);
    test.cashier.queue.emptied().await;
    assert_eq!(closes.elapsed(), Duration::ZERO, "charged at once");
    for id in &ids {
        let payment = test.stored(id);
        assert_eq!((payment.status, payment.message), (Status::Approved, None));
    }
    let mut keys = test.keys.lock().unwrap().clone();
    keys.sort();
    ids.sort();
    assert_eq!(keys, ids);
}

#[tokio::test(start_paused = true)]
async fn full_queue_refuses_and_takes_again_when_emptied() {
    let test = Test::start(1);
    test.circuit(false);
    test.cashier.pay(visa()).await.unwrap();
    let refused = test.cashier.pay(visa()).await.unwrap_err();
    assert_eq!(refused.why, Why::QueueFull { retry_after: None });
    assert_eq!(test.stored(&refused.payment_id).status, Status::Failed);

    test.circuit(true);
    test.cashier.queue.emptied().await;
    test.circuit(false);
    assert_eq!(
        test.cashier.pay(visa()).await.unwrap().status,
        Status::Queued
    );
}

#[tokio::test(start_paused = true)]
async fn queued_payment_is_tried_again_without_being_told() {
    let test = Test::start(1);
    test.circuit(false);
    let payment = test.cashier.pay(visa()).await.unwrap();
    // The gateway is back, but answers badly at first: the queue comes back by itself.
    test.gateway(Gateway::Answers(StatusCode::SERVICE_UNAVAILABLE));
    test.circuit(true);
    while test.keys.lock().unwrap().len() < 3 {
        tokio::time::advance(Duration::from_millis(100)).await;
    }
    assert_eq!(test.stored(&payment.payment_id).status, Status::Queued);
    test.gateway(OK);
    test.cashier.queue.emptied().await;
    assert_eq!(test.stored(&payment.payment_id).status, Status::Approved);
}

#[tokio::test(start_paused = true)]
async fn queued_payment_is_given_up_after_many_bad_answers_or_one_no() {
    for (answer, attempts) in [
        (Gateway::Answers(StatusCode::INTERNAL_SERVER_ERROR), 10),
        (Gateway::Answers(StatusCode::TOO_MANY_REQUESTS), 10),
        (Gateway::Breaks, 10),
        (Gateway::Hangs, 10),
        (Gateway::Answers(StatusCode::PAYMENT_REQUIRED), 1),
    ] {
        let test = Test::start(1);
        test.circuit(false);
        let payment = test.cashier.pay(visa()).await.unwrap();
        test.gateway(answer);
        test.circuit(true);
        test.cashier.queue.emptied().await;
        assert_eq!(test.keys.lock().unwrap().len(), attempts, "{answer:?}");
        assert_eq!(
            test.stored(&payment.payment_id).status,
            Status::Failed,
            "{answer:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn refusals_do_not_count_as_attempts() {
    let test = Test::start(1);
    test.circuit(false);
    let payment = test.cashier.pay(visa()).await.unwrap();
    tokio::time::advance(Duration::from_secs(3600)).await;
    assert_eq!(test.stored(&payment.payment_id).status, Status::Queued);
    test.circuit(true);
    test.cashier.queue.emptied().await;
    assert_eq!(test.stored(&payment.payment_id).status, Status::Approved);
}

#[tokio::test(start_paused = true)]
async fn bad_answers_fail_the_payment() {
    let test = Test::start(1);
    for answer in [
        Gateway::Answers(StatusCode::INTERNAL_SERVER_ERROR),
        Gateway::Answers(StatusCode::FOUND),
        Gateway::Answers(StatusCode::PAYMENT_REQUIRED),
        Gateway::Breaks,
    ] {
        test.gateway(answer);
        let failed = test.cashier.pay(visa()).await.unwrap_err();
        assert_eq!(failed.why, Why::BadGateway, "{answer:?}");
        assert_eq!(test.stored(&failed.payment_id).status, Status::Failed);
    }
}

#[tokio::test(start_paused = true)]
async fn silent_gateway_leaves_the_payment_unknown_within_ten_seconds() {
    let test = Test::start(1);
    test.gateway(Gateway::Hangs);
    let started = Instant::now();
    let failed = test.cashier.pay(visa()).await.unwrap_err();
    assert!(started.elapsed() < Duration::from_secs(10));
    assert_eq!(failed.why, Why::TimedOut { retry_after: None });
    assert_eq!(test.stored(&failed.payment_id).status, Status::Unknown);
}

#[tokio::test(start_paused = true)]
async fn dropped_payment_is_unknown_and_never_stays_under_way() {
    let test = Test::start(1);
    test.gateway(Gateway::Hangs);
    assert!(test.cashier.pay(visa()).now_or_never().is_none());
    assert_eq!(test.only_payment(), Status::Unknown);
}

#[test]
fn each_reason_has_its_status_and_says_when_to_come_back() {
    let soon = Some(Duration::from_millis(1_500));
    for (why, status, wait, code) in [
        (
            Why::QueueFull { retry_after: soon },
            503,
            Some("2"),
            Code::Unavailable,
        ),
        (
            Why::QueueFull { retry_after: None },
            503,
            Some("1"),
            Code::Unavailable,
        ),
        (
            Why::Busy { retry_after: soon },
            503,
            Some("2"),
            Code::Unavailable,
        ),
        (
            Why::TimedOut { retry_after: None },
            504,
            Some("1"),
            Code::DeadlineExceeded,
        ),
        (Why::BadGateway, 502, None, Code::Unavailable),
    ] {
        let failed = NotPaid {
            payment_id: "pay_1".to_owned(),
            why,
        };
        let response = Problem::from(failed.clone()).into_response();
        assert_eq!(response.status(), status, "{why:?}");
        assert_eq!(
            response.headers()["content-type"],
            "application/problem+json"
        );
        let header = response.headers().get("retry-after");
        assert_eq!(header.map(|value| value.to_str().unwrap()), wait, "{why:?}");
        assert_eq!(tonic::Status::from(failed).code(), code, "{why:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn worker_outlives_every_outcome() {
    let test = Test::start(3);
    for answer in [
        Gateway::Breaks,
        OK,
        Gateway::Answers(StatusCode::BAD_REQUEST),
    ] {
        test.circuit(false);
        test.cashier.pay(visa()).await.unwrap();
        test.gateway(answer);
        test.circuit(true);
        test.cashier.queue.emptied().await;
    }
    assert!(!test.worker.is_finished());
}
