//! Paying once: the same key twice, at once, for something else, from somebody else, and without its caller.

use std::sync::Arc;

use axum::{body::Bytes, http::HeaderMap};
use tokio::sync::Mutex;
use tonic::metadata::MetadataMap;

use super::*;

pub(super) struct Raw {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) bytes: Bytes,
}

pub(super) const KEY: (&str, &str) = (
    "idempotency-key",
    "\"8e03978e-40d5-43e8-bc93-6894a57f9324\"",
);

impl Test {
    pub(super) async fn pay_keyed(&self, headers: &[(&str, &str)], body: &str) -> Raw {
        let mut request =
            Request::post(format!("http://{}/v1/payments", self.demo.addresses().http));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::from(body.to_owned())).unwrap();
        let (head, body) = self.client.request(request).await.unwrap().into_parts();
        Raw {
            status: head.status.as_u16(),
            headers: head.headers,
            bytes: to_bytes(Body::new(body), usize::MAX).await.unwrap(),
        }
    }

    /// The charges of the card, as the gateway lists them.
    pub(super) async fn charges(&self, card_token: &str) -> Vec<Value> {
        let gateway = self.demo.addresses().gateway.unwrap();
        let url = format!("http://{gateway}/charges?card_token={card_token}");
        let answer = Answer::read(self.send(Method::GET, url, "").await).await;
        answer.body["charges"].as_array().unwrap().clone()
    }
}

impl Raw {
    pub(super) fn is_replay(&self) -> bool {
        let replayed = self.headers.get("idempotent-replayed");
        replayed.is_some_and(|value| value == "true")
    }

    pub(super) fn assert_problem(&self, status: u16, kind: &str) {
        assert_eq!(self.status, status, "{:?}", self.bytes);
        assert_eq!(self.headers["content-type"], "application/problem+json");
        let problem: Value = serde_json::from_slice(&self.bytes).unwrap();
        assert_eq!(problem["type"], format!("urn:seaworthy:problem:{kind}"));
        assert_eq!(problem["status"], status);
    }
}

