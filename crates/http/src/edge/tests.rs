//! The edge: each rejection, each way out.

use std::task::{Context, Poll};
use std::time::Duration;

use http::header::HeaderValue;
use http_body_util::{BodyExt, Empty, Full};
use seaworthy_kit::quota::Quotas;
use seaworthy_kit::{Attempts, Exhausted, Rejection, RejectionKind, Tag};
use tower::service_fn;
use tower::{ServiceBuilder, ServiceExt};

use super::*;

mod kinds;
mod quotas;

fn rejection(kind: RejectionKind, after: Option<u64>) -> BoxError {
    let rejection = Rejection::new(kind, "gateway".into());
    Box::new(rejection.with_retry_after(after.map(Duration::from_millis)))
}

fn request(grpc: bool) -> Request<()> {
    let builder = Request::builder();
    let builder = if grpc {
        builder
            .header("content-type", "application/grpc")
            .version(Version::HTTP_2)
    } else {
        builder
    };
    builder.body(()).unwrap()
}

async fn answer_with<F>(
    layer: RespondLayer<F>,
    error: BoxError,
    grpc: bool,
) -> Response<EdgeBody<Empty<Bytes>>>
where
    F: Otherwise + Clone,
{
    let mut error = Some(error);
    let inner = service_fn(move |_: Request<()>| {
        let error = error.take().unwrap();
        async move { Err::<Response<Empty<Bytes>>, _>(error) }
    });
    let service = ServiceBuilder::new().layer(layer).service(inner);
    service.oneshot(request(grpc)).await.unwrap()
}

async fn answer(error: BoxError, grpc: bool) -> Response<EdgeBody<Empty<Bytes>>> {
    answer_with(RespondLayer::new(), error, grpc).await
}

