//! Plain functions, and the snapshot.

use std::cell::Cell;

use seaworthy_kit::{Outcome, Rejection};
use tokio::time::Instant;
use tokio_test::{assert_pending, task};

use super::*;
use crate::{Tag, Tagged};

#[tokio::test(start_paused = true)]
async fn function_is_called_once_per_attempt() {
    let handle = plain().build().unwrap().handle();
    let recorder = record(&handle);
    let mut calls = 0;
    let before = Instant::now();
    let rows = handle
        .call(|| {
            calls += 1;
            let calls = calls;
            async move {
                if calls < 3 {
                    Err(Fault(calls))
                } else {
                    Ok(calls)
                }
            }
        })
        .await
        .unwrap();
    assert_eq!(rows, 3);
    assert_eq!(before.elapsed(), 300 * MILLI);
    assert_eq!(recorder.outcomes(), [Outcome::Success]);
}

#[tokio::test(start_paused = true)]
async fn function_that_keeps_failing_is_given_up() {
    let handle = plain().build().unwrap().handle();
    let recorder = record(&handle);
    let result = handle.call(|| async { Err::<(), _>(Fault(9)) }).await;
    let error = result.unwrap_err();
    assert_eq!(exhausted(&error), (3, Reason::Attempts));
    assert_eq!(recorder.outcomes(), [Outcome::Failure]);
}

#[tokio::test(start_paused = true)]
async fn function_follows_the_same_options() {
    let handle = plain().max_attempts(1).build().unwrap().handle();
    let result = handle.call(|| async { Err::<(), _>(Fault(9)) }).await;
    assert_eq!(fault(&*result.unwrap_err()), Some(9));
    assert_eq!(handle.snapshot().gave_up, 0, "there was nothing to give up");

    let layer = plain().attempt_timeout(SECOND).max_attempts(2).build();
    let handle = layer.unwrap().handle();
    let before = Instant::now();
    let result = handle.call(std::future::pending::<Result<(), Fault>>).await;
    assert_eq!(before.elapsed(), 2 * SECOND + 100 * MILLI);
    assert!(Rejection::find(&*result.unwrap_err()).is_some());

    let budget = crate::BudgetConfig::default().share(0.5).floor(0);
    let handle = plain().budget(budget).build().unwrap().handle();
    let result = handle.call(|| async { Err::<(), _>(Fault(9)) }).await;
    assert_eq!(exhausted(&result.unwrap_err()), (1, Reason::Budget));
}

#[tokio::test(start_paused = true)]
async fn function_spends_the_budget_when_it_is_called_again() {
    let budget = crate::BudgetConfig::default().share(0.5).floor(0);
    let handle = plain().budget(budget).build().unwrap().handle();
    handle.call(|| async { Ok::<_, Fault>(7) }).await.unwrap();
    let failing = || handle.call(|| async { Err::<(), _>(Fault(9)) });
    let error = failing().await.unwrap_err();
    assert_eq!(exhausted(&error), (2, Reason::Budget), "half of two calls");
    // One that is not called again gives it back.
    handle.call(|| async { Ok::<_, Fault>(7) }).await.unwrap();
    let mut waiting = task::spawn(failing());
    assert_pending!(waiting.poll());
    assert_eq!(handle.snapshot().budget_remaining, Some(0.0));
    drop(waiting);
    assert_eq!(handle.snapshot().budget_remaining, Some(0.5));
}

#[tokio::test(start_paused = true)]
async fn function_takes_tokens_and_gives_them_back() {
    let handle = plain().throttle(4, 0.5).build().unwrap().handle();
    let tokens = || handle.snapshot().throttle_tokens;
    let result = handle.call(|| async { Err::<(), _>(Fault(9)) }).await;
    assert_eq!(exhausted(&result.unwrap_err()), (2, Reason::Throttled));
    assert_eq!(tokens(), Some(2.0));
    let never_sent = || async { Err::<(), _>(Tagged::new(Tag::NeverSent, Fault(9))) };
    handle.call(never_sent).await.unwrap_err();
    assert_eq!(tokens(), Some(1.0), "a free attempt costs none");
    let result = handle.call(|| async { Ok::<_, Fault>(7) }).await;
    assert_eq!((result.unwrap(), tokens()), (7, Some(1.5)));
}

#[tokio::test(start_paused = true)]
async fn function_dropped_during_its_wait_is_abandoned() {
    let handle = plain().build().unwrap().handle();
    let recorder = record(&handle);
    let calls = Cell::new(0);
    let mut call = task::spawn(handle.call(|| {
        calls.set(calls.get() + 1);
        async { Err::<(), _>(Fault(9)) }
    }));
    assert_pending!(call.poll());
    assert_eq!(handle.snapshot().in_flight, 1);
    drop(call);
    assert_eq!(recorder.outcomes(), [Outcome::Abandoned]);
    assert_eq!(calls.get(), 1);
}

#[tokio::test(start_paused = true)]
async fn function_that_panics_is_one_failed_call() {
    let handle = plain().build().unwrap().handle();
    let recorder = record(&handle);
    let mut call = task::spawn(handle.call(|| async {
        assert_eq!(1, 2, "as a function might");
        Err::<(), _>(Fault(9))
    }));
    let polled = std::panic::AssertUnwindSafe(|| call.poll());
    assert!(std::panic::catch_unwind(polled).is_err());
    drop(call);
    assert_eq!(recorder.outcomes(), [Outcome::Failure]);
    assert_eq!(handle.snapshot().in_flight, 0);
}

#[tokio::test(start_paused = true)]
async fn draining_layer_does_not_call_the_function() {
    let handle = plain().build().unwrap().handle();
    handle.drain().await;
    let mut calls = 0;
    let call = handle.call(|| {
        calls += 1;
        async { Err::<(), _>(Fault(9)) }
    });
    assert!(Rejection::find(&*call.await.unwrap_err()).is_some());
    assert_eq!(calls, 0);
}

#[test]
fn snapshot_names_the_layer() {
    let snapshot = plain().build().unwrap().handle().snapshot();
    assert_eq!(snapshot.name, "gateway");
    assert_eq!(snapshot.max_attempts, 3);
    assert_eq!(snapshot.budget_remaining, Some(1.0));
    assert_eq!(snapshot.throttle_tokens, None);
    assert_eq!((snapshot.retries, snapshot.gave_up), (0, 0));
    assert_eq!(snapshot.in_flight, 0);
}
