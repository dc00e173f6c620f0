//! One layer value, one state: over axum's routes, over services made for one request, over servers.

use std::convert::Infallible;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::body::Body;
use axum::extract::MatchedPath;
use axum::handler::Handler;
use axum::routing::{Route, get};
use futures_util::future::join_all;
use http::{Request, Response, StatusCode};
use seaworthy::bulkhead::{BulkheadHandle, BulkheadLayer};
use seaworthy::circuit_breaker::{CircuitBreakerLayer, State};
use seaworthy::http::RespondLayer;
use seaworthy_tests::{Gate, Protocol, Server, within};
use tower::{Layer, ServiceBuilder, ServiceExt, service_fn};

use crate::stack::{AGES, idle};

/// A handler that waits at the gate.
fn waiting(gate: &Gate) -> impl Handler<((),), ()> {
    let gate = gate.clone();
    move || async move { gate.pass().await }
}

/// Holds the one slot by a call of the first path, and finds it taken by way of each of the others.
async fn one_slot_for_all(server: &Server, bulkhead: &BulkheadHandle, gate: &Gate, paths: &[&str]) {
    for protocol in Protocol::ALL {
        let first = tokio::spawn(protocol.send(server.get(paths[0])));
        gate.arrivals(1).await;
        assert_eq!(bulkhead.snapshot().running, 1);
        let others = paths.iter().map(|path| protocol.send(server.get(path)));
        for refused in within("refusals", join_all(others)).await {
            assert_eq!(refused.problem(), (503, "bulkhead_full".to_owned()));
        }
        gate.let_through(1);
        assert_eq!(first.await.unwrap().status, StatusCode::OK);
        idle(bulkhead).await;
        for path in paths {
            gate.let_through(1);
            let answer = protocol.send(server.get(path)).await;
            assert_eq!(answer.status, StatusCode::OK, "{path}");
            gate.arrivals(1).await;
            idle(bulkhead).await;
        }
    }
}

#[tokio::test]
async fn limit_of_one_stays_one_over_the_routes_of_a_router() {
    let gate = Gate::closed();
    let bulkhead = BulkheadLayer::http("one")
        .max_concurrent(1)
        .build()
        .unwrap();
    let handle = bulkhead.handle();
    let routes = Router::new()
        .route("/a", get(waiting(&gate)))
        .route("/b", get(waiting(&gate)))
        .route("/c/{id}", get(waiting(&gate)))
        .layer(
            ServiceBuilder::new()
                .layer(RespondLayer::new())
                .layer(bulkhead),
        );
    let server = Server::axum(routes).await;
    one_slot_for_all(&server, &handle, &gate, &["/a", "/b", "/c/1", "/c/2"]).await;
}

#[tokio::test]
async fn limit_of_one_stays_one_wherever_the_layer_value_is_put() {
    let gate = Gate::closed();
    let bulkhead = BulkheadLayer::http("one")
        .max_concurrent(1)
        .build()
        .unwrap();
    let handle = bulkhead.handle();
    let stack = ServiceBuilder::new()
        .layer(RespondLayer::new())
        .layer(bulkhead);
    let nested = Router::new().route("/b", get(waiting(&gate)));
    let routes = Router::new()
        .route("/handler", get(waiting(&gate).layer(stack.clone())))
        .route("/methods", get(waiting(&gate)).layer(stack.clone()))
        .nest("/nested", nested.route_layer(stack.clone()))
        .fallback_service(stack.service(service_fn({
            let gate = gate.clone();
            move |_: Request<Body>| {
                let gate = gate.clone();
                async move {
                    gate.pass().await;
                    Ok::<_, Infallible>(Response::new(Body::empty()))
                }
            }
        })));
    let server = Server::axum(routes).await;
    let paths = ["/handler", "/methods", "/nested/b", "/nowhere"];
    one_slot_for_all(&server, &handle, &gate, &paths).await;
}

/// Counts how often a service is made.
#[derive(Clone)]
struct Counting<L> {
    layer: L,
    made: Arc<AtomicUsize>,
}

impl<S, L: Layer<S>> Layer<S> for Counting<L> {
    type Service = L::Service;

    fn layer(&self, inner: S) -> L::Service {
        self.made.fetch_add(1, Ordering::SeqCst);
        self.layer.layer(inner)
    }
}

#[tokio::test]
async fn limit_of_one_stays_one_where_axum_makes_a_service_for_each_request() {
    let gate = Gate::closed();
    let made = Arc::new(AtomicUsize::new(0));
    let bulkhead = BulkheadLayer::http("one")
        .max_concurrent(1)
        .build()
        .unwrap();
    let handle = bulkhead.handle();
    let stack = Counting {
        layer: ServiceBuilder::new()
            .layer(RespondLayer::new())
            .layer(bulkhead),
        made: made.clone(),
    };
    // Used without `with_state`, a router applies its layers when a request comes.
    let lazy = Router::new()
        .route("/a", get(waiting(&gate)))
        .route("/b", get(waiting(&gate)))
        .layer(stack);
    let server = Server::hyper(service_fn(move |request: Request<_>| {
        let lazy = lazy.clone();
        async move { lazy.oneshot(request).await }
    }))
    .await;
    one_slot_for_all(&server, &handle, &gate, &["/a", "/b"]).await;
    assert!(
        made.load(Ordering::SeqCst) >= 10,
        "only {made:?} services: axum no longer does what this test is about"
    );
}

