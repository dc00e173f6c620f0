//! The layer that opens a deadline, on plain requests.

use seaworthy_kit::{Event, Outcome};
use tokio::time::advance;
use tokio_test::{assert_pending, assert_ready_err, assert_ready_ok};
use tower::{ServiceExt, service_fn};

use super::*;
use crate::deadline::{Carry, current, remaining, sync_scope};

/// A request that says how long its caller waits.
#[derive(Clone, Copy)]
struct InRequest;

impl Carry<Option<Duration>> for InRequest {
    fn time_given(&self, request: &Option<Duration>) -> Option<Duration> {
        *request
    }

    fn give_time(&self, request: &mut Option<Duration>, left: Duration) -> bool {
        *request = Some(left);
        true
    }
}

type Opening = crate::deadline::Builder<Plain, InRequest>;

fn opening() -> Opening {
    DeadlineLayer::plain("in").carry(InRequest)
}

/// How much time the inner service sees of a request that is given so much.
async fn seen(
    build: impl FnOnce(Opening) -> Opening,
    given: Option<Duration>,
) -> Result<Option<Duration>, RejectionKind> {
    let layer = build(opening());
    let inner = service_fn(|_| async { Ok::<_, BoxError>(remaining()) });
    let service = layer.build().unwrap().layer(inner);
    service.oneshot(given).await.map_err(|error| kind(&error))
}

const DOOMED: Result<Option<Duration>, RejectionKind> = Err(RejectionKind::DeadlineExceeded);

#[tokio::test(start_paused = true)]
async fn request_gets_what_its_caller_gives_within_what_is_allowed() {
    let five = Some(5 * SECOND);
    assert_eq!(seen(|layer| layer, five).await, Ok(five));
    assert_eq!(seen(|layer| layer, None).await, Ok(None));
    let max = |layer: Opening| layer.max(2 * SECOND);
    assert_eq!(seen(max, five).await, Ok(Some(2 * SECOND)));
    assert_eq!(seen(max, Some(SECOND)).await, Ok(Some(SECOND)));
    assert_eq!(seen(max, None).await, Ok(Some(2 * SECOND)));
    let default = |layer: Opening| layer.default_limit(7 * SECOND);
    assert_eq!(seen(default, None).await, Ok(Some(7 * SECOND)));
    assert_eq!(seen(default, five).await, Ok(five));
    let both = |layer: Opening| layer.default_limit(7 * SECOND).max(3 * SECOND);
    assert_eq!(seen(both, None).await, Ok(Some(3 * SECOND)));
}

#[tokio::test(start_paused = true)]
async fn margin_is_taken_off_what_the_caller_gives_and_nothing_else() {
    let margin = |layer: Opening| layer.margin(SECOND).default_limit(7 * SECOND);
    assert_eq!(seen(margin, Some(5 * SECOND)).await, Ok(Some(4 * SECOND)));
    assert_eq!(seen(margin, None).await, Ok(Some(7 * SECOND)));
    assert_eq!(seen(margin, Some(SECOND)).await, DOOMED);
}

#[tokio::test(start_paused = true)]
async fn doomed_work_is_refused_early() {
    let useful = |layer: Opening| layer.min_useful(SECOND);
    assert_eq!(seen(useful, Some(SECOND)).await, Ok(Some(SECOND)));
    assert_eq!(seen(useful, Some(SECOND - MILLI)).await, DOOMED);
    assert_eq!(seen(useful, None).await, Ok(None));
    assert_eq!(seen(|layer| layer, Some(Duration::ZERO)).await, DOOMED);
}

#[tokio::test(start_paused = true)]
async fn word_of_a_stranger_may_be_ignored() {
    let ignore = |layer: Opening| layer.ignore_incoming(true).default_limit(7 * SECOND);
    for given in [Some(Duration::ZERO), Some(SECOND), Some(Duration::MAX)] {
        assert_eq!(seen(ignore, given).await, Ok(Some(7 * SECOND)));
    }
}

