//! How often a call that succeeds at once reads the clock.

use std::future::ready;

use seaworthy_kit::testing::clock_reads;
use tower::service_fn;
use tower_layer::Layer;

use super::*;

/// The clock reads of so many calls, in all and the most of any of them.
fn reads(layer: &RetryLayer<seaworthy_kit::Plain, seaworthy_kit::Plain>, calls: u32) -> (u64, u64) {
    let service = layer.layer(service_fn(|_: u32| ready(Ok::<_, BoxError>(1))));
    clock_reads(service, || 1, calls)
}

#[test]
fn one_call_in_32_reads_the_clock_for_the_budget() {
    let layer = RetryLayer::plain("gateway").build().unwrap();
    assert_eq!(reads(&layer, 320), (10, 1));
}

#[test]
fn call_without_a_budget_reads_no_clock() {
    let layer = RetryLayer::plain("gateway").budget(None).build().unwrap();
    assert_eq!(reads(&layer, 320), (0, 0));
}
