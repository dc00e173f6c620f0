//! The waits of a call that the conformance suite does not see: for its turn, then for the inner service, with switches turned in between.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;

use seaworthy_core::Outcome;
use tokio_test::task;
use tower_layer::Layer;

use super::*;
use crate::testing::fixtures::{DeferredLayer, Limit, Queue};
use crate::testing::{Inner, Recorder, Remote};
use crate::{Plain, Rejection, RejectionKind, Telemetry, Verdict};

struct Test<G: Gate> {
    share: Share<G>,
    service: Deferred<Inner<u32, u32>, Plain, Share<G>>,
    remote: Remote<u32, u32>,
    recorder: Recorder,
}

impl<G: Gate> Test<G> {
    fn new(gate: G) -> Self {
        let share = Share::new(gate);
        let recorder = Recorder::new();
        share.telemetry().subscribe(recorder.listener()).forever();
        let (inner, remote) = Inner::new();
        let service = DeferredLayer(share.clone()).layer(inner);
        Self {
            share,
            service,
            remote,
            recorder,
        }
    }

    fn call(&mut self) -> task::Spawn<ResponseFuture<Inner<u32, u32>, u32, Plain, G>> {
        assert!(
            task::spawn(())
                .enter(|cx, _| self.service.poll_ready(cx))
                .is_ready()
        );
        task::spawn(self.service.call(1))
    }
}

fn kind<T: fmt::Debug>(result: Poll<Result<T, BoxError>>) -> RejectionKind {
    match result {
        Poll::Ready(Err(error)) => Rejection::find(&*error).unwrap().kind(),
        other => panic!("it is refused, and not {other:?}"),
    }
}

#[test]
fn slot_is_held_while_inner_is_not_ready() {
    let mut test = Test::new(Limit::new(1));
    test.remote.make_pending();
    let mut waiting = test.call();
    assert!(waiting.poll().is_pending());
    assert_eq!(test.share.running.load(Ordering::SeqCst), 1);
    assert_eq!(kind(test.call().poll()), RejectionKind::BulkheadFull);
    drop(waiting);
    assert_eq!(test.share.running.load(Ordering::SeqCst), 0);
    assert_eq!(test.recorder.outcomes(), [Outcome::Abandoned]);
}

#[test]
fn failed_readiness_is_a_failure_of_the_call() {
    let mut test = Test::new(Limit::new(1));
    test.remote.fail_readiness();
    assert!(matches!(test.call().poll(), Poll::Ready(Err(_))));
    assert_eq!(test.recorder.outcomes(), [Outcome::Failure]);
}

#[test]
fn panic_in_readiness_that_is_caught_is_a_failure_at_once() {
    let mut test = Test::new(Limit::new(1));
    test.remote.panic_in_ready();
    let mut future = test.call();
    let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| future.poll()));
    assert!(caught.is_err());
    assert_eq!(test.recorder.outcomes(), [Outcome::Failure]);
    assert_eq!(test.share.running.load(Ordering::SeqCst), 0);
}

#[test]
fn turn_that_comes_makes_the_call() {
    let mut test = Test::new(Queue::new(1));
    let mut first = test.call();
    assert!(first.poll().is_pending());
    let mut second = test.call();
    assert!(second.poll().is_pending());
    assert_eq!(test.remote.counts().calls, 1);
    test.remote.next_call().unwrap().answer(1);
    assert!(matches!(first.poll(), Poll::Ready(Ok(1))));
    assert!(second.is_woken());
    assert!(second.poll().is_pending());
    assert_eq!(test.remote.counts().calls, 2);
}

#[test]
fn refusal_at_the_end_of_the_wait_is_reported_once() {
    let mut test = Test::new(Queue::new(1));
    let _running = test.call();
    let mut waiting = test.call();
    assert!(waiting.poll().is_pending());
    test.share.slots.close();
    assert!(waiting.is_woken());
    assert_eq!(kind(waiting.poll()), RejectionKind::BulkheadFull);
    assert_eq!(test.recorder.refused(true), 1);
    assert!(test.recorder.outcomes().is_empty());
}

