//! Ends that are meant, and ends that are not: draining under load, and handlers that panic.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::routing::get;
use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::join_all;
use http::StatusCode;
use http_body::Frame;
use http_body_util::BodyExt;
use seaworthy::kit::testing::Recorder;
use seaworthy::{Outcome, RejectionKind};
use seaworthy_tests::echo::{Ping, Script, ping, pong, retry_seconds};
use seaworthy_tests::{Frames, Gate, Protocol, eventually, within};
use tonic::{Code, Request};

use crate::stack::{
    Habits, Limits, hyper_stack, idle, is_idle, rejected, serve, serve_tonic, tonic_stack,
};

#[tokio::test]
async fn drain_waits_for_those_who_run_and_wait_and_refuses_the_rest() {
    for protocol in Protocol::ALL {
        let gate = Gate::closed();
        let handler = {
            let gate = gate.clone();
            move || async move { gate.pass().await }
        };
        let limits = Limits {
            running: 4,
            waiting: 4,
            ..Limits::default()
        };
        let served = serve(Router::new().route("/", get(handler)), limits).await;
        let calls: Vec<_> = (0..8)
            .map(|_| tokio::spawn(protocol.send(served.server.get("/"))))
            .collect();
        gate.arrivals(4).await;
        eventually("a full house", || served.bulkhead.snapshot().waiting == 4).await;

        let mut drain = Box::pin(served.bulkhead.drain());
        assert!((&mut drain).now_or_never().is_none());
        for refused in join_all((0..8).map(|_| protocol.send(served.server.get("/")))).await {
            assert_eq!(refused.problem(), (503, "draining".to_owned()));
            let closes = refused.headers.get("connection").map(|it| it == "close");
            let expected = (protocol == Protocol::Http1).then_some(true);
            assert_eq!(closes, expected, "{protocol:?}");
        }
        gate.let_through(7);
        gate.arrivals(4).await;
        eventually("one is left", || served.bulkhead.snapshot().running == 1).await;
        assert!((&mut drain).now_or_never().is_none());
        gate.let_through(1);
        within("the drain", drain).await;
        assert!(is_idle(&served.bulkhead));
        for call in calls {
            assert_eq!(call.await.unwrap().status, StatusCode::OK);
        }

        served.bulkhead.control().resume();
        gate.open();
        let again = protocol.send(served.server.get("/")).await;
        assert_eq!(again.status, StatusCode::OK);
    }
}

#[tokio::test]
async fn drain_waits_for_the_end_of_a_body() {
    for protocol in Protocol::ALL {
        let (sender, body) = Frames::channel();
        let body = Arc::new(std::sync::Mutex::new(Some(body)));
        let handler = move || async move { Body::new(body.lock().unwrap().take().unwrap()) };
        let routes = Router::new().route("/", get(handler));
        let served = serve(routes, Limits::default()).await;
        let data = |text: &'static str| Ok(Frame::data(Bytes::from_static(text.as_bytes())));
        sender.send(data("one")).unwrap();
        let client = protocol.hyper::<Body>();
        let response = client.request(served.server.get("/")).await.unwrap();
        let mut body = response.into_body();
        assert!(body.frame().await.unwrap().is_ok());

        let mut drain = Box::pin(served.bulkhead.drain());
        assert!((&mut drain).now_or_never().is_none());
        sender.send(data("two")).unwrap();
        assert!(body.frame().await.unwrap().is_ok());
        assert!((&mut drain).now_or_never().is_none());
        drop(sender);
        // HTTP/2 may say with an empty frame that nothing follows.
        assert!(body.collect().await.unwrap().to_bytes().is_empty());
        within("the drain", drain).await;
    }
}

#[tokio::test]
async fn drain_of_a_client_lets_its_calls_end() {
    for protocol in Protocol::ALL {
        let gate = Gate::closed();
        let handler = {
            let gate = gate.clone();
            move || async move { gate.pass().await }
        };
        let routes = Router::new().route("/", get(handler));
        let served = serve(routes, Limits::default()).await;
        let client = hyper_stack(protocol, Habits::default());
        let call = tokio::spawn({
            let (service, request) = (client.service.clone(), served.server.get("/"));
            tower::ServiceExt::oneshot(service, request)
        });
        gate.arrivals(1).await;
        let mut drains = [
            client.retry.drain().boxed(),
            client.circuit.drain().boxed(),
            client.bulkhead.drain().boxed(),
        ];
        for drain in &mut drains {
            assert!(drain.now_or_never().is_none());
        }
        let refused = client.send(served.server.get("/")).await.unwrap_err();
        assert_eq!(rejected(&refused), RejectionKind::Draining);
        gate.open();
        let response = call.await.unwrap().unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        drop(response);
        within("the drains", join_all(drains)).await;
    }
}