#[tokio::test(start_paused = true)]
async fn word_of_some_may_be_taken_and_that_of_others_not() {
    /// Believes the callers that are known.
    #[derive(Clone, Copy)]
    struct Known;

    impl Carry<(bool, Duration)> for Known {
        fn time_given(&self, &(known, time): &(bool, Duration)) -> Option<Duration> {
            known.then_some(time)
        }

        fn give_time(&self, _: &mut (bool, Duration), _: Duration) -> bool {
            true
        }
    }

    let layer = DeadlineLayer::plain("in").default_limit(7 * SECOND);
    let layer = layer.carry(Known).build().unwrap();
    let service = layer.layer(service_fn(|_: (bool, Duration)| async {
        Ok::<_, BoxError>(remaining())
    }));
    for (known, expected) in [(true, SECOND), (false, 7 * SECOND)] {
        let left = service.clone().oneshot((known, SECOND)).await.unwrap();
        assert_eq!(left, Some(expected));
    }
}

#[tokio::test(start_paused = true)]
async fn inside_of_another_deadline_the_earlier_one_counts() {
    let outer = in_time(2 * SECOND);
    let inside = |given| crate::deadline::scope(outer, seen(|layer| layer, given));
    assert_eq!(inside(Some(SECOND)).await, Ok(Some(SECOND)));
    assert_eq!(inside(Some(9 * SECOND)).await, Ok(Some(2 * SECOND)));
    assert_eq!(inside(None).await, Ok(Some(2 * SECOND)));
    advance(2 * SECOND).await;
    assert_eq!(inside(Some(SECOND)).await, DOOMED);
}

#[test]
fn without_a_deadline_there_is_no_timer_and_no_scope() {
    let layer = DeadlineLayer::plain("in").build().unwrap();
    let mut test = Test::opened(&layer);
    let mut call = test.call();
    assert_pending!(call.poll());
    test.inner.next_call().unwrap().answer(7);
    assert_eq!(assert_ready_ok!(call.poll()), 7);
}

#[tokio::test(start_paused = true)]
async fn deadline_is_open_in_the_call_and_in_every_poll() {
    let layer = DeadlineLayer::plain("in").default_limit(9 * SECOND);
    let layer = layer.build().unwrap();
    let inner = service_fn(|_: ()| {
        let in_call = remaining();
        async move {
            let first = remaining();
            tokio::time::sleep(2 * SECOND).await;
            Ok::<_, BoxError>([in_call, first, remaining()])
        }
    });
    let seen = layer.layer(inner).oneshot(()).await.unwrap();
    let (nine, seven) = (Some(9 * SECOND), Some(7 * SECOND));
    assert_eq!(seen, [nine, nine, seven]);
    assert_eq!(current(), None);
}

#[tokio::test(start_paused = true)]
async fn call_is_cut_at_its_deadline_which_counts_from_the_call() {
    let layer = DeadlineLayer::plain("in").default_limit(3 * SECOND);
    let layer = layer.build().unwrap();
    let mut test = Test::opened(&layer);
    let mut call = test.call();
    advance(2 * SECOND).await;
    assert_pending!(call.poll());
    advance(SECOND).await;
    let error = assert_ready_err!(call.poll());
    assert_eq!(kind(&error), RejectionKind::TimedOut);
    assert_eq!(test.inner.running(), 0);
    let expected = [
        Event::TimedOut { limit: "deadline" },
        Event::Ended {
            outcome: Outcome::Failure,
        },
    ];
    assert_eq!(test.recorder.take(), expected);
    assert_eq!(layer.handle().snapshot().timeouts, 1);
}

#[tokio::test(start_paused = true)]
async fn limit_inside_is_capped_by_the_deadline_and_names_itself() {
    let outer = DeadlineLayer::plain("outer").default_limit(SECOND);
    let inner = TimeoutLayer::plain("inner").limit(9 * SECOND);
    let (outer, inner) = (outer.build().unwrap(), inner.build().unwrap());
    let silent = service_fn(|()| std::future::pending::<Result<(), BoxError>>());
    let service = outer.layer(inner.layer(silent));
    let start = clock::now();
    let error = service.oneshot(()).await.unwrap_err();
    assert_eq!(clock::now().since(start), SECOND);
    assert_eq!(Rejection::find(&*error).unwrap().layer(), "inner");
    assert_eq!(outer.handle().snapshot().timeouts, 0);
    assert_eq!(inner.handle().snapshot().timeouts, 1);
}

