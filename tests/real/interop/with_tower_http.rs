//! What only one of tower-http's layers could break: bodies within bodies, statuses that it makes itself, uploads that it cuts.

use std::io;

use axum::Router;
use axum::body::Body;
use axum::routing::{get, post};
use bytes::Bytes;
use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt, Full};
use seaworthy::bulkhead::BulkheadLayer;
use seaworthy::circuit_breaker::State;
use seaworthy::http::RespondLayer;
use seaworthy_tests::{Answer, Frames, Gate, Protocol, Server, Upstream, eventually, within};
use tower::{Layer, ServiceExt};
use tower_http::compression::CompressionLayer;
use tower_http::decompression::Decompression;
use tower_http::limit::{RequestBodyLimit, RequestBodyLimitLayer};
use tower_http::timeout::{RequestBodyTimeoutLayer, ResponseBodyTimeout, Timeout, TimeoutLayer};
use tower_http::trace::{Trace, TraceLayer};

use super::promises::FAILURES;
use super::site::{Site, text};
use super::{boxed, wire};
use crate::stack::{AGES, SHORT, idle, is_idle};

/// Something that can be compressed, and ends when the test says so.
fn fed() -> (
    tokio::sync::mpsc::UnboundedSender<Result<Frame<Bytes>, io::Error>>,
    Response<Body>,
) {
    let (frames, body) = Frames::channel();
    frames.send(Ok(Frame::data(text()))).unwrap();
    let response = Response::builder().header(CONTENT_TYPE, "text/plain");
    (frames, response.body(Body::new(body)).unwrap())
}

fn accepts_gzip(mut request: Request<Body>) -> Request<Body> {
    let gzip = HeaderValue::from_static("gzip");
    request.headers_mut().insert(ACCEPT_ENCODING, gzip);
    request
}

#[tokio::test]
async fn slot_of_a_server_is_held_to_the_end_of_a_compressed_body() {
    for (protocol, is_compressed_outside) in Protocol::ALL.into_iter().zip([true, false]) {
        for is_read in [true, false] {
            let (feed, response) = fed();
            let response = std::sync::Mutex::new(Some(response));
            let handler = move || {
                let first = response.lock().unwrap().take();
                async move { first.unwrap_or_default() }
            };
            let layer = BulkheadLayer::http("server").max_concurrent(1).build();
            let layer = layer.unwrap();
            let bulkhead = layer.handle();
            let routes = Router::new().route("/", get(handler_of(handler)));
            let (edge, trace) = (RespondLayer::new(), TraceLayer::new_for_http());
            let routes = if is_compressed_outside {
                routes.layer((trace, CompressionLayer::new(), edge, layer))
            } else {
                routes.layer((trace, edge, layer, CompressionLayer::new()))
            };
            let server = Server::axum(routes).await;

            let client = protocol.hyper::<Body>();
            let held = client.request(accepts_gzip(server.get("/")));
            let held = within("the head", held).await.unwrap();
            assert_eq!(held.headers()[CONTENT_ENCODING], "gzip");
            assert_eq!(bulkhead.snapshot().running, 1);
            let refused = protocol.send(server.get("/")).await;
            assert_eq!(refused.problem(), (503, "bulkhead_full".to_owned()));

            if is_read {
                drop(feed);
                let gzip = within("the body", held.into_body().collect())
                    .await
                    .unwrap();
                let gzip = gzip.to_bytes();
                assert_eq!(gzip[..2], [0x1f, 0x8b], "that is how gzip begins");
                assert!(gzip.len() < text().len() / 2);
            } else {
                drop(held);
                drop(client);
            }
            idle(&bulkhead).await;
            assert_eq!(protocol.send(server.get("/")).await.status, StatusCode::OK);
        }
    }
}

/// A handler that axum takes: its own must be cloned.
fn handler_of<F, Fut>(
    handler: F,
) -> impl Fn() -> std::pin::Pin<Box<dyn Future<Output = Response<Body>> + Send>> + Clone + Send + 'static
where
    F: Fn() -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Response<Body>> + Send + 'static,
{
    let handler = std::sync::Arc::new(handler);
    move || Box::pin(handler())
}

#[tokio::test]
async fn body_that_breaks_off_behind_trace_and_compression_is_a_failure() {
    for protocol in Protocol::ALL {
        let (feeds, mut fed_by) = tokio::sync::mpsc::unbounded_channel();
        let upstream = Upstream::start(move |_| {
            let (feed, response) = fed();
            feeds.send(feed).unwrap();
            async { response }
        })
        .await;
        let (layer, circuit, _) = circuit!(http);
        let service = Trace::new_for_http(wire(protocol));
        let client = boxed(layer.layer(Decompression::new(service)));
        for failures in 1..=FAILURES {
            assert_eq!(circuit.state(), State::Closed);
            let request = upstream.server().get("/").map(|_| Full::default());
            let answer = within("a head", client.clone().oneshot(request)).await;
            let body = answer.unwrap().into_body();
            assert_eq!(circuit.snapshot().failures, u64::from(failures) - 1);
            let feed = fed_by.recv().await.unwrap();
            feed.send(Err(io::Error::other("broken"))).unwrap();
            assert!(within("its end", body.collect()).await.is_err());
        }
        assert_eq!(circuit.state(), State::Open);
    }
}

