//! The fallback layer: what is replaced and what is not, by what, and how it is said.

use std::sync::{Arc, Mutex};

use seaworthy_kit::telemetry::Event;
use seaworthy_kit::testing::{Recorder, conformance};
use tower::{Layer, Service, ServiceExt, service_fn};

use super::*;
use crate::fallback::{Builder, Given, PlainAnswers};

fn plain() -> Builder<PlainAnswers, Given<u32>> {
    FallbackLayer::plain("stock").value(0)
}

fn rejected(kind: RejectionKind) -> BoxError {
    Box::new(Rejection::new(kind, "further in".into()))
}

fn ends(
    end: impl Fn() -> Result<u32, BoxError> + Clone,
) -> impl Service<u32, Response = u32, Error = BoxError> + Clone {
    service_fn(move |_: u32| ready(end()))
}

#[tokio::test]
async fn good_answer_passes_and_nothing_is_said() {
    let layer = plain().build();
    let recorder = Recorder::new();
    layer.handle().subscribe(recorder.listener()).forever();
    let (answer, less) = gather(layer.layer(ends(|| Ok(7))).oneshot(1)).await;
    assert_eq!(answer.unwrap(), 7);
    assert!(less.is_none());
    assert!(recorder.events().is_empty());
}

#[tokio::test]
async fn error_is_replaced_and_said_everywhere() {
    let layer = plain().build();
    let recorder = Recorder::new();
    layer.handle().subscribe(recorder.listener()).forever();
    let service = layer.layer(ends(|| Err("down".into())));
    let (answer, less) = gather(service.oneshot(1)).await;
    assert_eq!(answer.unwrap(), 0);
    assert_eq!(list(less), [("stock", "failed", "value")]);
    let (cause, substitute) = ("failed", "value");
    assert_eq!(recorder.events(), [Event::Degraded { cause, substitute }]);
}

#[tokio::test]
async fn each_rejection_is_replaced_or_is_the_callers_own() {
    for kind in RejectionKind::ALL {
        let service = plain().build().layer(ends(move || Err(rejected(kind))));
        let replaced = service.oneshot(1).await.is_ok();
        let of_the_caller = matches!(
            kind,
            RejectionKind::RateLimited
                | RejectionKind::KeyReused
                | RejectionKind::InProgress
                | RejectionKind::OutcomeUnknown
                | RejectionKind::CostTooHigh
        );
        assert_eq!(replaced, !of_the_caller, "{kind}");
        let eager = plain().errors(|_| true).build();
        let replaced = eager
            .layer(ends(move || Err(rejected(kind))))
            .oneshot(1)
            .await
            .is_ok();
        let never = of_the_caller && kind != RejectionKind::RateLimited;
        assert_eq!(replaced, !never, "{kind}, whatever the predicate says");
    }
}

#[tokio::test]
async fn predicate_decides_which_errors_and_which_responses() {
    let layer = plain()
        .errors(|error| error.to_string() == "down")
        .responses(|answer: &u32| *answer > 100)
        .build();
    let ask = |end: fn() -> Result<u32, BoxError>| layer.layer(ends(end)).oneshot(1);
    assert_eq!(ask(|| Err("down".into())).await.unwrap(), 0);
    assert_eq!(
        ask(|| Err("odd".into())).await.unwrap_err().to_string(),
        "odd"
    );
    let (answer, less) = gather(ask(|| Ok(101))).await;
    assert_eq!(answer.unwrap(), 0);
    assert_eq!(list(less), [("stock", "answered", "value")]);
    assert_eq!(ask(|| Ok(100)).await.unwrap(), 100);
}

#[tokio::test]
async fn function_sees_what_was_kept_of_the_request_and_the_cause() {
    let layer = FallbackLayer::plain("stock")
        .function(
            |request: &u32| (*request != 5).then_some(*request * 10),
            |kept, cause| kept + u32::from(matches!(cause, Cause::Refused(_))),
        )
        .build();
    let service = layer.layer(ends(|| Err(rejected(RejectionKind::CircuitOpen))));
    assert_eq!(service.clone().oneshot(2).await.unwrap(), 21);
    let error = service.oneshot(5).await.unwrap_err();
    assert!(Rejection::find(&*error).is_some(), "nothing was kept of it");
}

/// Another service, which is ready once it is told to be.
fn backup(
    end: fn(u32) -> Result<u32, BoxError>,
) -> (
    impl Service<u32, Response = u32, Error = BoxError> + Clone,
    Arc<Mutex<Vec<u32>>>,
) {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let notes = asked.clone();
    let service = service_fn(move |request: u32| {
        notes.lock().unwrap().push(request);
        ready(end(request))
    });
    (service, asked)
}

