//! The layer of a server: who decides, whom it tells, and how far the class goes.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Empty};
use tower::{Layer, Service, ServiceExt, service_fn};

use super::*;

/// What the inner service of a layer sees of a request: the class of its task, what the header says, and what is noted.
async fn seen<F>(
    layer: CriticalityLayer<F>,
    request: Request<()>,
) -> (Option<Criticality>, Option<String>, Option<Criticality>)
where
    F: ClassFor<Request<()>> + Clone,
{
    let inner = service_fn(|request: Request<()>| async move {
        tokio::task::yield_now().await;
        let header = request.headers().get("x-criticality");
        let header = header.map(|value| value.to_str().unwrap().to_owned());
        let mut response = Response::new(Empty::<Bytes>::new());
        let noted = request.extensions().get::<Criticality>().copied();
        response.extensions_mut().insert((current(), header, noted));
        Ok::<_, Infallible>(response)
    });
    let response = layer.layer(inner).oneshot(request).await;
    let mut response = response.unwrap();
    assert_eq!(current(), None);
    response.extensions_mut().remove().unwrap()
}

async fn class<F>(layer: CriticalityLayer<F>, lines: &[(&'static str, &str)]) -> Criticality
where
    F: ClassFor<Request<()>> + Clone,
{
    seen(layer, request(lines))
        .await
        .0
        .expect("inside of the layer")
}

const LOW: [(&str, &str); 1] = [("x-criticality", "sheddable")];
const HIGH: [(&str, &str); 1] = [("x-criticality", "critical-plus")];

#[tokio::test]
async fn request_about_which_nobody_says_anything_is_critical() {
    assert_eq!(class(CriticalityLayer::new(), &[]).await, Critical);
    let garbage = [("x-criticality", "extreme")];
    assert_eq!(class(CriticalityLayer::new(), &garbage).await, Critical);
}

#[tokio::test]
async fn stranger_can_lower_its_class_and_never_raise_it() {
    assert_eq!(class(CriticalityLayer::new(), &LOW).await, Sheddable);
    assert_eq!(class(CriticalityLayer::new(), &HIGH).await, Critical);
    let batch = || CriticalityLayer::new().class(SheddablePlus);
    assert_eq!(class(batch(), &HIGH).await, SheddablePlus);
    assert_eq!(class(batch(), &LOW).await, Sheddable);
}

#[tokio::test]
async fn trusted_caller_has_the_last_word() {
    let trusting = || CriticalityLayer::new().trust(true);
    assert_eq!(class(trusting(), &HIGH).await, CriticalPlus);
    assert_eq!(class(trusting().class(CriticalPlus), &LOW).await, Sheddable);
    assert_eq!(
        class(trusting().class(SheddablePlus), &[]).await,
        SheddablePlus
    );
}

#[tokio::test]
async fn function_goes_before_the_class_of_the_layer() {
    let layer = CriticalityLayer::new().class(CriticalPlus);
    let layer = layer.class_for(|request: &Request<()>| {
        (request.uri().path() == "/prefetch").then_some(SheddablePlus)
    });
    let prefetch = Request::get("/prefetch").body(()).unwrap();
    assert_eq!(seen(layer.clone(), prefetch).await.0, Some(SheddablePlus));
    assert_eq!(class(layer.clone(), &[]).await, CriticalPlus);
    assert_eq!(class(layer, &LOW).await, Sheddable);
}

#[tokio::test]
async fn noted_class_counts_where_the_layer_has_none() {
    let noted = || {
        let mut request = request(&[]);
        request.extensions_mut().insert(SheddablePlus);
        request
    };
    let layer = CriticalityLayer::new();
    assert_eq!(seen(layer, noted()).await.0, Some(SheddablePlus));
    let layer = CriticalityLayer::new().class(CriticalPlus);
    let (class, _, note) = seen(layer, noted()).await;
    assert_eq!((class, note), (Some(CriticalPlus), Some(CriticalPlus)));
    // Also where the class is the default, which is not noted otherwise.
    let layer = CriticalityLayer::new().class(Critical);
    assert_eq!(seen(layer, noted()).await.2, Some(Critical));
}

#[tokio::test]
async fn class_of_the_task_counts_where_nobody_knows_better() {
    let inside = scope(Sheddable, async {
        let inner = service_fn(|_: Request<()>| async {
            let mut response = Response::new(Empty::<Bytes>::new());
            response.extensions_mut().insert(current());
            Ok::<_, Infallible>(response)
        });
        let service = CriticalityLayer::new().layer(inner);
        let response = service.oneshot(request(&HIGH)).await.unwrap();
        *response.extensions().get::<Option<Criticality>>().unwrap()
    });
    assert_eq!(inside.await, Some(Sheddable));
}

#[tokio::test]
async fn layer_that_hears_nobody_leaves_the_header_alone() {
    let deaf = CriticalityLayer::new().header(None);
    let (class, header, _) = seen(deaf, request(&LOW)).await;
    assert_eq!(
        (class, header.as_deref()),
        (Some(Critical), Some("sheddable"))
    );
}

#[tokio::test]
async fn word_of_a_stranger_is_put_right_before_others_believe_it() {
    let layer = CriticalityLayer::new;
    assert_eq!(
        seen(layer(), request(&HIGH)).await.1.as_deref(),
        Some("critical")
    );
    assert_eq!(
        seen(layer(), request(&LOW)).await.1.as_deref(),
        Some("sheddable")
    );
    let garbage = request(&[("x-criticality", "a"), ("x-criticality", "critical-plus")]);
    assert_eq!(seen(layer(), garbage).await.1.as_deref(), Some("critical"));
    assert_eq!(seen(layer(), request(&[])).await.1, None, "none is made up");
}

#[tokio::test]
async fn only_a_class_other_than_the_default_is_noted() {
    let layer = CriticalityLayer::new;
    assert_eq!(seen(layer(), request(&[])).await.2, None);
    assert_eq!(seen(layer(), request(&LOW)).await.2, Some(Sheddable));
}

#[tokio::test]
async fn innermost_layer_counts() {
    let route = CriticalityLayer::new().class(CriticalPlus);
    let inner = route.layer(service_fn(|_: Request<()>| async {
        let mut response = Response::new(Empty::<Bytes>::new());
        response.extensions_mut().insert(current());
        Ok::<_, Infallible>(response)
    }));
    let server = CriticalityLayer::new().class(SheddablePlus).layer(inner);
    for (lines, expected) in [
        (&HIGH[..], SheddablePlus),
        (&LOW, Sheddable),
        (&[], CriticalPlus),
    ] {
        let response = server.clone().oneshot(request(lines)).await.unwrap();
        let class = response.extensions().get::<Option<Criticality>>().unwrap();
        // What the outer layer made of a stranger's wish stands in the header, and lowers the route's.
        assert_eq!(*class, Some(expected), "{lines:?}");
    }
}

/// A body that tells the class in which it is polled.
struct Telling(Option<Criticality>);

impl Body for Telling {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0 = current();
        let text = current().map_or("none", Criticality::as_str);
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(text.as_bytes())))))
    }
}

