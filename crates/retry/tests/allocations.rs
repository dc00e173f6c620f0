//! What a call that succeeds at once allocates: nothing, where its request is cloned without; over HTTP its copy.

use std::future::{Ready, ready};
use std::task::{Context, Poll};

use seaworthy_kit::BoxError;
use seaworthy_kit::testing::{answered, cost_of_a_call};
use seaworthy_retry::RetryLayer;
use tower_layer::Layer;
use tower_service::Service;

/// Answers at once.
#[derive(Clone)]
struct Bare;

impl<Req> Service<Req> for Bare {
    type Response = u64;
    type Error = BoxError;
    type Future = Ready<Result<u64, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Req) -> Self::Future {
        ready(Ok(7))
    }
}

/// How often such a call of a long-lived service allocates.
fn allocations<S, Req>(service: S, request: impl Fn() -> Req) -> u64
where
    S: Service<Req>,
{
    cost_of_a_call(service, request, |calls| {
        allocation_counter::measure(calls).count_total
    })
}

#[test]
fn call_that_succeeds_allocates_nothing() {
    let plain = || RetryLayer::plain("gateway");
    let layer = plain().build().unwrap();
    assert_eq!(allocations(layer.layer(Bare), || 7_u64), 0);
    let once = plain().retry_if(|_: &u64| false).build().unwrap();
    assert_eq!(allocations(once.layer(Bare), || 7_u64), 0);
    let limited = plain()
        .attempt_timeout(std::time::Duration::from_secs(2))
        .total_timeout(std::time::Duration::from_secs(10))
        .throttle(10, 0.1)
        .build()
        .unwrap();
    assert_eq!(allocations(limited.layer(Bare), || 7_u64), 0);
}

#[test]
fn call_of_a_fresh_clone_allocates_nothing() {
    let layer = RetryLayer::plain("gateway").build().unwrap();
    let service = layer.layer(Bare);
    let counted = allocation_counter::measure(|| answered(&mut service.clone(), 7_u64));
    assert_eq!(counted.count_total, 0);
}

#[test]
fn call_has_room_for_one_copy_of_its_request() {
    type Large = [u64; 128];
    fn size<S: Service<Large>>(_: &S) -> usize {
        size_of::<S::Future>()
    }
    let layer = RetryLayer::plain("gateway").build().unwrap();
    let room = size(&layer.layer(Bare));
    // The next attempt's own is boxed, once there is one.
    assert!(room < 2 * size_of::<Large>(), "{room} bytes");
}

#[cfg(feature = "http")]
mod over_http {
    use bytes::Bytes;
    use http::{HeaderValue, Method, Request, Response, Uri};
    use http_body_util::{Empty, Full};

    use super::*;

    /// Answers at once, with 200.
    #[derive(Clone)]
    struct Server;

    impl<Req> Service<Req> for Server {
        type Response = Response<Empty<Bytes>>;
        type Error = BoxError;
        type Future = Ready<Result<Self::Response, BoxError>>;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
            Poll::Ready(Ok(()))
        }

        fn call(&mut self, _: Req) -> Self::Future {
            ready(Ok(Response::new(Empty::new())))
        }
    }

    fn request<B>(method: Method, body: B) -> Request<B> {
        let request = Request::builder().method(method);
        let request = request.uri(Uri::from_static("/v1/charges"));
        let request = request.header("accept", HeaderValue::from_static("application/json"));
        request.body(body).expect("a valid request")
    }

    #[test]
    fn repeatable_call_keeps_a_copy_of_its_head_and_a_place_for_its_body() {
        let layer = RetryLayer::http("gateway").build().unwrap();
        let empty = || request(Method::GET, Empty::<Bytes>::new());
        // The header map: its index and its entries.
        // The rest of the head is inline, or static, or counted references, as what a server has read is.
        assert_eq!(allocations(layer.layer(Server), empty), 2);
        let full = || request(Method::PUT, Full::<Bytes>::from("amount=99"));
        // And the place that the attempts hand the body over in.
        assert_eq!(allocations(layer.layer(Server), full), 3);
        // What is in a buffer of its own begins to be counted: once for each such part.
        let owned = || {
            let mut request = request(Method::GET, Empty::<Bytes>::new());
            *request.uri_mut() = String::from("/v1/charges").parse().unwrap();
            request
        };
        assert_eq!(allocations(layer.layer(Server), owned), 3);
    }

    #[test]
    fn call_that_is_sent_once_allocates_nothing() {
        let layer = RetryLayer::http("gateway").build().unwrap();
        let post = || request(Method::POST, Full::<Bytes>::from("amount=99"));
        assert_eq!(allocations(layer.layer(Server), post), 0);
        let long = || request(Method::PUT, Full::<Bytes>::from(vec![7; 70_000]));
        assert_eq!(allocations(layer.layer(Server), long), 0);
    }
}
