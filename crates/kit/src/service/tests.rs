//! What the conformance suite does not see: switches that are turned between `poll_ready` and `call`, and panics that somebody catches.

use std::sync::atomic::Ordering;

use seaworthy_core::Outcome;
use tokio_test::task;
use tower_layer::Layer;

use super::*;
use crate::testing::fixtures::{Closed, GatedLayer, Limit};
use crate::testing::{Inner, Recorder, Remote};
use crate::{Plain, Rejection, RejectionKind};

struct Test {
    share: Share<Limit>,
    service: Gated<Inner<u32, u32>, Plain, Limit>,
    remote: Remote<u32, u32>,
    recorder: Recorder,
}

impl Test {
    fn new(limit: usize) -> Self {
        let share = Share::new(Limit::new(limit));
        let recorder = Recorder::new();
        share.telemetry().subscribe(recorder.listener()).forever();
        let (inner, remote) = Inner::new();
        let service = GatedLayer(share.clone()).layer(inner);
        Self {
            share,
            service,
            remote,
            recorder,
        }
    }

    fn poll_ready(&mut self) -> Poll<Result<(), BoxError>> {
        task::spawn(()).enter(|cx, _| self.service.poll_ready(cx))
    }

    fn call(
        &mut self,
    ) -> task::Spawn<ResponseFuture<<Inner<u32, u32> as Service<u32>>::Future, Plain, Limit>> {
        task::spawn(self.service.call(1))
    }

    /// The kind of rejection that a call gets at once.
    fn refusal(&mut self) -> Option<RejectionKind> {
        assert!(self.poll_ready().is_ready());
        match self.call().poll() {
            Poll::Ready(Err(error)) => Some(Rejection::find(&*error).unwrap().kind()),
            _ => None,
        }
    }
}

#[test]
fn failed_readiness_is_passed_on_and_counts_for_nothing() {
    let mut test = Test::new(1);
    test.remote.fail_readiness();
    assert!(matches!(test.poll_ready(), Poll::Ready(Err(_))));
    assert_eq!(test.share.in_flight(), 0);
    assert!(test.recorder.take().is_empty());
}

#[test]
fn drain_refuses_even_when_inner_is_never_ready() {
    let mut test = Test::new(1);
    test.remote.make_pending();
    drop(test.share.drain());
    assert_eq!(test.refusal(), Some(RejectionKind::Draining));
    test.share.control().resume();
    assert!(test.poll_ready().is_pending());
}

#[test]
fn drain_between_readiness_and_call_refuses() {
    let mut test = Test::new(1);
    assert!(test.poll_ready().is_ready());
    drop(test.share.drain());
    let Poll::Ready(Err(error)) = test.call().poll() else {
        panic!("the layer drains");
    };
    assert_eq!(
        Rejection::find(&*error).unwrap().kind(),
        RejectionKind::Draining
    );
    assert_eq!(test.remote.counts().calls, 0);
}

#[test]
fn drain_is_enforced_where_refusals_are_only_observed() {
    let mut test = Test::new(1);
    test.share.control().observe_only(true);
    drop(test.share.drain());
    assert_eq!(test.refusal(), Some(RejectionKind::Draining));
}

#[test]
fn observed_refusal_waits_for_inner_and_is_made() {
    let mut test = Test::new(0);
    test.share.control().observe_only(true);
    test.remote.make_pending();
    assert!(
        test.poll_ready().is_pending(),
        "the call will be made after all"
    );
    test.remote.make_ready();
    assert!(test.poll_ready().is_ready());
    let mut future = test.call();
    assert!(future.poll().is_pending());
    test.remote.next_call().unwrap().answer(5);
    let Poll::Ready(Ok(5)) = future.poll() else {
        panic!("the inner service has answered");
    };
    assert_eq!(
        (test.recorder.refused(false), test.recorder.refused(true)),
        (1, 0)
    );
    assert!(
        test.recorder.outcomes().is_empty(),
        "the gate admitted nothing"
    );
    assert_eq!(test.share.running.load(Ordering::SeqCst), 0);
    drop(future);
    assert_eq!(test.share.in_flight(), 0);
}