#[test]
fn observed_refusal_at_the_end_of_the_wait_is_made() {
    let mut test = Test::new(Queue::new(1));
    let running = test.call();
    let mut waiting = test.call();
    assert!(waiting.poll().is_pending());
    test.share.control().observe_only(true);
    test.share.slots.close();
    assert!(waiting.poll().is_pending());
    assert_eq!(test.remote.counts().calls, 1);
    assert_eq!(test.recorder.refused(false), 1);
    drop((running, waiting));
    assert_eq!(test.share.in_flight(), 0);
}

#[test]
fn waiting_call_is_part_of_a_drain() {
    let mut test = Test::new(Queue::new(1));
    let running = test.call();
    let mut waiting = test.call();
    assert!(waiting.poll().is_pending());
    let mut drain = task::spawn(test.share.drain());
    assert_eq!(kind(test.call().poll()), RejectionKind::Draining);
    drop(running);
    assert!(
        drain.poll().is_pending(),
        "the waiting call was there before the drain"
    );
    drop(waiting);
    assert!(drain.poll().is_ready());
}

#[test]
fn inner_service_of_a_finished_wait_is_dropped_with_the_call() {
    let mut test = Test::new(Limit::new(1));
    let mut future = test.call();
    assert_eq!(test.remote.counts().instances, 2);
    assert!(future.poll().is_pending());
    assert_eq!(
        test.remote.counts().instances,
        1,
        "once called, the clone has done its work"
    );
}

#[test]
#[should_panic(expected = "polled after it was ready")]
fn refused_future_panics_when_polled_again() {
    let mut test = Test::new(Limit::new(0));
    let mut future = test.call();
    assert!(future.poll().is_ready());
    let _ = future.poll();
}

/// Admits every call, and counts what becomes of it.
struct Ledger {
    withdrawn: AtomicUsize,
    settled: AtomicUsize,
    telemetry: Telemetry,
}

impl Gate for Ledger {
    type Admission = ();
    type Wait = crate::gate::NoWait<()>;

    fn check(&self) -> Result<(), crate::Refusal> {
        Ok(())
    }

    fn try_admit(&self) -> Result<(), crate::Refusal> {
        Ok(())
    }

    fn settle(&self, (): (), _: Verdict) {
        self.settled.fetch_add(1, Ordering::SeqCst);
    }

    fn withdraw(&self, (): ()) {
        self.withdrawn.fetch_add(1, Ordering::SeqCst);
    }

    fn telemetry(&self) -> &Telemetry {
        &self.telemetry
    }
}

#[test]
fn call_dropped_before_inner_was_called_is_withdrawn_and_a_later_one_settled() {
    let mut test = Test::new(Ledger {
        withdrawn: AtomicUsize::new(0),
        settled: AtomicUsize::new(0),
        telemetry: Telemetry::new("ledger", "calls"),
    });
    let seen = |test: &Test<Ledger>| {
        let [withdrawn, settled] =
            [&test.share.withdrawn, &test.share.settled].map(|count| count.load(Ordering::SeqCst));
        (withdrawn, settled)
    };
    drop(test.call());
    assert_eq!(seen(&test), (1, 0), "never polled");
    test.remote.make_pending();
    let mut waiting = test.call();
    assert!(waiting.poll().is_pending());
    drop(waiting);
    assert_eq!(seen(&test), (2, 0), "inner was not ready");
    test.remote.make_ready();
    let mut running = test.call();
    assert!(running.poll().is_pending());
    drop(running);
    assert_eq!(seen(&test), (2, 1), "inner had been called");
    assert_eq!(test.recorder.outcomes(), [Outcome::Abandoned; 3]);
}
