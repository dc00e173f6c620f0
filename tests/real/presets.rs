//! The facade's presets, as a user takes them, against each other.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::routing::get;
use http::{Request, StatusCode};
use seaworthy::circuit_breaker::State;
use seaworthy::hedge::BudgetConfig;
use seaworthy::http::{RespondLayer, key};
use seaworthy::rate_limit::Quota;
use seaworthy::{RejectionKind, client, server};
use seaworthy_tests::echo::v1::echo_client::EchoClient;
use seaworthy_tests::echo::{Ping, Script, ping, pong};
use seaworthy_tests::{Answer, Gate, Protocol, Server, Upstream, eventually, within};
use tonic::Code;
use tonic::transport::Endpoint;
use tower::{Layer, Service, ServiceExt};

use crate::stack::{boxed, idle, rejected};

#[tokio::test]
async fn presets_of_both_sides_work_together_over_http() {
    for protocol in Protocol::ALL {
        let gate = Gate::closed();
        let handler = {
            let gate = gate.clone();
            move || async move {
                gate.pass().await;
                "served"
            }
        };
        let inside = server("payments")
            .http()
            .bulkhead(|bulkhead| bulkhead.max_concurrent(1))
            .build()
            .unwrap();
        let routes = Router::new().route("/", get(handler)).layer(inside.clone());
        let served = Server::axum(routes).await;
        let outside = client("payments")
            .http()
            .retry(|retry| retry.max_attempts(1))
            .build()
            .unwrap();
        let service = boxed(outside.layer(protocol.hyper()));
        let call = tokio::spawn(service.clone().oneshot(served.get("/")));
        gate.arrivals(1).await;
        let refused = service.clone().oneshot(served.get("/")).await.unwrap();
        let refused = Answer::read(refused).await;
        assert_eq!(refused.problem(), (503, "bulkhead_full".to_owned()));

        let drain = inside.drain();
        let refused = protocol.send(served.get("/")).await;
        assert_eq!(refused.problem(), (503, "draining".to_owned()));
        gate.open();
        let answer = Answer::read(call.await.unwrap().unwrap()).await;
        assert_eq!(answer.body, "served");
        within("the drain", drain).await;

        within("the drain", outside.drain()).await;
        let refused = service.oneshot(served.get("/")).await.unwrap_err();
        assert_eq!(rejected(&refused), RejectionKind::Draining);
        idle(&inside.bulkhead()).await;
        idle(&outside.bulkhead()).await;
    }
}

#[tokio::test]
async fn preset_around_reqwest_opens_its_circuit_and_says_so() {
    let layer = client("payments")
        .reqwest()
        .retry(|retry| retry.max_attempts(1))
        .circuit_breaker(|circuit| circuit.window_calls(10).minimum_calls(4))
        .build()
        .unwrap();
    let routes = Router::new().route("/", get(|| async { StatusCode::BAD_GATEWAY }));
    let served = Server::axum(routes).await;
    let mut service = layer.layer(Protocol::Http1.reqwest());
    let get = || reqwest::Request::new(reqwest::Method::GET, served.url("/").parse().unwrap());
    for _ in 0..4 {
        let service = service.ready().await.unwrap();
        let response = service.call(get()).await.unwrap();
        assert_eq!(response.status(), StatusCode::BAD_GATEWAY);
    }
    assert_eq!(layer.circuit_breaker().state(), State::Open);
    let refused = service.ready().await.unwrap().call(get()).await;
    assert_eq!(rejected(&refused.unwrap_err()), RejectionKind::CircuitOpen);
}

