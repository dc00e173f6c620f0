//! The terms of a wait: its limits, what it says in the end, and when to come back.

use seaworthy_core::Deadline;
use seaworthy_kit::clock;
use tokio::time::advance;

use super::*;

const MILLI: Duration = Duration::from_millis(1);

/// A call inside of a deadline, polled once.
fn within(time: Duration, handle: &BulkheadHandle) -> Call {
    let deadline = Deadline::after(clock::now(), time);
    let (end, ended) = oneshot::channel();
    let call = deadline::scope(deadline, run(handle.clone(), ended));
    let mut call = Call {
        end: Some(end),
        call: task::spawn(Box::pin(call)),
    };
    assert_pending!(call.call.poll());
    call
}

#[tokio::test(start_paused = true)]
async fn slot_that_becomes_free_too_late_is_for_the_next() {
    let handle = pool(1, 2);
    let first = Call::start(&handle);
    let hasty = within(10 * MILLI, &handle);
    let mut patient = Call::start(&handle);
    advance(10 * MILLI).await;
    first.end();
    assert!(patient.is_woken());
    assert_eq!(hasty.refusal().kind(), RejectionKind::DeadlineExceeded);
    patient.goes_on();
    assert_eq!(counts(&handle), (1, 1, 0));
    patient.end();
}

#[tokio::test(start_paused = true)]
async fn slot_granted_in_time_is_kept_however_late_it_is_noticed() {
    let handle = pool(1, 1);
    let first = Call::start(&handle);
    let mut second = Call::start(&handle);
    advance(Duration::from_millis(999)).await;
    first.end();
    advance(Duration::from_secs(5)).await;
    second.goes_on();
    assert_eq!(counts(&handle), (1, 1, 0));
    second.end();
}

#[tokio::test(start_paused = true)]
async fn longer_deadline_does_not_lengthen_the_wait() {
    let handle = pool(1, 1);
    let _first = Call::start(&handle);
    let second = within(Duration::from_secs(60), &handle);
    advance(Duration::from_secs(1)).await;
    assert!(second.is_woken());
    assert_eq!(second.refusal().kind(), RejectionKind::QueueTimeout);
    // Where both end at once, it is the caller who has no time left, and need not come back.
    let third = within(Duration::from_secs(1), &handle);
    advance(Duration::from_secs(1)).await;
    assert_eq!(third.refusal().kind(), RejectionKind::DeadlineExceeded);
}

#[tokio::test(start_paused = true)]
async fn call_without_time_does_not_wait() {
    let handle = pool(1, 1);
    let _first = Call::start(&handle);
    let now = clock::now();
    let (_, ended) = oneshot::channel();
    let late = deadline::scope(Deadline::at(now), run(handle.clone(), ended)).await;
    assert_eq!(kind(late), RejectionKind::DeadlineExceeded);
    assert_eq!(counts(&handle), (1, 1, 0));
}

#[tokio::test(start_paused = true)]
async fn queue_without_time_refuses_at_once() {
    let layer = BulkheadLayer::plain("pool").max_concurrent(1);
    let handle = layer.queue(5, Duration::ZERO).build().unwrap().handle();
    let _first = Call::start(&handle);
    let refused = Call::new(&handle).refusal();
    assert_eq!(refused.kind(), RejectionKind::BulkheadFull);
    assert_eq!(counts(&handle), (1, 1, 0));
}

#[tokio::test(start_paused = true)]
async fn new_time_to_wait_is_for_calls_that_come_after_it() {
    let handle = pool(1, 3);
    let _first = Call::start(&handle);
    let before = Call::start(&handle);
    handle.set_max_wait(10 * MILLI);
    assert_eq!(handle.snapshot().max_wait, Some(10 * MILLI));
    let after = Call::start(&handle);
    advance(10 * MILLI).await;
    assert_eq!(after.refusal().kind(), RejectionKind::QueueTimeout);
    assert!(!before.is_woken());
    advance(Duration::from_secs(1)).await;
    assert_eq!(before.refusal().kind(), RejectionKind::QueueTimeout);

    handle.set_max_wait(Duration::ZERO);
    let refused = Call::new(&handle).refusal();
    assert_eq!(refused.kind(), RejectionKind::BulkheadFull);
    handle.set_max_wait(Duration::MAX);
    assert_eq!(handle.snapshot().max_wait, None);
    let patient = Call::start(&handle);
    advance(Duration::from_secs(1_000_000)).await;
    assert!(!patient.is_woken());
}

