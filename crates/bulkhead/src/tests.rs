//! The layer by the conformance suite, and on functions that end when the test says so; the machine has its tests in core.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use seaworthy_kit::testing::{ManualClock, Recorder, Rejects, occupy};
use seaworthy_kit::{BoxError, Event, Plain, Rejection, RejectionKind, deadline};
use tokio::sync::oneshot;
use tokio_test::task::{self, Spawn};
use tokio_test::{assert_pending, assert_ready};

use super::*;

mod cost;
mod queue;
mod stress;
mod terms;

#[cfg(feature = "http")]
mod bodies;
#[cfg(feature = "http")]
mod body;
#[cfg(feature = "metrics")]
mod gauges;

/// What an operator does: other limits, observing, the end of a drain.
fn meddle(handle: &BulkheadHandle, draw: u64) {
    match draw % 7 {
        0 | 1 => handle.set_limit(1 + (draw / 7 % 8) as usize).unwrap(),
        2 => handle.set_limit(8).unwrap(),
        3 => handle.set_queue_limit((draw / 7 % 4) as usize).unwrap(),
        4 => handle.set_max_wait(Duration::from_millis(draw / 7 % 1_000)),
        5 => handle.control().enforce_percent((draw / 7 % 101) as u8),
        _ => handle.control().resume(),
    }
}

mod sheds {
    use super::*;

    seaworthy_kit::testing::conformance! {
        layer: || BulkheadLayer::plain("pool").max_concurrent(8).build().unwrap(),
        readiness: inner,
        errors: unchanged,
        on_drop: cancels,
        held: |layer| layer.handle().snapshot().running,
        events: |layer, recorder| layer.handle().subscribe(recorder.listener()).forever(),
        refuses: |layer| occupy::<_, u32, u32>(layer, 8),
        rejects: Rejects::with(RejectionKind::BulkheadFull, "pool"),
        drains: |layer| layer.handle().drain(),
        observes: |layer, on| layer.handle().control().observe_only(on),
        meddles: |layer, draw| meddle(&layer.handle(), draw),
    }
}

mod queues {
    use super::*;

    seaworthy_kit::testing::conformance! {
        layer: || BulkheadLayer::plain("pool")
            .max_concurrent(8)
            .queue(100, Duration::from_secs(3600))
            .build()
            .unwrap(),
        readiness: always,
        errors: unchanged,
        on_drop: cancels,
        held: |layer| {
            let seen = layer.handle().snapshot();
            seen.running + seen.waiting
        },
        events: |layer, recorder| layer.handle().subscribe(recorder.listener()).forever(),
        waits: |layer| occupy::<_, u32, u32>(layer, 8),
        drains: |layer| layer.handle().drain(),
        meddles: |layer, draw| meddle(&layer.handle(), draw),
    }
}

fn pool(slots: usize, waiting: usize) -> BulkheadHandle {
    BulkheadLayer::plain("pool")
        .max_concurrent(slots)
        .queue(waiting, Duration::from_secs(1))
        .build()
        .unwrap()
        .handle()
}

/// A call that runs until the sender is dropped or used.
async fn run(handle: BulkheadHandle, end: oneshot::Receiver<()>) -> Result<(), BoxError> {
    handle
        .call(|| async {
            let _ = end.await;
            Ok::<_, BoxError>(())
        })
        .await
}

/// A call that was polled once, and runs until it is told to end.
struct Call {
    end: Option<oneshot::Sender<()>>,
    call: Spawn<Pin<Box<dyn Future<Output = Result<(), BoxError>> + Send>>>,
}

impl Call {
    /// A call that nobody has polled.
    fn new(handle: &BulkheadHandle) -> Self {
        let (end, ended) = oneshot::channel();
        Self {
            end: Some(end),
            call: task::spawn(Box::pin(run(handle.clone(), ended))),
        }
    }

    /// A call that runs or waits.
    fn start(handle: &BulkheadHandle) -> Self {
        let mut call = Self::new(handle);
        assert_pending!(call.call.poll());
        call
    }

    /// Ends a call that runs.
    fn end(mut self) {
        drop(self.end.take());
        assert_ready!(self.call.poll()).unwrap();
    }

    /// Polls a call that must not be over.
    fn goes_on(&mut self) {
        assert_pending!(self.call.poll());
    }

    /// How a call is refused that must be over.
    fn refusal(mut self) -> Rejection {
        rejection(assert_ready!(self.call.poll()))
    }

    fn is_woken(&self) -> bool {
        self.call.is_woken()
    }
}

fn rejection(result: Result<(), BoxError>) -> Rejection {
    *result.unwrap_err().downcast().unwrap()
}

/// Limit, running, waiting.
fn counts(handle: &BulkheadHandle) -> (usize, usize, usize) {
    let seen = handle.snapshot();
    (seen.limit, seen.running, seen.waiting)
}

fn kind(result: Result<(), BoxError>) -> RejectionKind {
    rejection(result).kind()
}

#[tokio::test(start_paused = true)]
async fn slot_goes_to_the_first_who_waits() {
    let handle = pool(1, 2);
    let (ends, mut calls): (Vec<_>, Vec<_>) = (0..3)
        .map(|_| {
            let (end, ended) = oneshot::channel();
            (end, task::spawn(Box::pin(run(handle.clone(), ended))))
        })
        .unzip();
    for call in &mut calls {
        assert_pending!(call.poll());
    }
    assert_eq!(handle.snapshot().waiting, 2);
    let mut ends = ends.into_iter();
    drop(ends.next());
    assert_ready!(calls[0].poll()).unwrap();
    assert!(calls[1].is_woken() && !calls[2].is_woken());
    assert_eq!(
        (handle.snapshot().running, handle.snapshot().waiting),
        (1, 1)
    );
}

