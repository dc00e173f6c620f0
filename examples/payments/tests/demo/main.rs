//! The demo in this process, on real sockets with free ports.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod health;
mod limits;
mod once;
mod products;
mod stores;

use std::{net::SocketAddr, time::Duration};

use axum::{
    Router,
    body::{Body, to_bytes},
    http::{Method, Request, Response, StatusCode},
    routing::post,
};
use clap::Parser as _;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use payments::{
    Demo, Flags,
    proto::payments::{
        CreatePaymentRequest, FraudCheck, GetPaymentRequest, Status,
        payments_client::PaymentsClient,
    },
};
use seaworthy::health::{Drain, End, Health};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::mpsc,
};
use tokio_stream::StreamExt;
use tonic::{
    Code,
    transport::{Channel, Endpoint},
};
use tonic_reflection::pb::v1::{
    ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
    server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
};

struct Test {
    demo: Demo,
    health: Health,
    client: Client<HttpConnector, Body>,
}

struct Answer {
    status: StatusCode,
    content_type: String,
    body: Value,
}

const VISA: &str = r#"{"amount":99.99,"currency":"USD","card_token":"tok_visa"}"#;

impl Test {
    async fn start(gateway: Option<&str>) -> Self {
        let gateway = gateway.map(|url| ["--gateway", url]);
        Self::start_with(gateway.as_ref().map_or(&[], |flag| flag)).await
    }

    async fn start_with(flags: &[&str]) -> Self {
        let any = "127.0.0.1:0";
        let mut arguments = vec![
            "payments",
            "--listen",
            any,
            "--grpc",
            any,
            "--gateway-listen",
            any,
        ];
        arguments.extend(flags);
        let flags = Flags::parse_from(arguments);
        let health = payments::health().unwrap();
        let demo = Demo::start(&flags, &health).await.unwrap();
        Self {
            demo,
            health,
            client: Client::builder(TokioExecutor::new()).build_http(),
        }
    }

    async fn send(&self, method: Method, url: String, body: impl Into<Body>) -> Response<Body> {
        let request = Request::builder()
            .method(method)
            .uri(url)
            .body(body.into())
            .unwrap();
        self.client.request(request).await.unwrap().map(Body::new)
    }

    async fn call(&self, method: Method, path: &str, body: impl Into<Body>) -> Answer {
        let url = format!("http://{}{path}", self.demo.addresses().http);
        Answer::read(self.send(method, url, body).await).await
    }

    async fn pay(&self, body: &'static str) -> Answer {
        self.call(Method::POST, "/v1/payments", body).await
    }

    async fn faults(&self, method: Method, body: &'static str) -> Answer {
        let gateway = self.demo.addresses().gateway.unwrap();
        Answer::read(
            self.send(method, format!("http://{gateway}/faults"), body)
                .await,
        )
        .await
    }

    async fn fraud_faults(&self, body: &'static str) {
        let url = format!("http://{}/faults", self.demo.addresses().fraud_faults);
        assert_eq!(
            self.send(Method::POST, url, body).await.status(),
            StatusCode::OK
        );
    }

    async fn channel(&self) -> Channel {
        channel(self.demo.addresses().grpc).await
    }
}

/// As at a signal, without a grace. Whether everything that ran has finished.
async fn drain(demo: Demo, health: Health) -> bool {
    let (drain, signals) = Drain::by_hand(&health);
    signals.signal();
    let drain = drain.grace(Duration::ZERO).limit(Demo::LIMIT);
    let end = drain.serve(|stop| demo.serve(stop)).await;
    end.unwrap() == End::Drained
}

async fn channel(address: SocketAddr) -> Channel {
    let url = format!("http://{address}");
    Endpoint::from_shared(url).unwrap().connect().await.unwrap()
}

fn list_services() -> ServerReflectionRequest {
    ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    }
}

impl Answer {
    async fn read(response: Response<Body>) -> Self {
        let status = response.status();
        let content_type = response.headers()["content-type"]
            .to_str()
            .unwrap()
            .to_owned();
        let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
        let body = serde_json::from_slice(&body)
            .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&body).into_owned()));
        Self {
            status,
            content_type,
            body,
        }
    }

    fn assert_problem(&self, status: u16, what: &str) {
        assert_eq!(self.status.as_u16(), status, "{what}: {}", self.body);
        assert_eq!(self.content_type, "application/problem+json", "{what}");
        assert_eq!(self.body["status"], status, "{what}");
    }
}

