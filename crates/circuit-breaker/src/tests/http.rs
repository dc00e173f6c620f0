//! HTTP and gRPC by name: what counts as a failure, and when a call is over.

use ::http::{HeaderMap, Request, Response};
use bytes::Bytes;
use http_body::Frame;
use http_body_util::{BodyExt, Empty, StreamBody};

use super::*;

fn fragile_http(clock: &ManualClock) -> Builder<seaworthy_http::Http> {
    CircuitBreakerLayer::http("stock")
        .circuit(fragile(clock).circuit)
        .clock(clock.clock())
}

#[tokio::test]
async fn server_error_is_a_failure_and_its_retry_after_prolongs_the_opening() {
    let clock = ManualClock::new();
    let layer = fragile_http(&clock).build().unwrap();
    let service = layer.layer(service_fn(async |_: Request<()>| {
        let response = Response::builder().status(503).header("retry-after", "90");
        Ok::<_, BoxError>(response.body(Empty::<Bytes>::new()).unwrap())
    }));
    let response = service.oneshot(Request::new(())).await.unwrap();
    assert_eq!(response.status(), 503);
    drop(response);
    let snapshot = layer.handle().snapshot();
    assert_eq!(snapshot.state, State::Open);
    assert_eq!(snapshot.until, Some(Duration::from_secs(90)));
}

#[tokio::test]
async fn caller_s_own_mistake_is_no_failure() {
    let clock = ManualClock::new();
    let layer = fragile_http(&clock).build().unwrap();
    let service = layer.layer(service_fn(async |status: Request<u16>| {
        let response = Response::builder().status(*status.body());
        Ok::<_, BoxError>(response.body(Empty::<Bytes>::new()).unwrap())
    }));
    for status in [400, 404, 429] {
        let _response = service.clone().oneshot(Request::new(status)).await.unwrap();
        assert_eq!(layer.handle().state(), State::Closed, "{status}");
    }
}

#[tokio::test]
async fn failure_in_the_trailers_of_grpc_opens_it_at_the_end_of_the_body() {
    let clock = ManualClock::new();
    let layer = fragile_http(&clock).build().unwrap();
    let service = layer.layer(service_fn(async |_: Request<()>| {
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", "14".parse().unwrap());
        let frames = [
            Ok::<_, BoxError>(Frame::data(Bytes::from_static(b"some"))),
            Ok(Frame::trailers(trailers)),
        ];
        let response = Response::builder().header("content-type", "application/grpc");
        let body = StreamBody::new(tokio_stream::iter(frames));
        Ok::<_, BoxError>(response.body(body).unwrap())
    }));
    let response = service.oneshot(Request::new(())).await.unwrap();
    assert_eq!(layer.handle().state(), State::Closed);
    assert_eq!(layer.handle().snapshot().in_flight, 1);
    response.into_body().collect().await.unwrap();
    assert_eq!(layer.handle().state(), State::Open);
    assert_eq!(layer.handle().snapshot().in_flight, 0);
}
