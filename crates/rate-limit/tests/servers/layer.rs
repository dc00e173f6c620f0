//! The layer over a shared limit.

use std::convert::Infallible;
use std::future::Future;
use std::net::IpAddr;
use std::num::NonZeroUsize;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use http::Request;
use seaworthy_http::forwarded::Callers;
use seaworthy_http::key::{self, Key};
use seaworthy_kit::deadline::{self, Deadline};
use seaworthy_kit::quota::Quotas;
use seaworthy_kit::{BoxError, Plain, Rejection, RejectionKind, Share, clock};
use seaworthy_rate_limit::shared::{SharedBuilder, SharedGate, SharedRateLimitLayer, WhenAway};
use seaworthy_rate_limit::{Alike, Quota, RateLimitLayer};
use tokio::time::Instant;
use tower::{Layer, Service, ServiceExt as _, service_fn};

use crate::fixtures::{HOUR, Test, remaining};

fn layer(test: &Test) -> SharedBuilder<Plain, Alike> {
    let limit = test.limit().quota(Quota::per_hour(10)).build().unwrap();
    RateLimitLayer::plain("layer").announce().shared(limit)
}

fn direct(test: &Test) -> SharedRateLimitLayer<Plain, Share<SharedGate>> {
    layer(test).build().unwrap()
}

/// Answers with what it is asked.
fn echo() -> impl Service<
    &'static str,
    Response = &'static str,
    Error = Infallible,
    Future: Future<Output = Result<&'static str, Infallible>> + Send,
> + Clone
+ Send {
    service_fn(async |request| Ok(request))
}

fn kind(error: &BoxError) -> RejectionKind {
    Rejection::find(&**error).unwrap().kind()
}

#[tokio::test]
async fn layers_of_two_processes_count_together() {
    let test = Test::new();
    let services = [direct(&test), direct(&test)].map(|layer| layer.layer(echo()));
    let mut admitted = 0;
    for round in 0..20 {
        match services[round % 2].clone().oneshot("request").await {
            Ok(answer) => {
                assert_eq!(answer, "request");
                admitted += 1;
            }
            Err(error) => {
                let rejection = Rejection::find(&*error).unwrap();
                assert_eq!(rejection.kind(), RejectionKind::RateLimited);
                assert_eq!(rejection.layer(), "layer");
                let wait = rejection.retry_after().unwrap();
                assert!(wait > Duration::ZERO && wait <= HOUR / 10);
                let told = Quotas::find(&*error).unwrap();
                let state = told.iter().next().unwrap();
                assert_eq!((state.remaining, state.limit), (0, 10));
            }
        }
    }
    assert_eq!(admitted, 10);
}

#[tokio::test]
async fn each_key_has_its_own() {
    let test = Test::new();
    let keys = NonZeroUsize::new(2).unwrap();
    let new = || layer(&test).keyed(keys, |key: &&str| key.as_bytes().to_vec());
    let services = [new(), new()].map(|layer| layer.build().unwrap().layer(echo()));
    // More keys than the layer keeps: what it forgets, the server knows.
    for key in ["one", "two", "three", "four"] {
        let mut admitted = 0;
        for round in 0..12 {
            let answer = services[round % 2].clone().oneshot(key).await;
            admitted += usize::from(answer.is_ok());
        }
        assert_eq!(admitted, 10, "{key}");
    }
    let again = services[0].clone().oneshot("one").await.unwrap_err();
    assert_eq!(kind(&again), RejectionKind::RateLimited);
}

/// The keys that there are for HTTP.
#[tokio::test]
async fn keys_of_requests_go_to_the_server() {
    let test = Test::new();
    let keys = NonZeroUsize::new(9).unwrap();
    let by_tenant =
        key::tenant(|request: &Request<()>| request.extensions().get::<&str>().copied());
    let callers = Callers::by_peer(|extensions| extensions.get::<IpAddr>().copied());
    let callers = callers.build().unwrap();
    let by_caller = move |request: &Request<()>| Key::from(callers.key(request));
    let answer = || service_fn(async |_: Request<()>| Ok::<_, Infallible>(()));
    let by_tenant = layer(&test).keyed(keys, by_tenant).build().unwrap();
    let by_tenant = by_tenant.layer(answer());
    let by_caller = layer(&test).keyed(keys, by_caller).build().unwrap();
    let by_caller = by_caller.layer(answer());
    let mut request = Request::new(());
    by_tenant.clone().oneshot(request.clone()).await.unwrap();
    request.extensions_mut().insert("acme");
    by_tenant.oneshot(request.clone()).await.unwrap();
    let address = IpAddr::from([192, 0, 2, 1]);
    request.extensions_mut().insert(address);
    by_caller.oneshot(request).await.unwrap();
    let limit = test.limit().quota(Quota::per_hour(10)).build().unwrap();
    for key in [Key::ABSENT, Key::new("acme"), Key::new([192, 0, 2, 1])] {
        let pass = limit.check(&key, 0).await.unwrap();
        assert_eq!(pass.quotas().iter().next().unwrap().remaining, 9, "{key:?}");
    }
}

