//! What only one of tower's layers could break: sheds that know nothing of ours, hedges, a balancer over circuits.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use seaworthy::bulkhead::BulkheadLayer;
use seaworthy::circuit_breaker::{CircuitBreakerHandle, CircuitBreakerLayer, State};
use seaworthy::http::{DefaultClassifier, Http};
use seaworthy::kit::testing::Recorder;
use seaworthy::timeout::DeadlineLayer;
use seaworthy::{Classify, Outcome, RejectionKind, Verdict};
use seaworthy_tests::{Gate, Protocol, Upstream, eventually, within};
use tokio::sync::Semaphore;
use tower::balance::p2c::Balance;
use tower::buffer::Buffer;
use tower::discover::ServiceList;
use tower::filter::{AsyncFilter, Filter};
use tower::limit::ConcurrencyLimit;
use tower::load::Load;
use tower::load_shed::LoadShed;
use tower::load_shed::error::Overloaded;
use tower::{BoxError, Layer, Service, ServiceExt};

use super::foreign::{QUEUE, hedged};
use super::promises::FAILURES;
use super::site::{Client, Site};
use super::{boxed, wire};
use crate::stack::{OPEN, idle, is_idle, rejected};

/// A client of one call at a time, by tower's limit, which sheds what is too much; the layer stands between.
async fn sheds<L, S, B>(layer: L)
where
    L: Layer<ConcurrencyLimit<super::Wire>, Service = S>,
    S: Service<Request<Full<Bytes>>, Response = Response<B>, Error = BoxError, Future: Send>
        + Clone
        + Send
        + Sync
        + 'static,
    B: http_body::Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    let site = Site::bare().await;
    let limited = ConcurrencyLimit::new(wire(Protocol::Http1), 1);
    let client = boxed(LoadShed::new(layer.layer(limited)));
    let first = tokio::spawn(client.clone().oneshot(site.get("/gate")));
    site.gate().arrivals(1).await;
    for _ in 0..3 {
        let call = client.clone().oneshot(site.get("/"));
        let error = within("an answer at once", call).await.unwrap_err();
        assert!(error.is::<Overloaded>(), "{error}");
    }
    site.gate().open();
    let answer = within("the first", first).await.unwrap().unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(site.status(&client, "/").await, StatusCode::OK);
    assert_eq!(site.hits(), 2);
}

#[tokio::test]
async fn shed_outside_of_each_of_ours_sees_that_what_is_inside_is_not_ready() {
    sheds(circuit!(http).0).await;
    sheds(
        BulkheadLayer::http("bulkhead")
            .max_concurrent(8)
            .build()
            .unwrap(),
    )
    .await;
    sheds(retry!(http).0).await;
    sheds(time_limit!(http).0).await;
    sheds(DeadlineLayer::http("deadline").build().unwrap()).await;
}

#[tokio::test]
async fn shed_inside_of_a_circuit_is_not_held_against_the_dependency_where_its_classifier_says_so()
{
    for forgives in [false, true] {
        let site = Site::bare().await;
        let traffic = Http::classify(move |answer| match answer {
            Err(error) if forgives && error.is::<Overloaded>() => Verdict::IGNORED,
            answer => DefaultClassifier::new().classify(answer),
        });
        let layer = CircuitBreakerLayer::http("circuit")
            .traffic(traffic)
            .failure_rate(None)
            .consecutive_failures(FAILURES)
            .build()
            .unwrap();
        let circuit = layer.handle();
        let limited = ConcurrencyLimit::new(wire(Protocol::Http1), 1);
        let client = boxed(layer.layer(LoadShed::new(limited)));
        let first = tokio::spawn(client.clone().oneshot(site.get("/gate")));
        site.gate().arrivals(1).await;
        for _ in 0..FAILURES {
            let error = client.clone().oneshot(site.get("/")).await.unwrap_err();
            assert!(error.is::<Overloaded>(), "{error}");
        }
        let expected = if forgives { State::Closed } else { State::Open };
        assert_eq!(circuit.state(), expected);
        site.gate().open();
        assert!(first.await.unwrap().is_ok());
    }
}

#[tokio::test]
async fn refused_call_gives_the_place_back_that_tower_s_limit_gave_it() {
    let site = Site::bare().await;
    let (layer, circuit, _) = circuit!(http);
    circuit.force_open();
    let places = Arc::new(Semaphore::new(2));
    let refuses = layer.layer(wire(Protocol::Http1));
    let client = boxed(ConcurrencyLimit::with_semaphore(refuses, places.clone()));
    for _ in 0..10 {
        assert_eq!(site.refused(&client).await, RejectionKind::CircuitOpen);
        assert_eq!(places.available_permits(), 2);
    }
}

