//! The last good answer: what must not be kept, and what must not be given to somebody else.

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Channel, Full};
use tower::{Layer, Service, ServiceExt, service_fn};

use super::*;
use crate::last_good::by_uri;

type Page = Response<Full<Bytes>>;

fn page(headers: &[(&'static str, &'static str)]) -> Page {
    let mut page = Response::builder();
    for (name, value) in headers {
        page = page.header(*name, *value);
    }
    page.body(Full::from("page")).unwrap()
}

async fn read<B>(response: Response<B>) -> Bytes
where
    B: http_body::Body<Data = Bytes, Error: std::fmt::Debug>,
{
    response.into_body().collect().await.unwrap().to_bytes()
}

fn get(uri: &'static str) -> Request<()> {
    Request::builder().uri(uri).body(()).unwrap()
}

/// A server that answers so, and what is asked of it.
fn answers<Fut>(
    answer: impl Fn(Request<()>) -> Fut + Clone,
) -> impl Service<Request<()>, Response = Page, Error = BoxError, Future = Fut> + Clone
where
    Fut: Future<Output = Result<Page, BoxError>>,
{
    service_fn(answer)
}

async fn is_down(_: Request<()>) -> Result<Page, BoxError> {
    Err("down".into())
}

async fn without_reviews(_: Request<()>) -> Result<Page, BoxError> {
    feature("reviews").fallback(0).run(down()).await?;
    Ok(page(&[]))
}

#[tokio::test]
async fn page_that_is_less_than_whole_is_not_kept_whoever_gathers() {
    let layer = LastGoodLayer::http("pages", by_uri).build().unwrap();
    let service = layer.layer(answers(without_reviews));
    assert!(service.clone().oneshot(get("/")).await.is_ok());
    assert_eq!(layer.kept(), 0, "nobody gathers");
    let (_, less) = gather(service.clone().oneshot(get("/"))).await;
    assert_eq!(less.unwrap().names(), ["reviews"]);
    assert_eq!(layer.kept(), 0, "an answer around it");
    let marked = DegradedLayer::new().layer(service);
    let response = marked.oneshot(get("/")).await.unwrap();
    assert_eq!(response.headers()[DEGRADED], "reviews");
    assert_eq!(layer.kept(), 0, "a layer that marks when it is too late");
}

#[tokio::test]
async fn page_of_a_task_that_took_part_is_not_kept_either() {
    let layer = LastGoodLayer::http("pages", by_uri).build().unwrap();
    let spawns = answers(|request| async {
        let here = Degradations::current().expect("an answer");
        tokio::spawn(here.scope(without_reviews(request))).await?
    });
    let (_, less) = gather(layer.layer(spawns).oneshot(get("/"))).await;
    assert_eq!(less.unwrap().names(), ["reviews"]);
    assert_eq!(layer.kept(), 0);
}

#[tokio::test]
async fn whole_page_of_a_handler_that_took_the_list_is_kept() {
    let layer = LastGoodLayer::http("pages", by_uri).build().unwrap();
    let takes = answers(|_| async {
        let here = Degradations::current().expect("an answer");
        feature("reviews").fallback(0).run(up(1)).await?;
        assert!(here.is_empty());
        Ok(page(&[]))
    });
    let (_, less) = gather(layer.layer(takes).oneshot(get("/"))).await;
    assert!(less.is_none());
    assert_eq!(layer.kept(), 1);
}

#[tokio::test]
async fn page_that_notes_in_its_body_is_not_kept() {
    let layer = LastGoodLayer::http("pages", by_uri).build().unwrap();
    let notes = service_fn(|_: Request<()>| {
        let body = Full::<Bytes>::from("page").map_frame(|frame| {
            note("reviews", Cause::Failed, "value");
            frame
        });
        ready(Ok::<_, BoxError>(Response::new(body)))
    });
    let response = layer.layer(notes).oneshot(get("/")).await.unwrap();
    assert_eq!(read(response).await, "page");
    assert_eq!(layer.kept(), 0);
}

