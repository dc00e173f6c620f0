//! gRPC: keys in metadata, refusals as statuses, trailers in replays.

use http_body::Frame;
use http_body_util::StreamBody;
use seaworthy_http::grpc::{self, GrpcStatus};

use super::*;

fn unary(key: Option<&str>, message: &str) -> Request<ReqBody> {
    let mut request = Request::post("/payments.v1.Payments/Charge")
        .header("content-type", "application/grpc+proto")
        .header("te", "trailers")
        .body(Full::from(message.to_owned()))
        .unwrap();
    if let Some(key) = key {
        request
            .headers_mut()
            .insert("idempotency-key", key.parse().unwrap());
    }
    request
}

type Frames = futures_util::stream::Iter<std::vec::IntoIter<Result<Frame<Bytes>, BoxError>>>;

/// A unary answer: a message, and the status in the trailers.
fn ended(status: GrpcStatus) -> Response<StreamBody<Frames>> {
    let mut trailers = http::HeaderMap::new();
    trailers.insert("grpc-status", u16::from(status.code()).into());
    trailers.insert("grpc-message", "said by the handler".parse().unwrap());
    trailers.insert("x-custom", "1".parse().unwrap());
    let frames = vec![
        Ok(Frame::data(Bytes::from("message"))),
        Ok(Frame::trailers(trailers)),
    ];
    let mut response = Response::new(StreamBody::new(futures_util::stream::iter(frames)));
    response
        .headers_mut()
        .insert("content-type", "application/grpc".parse().unwrap());
    response
}

fn status(response: &Out) -> Option<GrpcStatus> {
    assert_eq!(response.status(), 200);
    grpc::status(response.headers())
}

#[tokio::test(start_paused = true)]
async fn replay_has_message_and_trailers() {
    // IK-24.
    let store = TestStore::default();
    let service = options(&store)
        .build()
        .unwrap()
        .layer(service_fn(|_| async {
            Ok::<_, BoxError>(ended(GrpcStatus::Ok))
        }));
    for again in [false, true] {
        let answer = service
            .clone()
            .oneshot(unary(Some("k"), "charge"))
            .await
            .unwrap();
        assert_eq!(answer.headers().contains_key("idempotent-replayed"), again);
        assert_eq!(answer.headers()["content-type"], "application/grpc");
        let collected = answer.into_body().collect().await.unwrap();
        let trailers = collected.trailers().unwrap().clone();
        assert_eq!(trailers["grpc-status"], "0");
        assert_eq!(trailers["grpc-message"], "said by the handler");
        assert_eq!(trailers["x-custom"], "1");
        assert_eq!(collected.to_bytes(), "message");
    }
    assert_eq!(store.steps(), ["claim", "complete", "claim"]);
}

#[tokio::test(start_paused = true)]
async fn status_in_the_trailers_decides_what_is_stored() {
    // IK-24: the HTTP status is 200 whatever happened.
    for code in 0..=16 {
        let ending = GrpcStatus::from_code(code);
        let store = TestStore::default();
        let service = options(&store)
            .build()
            .unwrap()
            .layer(service_fn(move |_| async move {
                Ok::<_, BoxError>(ended(ending))
            }));
        service.oneshot(unary(Some("k"), "charge")).await.unwrap();
        // The caller's own mistakes are settled; what may be otherwise next time is not.
        let settled = matches!(code, 0 | 3 | 5 | 6 | 7 | 9 | 11 | 12 | 16);
        let expected = if settled { "completed" } else { "overdue" };
        assert_eq!(store.is(), expected, "{ending}");
    }
}

#[tokio::test(start_paused = true)]
async fn answer_without_a_status_is_not_stored() {
    let bench = Bench::new();
    let mut cut = reply(200, "message");
    cut.headers_mut()
        .insert("content-type", "application/grpc".parse().unwrap());
    bench.run(unary(Some("k"), "charge"), cut);
    assert_eq!(bench.store.is(), "overdue");
}

#[tokio::test(start_paused = true)]
async fn refusals_are_statuses_with_retry_info() {
    // IK-24: ABORTED with RetryInfo, FAILED_PRECONDITION, INVALID_ARGUMENT.
    let bench = Bench::with(|options| {
        let options = options.key_use(|_| Some(KeyUse::Required));
        options.max_request_body(20)
    });
    let missing = bench.answered(unary(None, "charge"));
    assert_eq!(status(&missing), Some(GrpcStatus::InvalidArgument));
    let malformed = bench.answered(unary(Some("\"a"), "charge"));
    assert_eq!(status(&malformed), Some(GrpcStatus::InvalidArgument));
    let large = bench.answered(unary(Some("k"), &"x".repeat(21)));
    assert_eq!(status(&large), Some(GrpcStatus::ResourceExhausted));
    let mut first = bench.call(unary(Some("k"), "charge"));
    assert_pending!(first.poll());
    let running = bench.answered(unary(Some("k"), "charge"));
    assert_eq!(status(&running), Some(GrpcStatus::Aborted));
    assert_eq!(grpc::retry_delay(running.headers()), Some(3 * SECOND));
    let reused = bench.answered(unary(Some("k"), "other"));
    assert_eq!(status(&reused), Some(GrpcStatus::FailedPrecondition));
    assert_eq!(grpc::retry_delay(reused.headers()), None);
    bench.store.breaks("claim", Fault::Fails);
    let down = bench.answered(unary(Some("k-2"), "charge"));
    assert_eq!(status(&down), Some(GrpcStatus::Unavailable));
    assert_eq!(grpc::retry_delay(down.headers()), Some(SECOND));
}
