//! The queue: how long a call waits, and what becomes of it.

use super::*;

fn one(waiting: usize) -> AdaptiveHandle {
    let layer = limit(1).max(1).queue(waiting).build().unwrap();
    layer.handle()
}

#[tokio::test(start_paused = true)]
async fn call_waits_for_the_interval_and_no_longer() {
    let handle = one(5);
    let _running = Call::start(&handle);
    let waiting = Call::start(&handle);
    advance(99 * MILLI).await;
    assert!(!waiting.is_woken());
    advance(2 * MILLI).await;
    assert!(waiting.is_woken());
    assert_eq!(waiting.refusal().kind(), RejectionKind::QueueTimeout);
    assert_eq!(handle.snapshot().waiting, 0);
}

/// Last come, first served; the old give up by themselves.
#[tokio::test(start_paused = true)]
async fn standing_queue_serves_the_freshest_and_lets_newcomers_wait_for_moments_only() {
    let handle = one(9);
    let running = Call::start(&handle);
    let old = Call::start(&handle);
    advance(60 * MILLI).await;
    let second = Call::start(&handle);
    advance(41 * MILLI).await;
    // The first has left the queue, which has been standing all the same.
    assert_eq!(old.refusal().kind(), RejectionKind::QueueTimeout);
    let mut fresh = Call::start(&handle);
    running.end();
    assert!(fresh.is_woken() && !second.is_woken());
    fresh.goes_on();
    let late = Call::start(&handle);
    advance(6 * MILLI).await;
    assert!(late.is_woken(), "5 ms are over");
    assert_eq!(late.refusal().kind(), RejectionKind::QueueTimeout);
    fresh.end();
    assert!(second.is_woken());
}

/// Their timers went off, but their tasks are busy with something else.
#[tokio::test(start_paused = true)]
async fn queue_of_those_whose_time_is_over_does_not_stand() {
    let handle = one(9);
    let _running = Call::start(&handle);
    let _late = [(); 2].map(|()| Call::start(&handle));
    advance(500 * MILLI).await;
    let waiting = Call::start(&handle);
    advance(99 * MILLI).await;
    assert!(!waiting.is_woken());
    advance(2 * MILLI).await;
    assert!(waiting.is_woken());
}

#[tokio::test(start_paused = true)]
async fn wait_ends_at_the_deadline_of_the_call() {
    let handle = one(5);
    let _running = Call::start(&handle);
    let soon = deadline::Deadline::after(seaworthy_kit::clock::now(), 10 * MILLI);
    let waiting = deadline::sync_scope(soon, || Call::start(&handle));
    advance(11 * MILLI).await;
    assert_eq!(waiting.refusal().kind(), RejectionKind::DeadlineExceeded);
}

#[tokio::test(start_paused = true)]
async fn time_in_the_queue_is_told_of_those_refused_as_well() {
    let handle = one(5);
    let recorder = Recorder::new();
    handle.subscribe(recorder.listener()).forever();
    let _running = Call::start(&handle);
    let waiting = Call::start(&handle);
    advance(101 * MILLI).await;
    let _ = waiting.refusal();
    let waited = recorder.events().into_iter().find_map(|event| match event {
        Event::Dequeued { waited, admitted } => Some((waited, admitted)),
        _ => None,
    });
    assert_eq!(waited, Some((101 * MILLI, false)));
}

#[tokio::test(start_paused = true)]
async fn dropped_waiter_leaves_and_passes_its_turn_on() {
    let handle = one(5);
    let running = Call::start(&handle);
    let [first, second, mut third] = [(); 3].map(|()| Call::start(&handle));
    drop(first);
    assert_eq!(handle.snapshot().waiting, 2);
    running.end();
    assert!(second.is_woken());
    drop(second);
    assert!(third.is_woken());
    third.goes_on();
    third.end();
    let snapshot = handle.snapshot();
    assert_eq!((snapshot.running, snapshot.waiting), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn limit_that_grows_lets_waiters_in() {
    let handle = one(5);
    let _running = Call::start(&handle);
    let [mut first, second] = [(); 2].map(|()| Call::start(&handle));
    handle.set_bounds(2, 2).unwrap();
    assert!(first.is_woken() && !second.is_woken());
    first.goes_on();
    let snapshot = handle.snapshot();
    assert_eq!((snapshot.running, snapshot.waiting), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn drain_lets_those_who_wait_have_their_turn() {
    let handle = one(5);
    let first = Call::start(&handle);
    let mut second = Call::start(&handle);
    let mut drain = task::spawn(handle.drain());
    assert_pending!(drain.poll());
    assert_eq!(Call::new(&handle).refusal().kind(), RejectionKind::Draining);
    first.end();
    second.goes_on();
    assert_pending!(drain.poll());
    second.end();
    assert_ready!(drain.poll());
}