#[tokio::test]
async fn key_that_comes_twice_is_answered_twice_and_charged_once() {
    let test = Test::start(None).await;
    let stolen = r#"{"amount":1,"currency":"USD","card_token":"tok_stolen"}"#;
    for (key, body) in [("order-1", VISA), ("order-2", stolen)] {
        let key = ("idempotency-key", key);
        let first = test.pay_keyed(&[key], body).await;
        let again = test.pay_keyed(&[key], body).await;
        assert_eq!((first.status, first.is_replay()), (200, false));
        assert_eq!((again.status, again.is_replay()), (200, true));
        assert_eq!(again.bytes, first.bytes);
        assert_eq!(again.headers["content-type"], first.headers["content-type"]);
    }
    let charges = test.charges("tok_visa").await;
    assert_eq!(charges.len(), 1);
    assert_eq!(charges[0]["amount"], 99.99);
    assert!(test.charges("tok_stolen").await.is_empty());
    let status = test.call(Method::GET, "/status", "").await.body;
    let keys = &status["keys"][0];
    assert_eq!(
        [&keys["ran"], &keys["replayed"], &keys["running"]],
        [2, 2, 0]
    );
    let metrics = test.call(Method::GET, "/metrics", "").await.body;
    assert!(metrics.as_str().unwrap().contains(r#"result="replayed""#));
}

#[tokio::test]
async fn key_that_comes_fifty_times_at_once_is_charged_once() {
    let test = Arc::new(Test::start(None).await);
    test.faults(Method::POST, r#"{"latency_ms":300}"#).await;
    let pay = || {
        let test = test.clone();
        tokio::spawn(async move { test.pay_keyed(&[KEY], VISA).await })
    };
    let paying: Vec<_> = (0..50).map(|_| pay()).collect();
    let mut answers = Vec::new();
    for answer in paying {
        let answer = answer.await.unwrap();
        if answer.status == 409 {
            answer.assert_problem(409, "request-in-progress");
            assert_ne!(answer.headers["retry-after"], "0");
        } else {
            assert_eq!(answer.status, 200);
            answers.push(answer);
        }
    }
    let ran = answers.iter().filter(|answer| !answer.is_replay());
    assert_eq!(ran.count(), 1);
    let last = test.pay_keyed(&[KEY], VISA).await;
    assert!(last.is_replay());
    assert!(answers.iter().all(|answer| answer.bytes == last.bytes));
    assert_eq!(test.charges("tok_visa").await.len(), 1);
}

#[tokio::test]
async fn key_of_another_payment_or_of_another_caller_gets_no_answer_of_the_first() {
    let test = Test::start(None).await;
    let first = test.pay_keyed(&[KEY], VISA).await;
    assert_eq!(first.status, 200);
    let other = VISA.replace("99.99", "1");
    let refused = test.pay_keyed(&[KEY], &other).await;
    refused.assert_problem(422, "key-reused");
    let bob = ("authorization", "Bearer bob");
    let second = test.pay_keyed(&[KEY, bob], VISA).await;
    assert_eq!((second.status, second.is_replay()), (200, false));
    assert_ne!(second.bytes, first.bytes);
    assert_eq!(test.charges("tok_visa").await.len(), 2);
}

#[tokio::test]
async fn key_that_is_none_is_a_problem_and_charges_nobody() {
    let test = Test::start(None).await;
    let long = "k".repeat(256);
    for key in ["", " ", "a b", "\"", "\"a\"b", "a,b", "\u{7f}", &long] {
        // Raw: no client sends all of these.
        let mut stream = TcpStream::connect(test.demo.addresses().http)
            .await
            .unwrap();
        let head = format!(
            "POST /v1/payments HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\
             idempotency-key: {key}\r\ncontent-length: {}\r\n\r\n{VISA}",
            VISA.len()
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 400 "), "{key:?}: {answer}");
    }
    let twice = test.pay_keyed(&[KEY, KEY], VISA).await;
    twice.assert_problem(400, "key-malformed");
    assert!(test.charges("tok_visa").await.is_empty());
}

#[tokio::test]
async fn key_in_grpc_metadata_is_charged_once() {
    let test = Test::start(None).await;
    let mut client = PaymentsClient::new(test.channel().await);
    let visa = |amount| {
        let mut request = tonic::Request::new(CreatePaymentRequest {
            amount,
            currency: "USD".to_owned(),
            card_token: "tok_visa".to_owned(),
            ..CreatePaymentRequest::default()
        });
        let key = "order-1".parse().unwrap();
        request.metadata_mut().insert("idempotency-key", key);
        request
    };
    let first = client.create_payment(visa(5.0)).await.unwrap();
    let again = client.create_payment(visa(5.0)).await.unwrap();
    let is_replay = |metadata: &MetadataMap| metadata.contains_key("idempotent-replayed");
    assert!(!is_replay(first.metadata()) && is_replay(again.metadata()));
    assert_eq!(first.into_inner(), again.into_inner());
    let refused = client.create_payment(visa(6.0)).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    let mut malformed = visa(5.0);
    let key = "a b".parse().unwrap();
    malformed.metadata_mut().insert("idempotency-key", key);
    let refused = client.create_payment(malformed).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert_eq!(test.charges("tok_visa").await.len(), 1);
}

#[tokio::test]
async fn drain_waits_for_a_payment_whose_caller_has_left() {
    // A gateway that says when a charge has arrived and answers when told.
    let (arrived, mut arrivals) = mpsc::channel(1);
    let (answer, answers) = mpsc::channel::<StatusCode>(1);
    let answers = Arc::new(Mutex::new(answers));
    let router = Router::new().route(
        "/charge",
        post(async move || {
            arrived.send(()).await.unwrap();
            answers.lock().await.recv().await.unwrap()
        }),
    );
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async { axum::serve(listener, router).await });

    let test = Test::start(Some(&url)).await;
    let mut stream = TcpStream::connect(test.demo.addresses().http)
        .await
        .unwrap();
    let head = format!(
        "POST /v1/payments HTTP/1.1\r\nhost: x\r\nidempotency-key: k\r\n\
         content-length: {}\r\n\r\n{VISA}",
        VISA.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    arrivals.recv().await.unwrap();
    drop(stream);
    loop {
        let status = test.call(Method::GET, "/status", "").await.body;
        if status["keys"][0]["detached"] == 1 {
            break;
        }
    }

    let addresses = test.demo.addresses().clone();
    let draining = tokio::spawn(drain(test.demo, test.health));
    while TcpStream::connect(addresses.http).await.is_ok() {
        tokio::task::yield_now().await;
    }
    assert!(!draining.is_finished(), "a payment is still running");
    answer.send(StatusCode::OK).await.unwrap();
    assert!(draining.await.unwrap(), "every payment finished");
}
