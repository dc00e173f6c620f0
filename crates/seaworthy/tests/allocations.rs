//! What a stack costs: it allocates nothing of its own, and reads the clock no more than it must.

use std::future::{Future, Ready, ready};
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Empty;
use seaworthy::prelude::*;
use seaworthy::rate_limit::Quota;
use seaworthy_kit::clock;
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

/// How often each of so many calls of a long-lived service reads the clock.
fn reads(mut service: impl Service<u64>, calls: u64) -> Vec<u64> {
    (0..3).for_each(|_| call(&mut service, 7));
    let counted = (0..calls).map(|_| {
        let before = clock::reads();
        call(&mut service, 7);
        clock::reads() - before
    });
    counted.collect()
}

/// With default options, but for a quota that is not met here: it has no default.
fn rate_limit() -> RateLimitLayer<seaworthy::Plain> {
    let layer = RateLimitLayer::plain("payments").quota(Quota::per_hour(10_000));
    layer.build().expect("the options are valid")
}

/// Timeout, rate limit, circuit breaker, bulkhead and retry, with default options.
macro_rules! five {
    ($retry:expr) => {
        ServiceBuilder::new()
            .layer(TimeoutLayer::plain("payments").build().unwrap())
            .layer(rate_limit())
            .layer(CircuitBreakerLayer::plain("payments").build().unwrap())
            .layer(BulkheadLayer::plain("payments").build().unwrap())
            .layer($retry.build().unwrap())
            .service(Bare)
    };
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
async fn five_layers_allocate_nothing() {
    let stack = five!(RetryLayer::plain("payments"));
    assert_eq!(allocations(stack, || 7), 0);
}

#[tokio::test]
async fn of_five_layers_only_the_rate_limit_reads_the_clock_for_a_call() {
    const CALLS: u64 = 320;
    let alone = reads(rate_limit().layer(Bare), CALLS);
    assert_eq!(alone, vec![1; 320]);
    let stack = five!(RetryLayer::plain("payments").budget(None));
    assert_eq!(reads(stack, CALLS), alone);
    // The budget of the retries is told of 32 calls at a time, and must know when they were.
    let by_default = reads(five!(RetryLayer::plain("payments")), CALLS);
    assert_eq!(by_default.iter().sum::<u64>(), CALLS + CALLS / 32);
    let told = by_default.iter().position(|reads| *reads == 2).unwrap();
    for (call, reads) in by_default.into_iter().enumerate() {
        let expected = if call % 32 == told { 2 } else { 1 };
        assert_eq!(reads, expected, "call {call}");
    }
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
