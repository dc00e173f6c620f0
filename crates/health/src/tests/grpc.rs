//! The face over gRPC, byte by byte; with tonic's client over sockets it is in `tests/real`.

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Full, StreamBody};
use tower::{Layer, ServiceExt, service_fn};

use super::*;
use crate::GrpcHealthLayer;
use crate::grpc::Messages;
use crate::grpc::message::{ServingStatus, check_request, only_message, read_status};
use crate::http::{Content, HealthBody};

type Answered = HealthBody<Content, Messages>;

async fn ask(layer: &GrpcHealthLayer, method: &str, body: Bytes) -> Response<Answered> {
    let request = Request::post(format!("/grpc.health.v1.Health/{method}"));
    let request = request.header("content-type", "application/grpc");
    let request = request.body(Full::new(body)).unwrap();
    let response = layer.service().oneshot(request).await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["content-type"], "application/grpc");
    response
}

fn code(headers: &HeaderMap) -> Option<&str> {
    headers.get("grpc-status").map(|it| it.to_str().unwrap())
}

/// The status, or the code of an answer without one.
async fn check(layer: &GrpcHealthLayer, service: &str) -> Result<ServingStatus, String> {
    let response = ask(layer, "Check", check_request(service)).await;
    if let Some(code) = code(response.headers()) {
        assert!(response.body().is_end_stream());
        return Err(code.to_owned());
    }
    let collected = response.into_body().collect().await.unwrap();
    assert_eq!(code(collected.trailers().unwrap()), Some("0"));
    let bytes = collected.to_bytes();
    Ok(read_status(only_message(&bytes).unwrap()).unwrap())
}

/// One stream of `Watch`.
struct Watching(Answered);

impl Watching {
    async fn new(layer: &GrpcHealthLayer, service: &str) -> Self {
        let response = ask(layer, "Watch", check_request(service)).await;
        assert_eq!(code(response.headers()), None);
        Self(response.into_body())
    }

    fn poll(&mut self) -> Option<Frame<Bytes>> {
        let frame = self.0.frame().now_or_never()?;
        Some(frame?.unwrap())
    }

    /// What it says, if it says anything before time goes on.
    async fn says(&mut self) -> Option<ServingStatus> {
        for _ in 0..20 {
            if let Some(frame) = self.poll() {
                let data = frame.into_data().unwrap();
                return Some(read_status(only_message(&data).unwrap()).unwrap());
            }
            tokio::task::yield_now().await;
        }
        None
    }
}

fn registry(said: &Said) -> (Health, GrpcHealthLayer) {
    let health = Health::builder("x")
        .max_age(Duration::ZERO)
        .check(said.check("database"))
        .check(Check::new("mail", || async {}).critical(false))
        .group("payments.Payments", ["database", "mail"])
        .group("mail.Mail", ["mail"])
        .build()
        .unwrap();
    let layer = GrpcHealthLayer::new(&health);
    (health, layer)
}

use ServingStatus::{NotServing, ServiceUnknown, Serving};

#[tokio::test(start_paused = true)]
async fn check_tells_how_each_service_is() {
    let said = Said::new(Reading::pass());
    let (health, layer) = registry(&said);
    assert_eq!(check(&layer, "").await, Ok(Serving));
    assert_eq!(check(&layer, "payments.Payments").await, Ok(Serving));
    assert_eq!(check(&layer, "nobody").await, Err("5".into()), "NOT_FOUND");
    said.says(Reading::fail("no"));
    assert_eq!(check(&layer, "").await, Ok(NotServing));
    assert_eq!(check(&layer, "payments.Payments").await, Ok(NotServing));
    assert_eq!(check(&layer, "mail.Mail").await, Ok(Serving));
    health.begin_drain();
    assert_eq!(check(&layer, "mail.Mail").await, Ok(NotServing));
}

#[tokio::test(start_paused = true)]
async fn list_has_every_service() {
    let (_, layer) = registry(&Said::new(Reading::fail("no")));
    let response = ask(&layer, "List", Bytes::from_static(&[0; 5])).await;
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    let expected = crate::grpc::message::list_response([
        ("", NotServing),
        ("mail.Mail", Serving),
        ("payments.Payments", NotServing),
    ]);
    assert_eq!(bytes, expected);
}

#[tokio::test(start_paused = true)]
async fn list_asks_each_check_once() {
    let runs = Arc::new(AtomicUsize::new(0));
    let counts = {
        let runs = runs.clone();
        Check::new("a", move || {
            runs.fetch_add(1, Ordering::SeqCst);
            std::future::ready(())
        })
    };
    let health = Health::builder("x")
        .max_age(Duration::ZERO)
        .check(counts)
        .group("one", ["a"])
        .group("two", ["a"])
        .build()
        .unwrap();
    let layer = GrpcHealthLayer::new(&health);
    let response = ask(&layer, "List", Bytes::from_static(&[0; 5])).await;
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    let all = ["", "one", "two"].map(|name| (name, Serving));
    assert_eq!(bytes, crate::grpc::message::list_response(all));
    assert_eq!(runs.load(Ordering::SeqCst), 1);
    health.begin_drain();
    let response = ask(&layer, "List", Bytes::from_static(&[0; 5])).await;
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    let none = ["", "one", "two"].map(|name| (name, NotServing));
    assert_eq!(bytes, crate::grpc::message::list_response(none));
    assert_eq!(runs.load(Ordering::SeqCst), 1, "nobody is asked any more");
}

