//! How often a call that succeeds at once reads the clock.

use std::future::ready;

use seaworthy_kit::clock;
use tokio_test::task;
use tower::service_fn;
use tower_layer::Layer;

use super::*;

/// The clock reads of so many calls of a service that lives long, in all and the most of any of them; without a runtime, so that a timer would panic.
fn reads(layer: &RetryLayer<seaworthy_kit::Plain, seaworthy_kit::Plain>, calls: u32) -> (u64, u64) {
    let mut service = layer.layer(service_fn(|_: u32| ready(Ok::<_, BoxError>(1))));
    let (mut sum, mut most) = (0, 0);
    // The first call of all counts where the service came from, and is the first there.
    for call in 0..=calls {
        let before = clock::reads();
        let ready = task::spawn(()).enter(|cx, _| service.poll_ready(cx));
        assert!(ready.is_ready());
        assert!(task::spawn(service.call(call)).poll().is_ready());
        let reads = clock::reads() - before;
        sum += if call == 0 { 0 } else { reads };
        most = most.max(reads);
    }
    (sum, most)
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