#[test]
fn call_let_through_is_waited_for_by_a_drain() {
    let mut test = Test::new(0);
    test.share.control().observe_only(true);
    assert!(test.poll_ready().is_ready());
    let future = test.call();
    let mut drain = task::spawn(test.share.drain());
    assert!(drain.poll().is_pending());
    drop(future);
    assert!(drain.poll().is_ready());
}

#[test]
fn ramp_enforces_its_share() {
    let mut test = Test::new(0);
    fastrand::seed(7);
    test.share.control().enforce_percent(25);
    let refused = (0..1000).filter(|_| test.refusal().is_some()).count();
    assert!((200..300).contains(&refused), "{refused} of 1000");
    assert_eq!(test.recorder.refused(true), refused);
    assert_eq!(test.recorder.refused(false), 1000 - refused);
}

#[test]
fn kept_refusal_is_enforced_once() {
    let mut test = Test::new(1);
    let closed = Closed::new(&test.share);
    test.remote.make_pending();
    assert!(test.poll_ready().is_ready(), "ready to refuse");
    drop(closed);
    assert!(matches!(test.call().poll(), Poll::Ready(Err(_))));
    assert!(
        test.poll_ready().is_pending(),
        "it is up to the inner service again"
    );
}

#[test]
fn kept_refusal_is_forgotten_when_readiness_is_asked_again() {
    let mut test = Test::new(1);
    let closed = Closed::new(&test.share);
    assert!(test.poll_ready().is_ready(), "ready to refuse");
    drop(closed);
    assert!(test.poll_ready().is_ready(), "ready to call");
    assert!(test.call().poll().is_pending());
    assert_eq!(test.remote.counts().calls, 1);
}

#[test]
fn clone_does_not_inherit_a_kept_refusal() {
    let mut test = Test::new(1);
    let closed = Closed::new(&test.share);
    assert!(test.poll_ready().is_ready());
    let clone = test.service.clone();
    drop(closed);
    test.service = clone;
    assert_eq!(test.refusal(), None);
}

#[test]
fn slot_taken_by_a_clone_after_readiness_refuses_in_call() {
    let mut test = Test::new(1);
    assert!(test.poll_ready().is_ready());
    let mut clone = test.service.clone();
    assert!(
        task::spawn(())
            .enter(|cx, _| clone.poll_ready(cx))
            .is_ready()
    );
    let mut first = task::spawn(clone.call(1));
    assert!(first.poll().is_pending());
    assert!(matches!(test.call().poll(), Poll::Ready(Err(_))));
    assert_eq!(test.remote.counts().calls, 1);
}

#[test]
fn panic_that_a_layer_further_out_catches_is_a_failure_at_once() {
    let mut test = Test::new(1);
    assert!(test.poll_ready().is_ready());
    let mut future = test.call();
    assert!(future.poll().is_pending());
    test.remote.next_call().unwrap().panic();
    let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| future.poll()));
    assert!(caught.is_err());
    // The future is still there, as it is in `CatchPanic`.
    assert_eq!(test.recorder.outcomes(), [Outcome::Failure]);
    assert_eq!(test.share.running.load(Ordering::SeqCst), 0);
    drop(future);
    assert_eq!(test.recorder.outcomes(), [Outcome::Failure]);
}

#[test]
#[should_panic(expected = "polled after it was ready")]
fn refused_future_panics_when_polled_again() {
    let mut test = Test::new(0);
    assert!(test.poll_ready().is_ready());
    let mut future = test.call();
    assert!(future.poll().is_ready());
    let _ = future.poll();
}

#[test]
#[should_panic(expected = "polled after it was ready")]
fn finished_future_panics_when_polled_again() {
    let mut test = Test::new(1);
    assert!(test.poll_ready().is_ready());
    let mut future = test.call();
    test.remote.next_call().unwrap().answer(1);
    assert!(future.poll().is_ready());
    let _ = future.poll();
}

#[test]
fn inner_service_can_be_had_back() {
    let mut test = Test::new(1);
    assert!(test.poll_ready().is_ready());
    assert_eq!(test.remote.counts().reserved, 1);
    let mut inner = test.service.into_inner();
    assert!(
        task::spawn(inner.call(1)).poll().is_pending(),
        "as ready as it was"
    );
}
