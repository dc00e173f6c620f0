//! What a call that goes as it comes does without: the clock, a timer, an allocation.

use std::future::ready;

use seaworthy_kit::clock;
use tower::{Layer, Service, service_fn};

use super::*;

#[test]
fn call_that_goes_as_it_comes_reads_no_clock_and_allocates_nothing() {
    for builder in [
        PaceLayer::plain("gateway"),
        PaceLayer::plain("gateway").wait(10, HOUR),
    ] {
        let layer = builder.build().unwrap();
        let mut service = layer.layer(service_fn(|()| ready(Ok::<_, BoxError>(1))));
        let mut waker = task::spawn(());
        let mut once = || {
            waker.enter(|cx, _| {
                let mut call = std::pin::pin!(service.call(()));
                assert!(call.as_mut().poll(cx).is_ready());
            });
        };
        // A clone makes a counter of its own in its second call.
        once();
        once();
        let before = clock::reads();
        let seen = allocation_counter::measure(|| (0..100).for_each(|_| once()));
        assert_eq!((seen.count_total, clock::reads() - before), (0, 0));
    }
}
