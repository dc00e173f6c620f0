//! Both classifiers that tower-http ships, and one of a user, over heads, trailers and errors.

use std::convert::Infallible;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use ::tower_http::classify::{
    GrpcCode, GrpcErrorsAsFailures, NeverClassifyEos, ServerErrorsAsFailures,
    StatusInRangeAsFailures,
};
use bytes::Bytes;
use futures_util::stream;
use http::StatusCode;
use http_body::Frame;
use http_body_util::{BodyExt, Empty, StreamBody};
use seaworthy_kit::{Rejection, RejectionKind};
use tower::{ServiceExt, service_fn};

use super::*;

/// How a call was settled.
#[derive(Clone, Default)]
struct Record(Arc<OnceLock<Verdict>>);

struct Guard(Option<Record>);

impl Record {
    fn guard(&self) -> Guard {
        Guard(Some(self.clone()))
    }

    fn verdict(&self) -> Option<Verdict> {
        self.0.get().copied()
    }

    fn set(&self, verdict: Verdict) {
        self.0.set(verdict).expect("settled once");
    }
}

impl Settle for Guard {
    fn settle(mut self, verdict: Verdict) {
        self.0.take().expect("settled once").set(verdict);
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(record) = self.0.take() {
            record.set(Verdict::ABANDONED);
        }
    }
}

type Frames = Vec<Result<Frame<Bytes>, BoxError>>;

fn data() -> Result<Frame<Bytes>, BoxError> {
    Ok(Frame::data(Bytes::from_static(b"ahoy")))
}

