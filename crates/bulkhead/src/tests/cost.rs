//! What a call that finds a free slot does without: the clock, and a timer.

use std::future::ready;

use seaworthy_kit::clock;
use tower::{Layer, Service, service_fn};

use super::*;

/// The clock reads of one call; without a runtime, so that a timer would panic.
fn reads<L>(layer: &L) -> u64
where
    L: Layer<tower::util::BoxCloneService<(), u32, BoxError>>,
    L::Service: Service<(), Response = u32, Error = BoxError>,
{
    let inner = service_fn(|()| ready(Ok::<_, BoxError>(1)));
    let mut service = layer.layer(tower::util::BoxCloneService::new(inner));
    let before = clock::reads();
    assert!(
        task::spawn(())
            .enter(|cx, _| service.poll_ready(cx))
            .is_ready()
    );
    assert!(task::spawn(Box::pin(service.call(()))).poll().is_ready());
    clock::reads() - before
}

#[test]
fn call_that_finds_a_slot_reads_no_clock_and_arms_no_timer() {
    let sheds = BulkheadLayer::plain("pool").build().unwrap();
    let queues = BulkheadLayer::plain("pool").queue(10, Duration::from_secs(1));
    let queues = queues.build().unwrap();
    for _ in 0..100 {
        assert_eq!(reads(&sheds), 0);
        assert_eq!(reads(&queues), 0);
    }
}
