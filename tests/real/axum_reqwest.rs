//! An axum server behind its stack, and `reqwest::Client` as it is behind the client's.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::routing::{any, get};
use bytes::Bytes;
use http::{Method, Response, StatusCode};
use seaworthy::RejectionKind;
use seaworthy::circuit_breaker::State;
use seaworthy::retry::Exhausted;
use seaworthy_tests::{Answer, Gate, Port, Protocol, Server, problem_of, within};
use tokio::sync::mpsc;

use crate::retries::bytes;
use crate::stack::{Habits, Limits, SHORT, idle, is_idle, rejected, reqwest_stack, serve};

pub(crate) fn request(method: Method, url: &str) -> reqwest::Request {
    reqwest::Request::new(method, url.parse().unwrap())
}

pub(crate) fn get_url(url: &str) -> reqwest::Request {
    request(Method::GET, url)
}

pub(crate) fn status(status: u16) -> Response<Body> {
    Response::builder()
        .status(status)
        .body(Body::empty())
        .unwrap()
}

#[tokio::test]
async fn call_passes_both_stacks_and_leaves_nothing_behind() {
    for protocol in Protocol::ALL {
        let routes = Router::new().route("/", any(|body: Bytes| async move { body }));
        let served = serve(routes, Limits::default()).await;
        let client = reqwest_stack(protocol, Habits::default());
        let mut put = request(Method::PUT, &served.server.url("/"));
        *put.body_mut() = Some(bytes(100_000).into());

        let response = client.send(put).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.url().as_str(), served.server.url("/"));
        assert_eq!(client.bulkhead.snapshot().running, 1, "it is being read");
        assert_eq!(response.bytes().await.unwrap(), bytes(100_000));

        assert!(is_idle(&client.bulkhead));
        assert_eq!(client.circuit.snapshot().in_flight, 0);
        assert_eq!(client.circuit.state(), State::Closed);
        idle(&served.bulkhead).await;
    }
}

#[tokio::test]
async fn full_server_refuses_with_a_problem_and_takes_the_next_call_again() {
    for protocol in Protocol::ALL {
        let gate = Gate::closed();
        let handler = {
            let gate = gate.clone();
            move || async move { gate.pass().await }
        };
        let limits = Limits {
            running: 1,
            ..Limits::default()
        };
        let served = serve(Router::new().route("/", get(handler)), limits).await;
        let first = tokio::spawn(protocol.send(served.server.get("/")));
        gate.arrivals(1).await;

        let refused = protocol.send(served.server.get("/")).await;
        assert_eq!(refused.problem(), (503, "bulkhead_full".to_owned()));

        // A client with layers sees what any other does: an answer, and when to come back.
        let client = reqwest_stack(
            protocol,
            Habits {
                attempts: 1,
                ..Habits::default()
            },
        );
        let response = client.send(get_url(&served.server.url("/"))).await.unwrap();
        let (head, headers) = (response.status(), response.headers().clone());
        let body = response.bytes().await.unwrap();
        assert_eq!(
            problem_of(head, &headers, &body),
            (503, "bulkhead_full".to_owned())
        );
        assert_eq!(
            client.circuit.snapshot().failures,
            1,
            "over the wire a refusal is the upstream's"
        );

        gate.open();
        assert_eq!(first.await.unwrap().status, StatusCode::OK);
        idle(&served.bulkhead).await;
        assert_eq!(
            protocol.send(served.server.get("/")).await.status,
            StatusCode::OK
        );
    }
}

#[tokio::test]
async fn handler_out_of_time_is_answered_504_and_its_slot_is_free() {
    for protocol in Protocol::ALL {
        let (ended, mut has_ended) = mpsc::unbounded_channel::<()>();
        let handler = move || {
            let ended = ended.clone();
            async move {
                std::future::pending::<()>().await;
                drop(ended);
            }
        };
        let limits = Limits {
            timeout: SHORT,
            ..Limits::default()
        };
        let served = serve(Router::new().route("/", get(handler)), limits).await;
        let answer = protocol.send(served.server.get("/")).await;
        assert_eq!(answer.problem(), (504, "timed_out".to_owned()));
        idle(&served.bulkhead).await;
        assert_eq!(served.timeout.snapshot().timeouts, 1);
        drop(served);
        assert_eq!(within("the handler is gone", has_ended.recv()).await, None);
    }
}