#[tokio::test]
async fn presets_of_both_sides_work_together_over_grpc() {
    let script = Script::echo().unary(|number, request: tonic::Request<Ping>| async move {
        match number {
            1 => Err(tonic::Status::unavailable("not yet")),
            2 => Ok(pong(2, request.into_inner())),
            _ => std::future::pending().await,
        }
    });
    let inside = server("payments").http().build().unwrap();
    let served = Server::tonic(inside.clone(), script.routes()).await;
    let outside = client("payments")
        .http()
        .retry(|retry| retry.retry_any_method(true).body(tonic::body::Body::new))
        .build()
        .unwrap();
    let channel = Endpoint::from_shared(served.url(""))
        .unwrap()
        .connect_lazy();
    let service = RespondLayer::in_client().layer(outside.layer(channel));
    let mut echo = EchoClient::new(service);
    let answer = echo.unary(ping(1)).await.unwrap().into_inner();
    assert_eq!(answer.number, 2, "the second attempt");

    let mut request = tonic::Request::new(ping(1));
    request.set_timeout(Duration::from_millis(300));
    let status = within("the deadline", echo.unary(request))
        .await
        .unwrap_err();
    assert!(
        [Code::DeadlineExceeded, Code::Unavailable, Code::Cancelled].contains(&status.code()),
        "{status:?}"
    );
    idle(&outside.bulkhead()).await;
    idle(&inside.bulkhead()).await;
}

#[tokio::test]
async fn request_type_of_a_preset_is_whatever_the_client_takes() {
    let layer = client("payments").http().build().unwrap();
    let served = Server::hyper(tower::service_fn(|request: Request<_>| async move {
        Ok::<_, std::convert::Infallible>(http::Response::new(request.into_body()))
    }))
    .await;
    let service = layer.layer(Protocol::Http2.hyper());
    let full = http_body_util::Full::new(bytes::Bytes::from_static(b"full"));
    let put = served.request("PUT", "/", full);
    let answer = Answer::read(service.oneshot(put).await.unwrap()).await;
    assert_eq!(answer.body, "full");
    let empty: Request<Body> = served.get("/");
    let service = layer.layer(Protocol::Http1.hyper());
    let answer = Answer::read(service.oneshot(empty).await.unwrap()).await;
    assert!(answer.body.is_empty());
}

#[tokio::test]
async fn rate_limit_of_a_preset_refuses_before_a_slot_is_taken() {
    for protocol in Protocol::ALL {
        let gate = Gate::closed();
        let handler = {
            let gate = gate.clone();
            move || async move { gate.pass().await }
        };
        let by_account = key::header("x-account".parse().unwrap());
        let inside = server("payments")
            .http()
            .rate_limit(|limit| {
                let limit = limit.quota(Quota::per_hour(1)).announce();
                limit.keyed(NonZeroUsize::MIN.saturating_add(9), by_account)
            })
            .bulkhead(|bulkhead| bulkhead.max_concurrent(1))
            .build()
            .unwrap();
        let routes = Router::new().route("/", get(handler)).layer(inside.clone());
        let served = Server::axum(routes).await;
        let of = |account: &'static str| {
            let mut request = served.get("/");
            request
                .headers_mut()
                .insert("x-account", account.parse().unwrap());
            request
        };
        let first = tokio::spawn(protocol.hyper().request(of("a")));
        gate.arrivals(1).await;
        let refused = protocol.send(of("a")).await;
        assert_eq!(refused.problem(), (429, "rate_limited".to_owned()));
        // The edge adds up to a tenth.
        let wait: u32 = refused.header("retry-after").parse().unwrap();
        assert!((3600..=3960).contains(&wait), "{wait}");
        let left = refused.header("ratelimit");
        assert!(left.starts_with(r#""payments";r=0;t=3"#), "{left}");
        // Another account has its quota, and no slot: it may come again.
        for _ in 0..2 {
            let refused = protocol.send(of("b")).await;
            assert_eq!(refused.problem(), (503, "bulkhead_full".to_owned()));
        }
        gate.open();
        assert_eq!(
            Answer::read(first.await.unwrap().unwrap()).await.status,
            200
        );
        idle(&inside.bulkhead()).await;
        assert_eq!(protocol.send(of("b")).await.status, 200);
    }
}

#[tokio::test]
async fn class_of_a_request_is_seen_by_the_adaptive_limit_of_a_preset() {
    for protocol in Protocol::ALL {
        let gate = Gate::closed();
        let handler = {
            let gate = gate.clone();
            move || async move { gate.pass().await }
        };
        let inside = server("payments")
            .http()
            .criticality(|class| class)
            .adaptive(|adaptive| adaptive.initial(5).min(5).max(5))
            .without_bulkhead()
            .build()
            .unwrap();
        let routes = Router::new().route("/", get(handler)).layer(inside.clone());
        let served = Server::axum(routes).await;
        let of = |class: &'static str| {
            let mut request = served.get("/");
            let class = class.parse().unwrap();
            request.headers_mut().insert("x-criticality", class);
            request
        };
        let call = |class| tokio::spawn(protocol.hyper().request(of(class)));
        let held: Vec<_> = (0..4).map(|_| call("critical")).collect();
        gate.arrivals(4).await;
        let refused = protocol.send(of("sheddable")).await;
        assert_eq!(refused.problem(), (503, "shed".to_owned()));
        let last = call("critical");
        gate.arrivals(1).await;
        gate.open();
        for call in held.into_iter().chain([last]) {
            assert_eq!(call.await.unwrap().unwrap().status(), StatusCode::OK);
        }
    }
}