#[tokio::test]
async fn what_a_service_noted_when_it_was_called_counts() {
    let layer = LastGoodLayer::http("pages", by_uri).build().unwrap();
    let notes = answers(|_| {
        note("reviews", Cause::Failed, "value");
        ready(Ok(page(&[])))
    });
    assert!(layer.layer(notes).oneshot(get("/")).await.is_ok());
    assert_eq!(layer.kept(), 0);
}

#[tokio::test]
async fn good_answer_beside_a_degraded_feature_is_kept() {
    let layer = LastGoodLayer::http("prices", by_uri).build().unwrap();
    let prices = layer.layer(answers(|_| ready(Ok(page(&[])))));
    let answer = async {
        feature("reviews").fallback(0).run(down()).await.unwrap();
        let _here = Degradations::current();
        prices.oneshot(get("/")).await.is_ok()
    };
    let (is_ok, less) = gather(answer).await;
    assert!(is_ok && less.is_some());
    assert_eq!(layer.kept(), 1, "it has no part in what is missing");
}

#[tokio::test]
async fn fallback_further_in_is_not_kept_as_good() {
    let fallback = FallbackLayer::plain("inner").value(0).build();
    let layer = LastGoodLayer::plain("outer", |item: &u32| Some(*item));
    let layer = layer.build().unwrap();
    let bad = layer.layer(fallback.layer(service_fn(|_: u32| down())));
    assert_eq!(bad.oneshot(1).await.unwrap(), 0);
    assert_eq!(layer.kept(), 0);
    let last = LastGood::new(SECOND);
    let bad = fallback.layer(service_fn(|_: u32| down()));
    let feature = feature("x").or_last(&last).run(bad.oneshot(1));
    assert_eq!(feature.await.unwrap(), 0);
    assert_eq!(last.get(), None);
}

#[tokio::test]
async fn page_of_one_host_is_not_given_to_callers_of_another() {
    let layer = LastGoodLayer::http("pages", by_uri).build().unwrap();
    let of = |host: &'static str| {
        let request = Request::builder().uri("/").header("host", host);
        request.body(()).unwrap()
    };
    let good = layer.layer(answers(|_| ready(Ok(page(&[])))));
    assert!(good.oneshot(of("a.example")).await.is_ok());
    let bad = layer.layer(answers(is_down));
    assert!(bad.clone().oneshot(of("b.example")).await.is_err());
    assert!(bad.clone().oneshot(get("/")).await.is_err());
    let twice = Request::builder().header("host", "a.example");
    let twice = twice.header("host", "b.example").body(()).unwrap();
    assert!(bad.clone().oneshot(twice).await.is_err(), "whose is it?");
    assert!(bad.oneshot(of("a.example")).await.is_ok());
}

#[tokio::test]
async fn answer_to_one_method_is_not_given_to_another_whatever_the_key() {
    let path = |request: &Request<()>| Some(request.uri().path().to_owned());
    let layer = LastGoodLayer::http("pages", path).build().unwrap();
    let by = |method| {
        let mut request = get("/");
        *request.method_mut() = method;
        request
    };
    let empty = answers(|_| ready(Ok(Response::new(Full::default()))));
    let empty = layer.layer(empty).oneshot(by(Method::HEAD)).await;
    assert!(empty.is_ok());
    let bad = layer.layer(answers(is_down));
    for method in [Method::GET, Method::POST] {
        let given = bad.clone().oneshot(by(method.clone())).await;
        assert!(given.is_err(), "{method} was given what a HEAD had got");
    }
    assert!(bad.oneshot(by(Method::HEAD)).await.is_ok());
}

#[tokio::test]
async fn what_must_not_be_given_stale_is_not_kept() {
    for value in [
        "max-age=5, must-revalidate",
        "No-Cache",
        "proxy-revalidate",
        "s-maxage=5",
        "no-cache=\"x\"",
    ] {
        let layer = LastGoodLayer::http("pages", by_uri).build().unwrap();
        let good = layer.layer(answers(move |_| {
            ready(Ok(page(&[("cache-control", value)])))
        }));
        assert!(good.oneshot(get("/")).await.is_ok());
        assert_eq!(layer.kept(), 0, "{value}");
    }
    let layer = LastGoodLayer::http("pages", by_uri).build().unwrap();
    let allowed = [("cache-control", "max-age=5, public, stale-if-error=60")];
    let good = layer.layer(answers(move |_| ready(Ok(page(&allowed)))));
    assert!(good.oneshot(get("/")).await.is_ok());
    assert_eq!(layer.kept(), 1);
}

