//! How often a call reads the clock; what it allocates is counted in `tests/throttle_cost.rs`.

use std::future::ready;

use seaworthy_kit::clock;
use tokio_test::task;
use tower::{Layer, Service, service_fn};

use super::*;

/// The clock reads of one call, and whether it was made.
fn reads(layer: &ThrottleLayer<Plain>, answer: Result<u32, &'static str>) -> (u64, bool) {
    let mut service = layer.layer(service_fn(move |()| ready(answer)));
    let before = clock::reads();
    assert!(
        task::spawn(())
            .enter(|cx, _| service.poll_ready(cx))
            .is_ready()
    );
    let mut call = task::spawn(Box::pin(service.call(())));
    let made = match call.poll() {
        std::task::Poll::Ready(result) => !result.is_err_and(|error| is_shed(&error)),
        std::task::Poll::Pending => unreachable!("answered at once"),
    };
    (clock::reads() - before, made)
}

#[test]
fn healthy_call_reads_the_clock_once_when_its_answer_counts() {
    let layer = builder().build().unwrap();
    for _ in 0..100 {
        assert_eq!(reads(&layer, Ok(1)), (1, true));
    }
}

#[test]
fn call_that_is_weighed_reads_it_once_more() {
    let layer = builder().build().unwrap();
    assert_eq!(reads(&layer, Err("too much")), (1, true));
    assert_eq!(reads(&layer, Err("too much")), (2, true));
    refused_where_possible(true);
    assert_eq!(reads(&layer, Ok(1)), (1, false));
    refused_where_possible(false);
}