#[tokio::test]
async fn drain_over_grpc_refuses_with_unavailable() {
    let gate = Gate::closed();
    let script = Script::echo().unary({
        let gate = gate.clone();
        move |_, request: Request<Ping>| {
            let gate = gate.clone();
            async move {
                gate.pass().await;
                Ok(pong(0, request.into_inner()))
            }
        }
    });
    let served = serve_tonic(script.routes(), Limits::default()).await;
    let habits = Habits {
        attempts: 1,
        ..Habits::default()
    };
    let client = tonic_stack(&served.server, habits);
    let mut caller = client.client.clone();
    let call = tokio::spawn(async move { caller.unary(ping(1)).await });
    gate.arrivals(1).await;
    let mut drain = Box::pin(served.bulkhead.drain());
    let refused = client.client.clone().unary(ping(1)).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable);
    assert_eq!(retry_seconds(&refused), Some(1));
    assert!((&mut drain).now_or_never().is_none());
    gate.open();
    assert!(call.await.unwrap().is_ok());
    within("the drain", drain).await;
}

#[tokio::test]
async fn handler_that_panics_loses_no_slot() {
    for protocol in Protocol::ALL {
        let routes = Router::new()
            .route("/head", get(|| async { panic_now::<()>() }))
            .route(
                "/body",
                get(|| async { Body::new(Panicking { sent: false }) }),
            )
            .route("/", get(|| async { "well" }));
        let limits = Limits {
            running: 1,
            ..Limits::default()
        };
        let served = serve(routes, limits).await;
        let events = Recorder::new();
        served.bulkhead.subscribe(events.listener()).forever();
        let client = protocol.hyper::<Body>();
        for path in ["/head", "/body", "/head", "/body"] {
            // Nobody catches the panic: the connection dies, with it the stream.
            if let Ok(response) = client.request(served.server.get(path)).await {
                let body = within("an end", response.into_body().collect()).await;
                assert!(body.is_err(), "{path}, {protocol:?}");
            }
            idle(&served.bulkhead).await;
            assert_eq!(events.outcomes(), [Outcome::Failure], "{path}");
            drop(events.take());
        }
        assert_eq!(protocol.send(served.server.get("/")).await.body, "well");
        within("the drain", served.bulkhead.drain()).await;
    }
}

#[tokio::test]
async fn grpc_service_that_panics_loses_no_slot() {
    let script = Script::echo()
        .unary(|_, _| async { panic_now() })
        .stream(|_, _| {
            let numbers = tokio_stream::iter(0..3);
            Ok(Box::pin(futures_util::StreamExt::map(numbers, |number| {
                if number > 0 {
                    panic_now()
                }
                Ok(pong(number, ping(1)))
            })))
        });
    let limits = Limits {
        running: 1,
        ..Limits::default()
    };
    let served = serve_tonic(script.routes(), limits).await;
    let habits = Habits {
        attempts: 1,
        ..Habits::default()
    };
    let client = tonic_stack(&served.server, habits);
    assert!(client.client.clone().unary(ping(1)).await.is_err());
    idle(&served.bulkhead).await;
    if let Ok(stream) = client.client.clone().stream(ping(1)).await {
        let mut stream = stream.into_inner();
        while let Ok(Some(_)) = within("an end", stream.message()).await {}
    }
    idle(&served.bulkhead).await;
    assert!(is_idle(&client.bulkhead));
    assert_eq!(script.hits(), 2);
    within("the drain", served.bulkhead.drain()).await;
}

/// A panic where a value is expected.
fn panic_now<T>() -> T {
    panic!("as the test wants it")
}

/// Panics when it is asked for its second frame.
struct Panicking {
    sent: bool,
}

impl http_body::Body for Panicking {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        if self.sent {
            panic_now()
        }
        self.sent = true;
        let frame = Frame::data(Bytes::from_static(b"one"));
        std::task::Poll::Ready(Some(Ok(frame)))
    }
}
