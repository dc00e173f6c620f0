//! What is changed while calls run, and what callers do who are slow instead of gone.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::routing::{any, get};
use bytes::Bytes;
use futures_util::future::join_all;
use http::{Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::BodyExt;
use seaworthy::http::RespondLayer;
use seaworthy::kit::testing::Recorder;
use seaworthy::timeout::TimeoutLayer;
use seaworthy::{Outcome, RejectionKind};
use seaworthy_tests::{Frames, Gate, Protocol, Server, eventually, within};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tower::{Layer, ServiceExt};

use crate::stack::{Limits, SHORT, Served, boxed, idle, is_idle, rejected, serve};

/// A server whose handlers wait at the gate.
async fn waiting(gate: &Gate, limits: Limits) -> Served {
    let handler = {
        let gate = gate.clone();
        move || async move { gate.pass().await }
    };
    serve(Router::new().route("/", get(handler)), limits).await
}

fn crowd(served: &Served, protocol: Protocol, count: usize) -> Vec<tokio::task::JoinHandle<u16>> {
    let calls = (0..count).map(|_| {
        let request = served.server.get("/");
        tokio::spawn(async move { protocol.send(request).await.status.as_u16() })
    });
    calls.collect()
}

async fn statuses(calls: Vec<tokio::task::JoinHandle<u16>>) -> Vec<u16> {
    let all = within("every request is answered", join_all(calls)).await;
    all.into_iter().map(Result::unwrap).collect()
}

#[tokio::test]
async fn limit_that_shrinks_and_grows_under_load_loses_no_slot() {
    for protocol in Protocol::ALL {
        let gate = Gate::closed();
        let limits = Limits {
            running: 8,
            waiting: 24,
            ..Limits::default()
        };
        let served = waiting(&gate, limits).await;
        let calls = crowd(&served, protocol, 32);
        gate.arrivals(8).await;
        eventually("the rest waits", || {
            served.bulkhead.snapshot().waiting == 24
        })
        .await;
        served.bulkhead.set_limit(2).unwrap();
        // Six of the eight end without a successor.
        gate.let_through(6);
        eventually("two are left", || served.bulkhead.snapshot().running == 2).await;
        assert_eq!(served.bulkhead.snapshot().waiting, 24);
        served.bulkhead.set_limit(12).unwrap();
        gate.arrivals(10).await;
        assert_eq!(served.bulkhead.snapshot().running, 12);
        served.bulkhead.set_limit(3).unwrap();
        gate.open();
        assert_eq!(statuses(calls).await, [200; 32]);
        idle(&served.bulkhead).await;
        assert_eq!(served.bulkhead.snapshot().limit, 3);
    }
}

#[tokio::test]
async fn calls_that_are_let_through_without_a_slot_give_none_back() {
    for protocol in Protocol::ALL {
        let gate = Gate::closed();
        let limits = Limits {
            running: 2,
            ..Limits::default()
        };
        let served = waiting(&gate, limits).await;
        let events = Recorder::new();
        served.bulkhead.subscribe(events.listener()).forever();
        served.bulkhead.control().observe_only(true);
        let calls = crowd(&served, protocol, 16);
        gate.arrivals(16).await;
        assert_eq!(events.refused(false), 14);
        assert_eq!(served.bulkhead.snapshot().running, 2);
        served.bulkhead.control().observe_only(false);
        let refused = protocol.send(served.server.get("/")).await;
        assert_eq!(refused.problem(), (503, "bulkhead_full".to_owned()));
        gate.open();
        assert_eq!(statuses(calls).await, [200; 16]);
        idle(&served.bulkhead).await;
        assert_eq!(served.bulkhead.snapshot().limit, 2);
        within("the drain", served.bulkhead.drain()).await;
    }
}

#[tokio::test]
async fn queue_is_served_in_order_and_never_over_the_limit() {
    for protocol in Protocol::ALL {
        let (running, peak) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let handler = {
            let (running, peak) = (running.clone(), peak.clone());
            move || async move {
                let now = running.fetch_add(1, Ordering::SeqCst) + 1;
                peak.fetch_max(now, Ordering::SeqCst);
                for _ in 0..5 {
                    tokio::task::yield_now().await;
                }
                running.fetch_sub(1, Ordering::SeqCst);
            }
        };
        let limits = Limits {
            running: 3,
            waiting: 61,
            ..Limits::default()
        };
        let served = serve(Router::new().route("/", get(handler)), limits).await;
        let calls = crowd(&served, protocol, 64);
        assert_eq!(statuses(calls).await, [200; 64]);
        assert!((1..=3).contains(&peak.load(Ordering::SeqCst)));
        idle(&served.bulkhead).await;
    }
}

#[tokio::test]
async fn wait_for_a_slot_ends_with_the_queue_s_time_or_the_caller_s() {
    for protocol in Protocol::ALL {
        let gate = Gate::closed();
        let limits = Limits {
            running: 1,
            waiting: 4,
            max_wait: Duration::from_millis(300),
            ..Limits::default()
        };
        let served = waiting(&gate, limits).await;
        let first = crowd(&served, protocol, 1);
        gate.arrivals(1).await;
        let patient = protocol.send(served.server.get("/"));
        let mut hurried = served.server.get("/");
        let millis = "50".parse().unwrap();
        hurried.headers_mut().insert("x-request-timeout-ms", millis);
        let (patient, hurried) = futures_util::future::join(patient, protocol.send(hurried)).await;
        assert_eq!(patient.problem(), (503, "queue_timeout".to_owned()));
        assert_eq!(hurried.problem(), (504, "deadline_exceeded".to_owned()));
        assert_eq!(served.bulkhead.snapshot().waiting, 0);
        gate.open();
        assert_eq!(statuses(first).await, [200]);
        idle(&served.bulkhead).await;
    }
}

#[tokio::test]
async fn upload_that_never_goes_on_is_cut() {
    for protocol in Protocol::ALL {
        let handler = |body: Bytes| async move { body };
        let limits = Limits {
            running: 1,
            timeout: SHORT,
            ..Limits::default()
        };
        let served = serve(Router::new().route("/", any(handler)), limits).await;
        let (sender, body) = Frames::channel();
        sender
            .send(Ok(Frame::data(Bytes::from_static(b"half"))))
            .unwrap();
        let request = served.server.request("PUT", "/", Body::new(body));
        let call = tokio::spawn(async move { protocol.hyper().request(request).await });
        idle_after_running(&served).await;
        // The answer may be lost with the connection, on which the rest of the body was due.
        if let Ok(response) = within("an end", call).await.unwrap() {
            assert_eq!(response.status(), StatusCode::GATEWAY_TIMEOUT);
        }
        assert_eq!(served.timeout.snapshot().timeouts, 1);
    }
}

/// Waits until a call was cut, and its slot is free.
async fn idle_after_running(served: &Served) {
    eventually("a call is cut", || served.timeout.snapshot().timeouts == 1).await;
    idle(&served.bulkhead).await;
}

#[tokio::test]
async fn body_that_stalls_is_cut_on_the_server_and_seen_as_broken_by_the_client() {
    for protocol in Protocol::ALL {
        let (sender, body) = Frames::channel();
        let body = Arc::new(std::sync::Mutex::new(Some(body)));
        let timeout = TimeoutLayer::http("server").idle(SHORT).build().unwrap();
        let stack = tower::ServiceBuilder::new()
            .layer(RespondLayer::new())
            .layer(timeout);
        let handler = move || async move { Body::new(body.lock().unwrap().take().unwrap()) };
        let routes = Router::new().route("/", get(handler)).layer(stack);
        let server = Server::axum(routes).await;
        let client = crate::stack::hyper_stack(protocol, crate::stack::Habits::default());
        let events = Recorder::new();
        client.circuit.subscribe(events.listener()).forever();
        sender
            .send(Ok(Frame::data(Bytes::from_static(b"half"))))
            .unwrap();
        let response = client.send(server.get("/")).await.unwrap();
        let body = within("an end", response.into_body().collect()).await;
        assert!(body.is_err(), "half a body is no body, {protocol:?}");
        assert_eq!(events.outcomes(), [Outcome::Failure]);
        assert!(is_idle(&client.bulkhead));
        within("the handler's body is gone", sender.closed()).await;
    }
}

#[tokio::test]
async fn client_cuts_a_body_that_stalls_and_the_server_lets_go_of_it() {
    for protocol in Protocol::ALL {
        let (sender, body) = Frames::channel();
        let body = Arc::new(std::sync::Mutex::new(Some(body)));
        let handler = move || async move { Body::new(body.lock().unwrap().take().unwrap()) };
        let routes = Router::new().route("/", get(handler));
        let served = serve(routes, Limits::default()).await;
        let timeout = TimeoutLayer::http("client").idle(SHORT).build().unwrap();
        let service = boxed(timeout.layer(protocol.hyper()));
        sender
            .send(Ok(Frame::data(Bytes::from_static(b"half"))))
            .unwrap();
        let response = service.oneshot(served.server.get("/")).await.unwrap();
        let error = within("an end", response.into_body().collect()).await;
        let error: seaworthy::BoxError = error.unwrap_err().into_inner();
        assert_eq!(rejected(&error), RejectionKind::TimedOut);
        within("the server's body is gone", sender.closed()).await;
        idle(&served.bulkhead).await;
    }
}

#[tokio::test]
async fn refused_upload_is_not_asked_for_its_body() {
    let gate = Gate::closed();
    let limits = Limits {
        running: 1,
        ..Limits::default()
    };
    let handler = {
        let gate = gate.clone();
        move |body: Bytes| async move {
            gate.pass().await;
            body
        }
    };
    let served = serve(Router::new().route("/", any(handler)), limits).await;
    let expect =
        "PUT / HTTP/1.1\r\nhost: here\r\ncontent-length: 4\r\nexpect: 100-continue\r\n\r\n";
    let connect = || async {
        let mut socket = TcpStream::connect(served.server.address()).await.unwrap();
        socket.write_all(expect.as_bytes()).await.unwrap();
        let mut status = [0; 12];
        let read = within("a status", socket.read_exact(&mut status));
        read.await.unwrap();
        (socket, status)
    };
    let (mut first, status) = connect().await;
    assert_eq!(&status, b"HTTP/1.1 100");
    first.write_all(b"four").await.unwrap();
    gate.arrivals(1).await;
    let (_second, status) = connect().await;
    assert_eq!(&status, b"HTTP/1.1 503");
    gate.open();
    idle(&served.bulkhead).await;
}

#[tokio::test]
async fn call_that_waits_for_its_next_attempt_holds_no_slot() {
    let upstream = seaworthy_tests::Upstream::start(|seen| async move {
        let status = if seen.number == 1 { 503 } else { 200 };
        Response::builder()
            .status(status)
            .body(Body::from("not now"))
            .unwrap()
    })
    .await;
    let client = crate::stack::hyper_stack(
        Protocol::Http1,
        crate::stack::Habits {
            backoff: Duration::from_secs(600),
            ..crate::stack::Habits::default()
        },
    );
    let request: Request<Body> = upstream.server().get("/");
    let call = tokio::spawn(client.service.clone().oneshot(request));
    eventually("it waits", || client.retry.snapshot().retries == 1).await;
    idle(&client.bulkhead).await;
    assert_eq!(client.circuit.snapshot().in_flight, 0);
    call.abort();
    assert!(call.await.unwrap_err().is_cancelled());
    within("the drain", client.retry.drain()).await;
    assert_eq!(upstream.hits(), 1);
}