/// "If Content-Type does not begin with "application/grpc", gRPC servers SHOULD respond with HTTP status of 415": and what browsers send has another frame.
#[tokio::test(start_paused = true)]
async fn what_is_no_grpc_is_refused_before_it_is_read() {
    let (_, layer) = registry(&Said::new(Reading::pass()));
    for (content_type, status) in [
        (Some("application/grpc"), 200),
        (Some("application/grpc+proto"), 200),
        (Some("Application/gRPC; charset=utf-8"), 200),
        (Some("application/grpc-web+proto"), 415),
        (Some("application/grpcx"), 415),
        (Some("application/json"), 415),
        (None, 415),
    ] {
        let mut request = Request::post("/grpc.health.v1.Health/Check");
        if let Some(content_type) = content_type {
            request = request.header("content-type", content_type);
        }
        let request = request.body(Full::new(check_request(""))).unwrap();
        let response = layer.service().oneshot(request).await.unwrap();
        assert_eq!(response.status(), status, "{content_type:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn requests_that_nobody_can_read_are_refused() {
    let (_, layer) = registry(&Said::new(Reading::pass()));
    let long = check_request(&"x".repeat(5_000));
    for (method, body, refused) in [
        ("Check", &[][..], "13"),
        ("Check", &[0, 0, 0, 0, 1, 0xff], "13"),
        // Compressed, and nobody said how.
        ("Check", &[1, 0, 0, 0, 0], "13"),
        ("Watch", &[0, 0, 0, 0, 2, 0x0a, 9], "13"),
        ("Check", &long, "8"),
        ("Other", &long, "12"),
    ] {
        let response = ask(&layer, method, Bytes::copy_from_slice(body)).await;
        assert_eq!(code(response.headers()), Some(refused), "{method} {body:?}");
    }
    let request = || {
        let request = Request::post("/grpc.health.v1.Health/Check");
        request.header("content-type", "application/grpc")
    };
    let gzip = request().header("grpc-encoding", "gzip");
    let compressed = gzip
        .body(Full::<Bytes>::from(&[1, 0, 0, 0, 0][..]))
        .unwrap();
    let response = layer.service().oneshot(compressed).await.unwrap();
    assert_eq!(code(response.headers()), Some("12"));
    assert_eq!(response.headers()["grpc-accept-encoding"], "identity");
    let broken = futures_util::stream::iter([Err::<Frame<Bytes>, _>("broken")]);
    let halves = [long.slice(..2_500), long.slice(2_500..)];
    let halves = halves.map(|half| Ok::<_, std::io::Error>(Frame::data(half)));
    let halves = StreamBody::new(futures_util::stream::iter(halves));
    let response = layer.service().oneshot(request().body(halves).unwrap());
    assert_eq!(code(response.await.unwrap().headers()), Some("8"));
    let request = request().body(StreamBody::new(broken));
    let response = layer.service().oneshot(request.unwrap()).await.unwrap();
    assert_eq!(code(response.headers()), Some("1"));
}

#[tokio::test(start_paused = true)]
async fn watch_says_at_once_what_is_and_each_change_once() {
    let said = Said::new(Reading::pass());
    let (health, layer) = registry(&said);
    let mut watching = Watching::new(&layer, "").await;
    assert_eq!(watching.says().await, Some(Serving));
    assert_eq!(watching.says().await, None);
    // Whoever watches asks; a change that changes nothing is none.
    for (reading, says) in [
        (Reading::fail("no"), Some(NotServing)),
        (Reading::fail("still"), None),
        (Reading::pass(), Some(Serving)),
        (Reading::warn("odd"), None),
        (Reading::pass(), None),
    ] {
        said.says(reading.clone());
        advance(SECOND).await;
        assert_eq!(watching.says().await, says, "{reading:?}");
        assert_eq!(watching.says().await, None);
    }
    // A slow reader gets the present, not the past.
    for reading in [Reading::fail("no"), Reading::pass()] {
        said.says(reading);
        health.report().await;
    }
    assert_eq!(watching.says().await, None);
}

/// A stream that asked at each change would make the next change itself.
#[tokio::test(start_paused = true)]
async fn watch_asks_as_often_as_results_age_however_often_they_change() {
    let runs = Arc::new(AtomicUsize::new(0));
    let flips = {
        let runs = runs.clone();
        Check::new("flips", move || {
            let odd = runs.fetch_add(1, Ordering::SeqCst) % 2 == 1;
            std::future::ready(if odd { Status::Warn } else { Status::Pass })
        })
    };
    let health = Health::builder("x")
        .max_age(Duration::ZERO)
        .check(flips)
        .build()
        .unwrap();
    let layer = GrpcHealthLayer::new(&health);
    let mut watching = Watching::new(&layer, "").await;
    assert_eq!(watching.says().await, Some(Serving));
    for seconds in 0..5 {
        assert_eq!(watching.says().await, None);
        let runs = runs.load(Ordering::SeqCst);
        assert!((1 + seconds..=2 + seconds).contains(&runs), "{runs}");
        advance(SECOND).await;
    }
}

#[tokio::test(start_paused = true)]
async fn check_that_hangs_keeps_no_watch_from_the_drain_and_the_end() {
    let probe = Probe::default();
    let health = Health::builder("x")
        .check(probe.check("a"))
        .build()
        .unwrap();
    let layer = GrpcHealthLayer::new(&health);
    let mut watching = Watching::new(&layer, "").await;
    let mut other = Watching::new(&layer, "").await;
    assert_eq!(watching.says().await, None, "it waits for the first round");
    assert_eq!(other.says().await, None);
    health.begin_drain();
    assert_eq!(watching.says().await, Some(NotServing));
    health.close();
    for stream in [&mut watching, &mut other] {
        let trailers = stream.poll().expect("at once").into_trailers().unwrap();
        assert_eq!(code(&trailers), Some("14"));
    }
}

#[tokio::test(start_paused = true)]
async fn watch_of_what_is_good_for_ever_asks_once() {
    let said = Said::new(Reading::pass());
    let check = said.check("a").max_age(Duration::MAX);
    let health = Health::builder("x").max_age(Duration::MAX).check(check);
    let layer = GrpcHealthLayer::new(&health.build().unwrap());
    let mut watching = Watching::new(&layer, "").await;
    assert_eq!(watching.says().await, Some(Serving));
    said.says(Reading::fail("no"));
    advance(600 * SECOND).await;
    assert_eq!(watching.says().await, None);
}

#[tokio::test(start_paused = true)]
async fn watch_asks_a_check_that_has_no_result_at_once() {
    let (health, layer) = registry(&Said::new(Reading::pass()));
    let mut watching = Watching::new(&layer, "").await;
    assert_eq!(watching.says().await, Some(Serving));
    assert_eq!(watching.says().await, None);
    health.add(Check::new("late", || async {})).unwrap();
    assert_eq!(
        watching.says().await,
        None,
        "it was asked before it was told of"
    );
    let fails = Check::new("broken", || async { Err::<(), _>("no") });
    health.add(fails).unwrap();
    assert_eq!(watching.says().await, Some(NotServing));
}

#[tokio::test(start_paused = true)]
async fn watch_of_an_unknown_service_waits_for_it() {
    let (health, layer) = registry(&Said::new(Reading::pass()));
    let mut watching = Watching::new(&layer, "later").await;
    assert_eq!(watching.says().await, Some(ServiceUnknown));
    assert_eq!(watching.says().await, None);
    health.set_group("later", ["mail"]).unwrap();
    assert_eq!(watching.says().await, Some(Serving));
    health.remove_group("later");
    assert_eq!(watching.says().await, Some(ServiceUnknown));
}

#[tokio::test(start_paused = true)]
async fn watch_ends_when_the_process_does() {
    let (health, layer) = registry(&Said::new(Reading::pass()));
    let mut watching = Watching::new(&layer, "").await;
    assert_eq!(watching.says().await, Some(Serving));
    health.begin_drain();
    assert_eq!(watching.says().await, Some(NotServing));
    assert_eq!(watching.says().await, None, "a drain is not the end");
    health.close();
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
    let trailers = watching.poll().unwrap().into_trailers().unwrap();
    assert_eq!(code(&trailers), Some("14"));
    assert!(watching.0.is_end_stream());
    assert!(watching.0.frame().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn streams_are_bounded_and_give_their_places_back() {
    let (_, layer) = registry(&Said::new(Reading::pass()));
    let layer = layer.max_watches(2);
    let one = Watching::new(&layer, "").await;
    let _two = Watching::new(&layer, "nobody").await;
    let refused = ask(&layer, "Watch", check_request("")).await;
    assert_eq!(code(refused.headers()), Some("8"));
    drop(one);
    let _again = Watching::new(&layer, "").await;
}

#[tokio::test(start_paused = true)]
async fn all_other_paths_are_the_inner_service() {
    let (_, layer) = registry(&Said::new(Reading::pass()));
    let inner = service_fn(|request: Request<Full<Bytes>>| async move {
        let path = request.uri().path().to_owned();
        Ok::<_, std::io::Error>(Response::new(Full::<Bytes>::from(path)))
    });
    for path in [
        "/",
        "/grpc.health.v1.Health",
        "/grpc.health.v1.Healthy/Check",
    ] {
        let request = Request::post(path).body(Full::default()).unwrap();
        let response = layer.layer(inner).oneshot(request).await.unwrap();
        assert_eq!(
            response.into_body().collect().await.unwrap().to_bytes(),
            path
        );
    }
}

mod contract {
    use super::*;

    seaworthy_kit::testing::conformance! {
        layer: || GrpcHealthLayer::new(&Health::builder("x").build().unwrap()),
        request: || Request::new(Full::<Bytes>::default()),
        response: || Response::new(Full::<Bytes>::default()),
        readiness: always,
        errors: unchanged,
        on_drop: cancels,
    }
}