/// An upstream whose odd answers wait at the gate.
async fn one_of_two_hangs() -> (Upstream, Gate) {
    let gate = Gate::closed();
    let waits = gate.clone();
    let upstream = Upstream::start(move |seen| {
        let gate = waits.clone();
        async move {
            if seen.number % 2 == 1 {
                gate.pass().await;
            }
            Response::new(Body::from("an answer"))
        }
    })
    .await;
    (upstream, gate)
}

fn get(upstream: &Upstream) -> Request<Full<Bytes>> {
    upstream.server().get("/").map(|_| Full::default())
}

#[tokio::test]
async fn loser_of_a_hedge_returns_its_slot_and_is_no_failure() {
    for protocol in Protocol::ALL {
        let (upstream, _gate) = one_of_two_hangs().await;
        let layer = BulkheadLayer::http("bulkhead").max_concurrent(2).build();
        let layer = layer.unwrap();
        let bulkhead = layer.handle();
        let (breaker, circuit, _) = circuit!(http);
        let service = breaker.layer(layer.layer(wire(protocol)));
        let client = boxed(hedged(service, 1, &[10; 20]));
        for call in 1..=5 {
            let answer = within("the hedge", client.clone().oneshot(get(&upstream))).await;
            let body = answer.unwrap().into_body().collect().await.unwrap();
            assert_eq!(body.to_bytes(), "an answer");
            assert_eq!(upstream.hits(), 2 * call);
            eventually("its slot is back", || is_idle(&bulkhead)).await;
        }
        assert_eq!(circuit.snapshot().failures, 0);
        assert_eq!(circuit.snapshot().in_flight, 0);
    }
}

#[tokio::test]
async fn hedges_never_exceed_the_limit_of_the_bulkhead_inside() {
    let (upstream, gate) = one_of_two_hangs().await;
    let layer = BulkheadLayer::http("bulkhead")
        .max_concurrent(3)
        .queue(100, Duration::MAX)
        .build()
        .unwrap();
    let bulkhead = layer.handle();
    let running = Running::default();
    let counted = {
        let running = running.clone();
        boxed(wire(Protocol::Http1)).map_future(move |call| {
            let inside = running.enter();
            async move {
                let _inside = inside;
                call.await
            }
        })
    };
    let client = boxed(hedged(layer.layer(counted), 1, &[5; 20]));
    let calls: Vec<_> = (0..20)
        .map(|_| tokio::spawn(client.clone().oneshot(get(&upstream))))
        .collect();
    gate.arrivals(2).await;
    gate.open();
    for call in calls {
        let answer = within("an answer", call).await.unwrap().unwrap();
        answer.into_body().collect().await.unwrap();
    }
    idle(&bulkhead).await;
    assert_eq!(running.most.load(Ordering::SeqCst), 3);
    assert_eq!(running.now.load(Ordering::SeqCst), 0);
    assert!(upstream.hits() > 20, "there were hedges");
}

/// How many calls run, and the most that ever did.
#[derive(Clone, Default)]
struct Running {
    now: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
}

struct Inside(Arc<AtomicUsize>);