#[test]
fn wait_for_ever_needs_no_timer() {
    // Outside of a runtime a timer cannot be made.
    let layer = BulkheadLayer::plain("pool").max_concurrent(1);
    let handle = layer.queue(5, Duration::MAX).build().unwrap().handle();
    let first = Call::start(&handle);
    let second = Call::start(&handle);
    first.end();
    assert!(second.is_woken());
    second.end();
}

#[test]
fn wait_that_finds_no_timer_leaves_no_place_behind() {
    let handle = pool(1, 1);
    let first = Call::start(&handle);
    let mut second = Call::new(&handle);
    let polled = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| second.call.poll()));
    assert!(polled.is_err(), "outside of a runtime");
    drop(second);
    assert_eq!(counts(&handle), (1, 1, 0));
    first.end();
    assert_eq!(counts(&handle), (1, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn every_wait_is_reported_with_its_length_and_its_end() {
    let handle = pool(1, 3);
    let recorder = Recorder::new();
    handle.subscribe(recorder.listener()).forever();
    let first = Call::start(&handle);
    let second = Call::start(&handle);
    let third = Call::start(&handle);
    let fourth = Call::start(&handle);
    advance(10 * MILLI).await;
    first.end();
    advance(10 * MILLI).await;
    second.end();
    drop(third);
    drop(fourth);
    let waits = recorder
        .take()
        .into_iter()
        .filter(|event| matches!(event, Event::Queued { .. } | Event::Dequeued { .. }));
    let queued = |waiting| Event::Queued { waiting };
    let dequeued = |admitted| Event::Dequeued {
        waited: 20 * MILLI,
        admitted,
    };
    let expected = [
        queued(1),
        queued(2),
        queued(3),
        dequeued(true),
        dequeued(false),
        dequeued(false),
    ];
    assert_eq!(waits.collect::<Vec<_>>(), expected);
}

/// A pool of one slot that took 100 ms for each call so far, and is full.
async fn paced() -> (BulkheadHandle, Vec<Call>) {
    let handle = pool(1, 3);
    let mut calls: Vec<_> = (0..4).map(|_| Call::start(&handle)).collect();
    for _ in 0..3 {
        advance(100 * MILLI).await;
        calls.remove(0).end();
        calls[0].goes_on();
    }
    calls.extend((0..3).map(|_| Call::start(&handle)));
    assert_eq!(counts(&handle), (1, 1, 3));
    (handle, calls)
}

#[tokio::test(start_paused = true)]
async fn full_queue_says_when_it_will_have_been_served() {
    let (handle, _calls) = paced().await;
    let refused = Call::new(&handle).refusal();
    assert_eq!(refused.kind(), RejectionKind::BulkheadFull);
    assert_eq!(refused.retry_after(), Some(300 * MILLI));
}

#[tokio::test(start_paused = true)]
async fn nobody_is_sent_away_for_longer_than_those_ahead_may_wait() {
    let (handle, _calls) = paced().await;
    handle.set_max_wait(250 * MILLI);
    assert_eq!(
        Call::new(&handle).refusal().retry_after(),
        Some(250 * MILLI)
    );
}

#[tokio::test(start_paused = true)]
async fn vain_wait_says_when_to_come_back_unless_the_caller_is_out_of_time() {
    let (handle, mut calls) = paced().await;
    drop(calls.pop());
    let hasty = within(10 * MILLI, &handle);
    advance(10 * MILLI).await;
    let refused = hasty.refusal();
    assert_eq!(refused.kind(), RejectionKind::DeadlineExceeded);
    assert_eq!(refused.retry_after(), None);
    advance(Duration::from_secs(1)).await;
    let refused = calls.pop().unwrap().refusal();
    assert_eq!(refused.kind(), RejectionKind::QueueTimeout);
    assert_eq!(refused.retry_after(), Some(100 * MILLI));
}

#[tokio::test(start_paused = true)]
async fn bulkhead_that_has_handed_on_no_slot_does_not_know_when() {
    let handle = pool(1, 1);
    let _calls = [Call::start(&handle), Call::start(&handle)];
    assert_eq!(Call::new(&handle).refusal().retry_after(), None);
}

#[test]
fn default_is_25_slots_and_no_queue() {
    let layer = BulkheadLayer::plain("pool").build().unwrap();
    let snapshot = layer.handle().snapshot();
    assert_eq!((snapshot.limit, snapshot.queue_limit), (25, 0));
}
