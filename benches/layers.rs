//! What one call through each layer costs over the bare service, and what the parts cost that no layer can do without: allocations are asserted, times are printed.
#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::hint::black_box;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use benches::{Case, Cost, drive, measure};
use seaworthy::prelude::*;
use tower_layer::Layer;
use tower_service::Service;

#[derive(Clone)]
struct Bare;

impl Service<u64> for Bare {
    type Response = u64;
    type Error = Infallible;
    type Future = Ready<Result<u64, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: u64) -> Self::Future {
        ready(Ok(request))
    }
}

fn main() {
    let breaker = CircuitBreakerLayer::plain("x").build().expect("defaults");
    let open = CircuitBreakerLayer::plain("x").build().expect("defaults");
    open.handle().force_open();
    let bulkhead = BulkheadLayer::plain("x").build().expect("defaults");
    let timeout = TimeoutLayer::plain("x").build().expect("defaults");
    let stack = breaker.layer(bulkhead.layer(timeout.layer(Bare)));

    let (mut bare, mut closed, cloned) = (Bare, breaker.layer(Bare), breaker.layer(Bare));
    let (mut open, mut pool) = (open.layer(Bare), bulkhead.layer(Bare));
    let (mut timed, mut stack) = (timeout.layer(Bare), stack);
    let counter = AtomicUsize::new(1);
    let costs = measure(vec![
        // In and out, as each layer counts a call; a count that something else hangs on costs no less.
        Case::new("count in and out", || {
            counter.fetch_add(1, Ordering::Relaxed);
            counter.fetch_sub(1, Ordering::Release)
        }),
        Case::new("clock", tokio::time::Instant::now),
        Case::new("box of an error", || black_box(Box::new([0_u64; 4]))),
        Case::new("bare", || drive(&mut bare, 1).is_ok()),
        Case::new("breaker-closed", || drive(&mut closed, 1).is_ok()),
        Case::new("breaker-cloned", || drive(&mut cloned.clone(), 1).is_ok()),
        Case::new("breaker-open", || drive(&mut open, 1).is_ok()),
        Case::new("bulkhead", || drive(&mut pool, 1).is_ok()),
        Case::new("timeout", || drive(&mut timed, 1).is_ok()),
        Case::new("stack", || drive(&mut stack, 1).is_ok()),
    ]);
    println!("{:16} {:>10} {:>8} {:>8}", "case", "ns", "allocs", "bytes");
    for Cost {
        name,
        nanos,
        allocations,
        bytes,
        ..
    } in &costs
    {
        println!("{name:16} {nanos:10.1} {allocations:8.2} {bytes:8.1}");
    }
    for cost in &costs {
        // A refusal is boxed, once; an admitted call allocates nothing.
        let most = match &*cost.name {
            "breaker-open" | "box of an error" => 1.0,
            _ => 0.0,
        };
        assert!(cost.allocations <= most, "{} allocates", cost.name);
    }
}
