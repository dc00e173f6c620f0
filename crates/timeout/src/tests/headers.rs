//! What a callee is told, and what a server takes from its caller.

use std::sync::{Arc, Mutex};

use http::{HeaderMap, Request, Response};
use http_body_util::Empty;
use seaworthy_http::deadline_header::DeadlineHeaders;
use tokio::time::advance;
use tower::{ServiceExt, service_fn};

use super::*;
use crate::deadline::{remaining, scope};

type Body = Empty<bytes::Bytes>;
type Telling = Builder<seaworthy_http::Http, crate::Fixed, DeadlineHeaders>;

fn request(headers: &[(&'static str, &'static str)]) -> Request<Body> {
    let mut request = Request::new(Body::new());
    for (name, value) in headers {
        request.headers_mut().insert(*name, value.parse().unwrap());
    }
    request
}

/// The headers that reach the callee.
async fn told(
    build: impl FnOnce(Telling) -> Telling,
    headers: &[(&'static str, &'static str)],
) -> Result<HeaderMap, RejectionKind> {
    let layer = TimeoutLayer::http("out").propagate(DeadlineHeaders::default());
    let arrived = Arc::new(Mutex::new(HeaderMap::new()));
    let inner = service_fn(|request: Request<Body>| {
        *arrived.lock().unwrap() = request.into_parts().0.headers;
        std::future::ready(Ok::<_, BoxError>(Response::new(Body::new())))
    });
    let service = build(layer).build().unwrap().layer(inner);
    match service.oneshot(request(headers)).await {
        Ok(_) => Ok(arrived.lock().unwrap().clone()),
        Err(error) => Err(kind(&error)),
    }
}

/// What the callee of a plain HTTP request is told.
async fn millis(build: impl FnOnce(Telling) -> Telling) -> String {
    let headers = told(build, &[]).await.unwrap();
    headers["x-request-timeout-ms"].to_str().unwrap().to_owned()
}

const GRPC: (&str, &str) = ("content-type", "application/grpc");

#[tokio::test(start_paused = true)]
async fn callee_is_told_the_layers_own_limit() {
    assert_eq!(millis(|layer| layer.limit(2 * SECOND)).await, "2000");
    let whole = |layer: Telling| layer.limit(2 * SECOND).body_limit(9 * SECOND);
    assert_eq!(
        millis(whole).await,
        "9000",
        "it thinks of the whole response"
    );
    let margin = |layer: Telling| layer.limit(2 * SECOND).margin(50 * MILLI);
    assert_eq!(millis(margin).await, "1950");
}

