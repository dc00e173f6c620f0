//! Answers that are less than whole, over real sockets: a fallback where a circuit refuses, the last good answer of an upstream that has died, another upstream, a route that is off, and a page whose features run in tasks.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::body::Body;
use axum::http::HeaderMap;
use axum::routing::get;
use axum::{Json, Router};
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use seaworthy::BoxError;
use seaworthy::circuit_breaker::{CircuitBreakerLayer, State};
use seaworthy::degrade::fallback::copy_of_safe;
use seaworthy::degrade::last_good::by_uri;
use seaworthy::degrade::{
    Degradations, DegradedLayer, FallbackLayer, LastGoodLayer, Level, LevelLayer, Levels, feature,
};
use seaworthy::http::RespondLayer;
use seaworthy_tests::{Answer, Protocol, Server, Upstream, within};
use serde_json::{Value, json};
use tower::{Service, ServiceBuilder, ServiceExt, service_fn};

use crate::stack::boxed;

fn page(status: u16, text: &'static str) -> Response<Body> {
    let page = Response::builder().status(status);
    page.body(Body::from(text)).unwrap()
}

/// A server that asks an upstream in place of its callers, through that client.
async fn proxy<S, B>(upstream: &Server, client: S) -> Server
where
    S: Service<Request<Body>, Response = Response<B>, Error = BoxError>
        + Clone
        + Send
        + Sync
        + 'static,
    S::Future: Send,
    B: http_body::Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    let (client, url) = (boxed(client), upstream.url(""));
    let asks = service_fn(move |mut request: Request<Body>| {
        let url = format!("{url}{}", request.uri());
        *request.uri_mut() = url.parse().unwrap();
        client.clone().oneshot(request)
    });
    let edge = ServiceBuilder::new()
        .layer(DegradedLayer::new().tell_causes(true))
        .layer(RespondLayer::new());
    Server::axum(Router::new().fallback_service(edge.service(asks))).await
}

async fn ask(request: Request<Body>) -> Answer {
    within("the server answers", Protocol::Http1.send(request)).await
}

fn degraded(answer: &Answer) -> Option<&str> {
    let value = answer.headers.get("degraded")?;
    // Whatever is less than whole is kept out of caches.
    assert_eq!(answer.header("cache-control"), "no-store");
    value.to_str().ok()
}

#[tokio::test]
async fn fallback_answers_where_a_circuit_refuses() {
    let upstream = Upstream::start(|_| async { page(503, "down") }).await;
    let breaker = CircuitBreakerLayer::http("prices").consecutive_failures(3);
    let breaker = breaker.build().unwrap();
    let circuit = breaker.handle();
    let sorry = Response::new(Full::<Bytes>::from("no price"));
    let client = ServiceBuilder::new()
        .layer(FallbackLayer::http("prices").value(sorry).build())
        .layer(breaker)
        .service(Protocol::Http1.hyper::<Body>());
    let server = proxy(upstream.server(), client).await;
    for call in 0..8 {
        let answer = ask(server.get("/7")).await;
        assert_eq!(answer.status, StatusCode::OK);
        assert_eq!(answer.body, "no price");
        let why = if call < 3 { "answered" } else { "refused" };
        let said = format!("prices;cause={why};given=value");
        assert_eq!(degraded(&answer), Some(&*said), "{call}");
    }
    assert_eq!(circuit.state(), State::Open);
    assert_eq!(upstream.hits(), 3, "an open circuit calls nobody");
}

#[tokio::test]
async fn last_good_answer_is_given_after_the_upstream_has_died() {
    let upstream = Upstream::start(|seen| async move {
        let found = seen.head.uri.path() == "/7";
        page(if found { 200 } else { 404 }, "9900")
    })
    .await;
    let last = LastGoodLayer::http("prices", by_uri).build().unwrap();
    let client = ServiceBuilder::new()
        .layer(last.clone())
        .service(Protocol::Http1.hyper::<Body>());
    let server = proxy(upstream.server(), client).await;
    let good = ask(server.get("/7")).await;
    assert_eq!((good.status, degraded(&good)), (StatusCode::OK, None));
    assert!(!good.headers.contains_key("age"));
    assert_eq!(ask(server.get("/8")).await.status, StatusCode::NOT_FOUND);
    assert_eq!(last.kept(), 1);

    drop(upstream);
    let given = ask(server.get("/7")).await;
    assert_eq!(
        (given.status, &given.body[..]),
        (StatusCode::OK, &b"9900"[..])
    );
    assert_eq!(
        degraded(&given),
        Some("prices;cause=failed;given=last_good")
    );
    assert!(given.header("age").parse::<u64>().unwrap() < 3600);
    for (other, why) in [
        (server.get("/8"), "nothing good was ever there"),
        (
            server.request("POST", "/7", Body::empty()),
            "it changes something",
        ),
    ] {
        let answer = ask(other).await;
        assert!(answer.status.is_server_error(), "{why}");
        assert_eq!(degraded(&answer), None, "{why}");
    }
}

