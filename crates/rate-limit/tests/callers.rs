//! A server of axum's that limits per caller, over real sockets: who is told apart, who is not, and what each is told.

use std::net::SocketAddr;
use std::num::NonZeroUsize;

use axum::Router;
use axum::extract::ConnectInfo;
use axum::routing::get;
use http::Extensions;
use seaworthy_http::RespondLayer;
use seaworthy_http::forwarded::{Builder, Callers, ForwardedField};
use seaworthy_rate_limit::{Quota, RateLimitLayer};

fn peer(extensions: &Extensions) -> Option<std::net::IpAddr> {
    let info: &ConnectInfo<SocketAddr> = extensions.get()?;
    Some(info.0.ip())
}

type Peer = fn(&Extensions) -> Option<std::net::IpAddr>;

/// Two a minute for each caller; gives the address of the server.
async fn server(callers: Builder<Peer>) -> String {
    let callers = callers.build().expect("valid options");
    let limit = RateLimitLayer::http("api")
        .quota(Quota::per_minute(2))
        .announce()
        .keyed(
            NonZeroUsize::new(100).expect("above zero"),
            callers.into_key(),
        )
        .build()
        .expect("valid options");
    let router = Router::new()
        .route("/", get(async || "fine"))
        .layer((RespondLayer::new().x_rate_limit(true), limit))
        .into_make_service_with_connect_info::<SocketAddr>();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    tokio::spawn(async move { axum::serve(listener, router).await });
    format!("http://{address}/")
}

async fn ask(url: &str, forwarded_for: &str) -> reqwest::Response {
    let request = reqwest::Client::new().get(url);
    let request = request.header("x-forwarded-for", forwarded_for);
    request.send().await.expect("the server answers")
}

#[tokio::test]
async fn caller_that_makes_up_addresses_has_one_quota_and_is_told_of_it() {
    let url = server(Callers::by_peer(peer as Peer)).await;
    for left in [1, 0] {
        let response = ask(&url, &format!("192.0.2.{left}")).await;
        assert_eq!(response.status(), 200);
        let headers = response.headers();
        assert_eq!(headers["ratelimit-policy"], r#""api";q=2;w=60"#);
        let said = headers["ratelimit"].to_str().unwrap();
        assert!(said.starts_with(&format!(r#""api";r={left};t="#)), "{said}");
        assert_eq!(headers["x-ratelimit-remaining"], left.to_string());
    }
    let refused = ask(&url, "192.0.2.77").await;
    assert_eq!(refused.status(), 429);
    let headers = refused.headers();
    assert_eq!(headers["content-type"], "application/problem+json");
    let after: u64 = headers["retry-after"].to_str().unwrap().parse().unwrap();
    assert!(
        (1..=33).contains(&after),
        "one comes each half minute, and a tenth is added by a draw"
    );
    let said = headers["ratelimit"].to_str().unwrap();
    let until: u64 = said
        .strip_prefix(r#""api";r=0;t="#)
        .unwrap()
        .parse()
        .unwrap();
    assert!((1..=after).contains(&until));
    let problem = refused.text().await.unwrap();
    assert!(
        problem.contains("http-problem-types#quota-exceeded"),
        "{problem}"
    );
    assert!(
        problem.contains(r#""violated-policies":["api"]"#),
        "{problem}"
    );
}

#[tokio::test]
async fn callers_behind_a_trusted_proxy_have_a_quota_each() {
    let callers = Callers::by_peer(peer as Peer).behind_networks(
        ForwardedField::XForwardedFor,
        ["127.0.0.0/8".parse().unwrap()],
    );
    let url = server(callers).await;
    for _ in 0..2 {
        assert_eq!(ask(&url, "192.0.2.1").await.status(), 200);
    }
    // What the caller sent to the proxy stands to the left of what the proxy saw.
    assert_eq!(ask(&url, "203.0.113.5, 192.0.2.1").await.status(), 429);
    assert_eq!(ask(&url, "192.0.2.2").await.status(), 200);
    // Of IPv6 one network is one caller.
    for host in 1..=2 {
        assert_eq!(ask(&url, &format!("2001:db8::{host}")).await.status(), 200);
    }
    assert_eq!(ask(&url, "2001:db8::3").await.status(), 429);
    assert_eq!(ask(&url, "2001:db8:0:1::3").await.status(), 200);
}