#[tokio::test]
async fn request_without_time_left_is_refused_before_the_handler() {
    for protocol in Protocol::ALL {
        let calls = Arc::new(AtomicU64::new(0));
        let handler = {
            let calls = calls.clone();
            move || async move { calls.fetch_add(1, Ordering::SeqCst).to_string() }
        };
        let limits = Limits {
            min_useful: Duration::from_secs(1),
            ..Limits::default()
        };
        let served = serve(Router::new().route("/", get(handler)), limits).await;
        let with = |millis: &str| {
            let mut request = served.server.get("/");
            let millis = millis.parse().unwrap();
            request.headers_mut().insert("x-request-timeout-ms", millis);
            request
        };
        let late = protocol.send(with("999")).await;
        assert_eq!(late.problem(), (504, "deadline_exceeded".to_owned()));
        assert_eq!(calls.load(Ordering::SeqCst), 0);
        assert_eq!(protocol.send(with("600000")).await.status, StatusCode::OK);
    }
}

#[tokio::test]
async fn upstream_that_is_not_there_is_tried_and_counted() {
    for protocol in Protocol::ALL {
        let port = Port::reserve();
        let url = port.url("/");
        let client = reqwest_stack(
            protocol,
            Habits {
                // Three attempts, and the free one: the server has seen none of them.
                failures: 4,
                ..Habits::default()
            },
        );
        let error = within("an answer", client.send(get_url(&url))).await;
        let error = error.unwrap_err();
        let exhausted = Exhausted::find(&*error).expect("tried three times");
        assert_eq!(exhausted.attempts(), 3);
        assert_eq!(client.circuit.state(), State::Open);
        assert!(is_idle(&client.bulkhead));

        let refused = client.send(get_url(&url)).await.unwrap_err();
        assert_eq!(rejected(&refused), RejectionKind::CircuitOpen);
        let retries = client.retry.snapshot().retries;
        assert_eq!(retries, 3, "a refusal is not tried again");
    }
}

#[tokio::test]
async fn url_after_a_redirect_is_kept() {
    let routes = Router::new()
        .route(
            "/",
            get(|| async { axum::response::Redirect::to("/there") }),
        )
        .route("/there", get(|| async { "here" }));
    let served = serve(routes, Limits::default()).await;
    let client = reqwest_stack(Protocol::Http1, Habits::default());
    let response = client.send(get_url(&served.server.url("/"))).await.unwrap();
    assert_eq!(response.url().path(), "/there");
    assert_eq!(response.text().await.unwrap(), "here");
    assert_eq!(client.circuit.snapshot().in_flight, 0);
}

#[tokio::test]
async fn response_of_reqwest_dropped_halfway_frees_its_slot() {
    for protocol in Protocol::ALL {
        let routes = Router::new().route(
            "/",
            get(|| async { Body::new(seaworthy_tests::Endless::new(Arc::default())) }),
        );
        let served = serve(routes, Limits::default()).await;
        let client = reqwest_stack(protocol, Habits::default());
        let mut response = client.send(get_url(&served.server.url("/"))).await.unwrap();
        assert!(response.chunk().await.unwrap().is_some());
        assert_eq!(client.bulkhead.snapshot().running, 1);
        assert_eq!(served.bulkhead.snapshot().running, 1);
        drop(response);
        assert!(is_idle(&client.bulkhead));
        idle(&served.bulkhead).await;
        assert_eq!(client.circuit.snapshot().failures, 0);
    }
}

#[tokio::test]
async fn answers_of_axum_and_of_hyper_are_the_same_to_a_client() {
    for protocol in Protocol::ALL {
        let routes = Router::new().route("/", get(|| async { "same" }));
        let by_axum = Server::axum(routes.clone()).await;
        let by_hyper = Server::hyper(routes).await;
        for server in [by_axum, by_hyper] {
            let answer: Answer = protocol.send(server.get("/")).await;
            assert_eq!(answer.body, "same");
        }
    }
}
