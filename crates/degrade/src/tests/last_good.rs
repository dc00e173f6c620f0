//! The last good answer: what is kept, for whom, for how long, and what is given.

use std::sync::{Arc, Mutex};

use seaworthy_kit::telemetry::Event;
use seaworthy_kit::testing::{ManualClock, Recorder, conformance};
use tower::{Layer, Service, ServiceExt, service_fn};

use super::*;
use crate::last_good::PlainAnswers;

type End = Result<u32, BoxError>;

/// An inner service that ends as the test says, and the layer's key: nothing is kept of request 9.
struct Test {
    end: Arc<Mutex<Option<u32>>>,
    clock: ManualClock,
}

impl Test {
    fn new() -> Self {
        let (end, clock) = (Arc::default(), ManualClock::new());
        Self { end, clock }
    }

    fn set(&self, end: Option<u32>) {
        *self.end.lock().unwrap() = end;
    }

    fn inner(&self) -> impl Service<u32, Response = u32, Error = BoxError> + Clone + use<> {
        let end = self.end.clone();
        service_fn(move |_: u32| ready(end.lock().unwrap().ok_or_else(|| "down".into()) as End))
    }
}

fn key(request: &u32) -> Option<u32> {
    (*request != 9).then_some(*request)
}

#[tokio::test]
async fn last_good_answer_to_the_same_request_is_given_and_said() {
    let test = Test::new();
    let layer = LastGoodLayer::plain("stock", key).clock(test.clock.clock());
    let layer = layer.max_age(100 * SECOND).build().unwrap();
    let recorder = Recorder::new();
    layer.subscribe(recorder.listener()).forever();
    let service = layer.layer(test.inner());
    let ask = |request| gather(service.clone().oneshot(request));
    assert!(ask(1).await.0.is_err(), "nothing was kept yet");
    test.set(Some(7));
    for request in [1, 9] {
        let (answer, less) = ask(request).await;
        assert_eq!((answer.unwrap(), less.is_none()), (7, true));
    }
    assert_eq!(layer.kept(), 1);
    test.set(None);
    test.clock.advance(100 * SECOND);
    let (answer, less) = ask(1).await;
    assert_eq!(answer.unwrap(), 7);
    assert_eq!(list(less), [("stock", "failed", "last_good")]);
    let (cause, substitute) = ("failed", "last_good");
    assert_eq!(recorder.events(), [Event::Degraded { cause, substitute }]);
    assert!(ask(2).await.0.is_err(), "another request");
    assert!(ask(9).await.0.is_err(), "one of which nothing is kept");
    test.clock.advance(MS);
    let (answer, less) = ask(1).await;
    assert_eq!(answer.unwrap_err().to_string(), "down", "too old");
    assert!(less.is_none());
}

#[tokio::test]
async fn mistake_of_the_caller_is_not_answered_with_what_was_good() {
    for (kind, replaced) in [
        (RejectionKind::CircuitOpen, true),
        (RejectionKind::RateLimited, false),
        (RejectionKind::KeyReused, false),
    ] {
        let layer = LastGoodLayer::plain("stock", key).build().unwrap();
        let good = layer.layer(service_fn(|_: u32| ready(Ok::<u32, BoxError>(7))));
        good.oneshot(1).await.unwrap();
        let refuses = layer.layer(service_fn(move |_: u32| {
            ready(Err::<u32, BoxError>(Box::new(Rejection::new(
                kind,
                "x".into(),
            ))))
        }));
        assert_eq!(refuses.oneshot(1).await.is_ok(), replaced, "{kind}");
    }
}

#[tokio::test]
async fn response_that_is_named_is_replaced_and_not_kept() {
    let test = Test::new();
    let layer = LastGoodLayer::plain("stock", key).responses(|answer: &u32| *answer > 100);
    let layer = layer
        .errors(|error| error.to_string() != "down")
        .build()
        .unwrap();
    let service = layer.layer(test.inner());
    test.set(Some(101));
    assert_eq!(
        service.clone().oneshot(1).await.unwrap(),
        101,
        "there is nothing better"
    );
    assert_eq!(layer.kept(), 0);
    test.set(Some(7));
    assert_eq!(service.clone().oneshot(1).await.unwrap(), 7);
    test.set(Some(101));
    assert_eq!(service.clone().oneshot(1).await.unwrap(), 7);
    test.set(None);
    assert!(
        service.oneshot(1).await.is_err(),
        "an error that is not replaced"
    );
}

#[test]
fn option_that_cannot_work_is_an_error_when_built() {
    let builder = || LastGoodLayer::plain("stock", key);
    assert!(
        builder()
            .max_age(Duration::ZERO)
            .build::<u32, u32>()
            .is_err()
    );
    assert!(builder().max_entries(0).build::<u32, u32>().is_err());
}

mod contract {
    use super::*;

    fn layer() -> LastGoodLayer<PlainAnswers, fn(&u32) -> Option<u32>, u32, u32> {
        fn none(_: &u32) -> Option<u32> {
            None
        }
        LastGoodLayer::of(
            "stock",
            PlainAnswers::default(),
            none as fn(&u32) -> Option<u32>,
        )
        .build()
        .unwrap()
    }

    conformance! {
        layer: layer,
        readiness: inner,
        errors: unchanged,
        on_drop: cancels,
    }
}

#[cfg(feature = "http")]
mod over_http {
    use bytes::Bytes;
    use http::{Request, Response};
    use http_body_util::{BodyExt, Channel, Full};

    use super::*;
    use crate::fallback::Substituted;
    use crate::last_good::by_uri;

    type Page = Response<Full<Bytes>>;