#[tokio::test]
async fn timeout_of_tower_http_inside_is_a_failure_by_the_status_that_it_is_given() {
    for (status, state) in [
        (StatusCode::GATEWAY_TIMEOUT, State::Open),
        // What the caller did wrong is no failure of the dependency, and that is what 408 says.
        (StatusCode::REQUEST_TIMEOUT, State::Closed),
    ] {
        let site = Site::bare().await;
        let (layer, circuit, _) = circuit!(http);
        let timeout = Timeout::with_status_code(wire(Protocol::Http1), status, SHORT);
        let client = boxed(layer.layer(timeout));
        for _ in 0..FAILURES {
            let answer = within("an answer", client.clone().oneshot(site.get("/gate"))).await;
            assert_eq!(answer.unwrap().status(), status);
        }
        assert_eq!(circuit.state(), state);
        assert_eq!(circuit.snapshot().in_flight, 0);
    }
}

#[tokio::test]
async fn timeout_of_tower_s_inside_is_a_failure() {
    let site = Site::bare().await;
    let (layer, circuit, _) = circuit!(http);
    let timeout = tower::timeout::Timeout::new(wire(Protocol::Http1), SHORT);
    let client = boxed(layer.layer(timeout));
    for _ in 0..FAILURES {
        let call = client.clone().oneshot(site.get("/gate"));
        let error = within("an error", call).await.unwrap_err();
        assert!(error.is::<tower::timeout::error::Elapsed>(), "{error}");
    }
    assert_eq!(circuit.state(), State::Open);
}

#[tokio::test]
async fn timeout_of_tower_http_inside_is_tried_again_with_either_status() {
    for status in [StatusCode::GATEWAY_TIMEOUT, StatusCode::REQUEST_TIMEOUT] {
        let gate = Gate::closed();
        let waits = gate.clone();
        let upstream = Upstream::start(move |seen| {
            let gate = waits.clone();
            async move {
                if seen.number == 1 {
                    gate.pass().await;
                }
                Response::new(Body::from("an answer"))
            }
        })
        .await;
        let (layer, retry) = retry!(http, .max_attempts(20));
        let timeout = Timeout::with_status_code(wire(Protocol::Http1), status, 4 * SHORT);
        let client = boxed(layer.layer(timeout));
        let request = upstream.server().get("/").map(|_| Full::default());
        let answer = within("an answer", client.oneshot(request)).await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        assert!(retry.snapshot().retries >= 1);
    }
}

#[tokio::test]
async fn timeout_of_tower_http_outside_frees_the_slot_and_says_nothing_about_the_dependency() {
    let site = Site::bare().await;
    let (layer, bulkhead) = bulkhead!(http);
    let (breaker, circuit, _) = circuit!(http);
    // tower-http makes an empty body of the same type, and axum's can be made so.
    let service = boxed(breaker.layer(layer.layer(wire(Protocol::Http1))));
    let client = boxed(Timeout::with_status_code(
        service,
        StatusCode::GATEWAY_TIMEOUT,
        SHORT,
    ));
    for _ in 0..2 * FAILURES {
        let answer = within("an answer", client.clone().oneshot(site.get("/gate"))).await;
        assert_eq!(answer.unwrap().status(), StatusCode::GATEWAY_TIMEOUT);
        assert!(is_idle(&bulkhead));
    }
    assert_eq!(circuit.state(), State::Closed);
    let seen = circuit.snapshot();
    assert_eq!((seen.failures, seen.in_flight), (0, 0));
}

#[tokio::test]
async fn body_that_stalls_behind_a_timeout_of_tower_http_is_a_failure_and_frees_its_slot() {
    let site = Site::bare().await;
    let (layer, bulkhead) = bulkhead!(http);
    let (breaker, circuit, _) = circuit!(http);
    let cut = ResponseBodyTimeout::new(wire(Protocol::Http1), SHORT);
    let client = boxed(breaker.layer(layer.layer(cut)));
    for _ in 0..FAILURES {
        assert_eq!(circuit.state(), State::Closed);
        let answer = within("a head", client.clone().oneshot(site.get("/held"))).await;
        let body = answer.unwrap().into_body();
        assert!(within("its end", body.collect()).await.is_err());
        assert!(is_idle(&bulkhead));
    }
    assert_eq!(circuit.state(), State::Open);
}