#[tokio::test]
async fn limit_of_one_stays_one_where_every_request_applies_the_layer() {
    let gate = Gate::closed();
    let bulkhead = BulkheadLayer::http("one")
        .max_concurrent(1)
        .build()
        .unwrap();
    let handle = bulkhead.handle();
    let stack = ServiceBuilder::new()
        .layer(RespondLayer::new())
        .layer(bulkhead)
        .into_inner();
    let inner = {
        let gate = gate.clone();
        move |_: Request<Body>| {
            let gate = gate.clone();
            async move {
                gate.pass().await;
                Ok::<_, Infallible>(Response::new(Body::empty()))
            }
        }
    };
    let per_request = service_fn(move |request: Request<Body>| {
        stack.layer(service_fn(inner.clone())).oneshot(request)
    });
    let server = Server::axum(Router::new().fallback_service(per_request)).await;
    one_slot_for_all(&server, &handle, &gate, &["/a", "/b"]).await;
}

#[tokio::test]
async fn limit_of_one_stays_one_over_two_servers() {
    let gate = Gate::closed();
    let bulkhead = BulkheadLayer::http("one")
        .max_concurrent(1)
        .build()
        .unwrap();
    let stack = ServiceBuilder::new()
        .layer(RespondLayer::new())
        .layer(bulkhead.clone());
    let routes = Router::new().route("/", get(waiting(&gate))).layer(stack);
    let (one, other) = (
        Server::axum(routes.clone()).await,
        Server::axum(routes).await,
    );
    let first = tokio::spawn(Protocol::Http1.send(one.get("/")));
    gate.arrivals(1).await;
    let refused = Protocol::Http1.send(other.get("/")).await;
    assert_eq!(refused.problem(), (503, "bulkhead_full".to_owned()));
    gate.open();
    assert_eq!(first.await.unwrap().status, StatusCode::OK);
    idle(&bulkhead.handle()).await;
}

#[tokio::test]
async fn circuit_that_one_route_opens_is_open_for_the_others() {
    let breaker = CircuitBreakerLayer::http("shared")
        .failure_rate(None)
        .consecutive_failures(3)
        .recovery_timeout(AGES)
        .max_recovery_timeout(AGES)
        .jitter(0.0)
        .build()
        .unwrap();
    let handle = breaker.handle();
    let routes = Router::new()
        .route("/bad", get(|| async { StatusCode::BAD_GATEWAY }))
        .route("/good", get(|| async { "good" }))
        .layer(
            ServiceBuilder::new()
                .layer(RespondLayer::new())
                .layer(breaker),
        );
    let server = Server::axum(routes).await;
    for protocol in Protocol::ALL {
        assert_eq!(protocol.send(server.get("/good")).await.body, "good");
        for _ in 0..3 {
            let answer = protocol.send(server.get("/bad")).await;
            assert_eq!(answer.status, StatusCode::BAD_GATEWAY);
        }
        assert_eq!(handle.state(), State::Open);
        let refused = protocol.send(server.get("/good")).await;
        assert_eq!(refused.problem(), (503, "circuit_open".to_owned()));
        let wait: u64 = refused.header("retry-after").parse().unwrap();
        assert!((1..=AGES.as_secs() * 11 / 10).contains(&wait), "{wait}");
        handle.reset();
    }
}

#[tokio::test]
async fn keyed_by_its_route_each_has_a_limit_of_its_own() {
    let gate = Gate::closed();
    let bulkhead = BulkheadLayer::http("route")
        .max_concurrent(1)
        .keyed(NonZeroUsize::new(16).unwrap(), |request: &Request<Body>| {
            let path = request.extensions().get::<MatchedPath>();
            path.map(|path| path.as_str().to_owned())
        })
        .unwrap();
    let handle = bulkhead.handle();
    let routes = Router::new()
        .route("/a/{id}", get(waiting(&gate)))
        .route("/b", get(|| async { "b" }))
        .route_layer(
            ServiceBuilder::new()
                .layer(RespondLayer::new())
                .layer(bulkhead),
        );
    let server = Server::axum(routes).await;
    let protocol = Protocol::Http1;
    let first = tokio::spawn(protocol.send(server.get("/a/1")));
    gate.arrivals(1).await;
    let refused = protocol.send(server.get("/a/2")).await;
    assert_eq!(refused.problem(), (503, "bulkhead_full".to_owned()));
    assert_eq!(protocol.send(server.get("/b")).await.body, "b");
    gate.open();
    assert_eq!(first.await.unwrap().status, StatusCode::OK);
    assert_eq!(handle.len(), 2, "two routes, whatever the ids");
}

/// What `Router::layer` demands, with every layer inside of the edge.
fn accepts<L, S>(layer: L)
where
    L: Layer<Route, Service = S> + Clone + Send + Sync + 'static,
    S: tower::Service<Request<Body>, Error = Infallible> + Clone + Send + Sync + 'static,
    S::Future: Send,
{
    drop(layer);
}

#[test]
fn every_layer_has_what_axum_asks_of_it() {
    use seaworthy::retry::RetryLayer;
    use seaworthy::timeout::{DeadlineLayer, TimeoutLayer};

    let edge = || ServiceBuilder::new().layer(RespondLayer::new());
    accepts(edge().layer(CircuitBreakerLayer::http("a").build().unwrap()));
    accepts(edge().layer(BulkheadLayer::http("a").build().unwrap()));
    accepts(edge().layer(BulkheadLayer::http("a").queue(1, AGES).build().unwrap()));
    accepts(edge().layer(TimeoutLayer::http("a").build().unwrap()));
    accepts(edge().layer(DeadlineLayer::http("a").build().unwrap()));
    accepts(edge().layer(RetryLayer::http("a").body(Body::new).build().unwrap()));
}
