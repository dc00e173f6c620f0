//! The class of a call over several servers: set at the first, seen by all, and who gives way first.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::routing::get;
use http::{Request, StatusCode};
use seaworthy::http::criticality::current;
use seaworthy::prelude::*;
use seaworthy_tests::echo::v1::echo_client::EchoClient;
use seaworthy_tests::echo::{Ping, Script, ping, pong};
use seaworthy_tests::{Answer, Protocol, Server};
use tower::{Service, ServiceBuilder, ServiceExt};

/// What each server saw, the first one first.
type Seen = Arc<Mutex<Vec<Option<Criticality>>>>;

/// A server that notes the class, calls the next one, if there is one, and answers what that says.
async fn hop(
    protocol: Protocol,
    layer: CriticalityLayer,
    seen: &Seen,
    next: Option<&Server>,
) -> Server {
    let client = ServiceBuilder::new()
        .layer(PropagateCriticalityLayer::http())
        .service(protocol.hyper::<Body>());
    let next = next.map(|next| next.url("/"));
    let seen = seen.clone();
    let handler = move || {
        let (client, next) = (client.clone(), next.clone());
        let seen = seen.clone();
        async move {
            seen.lock().unwrap().push(current());
            let Some(next) = next else {
                return StatusCode::OK;
            };
            let request = Request::get(next).body(Body::empty()).unwrap();
            Answer::read(client.oneshot(request).await.unwrap())
                .await
                .status
        }
    };
    let route = get(handler).layer(layer);
    Server::axum(Router::new().route("/", route)).await
}

#[tokio::test]
async fn class_is_set_at_the_first_server_and_seen_by_all() {
    for protocol in Protocol::ALL {
        let seen = Seen::default();
        let inner = || CriticalityLayer::new().trust(true);
        let last = hop(protocol, inner(), &seen, None).await;
        let middle = hop(protocol, inner(), &seen, Some(&last)).await;
        let first = hop(protocol, CriticalityLayer::new(), &seen, Some(&middle)).await;
        for (given, expected) in [
            (None, Criticality::Critical),
            (Some("sheddable-plus"), Criticality::SheddablePlus),
            (Some("critical-plus"), Criticality::Critical),
            (Some("much"), Criticality::Critical),
        ] {
            let mut request = first.get("/");
            if let Some(given) = given {
                let given = given.parse().unwrap();
                request.headers_mut().insert("x-criticality", given);
            }
            assert_eq!(protocol.send(request).await.status, StatusCode::OK);
            let seen = std::mem::take(&mut *seen.lock().unwrap());
            assert_eq!(seen, [Some(expected); 3], "{given:?}");
        }
    }
}

#[tokio::test]
async fn class_of_a_grpc_call_is_its_metadata() {
    let seen = Seen::default();
    let server = Script::echo().unary({
        let seen = seen.clone();
        move |_, request: tonic::Request<Ping>| {
            seen.lock().unwrap().push(current());
            let told = request.metadata().get("x-criticality").cloned();
            assert_eq!(told.unwrap(), "critical-plus");
            async move { Ok(pong(0, request.into_inner())) }
        }
    });
    let layer = CriticalityLayer::new().trust(true);
    let server = Server::tonic(layer, server.routes()).await;
    let channel = tonic::transport::Endpoint::from_shared(server.url("")).unwrap();
    let channel = ServiceBuilder::new()
        .layer(PropagateCriticalityLayer::http())
        .service(channel.connect_lazy());
    let mut client = EchoClient::new(channel);
    let call = client.unary(ping(0));
    seaworthy::http::criticality::scope(Criticality::CriticalPlus, call)
        .await
        .unwrap();
    assert_eq!(*seen.lock().unwrap(), [Some(Criticality::CriticalPlus)]);
}

#[tokio::test]
async fn client_holds_back_what_its_server_sheds_and_nothing_else() {
    // A server that is full of more important work.
    let shed = || async {
        match current() {
            Some(class) if class < Criticality::Critical => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::OK,
        }
    };
    let routes = Router::new().route("/", get(shed));
    let server = Server::axum(routes.layer(CriticalityLayer::new())).await;
    let throttle = ThrottleLayer::http("search").build().unwrap();
    let handle = throttle.handle();
    let mut client = ServiceBuilder::new()
        .layer(PropagateCriticalityLayer::http())
        .layer(throttle)
        .service(Protocol::Http1.hyper::<Body>());
    let mut shed_here = [0, 0];
    for call in 0..600 {
        let is_low = call % 2 == 0;
        let mut request = server.get("/");
        if is_low {
            request.extensions_mut().insert(Criticality::Sheddable);
        }
        let response = client.ready().await.unwrap().call(request).await;
        match response {
            Ok(response) => {
                let status = Answer::read(response).await.status;
                assert_eq!(status == StatusCode::OK, !is_low);
            }
            Err(error) => {
                let rejection = Rejection::find(&*error).unwrap();
                assert_eq!(rejection.kind(), RejectionKind::Shed);
                shed_here[usize::from(is_low)] += 1;
            }
        }
    }
    assert_eq!(shed_here[0], 0);
    assert!(shed_here[1] > 100, "of 300: {}", shed_here[1]);
    assert_eq!(handle.probability(Criticality::Critical), 0.0);
    assert_eq!(handle.probability(Criticality::Sheddable), 0.9);
}
