//! One layer for many hosts: what one of them does is not held against the others.

use std::num::NonZeroUsize;
use std::time::Duration;

use axum::body::Body;
use http::{Request, Response, StatusCode};
use seaworthy::bulkhead::{BulkheadHandle, BulkheadLayer};
use seaworthy::circuit_breaker::{CircuitBreakerHandle, CircuitBreakerLayer, State};
use seaworthy::kit::testing::ManualClock;
use seaworthy::{BoxError, RejectionKind};
use seaworthy_tests::{Gate, Port, Protocol, Upstream, within};
use tower::{Layer, Service, ServiceExt};

use crate::stack::{OPEN, boxed, idle, rejected};

const MANY: NonZeroUsize = NonZeroUsize::new(64).unwrap();

async fn well() -> Upstream {
    Upstream::start(|_| async { Response::new(Body::from("well")) }).await
}

fn host(request: &Request<Body>) -> String {
    let authority = request.uri().authority();
    authority.expect("a client's URI is absolute").to_string()
}

fn breaker<T>(
    builder: seaworthy::circuit_breaker::Builder<T>,
    clock: &ManualClock,
) -> seaworthy::circuit_breaker::Builder<T> {
    builder
        .failure_rate(None)
        .consecutive_failures(3)
        .recovery_timeout(OPEN)
        .jitter(0.0)
        .success_threshold(1)
        .clock(clock.clock())
}

#[tokio::test]
async fn dead_host_opens_its_own_circuit_and_no_other() {
    for protocol in Protocol::ALL {
        let clock = ManualClock::new();
        let layer = breaker(CircuitBreakerLayer::http("hosts"), &clock)
            .keyed(MANY, host)
            .unwrap();
        let handle = layer.handle();
        let service = boxed(layer.layer(protocol.hyper()));
        let send = |request: Request<Body>| service.clone().oneshot(request);

        let alive = well().await;
        let port = Port::reserve();
        let address = port.address();
        let dead = || {
            let url = format!("http://{address}/");
            Request::get(url).body(Body::empty()).unwrap()
        };
        for _ in 0..3 {
            let error = within("an error", send(dead())).await.unwrap_err();
            assert!(seaworthy::Rejection::find(&*error).is_none());
            let answer = send(alive.server().get("/")).await.unwrap();
            assert_eq!(answer.status(), StatusCode::OK);
        }
        let refused = send(dead()).await.unwrap_err();
        assert_eq!(rejected(&refused), RejectionKind::CircuitOpen);
        for _ in 0..20 {
            let answer = send(alive.server().get("/")).await.unwrap();
            assert_eq!(answer.status(), StatusCode::OK);
        }
        let state = |key: &str| {
            let share = handle.get(&key.to_owned()).expect("a known host");
            CircuitBreakerHandle::from(share).state()
        };
        assert_eq!(state(&address.to_string()), State::Open);
        assert_eq!(state(&alive.server().address().to_string()), State::Closed);
        assert_eq!(handle.len(), 2);

        // It comes back where it was, and is found by a probe.
        let back = Upstream::start_on(port, |_| async { Response::new(Body::empty()) }).await;
        let refused = send(dead()).await.unwrap_err();
        assert_eq!(rejected(&refused), RejectionKind::CircuitOpen);
        assert_eq!(back.hits(), 0);
        clock.advance(OPEN);
        let answer = within("a probe", send(dead())).await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        drop(answer);
        assert_eq!(state(&address.to_string()), State::Closed);
        assert_eq!(back.hits(), 1);
    }
}

#[tokio::test]
async fn dead_host_of_reqwest_opens_its_own_circuit_and_no_other() {
    let clock = ManualClock::new();
    let layer = breaker(CircuitBreakerLayer::reqwest("hosts"), &clock)
        .keyed(MANY, |request: &reqwest::Request| {
            request.url().authority().to_owned()
        })
        .unwrap();
    let handle = layer.handle();
    let mut service = layer.layer(Protocol::Http1.reqwest());
    let mut send = async |url: String| -> Result<StatusCode, BoxError> {
        let request = reqwest::Request::new(reqwest::Method::GET, url.parse()?);
        let response = service.ready().await?.call(request).await?;
        Ok(response.status())
    };
    let alive = well().await;
    let port = Port::reserve();
    let dead = port.url("/");
    for _ in 0..3 {
        assert!(send(dead.clone()).await.is_err());
    }
    let refused = send(dead.clone()).await.unwrap_err();
    assert_eq!(rejected(&refused), RejectionKind::CircuitOpen);
    assert_eq!(send(alive.server().url("/")).await.unwrap(), StatusCode::OK);
    assert_eq!(handle.len(), 2);
}

#[tokio::test]
async fn host_that_hangs_fills_its_own_bulkhead_and_no_other() {
    for protocol in Protocol::ALL {
        let gate = Gate::closed();
        let hanging = Upstream::start({
            let gate = gate.clone();
            move |_| {
                let gate = gate.clone();
                async move {
                    gate.pass().await;
                    Response::new(Body::empty())
                }
            }
        })
        .await;
        let alive = well().await;
        let layer = BulkheadLayer::http("hosts")
            .max_concurrent(2)
            .queue(1, Duration::MAX)
            .keyed(MANY, host)
            .unwrap();
        let handle = layer.handle();
        let service = boxed(layer.layer(protocol.hyper()));
        let send = |upstream: &Upstream| service.clone().oneshot(upstream.server().get("/"));

        let mut calls: Vec<_> = (0..2).map(|_| tokio::spawn(send(&hanging))).collect();
        gate.arrivals(2).await;
        calls.push(tokio::spawn(send(&hanging)));
        let key = hanging.server().address().to_string();
        let slots = BulkheadHandle::from(handle.get(&key).expect("a known host"));
        seaworthy_tests::eventually("one waits", || slots.snapshot().waiting == 1).await;

        let refused = send(&hanging).await.unwrap_err();
        assert_eq!(rejected(&refused), RejectionKind::BulkheadFull);
        for _ in 0..10 {
            let answer = send(&alive).await.unwrap();
            assert_eq!(answer.status(), StatusCode::OK);
        }
        gate.open();
        for call in calls {
            assert!(call.await.unwrap().is_ok());
        }
        idle(&slots).await;
    }
}