#[tokio::test(start_paused = true)]
async fn observed_deadline_is_not_opened() {
    let layer = DeadlineLayer::plain("in").default_limit(SECOND);
    let layer = layer.build().unwrap();
    let handle = layer.handle();
    handle.control().observe_only(true);
    let inner = service_fn(|()| async {
        let before = current();
        tokio::time::sleep(5 * SECOND).await;
        Ok::<_, BoxError>([before, current()])
    });
    assert_eq!(layer.layer(inner).oneshot(()).await.unwrap(), [None, None]);
}

#[tokio::test(start_paused = true)]
async fn rules_can_be_changed_while_the_layer_runs() {
    let layer = DeadlineLayer::plain("in").build().unwrap();
    let handle = layer.handle();
    let seen = || handle.call(|| async { Ok::<_, BoxError>(remaining()) });
    assert_eq!(seen().await.unwrap(), None);
    handle.set_default_limit(3 * SECOND);
    assert_eq!(seen().await.unwrap(), Some(3 * SECOND));
    handle.set_max(2 * SECOND);
    assert_eq!(seen().await.unwrap(), Some(2 * SECOND));
    let snapshot = handle.snapshot();
    assert_eq!(snapshot.max, Some(2 * SECOND));
    assert_eq!(snapshot.default_limit, Some(3 * SECOND));
}

#[test]
fn snapshot_tells_the_most_that_any_request_can_get() {
    let of = |layer: Opening| layer.default_limit(3 * SECOND).build().unwrap();
    let heard = of(opening());
    assert_eq!(heard.handle().snapshot().longest, None);
    heard.handle().set_max(9 * SECOND);
    assert_eq!(heard.handle().snapshot().longest, Some(9 * SECOND));
    let ignored = of(opening().ignore_incoming(true));
    assert_eq!(ignored.handle().snapshot().longest, Some(3 * SECOND));
    let plain = DeadlineLayer::plain("in").default_limit(3 * SECOND);
    let plain = plain.build().unwrap().handle();
    assert_eq!(plain.snapshot().longest, Some(3 * SECOND));
    plain.set_max(SECOND);
    assert_eq!(plain.snapshot().longest, Some(SECOND));
}

#[tokio::test(start_paused = true)]
async fn function_is_cut_at_the_deadline() {
    let layer = DeadlineLayer::plain("job").default_limit(SECOND);
    let handle = layer.build().unwrap().handle();
    let error = handle.call(std::future::pending::<Result<(), BoxError>>);
    assert_eq!(kind(&error.await.unwrap_err()), RejectionKind::TimedOut);
    // It is seen by what makes the future, too.
    let seen = handle.call(|| std::future::ready(Ok::<_, BoxError>(remaining())));
    assert_eq!(seen.await.unwrap(), Some(SECOND));
}

#[tokio::test(start_paused = true)]
async fn panic_inside_leaves_no_deadline_behind() {
    let layer = DeadlineLayer::plain("in").default_limit(SECOND);
    let mut service = layer.build().unwrap().layer(service_fn(|()| {
        assert!(current().is_none(), "as a handler might panic");
        std::future::ready(Ok::<_, BoxError>(()))
    }));
    let call = std::panic::AssertUnwindSafe(|| drop(service.call(())));
    assert!(std::panic::catch_unwind(call).is_err());
    assert_eq!(current(), None);
}

#[tokio::test(start_paused = true)]
async fn passed_deadline_of_the_task_does_not_wait_for_readiness() {
    let layer = DeadlineLayer::plain("in").build().unwrap();
    let mut test = Test::opened(&layer);
    test.inner.make_pending();
    let deadline = in_time(SECOND);
    advance(SECOND).await;
    let mut call = sync_scope(deadline, || test.call());
    let error = assert_ready_err!(call.poll());
    assert_eq!(kind(&error), RejectionKind::DeadlineExceeded);
}
