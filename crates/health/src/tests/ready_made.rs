//! The checks that are ready-made, over loopback.

use std::convert::Infallible;

use bytes::Bytes;
use http::{Request, Response, StatusCode, Uri};
use http_body_util::{Empty, Full};
use tower::service_fn;

use super::*;
use crate::checks;

async fn seen(check: Check) -> (Option<Status>, Option<String>) {
    let health = Health::builder("x").check(check).build().unwrap();
    let report = health.report().await;
    let check = &report.checks[0];
    (check.status, check.error.as_deref().map(ToOwned::to_owned))
}

#[tokio::test]
async fn tcp_says_whether_somebody_listens() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    assert_eq!(
        seen(checks::tcp("a", &*address)).await,
        (Some(Status::Pass), None)
    );
    drop(listener);
    assert_eq!(seen(checks::tcp("a", address)).await.0, Some(Status::Fail));
    assert_eq!(
        seen(checks::tcp("a", "no address")).await.0,
        Some(Status::Fail)
    );
}

#[tokio::test(start_paused = true)]
async fn http_passes_below_400() {
    let uri = || Uri::from_static("http://stock/health");
    for (code, status) in [
        (200, Status::Pass),
        (302, Status::Pass),
        (404, Status::Fail),
        (503, Status::Fail),
    ] {
        let client = service_fn(move |request: Request<Empty<Bytes>>| async move {
            assert_eq!(
                (request.method().as_str(), request.uri().path()),
                ("GET", "/health")
            );
            let mut response = Response::new(Full::<Bytes>::from("text"));
            *response.status_mut() = StatusCode::from_u16(code).unwrap();
            Ok::<_, Infallible>(response)
        });
        let (seen, error) = seen(checks::http("a", client, uri())).await;
        assert_eq!(seen, Some(status), "{code}");
        assert_eq!(error.is_some(), status == Status::Fail);
    }
    // A body that breaks off is no answer, and one that is not read to its end keeps its connection.
    let (read, ends) = (Arc::new(AtomicUsize::new(0)), [true, false]);
    for whole in ends {
        let read = read.clone();
        let client = service_fn(move |_: Request<Empty<Bytes>>| {
            let read = read.clone();
            async move {
                let frames = (0..3).map(move |at| {
                    read.fetch_add(1, Ordering::SeqCst);
                    if at == 2 && !whole {
                        return Err(std::io::Error::other("broken"));
                    }
                    Ok(http_body::Frame::data(Bytes::from_static(b"x")))
                });
                let body = http_body_util::StreamBody::new(futures_util::stream::iter(frames));
                Ok::<_, Infallible>(Response::new(body))
            }
        });
        let (seen, error) = seen(checks::http("a", client, uri())).await;
        let told = if whole {
            (Status::Pass, None)
        } else {
            (Status::Fail, Some("broken"))
        };
        assert_eq!((seen, error.as_deref()), (Some(told.0), told.1));
    }
    assert_eq!(read.load(Ordering::SeqCst), 6);
    let fails = service_fn(|_: Request<Empty<Bytes>>| async {
        Err::<Response<Full<Bytes>>, _>(std::io::Error::other("refused"))
    });
    let (status, error) = seen(checks::http("a", fails, uri())).await;
    assert_eq!(
        (status, error.as_deref()),
        (Some(Status::Fail), Some("refused"))
    );
}

#[cfg(feature = "grpc")]
#[tokio::test(start_paused = true)]
async fn grpc_asks_the_health_service_of_the_server() {
    let said = Said::new(Reading::pass());
    let server = Health::builder("server")
        .max_age(Duration::ZERO)
        .check(said.check("a"))
        .group("ledger", ["a"])
        .build()
        .unwrap();
    let client = crate::GrpcHealthLayer::new(&server).service();
    let body = |content| content;
    let ask = async |service: &str| seen(checks::grpc("a", client.clone(), service, body)).await;
    let fails = |text: &str| (Some(Status::Fail), Some(text.to_owned()));
    for service in ["", "ledger"] {
        assert_eq!(ask(service).await, (Some(Status::Pass), None));
    }
    assert_eq!(ask("nobody").await, fails("answered NOT_FOUND"));
    said.says(Reading::fail("no"));
    assert_eq!(ask("ledger").await, fails("not serving"));
    // Who knows nothing of health says so, or is no server of gRPC.
    for (status, text) in [
        (404, "answered UNIMPLEMENTED"),
        (200, "the answer is no message of grpc.health.v1"),
    ] {
        let client = service_fn(move |_: Request<crate::http::Content>| async move {
            let mut response = Response::new(Full::<Bytes>::from("text"));
            *response.status_mut() = StatusCode::from_u16(status).unwrap();
            Ok::<_, Infallible>(response)
        });
        assert_eq!(seen(checks::grpc("a", client, "", body)).await, fails(text));
    }
}

