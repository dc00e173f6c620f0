//! Which failures are tried again, how often, and what the caller gets.

use seaworthy_kit::testing::ManualClock;
use seaworthy_kit::{Event, Outcome, Rejection, RejectionKind};
use tokio::time::Instant;
use tower::{Layer, ServiceExt};

use super::*;

fn rejection(kind: RejectionKind, after: Option<Duration>) -> BoxError {
    Box::new(Rejection::new(kind, "inner".into()).with_retry_after(after))
}

#[tokio::test(start_paused = true)]
async fn first_success_is_final_and_tells_nobody_but_the_counter() {
    let layer = plain().build().unwrap();
    let recorder = record(&layer.handle());
    let upstream = recovering(0);
    let answer = layer.layer(upstream.view()).oneshot(7).await.unwrap();
    assert_eq!(answer, 7);
    assert_eq!(upstream.calls(), 1);
    let outcome = Outcome::Success;
    assert_eq!(recorder.events(), [Event::Ended { outcome }]);
}

#[tokio::test(start_paused = true)]
async fn failed_call_is_tried_three_times_and_the_last_error_is_the_source() {
    let upstream = failing();
    let layer = plain().build().unwrap();
    let recorder = record(&layer.handle());
    let before = Instant::now();
    let error = layer.layer(upstream.view()).oneshot(7).await.unwrap_err();
    assert_eq!(before.elapsed(), 300 * MILLI, "waits of 100 and 200 ms");
    assert_eq!(exhausted(&error), (3, Reason::Attempts));
    assert_eq!(fault(error.source().unwrap()), Some(3));
    let given_up = error.downcast_ref::<Exhausted>().unwrap();
    assert_eq!(given_up.waited(), 300 * MILLI);
    assert_eq!(
        error.to_string(),
        "gave up after 3 attempts: no attempt left"
    );
    assert_eq!(upstream.calls(), 3);
    let retrying = |attempt, delay| Event::Retrying {
        attempt,
        delay,
        hinted: false,
    };
    assert_eq!(
        recorder.events(),
        [
            retrying(1, 100 * MILLI),
            retrying(2, 200 * MILLI),
            Event::GaveUp {
                attempts: 3,
                reason: "attempts"
            },
            Event::Ended {
                outcome: Outcome::Failure
            },
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn later_success_is_one_successful_call() {
    let upstream = recovering(2);
    let layer = plain().build().unwrap();
    let recorder = record(&layer.handle());
    assert_eq!(layer.layer(upstream.view()).oneshot(7).await.unwrap(), 7);
    assert_eq!(recorder.outcomes(), [Outcome::Success]);
    assert_eq!(layer.handle().snapshot().retries, 2);
    assert_eq!(layer.handle().snapshot().gave_up, 0);
}

#[tokio::test(start_paused = true)]
async fn jitter_shortens_the_waits_and_never_prolongs_them() {
    for _ in 0..50 {
        let layer = RetryLayer::plain("gateway").build().unwrap();
        let before = Instant::now();
        layer.layer(failing()).oneshot(7).await.unwrap_err();
        // The timer rounds each wait up to a millisecond.
        assert!(before.elapsed() <= 302 * MILLI);
    }
}

#[tokio::test(start_paused = true)]
async fn error_that_is_not_worth_it_passes_unchanged() {
    let upstream = failing();
    let layer = plain().retry_error(|_| false).build().unwrap();
    let recorder = record(&layer.handle());
    let error = layer.layer(upstream.view()).oneshot(7).await.unwrap_err();
    assert_eq!(fault(&*error), Some(1));
    assert_eq!(upstream.calls(), 1);
    assert_eq!(recorder.outcomes(), [Outcome::Failure]);
    assert_eq!(recorder.events().len(), 1, "nothing was given up");
}

#[tokio::test(start_paused = true)]
async fn error_that_is_final_passes_unchanged_after_a_retry_too() {
    let layer = plain()
        .retry_error(|error| fault(&**error) == Some(1))
        .build()
        .unwrap();
    let error = layer.layer(failing()).oneshot(7).await.unwrap_err();
    assert_eq!(fault(&*error), Some(2));
}

#[tokio::test(start_paused = true)]
async fn single_attempt_clones_nothing_and_changes_nothing() {
    let upstream = failing();
    let layer = plain().max_attempts(1).build().unwrap();
    let recorder = record(&layer.handle());
    let error = layer.layer(upstream.view()).oneshot(7).await.unwrap_err();
    assert_eq!(fault(&*error), Some(1));
    assert_eq!(upstream.clones(), 0);
    assert_eq!(recorder.events().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn inner_stack_is_cloned_once_whatever_the_attempts() {
    let upstream = failing();
    let layer = plain().max_attempts(5).build().unwrap();
    layer.layer(upstream.view()).oneshot(7).await.unwrap_err();
    assert_eq!((upstream.calls(), upstream.clones()), (5, 1));
}

#[tokio::test(start_paused = true)]
async fn request_that_must_not_be_repeated_is_sent_once_and_clones_nothing() {
    let upstream = failing();
    let layer = plain()
        .retry_if(|request: &u32| request.is_multiple_of(2))
        .build()
        .unwrap();
    let error = layer.layer(upstream.view()).oneshot(7).await.unwrap_err();
    assert_eq!(fault(&*error), Some(1));
    assert_eq!((upstream.calls(), upstream.clones()), (1, 0));
    layer.layer(upstream.view()).oneshot(8).await.unwrap_err();
    assert_eq!(upstream.calls(), 4);
}

#[tokio::test(start_paused = true)]
async fn response_is_tried_again_where_the_user_says_so() {
    let upstream = Upstream::new(|number, _: u32| async move { Ok(number) });
    let layer = plain()
        .retry_response(|answer: &u32| *answer < 3)
        .build()
        .unwrap();
    assert_eq!(layer.layer(upstream.view()).oneshot(7).await.unwrap(), 3);
    let layer = plain()
        .retry_response(|_: &u32| true)
        .max_attempts(2)
        .build()
        .unwrap();
    let answer = layer.layer(upstream.view()).oneshot(7).await.unwrap();
    assert_eq!(answer, 5, "the last failed response is returned as it is");
}

#[tokio::test(start_paused = true)]
async fn local_refusal_is_not_tried_again() {
    let upstream = Upstream::<u32, u32>::new(|_, _| async {
        Err(rejection(RejectionKind::CircuitOpen, Some(SECOND)))
    });
    let layer = plain().build().unwrap();
    let recorder = record(&layer.handle());
    let error = layer.layer(upstream.view()).oneshot(7).await.unwrap_err();
    let refusal = error.downcast_ref::<Rejection>().expect("unchanged");
    assert_eq!(refusal.kind(), RejectionKind::CircuitOpen);
    assert_eq!(upstream.calls(), 1);
    assert_eq!(recorder.outcomes(), [Outcome::Ignored]);
}

#[tokio::test(start_paused = true)]
async fn local_refusal_is_tried_again_where_asked_after_the_time_it_names() {
    let upstream = Upstream::new(|number, request: u32| async move {
        if number == 1 {
            return Err(rejection(RejectionKind::CircuitOpen, Some(5 * SECOND)));
        }
        Ok(request)
    });
    let layer = plain().retry_refusals(true).build().unwrap();
    let before = Instant::now();
    assert_eq!(layer.layer(upstream.view()).oneshot(7).await.unwrap(), 7);
    assert_eq!(before.elapsed(), 5 * SECOND);

    // A request that must not arrive twice has not arrived; of a failure nobody knows that.
    let layer = plain().retry_if(|_: &u32| false).retry_unsent(true);
    let layer = layer.retry_refusals(true).build().unwrap();
    let upstream = Upstream::<u32, u32>::new(|number, _| async move {
        match number {
            1 => Err(rejection(RejectionKind::CircuitOpen, Some(SECOND))),
            _ => Err(Fault(number).into()),
        }
    });
    let error = layer.layer(upstream.view()).oneshot(7).await.unwrap_err();
    assert_eq!((fault(&*error), upstream.calls()), (Some(2), 2));
}

#[tokio::test(start_paused = true)]
async fn refusal_that_waiting_does_not_help_is_never_tried_again() {
    for kind in [
        RejectionKind::Draining,
        RejectionKind::DeadlineExceeded,
        RejectionKind::KeyReused,
        RejectionKind::OutcomeUnknown,
    ] {
        let upstream =
            Upstream::<u32, u32>::new(move |_, _| async move { Err(rejection(kind, None)) });
        let layer = plain().retry_refusals(true).build().unwrap();
        layer.layer(upstream.view()).oneshot(7).await.unwrap_err();
        assert_eq!(upstream.calls(), 1, "{kind}");
    }
}

#[tokio::test(start_paused = true)]
async fn timeout_of_a_layer_further_in_is_tried_again() {
    let upstream =
        Upstream::<u32, u32>::new(|_, _| async { Err(rejection(RejectionKind::TimedOut, None)) });
    let layer = plain().build().unwrap();
    let error = layer.layer(upstream.view()).oneshot(7).await.unwrap_err();
    assert_eq!(exhausted(&error), (3, Reason::Attempts));
    let found = Rejection::find(&*error).expect("in the chain");
    assert_eq!(found.kind(), RejectionKind::TimedOut);
}

#[tokio::test(start_paused = true)]
async fn attempts_of_nested_layers_do_not_multiply() {
    let upstream = failing();
    let (inner, outer) = (plain().build().unwrap(), plain().build().unwrap());
    let stack = outer.layer(inner.layer(upstream.view()));
    let error = stack.oneshot(7).await.unwrap_err();
    assert_eq!(exhausted(&error), (3, Reason::Attempts));
    assert_eq!(upstream.calls(), 3);
}

#[tokio::test(start_paused = true)]
async fn callbacks_hear_of_each_wait_and_of_the_end() {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let (first, second) = (heard.clone(), heard.clone());
    let layer = plain()
        .max_attempts(2)
        .on_retry(move |retrying| {
            let error = retrying.error.map(ToString::to_string);
            let line = format!("{} {:?} {error:?}", retrying.attempt, retrying.delay);
            first.lock().unwrap().push(line);
        })
        .on_exhausted(move |given_up| {
            let error = given_up.error.map(ToString::to_string);
            let line = format!("{} {} {error:?}", given_up.attempts, given_up.reason);
            second.lock().unwrap().push(line);
        })
        .build()
        .unwrap();
    layer.layer(failing()).oneshot(7).await.unwrap_err();
    assert_eq!(
        *heard.lock().unwrap(),
        [
            "1 100ms Some(\"fault 1\")",
            "2 no attempt left Some(\"fault 2\")"
        ]
    );
}

/// Setters that change the type of the builder make a new one: nothing may get lost on the way.
#[tokio::test(start_paused = true)]
async fn setters_that_change_the_type_keep_what_was_set() {
    let change = |builder: Plain| {
        let builder = builder.traffic(seaworthy_kit::Plain::new());
        let builder = builder.replay(seaworthy_kit::Plain::new());
        let builder = builder.retry_if(|_: &u32| true);
        builder.retry_response(|_: &u32| false)
    };
    let retries = Arc::new(AtomicU32::new(0));
    let counted = retries.clone();
    let one_per_second = crate::BudgetConfig::default().share(0.0).floor(1);
    let layer = RetryLayer::plain("gateway")
        .max_attempts(2)
        .backoff(Backoff::constant(SECOND))
        .max_delay(30 * MILLI)
        .attempt_timeout(2 * SECOND)
        .total_timeout(9 * SECOND)
        .budget(one_per_second)
        .throttle(7, 0.5)
        .retry_refusals(true)
        .on_retry(move |_| {
            counted.fetch_add(1, Ordering::SeqCst);
        })
        .clock(ManualClock::new().clock());
    let layer = change(layer).build().unwrap();
    let snapshot = layer.handle().snapshot();
    assert_eq!(snapshot.name, "gateway");
    assert_eq!(snapshot.max_attempts, 2);
    assert_eq!(snapshot.attempt_timeout, Some(2 * SECOND));
    assert_eq!(snapshot.total_timeout, Some(9 * SECOND));
    assert_eq!(snapshot.throttle_tokens, Some(7.0));

    let upstream = Upstream::<u32, u32>::new(|_, _| async {
        Err(rejection(RejectionKind::CircuitOpen, None))
    });
    let before = Instant::now();
    let call = || layer.layer(upstream.view()).oneshot(7);
    assert_eq!(exhausted(&call().await.unwrap_err()).1, Reason::Attempts);
    assert_eq!(before.elapsed(), 30 * MILLI);
    assert_eq!(retries.load(Ordering::SeqCst), 1);
    // The layer's clock stands still, and so does its budget.
    tokio::time::advance(5 * SECOND).await;
    assert_eq!(exhausted(&call().await.unwrap_err()).1, Reason::Budget);

    let hasty = plain().min_attempt_time(SECOND).total_timeout(SECOND);
    assert_eq!(
        change(hasty).build().unwrap_err().option(),
        "min_attempt_time"
    );
}

#[test]
fn option_that_cannot_work_is_an_error_at_build_time() {
    let option = |builder: Plain| builder.build().unwrap_err().option();
    assert_eq!(option(plain().max_attempts(0)), "max_attempts");
    assert_eq!(
        option(plain().attempt_timeout(Duration::ZERO)),
        "attempt_timeout"
    );
    assert_eq!(
        option(plain().total_timeout(Duration::ZERO)),
        "total_timeout"
    );
    // One that is never first would never cut anything.
    let both = plain().attempt_timeout(SECOND).total_timeout(SECOND);
    assert_eq!(option(both), "attempt_timeout");
    // So is an attempt that needs more time than there is: there would be no second one.
    let both = plain().min_attempt_time(SECOND).total_timeout(SECOND);
    assert_eq!(option(both), "min_attempt_time");
    assert_eq!(option(plain().throttle(0, 0.1)), "max_tokens");
    let config = crate::BudgetConfig::default().share(f64::NAN);
    assert_eq!(option(plain().budget(config)), "share");
    assert!(plain().max_attempts(u32::MAX).build().is_ok());
}
