//! Plain functions behind the layer, without a service.

use std::sync::atomic::{AtomicU32, Ordering};

use seaworthy_kit::{Outcome, Rejection, RejectionKind};
use tokio_test::{assert_pending, assert_ready};

use super::*;

/// Answers with its number, or fails with it; hangs where it is told to.
async fn numbered(calls: &AtomicU32, hangs: u32, fails: bool) -> Result<u32, Fault> {
    let number = calls.fetch_add(1, Ordering::SeqCst) + 1;
    if number == hangs {
        std::future::pending::<()>().await;
    }
    if fails {
        Err(Fault(number))
    } else {
        Ok(number)
    }
}

#[tokio::test(start_paused = true)]
async fn slow_function_is_called_a_second_time() {
    let handle = plain().build().unwrap().handle();
    let calls = AtomicU32::new(0);
    let call = handle.call(|| numbered(&calls, 1, false));
    assert_eq!(call.await.unwrap(), 2);
    let snapshot = handle.snapshot();
    assert_eq!((snapshot.calls, snapshot.hedges, snapshot.won), (1, 1, 1));
    assert_eq!(snapshot.in_flight, 0);
}

#[tokio::test(start_paused = true)]
async fn function_that_failed_is_called_a_second_time_at_once() {
    let layer = plain().delay(None).build().unwrap();
    let calls = AtomicU32::new(0);
    let error = layer.handle().call(|| numbered(&calls, 0, true)).await;
    assert!(fault(&error.unwrap_err()).is_some());
    assert_eq!(calls.load(Ordering::SeqCst), 2);
    let is_final = plain().hedge_error(|_| false).build().unwrap();
    let error = is_final.handle().call(|| numbered(&calls, 0, true)).await;
    assert_eq!(fault(&error.unwrap_err()), Some(3));
}

#[tokio::test(start_paused = true)]
async fn function_is_called_once_where_hedges_are_off_or_the_budget_is_used_up() {
    let handle = HedgeLayer::plain("stock")
        .delay(DELAY)
        .build()
        .unwrap()
        .handle();
    let calls = AtomicU32::new(0);
    let mut call = task::spawn(handle.call(|| numbered(&calls, 1, false)));
    assert_pending!(call.poll());
    tokio::time::advance(DELAY).await;
    assert_pending!(call.poll());
    assert_eq!(handle.snapshot().withheld, 1, "one call is too few");
    drop(call);
    handle.set_enabled(false);
    let mut call = task::spawn(handle.call(|| numbered(&calls, 2, false)));
    assert_pending!(call.poll());
    tokio::time::advance(DELAY).await;
    assert_pending!(call.poll());
    assert_eq!(handle.snapshot().calls, 1);
}

#[tokio::test(start_paused = true)]
async fn function_dropped_anywhere_is_abandoned_once() {
    for wait in [Duration::ZERO, DELAY] {
        let handle = plain().build().unwrap().handle();
        let recorder = record(&handle);
        let held = std::sync::Arc::new(());
        let hang = || {
            let held = held.clone();
            async move {
                std::future::pending::<()>().await;
                drop(held);
                Ok::<_, Fault>(1)
            }
        };
        let mut call = task::spawn(handle.call(hang));
        assert_pending!(call.poll());
        tokio::time::advance(wait).await;
        assert_pending!(call.poll());
        drop(call);
        assert_eq!(
            std::sync::Arc::strong_count(&held),
            1,
            "all attempts are dropped"
        );
        assert_eq!(recorder.outcomes(), [Outcome::Abandoned]);
    }
}

#[tokio::test(start_paused = true)]
async fn drain_waits_for_functions_and_refuses_others() {
    let handle = plain().build().unwrap().handle();
    let calls = AtomicU32::new(0);
    let mut call = task::spawn(handle.call(|| numbered(&calls, 1, false)));
    assert_pending!(call.poll());
    let mut drain = task::spawn(handle.drain());
    assert_pending!(drain.poll());
    let refused = handle
        .call(|| numbered(&calls, 0, false))
        .await
        .unwrap_err();
    let rejection = refused.downcast_ref::<Rejection>().expect("a refusal");
    assert_eq!(rejection.kind(), RejectionKind::Draining);
    tokio::time::advance(DELAY).await;
    assert_eq!(assert_ready!(call.poll()).unwrap(), 2);
    drop(call);
    assert_ready!(drain.poll());
}