    fn page(status: u16, headers: &[(&'static str, &'static str)]) -> Page {
        let mut page = Response::builder().status(status);
        for (name, value) in headers {
            page = page.header(*name, *value);
        }
        page.body(Full::from("page")).unwrap()
    }

    fn get(headers: &[(&'static str, &'static str)]) -> Request<()> {
        let mut request = Request::builder().uri("/a?b");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap()
    }

    /// The answer to a request after `first` was answered, while the server says 503.
    async fn after(first: Page, asked: Request<()>, again: Request<()>) -> (u16, Response<Bytes>) {
        let clock = ManualClock::new();
        let layer = LastGoodLayer::http("pages", by_uri)
            .clock(clock.clock())
            .build()
            .unwrap();
        let good = layer.layer(service_fn(move |_: Request<()>| {
            ready(Ok::<_, BoxError>(first.clone()))
        }));
        let response = good.oneshot(asked).await.unwrap();
        let status = response.status().as_u16();
        assert_eq!(
            response.into_body().collect().await.unwrap().to_bytes(),
            "page"
        );
        clock.advance(70 * SECOND);
        let bad = layer.layer(service_fn(|_: Request<()>| {
            ready(Ok::<_, BoxError>(page(503, &[])))
        }));
        let (head, body) = bad.oneshot(again).await.unwrap().into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        (status, Response::from_parts(head, body))
    }

    #[tokio::test]
    async fn kept_page_is_given_with_its_age_and_its_marks() {
        let first = page(
            200,
            &[("x", "y"), ("age", "5"), ("cache-control", "max-age=9")],
        );
        let (_, response) = after(first, get(&[]), get(&[])).await;
        assert_eq!(
            (response.status().as_u16(), response.body().as_ref()),
            (200, &b"page"[..])
        );
        let headers = response.headers();
        assert_eq!(
            (&headers["x"], &headers["age"]),
            (&"y".parse().unwrap(), &"75".parse().unwrap())
        );
        assert_eq!(headers[DEGRADED], "pages");
        assert_eq!(headers["cache-control"], "no-store");
        let mark = response.extensions().get::<Substituted>().unwrap();
        let (_, inside) = gather(after(page(200, &[]), get(&[]), get(&[]))).await.0;
        assert!(!inside.headers().contains_key(DEGRADED));
        assert_eq!(inside.headers()["cache-control"], "no-store");
        assert_eq!(
            (mark.substitute, mark.age),
            ("last_good", Some(70 * SECOND))
        );
        assert_eq!(mark.cause, Cause::Answered);
    }

    #[tokio::test]
    async fn what_is_personal_or_not_to_be_kept_is_not_kept() {
        for (name, value) in [
            ("cache-control", "max-age=9, No-Store"),
            ("cache-control", "private"),
            ("set-cookie", "a=b"),
            ("vary", "cookie"),
            ("degraded", "reviews"),
        ] {
            let (_, response) = after(page(200, &[(name, value)]), get(&[]), get(&[])).await;
            assert_eq!(response.status(), 503, "{name}: {value}");
        }
        for (name, value) in [("authorization", "x"), ("cookie", "a=b")] {
            let (_, response) = after(page(200, &[]), get(&[(name, value)]), get(&[])).await;
            assert_eq!(response.status(), 503, "kept of {name}");
            let (_, response) = after(page(200, &[]), get(&[]), get(&[(name, value)])).await;
            assert_eq!(response.status(), 503, "given for {name}");
        }
        for status in [201, 204, 301, 404] {
            let (first, response) = after(page(status, &[]), get(&[]), get(&[])).await;
            assert_eq!((first, response.status().as_u16()), (status, 503));
        }
        let mut post = get(&[]);
        *post.method_mut() = http::Method::POST;
        let (_, response) = after(page(200, &[]), get(&[]), post).await;
        assert_eq!(response.status(), 503);
    }

    #[tokio::test]
    async fn body_that_breaks_off_is_replaced_and_a_long_one_passes_unkept() {
        let layer = LastGoodLayer::http("pages", by_uri)
            .max_body(10)
            .build()
            .unwrap();
        let sends = |parts: &'static [&'static str], breaks: bool| {
            layer.layer(service_fn(move |_: Request<()>| async move {
                let (mut feed, body) = Channel::<Bytes, BoxError>::new(8);
                for part in parts {
                    feed.send_data((*part).into()).await.unwrap();
                }
                if breaks {
                    feed.abort("cable cut".into());
                }
                Ok::<_, BoxError>(Response::new(body))
            }))
        };
        let read = |response: Response<_>| async {
            let body: seaworthy_http::whole::WholeBody<_> = response.into_body();
            body.collect().await.unwrap().to_bytes()
        };
        let error = sends(&["half"], true).oneshot(get(&[])).await.unwrap_err();
        assert_eq!(error.to_string(), "cable cut", "there is nothing better");
        let long = sends(&["much ", "longer ", "than that"], false)
            .oneshot(get(&[]))
            .await
            .unwrap();
        assert_eq!(read(long).await, "much longer than that");
        assert_eq!(layer.kept(), 0);
        let good = sends(&["ten ", "bytes."], false)
            .oneshot(get(&[]))
            .await
            .unwrap();
        assert_eq!(read(good).await, "ten bytes.");
        assert_eq!(layer.kept(), 1);
        let broken = service_fn(|_: Request<()>| {
            ready(Err::<Response<Channel<Bytes, BoxError>>, BoxError>(
                "down".into(),
            ))
        });
        let given = layer.layer(broken).oneshot(get(&[])).await.unwrap();
        assert_eq!(read(given).await, "ten bytes.");
    }
}
