//! What callers from elsewhere are told of the health, and those from this machine.

use std::net::SocketAddr;

use axum::{
    body::{Body, to_bytes},
    extract::ConnectInfo,
    http::Request,
};
use serde_json::{Value, json};
use tower::ServiceExt;

use super::*;

impl Test {
    /// As if from that address.
    async fn ask_from(&self, peer: &str, path: &str, headers: &[(&str, &str)]) -> (u16, Value) {
        let peer: SocketAddr = peer.parse().unwrap();
        let mut request = Request::get(path).extension(ConnectInfo(peer));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::empty()).unwrap();
        let response = self.http().oneshot(request).await.unwrap();
        let status = response.status().as_u16();
        let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
        let text = || String::from_utf8_lossy(&body).into_owned();
        let body = serde_json::from_slice(&body).unwrap_or_else(|_| text().into());
        (status, body)
    }
}

const HERE: &str = "127.0.0.1:1111";
const ELSEWHERE: &str = "198.51.100.7:1111";

/// What somebody may write who would like to be here.
const SPOOFS: [&[(&str, &str)]; 4] = [
    &[],
    &[("x-forwarded-for", "127.0.0.1")],
    &[("forwarded", "for=127.0.0.1"), ("x-real-ip", "127.0.0.1")],
    &[("x-forwarded-for", "127.0.0.1"), ("host", "localhost")],
];

#[tokio::test(start_paused = true)]
async fn details_are_for_callers_on_this_machine_whatever_others_write() {
    let test = Test::start(1);
    test.open_the_circuit().await;
    for (path, word) in [
        ("/health", "degraded"),
        ("/health/ready", "ready"),
        ("/health/startup", "started"),
        ("/health/live", "alive"),
        ("/health/groups/payments.v1.Payments", "ready"),
    ] {
        for accept in ["*/*", "application/health+json"] {
            for spoof in SPOOFS {
                let headers = [spoof, &[("accept", accept)]].concat();
                let (status, told) = test.ask_from(ELSEWHERE, path, &headers).await;
                assert_eq!(status, 200, "{path}");
                let members = told.as_object().unwrap().len();
                assert_eq!(members, 1, "{path} {spoof:?} tells {told}");
                if accept == "*/*" {
                    assert_eq!(told, json!({ "status": word }), "{path}");
                }
            }
        }
        for spoof in [&[][..], &[("x-forwarded-for", "198.51.100.7")]] {
            let (_, told) = test.ask_from(HERE, path, spoof).await;
            assert_eq!(told["status"], word);
            assert_eq!(told["version"], env!("CARGO_PKG_VERSION"), "{path}: {told}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn metrics_are_for_callers_on_this_machine_too() {
    let test = Test::start(1);
    for spoof in SPOOFS {
        let (status, told) = test.ask_from(ELSEWHERE, "/metrics", spoof).await;
        assert_eq!(status, 403, "{spoof:?}");
        assert_eq!(told["status"], 403, "{told}");
    }
    assert_eq!(test.ask_from(HERE, "/metrics", &[]).await.0, 200);
}

#[tokio::test(start_paused = true)]
async fn each_circuit_bulkhead_and_limit_is_a_check_and_none_is_critical() {
    let test = Test::start(2);
    let (_, told) = test.ask_from(HERE, "/health", &[]).await;
    assert_eq!(told["status"], "healthy");
    let checks = told["checks"].as_object().unwrap();
    let mut names: Vec<_> = checks.keys().map(String::as_str).collect();
    names.sort_unstable();
    assert_eq!(
        names,
        [
            "external_api:bulkhead",
            "fraud:circuit_breaker",
            "gateway:circuit_breaker",
            "page:bulkhead",
            "payment:adaptive",
            "payment:rate_limit",
            "queue_depth",
        ]
    );
    assert!(checks.values().all(|check| check["status"] == "pass"));

    // The circuit is open, and the queue behind it full.
    test.open_the_circuit().await;
    let queued = test.pay_at_once(2);
    for payment in queued {
        payment.await.unwrap();
    }
    let (_, told) = test.ask_from(HERE, "/health", &[]).await;
    assert_eq!(told["status"], "degraded", "{told}");
    let circuit = &told["checks"]["gateway:circuit_breaker"];
    assert_eq!(
        (&circuit["status"], &circuit["error"]),
        (&json!("fail"), &json!("open"))
    );
    let queue = &told["checks"]["queue_depth"];
    assert_eq!(
        (&queue["status"], &queue["value"]),
        (&json!("fail"), &json!(2))
    );
    for path in ["/health/ready", "/health/groups/payments.v1.Payments"] {
        let (status, told) = test.ask_from(ELSEWHERE, path, &[]).await;
        assert_eq!(
            (status, told),
            (200, json!({ "status": "ready" })),
            "{path}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn one_caller_who_pays_too_often_is_no_illness() {
    let limit = CallerLimit {
        rate: "1/h".parse().unwrap(),
        trusted_proxies: 0,
    };
    let test = Test::with_limit(1, AnyStore::new(Memory::new()), limit);
    for status in [200, 429] {
        let peer: SocketAddr = ELSEWHERE.parse().unwrap();
        let request = Request::post("/v1/payments").extension(ConnectInfo(peer));
        let body = r#"{"amount":1,"currency":"USD","card_token":"tok_visa"}"#;
        let paid = test.http().oneshot(request.body(Body::from(body)).unwrap());
        assert_eq!(paid.await.unwrap().status(), status);
    }
    let (_, told) = test.ask_from(HERE, "/health", &[]).await;
    assert_eq!(told["status"], "healthy", "{told}");
}
