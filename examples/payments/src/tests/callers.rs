//! Callers who pay too often, and those who say that something else is more important.

use axum::{
    body::{Body, to_bytes},
    extract::ConnectInfo,
    http::Request,
};
use seaworthy::http::retry_after;
use std::net::SocketAddr;
use tonic::{Code, transport::server::TcpConnectInfo};
use tower::ServiceExt;

use super::{
    keys::{Answer, VISA},
    limits::visa_over_grpc,
    *,
};

fn limited(rate: &str, trusted_proxies: usize) -> Test {
    let rate = rate.parse().unwrap();
    let limit = CallerLimit {
        rate,
        trusted_proxies,
    };
    Test::with_limit(1, AnyStore::new(Memory::new()), limit)
}

impl Test {
    /// As if from that address.
    async fn send_from(&self, address: &str, headers: &[(&str, &str)]) -> Answer {
        let address: SocketAddr = address.parse().unwrap();
        let mut request = Request::post("/v1/payments").extension(ConnectInfo(address));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::from(VISA)).unwrap();
        let response = self.http().oneshot(request).await.unwrap();
        let (head, body) = response.into_parts();
        Answer {
            status: head.status.as_u16(),
            headers: head.headers,
            bytes: to_bytes(body, usize::MAX).await.unwrap(),
        }
    }
}

const HERE: &str = "192.0.2.1:1111";
const THERE: &str = "198.51.100.7:1111";

