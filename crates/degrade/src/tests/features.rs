//! Features: what each end of the future becomes, what is critical, time, and several at once.

use std::cell::Cell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use seaworthy_kit::deadline::{self, Deadline};
use seaworthy_kit::telemetry::Event;
use seaworthy_kit::testing::{ManualClock, Recorder};

use super::*;

#[tokio::test]
async fn value_is_given_and_nothing_is_noted() {
    let (value, less) = gather(feature("x").fallback(0).run(up(7))).await;
    assert_eq!(value.unwrap(), 7);
    assert!(less.is_none());
}

#[tokio::test(start_paused = true)]
async fn each_bad_end_becomes_the_fallback_and_its_cause_is_noted() {
    let limited = || feature("x").timeout(100 * MS).fallback(9);
    let refused = async {
        Err::<u32, BoxError>(Box::new(Rejection::new(
            RejectionKind::CircuitOpen,
            "y".into(),
        )))
    };
    let cases = [
        (gather(limited().run(down())).await, "failed"),
        (gather(limited().run(refused)).await, "refused"),
        (gather(limited().run(hangs())).await, "timed_out"),
        (gather(limited().run(slow(SECOND))).await, "timed_out"),
        (
            gather(limited().run(async { panic!("a bug") as Result<u32, io::Error> })).await,
            "panicked",
        ),
    ];
    for ((value, less), cause) in cases {
        assert_eq!(value.unwrap(), 9, "{cause}");
        assert_eq!(list(less), [("x", cause, "value")]);
    }
}

#[tokio::test(start_paused = true)]
async fn feature_without_a_fallback_is_critical() {
    for feature in [feature("x"), feature("x").critical(false)] {
        let (result, less) = gather(feature.timeout(100 * MS).run(hangs())).await;
        let error = result.unwrap_err();
        let rejection = Rejection::find(&*error).expect("a timeout");
        assert_eq!(rejection.kind(), RejectionKind::TimedOut);
        assert_eq!(rejection.layer(), "x");
        assert!(less.is_none());
    }
}

#[tokio::test]
async fn critical_feature_gives_its_error_in_spite_of_a_fallback() {
    let (result, less) = gather(feature("x").critical(true).fallback(9).run(down())).await;
    assert_eq!(result.unwrap_err().to_string(), "down");
    assert!(less.is_none());
}

#[tokio::test]
#[should_panic(expected = "a bug")]
async fn panic_of_a_critical_feature_is_the_answers() {
    let buggy = async { panic!("a bug") as Result<u32, io::Error> };
    let _ = feature("x").run(buggy).await;
}

/// Answers at once or never, and panics when it is dropped.
struct Careless {
    answers: bool,
}

impl Future for Careless {
    type Output = Result<u32, io::Error>;

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
        match self.answers {
            true => Poll::Ready(Ok(7)),
            false => Poll::Pending,
        }
    }
}

impl Drop for Careless {
    fn drop(&mut self) {
        panic!("a bug in drop");
    }
}