#[tokio::test]
async fn page_of_one_host_is_not_given_to_callers_of_another() {
    let is_down = Arc::new(AtomicBool::new(false));
    let down = is_down.clone();
    let of_host = async move |headers: HeaderMap| {
        let host = headers["host"].to_str().unwrap().to_owned();
        let is_down = down.load(Ordering::SeqCst);
        (
            StatusCode::from_u16(if is_down { 503 } else { 200 }).unwrap(),
            host,
        )
    };
    let stack = ServiceBuilder::new()
        .layer(RespondLayer::new())
        .layer(LastGoodLayer::http("pages", by_uri).build().unwrap());
    let server = Server::axum(Router::new().route("/", get(of_host)).layer(stack)).await;
    let of = |host: &'static str| {
        let mut request = server.get("/");
        request.headers_mut().insert("host", host.parse().unwrap());
        ask(request)
    };
    assert_eq!(of("a.example").await.body, "a.example");
    is_down.store(true, Ordering::SeqCst);
    let stranger = of("b.example").await;
    assert_eq!(stranger.status, StatusCode::SERVICE_UNAVAILABLE);
    let given = of("a.example").await;
    assert_eq!(
        (given.status, &given.body[..]),
        (StatusCode::OK, &b"a.example"[..])
    );
    assert_eq!(
        degraded(&given),
        Some("pages"),
        "also without a layer that marks"
    );
}

#[tokio::test]
async fn another_upstream_is_asked_in_place_of_one_that_is_gone_but_not_to_change_anything() {
    let primary = Upstream::start(|_| async { page(200, "primary") }).await;
    let replica = Upstream::start(|_| async { page(200, "replica") }).await;
    let at = replica.server().url("/");
    let copy = move |request: &Request<Body>| {
        let mut copy = copy_of_safe::<_, Body>(request)?;
        *copy.uri_mut() = at.parse().unwrap();
        Some(copy)
    };
    let fallback = FallbackLayer::http("replica").service(Protocol::Http1.hyper(), copy);
    let client = ServiceBuilder::new()
        .layer(fallback.build())
        .service(Protocol::Http1.hyper::<Body>());
    let server = proxy(primary.server(), client).await;
    assert_eq!(ask(server.get("/")).await.body, "primary");
    drop(primary);
    let answer = ask(server.get("/")).await;
    assert_eq!(
        (answer.status, &answer.body[..]),
        (StatusCode::OK, &b"replica"[..])
    );
    assert_eq!(
        degraded(&answer),
        Some("replica;cause=failed;given=service")
    );
    assert_eq!(replica.hits(), 1);
    let with_body = server.request("GET", "/", Body::from("a query"));
    for request in [server.request("POST", "/", Body::empty()), with_body] {
        assert!(ask(request).await.status.is_server_error());
    }
    assert_eq!(replica.hits(), 1, "a request that it must not see");
}

#[tokio::test]
async fn route_that_is_off_says_when_to_come_back_and_is_on_again() {
    let levels = Levels::builder("shop").build().unwrap();
    let search = get(|| async { "found" });
    let search = search.layer(
        ServiceBuilder::new()
            .layer(RespondLayer::new())
            .layer(LevelLayer::http("search", &levels, Level::Reduced)),
    );
    let app = Router::new().route("/search", search);
    let server = Server::axum(app.route("/", get(|| async { "shop" }))).await;
    levels.set(Level::Essential);
    let off = ask(server.get("/search")).await;
    assert_eq!(off.problem(), (503, "shed".to_owned()));
    assert_eq!(ask(server.get("/")).await.body, "shop");
    levels.release();
    assert_eq!(ask(server.get("/search")).await.body, "found");
}

async fn features_in_tasks(less: Degradations) -> Json<Value> {
    let tasks = ["price", "reviews", "stock"].map(|name| {
        let feature = feature(name)
            .timeout(Duration::from_secs(600))
            .fallback("none");
        let down = name != "price";
        tokio::spawn(less.scope(feature.run(async move {
            if down {
                return Err(std::io::Error::other("down"));
            }
            Ok("there")
        })))
    });
    let mut values = Vec::new();
    for task in tasks {
        values.push(task.await.unwrap().unwrap());
    }
    let mut names = less.names();
    names.sort_unstable();
    Json(json!({"values": values, "degraded_features": names}))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_of_features_in_tasks_end_in_body_and_field_of_their_own_page() {
    let app = Router::new().route("/", get(features_in_tasks)).route(
        "/whole",
        get(async |less: Degradations| Json(json!(less.names()))),
    );
    let server = Server::axum(app.layer(DegradedLayer::new())).await;
    for _ in 0..20 {
        let (page, whole) = tokio::join!(ask(server.get("/")), ask(server.get("/whole")));
        let body: Value = serde_json::from_slice(&page.body).unwrap();
        let expected = json!({
            "values": ["there", "none", "none"],
            "degraded_features": ["reviews", "stock"],
        });
        assert_eq!(body, expected);
        let mut names: Vec<_> = degraded(&page).unwrap().split(", ").collect();
        names.sort_unstable();
        assert_eq!(names, ["reviews", "stock"]);
        assert_eq!((degraded(&whole), &whole.body[..]), (None, &b"[]"[..]));
    }
}