#[tokio::test(start_paused = true)]
async fn who_pays_too_often_is_told_when_to_come_back_and_others_pay() {
    let test = limited("2/m", 0);
    let first = test.send_from(HERE, &[]).await;
    assert_eq!(first.status, 200);
    assert_eq!(first.headers["ratelimit-policy"], r#""payment";q=2;w=60"#);
    assert!(
        first.headers["ratelimit"]
            .to_str()
            .unwrap()
            .contains(";r=1")
    );
    assert_eq!(test.send_from(HERE, &[]).await.status, 200);
    let refused = test.send_from(HERE, &[]).await;
    refused.assert_problem(429, "quota-exceeded");
    assert_eq!(refused.body()["kind"], "rate_limited");
    // And up to a tenth later, so that not all who were refused are back at once.
    let wait: u32 = refused.headers["retry-after"]
        .to_str()
        .unwrap()
        .parse()
        .unwrap();
    assert!((30..=33).contains(&wait), "{wait}");
    assert_eq!(refused.headers["ratelimit-policy"], r#""payment";q=2;w=60"#);
    assert!(
        refused.headers["ratelimit"]
            .to_str()
            .unwrap()
            .contains(";r=0")
    );
    assert_eq!(test.charged(), [1, 1], "nothing was begun");
    assert_eq!(test.send_from(THERE, &[]).await.status, 200);
    // From another port it is the same caller.
    assert_eq!(test.send_from("192.0.2.1:2222", &[]).await.status, 429);
    sleep(30 * SECOND).await;
    assert_eq!(test.send_from(HERE, &[]).await.status, 200);
}

#[tokio::test(start_paused = true)]
async fn addresses_of_one_ipv6_network_are_one_caller() {
    let test = limited("1/m", 0);
    assert_eq!(test.send_from("[2001:db8:1:2::1]:1", &[]).await.status, 200);
    let neighbour = test.send_from("[2001:db8:1:2:ffff::9]:1", &[]).await;
    assert_eq!(neighbour.status, 429);
    assert_eq!(test.send_from("[2001:db8:1:3::1]:1", &[]).await.status, 200);
    // One that comes in IPv6 clothes is the address that it is.
    assert_eq!(test.send_from(HERE, &[]).await.status, 200);
    assert_eq!(
        test.send_from("[::ffff:192.0.2.1]:1", &[]).await.status,
        429
    );
}

#[tokio::test(start_paused = true)]
async fn forwarding_header_counts_only_where_a_proxy_is_trusted() {
    let forwarded = |chain| [("x-forwarded-for", chain)];
    let test = limited("1/m", 0);
    assert_eq!(
        test.send_from(HERE, &forwarded("1.1.1.1")).await.status,
        200
    );
    for chain in ["2.2.2.2", "3.3.3.3, 4.4.4.4", "garbage", ""] {
        let spoofed = test.send_from(HERE, &forwarded(chain)).await;
        assert_eq!(spoofed.status, 429, "{chain}");
    }
    let other = [("forwarded", "for=5.5.5.5")];
    assert_eq!(test.send_from(HERE, &other).await.status, 429);

    let test = limited("1/m", 1);
    assert_eq!(
        test.send_from(HERE, &forwarded("1.1.1.1")).await.status,
        200
    );
    assert_eq!(
        test.send_from(HERE, &forwarded("2.2.2.2")).await.status,
        200
    );
    // What stands further left, the proxy's own caller has made up.
    let spoofed = test.send_from(HERE, &forwarded("3.3.3.3, 1.1.1.1")).await;
    assert_eq!(spoofed.status, 429);
    // Without a word of the proxy, or without one that can be read, it is the proxy's own address.
    assert_eq!(test.send_from(HERE, &[]).await.status, 200);
    assert_eq!(test.send_from(HERE, &forwarded("me")).await.status, 429);
    assert_eq!(test.send_from(HERE, &other).await.status, 429);
}

#[tokio::test(start_paused = true)]
async fn grpc_counts_together_with_http() {
    let test = limited("2/m", 0);
    assert_eq!(test.send_from(HERE, &[]).await.status, 200);
    let mut client = test.grpc();
    let mut pay = async |address: &str| {
        let mut request = tonic::Request::new(visa_over_grpc());
        request.extensions_mut().insert(TcpConnectInfo {
            local_addr: None,
            remote_addr: Some(address.parse().unwrap()),
        });
        client.create_payment(request).await
    };
    let paid = pay(HERE).await.unwrap();
    let left = paid.metadata().get("ratelimit").unwrap();
    assert!(left.to_str().unwrap().contains(";r=0"));
    let refused = pay(HERE).await.unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted);
    assert!(!refused.details().is_empty(), "when to come back");
    pay(THERE).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn payment_that_is_sent_again_counts_once_and_looking_does_not() {
    let test = limited("2/m", 0);
    let key = [("idempotency-key", "k")];
    let paid = test.send_from(HERE, &key).await;
    for _ in 0..3 {
        assert!(test.send_from(HERE, &key).await.is_replay());
    }
    assert_eq!(test.send_from(HERE, &[]).await.status, 200);
    // The key is not touched by a refusal: later, its answer is still there.
    assert_eq!(test.send_from(HERE, &key).await.status, 429);
    let id = paid.body()["payment_id"].as_str().unwrap().to_owned();
    for path in [&format!("/v1/payments/{id}"), "/", "/status", "/health"] {
        let address: SocketAddr = HERE.parse().unwrap();
        let look = Request::get(path).extension(ConnectInfo(address));
        let look = look.body(Body::empty()).unwrap();
        let found = test.http().oneshot(look).await.unwrap();
        assert_eq!(found.status(), StatusCode::OK, "{path}");
        assert!(!found.headers().contains_key("ratelimit"), "{path}");
    }
    sleep(30 * SECOND).await;
    let again = test.send_from(HERE, &key).await;
    assert_eq!((again.status, again.bytes), (200, paid.bytes));
}

#[tokio::test(start_paused = true)]
async fn payment_that_finds_no_slot_costs_its_caller_nothing() {
    let test = limited("2/m", 0);
    let holding = test.fill_the_slots();
    settle_down().await;
    for _ in 0..5 {
        test.send_from(HERE, &[]).await.assert_problem(503, "shed");
    }
    for held in holding {
        held.abort();
    }
    settle_down().await;
    for status in [200, 200, 429] {
        assert_eq!(test.send_from(HERE, &[]).await.status, status);
    }
}

#[tokio::test(start_paused = true)]
async fn what_can_be_missed_gives_way_first() {
    let test = Test::start(1);
    let holding = test.hold_slots(40);
    settle_down().await;
    let class = |class| [("x-criticality", class)];
    let refused = test.send(&class("sheddable"), VISA).await;
    refused.assert_problem(503, "shed");
    assert!(retry_after::read(&refused.headers, std::time::SystemTime::now).is_some());
    let mut request = tonic::Request::new(visa_over_grpc());
    let metadata = request.metadata_mut();
    metadata.insert("x-criticality", "sheddable".parse().unwrap());
    let refused = test.grpc().create_payment(request).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable);

    for said in ["sheddable-plus", "critical", "garbage"] {
        assert_eq!(test.send(&class(said), VISA).await.status, 200, "{said}");
    }
    // The class of a payment with a key is its caller's, too.
    let keyed = [("x-criticality", "sheddable"), ("idempotency-key", "k")];
    assert_eq!(test.send(&keyed, VISA).await.status, 503);
    drop(holding);
}

#[tokio::test(start_paused = true)]
async fn upstreams_are_told_how_important_a_payment_is_and_no_stranger_decides_that() {
    for (said, told) in [
        ("sheddable", "sheddable"),
        ("critical-plus", "critical"),
        ("garbage", "critical"),
    ] {
        let test = Test::start(1);
        assert_eq!(
            test.send(&[("x-criticality", said)], VISA).await.status,
            200
        );
        assert_eq!(test.told("x-criticality"), [told], "{said}");
    }
}