#[tokio::test(start_paused = true)]
async fn panic_in_the_drop_of_an_optional_feature_is_not_the_answers() {
    for (answers, expected) in [(true, 7), (false, 9)] {
        let limited = feature("x").timeout(100 * MS).fallback(9);
        let (value, _) = gather(limited.run(Careless { answers })).await;
        assert_eq!(value.unwrap(), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn answer_at_the_moment_of_the_limit_is_an_answer() {
    let value = feature("x")
        .timeout(100 * MS)
        .fallback(9)
        .run(slow(100 * MS))
        .await;
    assert_eq!(value.unwrap(), 1);
}

#[tokio::test(start_paused = true)]
async fn limit_is_met_in_time() {
    let began = clock::now();
    let _ = feature("x")
        .timeout(100 * MS)
        .fallback(9)
        .run(hangs())
        .await;
    assert_eq!(clock::now().since(began), 100 * MS);
}

#[tokio::test(start_paused = true)]
async fn deadline_of_the_task_cuts_what_is_not_critical_so_long_before_it() {
    let began = clock::now();
    let deadline = Deadline::after(began, SECOND);
    let cut = feature("x")
        .timeout(5 * SECOND)
        .reserve(50 * MS)
        .fallback(9)
        .run(hangs());
    let (value, less) = gather(deadline::scope(deadline, cut)).await;
    assert_eq!(value.unwrap(), 9);
    assert_eq!(clock::now().since(began), 950 * MS);
    assert_eq!(list(less), [("x", "timed_out", "value")]);
}

#[tokio::test(start_paused = true)]
async fn deadline_of_the_task_does_not_cut_what_is_critical() {
    let deadline = Deadline::after(clock::now(), SECOND);
    let value = deadline::scope(deadline, feature("x").run(slow(2 * SECOND))).await;
    assert_eq!(value.unwrap(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_took_too_long_is_dropped_at_the_cut() {
    let held = Rc::new(());
    let holds = {
        let held = held.clone();
        async move {
            let _held = held;
            pending::<Result<u32, io::Error>>().await
        }
    };
    let mut running = Box::pin(feature("x").timeout(MS).fallback(9).run(holds));
    assert!(running.as_mut().await.is_ok());
    assert_eq!(Rc::strong_count(&held), 1, "the feature still lives");
}

#[tokio::test]
async fn function_is_asked_with_the_cause_and_only_when_needed() {
    let asked = Cell::new(0);
    let fallback = |cause: Cause| {
        asked.set(asked.get() + 1);
        u32::from(cause == Cause::Failed)
    };
    let good = feature("x").fallback_with(fallback).run(up(7)).await;
    assert_eq!((good.unwrap(), asked.get()), (7, 0));
    let (bad, less) = gather(feature("x").fallback_with(fallback).run(down())).await;
    assert_eq!((bad.unwrap(), asked.get()), (1, 1));
    assert_eq!(list(less), [("x", "failed", "function")]);
}

#[tokio::test]
async fn last_good_value_is_given_while_it_is_not_too_old() {
    let clock = ManualClock::new();
    let last = LastGood::with_clock(60 * SECOND, clock.clock());
    let x = || feature("x").fallback(0).or_last(&last);
    let (value, less) = gather(x().run(down())).await;
    assert_eq!(value.unwrap(), 0, "nothing was kept yet");
    assert_eq!(list(less), [("x", "failed", "value")]);
    assert_eq!(x().run(up(7)).await.unwrap(), 7);
    clock.advance(60 * SECOND);
    let (value, less) = gather(x().run(down())).await;
    assert_eq!(value.unwrap(), 7);
    assert_eq!(list(less), [("x", "failed", "last_good")]);
    assert_eq!(last.with_age(), Some((7, 60 * SECOND)));
    clock.advance(MS);
    assert_eq!(x().run(down()).await.unwrap(), 0, "too old");
    assert_eq!(last.get(), None);
}

#[tokio::test]
async fn last_good_value_alone_is_a_fallback_once_it_is_there() {
    let last = LastGood::new(SECOND);
    let x = || feature("x").or_last(&last);
    assert_eq!(x().run(down()).await.unwrap_err().to_string(), "down");
    last.set(5);
    assert_eq!(x().run(down()).await.unwrap(), 5);
}

#[tokio::test]
async fn young_value_is_not_kept_anew() {
    let clock = ManualClock::new();
    let last = LastGood::with_clock(100 * SECOND, clock.clock());
    let x = || feature("x").fallback(0).or_last(&last);
    x().run(up(1)).await.unwrap();
    clock.advance(9 * SECOND);
    x().run(up(2)).await.unwrap();
    assert_eq!(last.get(), Some(1));
    clock.advance(SECOND);
    x().run(up(3)).await.unwrap();
    assert_eq!(last.get(), Some(3));
    // A clock that is set back does not make it young for ever.
    clock.set(seaworthy_kit::Moment::from_nanos(1));
    x().run(up(4)).await.unwrap();
    assert_eq!(last.get(), Some(4));
}

#[tokio::test]
async fn listener_hears_of_each_degradation() {
    let recorder = Recorder::new();
    let _subscription = subscribe("heard", recorder.listener());
    let _ = feature("heard").fallback(0).run(up(1)).await;
    let _ = feature("heard")
        .critical(true)
        .fallback(0)
        .run(down())
        .await;
    assert!(recorder.events().is_empty());
    // Also outside of all answers: a fallback must not hide that something is broken.
    let _ = feature("heard").fallback(0).run(down()).await;
    let (cause, substitute) = ("failed", "value");
    assert_eq!(recorder.events(), [Event::Degraded { cause, substitute }]);
}

#[tokio::test(start_paused = true)]
async fn features_together_take_as_long_as_the_slowest() {
    let began = clock::now();
    let optional = |name, ms| feature(name).timeout(ms * MS).fallback(0);
    let (values, less) = gather(together((
        feature("product").run(slow(40 * MS)),
        optional("recommendations", 200).run(hangs()),
        optional("reviews", 300).run(slow(50 * MS)),
        optional("price", 100).run(down()),
        optional("inventory", 100).run(hangs()),
    )))
    .await;
    assert_eq!(values.unwrap(), (1, 0, 1, 0, 0));
    assert_eq!(clock::now().since(began), 200 * MS);
    assert_eq!(
        less.unwrap().names(),
        ["price", "inventory", "recommendations"]
    );
}

#[tokio::test(start_paused = true)]
async fn error_of_a_critical_feature_ends_them_all_at_once() {
    let began = clock::now();
    let failing = async {
        tokio::time::sleep(10 * MS).await;
        Err::<u32, _>(io::Error::other("no product"))
    };
    let all = together((
        feature("reviews").fallback(0).run(hangs()),
        feature("product").run(failing),
    ));
    assert_eq!(all.await.unwrap_err().to_string(), "no product");
    assert_eq!(clock::now().since(began), 10 * MS);
}

#[tokio::test]
async fn from_one_to_twelve_may_go_together() {
    let x = |n| feature("x").run(up(n));
    assert_eq!(together((x(1),)).await.unwrap(), (1,));
    let all = together((
        x(1),
        x(2),
        x(3),
        x(4),
        x(5),
        x(6),
        x(7),
        x(8),
        x(9),
        x(10),
        x(11),
        x(12),
    ));
    assert_eq!(all.await.unwrap(), (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12));
}

#[test]
fn futures_of_features_may_move_to_another_thread() {
    fn is_send<T: Send>(_: &T) {}
    let one = || {
        feature("x")
            .timeout(SECOND)
            .fallback(0)
            .or_last(&LastGood::new(SECOND))
            .run(up(1))
    };
    is_send(&one());
    is_send(&gather(together((one(), one()))));
}