#[tokio::test(start_paused = true)]
async fn full_queue_refuses_at_once() {
    let handle = pool(1, 0);
    let _first = Call::start(&handle);
    assert_eq!(
        Call::new(&handle).refusal().kind(),
        RejectionKind::BulkheadFull
    );
}

#[tokio::test(start_paused = true)]
async fn wait_ends_at_its_limit() {
    let handle = pool(1, 1);
    let (_end, ended) = oneshot::channel();
    let mut first = task::spawn(Box::pin(run(handle.clone(), ended)));
    assert_pending!(first.poll());
    let (_end, ended) = oneshot::channel();
    let result = run(handle.clone(), ended).await;
    assert_eq!(kind(result), RejectionKind::QueueTimeout);
    assert_eq!(handle.snapshot().waiting, 0);
}

#[tokio::test(start_paused = true)]
async fn wait_ends_at_the_deadline_of_the_task() {
    let handle = pool(1, 1);
    let (_end, ended) = oneshot::channel();
    let mut first = task::spawn(Box::pin(run(handle.clone(), ended)));
    assert_pending!(first.poll());
    let (_end, ended) = oneshot::channel();
    let soon =
        seaworthy_core::Deadline::after(seaworthy_kit::clock::now(), Duration::from_millis(10));
    let result = deadline::scope(soon, run(handle.clone(), ended)).await;
    assert_eq!(kind(result), RejectionKind::DeadlineExceeded);
}

#[tokio::test(start_paused = true)]
async fn granted_slot_of_a_dropped_waiter_goes_on() {
    let handle = pool(1, 2);
    let (end, ended) = oneshot::channel();
    let mut first = task::spawn(Box::pin(run(handle.clone(), ended)));
    assert_pending!(first.poll());
    let (_second_end, ended) = oneshot::channel();
    let mut second = task::spawn(Box::pin(run(handle.clone(), ended)));
    assert_pending!(second.poll());
    let (third_end, ended) = oneshot::channel();
    let mut third = task::spawn(Box::pin(run(handle.clone(), ended)));
    assert_pending!(third.poll());
    drop(end);
    assert_ready!(first.poll()).unwrap();
    assert!(second.is_woken());
    drop(second);
    assert!(third.is_woken());
    assert_pending!(third.poll());
    drop(third_end);
    assert_ready!(third.poll()).unwrap();
    assert_eq!(handle.snapshot().available, 1);
}

#[tokio::test(start_paused = true)]
async fn lowered_limit_retires_slots_as_they_come_back() {
    let handle = pool(2, 1);
    let (end, ended) = oneshot::channel();
    let mut first = task::spawn(Box::pin(run(handle.clone(), ended)));
    let (_other_end, other) = oneshot::channel();
    let mut second = task::spawn(Box::pin(run(handle.clone(), other)));
    assert_pending!(first.poll());
    assert_pending!(second.poll());
    handle.set_limit(1).unwrap();
    assert_eq!(handle.snapshot().running, 2);
    drop(end);
    assert_ready!(first.poll()).unwrap();
    assert_eq!(handle.snapshot().available, 0);
    handle.set_limit(2).unwrap();
    assert_eq!(handle.snapshot().available, 1);
    assert!(handle.set_limit(0).is_err());
}

/// Setters that change the type of the builder make a new one: nothing may get lost on the way.
#[tokio::test(start_paused = true)]
async fn setters_that_change_the_type_keep_what_was_set() {
    let (clock, second) = (ManualClock::new(), Duration::from_secs(1));
    let layer = BulkheadLayer::plain("pool").max_concurrent(2);
    let layer = layer.clock(clock.clock()).queue(2, second);
    let handle = layer.traffic(Plain::new()).build().unwrap().handle();
    let snapshot = handle.snapshot();
    assert_eq!(snapshot.name, "pool");
    assert_eq!(snapshot.limit, 2);
    assert_eq!((snapshot.queue_limit, snapshot.max_wait), (2, Some(second)));
    // By its own clock the time of the one who waits is over.
    let [first, _second, waiting] = [(); 3].map(|()| Call::start(&handle));
    clock.advance(second);
    first.end();
    assert_eq!(waiting.refusal().kind(), RejectionKind::QueueTimeout);
}

#[test]
fn changed_limit_is_told_and_an_impossible_one_changes_nothing() {
    let handle = pool(1, 1);
    let recorder = Recorder::new();
    handle.subscribe(recorder.listener()).forever();
    handle.set_limit(5).unwrap();
    assert_eq!(handle.set_limit(0).unwrap_err().option(), "max_concurrent");
    assert_eq!(recorder.events(), [Event::LimitChanged { limit: 5 }]);
    assert_eq!(handle.snapshot().limit, 5);
}

#[test]
fn impossible_options_are_named_when_the_layer_is_built() {
    let zero = BulkheadLayer::plain("pool").max_concurrent(0).build();
    assert_eq!(zero.unwrap_err().option(), "max_concurrent");
    let huge = BulkheadLayer::plain("pool")
        .queue(usize::MAX, Duration::MAX)
        .build();
    assert_eq!(huge.unwrap_err().option(), "max_queue");
}
