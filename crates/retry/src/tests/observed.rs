//! The observe-only switch: told what it would do, and does nothing.

use seaworthy_kit::{Event, Outcome, Rejection, RejectionKind};
use tokio::time::{Instant, sleep};
use tower::{Layer, ServiceExt};

use super::*;

fn gave_up(reason: &'static str) -> Event {
    Event::GaveUp {
        attempts: 1,
        reason,
    }
}

const FAILURE: Event = Event::Ended {
    outcome: Outcome::Failure,
};

#[tokio::test(start_paused = true)]
async fn observed_call_fails_as_without_the_layer() {
    let upstream = failing();
    let layer = plain().build().unwrap();
    let recorder = record(&layer.handle());
    layer.handle().control().observe_only(true);
    let before = Instant::now();
    let error = layer.layer(upstream.view()).oneshot(7).await.unwrap_err();
    assert_eq!(fault(&*error), Some(1));
    assert_eq!((upstream.calls(), before.elapsed()), (1, Duration::ZERO));
    assert_eq!(recorder.events(), [gave_up("observed"), FAILURE]);
    assert_eq!(layer.handle().snapshot().retries, 0);

    layer.handle().control().observe_only(false);
    layer.layer(upstream.view()).oneshot(7).await.unwrap_err();
    assert_eq!(upstream.calls(), 4);
}

#[tokio::test(start_paused = true)]
async fn observed_call_takes_nothing_from_the_budget_and_hears_of_its_end() {
    let empty = crate::BudgetConfig::default().share(0.5).floor(0);
    let layer = plain().budget(empty).build().unwrap();
    let recorder = record(&layer.handle());
    layer.handle().control().observe_only(true);
    let error = layer.layer(failing()).oneshot(7).await.unwrap_err();
    assert_eq!(fault(&*error), Some(1), "not even as exhausted");
    layer.layer(failing()).oneshot(7).await.unwrap_err();
    layer.layer(failing()).oneshot(7).await.unwrap_err();
    let told = [gave_up("budget"), gave_up("observed"), gave_up("observed")];
    let events = recorder.events();
    let given_up: Vec<_> = events
        .into_iter()
        .filter(|event| *event != FAILURE)
        .collect();
    assert_eq!(given_up, told);
}

#[tokio::test(start_paused = true)]
async fn observed_limit_cuts_nothing_and_is_told_once() {
    let upstream = Upstream::new(|_, request: u32| async move {
        for _ in 0..5 {
            sleep(SECOND).await;
        }
        Ok(request)
    });
    let layer = plain().attempt_timeout(SECOND / 2).build().unwrap();
    let recorder = record(&layer.handle());
    layer.handle().control().observe_only(true);
    assert_eq!(layer.layer(upstream).oneshot(7).await.unwrap(), 7);
    let refused = Event::Refused {
        kind: RejectionKind::TimedOut,
        retry_after: None,
        enforced: false,
    };
    let ended = Event::Ended {
        outcome: Outcome::Success,
    };
    assert_eq!(recorder.events(), [refused, ended]);
}

#[cfg(feature = "http")]
#[tokio::test(start_paused = true)]
async fn observed_response_is_not_even_marked() {
    use super::http::{attempts, busy, get, http};

    let server = busy(9, 503, &[]);
    let layer = http().build().unwrap();
    layer.handle().control().observe_only(true);
    let response = layer.layer(server.view()).oneshot(get()).await.unwrap();
    assert_eq!((server.calls(), attempts(&response)), (1, None));
}

#[tokio::test(start_paused = true)]
async fn observed_function_is_called_once() {
    let handle = plain().attempt_timeout(SECOND).build().unwrap().handle();
    let recorder = record(&handle);
    handle.control().observe_only(true);
    let result = handle.call(|| async {
        sleep(2 * SECOND).await;
        Err::<(), _>(Fault(9))
    });
    let error = result.await.unwrap_err();
    assert_eq!(fault(&*error), Some(9));
    assert!(Rejection::find(&*error).is_none());
    assert_eq!(recorder.count(|event| *event == gave_up("observed")), 1);

    let empty = crate::BudgetConfig::default().share(0.5).floor(0);
    let handle = plain().budget(empty).build().unwrap().handle();
    let recorder = record(&handle);
    handle.control().observe_only(true);
    let result = handle.call(|| async { Err::<(), _>(Fault(9)) }).await;
    assert_eq!(fault(&*result.unwrap_err()), Some(9));
    assert_eq!(recorder.events(), [gave_up("budget"), FAILURE]);
}

#[tokio::test(start_paused = true)]
async fn share_of_the_calls_is_tried_again() {
    let upstream = failing();
    let layer = plain().budget(None).max_attempts(2).build().unwrap();
    layer.handle().control().enforce_percent(50);
    for _ in 0..200 {
        layer.layer(upstream.view()).oneshot(7).await.unwrap_err();
    }
    let retries = upstream.calls() - 200;
    assert!((50..150).contains(&retries), "{retries}");
}