#[tokio::test]
async fn payment_is_approved_and_found_again() {
    let test = Test::start(None).await;
    let paid = test.pay(VISA).await;
    assert_eq!(
        (paid.status, paid.body["status"].as_str()),
        (StatusCode::OK, Some("approved"))
    );
    assert_eq!(paid.body["fraud_check"], "passed");
    let id = paid.body["payment_id"].as_str().unwrap();
    let found = test
        .call(Method::GET, &format!("/v1/payments/{id}"), "")
        .await;
    assert_eq!((found.status, found.body), (StatusCode::OK, paid.body));
}

#[tokio::test]
async fn further_fields_are_accepted() {
    let test = Test::start(None).await;
    let paid = test
        .pay(
            r#"{"amount":1,"currency":"eur","card_token":"t","merchant_id":"m_1",
                "idempotency_key":"k","note":[1,{}]}"#,
        )
        .await;
    assert_eq!(
        (paid.status, &paid.body["currency"]),
        (StatusCode::OK, &json!("EUR"))
    );
    assert_eq!(paid.body["merchant_id"], "m_1");
}

#[tokio::test]
async fn wrong_input_is_a_problem() {
    let test = Test::start(None).await;
    let long = format!(
        r#"{{"amount":1,"currency":"USD","card_token":"{}"}}"#,
        "t".repeat(256)
    );
    let deep = "[".repeat(10_000);
    let cases: [(&[u8], &str); 21] = [
        (b"", "empty"),
        (b" \n", "empty"),
        (b"hello", "no valid JSON"),
        (b"{", "no valid JSON"),
        (b"NaN", "no valid JSON"),
        (deep.as_bytes(), "no valid JSON"),
        (b"{\"amount\":\xff}", "not UTF-8"),
        (b"[]", "no object"),
        (b"null", "no object"),
        (b"{}", "amount is missing"),
        (br#"{"amount":1,"currency":"USD"}"#, "card_token is missing"),
        (
            br#"{"amount":1,"currency":"USD","card_token":null}"#,
            "card_token is missing",
        ),
        (
            br#"{"amount":"1","currency":"USD","card_token":"t"}"#,
            "amount is to be a number",
        ),
        (
            br#"{"amount":1,"currency":1,"card_token":"t"}"#,
            "currency is to be a string",
        ),
        (
            br#"{"amount":1,"currency":"USD","card_token":["t"]}"#,
            "card_token is to be a string",
        ),
        (
            br#"{"amount":0,"currency":"USD","card_token":"t"}"#,
            "above zero",
        ),
        (
            br#"{"amount":-0.01,"currency":"USD","card_token":"t"}"#,
            "above zero",
        ),
        (
            br#"{"amount":1e999,"currency":"USD","card_token":"t"}"#,
            "out of range",
        ),
        (
            br#"{"amount":1,"currency":"US$","card_token":"t"}"#,
            "three letters",
        ),
        (
            br#"{"amount":1,"currency":"USD","card_token":""}"#,
            "not to be empty",
        ),
        (long.as_bytes(), "at most 255"),
    ];
    for (body, detail) in cases {
        let what = String::from_utf8_lossy(&body[..body.len().min(80)]).into_owned();
        let answer = test.call(Method::POST, "/v1/payments", body.to_vec()).await;
        answer.assert_problem(422, &what);
        let text = answer.body["detail"].as_str().unwrap();
        assert!(text.contains(detail), "{what}: {text}");
    }
}

#[tokio::test]
async fn every_other_error_is_a_problem_too() {
    let test = Test::start(None).await;
    let large = vec![b' '; 64 * 1024 + 1];
    test.call(Method::POST, "/v1/payments", large)
        .await
        .assert_problem(413, "too large");

    // A client that writes everything before it reads anything hears of it as well, key or not.
    for key in ["", "idempotency-key: k\r\n"] {
        let mut stream = TcpStream::connect(test.demo.addresses().http)
            .await
            .unwrap();
        let length = 10_000_000;
        let head = format!(
            "POST /v1/payments HTTP/1.1\r\nhost: x\r\n{key}content-length: {length}\r\nconnection: close\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(&vec![b' '; length]).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
        assert!(answer.contains("application/problem+json"), "{answer}");
    }

    for (method, path, status) in [
        (Method::GET, "/v1/payments/pay_none", 404),
        (Method::GET, "/v1/payments/%ff", 404),
        (Method::GET, "/nowhere", 404),
        (Method::GET, "/v1/payments", 405),
        (Method::POST, "/v1/payments/pay_none", 405),
        (Method::DELETE, "/metrics", 405),
    ] {
        let answer = test.call(method.clone(), path, "").await;
        answer.assert_problem(status, &format!("{method} {path}"));
    }
}

#[tokio::test]
async fn faults_are_set_part_by_part_and_read_back() {
    let test = Test::start(None).await;
    let whole = test
        .faults(
            Method::POST,
            r#"{"error_rate":1.0,"latency_ms":0,"hang":false}"#,
        )
        .await;
    assert_eq!(whole.status, StatusCode::OK);
    test.pay(VISA)
        .await
        .assert_problem(502, "a gateway that fails");
    for garbage in [
        "",
        "x",
        "[]",
        r#"{"error_rate":2}"#,
        r#"{"slow_rate":-0.1}"#,
        r#"{"latency_ms":1.5}"#,
        r#"{"latency_ms":-1.0}"#,
        r#"{"latency_ms":1e19}"#,
        r#"{"hung":true}"#,
    ] {
        test.faults(Method::POST, garbage)
            .await
            .assert_problem(422, garbage);
    }
    test.faults(Method::POST, r#"{"latency_ms":1.0}"#).await;
    let now = test.faults(Method::GET, "").await.body;
    assert_eq!(
        now,
        json!({ "error_rate": 1.0, "latency_ms": 1, "slow_rate": 1.0, "hang": false })
    );
    test.faults(Method::POST, r#"{"error_rate":0}"#).await;
    assert_eq!(test.pay(VISA).await.status, StatusCode::OK);
}

#[tokio::test]
async fn fraud_service_declines_and_is_done_without() {
    let test = Test::start(None).await;
    let stolen = r#"{"amount":1,"currency":"USD","card_token":"tok_stolen"}"#;
    let declined = test.pay(stolen).await;
    assert_eq!(declined.status, StatusCode::OK);
    assert_eq!(declined.body["status"], "declined");
    test.fraud_faults(r#"{"error_rate":1}"#).await;
    let paid = test.pay(VISA).await;
    assert_eq!(
        (&paid.body["status"], &paid.body["fraud_check"]),
        (&json!("approved"), &json!("skipped"))
    );
}

#[tokio::test]
async fn absent_gateway_is_a_bad_gateway() {
    // A port that was free a moment ago: nobody listens there.
    let port = TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap();
    let test = Test::start(Some(&format!("http://{port}"))).await;
    assert_eq!(test.demo.addresses().gateway, None);
    let failed = test.pay(VISA).await;
    failed.assert_problem(502, "nobody there");
    // For certain: the charge reached nobody.
    let path = format!(
        "/v1/payments/{}",
        failed.body["payment_id"].as_str().unwrap()
    );
    let found = test.call(Method::GET, &path, "").await;
    assert_eq!(found.body["status"], "failed");
}

#[tokio::test]
async fn page_status_and_metrics_answer() {
    let test = Test::start(None).await;
    let first = test.call(Method::GET, "/metrics", "").await.body;
    let series = r#"payments_total{status="declined"} "#;
    assert!(first.as_str().unwrap().contains(series), "{first}");
    test.pay(VISA).await;
    let page = test.call(Method::GET, "/", "").await;
    assert_eq!(page.content_type, "text/html; charset=utf-8");
    let status = test.call(Method::GET, "/status", "").await.body;
    assert_eq!(status["payments"]["approved"], 1);
    assert_eq!(status["queue"], json!({ "waiting": 0, "capacity": 1000 }));
    let metrics = test.call(Method::GET, "/metrics", "").await;
    assert!(metrics.content_type.starts_with("text/plain"));
    assert!(
        metrics
            .body
            .as_str()
            .unwrap()
            .contains(r#"payments_total{status="approved"}"#)
    );
}

#[tokio::test]
async fn grpc_pays_finds_and_refuses() {
    let test = Test::start(None).await;
    let mut client = PaymentsClient::new(test.channel().await);
    let visa = CreatePaymentRequest {
        amount: 5.0,
        currency: "USD".to_owned(),
        card_token: "tok_visa".to_owned(),
        ..CreatePaymentRequest::default()
    };
    let paid = client
        .create_payment(visa.clone())
        .await
        .unwrap()
        .into_inner();
    assert_eq!(
        (paid.status(), paid.fraud_check()),
        (Status::Approved, FraudCheck::Passed)
    );
    let request = GetPaymentRequest {
        payment_id: paid.payment_id.clone(),
    };
    assert_eq!(
        client.get_payment(request).await.unwrap().into_inner(),
        paid
    );

    for amount in [f64::NAN, f64::INFINITY, 0.0, -1.0] {
        let wrong = client
            .create_payment(CreatePaymentRequest {
                amount,
                ..visa.clone()
            })
            .await;
        assert_eq!(wrong.unwrap_err().code(), Code::InvalidArgument, "{amount}");
    }
    let unknown = client
        .get_payment(GetPaymentRequest::default())
        .await
        .unwrap_err();
    assert_eq!(unknown.code(), Code::NotFound);
    test.faults(Method::POST, r#"{"error_rate":1}"#).await;
    assert_eq!(
        client.create_payment(visa).await.unwrap_err().code(),
        Code::Unavailable
    );
}

#[tokio::test]
async fn each_grpc_server_lists_what_it_serves() {
    let test = Test::start(None).await;
    let addresses = test.demo.addresses();
    for (address, services) in [
        (
            addresses.grpc,
            &["grpc.health.v1.Health", "payments.v1.Payments"][..],
        ),
        (addresses.fraud, &["fraud.v1.Fraud"]),
    ] {
        let mut client = ServerReflectionClient::new(channel(address).await);
        let mut answers = client
            .server_reflection_info(tokio_stream::iter([list_services()]))
            .await
            .unwrap()
            .into_inner();
        let answer = answers.message().await.unwrap().unwrap();
        let Some(MessageResponse::ListServicesResponse(list)) = answer.message_response else {
            panic!("{answer:?}");
        };
        let mut names: Vec<_> = list.service.into_iter().map(|it| it.name).collect();
        names.retain(|name| !name.starts_with("grpc.reflection."));
        names.sort_unstable();
        assert_eq!(names, services);
    }
}

#[tokio::test]
async fn drain_refuses_connections_and_lets_a_payment_finish() {
    // A gateway that says when a charge has arrived and answers when told.
    let (arrived, mut arrivals) = mpsc::channel(1);
    let (answer, answers) = mpsc::channel(1);
    let answers = std::sync::Arc::new(tokio::sync::Mutex::new(answers));
    let router = Router::new().route(
        "/base/charge",
        post(async move || {
            arrived.send(()).await.unwrap();
            answers.lock().await.recv().await.unwrap()
        }),
    );
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/base/", listener.local_addr().unwrap());
    tokio::spawn(async { axum::serve(listener, router).await });

    let test = Test::start(Some(&url)).await;
    let addresses = test.demo.addresses().clone();
    // What clients hold does not hold the drain up: idle connections, half a request, a channel,
    // a stream of reflection.
    let idle = TcpStream::connect(addresses.http).await.unwrap();
    let silent = TcpStream::connect(addresses.grpc).await.unwrap();
    let mut half = TcpStream::connect(addresses.http).await.unwrap();
    half.write_all(b"GET /status HT").await.unwrap();
    let channel = test.channel().await;
    let requests = tokio_stream::iter([list_services()]).chain(tokio_stream::pending());
    let mut reflection = ServerReflectionClient::new(channel.clone())
        .server_reflection_info(requests)
        .await
        .unwrap()
        .into_inner();
    reflection.message().await.unwrap();

    let Test {
        demo,
        health,
        client,
    } = test;
    let request = Request::post(format!("http://{}/v1/payments", addresses.http));
    let paying = tokio::spawn(client.request(request.body(Body::from(VISA)).unwrap()));
    arrivals.recv().await.unwrap();

    let draining = tokio::spawn(drain(demo, health));
    for address in [addresses.http, addresses.grpc] {
        while TcpStream::connect(address).await.is_ok() {
            tokio::task::yield_now().await;
        }
    }
    assert!(!draining.is_finished(), "a payment is still running");
    answer.send(StatusCode::OK).await.unwrap();
    let paid = Answer::read(paying.await.unwrap().unwrap().map(Body::new)).await;
    assert_eq!(
        (paid.status, &paid.body["status"]),
        (StatusCode::OK, &json!("approved"))
    );
    assert!(draining.await.unwrap(), "every payment finished");
    drop((idle, silent, half, channel, reflection));
}
