//! Calls dropped at each of their awaits, panics, and the drain.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll};

use seaworthy_kit::{Outcome, Rejection, RejectionKind};
use tokio_test::{assert_pending, assert_ready};
use tower::{ServiceExt, service_fn};

use super::*;

fn is_free(rig: &Rig) {
    assert_eq!(rig.handle.snapshot().in_flight, 0);
    assert_eq!(rig.remote.running(), 0);
    assert_eq!(rig.remote.counts().instances, 1);
}

#[tokio::test(start_paused = true)]
async fn call_dropped_anywhere_is_abandoned_once_with_all_its_attempts() {
    // Unpolled.
    let mut rig = Rig::new(plain());
    drop(rig.call());
    is_free(&rig);
    assert_eq!(rig.recorder.outcomes(), [Outcome::Abandoned]);

    // While the first attempt runs.
    let mut rig = Rig::new(plain());
    let (call, first) = rig.waiting();
    drop(call);
    assert!(first.is_dropped());
    is_free(&rig);
    assert_eq!(rig.recorder.outcomes(), [Outcome::Abandoned]);

    // While both run.
    let mut rig = Rig::new(plain());
    let (call, first, second) = rig.hedged().await;
    drop(call);
    assert!(first.is_dropped() && second.is_dropped());
    is_free(&rig);
    assert_eq!(rig.recorder.outcomes(), [Outcome::Abandoned]);

    // While the hedge runs alone.
    let mut rig = Rig::new(plain());
    let (mut call, first, second) = rig.hedged().await;
    first.fail(Fault(1));
    assert_pending!(call.poll());
    drop(call);
    assert!(second.is_dropped());
    is_free(&rig);
    assert_eq!(rig.recorder.outcomes(), [Outcome::Abandoned]);

    // While a hedge waits for readiness.
    let mut rig = Rig::new(plain().wait_for_ready(true));
    let (mut call, _first) = rig.waiting();
    rig.remote.make_pending();
    tokio::time::advance(DELAY).await;
    assert_pending!(call.poll());
    drop(call);
    is_free(&rig);
    assert_eq!(rig.recorder.outcomes(), [Outcome::Abandoned]);
}

#[tokio::test(start_paused = true)]
async fn panic_of_either_attempt_is_one_failure() {
    for panicking in [1, 2] {
        let mut rig = Rig::new(plain());
        let (mut call, first, second) = rig.hedged().await;
        if panicking == 1 {
            first.panic();
        } else {
            second.panic();
        }
        assert!(catch_unwind(AssertUnwindSafe(|| call.poll())).is_err());
        // The future is still there, as behind a layer that catches panics.
        assert_eq!(rig.recorder.outcomes(), [Outcome::Failure], "{panicking}");
        drop(call);
        is_free(&rig);
        assert_eq!(rig.recorder.outcomes(), [Outcome::Failure], "{panicking}");
    }
}

#[tokio::test(start_paused = true)]
async fn panic_in_the_call_of_a_hedge_is_one_failure() {
    let mut rig = Rig::new(plain());
    let (mut call, first) = rig.waiting();
    rig.remote.panic_in_call();
    tokio::time::advance(DELAY).await;
    assert!(catch_unwind(AssertUnwindSafe(|| call.poll())).is_err());
    assert_eq!(rig.recorder.outcomes(), [Outcome::Failure]);
    drop(call);
    assert!(first.is_dropped());
    is_free(&rig);
}

/// Hangs in its first attempt, which panics when it is dropped, and answers in its second.
struct Sore(bool);

impl Future for Sore {
    type Output = Result<u32, BoxError>;

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
        if self.0 {
            Poll::Pending
        } else {
            Poll::Ready(Ok(2))
        }
    }
}

impl Drop for Sore {
    fn drop(&mut self) {
        assert!(!self.0, "as an inner service might");
    }
}

#[tokio::test(start_paused = true)]
async fn loser_that_panics_in_its_drop_costs_nobody_the_answer() {
    let calls = Arc::new(AtomicU32::new(0));
    let inner = service_fn(move |_: u32| Sore(calls.fetch_add(1, Ordering::SeqCst) == 0));
    let layer = plain().build().unwrap();
    let recorder = record(&layer.handle());
    let mut call = task::spawn(layer.layer(inner).oneshot(7));
    assert_pending!(call.poll());
    tokio::time::advance(DELAY).await;
    assert_eq!(assert_ready!(call.poll()).unwrap(), 2);
    assert_eq!(recorder.outcomes(), [Outcome::Success]);
    assert_eq!(layer.handle().snapshot().in_flight, 0);
}

#[tokio::test(start_paused = true)]
async fn call_that_is_over_keeps_nothing_until_it_is_dropped() {
    let request = Arc::new(());
    let (inner, remote) = Inner::<Arc<()>, u32>::new();
    let layer = plain().build().unwrap();
    let mut service = layer.layer(inner);
    service.ready().await.unwrap();
    let mut call = task::spawn(service.call(request.clone()));
    assert_pending!(call.poll());
    let mut first = remote.next_call().unwrap();
    drop(first.request());
    assert_eq!(Arc::strong_count(&request), 2, "kept for the hedge");
    first.answer(1);
    assert_eq!(assert_ready!(call.poll()).unwrap(), 1);
    assert_eq!(Arc::strong_count(&request), 1);
    assert_eq!(layer.handle().snapshot().in_flight, 0);
}

#[tokio::test(start_paused = true)]
async fn drain_lets_a_call_have_its_hedge_and_refuses_new_ones() {
    let mut rig = Rig::new(plain());
    let (mut call, first) = rig.waiting();
    let mut drain = task::spawn(rig.handle.drain());
    assert_pending!(drain.poll());

    let error = rig
        .service
        .ready()
        .await
        .unwrap()
        .call(8)
        .await
        .unwrap_err();
    let rejection = Rejection::find(&*error).expect("a refusal");
    assert_eq!(rejection.kind(), RejectionKind::Draining);
    assert_eq!(rejection.layer(), "stock");

    tokio::time::advance(DELAY).await;
    assert_pending!(call.poll());
    rig.remote.next_call().expect("the hedge").answer(2);
    assert_eq!(assert_ready!(call.poll()).unwrap(), 2);
    assert!(first.is_dropped());
    assert_ready!(drain.poll());
}

#[tokio::test(start_paused = true)]
async fn service_that_was_ready_in_a_drain_stays_ready_after_it() {
    let mut rig = Rig::new(plain());
    rig.remote.make_pending();
    let _drain = rig.handle.drain();
    rig.service.ready().await.unwrap();
    rig.handle.control().resume();
    let again = task::spawn(()).enter(|cx, _| rig.service.poll_ready(cx).is_ready());
    assert!(again, "ready until it is called");
    let refused = rig.service.call(7).await.unwrap_err();
    assert!(Rejection::find(&*refused).is_some());
    assert_eq!(rig.remote.counts().calls, 0);
}
