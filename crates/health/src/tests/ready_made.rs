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

#[tokio::test(start_paused = true)]
async fn lag_is_measured_and_judged() {
    let check = checks::event_loop_lag().warn_above(-1.0);
    assert_eq!(seen(check).await.0, Some(Status::Warn));
    assert_eq!(seen(checks::event_loop_lag()).await.0, Some(Status::Pass));
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
