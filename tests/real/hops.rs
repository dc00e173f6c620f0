//! The deadline over several servers: each sees less time than the one before, and none works on when it is over.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::routing::get;
use http::{Request, StatusCode};
use seaworthy::timeout::deadline;
use seaworthy_tests::echo::{Ping, Script, ping, pong};
use seaworthy_tests::{Answer, Gate, Protocol, Server, within};
use tonic::Code;
use tower::ServiceExt;

use crate::stack::{Habits, Limits, Served, hyper_stack, idle, serve, serve_tonic, tonic_stack};

const ONCE: Habits = Habits {
    attempts: 1,
    backoff: Duration::from_millis(1),
    running: 8,
    failures: 100,
    attempt_timeout: crate::stack::AGES,
};

/// What each server had left, in nanoseconds, the first one first.
type Left = Arc<Mutex<Vec<u128>>>;

fn note(left: &Left) {
    let nanos = deadline::remaining().expect("a deadline").as_nanos();
    left.lock().unwrap().push(nanos);
}

/// A server that calls the next one, if there is one, through a client's stack, and answers what that says.
async fn hop(protocol: Protocol, left: &Left, next: Option<&Server>, gate: Option<Gate>) -> Served {
    let client = hyper_stack(protocol, ONCE).service;
    let next = next.map(|next| next.url("/"));
    let left = left.clone();
    let handler = move || {
        let (client, next, gate) = (client.clone(), next.clone(), gate.clone());
        let left = left.clone();
        async move {
            note(&left);
            if let Some(gate) = gate {
                gate.pass().await;
            }
            let Some(next) = next else {
                return StatusCode::OK;
            };
            let request = Request::get(next).body(Body::empty()).unwrap();
            match client.oneshot(request).await {
                Ok(response) => Answer::read(response).await.status,
                Err(_) => StatusCode::BAD_GATEWAY,
            }
        }
    };
    let routes = Router::new().route("/", get(handler));
    serve(routes, Limits::default()).await
}

async fn chain(protocol: Protocol, left: &Left, gate: Option<Gate>) -> [Served; 3] {
    let c = hop(protocol, left, None, gate).await;
    let b = hop(protocol, left, Some(&c.server), None).await;
    let a = hop(protocol, left, Some(&b.server), None).await;
    [a, b, c]
}

#[tokio::test]
async fn every_server_sees_less_time_than_the_one_before() {
    for protocol in Protocol::ALL {
        let left = Left::default();
        let [a, b, c] = chain(protocol, &left, None).await;
        let mut request = a.server.get("/");
        let given = "5000".parse().unwrap();
        request.headers_mut().insert("x-request-timeout-ms", given);
        assert_eq!(protocol.send(request).await.status, StatusCode::OK);
        let seen = std::mem::take(&mut *left.lock().unwrap());
        assert_eq!(seen.len(), 3);
        let five = Duration::from_secs(5).as_nanos();
        assert!(seen[0] <= five, "{seen:?}");
        assert!(seen.is_sorted_by(|one, next| one > next), "{seen:?}");
        assert!(seen[2] > 0);
        for served in [a, b, c] {
            idle(&served.bulkhead).await;
        }
    }
}

#[tokio::test]
async fn deadline_that_passes_far_behind_frees_every_server() {
    for protocol in Protocol::ALL {
        let left = Left::default();
        let gate = Gate::closed();
        let [a, b, c] = chain(protocol, &left, Some(gate.clone())).await;
        let mut request = a.server.get("/");
        let given = "1000".parse().unwrap();
        request.headers_mut().insert("x-request-timeout-ms", given);
        let call = tokio::spawn(protocol.send(request));
        gate.arrivals(1).await;
        for served in [&a, &b, &c] {
            assert_eq!(served.bulkhead.snapshot().running, 1);
        }
        // Nobody ever opens the gate.
        let answer = within("the deadline", call).await.unwrap();
        assert!(
            [StatusCode::GATEWAY_TIMEOUT, StatusCode::BAD_GATEWAY].contains(&answer.status),
            "{}",
            answer.status
        );
        for served in [a, b, c] {
            idle(&served.bulkhead).await;
        }
    }
}

