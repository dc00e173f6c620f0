//! A gate around a plain async function.

use std::sync::atomic::Ordering;
use std::task::Poll;

use seaworthy_core::Outcome;
use tokio_test::task;

use super::*;
use crate::testing::fixtures::{Limit, Queue};
use crate::testing::{Fault, Recorder};
use crate::verdict::{ClassifyFn, ErrorsAsFailures, Verdict};
use crate::{Rejection, RejectionKind, Share};

fn share<G: Gate>(gate: G) -> (Share<G>, Recorder) {
    let share = Share::new(gate);
    let recorder = Recorder::new();
    share.telemetry().subscribe(recorder.listener()).forever();
    (share, recorder)
}

const ERRORS: ErrorsAsFailures = ErrorsAsFailures::new();

#[tokio::test]
async fn result_of_the_function_passes_and_is_reported() {
    let (share, recorder) = share(Limit::new(1));
    let answer = call(share.hold_shared(), &ERRORS, || async { Ok::<_, Fault>(7) }).await;
    assert_eq!(answer.unwrap(), 7);
    let fault = Fault::new(1);
    let failed = call(share.hold_shared(), &ERRORS, || async {
        Err::<(), _>(fault)
    })
    .await;
    assert_eq!(failed.unwrap_err().downcast_ref(), Some(&fault));
    assert_eq!(recorder.outcomes(), [Outcome::Success, Outcome::Failure]);
    assert_eq!(share.in_flight(), 0);
}

#[tokio::test]
async fn refusal_does_not_run_the_function() {
    let (share, recorder) = share(Limit::new(0));
    let refused = call(share.hold_shared(), &ERRORS, || async {
        unreachable!("the gate is full");
        #[expect(unreachable_code, reason = "names the type of the answer")]
        Ok::<(), Fault>(())
    });
    let error = refused.await.unwrap_err();
    assert_eq!(
        Rejection::find(&*error).unwrap().kind(),
        RejectionKind::BulkheadFull
    );
    assert_eq!(recorder.refused(true), 1);
}

#[tokio::test]
async fn classifier_decides_about_answers() {
    let (share, recorder) = share(Limit::new(1));
    let odd_fails = ClassifyFn::new(|result: Result<&u32, &BoxError>| match result {
        Ok(number) if number % 2 == 1 => Verdict::FAILURE,
        _ => Verdict::SUCCESS,
    });
    let run = |number| {
        call(share.hold_shared(), &odd_fails, async move || {
            Ok::<_, Fault>(number)
        })
    };
    run(1).await.unwrap();
    run(2).await.unwrap();
    assert_eq!(recorder.outcomes(), [Outcome::Failure, Outcome::Success]);
}

#[tokio::test]
async fn refusal_further_in_is_ignored() {
    let (share, recorder) = share(Limit::new(1));
    let inside = || async {
        let rejection = Rejection::new(RejectionKind::CircuitOpen, "further in".into());
        Err::<(), _>(rejection)
    };
    call(share.hold_shared(), &ERRORS, inside)
        .await
        .unwrap_err();
    assert_eq!(recorder.outcomes(), [Outcome::Ignored]);
}

#[test]
fn dropped_call_is_abandoned_once_and_drops_the_function() {
    let (share, recorder) = share(Limit::new(1));
    let inside = std::sync::Arc::new(());
    let kept = inside.clone();
    let mut future = task::spawn(call(share.hold_shared(), &ERRORS, || async move {
        let _kept = kept;
        std::future::pending::<Result<(), Fault>>().await
    }));
    assert!(future.poll().is_pending());
    drop(future);
    assert_eq!(std::sync::Arc::strong_count(&inside), 1);
    assert_eq!(recorder.outcomes(), [Outcome::Abandoned]);
    assert_eq!(share.running.load(Ordering::SeqCst), 0);
}

#[test]
fn call_dropped_unpolled_was_never_made() {
    let (share, recorder) = share(Limit::new(1));
    drop(call(share.hold_shared(), &ERRORS, || async {
        Ok::<_, Fault>(())
    }));
    assert!(recorder.events().is_empty());
    assert_eq!(share.in_flight(), 0);
}

#[test]
fn panic_of_the_function_is_a_failure() {
    let (share, recorder) = share(Limit::new(1));
    let mut future = task::spawn(call(share.hold_shared(), &ERRORS, || async {
        std::panic::resume_unwind(Box::new("mine"));
        #[expect(unreachable_code, reason = "names the type of the answer")]
        Ok::<(), Fault>(())
    }));
    let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| future.poll()));
    assert!(caught.is_err());
    drop(future);
    assert_eq!(recorder.outcomes(), [Outcome::Failure]);
    assert_eq!(share.running.load(Ordering::SeqCst), 0);
}

#[test]
fn call_waits_for_its_turn() {
    let (share, _) = share(Queue::new(1));
    let begin = || {
        let forever = std::future::pending::<Result<(), Fault>>;
        task::spawn(call(share.hold_shared(), &ERRORS, forever))
    };
    let mut first = begin();
    assert!(first.poll().is_pending());
    let mut second = task::spawn(call(share.hold_shared(), &ERRORS, || async {
        Ok::<_, Fault>(2)
    }));
    assert!(second.poll().is_pending());
    drop(first);
    assert!(second.is_woken());
    assert!(matches!(second.poll(), Poll::Ready(Ok(2))));
}

#[tokio::test]
async fn drain_refuses_and_observing_lets_pass() {
    let (share, recorder) = share(Limit::new(0));
    share.control().observe_only(true);
    let run = || {
        call(share.hold_shared(), &ERRORS, || async {
            Ok::<_, Fault>(())
        })
    };
    run().await.unwrap();
    assert_eq!(recorder.refused(false), 1);
    share.drain().await;
    let error = run().await.unwrap_err();
    assert_eq!(
        Rejection::find(&*error).unwrap().kind(),
        RejectionKind::Draining
    );
}
