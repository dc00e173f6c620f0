//! What the handle and the builder do besides limits: observe, drain, snapshot, validate.

use seaworthy_kit::{Event, Outcome};
use tokio::time::advance;
use tokio_test::{assert_pending, assert_ready, assert_ready_err, assert_ready_ok};

use super::*;
use crate::deadline::sync_scope;

fn observed(kind: RejectionKind) -> Event {
    Event::Refused {
        kind,
        retry_after: None,
        enforced: false,
    }
}

const SUCCESS: Event = Event::Ended {
    outcome: Outcome::Success,
};

#[tokio::test(start_paused = true)]
async fn observed_limit_is_reported_once_and_cuts_nothing() {
    let (mut test, handle) = Test::with(|layer| layer.limit(SECOND).body_limit(2 * SECOND));
    handle.control().observe_only(true);
    let mut call = test.call();
    assert_pending!(call.poll());
    for _ in 0..5 {
        advance(SECOND).await;
        assert_pending!(call.poll());
    }
    test.inner.next_call().unwrap().answer(7);
    assert_eq!(assert_ready_ok!(call.poll()), 7);
    assert_eq!(
        test.recorder.take(),
        [observed(RejectionKind::TimedOut), SUCCESS]
    );
    assert_eq!(handle.snapshot().timeouts, 0);
}

#[tokio::test(start_paused = true)]
async fn observed_refusal_lets_the_call_run_to_its_end() {
    let (mut test, handle) = Test::with(|layer| layer);
    handle.control().observe_only(true);
    let deadline = in_time(SECOND);
    advance(SECOND).await;
    let mut call = sync_scope(deadline, || test.call());
    assert_pending!(call.poll());
    advance(60 * SECOND).await;
    assert_pending!(call.poll());
    test.inner.next_call().unwrap().answer(7);
    assert_eq!(assert_ready_ok!(call.poll()), 7);
    let expected = [observed(RejectionKind::DeadlineExceeded), SUCCESS];
    assert_eq!(test.recorder.take(), expected);
}

#[tokio::test(start_paused = true)]
async fn observed_refusal_still_waits_for_the_inner_service() {
    let ready = |test: &mut Test<Limited>| {
        task::spawn(()).enter(|cx, _| test.service.poll_ready(cx).is_ready())
    };
    let (mut test, handle) = Test::with(|layer| layer.limit(Duration::ZERO));
    handle.control().observe_only(true);
    test.inner.make_pending();
    assert!(!ready(&mut test));

    let (mut test, handle) = Test::with(|layer| layer);
    handle.control().observe_only(true);
    test.inner.make_pending();
    let deadline = in_time(SECOND);
    advance(SECOND).await;
    assert!(!sync_scope(deadline, || ready(&mut test)));
}

#[tokio::test(start_paused = true)]
async fn drain_refuses_new_calls_and_waits_for_the_running_ones() {
    let (mut test, handle) = Test::with(|layer| layer);
    let mut running = test.call();
    assert_pending!(running.poll());
    let mut drain = task::spawn(handle.drain());
    assert_pending!(drain.poll());

    test.inner.make_pending();
    let error = assert_ready_err!(test.call().poll());
    assert_eq!(kind(&error), RejectionKind::Draining);
    let refused = handle.call(|| async { Ok::<_, BoxError>(()) });
    assert_eq!(kind(&refused.await.unwrap_err()), RejectionKind::Draining);

    test.inner.next_call().unwrap().answer(7);
    assert_eq!(assert_ready_ok!(running.poll()), 7);
    assert_ready!(drain.poll());
}

#[test]
fn snapshot_tells_the_limits_and_none_for_ever() {
    let (_, handle) = Test::with(|layer| layer);
    let snapshot = handle.snapshot();
    assert_eq!(snapshot.name, "slow");
    assert_eq!(snapshot.limit, Some(30 * SECOND));
    assert_eq!((snapshot.body_limit, snapshot.idle), (None, None));
    assert_eq!((snapshot.timeouts, snapshot.in_flight), (0, 0));

    handle.set_limit(Duration::MAX);
    handle.set_body_limit(2 * SECOND);
    handle.set_idle(SECOND);
    let snapshot = handle.snapshot();
    assert_eq!(snapshot.limit, None);
    assert_eq!(snapshot.body_limit, Some(2 * SECOND));
    assert_eq!(snapshot.idle, Some(SECOND));
}