#[tokio::test]
async fn hedge_of_a_preset_leaves_nothing_in_the_budget_for_a_retry() {
    for protocol in Protocol::ALL {
        let gate = Gate::closed();
        let upstream = Upstream::start({
            let gate = gate.clone();
            move |seen| {
                let gate = gate.clone();
                async move {
                    // The first is slow, until the second has failed.
                    match seen.number {
                        1 => gate.pass().await,
                        _ => gate.open(),
                    }
                    let failed = http::Response::builder().status(503);
                    failed.body(Body::empty()).unwrap()
                }
            }
        })
        .await;
        let one_for_each_call = BudgetConfig::default().share(1.0).floor(0);
        let outside = client("stock")
            .http()
            .retry(|retry| retry.budget(one_for_each_call))
            .hedge(|hedge| hedge.delay(Duration::from_millis(20)).budget(None))
            .build()
            .unwrap();
        let service = boxed(outside.layer(protocol.hyper()));
        let answer = service.oneshot(upstream.server().get("/")).await.unwrap();
        assert_eq!(Answer::read(answer).await.status, 503);
        assert_eq!(upstream.hits(), 2);
        assert_eq!(outside.hedge().snapshot().hedges, 1);
        let retry = outside.retry().snapshot();
        assert_eq!((retry.retries, retry.gave_up), (0, 1));
        assert_eq!(outside.circuit_breaker().snapshot().failures, 2);
    }
}

#[tokio::test]
async fn deadline_of_a_preset_ends_the_call_and_its_hedge() {
    for protocol in Protocol::ALL {
        // Not by a clone in the server, of which each connection has another.
        let living: &'static Arc<()> = Box::leak(Box::default());
        let upstream = Upstream::start(|_| async {
            let lives = living.clone();
            std::future::pending::<()>().await;
            drop(lives);
            http::Response::new(Body::empty())
        })
        .await;
        let ms = Duration::from_millis;
        let outside = client("stock")
            .http()
            .total_timeout(ms(400))
            .timeout(|timeout| timeout.limit(ms(390)))
            .hedge(|hedge| hedge.delay(ms(20)).budget(None))
            .build()
            .unwrap();
        let service = boxed(outside.layer(protocol.hyper()));
        let late = service
            .oneshot(upstream.server().get("/"))
            .await
            .unwrap_err();
        assert_eq!(rejected(&late), RejectionKind::TimedOut);
        assert_eq!(outside.hedge().snapshot().hedges, 1);
        // The servers of both are told, by the end of their connections or streams.
        eventually("nobody works for it", || Arc::strong_count(living) == 1).await;
    }
}