#[tokio::test(start_paused = true)]
async fn callee_is_told_what_is_left_where_that_is_less() {
    scope(in_time(5 * SECOND), async {
        advance(2 * SECOND).await;
        assert_eq!(millis(|layer| layer.limit(9 * SECOND)).await, "3000");
        assert_eq!(millis(|layer| layer.limit(SECOND)).await, "1000");
        assert_eq!(millis(|layer| layer.limit(Duration::MAX)).await, "3000");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn each_attempt_is_told_what_is_left_then() {
    let attempt = async || {
        let headers = told(|layer| layer.limit(4 * SECOND), &[GRPC]).await;
        headers.unwrap()["grpc-timeout"].clone()
    };
    scope(in_time(5 * SECOND), async {
        assert_eq!(attempt().await, "4000000u", "the limit of the attempt");
        advance(3 * SECOND).await;
        assert_eq!(attempt().await, "2000000u", "what is left of the whole");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn grpc_is_told_in_its_own_header() {
    let headers = told(|layer| layer.limit(2 * SECOND), &[GRPC])
        .await
        .unwrap();
    assert_eq!(headers["grpc-timeout"], "2000000u");
    assert!(!headers.contains_key("x-request-timeout-ms"));
}

#[tokio::test(start_paused = true)]
async fn request_that_says_less_keeps_it() {
    let limit = |layer: Telling| layer.limit(2 * SECOND);
    let shorter = [GRPC, ("grpc-timeout", "1S")];
    let headers = told(limit, &shorter).await.unwrap();
    assert_eq!(headers["grpc-timeout"], "1000000u");
    let longer = [GRPC, ("grpc-timeout", "9S")];
    let headers = told(limit, &longer).await.unwrap();
    assert_eq!(headers["grpc-timeout"], "2000000u");
}

#[tokio::test(start_paused = true)]
async fn without_any_limit_headers_stay_as_they_are() {
    let given = [GRPC, ("grpc-timeout", "9S")];
    let headers = told(|layer| layer.limit(Duration::MAX), &given).await;
    assert_eq!(headers.unwrap()["grpc-timeout"], "9S");
}

#[tokio::test(start_paused = true)]
async fn call_with_less_left_than_can_be_told_is_refused() {
    let no_time = Err(RejectionKind::DeadlineExceeded);
    let deadline = in_time(SECOND);
    scope(deadline, async {
        advance(SECOND - 2 * MILLI).await;
        assert_eq!(millis(|layer| layer).await, "2");
        assert_eq!(told(|layer| layer.margin(2 * MILLI), &[]).await, no_time);
        advance(MILLI + Duration::from_micros(1)).await;
        assert_eq!(told(|layer| layer, &[]).await, no_time);
        let grpc = told(|layer| layer, &[GRPC]).await.unwrap();
        assert_eq!(grpc["grpc-timeout"], "999000n");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn untold_callee_gets_the_request_as_it_is() {
    let layer = TimeoutLayer::http("out").limit(SECOND).build().unwrap();
    let inner = service_fn(|request: Request<Body>| {
        assert!(request.headers().is_empty());
        std::future::ready(Ok::<_, BoxError>(Response::new(Body::new())))
    });
    layer.layer(inner).oneshot(request(&[])).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn server_takes_the_deadline_of_its_caller_and_passes_on_what_is_left() {
    let server = DeadlineLayer::http("in").max(10 * SECOND).build().unwrap();
    let client = TimeoutLayer::http("out").propagate(DeadlineHeaders::default());
    let client = client.margin(100 * MILLI).build().unwrap();
    let callee = service_fn(|request: Request<Body>| {
        let mut response = Response::new(Body::new());
        *response.headers_mut() = request.into_parts().0.headers;
        std::future::ready(Ok::<_, BoxError>(response))
    });
    let client = client.layer(callee);
    let handler = service_fn(move |_: Request<Body>| {
        let client = client.clone();
        async move {
            advance(2 * SECOND).await;
            client.oneshot(request(&[])).await
        }
    });
    let server = server.layer(handler);
    let told = async |headers: &[(&'static str, &'static str)]| {
        let response = server.clone().oneshot(request(headers)).await.unwrap();
        response.headers()["x-request-timeout-ms"].clone()
    };
    assert_eq!(told(&[GRPC, ("grpc-timeout", "5S")]).await, "2900");
    assert_eq!(told(&[("x-request-timeout-ms", "6000")]).await, "3900");
    assert_eq!(told(&[("x-request-timeout-ms", "60000")]).await, "7900");
    assert_eq!(told(&[("x-request-timeout-ms", "-1")]).await, "7900");
}

#[tokio::test(start_paused = true)]
async fn headers_can_be_chosen() {
    let mine = http::HeaderName::from_static("x-patience-ms");
    let layer = DeadlineLayer::http("in").carry(DeadlineHeaders::new([mine]));
    let inner = service_fn(|_: Request<Body>| {
        let left = remaining().map_or(0, |left| left.as_millis());
        let response = Response::builder().header("x-left", left as u64);
        std::future::ready(Ok::<_, BoxError>(response.body(Body::new()).unwrap()))
    });
    let service = layer.build().unwrap().layer(inner);
    let headers = [("x-patience-ms", "1500"), ("x-request-timeout-ms", "7")];
    let response = service.oneshot(request(&headers)).await.unwrap();
    assert_eq!(response.headers()["x-left"], "1500");
}
