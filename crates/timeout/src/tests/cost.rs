//! What a call that is answered at once does without: a timer, and the clock.

use std::future::ready;

use seaworthy_kit::deadline;
use tower::service_fn;

use super::*;

/// The clock reads of one call that is answered at once; without a runtime, so that a timer would panic.
fn reads(layer: &TimeoutLayer<Plain>) -> u64 {
    let mut service = layer.layer(service_fn(|()| ready(Ok::<_, BoxError>(1))));
    let before = clock::reads();
    let ready = task::spawn(()).enter(|cx, _| service.poll_ready(cx));
    assert!(ready.is_ready());
    assert!(task::spawn(service.call(())).poll().is_ready());
    clock::reads() - before
}

#[test]
fn call_that_is_answered_at_once_reads_no_clock_and_arms_no_timer() {
    let builders = [
        TimeoutLayer::plain("slow"),
        TimeoutLayer::plain("slow").limit(SECOND),
        TimeoutLayer::plain("slow").limit(SECOND).body_limit(SECOND),
    ];
    for builder in builders {
        assert_eq!(reads(&builder.build().unwrap()), 0);
    }
}

#[test]
fn deadline_of_the_task_costs_one_look_at_the_clock() {
    let layer = TimeoutLayer::plain("slow").limit(SECOND).build().unwrap();
    let deadline = Deadline::after(clock::now(), SECOND);
    assert_eq!(deadline::sync_scope(deadline, || reads(&layer)), 1);
}