#[test]
fn configuration_that_cannot_work_names_its_option() {
    let check = |change: fn(Builder<Plain>) -> Builder<Plain>, option| {
        let error = change(TimeoutLayer::plain("x")).build().unwrap_err();
        assert_eq!(error.option(), option);
    };
    check(|layer| layer.idle(Duration::ZERO), "idle");
    check(|layer| layer.limit(SECOND).margin(SECOND), "margin");
    check(
        |layer| layer.body_limit(SECOND).margin(2 * SECOND),
        "margin",
    );
    check(
        |layer| layer.body_limit(SECOND).min_useful(2 * SECOND),
        "min_useful",
    );
    check(
        |layer| layer.ignore_deadline(true).min_useful(SECOND),
        "min_useful",
    );

    type Opening = crate::deadline::Builder<Plain, Plain>;
    let check = |change: fn(Opening) -> Opening, option| {
        let error = change(DeadlineLayer::plain("x")).build().unwrap_err();
        assert_eq!(error.option(), option);
    };
    check(|layer| layer.max(Duration::ZERO), "max");
    check(|layer| layer.default_limit(Duration::ZERO), "default_limit");
    check(|layer| layer.max(SECOND).min_useful(2 * SECOND), "max");
    check(|layer| layer.margin(SECOND), "margin");
    let deaf = DeadlineLayer::plain("x").carry(Plain::new());
    let deaf = deaf.margin(SECOND).ignore_incoming(true);
    assert_eq!(deaf.build().unwrap_err().option(), "margin");
}

/// Setters that change the type of the builder make a new one: nothing may get lost on the way.
#[test]
fn setters_that_change_the_type_keep_what_was_set() {
    type Set = fn(Builder<Plain>) -> Builder<Plain>;
    let limits: Set = |it| it.limit(9 * SECOND).body_limit(8 * SECOND).idle(SECOND);
    // Each is refused for a pair of options, both of which must still be there.
    let wrong: [Set; 3] = [
        |it| it.limit(SECOND).margin(SECOND),
        |it| it.body_limit(SECOND).min_useful(2 * SECOND),
        |it| it.ignore_deadline(true).min_useful(SECOND),
    ];
    macro_rules! check {
        ($change:expr) => {
            let snapshot = $change(limits(TimeoutLayer::plain("slow")));
            let snapshot = snapshot.build().unwrap().handle().snapshot();
            assert_eq!(snapshot.name, "slow");
            assert_eq!(snapshot.limit, Some(9 * SECOND));
            assert_eq!(snapshot.body_limit, Some(8 * SECOND));
            assert_eq!(snapshot.idle, Some(SECOND));
            for set in wrong {
                assert!($change(set(TimeoutLayer::plain("slow"))).build().is_err());
            }
        };
    }
    check!(|it: Builder<Plain>| it.traffic(Plain::new()));
    check!(|it: Builder<Plain>| it.limit_for(|_: &u32| None));
    check!(|it: Builder<Plain>| it.propagate(Plain::new()));

    macro_rules! check {
        ($change:expr) => {
            let layer = DeadlineLayer::plain("in").max(9 * SECOND);
            let layer = $change(layer.default_limit(8 * SECOND));
            let snapshot = layer.build().unwrap().handle().snapshot();
            assert_eq!(snapshot.name, "in");
            assert_eq!(snapshot.max, Some(9 * SECOND));
            assert_eq!(snapshot.default_limit, Some(8 * SECOND));
            let late = DeadlineLayer::plain("in")
                .max(SECOND)
                .min_useful(2 * SECOND);
            assert!($change(late).build().is_err());
            let deaf = DeadlineLayer::plain("in").ignore_incoming(true);
            assert!($change(deaf.margin(SECOND)).build().is_err());
        };
    }
    type Opening = crate::deadline::Builder<Plain, Plain>;
    check!(|it: Opening| it.traffic(Plain::new()));
    check!(|it: Opening| it.carry(Plain::new()));
    // A carrier that is there stays one that may say something.
    let heard = DeadlineLayer::plain("in").carry(Plain::new());
    let heard = heard.traffic(Plain::new()).margin(SECOND).build();
    assert!(heard.is_ok());
}

/// An error that cannot be turned into another.
struct Poisoned;

impl From<Poisoned> for BoxError {
    fn from(_: Poisoned) -> Self {
        std::panic::resume_unwind(Box::new("as a broken error might"))
    }
}

#[test]
fn panic_while_an_error_is_passed_on_ends_the_call() {
    let layer = TimeoutLayer::plain("slow").build().unwrap();
    let recorder = Recorder::new();
    layer.handle().subscribe(recorder.listener()).forever();
    let inner = tower::service_fn(|(): ()| std::future::ready(Err::<u32, _>(Poisoned)));
    let mut call = task::spawn(layer.layer(inner).call(()));
    let polled = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| call.poll().is_ready()));
    assert!(polled.is_err());
    // The future is still there, as it is where a layer further out catches panics.
    assert_eq!(recorder.outcomes(), [Outcome::Failure]);
    assert_eq!(layer.handle().snapshot().in_flight, 0);
}
