//! How often a call reads the clock: one that is answered at once, and one that has to wait.

use std::future::ready;

use seaworthy_kit::clock;
use seaworthy_kit::testing::clock_reads;
use tokio_test::assert_ready;
use tower::service_fn;

use super::*;

/// The clock reads of so many calls, in all and the most of any of them.
fn reads(layer: &HedgeLayer<seaworthy_kit::Plain, seaworthy_kit::Plain>, calls: u32) -> (u64, u64) {
    let service = layer.layer(service_fn(|_: u32| ready(Ok::<_, BoxError>(1))));
    clock_reads(service, || 1, calls)
}

#[test]
fn of_calls_answered_at_once_one_in_32_reads_the_clock() {
    let layer = HedgeLayer::plain("stock").build().unwrap();
    assert_eq!(reads(&layer, 320), (10, 1));
    let fixed = HedgeLayer::plain("stock").delay(DELAY).budget(None);
    assert_eq!(reads(&fixed.build().unwrap(), 320), (10, 1));
}

#[test]
fn call_that_may_not_be_hedged_reads_no_clock() {
    let layer = HedgeLayer::plain("stock").build().unwrap();
    layer.handle().set_enabled(false);
    assert_eq!(reads(&layer, 320), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn call_that_waits_reads_the_clock_once_and_to_be_measured_twice() {
    let live = plain().delay(crate::Percentile::new(0.9));
    for (builder, expected) in [(plain(), 1), (live, 2)] {
        let mut rig = Rig::new(builder);
        for _ in 0..2 {
            let mut call = rig.call();
            rig.remote.next_call().unwrap().answer(1);
            assert_ready!(call.poll()).unwrap();
        }
        let before = clock::reads();
        let (mut call, first) = rig.waiting();
        // However often it is woken.
        for _ in 0..5 {
            assert!(call.poll().is_pending());
        }
        first.answer(1);
        assert_ready!(call.poll()).unwrap();
        assert_eq!(clock::reads() - before, expected);
    }
}
