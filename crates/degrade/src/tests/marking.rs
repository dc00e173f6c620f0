//! The layer that marks responses: the field, its names, the caches, the contract of tower.

use http::{Request, Response};
use seaworthy_kit::testing::conformance;
use tower::{Layer, Service, ServiceExt, service_fn};

use super::*;

type Answer = Result<Response<&'static str>, BoxError>;

/// A page whose named features are down, and that says something about caches.
fn page(
    down: &'static [&'static str],
) -> impl Service<Request<()>, Response = Response<&'static str>, Error = BoxError> {
    service_fn(move |_: Request<()>| async move {
        for name in down {
            note(name, Cause::TimedOut, "value");
        }
        let response = Response::builder().header("cache-control", "max-age=60");
        Answer::Ok(response.body("page").unwrap())
    })
}

async fn answered(layer: DegradedLayer, down: &'static [&'static str]) -> Response<&'static str> {
    layer
        .layer(page(down))
        .oneshot(Request::new(()))
        .await
        .unwrap()
}

#[tokio::test]
async fn whole_answer_is_left_alone() {
    let response = answered(DegradedLayer::new(), &[]).await;
    assert!(!response.headers().contains_key(DEGRADED));
    assert_eq!(response.headers()["cache-control"], "max-age=60");
    assert!(response.extensions().get::<Degradations>().is_none());
}

#[tokio::test]
async fn what_is_missing_is_named_and_kept_out_of_caches() {
    let response = answered(DegradedLayer::new(), &["reviews", "5 stars", "é"]).await;
    assert_eq!(response.headers()[DEGRADED], r#"reviews, "5 stars""#);
    assert_eq!(response.headers()["cache-control"], "no-store");
    let less = response.extensions().get::<Degradations>().unwrap();
    assert_eq!(less.names(), ["reviews", "5 stars", "é"]);
}

#[tokio::test]
async fn causes_and_caches_are_options() {
    let layer = DegradedLayer::new().tell_causes(true).cacheable(true);
    let response = answered(layer, &["reviews"]).await;
    assert_eq!(
        response.headers()[DEGRADED],
        "reviews;cause=timed_out;given=value"
    );
    assert_eq!(response.headers()["cache-control"], "max-age=60");
}

#[tokio::test]
async fn outermost_layer_tells_for_all_and_an_upstreams_word_stays() {
    let inner = DegradedLayer::new().layer(service_fn(|_: Request<()>| async {
        note("inner", Cause::Failed, "value");
        let response = Response::builder().header(DEGRADED, "upstream");
        Answer::Ok(response.body("").unwrap())
    }));
    let outer = DegradedLayer::new().layer(service_fn(move |request: Request<()>| async move {
        note("outer", Cause::Failed, "value");
        inner.oneshot(request).await
    }));
    let response = outer.oneshot(Request::new(())).await.unwrap();
    let lines: Vec<_> = response.headers().get_all(DEGRADED).iter().collect();
    assert_eq!(lines, ["upstream", "outer, inner"]);
}

#[tokio::test]
async fn layers_right_around_each_other_tell_once() {
    let (outer, inner) = (DegradedLayer::new(), DegradedLayer::new());
    let response = outer
        .layer(inner.layer(page(&["reviews"])))
        .oneshot(Request::new(()))
        .await
        .unwrap();
    let lines: Vec<_> = response.headers().get_all(DEGRADED).iter().collect();
    assert_eq!(lines, ["reviews"]);
}

#[tokio::test]
async fn what_is_noted_while_the_service_is_called_is_gathered() {
    let notes = service_fn(|_: Request<()>| {
        note("reviews", Cause::Failed, "value");
        ready(Answer::Ok(Response::new("")))
    });
    let response = DegradedLayer::new()
        .layer(notes)
        .oneshot(Request::new(()))
        .await
        .unwrap();
    assert_eq!(response.headers()[DEGRADED], "reviews");
}

#[tokio::test]
async fn layer_whose_call_was_made_elsewhere_tells_where_it_is_polled() {
    // As behind a buffer, whose worker makes the calls and whose callers poll the answers.
    let call = DegradedLayer::new()
        .layer(page(&["reviews"]))
        .oneshot(Request::new(()));
    let mut call = tokio_test::task::spawn(call);
    let (response, less) = gather(std::future::poll_fn(move |_| call.poll())).await;
    assert!(!response.unwrap().headers().contains_key(DEGRADED));
    assert_eq!(less.unwrap().names(), ["reviews"], "who is around it tells");
    let mut notes = DegradedLayer::new().layer(service_fn(|_: Request<()>| {
        note("price", Cause::Failed, "value");
        ready(Answer::Ok(Response::new("")))
    }));
    let call = notes.call(Request::new(()));
    assert_eq!(gather(call).await.1.unwrap().names(), ["price"]);
    let mut service = DegradedLayer::new().layer(page(&["reviews"]));
    let mut made = None;
    gather(async { made = Some(service.call(Request::new(()))) }).await;
    assert_eq!(made.unwrap().await.unwrap().headers()[DEGRADED], "reviews");
}

#[tokio::test]
async fn error_passes_as_it_is() {
    let broken = service_fn(|_: Request<()>| async { Answer::Err("broken".into()) });
    let error = DegradedLayer::new()
        .layer(broken)
        .oneshot(Request::new(()))
        .await;
    assert_eq!(error.unwrap_err().to_string(), "broken");
}

#[cfg(feature = "axum")]
mod with_axum {
    use ::axum::Json;
    use ::axum::body::Body;
    use ::axum::routing::get;

    use super::*;

    async fn handler(less: Degradations) -> Json<Vec<&'static str>> {
        note("reviews", Cause::Failed, "value");
        Json(less.names())
    }

    #[tokio::test]
    async fn handler_has_the_list_as_an_argument() {
        let app = ::axum::Router::new().route("/", get(handler));
        let request = || Request::new(Body::empty());
        let bare = app.clone().oneshot(request()).await.unwrap();
        assert_eq!(bare.status(), 500, "a list that would always be empty");
        let response = app
            .layer(DegradedLayer::new())
            .oneshot(request())
            .await
            .unwrap();
        assert_eq!(response.headers()[DEGRADED], "reviews");
        let body = http_body_util::BodyExt::collect(response.into_body())
            .await
            .unwrap();
        assert_eq!(body.to_bytes(), r#"["reviews"]"#);
    }
}

mod contract {
    use super::*;

    conformance! {
        layer: DegradedLayer::new,
        request: || Request::new(1_u32),
        response: || Response::new(2_u32),
        readiness: inner,
        errors: unchanged,
        on_drop: cancels,
    }
}