/// A message is none of this service's before its trailers have said so.
#[cfg(feature = "grpc")]
#[tokio::test(start_paused = true)]
async fn grpc_believes_the_trailers_and_no_endless_answer() {
    use http_body::Frame;

    let serving =
        crate::grpc::message::check_response(crate::grpc::message::ServingStatus::Serving);
    let ask = async |frames: Vec<Frame<Bytes>>| {
        let frames = Arc::new(std::sync::Mutex::new(frames));
        let client = service_fn(move |_: Request<crate::http::Content>| {
            let frames = std::mem::take(&mut *frames.lock().unwrap());
            let frames = frames.into_iter().map(Ok::<_, Infallible>);
            let body = http_body_util::StreamBody::new(futures_util::stream::iter(frames));
            async move { Ok::<_, Infallible>(Response::new(body)) }
        });
        seen(checks::grpc("a", client, "", |content| content)).await
    };
    let trailers = |code: u16| {
        let mut trailers = http::HeaderMap::new();
        trailers.insert("grpc-status", code.into());
        Frame::trailers(trailers)
    };
    let message = || Frame::data(serving.clone());
    assert_eq!(
        ask(vec![message(), trailers(0)]).await.0,
        Some(Status::Pass)
    );
    let (status, error) = ask(vec![message(), trailers(14)]).await;
    assert_eq!(status, Some(Status::Fail));
    assert_eq!(error.as_deref(), Some("answered UNAVAILABLE"));
    // 4 KiB in all; beyond, nobody reads on.
    let long = || Frame::data(Bytes::from(vec![0; 3_000]));
    let (status, error) = ask(vec![long(), long(), trailers(14)]).await;
    assert_eq!(status, Some(Status::Fail));
    assert_eq!(
        error.as_deref(),
        Some("the answer is no message of grpc.health.v1")
    );
}

#[tokio::test(start_paused = true)]
async fn lag_is_measured_and_judged() {
    let check = checks::event_loop_lag().warn_above(-1.0);
    assert_eq!(seen(check).await.0, Some(Status::Warn));
    assert_eq!(seen(checks::event_loop_lag()).await.0, Some(Status::Pass));
    let busy = checks::event_loop_lag().fail_above(-1.0).warn_above(-1.0);
    let health = Health::builder("x").check(busy).build().unwrap();
    let report = health.report().await;
    assert_eq!(report.overall, Overall::Degraded, "it is not critical");
}

#[tokio::test(start_paused = true)]
async fn error_rate_is_that_of_the_window() {
    let errors = checks::ErrorRate::over(Duration::from_secs(300)).unwrap();
    let errors = errors.min_calls(4);
    let telemetry = seaworthy_kit::Telemetry::new("bulkhead", "x");
    let _listening = telemetry.subscribe(errors.listener());
    assert_eq!(errors.share(), 0.0);
    use seaworthy_kit::Outcome::{Abandoned, Failure, Ignored, Success};
    for outcome in [Failure, Success, Success, Ignored, Abandoned] {
        telemetry.ended(outcome);
    }
    assert_eq!(errors.share(), 0.0, "too few");
    telemetry.ended(Success);
    assert_eq!(errors.share(), 0.25);
    assert_eq!(errors.clone().min_calls(5).share(), 0.0);
    assert_eq!(errors.clone().min_calls(0).share(), 0.25);
    let check = errors
        .check("error_rate_5m")
        .warn_above(0.1)
        .fail_above(0.2);
    let health = Health::builder("x").check(check).build().unwrap();
    let report = health.report().await;
    assert_eq!(report.checks[0].status, Some(Status::Fail));
    assert!(report.ready, "it is not critical");
    advance(Duration::from_secs(301)).await;
    assert_eq!(errors.clone().min_calls(0).share(), 0.0);
    assert_eq!(errors.share(), 0.0);
}
