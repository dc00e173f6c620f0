//! HTTP and gRPC: which answers were accepted, and that the end of the body decides.

use ::http::{HeaderMap, Request, Response};
use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Full, StreamBody};
use seaworthy_http::criticality::PropagateCriticalityLayer;
use tower::{Layer, Service, ServiceBuilder, ServiceExt, service_fn};

use super::*;

type Answered = Response<Empty<Bytes>>;

fn web() -> ThrottleLayer<seaworthy_http::Http<seaworthy_http::OverloadClassifier>> {
    let builder = ThrottleLayer::http("search").min_requests(0).draw(draw);
    builder.build().unwrap()
}

/// What a layer counts of one call that is answered so.
async fn counted(status: u16, headers: &[(&'static str, &'static str)]) -> (u64, u64, u64) {
    let layer = web();
    let headers = headers.to_vec();
    let service = layer.layer(service_fn(move |_: Request<()>| {
        let mut response: Answered = Response::new(Empty::new());
        *response.status_mut() = status.try_into().unwrap();
        for (name, value) in &headers {
            response.headers_mut().insert(*name, value.parse().unwrap());
        }
        async move { Ok::<_, BoxError>(response) }
    }));
    let response = service.oneshot(Request::new(())).await.unwrap();
    response.into_body().collect().await.unwrap();
    counts(&layer.handle(), Critical)
}

#[tokio::test(start_paused = true)]
async fn only_answers_that_say_too_much_were_not_accepted() {
    for status in [200, 404, 409, 422, 500, 501] {
        assert_eq!(counted(status, &[]).await, (1, 1, 0), "{status}");
    }
    for status in [429, 502, 503, 504] {
        assert_eq!(counted(status, &[]).await, (1, 0, 0), "{status}");
    }
}

#[tokio::test(start_paused = true)]
async fn grpc_status_says_whether_a_call_was_accepted() {
    for (status, accepts) in [("0", 1), ("3", 1), ("13", 1), ("4", 0), ("8", 0), ("14", 0)] {
        let headers = [
            ("content-type", "application/grpc"),
            ("grpc-status", status),
        ];
        assert_eq!(counted(200, &headers).await, (1, accepts, 0), "{status}");
    }
    let cancelled = [("content-type", "application/grpc"), ("grpc-status", "1")];
    assert_eq!(counted(200, &cancelled).await, (0, 0, 0));
}

/// A stream of one frame and trailers that say "too much".
fn stream() -> Response<impl http_body::Body<Data = Bytes, Error = BoxError>> {
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", "8".parse().unwrap());
    let frames = [
        Ok::<_, BoxError>(http_body::Frame::data(Bytes::from_static(b"part"))),
        Ok(http_body::Frame::trailers(trailers)),
    ];
    let body = StreamBody::new(tokio_stream::iter(frames));
    let response = Response::builder().header("content-type", "application/grpc");
    response.body(body).unwrap()
}

#[tokio::test(start_paused = true)]
async fn stream_counts_when_it_begins_and_is_held_until_it_ends() {
    let layer = web();
    let inner = service_fn(|_: Request<()>| async { Ok::<_, BoxError>(stream()) });
    let service = layer.layer(inner);
    let response = service.clone().oneshot(Request::new(())).await.unwrap();
    let handle = layer.handle();
    assert_eq!(counts(&handle, Critical), (1, 1, 0));
    assert_eq!(handle.snapshot().in_flight, 1);
    response.into_body().collect().await.unwrap();
    assert_eq!(counts(&handle, Critical), (1, 1, 0), "once");
    assert_eq!(handle.snapshot().in_flight, 0);
    drop(service.oneshot(Request::new(())).await.unwrap());
    assert_eq!(counts(&handle, Critical), (2, 2, 0), "read or not");
}

#[tokio::test(start_paused = true)]
async fn transport_error_was_not_accepted() {
    let layer = web();
    let service = layer.layer(service_fn(|_: Request<()>| async {
        Err::<Answered, _>(BoxError::from("connection refused"))
    }));
    assert!(service.oneshot(Request::new(())).await.is_err());
    assert_eq!(counts(&layer.handle(), Critical), (1, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn class_that_a_request_names_is_the_one_that_is_booked() {
    let throttle = web();
    let handle = throttle.handle();
    let client = ServiceBuilder::new()
        .layer(PropagateCriticalityLayer::http())
        .layer(throttle)
        .service(service_fn(|request: Request<()>| async move {
            let low = request.headers()["x-criticality"] == "sheddable";
            let mut response = Response::new(Full::<Bytes>::default());
            if low {
                *response.status_mut() = ::http::StatusCode::SERVICE_UNAVAILABLE;
            }
            Ok::<_, BoxError>(response)
        }));
    let send = |class: Criticality| {
        let mut client = client.clone();
        async move {
            let mut request = Request::new(());
            request.extensions_mut().insert(class);
            let response = client.ready().await.unwrap().call(request).await?;
            response.into_body().collect().await
        }
    };
    refused_where_possible(true);
    send(Sheddable).await.unwrap();
    assert!(is_shed(&send(Sheddable).await.unwrap_err()));
    send(Critical).await.unwrap();
    assert_eq!(counts(&handle, Sheddable), (2, 0, 1));
    assert_eq!(counts(&handle, Critical), (1, 1, 0));
}
