//! Over HTTP: what answers say, and that a call is measured to the end of its body.

use ::http::HeaderMap;
use ::http::response::Parts;
use bytes::Bytes;
use seaworthy_http::testing::{Answers, BodyRemote};
use seaworthy_http::{Http, LoadClassifier};
use seaworthy_kit::{Classify, Verdict};
use tower::{Layer, ServiceExt};

use super::*;

type Layered<C = LoadClassifier> = AdaptiveLayer<Http<C>>;

fn layer() -> Layered {
    AdaptiveLayer::http("server")
        .initial(20)
        .window(10 * MILLI, 10)
        .build()
        .unwrap()
}

/// Twenty requests at once, answered so after 20 ms.
async fn round<C>(layer: &Layered<C>, status: u16)
where
    C: Classify<Parts, HeaderMap> + Clone + Send + Sync + Unpin + 'static,
{
    let mut calls = Vec::new();
    for _ in 0..20.min(layer.handle().snapshot().available) {
        let inner = tower::service_fn(move |_: ::http::Request<()>| async move {
            tokio::time::sleep(20 * MILLI).await;
            let response = ::http::Response::builder().status(status);
            let body = http_body_util::Full::new(Bytes::from_static(b"x"));
            Ok::<_, BoxError>(response.body(body).unwrap())
        });
        calls.push(tokio::spawn(
            layer.layer(inner).oneshot(::http::Request::new(())),
        ));
    }
    for call in calls {
        let response = call.await.unwrap().unwrap();
        http_body_util::BodyExt::collect(response.into_body())
            .await
            .unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn mistakes_and_quotas_of_the_caller_and_bugs_say_nothing_and_busy_answers_are_drops() {
    for (status, expected) in [
        (200, Cause::Fast),
        (404, Cause::Initial),
        (400, Cause::Initial),
        (500, Cause::Initial),
        (429, Cause::Initial),
        (503, Cause::Dropped),
        (504, Cause::Dropped),
    ] {
        let layer = layer();
        for _ in 0..4 {
            round(&layer, status).await;
        }
        assert_eq!(layer.handle().snapshot().cause, expected, "{status}");
        assert_eq!(layer.handle().snapshot().running, 0);
    }
}

/// Such as a handler whose 503 says that a part of it is shut, and one that says with 529 that it has too much to do.
#[tokio::test(start_paused = true)]
async fn user_says_which_answers_are_overload() {
    let classify = |result: Result<&Parts, &BoxError>| match result {
        Ok(head) if head.status == 503 => Verdict::IGNORED,
        Ok(head) if head.status == 529 => Verdict::FAILURE.overloaded(),
        other => LoadClassifier::new().classify(other),
    };
    for (status, expected) in [
        (200, Cause::Fast),
        (404, Cause::Initial),
        (503, Cause::Initial),
        (504, Cause::Dropped),
        (529, Cause::Dropped),
    ] {
        let layer = AdaptiveLayer::http("server")
            .initial(20)
            .window(10 * MILLI, 10)
            .traffic(Http::classify(classify))
            .build()
            .unwrap();
        for _ in 0..4 {
            round(&layer, status).await;
        }
        assert_eq!(layer.handle().snapshot().cause, expected, "{status}");
    }
}

#[tokio::test(start_paused = true)]
async fn call_is_measured_to_the_end_of_its_body() {
    let layer = layer();
    for _ in 0..30 {
        let (body, script) = BodyRemote::new();
        let inner = Answers::default();
        inner.put(::http::Response::new(body));
        let response = layer.layer(inner).oneshot(::http::Request::new(()));
        let response = response.await.unwrap();
        advance(30 * MILLI).await;
        script.end();
        let mut body = task::spawn(response.into_body());
        assert_eq!(layer.handle().snapshot().running, 1);
        let end = body.enter(|cx, body| http_body::Body::poll_frame(body, cx));
        assert!(matches!(end, std::task::Poll::Ready(None)));
        assert_eq!(layer.handle().snapshot().running, 0);
    }
    let recent = layer.handle().snapshot().recent.unwrap();
    assert_eq!(recent.as_millis(), 29, "30 ms, in units of 256 ns");
}
