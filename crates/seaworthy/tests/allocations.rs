//! What a stack allocates: nothing of its own.

use std::future::{Future, Ready, ready};
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Empty;
use seaworthy::prelude::*;
use tower::{Layer, Service, ServiceBuilder};

/// Answers at once.
#[derive(Clone)]
struct Bare;

impl Service<u64> for Bare {
    type Response = u64;
    type Error = BoxError;
    type Future = Ready<Result<u64, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: u64) -> Self::Future {
        ready(Ok(request))
    }
}

impl<B> Service<Request<B>> for Bare {
    type Response = Response<Empty<Bytes>>;
    type Error = BoxError;
    type Future = Ready<Result<Self::Response, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<B>) -> Self::Future {
        ready(Ok(Response::new(Empty::new())))
    }
}

fn call<S: Service<Req>, Req>(service: &mut S, request: Req) {
    let mut cx = Context::from_waker(Waker::noop());
    assert!(service.poll_ready(&mut cx).is_ready());
    let future = pin!(service.call(request));
    assert!(future.poll(&mut cx).is_ready());
}

/// How often a call of a long-lived service allocates.
fn allocations<S: Service<Req>, Req>(mut service: S, request: impl Fn() -> Req) -> u64 {
    // The second call makes the service's own counters.
    (0..3).for_each(|_| call(&mut service, request()));
    let requests: Vec<_> = (0..100).map(|_| request()).collect();
    let counted = allocation_counter::measure(|| {
        for request in requests {
            call(&mut service, request);
        }
    });
    assert_eq!(counted.count_total % 100, 0, "each call allocates the same");
    counted.count_total / 100
}

fn payment() -> Request<Empty<Bytes>> {
    let request = Request::get("http://gateway/payments/7").header("accept", "application/json");
    request.body(Empty::new()).expect("the request is valid")
}

const TOTAL: Duration = Duration::from_secs(10);

#[tokio::test]
async fn plain_stacks_allocate_nothing() {
    let stack = client("gateway").plain().build().unwrap();
    assert_eq!(allocations(stack.layer(Bare), || 7), 0);
    let stack = server("payments").plain().build().unwrap();
    assert_eq!(allocations(stack.layer(Bare), || 7), 0);
}

#[tokio::test]
async fn clone_of_a_stack_for_one_call_allocates_nothing() {
    let stack = client("gateway").plain().build().unwrap();
    let service = stack.layer(Bare);
    let counted = allocation_counter::measure(|| call(&mut service.clone(), 7_u64));
    assert_eq!(counted.count_total, 0);
}

#[tokio::test]
async fn http_client_allocates_what_its_retry_does() {
    let stack = client("gateway").http().build().unwrap();
    let by_preset = allocations(stack.layer(Bare), payment);
    let by_hand = ServiceBuilder::new()
        .layer(
            DeadlineLayer::http("gateway")
                .max(TOTAL)
                .default_limit(TOTAL)
                .build()
                .unwrap(),
        )
        .layer(RetryLayer::http("gateway").build().unwrap())
        .layer(CircuitBreakerLayer::http("gateway").build().unwrap())
        .layer(BulkheadLayer::http("gateway").build().unwrap())
        .layer(TimeoutLayer::http("gateway").build().unwrap())
        .service(Bare);
    assert_eq!(by_preset, allocations(by_hand, payment));
    let retry = RetryLayer::http("gateway").build().unwrap();
    assert_eq!(
        by_preset,
        allocations(retry.layer(Bare), payment),
        "its copy"
    );
    let once = client("gateway").http().without_retry().build().unwrap();
    assert_eq!(allocations(once.layer(Bare), payment), 0);
}

#[tokio::test]
async fn http_server_allocates_nothing() {
    let stack = server("payments").http().build().unwrap();
    assert_eq!(allocations(stack.layer(Bare), payment), 0);
}