#[tokio::test]
async fn upload_beyond_a_body_limit_takes_no_slot_or_gives_it_back() {
    for protocol in Protocol::ALL {
        for is_limited_outside in [true, false] {
            let layer = BulkheadLayer::http("server").max_concurrent(1).build();
            let layer = layer.unwrap();
            let bulkhead = layer.handle();
            let limit = RequestBodyLimitLayer::new(1000);
            let edge = RespondLayer::new();
            let routes = Router::new().route("/", post(|body: Bytes| async move { body }));
            let routes = if is_limited_outside {
                routes.layer((limit, edge, layer))
            } else {
                routes.layer((edge, layer, limit))
            };
            let server = Server::axum(routes).await;
            let upload = |body: Body| {
                let mut request = server.get("/");
                *request.method_mut() = Method::POST;
                *request.body_mut() = body;
                request
            };
            // One that says how long it is, and one that does not.
            for body in [Body::from(vec![b'.'; 2000]), endless()] {
                let answer = protocol.hyper().request(upload(body)).await.unwrap();
                assert_eq!(answer.status(), StatusCode::PAYLOAD_TOO_LARGE);
                drop(answer);
                idle(&bulkhead).await;
            }
            let answer = Answer::read(
                protocol
                    .hyper()
                    .request(upload(Body::from("short")))
                    .await
                    .unwrap(),
            )
            .await;
            assert_eq!(
                (answer.status, &*answer.body),
                (StatusCode::OK, &b"short"[..])
            );
            idle(&bulkhead).await;
        }
    }
}

fn endless() -> Body {
    Body::new(seaworthy_tests::Endless::new(std::sync::Arc::default()))
}

#[tokio::test]
async fn upload_that_a_body_limit_inside_refuses_is_not_tried_again() {
    let site = Site::bare().await;
    let (layer, retry) = retry!(http);
    let (breaker, circuit, _) = circuit!(http);
    let limited = RequestBodyLimit::new(wire(Protocol::Http1), 1000);
    let client = boxed(layer.layer(breaker.layer(limited)));
    let mut request = site.get("/");
    *request.method_mut() = Method::PUT;
    *request.body_mut() = Full::from(vec![b'.'; 2000]);
    let length = HeaderValue::from_static("2000");
    request.headers_mut().insert(CONTENT_LENGTH, length);
    let answer = within("an answer", client.oneshot(request)).await.unwrap();
    assert_eq!(answer.status(), StatusCode::PAYLOAD_TOO_LARGE);
    drop(answer);
    assert_eq!((site.hits(), retry.snapshot().retries), (0, 0));
    assert_eq!(circuit.snapshot().failures, 0);
}

#[tokio::test]
async fn whole_server_of_both_passes_traffic_and_leaves_nothing_behind() {
    for protocol in Protocol::ALL {
        let bulkhead = BulkheadLayer::http("server").max_concurrent(4).build();
        let bulkhead = bulkhead.unwrap();
        let slots = bulkhead.handle();
        let (timeout, _) = time_limit!(http);
        let stack = tower::ServiceBuilder::new()
            .layer(TraceLayer::new_for_http())
            .layer(TimeoutLayer::with_status_code(
                StatusCode::GATEWAY_TIMEOUT,
                AGES,
            ))
            .map_response(|response: Response<_>| response.map(Body::new))
            .layer(CompressionLayer::new())
            .layer(RequestBodyTimeoutLayer::new(AGES))
            .layer(RequestBodyLimitLayer::new(1 << 20))
            .layer(RespondLayer::new())
            .layer(tower::load_shed::LoadShedLayer::new())
            .layer(bulkhead)
            .layer(tower::limit::ConcurrencyLimitLayer::new(4))
            .layer(timeout)
            .buffer(64);
        let routes = Router::new().route("/", post(|body: Bytes| async move { body }));
        let server = Server::axum(routes.layer(stack)).await;
        let client = boxed(Decompression::new(wire(protocol)));
        let calls = (0..200).map(|number: u32| {
            let mut request = server.get("/").map(|_| Full::<Bytes>::default());
            *request.method_mut() = Method::POST;
            let body = Bytes::from(number.to_string().repeat(200));
            *request.body_mut() = Full::new(body.clone());
            let call = client.clone().oneshot(request);
            async move {
                let answer = within("an answer", call).await.unwrap();
                let status = answer.status();
                let answer = answer.into_body().collect().await.unwrap().to_bytes();
                assert!(
                    status == StatusCode::SERVICE_UNAVAILABLE || answer == body,
                    "{status}"
                );
                u32::from(status == StatusCode::OK)
            }
        });
        let answered = futures_util::future::join_all(calls).await;
        assert!(answered.iter().sum::<u32>() > 0);
        eventually("every slot is back", || is_idle(&slots)).await;
    }
}