#[tokio::test]
async fn cost_and_exemption_are_the_layers() {
    let test = Test::new();
    let limit = test.limit().quota(Quota::per_hour(10)).build().unwrap();
    let layer = RateLimitLayer::plain("layer")
        .cost(|request: &&str| request.len() as u64)
        .exempt(|request: &&str| *request == "health")
        .shared(limit.clone())
        .build()
        .unwrap();
    let service = layer.layer(echo());
    for request in ["four", "health", "", "three"] {
        service.clone().oneshot(request).await.unwrap();
    }
    assert_eq!(remaining(&limit, "").await, 1);
    let error = service.clone().oneshot("eleven chars").await.unwrap_err();
    assert_eq!(kind(&error), RejectionKind::CostTooHigh);
    service.oneshot("x").await.unwrap();
}

#[tokio::test]
async fn call_that_is_refused_further_in_has_its_cost_back() {
    let test = Test::new();
    let limit = test.limit().quota(Quota::per_hour(10)).build().unwrap();
    let layer = RateLimitLayer::plain("layer").shared(limit.clone());
    let refusing = service_fn(async |_: &'static str| {
        let rejection = Rejection::new(RejectionKind::BulkheadFull, "inner".into());
        Err::<(), BoxError>(rejection.into())
    });
    let service = layer.build().unwrap().layer(refusing);
    let error = service.oneshot("request").await.unwrap_err();
    assert_eq!(kind(&error), RejectionKind::BulkheadFull);
    while remaining(&limit, "").await < 10 {}
}

#[tokio::test]
async fn call_that_leaves_during_the_wait_has_its_cost_back() {
    let test = Test::new();
    let limit = test.limit().quota(Quota::per_hour(10)).build().unwrap();
    let layer = RateLimitLayer::plain("layer").shared(limit.clone());
    let service = layer.build().unwrap().layer(echo());
    service.clone().oneshot("first").await.unwrap();
    test.server.pause();
    let mut call = Box::pin(service.oneshot("second"));
    let mut cx = Context::from_waker(Waker::noop());
    for _ in 0..10 {
        assert!(matches!(call.as_mut().poll(&mut cx), Poll::Pending));
        tokio::task::yield_now().await;
    }
    drop(call);
    test.server.resume();
    // The first token is spent; the other comes back.
    while remaining(&limit, "").await < 9 {}
}

#[tokio::test]
async fn wait_ends_with_the_deadline_of_the_caller() {
    let test = Test::new();
    let service = direct(&test).layer(echo());
    service.clone().oneshot("first").await.unwrap();
    test.server.pause();
    let soon = Deadline::at(clock::now() + Duration::from_millis(50));
    let start = Instant::now();
    let call = deadline::scope(soon, service.oneshot("second"));
    let error = call.await.unwrap_err();
    assert_eq!(kind(&error), RejectionKind::DeadlineExceeded);
    assert!(start.elapsed() < Duration::from_secs(10));
    test.server.resume();
}

#[tokio::test]
async fn server_that_is_away_is_a_refusal_of_its_own() {
    let test = Test::new();
    let limit = test.limit().quota(Quota::per_hour(10));
    let limit = limit.when_away(WhenAway::Refuse).build().unwrap();
    let layer = RateLimitLayer::plain("layer")
        .shared(limit)
        .build()
        .unwrap();
    test.server.kill();
    let error = layer.layer(echo()).oneshot("request").await.unwrap_err();
    assert_eq!(kind(&error), RejectionKind::StoreUnavailable);
}

#[tokio::test]
async fn handle_tells_how_the_quotas_stand() {
    let test = Test::new();
    let layer = direct(&test);
    let handle = layer.handle();
    assert!(handle.quotas().is_empty());
    layer.layer(echo()).oneshot("request").await.unwrap();
    let quotas = handle.quotas();
    assert_eq!(quotas.iter().next().unwrap().remaining, 9);
    handle.drain().await;
    let error = layer.layer(echo()).oneshot("request").await.unwrap_err();
    assert_eq!(kind(&error), RejectionKind::Draining);
}
