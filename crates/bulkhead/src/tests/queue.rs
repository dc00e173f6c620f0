//! The queue: who is next, who is refused, and what becomes of those who leave it.

use std::num::NonZeroUsize;
use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::task::{Context, Wake, Waker};

use seaworthy_kit::line::{Gauges, Lined};
use seaworthy_kit::{Share, Telemetry};
use tokio::time::advance;

use super::*;
use crate::gate::BulkheadGate;
use crate::layer::Options;

#[tokio::test(start_paused = true)]
async fn order_of_arrival_survives_those_who_leave() {
    let handle = pool(1, 5);
    let first = Call::start(&handle);
    let mut waiting: Vec<_> = (0..5).map(|_| Call::start(&handle)).collect();
    drop(waiting.remove(2));
    drop(waiting.remove(0));
    first.end();
    for left in (0..waiting.len()).rev() {
        let mut next = waiting.remove(0);
        assert!(next.is_woken());
        assert!(!waiting.iter().any(Call::is_woken));
        next.goes_on();
        assert_eq!(counts(&handle), (1, 1, left));
        next.end();
    }
    assert_eq!(counts(&handle), (1, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn newcomer_does_not_overtake_even_one_that_has_not_noticed_its_turn() {
    let handle = pool(1, 2);
    let first = Call::start(&handle);
    let mut second = Call::start(&handle);
    first.end();
    assert!(second.is_woken());
    let third = Call::start(&handle);
    assert_eq!(counts(&handle), (1, 1, 1));
    second.goes_on();
    second.end();
    assert!(third.is_woken());
}

#[tokio::test(start_paused = true)]
async fn future_that_nobody_polls_has_no_place() {
    let handle = pool(1, 1);
    let first = Call::start(&handle);
    let unpolled = Call::new(&handle);
    assert_eq!(counts(&handle), (1, 1, 0));
    let second = Call::start(&handle);
    first.end();
    assert!(second.is_woken());
    drop(unpolled);
    second.end();
    assert_eq!(counts(&handle), (1, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn drain_lets_those_who_wait_have_their_turn() {
    let handle = pool(1, 2);
    let first = Call::start(&handle);
    let mut second = Call::start(&handle);
    let mut drain = task::spawn(handle.drain());
    assert_pending!(drain.poll());
    assert_eq!(Call::new(&handle).refusal().kind(), RejectionKind::Draining);
    first.end();
    assert_pending!(drain.poll());
    second.goes_on();
    assert_eq!(counts(&handle), (1, 1, 0));
    second.end();
    assert!(drain.is_woken());
    assert_ready!(drain.poll());
}

#[tokio::test(start_paused = true)]
async fn drain_does_not_wait_for_those_who_leave_the_queue() {
    let handle = pool(1, 2);
    let first = Call::start(&handle);
    let second = Call::start(&handle);
    let mut drain = task::spawn(handle.drain());
    first.end();
    assert_pending!(drain.poll());
    drop(second);
    assert_ready!(drain.poll());
    assert_eq!(counts(&handle), (1, 0, 0));
}

/// A gate of one slot, in which calls wait for ever.
fn gate(max_queue: usize) -> Share<BulkheadGate> {
    let options = Options {
        max_concurrent: 1,
        max_queue,
        max_wait: Duration::MAX,
        clock: seaworthy_kit::Clock::tokio(),
    };
    let telemetry = Telemetry::new("bulkhead", "pool");
    Share::new(BulkheadGate::try_new(options, telemetry, Gauges::Own).unwrap())
}

#[test]
fn full_queue_refuses_without_its_lock() {
    let gate = gate(1);
    let handle = BulkheadHandle::from(gate.clone());
    let _running = Call::start(&handle);
    let _waiting = Call::start(&handle);
    let locked = gate.line().lock();
    let (refused, hears) = mpsc::channel();
    let elsewhere = std::thread::spawn(move || {
        let _ = refused.send(Call::new(&handle).refusal().kind());
    });
    // Only a refusal that wants the lock takes this long.
    let refused = hears.recv_timeout(Duration::from_secs(20));
    drop(locked);
    elsewhere.join().unwrap();
    assert_eq!(refused, Ok(RejectionKind::BulkheadFull));
}

#[tokio::test(start_paused = true)]
async fn place_of_one_whose_time_is_over_is_free_though_nobody_polls_it() {
    let handle = pool(1, 1);
    let first = Call::start(&handle);
    let second = Call::start(&handle);
    advance(Duration::from_secs(2)).await;
    let third = Call::start(&handle);
    assert_eq!(counts(&handle), (1, 1, 1));
    assert_eq!(second.refusal().kind(), RejectionKind::QueueTimeout);
    first.end();
    assert!(third.is_woken());
    third.end();
}

#[tokio::test(start_paused = true)]
async fn smaller_queue_keeps_those_who_wait_already() {
    let handle = pool(1, 2);
    let first = Call::start(&handle);
    let waiting = [Call::start(&handle), Call::start(&handle)];
    handle.set_queue_limit(1).unwrap();
    assert_eq!(handle.snapshot().queue_limit, 1);
    assert_eq!(
        Call::new(&handle).refusal().kind(),
        RejectionKind::BulkheadFull
    );
    first.end();
    for call in waiting {
        assert!(call.is_woken());
        call.end();
    }
}

#[tokio::test(start_paused = true)]
async fn lowered_limit_makes_those_who_wait_wait_longer() {
    let handle = pool(3, 2);
    let running = [(); 3].map(|()| Call::start(&handle));
    let mut waiting = Call::start(&handle);
    handle.set_limit(1).unwrap();
    assert_eq!(counts(&handle), (1, 3, 1));
    let [first, second, third] = running;
    first.end();
    second.end();
    waiting.goes_on();
    assert_eq!(counts(&handle), (1, 1, 1));
    third.end();
    assert!(waiting.is_woken());
    waiting.end();
    assert_eq!(counts(&handle), (1, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn raised_limit_is_for_those_who_wait_first() {
    let handle = pool(1, 3);
    let first = Call::start(&handle);
    let mut waiting: Vec<_> = (0..3).map(|_| Call::start(&handle)).collect();
    handle.set_limit(3).unwrap();
    let woken: Vec<_> = waiting.iter().map(Call::is_woken).collect();
    assert_eq!(woken, [true, true, false]);
    assert_eq!(counts(&handle), (3, 3, 1));
    first.end();
    for call in &mut waiting {
        call.goes_on();
    }
    assert_eq!(counts(&handle), (3, 3, 0));
}

#[test]
fn largest_limits_do_not_overflow() {
    let max = seaworthy_core::slots::Slots::MAX;
    let layer = BulkheadLayer::plain("pool").max_concurrent(max);
    let handle = layer.queue(max, Duration::MAX).build().unwrap().handle();
    let call = Call::start(&handle);
    assert_eq!(handle.snapshot().available, max - 1);
    assert_eq!(handle.snapshot().queue_limit, max);
    call.end();
    assert!(handle.set_limit(max + 1).is_err());
    assert!(handle.set_queue_limit(max + 1).is_err());
    assert_eq!(counts(&handle), (max, 0, 0));
}

/// A waker that keeps something, dropped with it.
struct Keeping(#[expect(dead_code, reason = "it matters when it is dropped")] Mutex<Call>);

impl Wake for Keeping {
    fn wake(self: Arc<Self>) {}
}

#[test]
fn waker_may_hold_another_place_in_the_same_queue() {
    let handle = BulkheadHandle::from(gate(8));
    let first = Call::start(&handle);
    let keeping = || Waker::from(Arc::new(Keeping(Mutex::new(Call::start(&handle)))));
    let wait = |waker: Waker| {
        let (_, ended) = oneshot::channel();
        let mut call = Box::pin(run(handle.clone(), ended));
        assert_pending!(call.as_mut().poll(&mut Context::from_waker(&waker)));
        call
    };
    // Dropped by the waiter that goes, by a newer waker that takes its place, and by the turn that comes.
    drop(wait(keeping()));
    assert_eq!(counts(&handle), (1, 1, 0));
    let mut replaced = wait(keeping());
    let polled = replaced
        .as_mut()
        .poll(&mut Context::from_waker(Waker::noop()));
    assert_pending!(polled);
    assert_eq!(counts(&handle), (1, 1, 1));
    drop(replaced);
    let granted = wait(keeping());
    first.end();
    drop(granted);
    assert_eq!(counts(&handle), (1, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn slot_that_comes_between_two_looks_at_the_end_of_the_wait_is_kept() {
    // By the clock of the bulkhead no time passes; by the timer it does.
    let stopped = ManualClock::new();
    let layer = BulkheadLayer::plain("pool").max_concurrent(1);
    let layer = layer
        .queue(1, Duration::from_secs(1))
        .clock(stopped.clock());
    let handle = layer.build().unwrap().handle();
    let first = Call::start(&handle);
    let waker = Waker::from(Arc::new(Keeping(Mutex::new(first))));
    let (_end, ended) = oneshot::channel();
    let mut waiting = Box::pin(run(handle.clone(), ended));
    assert_pending!(waiting.as_mut().poll(&mut Context::from_waker(&waker)));
    drop(waker);
    advance(Duration::from_secs(2)).await;
    // It looks for a slot, and there is none; it drops its old waker, and with that the call that has the slot; it looks at the timer.
    let mut later = Context::from_waker(Waker::noop());
    assert_pending!(waiting.as_mut().poll(&mut later));
    assert_eq!(counts(&handle), (1, 1, 0), "it runs");
    drop(waiting);
    assert_eq!(counts(&handle), (1, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn wait_that_is_woken_after_its_time_is_over_before_its_timer_has_gone_off() {
    // As where a deadline further out has woken the task, at the same moment and on another thread.
    let (clock, second) = (ManualClock::new(), Duration::from_secs(1));
    let layer = BulkheadLayer::plain("pool").max_concurrent(1);
    let layer = layer.queue(1, second).clock(clock.clock());
    let handle = layer.build().unwrap().handle();
    let _first = Call::start(&handle);
    let mut waiting = Call::start(&handle);
    clock.advance(second - Duration::from_nanos(1));
    waiting.goes_on();
    clock.advance(Duration::from_nanos(1));
    assert_eq!(waiting.refusal().kind(), RejectionKind::QueueTimeout);
    assert_eq!(counts(&handle), (1, 1, 0));
}

/// A waker that panics.
struct Panicking;

impl Wake for Panicking {
    fn wake(self: Arc<Self>) {
        std::panic::resume_unwind(Box::new("as a broken executor might"));
    }
}

#[test]
fn waker_that_panics_takes_no_turn_from_the_others() {
    let handle = BulkheadHandle::from(gate(8));
    let first = Call::start(&handle);
    let (_, ended) = oneshot::channel();
    let mut broken = Box::pin(run(handle.clone(), ended));
    let waker = Waker::from(Arc::new(Panicking));
    assert_pending!(broken.as_mut().poll(&mut Context::from_waker(&waker)));
    let mut second = Call::start(&handle);
    handle.set_limit(3).unwrap();
    assert!(second.is_woken());
    second.goes_on();
    first.end();
    drop(broken);
    second.end();
    assert_eq!(counts(&handle), (3, 0, 0));
}

#[test]
fn call_is_woken_in_the_task_that_polled_it_last() {
    let handle = BulkheadHandle::from(gate(8));
    let first = Call::start(&handle);
    let mut moved = Call::start(&handle);
    let mut elsewhere = task::spawn(());
    let polled = elsewhere.enter(|cx, _| moved.call.enter(|_, call| call.poll(cx)));
    assert_pending!(polled);
    first.end();
    assert!(elsewhere.is_woken() && !moved.is_woken());
    moved.end();
}

#[tokio::test(start_paused = true)]
async fn bulkhead_that_only_observes_keeps_nobody_waiting() {
    let handle = pool(1, 1);
    handle.control().observe_only(true);
    let first = Call::start(&handle);
    let second = Call::start(&handle);
    assert_eq!(counts(&handle), (1, 1, 0), "the second runs without a slot");
    second.end();
    first.end();
    assert_eq!(counts(&handle), (1, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn keys_have_queues_of_their_own_and_a_busy_one_is_not_forgotten() {
    let layer = BulkheadLayer::plain("tenants")
        .max_concurrent(1)
        .queue(1, Duration::from_secs(1))
        .keyed(NonZeroUsize::new(2).unwrap(), |tenant: &u32| *tenant)
        .unwrap();
    let of = |tenant: u32| BulkheadHandle::from(layer.handle().get_or_make(&tenant));
    let first = Call::start(&of(1));
    let waiting = Call::start(&of(1));
    let other = Call::start(&of(2));
    assert_eq!(
        Call::new(&of(1)).refusal().kind(),
        RejectionKind::BulkheadFull
    );
    for stranger in 3..50 {
        let _ = of(stranger);
    }
    assert_eq!((counts(&of(1)), counts(&of(2))), ((1, 1, 1), (1, 1, 0)));
    first.end();
    waiting.end();
    other.end();
}

#[test]
fn what_an_operator_set_for_a_key_is_not_forgotten() {
    let layer = BulkheadLayer::plain("tenants")
        .queue(1, Duration::from_secs(1))
        .keyed(NonZeroUsize::new(4).unwrap(), |tenant: &u32| *tenant)
        .unwrap();
    let of = |tenant: u32| BulkheadHandle::from(layer.handle().get_or_make(&tenant));
    of(1).set_limit(7).unwrap();
    of(2).set_queue_limit(8).unwrap();
    of(3).set_max_wait(Duration::from_secs(9));
    for stranger in 4..50 {
        let _ = of(stranger);
    }
    assert_eq!(of(1).snapshot().limit, 7);
    assert_eq!(of(2).snapshot().queue_limit, 8);
    assert_eq!(of(3).snapshot().max_wait, Some(Duration::from_secs(9)));
}