impl Running {
    fn enter(&self) -> Inside {
        let now = self.now.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(now, Ordering::SeqCst);
        Inside(self.now.clone())
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[tokio::test]
async fn hedge_that_a_full_bulkhead_refuses_ends_its_call_and_leaves_nothing_behind() {
    let (upstream, _gate) = one_of_two_hangs().await;
    let (layer, bulkhead) = bulkhead!(http);
    let client = boxed(hedged(layer.layer(wire(Protocol::Http1)), 1, &[10; 20]));
    // tower takes whatever comes first for the answer, an error too: give the bulkhead room for hedges.
    let error = within("an end", client.oneshot(get(&upstream))).await;
    assert_eq!(rejected(&error.unwrap_err()), RejectionKind::BulkheadFull);
    assert!(upstream.hits() <= 1, "the hedge was not sent");
    idle(&bulkhead).await;
}

#[tokio::test]
async fn call_that_a_filter_outside_stops_takes_no_slot_and_counts_nowhere() {
    let site = Site::bare().await;
    let (layer, bulkhead) = bulkhead!(http);
    let (breaker, circuit, _) = circuit!(http);
    let events = Recorder::new();
    circuit.subscribe(events.listener()).forever();
    let service = breaker.layer(layer.layer(wire(Protocol::Http1)));
    let client = boxed(Filter::new(service, |request: Request<Full<Bytes>>| {
        if request.uri().path() == "/" {
            return Ok(request);
        }
        Err(BoxError::from("not for you"))
    }));
    assert_eq!(site.status(&client, "/").await, StatusCode::OK);
    for _ in 0..10 {
        let error = client.clone().oneshot(site.get("/bad")).await.unwrap_err();
        assert_eq!(error.to_string(), "not for you");
        assert!(is_idle(&bulkhead));
    }
    assert_eq!(site.hits(), 1);
    assert_eq!(events.outcomes(), [Outcome::Success]);
}

#[tokio::test]
async fn call_that_waits_for_a_filter_inside_holds_its_slot_until_its_caller_goes() {
    let site = Site::bare().await;
    let (layer, bulkhead) = bulkhead!(http);
    let gate = Gate::closed();
    let filter = {
        let gate = gate.clone();
        move |request: Request<Full<Bytes>>| {
            let gate = gate.clone();
            async move {
                gate.pass().await;
                Ok::<_, BoxError>(request)
            }
        }
    };
    let client = boxed(layer.layer(AsyncFilter::new(wire(Protocol::Http1), filter)));
    let call = tokio::spawn(client.clone().oneshot(site.get("/")));
    gate.arrivals(1).await;
    assert_eq!(bulkhead.snapshot().running, 1);
    assert_eq!(site.refused(&client).await, RejectionKind::BulkheadFull);
    call.abort();
    assert!(call.await.unwrap_err().is_cancelled());
    assert!(is_idle(&bulkhead));
    gate.open();
    assert_eq!(site.status(&client, "/").await, StatusCode::OK);
    assert_eq!(site.hits(), 1);
}

/// An endpoint of a balancer, behind a circuit of its own.
struct Endpoint {
    service: Client,
    circuit: CircuitBreakerHandle,
}

/// To tower an open circuit has nothing to do, and is the first choice; so the load is what the circuit says.
impl Load for Endpoint {
    type Metric = bool;

    fn load(&self) -> bool {
        let seen = self.circuit.snapshot();
        seen.until.is_some_and(|until| !until.is_zero())
    }
}

impl Service<Request<Full<Bytes>>> for Endpoint {
    type Response = Response<Body>;
    type Error = BoxError;
    type Future = <Client as Service<Request<Full<Bytes>>>>::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.service.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Full<Bytes>>) -> Self::Future {
        // The address of a request is the balancer's business; here all endpoints have one path and a host each.
        self.service.call(request)
    }
}

#[tokio::test]
async fn balancer_that_asks_the_circuits_routes_around_an_endpoint_that_is_down() {
    let sites = [Site::bare().await, Site::bare().await];
    let mut clocks = Vec::new();
    let mut circuits = Vec::new();
    // The second is down, until it is told otherwise.
    let down = Arc::new(std::sync::atomic::AtomicBool::new(true));
    let endpoints = [0, 1].map(|at| {
        let (layer, circuit, clock) = circuit!(http);
        clocks.push(clock);
        circuits.push(circuit.clone());
        let (base, down) = (sites[at].get("/").uri().clone(), down.clone());
        let service = layer.layer(wire(Protocol::Http1));
        let service = service.map_request(move |request: Request<Full<Bytes>>| {
            let is_bad = at == 1 && down.load(Ordering::SeqCst);
            let mut parts = base.clone().into_parts();
            let path = if is_bad { "/bad" } else { "/" };
            parts.path_and_query = Some(path.parse().unwrap());
            let mut request = request;
            *request.uri_mut() = http::Uri::from_parts(parts).unwrap();
            request
        });
        let service = boxed(service);
        Endpoint { service, circuit }
    });
    let balance = Balance::new(ServiceList::new(endpoints));
    let client = boxed(Buffer::new(balance, QUEUE));
    let call = async || sites[0].status(&client, "/").await;

    // Each of two equals is taken in the end.
    while circuits[1].state() == State::Closed {
        call().await;
    }
    let before = sites[1].hits();
    assert_eq!(before, u64::from(FAILURES));
    for _ in 0..50 {
        assert_eq!(call().await, StatusCode::OK);
    }
    assert_eq!(
        sites[1].hits(),
        before,
        "nobody calls what is known to be down"
    );

    down.store(false, Ordering::SeqCst);
    clocks[1].advance(OPEN);
    while circuits[1].state() != State::Closed {
        assert_eq!(call().await, StatusCode::OK);
    }
    assert_eq!(circuits[0].state(), State::Closed);
}