fn trailers(fields: &[(&'static str, &str)]) -> Result<Frame<Bytes>, BoxError> {
    let mut trailers = HeaderMap::new();
    for (name, value) in fields {
        trailers.insert(*name, value.parse().unwrap());
    }
    Ok(Frame::trailers(trailers))
}

/// What a response counts as, once its body was read.
async fn judge<C>(classifier: C, head: http::response::Builder, frames: Frames) -> Verdict
where
    C: ClassifyResponse + Clone + Send + Sync + 'static,
{
    let record = Record::default();
    let body = StreamBody::new(stream::iter(frames));
    let response = head.body(body).unwrap();
    let response = TowerHttp::new(classifier).finish(response, record.guard());
    let mut body = Box::pin(response.into_body());
    while let Some(frame) = body.frame().await {
        if frame.is_err() {
            break;
        }
    }
    record.verdict().expect("it is over")
}

fn status(status: u16) -> http::response::Builder {
    Response::builder().status(status)
}

#[tokio::test]
async fn server_errors_are_failures_at_the_head() {
    let judge = |code| judge(ServerErrorsAsFailures::new(), status(code), vec![data()]);
    for code in [200, 404, 429] {
        assert_eq!(judge(code).await, Verdict::SUCCESS, "{code}");
    }
    for code in [500, 503] {
        assert_eq!(judge(code).await, Verdict::FAILURE, "{code}");
    }
}

#[tokio::test]
async fn range_of_statuses_is_what_it_says() {
    let client_errors = StatusInRangeAsFailures::new(400..=499);
    let judge = |code| judge(client_errors.clone(), status(code), vec![]);
    assert_eq!(judge(404).await, Verdict::FAILURE);
    assert_eq!(judge(503).await, Verdict::SUCCESS);
}

#[tokio::test]
async fn grpc_status_in_the_trailers_decides() {
    let forgiving = GrpcErrorsAsFailures::new().with_success(GrpcCode::NotFound);
    for code in 0..=16 {
        let end = trailers(&[("grpc-status", &code.to_string())]);
        let verdict = judge(forgiving.clone(), status(200), vec![data(), end]).await;
        let expected = match code {
            0 | 5 => Verdict::SUCCESS,
            _ => Verdict::FAILURE,
        };
        assert_eq!(verdict, expected, "{code}");
    }
}

#[tokio::test]
async fn grpc_status_in_the_head_decides_at_once() {
    let classifier = GrpcErrorsAsFailures::new();
    let head = status(200).header("grpc-status", "14");
    let late = trailers(&[("grpc-status", "0")]);
    let verdict = judge(classifier, head, vec![late]).await;
    assert_eq!(verdict, Verdict::FAILURE);
}

/// Ours calls that a failure; theirs decides here.
#[tokio::test]
async fn grpc_without_a_status_is_what_tower_http_says() {
    for frames in [vec![], vec![data()], vec![trailers(&[])]] {
        let verdict = judge(GrpcErrorsAsFailures::new(), status(200), frames).await;
        assert_eq!(verdict, Verdict::SUCCESS);
    }
}

#[tokio::test]
async fn error_in_the_body_is_a_failure_for_each() {
    let broken = || vec![data(), Err("reset".into())];
    let verdict = judge(ServerErrorsAsFailures::new(), status(200), broken());
    assert_eq!(verdict.await, Verdict::FAILURE);
    let verdict = judge(GrpcErrorsAsFailures::new(), status(200), broken());
    assert_eq!(verdict.await, Verdict::FAILURE);
}

#[tokio::test]
async fn grpc_body_dropped_before_its_trailers_is_abandoned() {
    let record = Record::default();
    let body = StreamBody::new(stream::iter(vec![data(), data()]));
    let traffic = TowerHttp::new(GrpcErrorsAsFailures::new());
    let response = traffic.finish(Response::new(body), record.guard());
    let mut body = Box::pin(response.into_body());
    body.frame().await.unwrap().unwrap();
    drop(body);
    assert_eq!(record.verdict(), Some(Verdict::ABANDONED));
}

#[tokio::test]
async fn hints_are_read_beside_the_classifier() {
    let after = |seconds| Some(Duration::from_secs(seconds));
    let head = status(503).header("retry-after", "7");
    let verdict = judge(ServerErrorsAsFailures::new(), head, vec![]).await;
    assert_eq!(verdict, Verdict::FAILURE.with_retry_after(after(7)));

    let status = grpc::TrailersOnly::new(grpc::GrpcStatus::Unavailable);
    let response = status
        .retry_delay(Duration::from_secs(9))
        .into_response::<Bytes>();
    let end = Ok(Frame::trailers(response.headers().clone()));
    let verdict = judge(GrpcErrorsAsFailures::new(), Response::builder(), vec![end]).await;
    assert_eq!(verdict, Verdict::FAILURE.with_retry_after(after(9)));
    let mut head = Response::builder();
    head.headers_mut()
        .unwrap()
        .extend(response.headers().clone());
    let verdict = judge(GrpcErrorsAsFailures::new(), head, vec![]).await;
    let trailers_only = Verdict::FAILURE.with_retry_after(after(9));
    assert_eq!(verdict, trailers_only);
}

#[test]
fn errors_fail_and_refusals_are_ignored() {
    let traffic = TowerHttp::shared(&ServerErrorsAsFailures::make_classifier());
    let failed = |error: BoxError| Traffic::<Response<Empty<Bytes>>>::failed(&traffic, &error);
    assert_eq!(failed("reset".into()), Verdict::FAILURE);
    let rejected = |kind| Rejection::new(kind, "x".into());
    assert_eq!(
        failed(rejected(RejectionKind::CircuitOpen).into()),
        Verdict::REFUSED
    );
    assert_eq!(
        failed(rejected(RejectionKind::TimedOut).into()),
        Verdict::FAILURE.overloaded()
    );

    let record = Record::default();
    let mut response = Response::new(Empty::<Bytes>::new());
    *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    // As the edge does it; that wait is its own word, not the dependency's.
    let wait = http::HeaderValue::from_static("1");
    response.headers_mut().insert("retry-after", wait);
    let refusal = rejected(RejectionKind::BulkheadFull);
    response.extensions_mut().insert(refusal);
    drop(traffic.finish(response, record.guard()));
    assert_eq!(record.verdict(), Some(Verdict::REFUSED.overloaded()));
}

/// Of a user: nothing is a failure on the path of probes.
#[derive(Clone)]
struct ByPath {
    probe: bool,
    asked: Arc<AtomicU32>,
}

impl MakeClassifier for ByPath {
    type Classifier = Self;
    type FailureClass = ();
    type ClassifyEos = NeverClassifyEos<()>;

    fn make_classifier<B>(&self, request: &Request<B>) -> Self {
        Self {
            probe: request.uri().path() == "/probe",
            asked: self.asked.clone(),
        }
    }
}

impl ClassifyResponse for ByPath {
    type FailureClass = ();
    type ClassifyEos = NeverClassifyEos<()>;

    fn classify_response<B>(
        self,
        response: &Response<B>,
    ) -> ClassifiedResponse<(), Self::ClassifyEos> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let failed = !self.probe && !response.status().is_success();
        ClassifiedResponse::Ready(if failed { Err(()) } else { Ok(()) })
    }

    fn classify_error<E: fmt::Display + 'static>(self, _: &E) {}
}

#[tokio::test]
async fn classifier_can_depend_on_the_request() {
    use tower_layer::Layer as _;

    let asked = Arc::new(AtomicU32::new(0));
    let by_path = ByPath {
        probe: false,
        asked: asked.clone(),
    };
    let service = ClassifyLayer::new(by_path.clone()).layer(service_fn(|_: Request<()>| async {
        Ok::<_, Infallible>(status(404).body(Empty::<Bytes>::new()).unwrap())
    }));
    for (path, expected) in [("/probe", Verdict::SUCCESS), ("/pay", Verdict::FAILURE)] {
        let request = Request::get(path).body(()).unwrap();
        let response = service.clone().oneshot(request).await.unwrap();
        let record = Record::default();
        let response = TowerHttp::new(by_path.clone()).finish(response, record.guard());
        assert_eq!(record.verdict(), Some(expected), "{path}");
        // Each layer further out asks for itself.
        let record = Record::default();
        TowerHttp::new(by_path.clone()).finish(response, record.guard());
        assert_eq!(record.verdict(), Some(expected), "{path}, further out");
    }
    assert_eq!(asked.load(Ordering::Relaxed), 4);
}