#[tokio::test]
async fn other_service_is_asked_only_in_need() {
    let (other, asked) = backup(|request| Ok(request + 1));
    let layer = FallbackLayer::plain("stock").service(other, |request: &u32| Some(request * 10));
    let layer = layer.build();
    assert_eq!(layer.layer(ends(|| Ok(7))).oneshot(3).await.unwrap(), 7);
    assert!(asked.lock().unwrap().is_empty());
    let (answer, less) = gather(layer.layer(ends(|| Err("down".into()))).oneshot(3)).await;
    assert_eq!(answer.unwrap(), 31);
    assert_eq!(*asked.lock().unwrap(), [30]);
    assert_eq!(list(less), [("stock", "failed", "service")]);
}

#[tokio::test]
async fn where_the_other_service_fails_too_the_first_word_stands() {
    let (other, _) = backup(|_| Err("backup down".into()));
    let build =
        |other| FallbackLayer::plain("stock").service(other, |request: &u32| Some(*request));
    let layer = build(other.clone()).build();
    let (answer, less) = gather(layer.layer(ends(|| Err("down".into()))).oneshot(3)).await;
    assert_eq!(answer.unwrap_err().to_string(), "down");
    assert!(less.is_none(), "nothing was given");
    let layer = build(other).responses(|answer: &u32| *answer == 9).build();
    assert_eq!(layer.layer(ends(|| Ok(9))).oneshot(3).await.unwrap(), 9);
}

#[tokio::test]
async fn other_service_is_waited_for_until_it_is_ready() {
    let (other, mut remote) = tower_test::mock::pair::<u32, u32>();
    remote.allow(0);
    let layer = FallbackLayer::plain("stock").service(other, |request: &u32| Some(*request));
    let service = layer.build().layer(ends(|| Err("down".into())));
    let mut call = tokio_test::task::spawn(service.oneshot(3));
    assert!(call.poll().is_pending());
    remote.allow(1);
    assert!(call.is_woken(), "its readiness wakes the call");
    assert!(call.poll().is_pending());
    let (request, answer) = remote.next_request().await.expect("asked once ready");
    assert_eq!(request, 3);
    answer.send_response(4);
    assert_eq!(call.await.unwrap(), 4);
}

#[tokio::test(start_paused = true)]
async fn other_service_has_its_time_and_no_more() {
    let began = clock::now();
    let build = |other| {
        let layer = FallbackLayer::plain("stock").service(other, |request: &u32| Some(*request));
        layer.timeout(100 * MS).build()
    };
    // It never becomes ready.
    let (other, mut remote) = tower_test::mock::pair::<u32, u32>();
    remote.allow(0);
    let (answer, less) = gather(build(other).layer(ends(|| Err("down".into()))).oneshot(3)).await;
    assert_eq!(answer.unwrap_err().to_string(), "down");
    assert!(less.is_none(), "nothing was given");
    assert_eq!(clock::now().since(began), 100 * MS);
    // It never answers.
    let (other, remote) = tower_test::mock::pair::<u32, u32>();
    let answer = build(other).layer(ends(|| Err("down".into()))).oneshot(3);
    assert_eq!(answer.await.unwrap_err().to_string(), "down");
    assert_eq!(clock::now().since(began), 200 * MS);
    drop(remote);
    // It is in time.
    let other = service_fn(|_: u32| slow(99 * MS));
    let layer = FallbackLayer::plain("stock").service(other, |request: &u32| Some(*request));
    let layer = layer.timeout(100 * MS).build();
    let answer = layer.layer(ends(|| Err("down".into()))).oneshot(3);
    assert_eq!(answer.await.unwrap(), 1);
}

#[tokio::test]
async fn broken_readiness_is_answered_in_place_of() {
    let (inner, mut remote) = tower_test::mock::pair::<u32, u32>();
    remote.send_error("gone");
    let mut service = plain().build().layer(inner);
    let ready = service.ready().await.expect("it answers in its place");
    assert_eq!(ready.call(1).await.unwrap(), 0);
}

mod contract {
    use super::*;

    fn passes() -> FallbackLayer<PlainAnswers, Given<u32>> {
        plain().errors(|_| false).build()
    }

    conformance! {
        layer: passes,
        readiness: inner,
        errors: unchanged,
        on_drop: cancels,
    }
}

#[cfg(feature = "http")]
mod over_http {
    use bytes::Bytes;
    use http::{Method, Request, Response};
    use http_body_util::{BodyExt, Empty, Full};

    use super::*;
    use crate::fallback::{HttpAnswers, Substituted, copy_of_safe};

    type Page = Response<Full<Bytes>>;

    fn page(status: u16) -> Page {
        let page = Response::builder().status(status);
        page.body(Full::from("page")).unwrap()
    }

    fn layer() -> Builder<HttpAnswers, Given<Page>> {
        FallbackLayer::http("pages").value(Response::new(Full::from("sorry")))
    }

