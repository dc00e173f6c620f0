//! The deadline over several servers: each sees less time than the one before, and none works on when it is over.

use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::routing::get;
use http::{Request, Response, StatusCode};
use seaworthy::timeout::deadline;
use seaworthy_tests::echo::{Ping, Script, ping, pong};
use seaworthy_tests::{Answer, Gate, Protocol, Server, eventually, within};
use tonic::Code;
use tower::ServiceExt;

use crate::stack::{
    Boxed, Habits, Limits, Served, hyper_stack, idle, serve, serve_tonic, tonic_stack,
};

mod limited;

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

/// The last hop, axum: answers by the number of the call, and notes when its work is dropped.
async fn last_hop<F, Fut>(left: &Left, stopped: &Arc<AtomicU64>, answer: F) -> Served
where
    F: Fn(u64) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = StatusCode> + Send,
{
    let (left, stopped) = (left.clone(), stopped.clone());
    let calls = Arc::new(AtomicU64::new(0));
    let handler = move || {
        let stopped = Stopped(stopped.clone());
        let answer = answer(calls.fetch_add(1, Ordering::SeqCst) + 1);
        note(&left);
        async move {
            let _stopped = stopped;
            answer.await
        }
    };
    serve(Router::new().route("/", get(handler)), Limits::default()).await
}

/// What the middle hop does, in tonic: it asks the last one, through this client.
fn relay(left: &Left, last: &Served, client: Boxed<Request<Body>, Response<Body>>) -> Script {
    let (left, url) = (left.clone(), last.server.url("/"));
    Script::echo().unary(move |_, ping: tonic::Request<Ping>| {
        note(&left);
        let client = client.clone();
        let request = Request::get(&url).body(Body::empty()).unwrap();
        async move {
            let response = client.oneshot(request).await;
            let response = response.map_err(|_| tonic::Status::unavailable("no answer"))?;
            match Answer::read(response).await.status {
                StatusCode::OK => Ok(pong(0, ping.into_inner())),
                _ => Err(tonic::Status::unavailable("the last hop failed")),
            }
        }
    })
}

/// The first hop, axum within these limits, which calls the middle one.
async fn first_hop(limits: Limits, left: &Left, middle: &Server) -> Served {
    let client = tonic_stack(middle, ONCE).client;
    let left = left.clone();
    let handler = move || {
        note(&left);
        let mut client = client.clone();
        async move {
            match client.unary(ping(1)).await {
                Ok(_) => StatusCode::OK,
                Err(_) => StatusCode::BAD_GATEWAY,
            }
        }
    };
    serve(Router::new().route("/", get(handler)), limits).await
}

/// axum within these limits, which calls tonic, which calls axum; the last one waits at the gate, if there is one.
async fn mixed(
    limits: Limits,
    left: &Left,
    gate: Option<Gate>,
    stopped: &Arc<AtomicU64>,
) -> [Served; 3] {
    let last = last_hop(left, stopped, move |_| {
        let gate = gate.clone();
        async move {
            if let Some(gate) = gate {
                gate.pass().await;
            }
            StatusCode::OK
        }
    })
    .await;
    let client = hyper_stack(Protocol::Http1, ONCE).service;
    let middle = relay(left, &last, client).routes();
    let middle = serve_tonic(middle, Limits::default()).await;
    let first = first_hop(limits, left, &middle.server).await;
    [first, middle, last]
}

/// Counts handlers that are over, however they ended.
struct Stopped(Arc<AtomicU64>);

impl Drop for Stopped {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// Waits until the last handler was dropped, and no server has work any more.
async fn is_over(stopped: &AtomicU64, all: [Served; 3]) {
    eventually("the last handler is dropped", || {
        stopped.load(Ordering::SeqCst) == 1
    })
    .await;
    for served in all {
        idle(&served.bulkhead).await;
    }
}

fn with_milliseconds(served: &Served, given: &'static str) -> Request<Body> {
    let mut request = served.server.get("/");
    let given = http::HeaderValue::from_static(given);
    request.headers_mut().insert("x-request-timeout-ms", given);
    request
}

#[tokio::test]
async fn deadline_travels_from_http_over_grpc_to_http() {
    let left = Left::default();
    let stopped = Arc::default();
    let [a, b, c] = mixed(Limits::default(), &left, None, &stopped).await;
    let answer = Protocol::Http1.send(with_milliseconds(&a, "5000")).await;
    assert_eq!(answer.status, StatusCode::OK);
    let seen = left.lock().unwrap().clone();
    assert_eq!(seen.len(), 3);
    assert!(seen[0] <= Duration::from_secs(5).as_nanos(), "{seen:?}");
    assert!(seen.is_sorted_by(|one, next| one > next), "{seen:?}");
    for served in [a, b, c] {
        idle(&served.bulkhead).await;
    }
}

#[tokio::test]
async fn deadline_that_passes_behind_grpc_stops_the_work_behind_it() {
    let left = Left::default();
    let stopped = Arc::<AtomicU64>::default();
    let gate = Gate::closed();
    let [a, b, c] = mixed(Limits::default(), &left, Some(gate.clone()), &stopped).await;
    let call = tokio::spawn(Protocol::Http1.send(with_milliseconds(&a, "1000")));
    gate.arrivals(1).await;
    let answer = within("the deadline", call).await.unwrap();
    assert!(answer.status.is_server_error(), "{}", answer.status);
    is_over(&stopped, [a, b, c]).await;
}

#[tokio::test]
async fn work_behind_grpc_stops_when_the_first_caller_has_gone() {
    let left = Left::default();
    let stopped = Arc::<AtomicU64>::default();
    let gate = Gate::closed();
    let [a, b, c] = mixed(Limits::default(), &left, Some(gate.clone()), &stopped).await;
    let call = tokio::spawn(Protocol::Http1.send(with_milliseconds(&a, "600000")));
    gate.arrivals(1).await;
    assert_eq!(stopped.load(Ordering::SeqCst), 0);
    call.abort();
    is_over(&stopped, [a, b, c]).await;
}

#[tokio::test]
async fn call_without_useful_time_left_reaches_no_hop() {
    let left = Left::default();
    let stopped = Arc::default();
    let limits = Limits {
        min_useful: Duration::from_secs(60),
        ..Limits::default()
    };
    let [a, _b, _c] = mixed(limits, &left, None, &stopped).await;
    let answer = Protocol::Http1.send(with_milliseconds(&a, "30000")).await;
    assert_eq!(answer.status, StatusCode::GATEWAY_TIMEOUT);
    assert!(left.lock().unwrap().is_empty());
}
