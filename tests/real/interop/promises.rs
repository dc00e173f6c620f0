//! What each of our layers promises, checked through a client, of a stack that has that layer on the client's side or on the server's.

use bytes::Bytes;
use http::{Method, StatusCode};
use http_body_util::{BodyExt, Full};
use seaworthy::RejectionKind;
use seaworthy::bulkhead::BulkheadHandle;
use seaworthy::circuit_breaker::{CircuitBreakerHandle, State};
use seaworthy::kit::testing::ManualClock;
use seaworthy::retry::RetryHandle;
use seaworthy::timeout::TimeoutHandle;
use seaworthy_tests::{eventually, within};
use tower::ServiceExt;

use super::site::{Client, Site};
use crate::stack::{AGES, OPEN, PROBES, SHORT, idle};

/// Failures in a row that open the circuits.
pub(crate) const FAILURES: u32 = 3;

/// It counts bad answers, refuses without a call, and lets probes through when its time is over.
pub(crate) async fn of_a_circuit(
    site: &Site,
    client: Client,
    circuit: CircuitBreakerHandle,
    clock: ManualClock,
) {
    // A server is done a moment after its client.
    let over = || circuit.snapshot().in_flight == 0;
    let status = async |path| {
        let status = site.status(&client, path).await;
        eventually("the call is over", over).await;
        status
    };
    assert_eq!(status("/").await, StatusCode::OK);
    for _ in 0..FAILURES {
        assert_eq!(circuit.state(), State::Closed);
        assert_eq!(status("/bad").await, StatusCode::SERVICE_UNAVAILABLE);
    }
    assert_eq!(circuit.state(), State::Open);
    let before = site.hits();
    for _ in 0..20 {
        assert_eq!(site.refused(&client).await, RejectionKind::CircuitOpen);
    }
    assert_eq!(site.hits(), before, "a refused call does not reach it");

    clock.advance(OPEN);
    for _ in 0..PROBES {
        assert_ne!(circuit.state(), State::Closed);
        assert_eq!(status("/").await, StatusCode::OK);
    }
    assert_eq!(circuit.state(), State::Closed);
}

/// It has one slot, which is held until the body is over or dropped, whoever wraps it.
pub(crate) async fn of_a_bulkhead(site: &Site, client: Client, bulkhead: BulkheadHandle) {
    for is_read in [true, false] {
        let held = client.clone().oneshot(site.get("/held"));
        let held = within("the head", held).await.unwrap();
        site.gate().arrivals(1).await;
        assert_eq!(bulkhead.snapshot().running, 1, "its body is not over");
        let before = site.hits();
        assert_eq!(site.refused(&client).await, RejectionKind::BulkheadFull);
        assert_eq!(site.hits(), before, "a refused call does not reach it");
        if is_read {
            site.gate().let_through(1);
            let body = within("the body", held.into_body().collect()).await;
            assert!(!body.unwrap().to_bytes().is_empty());
        } else {
            drop(held);
            site.gate().let_through(1);
        }
        idle(&bulkhead).await;
        assert_eq!(site.status(&client, "/").await, StatusCode::OK);
        idle(&bulkhead).await;
    }

    // A caller that goes before there is an answer.
    let call = tokio::spawn(client.clone().oneshot(site.get("/gate")));
    site.gate().arrivals(1).await;
    assert_eq!(bulkhead.snapshot().running, 1);
    call.abort();
    assert!(call.await.unwrap_err().is_cancelled());
    idle(&bulkhead).await;
}

/// It sends again what failed, the same to the last byte, and what succeeded only once.
pub(crate) async fn of_a_retry(site: &Site, client: Client, retry: RetryHandle) {
    let upload = Bytes::from("to and fro. ".repeat(500));
    let put = || {
        let mut request = site.get("/flaky");
        *request.method_mut() = Method::PUT;
        *request.body_mut() = Full::new(upload.clone());
        request
    };
    for call in 1..=3 {
        let answer = client.clone().oneshot(put());
        let answer = within("an answer", answer).await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        assert_eq!(site.hits(), 2 * call, "a failed one, and another");
        assert_eq!(retry.snapshot().retries, call);
    }
    assert_eq!(site.bodies(), vec![upload; 6]);

    let before = site.hits();
    assert_eq!(site.status(&client, "/").await, StatusCode::OK);
    assert_eq!(site.hits(), before + 1);
    eventually("no call is left", || retry.snapshot().in_flight == 0).await;
}

/// It ends what takes too long, and lets go of it.
pub(crate) async fn of_a_timeout(site: &Site, client: Client, timeout: TimeoutHandle) {
    assert_eq!(site.status(&client, "/").await, StatusCode::OK);
    timeout.set_limit(SHORT);
    let call = client.clone().oneshot(site.get("/gate"));
    let error = within("the limit", call).await.unwrap_err();
    assert_eq!(crate::stack::rejected(&error), RejectionKind::TimedOut);
    assert_eq!(timeout.snapshot().timeouts, 1);
    eventually("nothing is left", || timeout.snapshot().in_flight == 0).await;
    timeout.set_limit(AGES);
    site.gate().open();
    assert_eq!(site.status(&client, "/gate").await, StatusCode::OK);
}
