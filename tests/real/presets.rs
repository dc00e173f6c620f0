//! The facade's presets, as a user takes them, against each other.

use axum::Router;
use axum::body::Body;
use axum::routing::get;
use http::{Request, StatusCode};
use seaworthy::circuit_breaker::State;
use seaworthy::http::RespondLayer;
use seaworthy::{RejectionKind, client, server};
use seaworthy_tests::echo::v1::echo_client::EchoClient;
use seaworthy_tests::echo::{Ping, Script, ping, pong};
use seaworthy_tests::{Answer, Gate, Protocol, Server, within};
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
    request.set_timeout(std::time::Duration::from_millis(300));
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