#[tokio::test]
async fn stream_of_events_is_not_held_back_to_be_kept() {
    for kind in ["text/event-stream", "Text/Event-Stream; charset=utf-8"] {
        let layer = LastGoodLayer::http("pages", by_uri).build().unwrap();
        let (mut feed, body) = Channel::<Bytes, BoxError>::new(8);
        let response = Response::builder().header("content-type", kind).body(body);
        let response = std::sync::Mutex::new(Some(response.unwrap()));
        let streams = service_fn(|_: Request<()>| {
            let response = response.lock().unwrap().take().expect("asked once");
            ready(Ok::<_, BoxError>(response))
        });
        feed.send_data("one".into()).await.unwrap();
        let mut call = tokio_test::task::spawn(layer.layer(streams).oneshot(get("/")));
        assert!(call.poll().is_ready(), "{kind}: the stream has not ended");
        assert_eq!(layer.kept(), 0);
    }
}

#[tokio::test]
async fn call_to_grpc_is_not_kept_since_its_end_comes_later() {
    let layer = LastGoodLayer::http("pages", by_uri).build().unwrap();
    let grpc = [("content-type", "application/grpc+proto")];
    let good = layer.layer(answers(move |_| ready(Ok(page(&grpc)))));
    assert!(good.oneshot(get("/")).await.is_ok());
    assert_eq!(layer.kept(), 0);
}

#[tokio::test]
async fn what_was_about_the_connection_is_not_given_again() {
    let layer = LastGoodLayer::http("pages", by_uri).build().unwrap();
    let headers = [
        ("connection", "close, X-Hop"),
        ("keep-alive", "timeout=5"),
        ("transfer-encoding", "chunked"),
        ("x-hop", "1"),
        ("x-end", "2"),
    ];
    let good = layer.layer(answers(move |_| ready(Ok(page(&headers)))));
    assert_eq!(good.oneshot(get("/")).await.unwrap().headers().len(), 5);
    let given = layer.layer(answers(is_down)).oneshot(get("/")).await;
    let given = given.unwrap();
    for name in ["connection", "keep-alive", "transfer-encoding", "x-hop"] {
        assert!(!given.headers().contains_key(name), "{name}");
    }
    assert_eq!(given.headers()["x-end"], "2");
    assert_eq!(read(given).await, "page");
}

#[tokio::test]
async fn body_that_breaks_off_while_it_is_read_is_replaced_by_an_older_one() {
    let clock = seaworthy_kit::testing::ManualClock::new();
    let layer = LastGoodLayer::http("pages", by_uri).clock(clock.clock());
    let layer = layer.max_age(100 * SECOND).build().unwrap();
    let sends = |breaks: bool| {
        layer.layer(service_fn(move |_: Request<()>| async move {
            let (mut feed, body) = Channel::<Bytes, BoxError>::new(8);
            feed.send_data("part".into()).await.unwrap();
            if breaks {
                feed.abort("cable cut".into());
            }
            Ok::<_, BoxError>(Response::new(body))
        }))
    };
    let good = sends(false).oneshot(get("/")).await.unwrap();
    assert_eq!(read(good).await, "part");
    // What is kept is young: the answer passes as it comes, and cannot be replaced any more.
    let passed = sends(true).oneshot(get("/")).await.unwrap();
    assert!(passed.into_body().collect().await.is_err());
    clock.advance(10 * SECOND);
    let (given, less) = gather(sends(true).oneshot(get("/"))).await;
    assert_eq!(read(given.unwrap()).await, "part");
    assert_eq!(list(less), [("pages", "failed", "last_good")]);
}

#[test]
fn as_many_entries_as_there_are_numbers_are_no_overflow() {
    let layer = LastGoodLayer::plain("x", |item: &u32| Some(*item));
    let layer = layer.max_entries(usize::MAX).build().unwrap();
    let good = layer.layer(service_fn(|item: u32| up(item)));
    assert_eq!(tokio_test::block_on(good.oneshot(1)).unwrap(), 1);
    assert_eq!(layer.kept(), 1);
}
