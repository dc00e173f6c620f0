//! The layer of a client, alone and behind a server's.

use std::convert::Infallible;

use bytes::Bytes;
use http_body_util::Empty;
use tower::{Layer, Service, ServiceExt, service_fn};

use super::*;

/// What the callee is told, and the class in which the call is made.
async fn told(request: Request<()>) -> (Option<String>, Option<Criticality>) {
    let inner = service_fn(|request: Request<()>| {
        let called = current();
        async move {
            tokio::task::yield_now().await;
            assert_eq!(current(), called);
            let header = request.headers().get("x-criticality");
            let header = header.map(|value| value.to_str().unwrap().to_owned());
            Ok::<_, Infallible>((header, called))
        }
    });
    let client = PropagateCriticalityLayer::http().layer(inner);
    client.oneshot(request).await.unwrap()
}

fn noted(class: Criticality, lines: &[(&'static str, &str)]) -> Request<()> {
    let mut request = request(lines);
    request.extensions_mut().insert(class);
    request
}

#[tokio::test]
async fn class_of_the_task_is_told() {
    for class in Criticality::ALL {
        let (header, called) = scope(class, told(request(&[]))).await;
        assert_eq!(
            (header.as_deref(), called),
            (Some(class.as_str()), Some(class))
        );
    }
}

#[tokio::test]
async fn call_outside_of_any_class_is_left_as_it_is() {
    assert_eq!(told(request(&[])).await, (None, None));
    let (header, called) = told(request(&[("x-criticality", "critical-plus")])).await;
    assert_eq!(header.as_deref(), Some("critical-plus"));
    assert_eq!(called, Some(CriticalPlus), "seen by the layers inside");
}

#[tokio::test]
async fn note_in_the_request_goes_before_the_class_of_the_task() {
    let (header, called) = scope(Sheddable, told(noted(CriticalPlus, &[]))).await;
    assert_eq!(
        (header.as_deref(), called),
        (Some("critical-plus"), Some(CriticalPlus))
    );
}

#[tokio::test]
async fn header_that_is_there_can_only_lower_the_class() {
    let forwarded = |value| request(&[("x-criticality", value)]);
    let class = async |request| scope(SheddablePlus, told(request)).await;
    assert_eq!(
        class(forwarded("critical-plus")).await.1,
        Some(SheddablePlus)
    );
    assert_eq!(
        class(forwarded("critical-plus")).await.0.as_deref(),
        Some("sheddable-plus")
    );
    assert_eq!(
        class(forwarded("sheddable")).await.0.as_deref(),
        Some("sheddable")
    );
    assert_eq!(
        class(forwarded("whatever")).await.0.as_deref(),
        Some("sheddable-plus")
    );
}

#[tokio::test]
async fn two_hops_are_made_in_one_class() {
    // Each server calls the next one through a client, and answers with what the last one saw.
    let answer = |class: Option<Criticality>| {
        let mut response = Response::new(Empty::<Bytes>::new());
        response.extensions_mut().insert(class);
        Ok::<_, Infallible>(response)
    };
    let last = CriticalityLayer::new().trust(true);
    let last = last.layer(service_fn(move |_: Request<()>| async move {
        answer(current())
    }));
    let client = PropagateCriticalityLayer::http().layer(last);
    let gateway = CriticalityLayer::new().class_for(|request: &Request<()>| {
        (request.uri().path() == "/pay").then_some(CriticalPlus)
    });
    let gateway = gateway.layer(service_fn(move |_: Request<()>| {
        let client = client.clone();
        async move {
            let response = client.oneshot(Request::new(())).await?;
            answer(*response.extensions().get().unwrap())
        }
    }));
    for (path, header, expected) in [
        ("/", None, Critical),
        ("/", Some("sheddable-plus"), SheddablePlus),
        ("/", Some("critical-plus"), Critical),
        ("/pay", None, CriticalPlus),
        ("/pay", Some("sheddable"), Sheddable),
    ] {
        let mut request = Request::get(path).body(()).unwrap();
        if let Some(header) = header {
            let value = HeaderValue::from_static(header);
            request.headers_mut().insert(&X_CRITICALITY, value);
        }
        let response = gateway.clone().oneshot(request).await.unwrap();
        let class = response.extensions().get::<Option<Criticality>>().unwrap();
        assert_eq!(*class, Some(expected), "{path} {header:?}");
    }
}

#[tokio::test]
async fn other_header_and_other_carriers_can_be_given() {
    let header = CriticalityHeader::new(HeaderName::from_static("x-importance"));
    let inner = service_fn(|request: Request<()>| async move {
        Ok::<_, Infallible>(request.headers()["x-importance"].clone())
    });
    let mut client = PropagateCriticalityLayer::new(header).layer(inner);
    let told = scope(Sheddable, async {
        client.call(request(&[])).await.unwrap()
    });
    assert_eq!(told.await, "sheddable");
}