async fn text(response: Response<EdgeBody<Empty<Bytes>>>) -> String {
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[tokio::test]
async fn wait_is_rounded_up() {
    let open = |after| rejection(RejectionKind::CircuitOpen, Some(after));
    for (millis, seconds) in [(0, "1"), (1, "1"), (1000, "1"), (1001, "2"), (29_500, "30")] {
        let layer = RespondLayer::new().jitter(0.0);
        let response = answer_with(layer, open(millis), false).await;
        assert_eq!(response.headers()["retry-after"], seconds, "{millis} ms");
    }
    let response = answer(open(1001), true).await;
    let delay = grpc::retry_delay(response.headers());
    assert_eq!(delay, Some(Duration::from_secs(2)));
}

#[tokio::test]
async fn response_still_carries_the_rejection() {
    let response = answer(rejection(RejectionKind::CircuitOpen, None), false).await;
    let rejection = response.extensions().get::<Rejection>().unwrap();
    assert_eq!(rejection.layer(), "gateway");
}

#[tokio::test]
async fn response_says_that_the_request_may_have_arrived_whatever_tag_is_further_out() {
    use seaworthy_kit::Tagged;

    for (tag, says) in [(Tag::MaybeProcessed, true), (Tag::NeverSent, false)] {
        let error = Tagged::new(tag, rejection(RejectionKind::BulkheadFull, None));
        let error = Tagged::new(Tag::DoNotRetry, error).into();
        let response = answer(error, false).await;
        let told = response.extensions().get().copied();
        assert_eq!(told, says.then_some(Tag::MaybeProcessed));
    }
}

#[tokio::test]
async fn caller_is_told_not_to_try_again_what_retries_have_given_up() {
    let exhausted = |error| -> BoxError {
        let reason = seaworthy_kit::Reason::Attempts;
        Box::new(Exhausted::new(3, Duration::ZERO, reason, error))
    };
    let pushback =
        |response: &Response<_>| response.headers().get("grpc-retry-pushback-ms").cloned();
    let errors = [
        (exhausted("cable cut".into()), 3),
        (exhausted(rejection(RejectionKind::TimedOut, None)), 3),
        (
            seaworthy_kit::Tagged::new(Tag::DoNotRetry, "quota").into(),
            1,
        ),
    ];
    for (error, attempts) in errors {
        let message = error.to_string();
        let response = answer(error, true).await;
        assert_eq!(pushback(&response).unwrap(), "-1", "{message}");
        let noted = response.extensions().get::<Attempts>();
        assert_eq!(noted, Some(&Attempts::new(attempts)), "{message}");
    }
    let response = answer(exhausted("cable cut".into()), false).await;
    assert_eq!(
        (response.status().as_u16(), pushback(&response)),
        (500, None)
    );
    assert!(response.extensions().get::<Attempts>().is_some());
    let response = answer(rejection(RejectionKind::CircuitOpen, None), true).await;
    assert_eq!(pushback(&response), None);
}

#[tokio::test]
async fn problem_names_the_kind_and_the_layer_only_if_asked() {
    let open = || rejection(RejectionKind::CircuitOpen, None);
    let body = text(answer(open(), false).await).await;
    assert!(body.contains(r#""kind":"circuit_open""#), "{body}");
    assert!(!body.contains("gateway"), "{body}");
    let body = text(answer_with(RespondLayer::new().name_layers(true), open(), false).await).await;
    assert!(body.contains(r#""layer":"gateway""#), "{body}");
}

#[tokio::test]
async fn text_of_another_error_stays_inside() {
    let secret = || BoxError::from("password=hunter2");
    for grpc in [false, true] {
        let response = answer(secret(), grpc).await;
        assert!(!format!("{:?}", response.headers()).contains("hunter2"));
        assert!(response.headers().get("retry-after").is_none());
        assert_eq!(response.status(), if grpc { 200 } else { 500 });
        assert!(!text(response).await.contains("hunter2"));
    }
    let layer = RespondLayer::new().otherwise(|_| StatusCode::BAD_GATEWAY);
    assert_eq!(answer_with(layer, secret(), false).await.status(), 502);
    let response = answer_with(layer, secret(), true).await;
    assert_eq!(
        response.headers()["grpc-status"],
        "14",
        "502 is UNAVAILABLE in gRPC"
    );
}

#[tokio::test]
async fn client_is_told_what_failed() {
    let layer = RespondLayer::in_client();
    let response = answer_with(layer, "cable cut".into(), true).await;
    assert_eq!(response.headers()["grpc-status"], "14");
    assert_eq!(response.headers()["grpc-message"], "cable cut");
    let response = answer_with(layer, "cable cut".into(), false).await;
    assert_eq!(response.status(), 502);
    let body = text(response).await;
    assert!(body.contains(r#""detail":"cable cut""#), "{body}");

    let open = || rejection(RejectionKind::CircuitOpen, None);
    let said = open().to_string();
    let response = answer_with(layer, open(), true).await;
    assert_eq!(response.headers()["grpc-status"], "14");
    let message = response.headers()["grpc-message"].as_bytes();
    assert_eq!(grpc::decode_message(message), said);
    let body = text(answer_with(layer, open(), false).await).await;
    assert!(body.contains(&said), "{body}");
}

/// hyper sends what it is given over HTTP/2, and a client resets the stream then.
#[tokio::test]
async fn answer_to_head_has_the_length_of_the_document_and_no_body() {
    let errors: [fn() -> BoxError; 2] = [
        || rejection(RejectionKind::CircuitOpen, None),
        || "cable cut".into(),
    ];
    for error in errors {
        let length = text(answer(error(), false).await).await.len();
        let mut error = Some(error());
        let inner = service_fn(move |_: Request<()>| {
            std::future::ready(Err::<Response<Empty<Bytes>>, _>(error.take().unwrap()))
        });
        let head = Request::head("/").body(()).unwrap();
        let service = RespondLayer::new().layer(inner);
        let response = service.oneshot(head).await.unwrap();
        assert_eq!(response.headers()["content-length"], length.to_string());
        assert!(response.body().is_end_stream());
        assert_eq!(text(response).await, "");
    }
}

/// A name is the user's, and may hold what no header and no JSON text may.
#[tokio::test]
async fn name_of_a_layer_breaks_out_of_nothing() {
    let name = "a\r\nx-admin: 1\0\"}\u{e4}\u{2028}%0d";
    let error = || -> BoxError {
        let rejection = Rejection::new(RejectionKind::CircuitOpen, name.into());
        Box::new(Exhausted::new(
            2,
            Duration::ZERO,
            seaworthy_kit::Reason::Attempts,
            rejection.into(),
        ))
    };
    let layer = RespondLayer::in_client().name_layers(true);
    let response = answer_with(layer, error(), false).await;
    assert!(!response.headers().contains_key("x-admin"));
    let problem: serde_json::Value = serde_json::from_str(&text(response).await).unwrap();
    assert_eq!(problem["layer"], name);
    assert!(problem["detail"].as_str().unwrap().contains(name));

    let response = answer_with(layer, error(), true).await;
    assert!(!response.headers().contains_key("x-admin"));
    let message = response.headers()["grpc-message"].as_bytes();
    assert!(message.is_ascii() && !message.contains(&b'\r'));
    assert!(grpc::decode_message(message).contains(name));
    assert!(
        response
            .extensions()
            .get::<Rejection>()
            .is_some_and(|rejection| rejection.layer() == name)
    );
}

#[tokio::test]
async fn draining_closes_an_http1_connection() {
    let response = answer(rejection(RejectionKind::Draining, None), false).await;
    assert_eq!(response.headers()["connection"], "close");
    let response = answer(rejection(RejectionKind::Draining, None), true).await;
    assert!(response.headers().get("connection").is_none());
    let inner = service_fn(async |_: Request<()>| {
        Err::<Response<Empty<Bytes>>, _>(rejection(RejectionKind::Draining, None))
    });
    let mut over_http2 = request(false);
    *over_http2.version_mut() = Version::HTTP_2;
    let service = RespondLayer::new().layer(inner);
    let response = service.oneshot(over_http2).await.unwrap();
    assert_eq!(response.status(), 503);
    assert!(response.headers().get("connection").is_none());
}

#[tokio::test]
async fn answer_passes_as_it_is() {
    let inner = service_fn(async |_: Request<()>| {
        Ok::<_, BoxError>(Response::new(Full::new(Bytes::from_static(b"fine"))))
    });
    let service = RespondLayer::new().layer(inner);
    let response = service.oneshot(request(false)).await.unwrap();
    assert_eq!(response.body().size_hint().exact(), Some(4));
    let body = response.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(body, "fine");
}

#[derive(Clone)]
struct NeverReady;

impl Service<Request<()>> for NeverReady {
    type Response = Response<Empty<Bytes>>;
    type Error = BoxError;
    type Future = std::future::Ready<Result<Self::Response, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Err(rejection(RejectionKind::Shed, None)))
    }

    fn call(&mut self, _: Request<()>) -> Self::Future {
        unreachable!("it is not ready")
    }
}

#[tokio::test]
async fn error_of_readiness_becomes_a_response_too() {
    let service = RespondLayer::new().layer(NeverReady);
    let response = service.oneshot(request(false)).await.unwrap();
    assert_eq!(response.status(), 503);
}

/// A body that gives one frame and then fails.
struct Breaks(Option<BoxError>, bool);

impl Body for Breaks {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, BoxError>>> {
        if std::mem::take(&mut self.1) {
            return Poll::Ready(Some(Ok(http_body::Frame::data(Bytes::from_static(b"x")))));
        }
        let error = self.0.take();
        Poll::Ready(Some(Err(error.unwrap_or_else(|| "again".into()))))
    }
}

async fn broken(grpc: bool) -> Result<http_body_util::Collected<Bytes>, BoxError> {
    let late = rejection(RejectionKind::TimedOut, None);
    broken_with(RespondLayer::new(), late, [grpc, grpc]).await
}

async fn broken_with(
    layer: RespondLayer,
    error: BoxError,
    [asks_grpc, grpc]: [bool; 2],
) -> Result<http_body_util::Collected<Bytes>, BoxError> {
    let mut error = Some(error);
    let inner = service_fn(move |_: Request<()>| {
        let mut response = Response::new(Breaks(error.take(), true));
        if grpc {
            let value = HeaderValue::from_static("application/grpc");
            response.headers_mut().insert("content-type", value);
        }
        std::future::ready(Ok::<_, BoxError>(response))
    });
    let service = layer.layer(inner);
    let response = service.oneshot(request(asks_grpc)).await.unwrap();
    response.into_body().collect().await
}

#[tokio::test]
async fn broken_grpc_body_ends_with_a_status() {
    let collected = broken(true).await.unwrap();
    assert_eq!(collected.trailers().unwrap()["grpc-status"], "4");
}

#[tokio::test]
async fn message_of_a_broken_grpc_body_is_for_clients_only() {
    for (layer, message) in [
        (RespondLayer::new(), "the response broke off"),
        (RespondLayer::in_client(), "cable cut"),
    ] {
        let collected = broken_with(layer, "cable cut".into(), [true, true]).await;
        let collected = collected.unwrap();
        let trailers = collected.trailers().unwrap();
        assert_eq!(trailers["grpc-status"], "13");
        assert_eq!(trailers["grpc-message"], message);
    }
}

#[tokio::test]
async fn broken_http_body_fails() {
    let error = broken(false).await.unwrap_err();
    assert!(Rejection::find(&*error).is_some());
    for only_one_is_grpc in [[true, false], [false, true]] {
        let broken = broken_with(RespondLayer::new(), "cable cut".into(), only_one_is_grpc);
        assert!(broken.await.is_err(), "{only_one_is_grpc:?}");
    }
}

#[tokio::test]
async fn broken_body_has_nothing_more() {
    for grpc in [false, true] {
        let breaks = Breaks(Some("cable cut".into()), false);
        let mut body = EdgeBody::inner(breaks, grpc, false);
        assert!(!body.is_end_stream());
        assert_eq!(body.size_hint().exact(), None);
        let last = body.frame().await.expect("its end is told");
        assert_eq!(last.is_ok_and(|frame| frame.is_trailers()), grpc);
        assert!(body.is_end_stream());
        assert_eq!(body.size_hint().exact(), Some(0));
        assert!(body.frame().await.is_none());
    }
}

#[tokio::test]
async fn future_of_the_edge_may_be_spawned() {
    fn bad_gateway(_: &BoxError) -> StatusCode {
        StatusCode::BAD_GATEWAY
    }
    // As a server does with a connection: the compiler must see that it is `Send`.
    let inner = service_fn(|_: Request<()>| async {
        Err::<Response<Empty<Bytes>>, _>(std::io::Error::other("cable cut"))
    });
    let fixed = RespondLayer::new().layer(inner);
    let answered = tokio::spawn(async move { fixed.oneshot(request(false)).await.unwrap() });
    assert_eq!(answered.await.unwrap().status(), 500);
    let asked = RespondLayer::new().otherwise(bad_gateway).layer(inner);
    let answered = tokio::spawn(async move { asked.oneshot(request(false)).await.unwrap() });
    assert_eq!(answered.await.unwrap().status(), 502);
}