#[tokio::test]
async fn body_is_polled_in_the_class_of_its_request() {
    let inner =
        service_fn(|_: Request<()>| async { Ok::<_, Infallible>(Response::new(Telling(None))) });
    let service = CriticalityLayer::new().layer(inner);
    let response = service.oneshot(request(&LOW)).await.unwrap();
    let frame = response.into_body().frame().await.unwrap().unwrap();
    assert_eq!(frame.into_data().unwrap(), "sheddable");
    assert_eq!(current(), None);
}

#[tokio::test]
async fn call_itself_runs_in_the_class() {
    let mut called = None;
    let inner = service_fn(|_: Request<()>| {
        called = current();
        async { Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new())) }
    });
    let mut service = CriticalityLayer::new().layer(inner);
    let _ = service.call(request(&LOW)).await;
    drop(service);
    assert_eq!(called, Some(Sheddable));
    assert_eq!(current(), None);
}

#[tokio::test]
async fn queue_that_hands_requests_to_a_worker_loses_the_task_and_keeps_the_note() {
    let inner = service_fn(|_: Request<()>| {
        // Called by the worker, in a task of its own.
        let called = current();
        async move {
            let mut response = Response::new(Empty::<Bytes>::new());
            response.extensions_mut().insert(called);
            Ok::<_, Infallible>(response)
        }
    });
    let worker = CriticalityLayer::new().layer(inner);
    let queue = service_fn(move |request: Request<()>| {
        let worker = worker.clone();
        async move { tokio::spawn(worker.oneshot(request)).await.unwrap() }
    });
    let server = CriticalityLayer::new().class(SheddablePlus).layer(queue);
    let response = server.oneshot(request(&[])).await.unwrap();
    let class = response.extensions().get::<Option<Criticality>>().unwrap();
    assert_eq!(*class, Some(SheddablePlus));
}