#[tokio::test]
async fn grpc_timeout_travels_on_as_what_is_left() {
    let left = Left::default();
    let told = Arc::new(Mutex::new(Vec::new()));
    let last = Script::echo().unary({
        let (left, told) = (left.clone(), told.clone());
        move |_, request: tonic::Request<Ping>| {
            note(&left);
            let timeout = request.metadata().get("grpc-timeout").cloned();
            told.lock().unwrap().push(timeout.unwrap());
            async move { Ok(pong(0, request.into_inner())) }
        }
    });
    let last = serve_tonic(last.routes(), Limits::default()).await;
    let client = tonic_stack(&last.server, ONCE).client;
    let first = Script::echo().unary({
        let (left, told) = (left.clone(), told.clone());
        move |_, request: tonic::Request<Ping>| {
            note(&left);
            let timeout = request.metadata().get("grpc-timeout").cloned();
            told.lock().unwrap().push(timeout.unwrap());
            let mut client = client.clone();
            async move { Ok(client.unary(request.into_inner()).await?.into_inner()) }
        }
    });
    let first = serve_tonic(first.routes(), Limits::default()).await;
    let mut caller = tonic_stack(&first.server, ONCE).client;
    let mut request = tonic::Request::new(ping(1));
    request.set_timeout(Duration::from_secs(5));
    assert!(caller.unary(request).await.is_ok());

    let left = left.lock().unwrap().clone();
    assert!(left.is_sorted_by(|one, next| one > next), "{left:?}");
    assert!(left[0] <= Duration::from_secs(5).as_nanos());
    let told: Vec<_> = told.lock().unwrap().iter().map(micros).collect();
    assert_eq!(told.len(), 2);
    assert!(told[0] <= 5_000_000 && told[1] < told[0], "{told:?}");
}

/// A `grpc-timeout` in microseconds.
fn micros(value: &tonic::metadata::MetadataValue<tonic::metadata::Ascii>) -> u64 {
    let text = value.to_str().unwrap();
    let (number, unit) = text.split_at(text.len() - 1);
    let number: u64 = number.parse().unwrap();
    match unit {
        "u" => number,
        "m" => number * 1_000,
        "S" => number * 1_000_000,
        other => panic!("unit {other}"),
    }
}

#[tokio::test]
async fn grpc_call_whose_second_hop_hangs_ends_at_the_deadline() {
    let gate = Gate::closed();
    let hanging = Script::echo().unary({
        let gate = gate.clone();
        move |_, request: tonic::Request<Ping>| {
            let gate = gate.clone();
            async move {
                gate.pass().await;
                Ok(pong(0, request.into_inner()))
            }
        }
    });
    let last = serve_tonic(hanging.routes(), Limits::default()).await;
    let client = tonic_stack(&last.server, ONCE).client;
    let first = Script::echo().unary(move |_, request: tonic::Request<Ping>| {
        let mut client = client.clone();
        async move { Ok(client.unary(request.into_inner()).await?.into_inner()) }
    });
    let first = serve_tonic(first.routes(), Limits::default()).await;
    let mut caller = tonic_stack(&first.server, ONCE).client;
    let mut request = tonic::Request::new(ping(1));
    request.set_timeout(Duration::from_secs(1));
    let call = tokio::spawn(async move { caller.unary(request).await });
    gate.arrivals(1).await;
    let status = within("the deadline", call).await.unwrap().unwrap_err();
    assert!(
        // tonic's own timer on the way may be the first, and says so in its own words.
        [Code::DeadlineExceeded, Code::Cancelled, Code::Unavailable].contains(&status.code()),
        "{status:?}"
    );
    idle(&first.bulkhead).await;
    idle(&last.bulkhead).await;
}
