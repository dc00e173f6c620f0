//! Probes of a half-open circuit that go wrong: a client that hangs up, a body that is dropped, an upstream that says nothing.

use std::time::Duration;

use axum::body::Body;
use http::{Response, StatusCode};
use http_body_util::BodyExt;
use seaworthy::RejectionKind;
use seaworthy::circuit_breaker::State;
use seaworthy_tests::{Endless, Gate, Port, Protocol, Upstream, within};
use tokio::task::JoinHandle;
use tower::{BoxError, ServiceExt};

use crate::stack::{Habits, OPEN, PROBES, Stack, hyper_stack, idle, is_idle, rejected};

type Client = Stack<http::Request<Body>, Response<Body>>;
type Call = JoinHandle<Result<Response<Body>, BoxError>>;

/// Longer than the default lease of a probe.
const LEASE: Duration = Duration::from_secs(31);

/// An upstream that waits at the gate, and streams for ever at `/endless`.
async fn upstream(gate: &Gate) -> Upstream {
    let gate = gate.clone();
    Upstream::start(move |seen| {
        let gate = gate.clone();
        async move {
            if seen.head.uri.path() == "/endless" {
                return Response::new(Body::new(Endless::new(std::sync::Arc::default())));
            }
            gate.pass().await;
            Response::new(Body::empty())
        }
    })
    .await
}

/// A client whose circuit was opened by an upstream that is not there, and whose time is over.
async fn about_to_probe(protocol: Protocol) -> Client {
    let client = hyper_stack(
        protocol,
        Habits {
            attempts: 1,
            failures: 1,
            ..Habits::default()
        },
    );
    let port = Port::reserve();
    let gone = http::Request::get(port.url("/"))
        .body(Body::empty())
        .unwrap();
    assert!(within("an error", client.send(gone)).await.is_err());
    assert_eq!(client.circuit.state(), State::Open);
    client.clock.advance(OPEN);
    client
}

fn call(client: &Client, upstream: &Upstream, path: &str) -> Call {
    let request = upstream.server().get(path);
    tokio::spawn(client.service.clone().oneshot(request))
}

async fn refused(client: &Client, upstream: &Upstream) {
    let error = client.send(upstream.server().get("/")).await.unwrap_err();
    assert_eq!(rejected(&error), RejectionKind::CircuitOpen);
}

#[tokio::test]
async fn probe_whose_client_hangs_up_gives_its_place_to_the_next() {
    for protocol in Protocol::ALL {
        let gate = Gate::closed();
        let upstream = upstream(&gate).await;
        let client = about_to_probe(protocol).await;
        for _ in 0..4 {
            let probes: Vec<_> = (0..PROBES).map(|_| call(&client, &upstream, "/")).collect();
            gate.arrivals(PROBES).await;
            assert_eq!(client.circuit.state(), State::HalfOpen);
            refused(&client, &upstream).await;
            for probe in probes {
                probe.abort();
                assert!(probe.await.unwrap_err().is_cancelled());
            }
            assert!(is_idle(&client.bulkhead));
            assert_eq!(client.circuit.state(), State::HalfOpen);
        }
        gate.open();
        for _ in 0..PROBES {
            assert!(call(&client, &upstream, "/").await.unwrap().is_ok());
        }
        assert_eq!(client.circuit.state(), State::Closed);
    }
}

#[tokio::test]
async fn probe_whose_body_is_dropped_halfway_gives_its_place_back() {
    for protocol in Protocol::ALL {
        let gate = Gate::closed();
        let upstream = upstream(&gate).await;
        let client = about_to_probe(protocol).await;
        for _ in 0..4 {
            let mut bodies = Vec::new();
            for _ in 0..PROBES {
                let response = call(&client, &upstream, "/endless").await.unwrap();
                let mut body = response.unwrap().into_body();
                assert!(within("a frame", body.frame()).await.is_some());
                bodies.push(body);
            }
            refused(&client, &upstream).await;
            drop(bodies);
            assert_eq!(client.circuit.state(), State::HalfOpen);
        }
        gate.open();
        for _ in 0..PROBES {
            assert!(call(&client, &upstream, "/").await.unwrap().is_ok());
        }
        assert_eq!(client.circuit.state(), State::Closed);
        idle(&client.bulkhead).await;
    }
}

#[tokio::test]
async fn silent_probe_loses_its_place_and_its_late_answer_changes_nothing() {
    for protocol in Protocol::ALL {
        let gate = Gate::closed();
        let upstream = upstream(&gate).await;
        let client = about_to_probe(protocol).await;
        let silent: Vec<_> = (0..PROBES).map(|_| call(&client, &upstream, "/")).collect();
        gate.arrivals(PROBES).await;
        refused(&client, &upstream).await;

        client.clock.advance(LEASE);
        let next: Vec<_> = (0..PROBES).map(|_| call(&client, &upstream, "/")).collect();
        gate.arrivals(PROBES).await;
        refused(&client, &upstream).await;
        // First come, first through: these are the silent ones.
        gate.let_through(PROBES as usize);
        let answered = async |calls: Vec<Call>| {
            for call in calls {
                let response = within("an answer", call).await.unwrap().unwrap();
                assert_eq!(response.status(), StatusCode::OK);
            }
        };
        answered(silent).await;
        assert_eq!(client.circuit.state(), State::HalfOpen);
        gate.open();
        answered(next).await;
        assert_eq!(client.circuit.state(), State::Closed);
        assert_eq!(client.circuit.snapshot().in_flight, 0);
        idle(&client.bulkhead).await;
    }
}