    fn inner(
        answer: impl Fn() -> Result<Page, BoxError> + Clone,
    ) -> impl Service<Request<()>, Response = Page, Error = BoxError> + Clone {
        service_fn(move |_: Request<()>| ready(answer()))
    }

    #[tokio::test]
    async fn each_status_is_replaced_or_not() {
        for status in 200..600 {
            let ask = |layer: &FallbackLayer<_, _, _>| {
                layer
                    .layer(inner(move || Ok(page(status))))
                    .oneshot(Request::new(()))
            };
            let response = ask(&layer().responses(|_: &http::response::Parts| true).build());
            let eager = response
                .await
                .unwrap()
                .extensions()
                .get::<Substituted>()
                .is_some();
            let never = (400..500).contains(&status) && ![408, 425, 429].contains(&status);
            assert_eq!(
                eager, !never,
                "{status}: a caller's mistake is never hidden"
            );
        }
        for status in 200..600 {
            let service = layer().build().layer(inner(move || Ok(page(status))));
            let response = service.oneshot(Request::new(())).await.unwrap();
            let given = response.extensions().get::<Substituted>().is_some();
            assert_eq!(given, [500, 502, 503, 504].contains(&status), "{status}");
        }
    }

    #[tokio::test]
    async fn replaced_answer_says_so_by_itself_outside_of_an_answer() {
        let service = layer().build().layer(inner(|| Ok(page(503))));
        let response = service.clone().oneshot(Request::new(())).await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()[DEGRADED], "pages");
        assert_eq!(response.headers()["cache-control"], "no-store");
        let mark = response.extensions().get::<Substituted>().unwrap();
        assert_eq!(
            (mark.layer, mark.cause, mark.substitute),
            ("pages", Cause::Answered, "value")
        );
        let body = response.into_body().collect().await.unwrap();
        assert_eq!(body.to_bytes(), "sorry");
        // Inside of one, the layer around it speaks for all.
        let (response, less) = gather(service.oneshot(Request::new(()))).await;
        let response = response.unwrap();
        assert!(!response.headers().contains_key(DEGRADED));
        let caches = &response.headers()["cache-control"];
        assert_eq!(caches, "no-store", "a cache may stand in between");
        assert_eq!(less.unwrap().names(), ["pages"]);
    }

    #[tokio::test]
    async fn response_that_an_edge_made_of_a_rejection_counts_as_that() {
        for (kind, replaced) in [
            (RejectionKind::CircuitOpen, true),
            (RejectionKind::RateLimited, false),
            (RejectionKind::KeyReused, false),
        ] {
            let answer = move || {
                let mut page = page(503);
                page.extensions_mut()
                    .insert(Rejection::new(kind, "x".into()));
                Ok(page)
            };
            let service = layer().build().layer(inner(answer));
            let response = service.oneshot(Request::new(())).await.unwrap();
            let mark = response.extensions().get::<Substituted>();
            assert_eq!(mark.is_some(), replaced, "{kind}");
            if let Some(mark) = mark {
                assert_eq!(mark.cause, Cause::Refused(kind));
            }
        }
    }

    #[tokio::test]
    async fn body_of_the_inner_answer_passes_as_it_is() {
        let service = layer().build().layer(inner(|| Ok(page(200))));
        let response = service.oneshot(Request::new(())).await.unwrap();
        assert_eq!(http_body::Body::size_hint(response.body()).exact(), Some(4));
        let body = response.into_body().collect().await.unwrap();
        assert_eq!(body.to_bytes(), "page");
    }

    #[test]
    fn only_safe_requests_are_copied() {
        for method in [Method::GET, Method::HEAD, Method::OPTIONS] {
            let request = Request::builder().method(method.clone()).uri("/a?b");
            let request = request.header("x", "y").extension(7_u8).body(()).unwrap();
            let copy: Request<Empty<Bytes>> = copy_of_safe(&request).expect("it is safe");
            assert_eq!((copy.method(), copy.uri()), (&method, request.uri()));
            assert_eq!(copy.headers()["x"], "y");
            assert_eq!(copy.extensions().get(), Some(&7_u8));
        }
        for (name, value) in [("content-length", "5"), ("transfer-encoding", "chunked")] {
            let request = Request::builder().header(name, value).body(()).unwrap();
            let copy = copy_of_safe::<_, Empty<Bytes>>(&request);
            assert!(copy.is_none(), "its body would be missing: {name}");
        }
        let request = Request::builder().header("content-length", "0").body(());
        assert!(copy_of_safe::<_, Empty<Bytes>>(&request.unwrap()).is_some());
        for method in [Method::POST, Method::PUT, Method::DELETE, Method::PATCH] {
            let request = Request::builder().method(method).body(()).unwrap();
            assert!(copy_of_safe::<_, Empty<Bytes>>(&request).is_none());
        }
    }
}
