//! A payment sent many times over real connections: charged once, answered each time.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Extension;
use axum::routing::post;
use bytes::Bytes;
use http::{HeaderName, Request, StatusCode};
use seaworthy::http::RespondLayer;
use seaworthy::idempotency::store::Memory;
use seaworthy::idempotency::{IdempotencyHandle, Run, Scope, current, exchange};
use seaworthy::prelude::*;
use seaworthy_tests::{Answer, Gate, Protocol, Server, eventually, within};

type Handle = IdempotencyHandle<Memory, exchange::http::Http>;

struct Site {
    server: Server,
    handle: Handle,
    charges: Arc<AtomicUsize>,
}

/// A server whose handler waits at the gate before it charges.
async fn start(gate: &Gate, wait: Duration) -> Site {
    let scope = Scope::header(HeaderName::from_static("x-account"));
    let once = IdempotencyLayer::http("payments", Memory::new(), scope)
        .overdue_runs_again()
        .wait(wait)
        .build()
        .unwrap();
    let handle = once.handle();
    let charges = Arc::new(AtomicUsize::new(0));
    let (gate, charged) = (gate.clone(), charges.clone());
    let pay = move |Extension(run): Extension<Run>, body: Bytes| async move {
        assert_eq!(current().map(|run| run.lease()), Some(run.lease()));
        gate.pass().await;
        let charge = charged.fetch_add(1, Ordering::SeqCst) + 1;
        let paid = format!("charge {charge} of {} bytes", body.len());
        (StatusCode::CREATED, [("location", "/v1/payments/1")], paid)
    };
    let routes = Router::new().route("/v1/payments", post(pay));
    let server = Server::axum(routes.layer((RespondLayer::new(), once))).await;
    Site {
        server,
        handle,
        charges,
    }
}

impl Site {
    fn payment(&self, account: &str, key: &str) -> Request<Body> {
        Request::post(self.server.url("/v1/payments"))
            .header("x-account", account)
            .header("idempotency-key", key)
            .body(Body::from("{\"amount\":100}"))
            .unwrap()
    }

    async fn pay(&self, protocol: Protocol, key: &str) -> Answer {
        within("an answer", protocol.send(self.payment("alice", key))).await
    }
}

#[tokio::test]
async fn many_requests_with_one_key_charge_once_and_get_the_same_bytes() {
    for protocol in Protocol::ALL {
        let gate = Gate::closed();
        let site = start(&gate, Duration::from_secs(20)).await;
        let calls: Vec<_> = (0..16)
            .map(|_| tokio::spawn(protocol.send(site.payment("alice", "\"k\""))))
            .collect();
        gate.arrivals(1).await;
        eventually("the others to wait", || {
            site.handle.snapshot().waiting == 15
        })
        .await;
        gate.let_through(1);
        let mut originals = 0;
        for call in calls {
            let answer = within("an answer", call).await.unwrap();
            assert_eq!(answer.status, StatusCode::CREATED);
            assert_eq!(answer.body, "charge 1 of 14 bytes");
            assert_eq!(answer.header("location"), "/v1/payments/1");
            originals += usize::from(!answer.headers.contains_key("idempotent-replayed"));
        }
        assert_eq!(originals, 1);
        assert_eq!(site.charges.load(Ordering::SeqCst), 1);
        // A later one, bare, and one of another caller.
        assert_eq!(site.pay(protocol, "k").await.body, "charge 1 of 14 bytes");
        gate.let_through(1);
        let other = within("an answer", protocol.send(site.payment("bob", "k"))).await;
        assert_eq!(other.body, "charge 2 of 14 bytes");
    }
}

#[tokio::test]
async fn client_that_hangs_up_finds_its_payment_when_it_comes_back() {
    for protocol in Protocol::ALL {
        let gate = Gate::closed();
        let site = start(&gate, Duration::ZERO).await;
        let call = tokio::spawn(protocol.send(site.payment("alice", "k")));
        gate.arrivals(1).await;
        let early = site.pay(protocol, "k").await;
        assert_eq!(early.problem_kind(), (409, "request-in-progress".into()));
        call.abort();
        assert!(call.await.unwrap_err().is_cancelled());
        eventually("the hang-up", || site.handle.snapshot().detached == 1).await;
        gate.let_through(1);
        eventually("the end of the run", || {
            site.handle.snapshot().in_flight == 0
        })
        .await;
        let answer = site.pay(protocol, "k").await;
        assert_eq!(answer.body, "charge 1 of 14 bytes");
        assert_eq!(answer.header("idempotent-replayed"), "true");
        assert_eq!(site.charges.load(Ordering::SeqCst), 1);
    }
}

#[tokio::test]
async fn plain_client_is_told_what_is_wrong_with_its_key() {
    let gate = Gate::closed();
    let site = start(&gate, Duration::ZERO).await;
    let client = Protocol::Http1.reqwest();
    let url = site.server.url("/v1/payments");
    let send = async |account: Option<&str>, key: &str| {
        let request = client.post(&url).header("idempotency-key", key);
        let request = match account {
            Some(account) => request.header("x-account", account),
            None => request,
        };
        let response = request.body("{}").send().await.unwrap();
        let status = response.status().as_u16();
        (status, response.text().await.unwrap())
    };
    let (status, body) = send(Some("alice"), "\"never closed").await;
    assert_eq!(status, 400);
    assert!(
        body.contains("urn:seaworthy:problem:key-malformed"),
        "{body}"
    );
    let (status, body) = send(None, "k").await;
    assert_eq!(status, 403);
    assert!(
        body.contains("urn:seaworthy:problem:caller-unknown"),
        "{body}"
    );
    let long = "k".repeat(8_000);
    assert_eq!(send(Some("alice"), &long).await.0, 400);
    assert_eq!(site.charges.load(Ordering::SeqCst), 0);
    assert!(site.handle.store().is_empty());
}

trait ProblemKind {
    /// The status, and the last part of the problem's type.
    fn problem_kind(&self) -> (u16, String);
}

impl ProblemKind for Answer {
    fn problem_kind(&self) -> (u16, String) {
        assert_eq!(self.header("content-type"), "application/problem+json");
        let body = str::from_utf8(&self.body).unwrap();
        let (_, rest) = body.split_once("urn:seaworthy:problem:").unwrap();
        (
            self.status.as_u16(),
            rest.split('"').next().unwrap().to_owned(),
        )
    }
}
