//! Which attempt is sent when, which wins, and what is left of the others.

use seaworthy_kit::{Outcome, Rejection, RejectionKind, Tag, Tagged};
use tokio_test::{assert_pending, assert_ready};

use super::*;

#[tokio::test(start_paused = true)]
async fn answer_before_the_delay_is_the_only_attempt() {
    let mut rig = Rig::new(plain());
    let (mut call, first) = rig.waiting();
    tokio::time::advance(DELAY - MILLI).await;
    assert!(!call.is_woken());
    first.answer(1);
    assert_eq!(assert_ready!(call.poll()).unwrap(), 1);
    assert_eq!(rig.remote.counts().calls, 1);
    assert_eq!(rig.hedges(), 0);
}

#[tokio::test(start_paused = true)]
async fn slow_call_gets_a_hedge_and_the_first_success_wins() {
    for winner in [1, 2] {
        let mut rig = Rig::new(plain());
        let (mut call, mut first, mut second) = rig.hedged().await;
        assert_eq!((first.request(), second.request()), (Some(7), Some(7)));
        if winner == 1 {
            first.answer(1);
        } else {
            second.answer(2);
        }
        assert_eq!(assert_ready!(call.poll()).unwrap(), winner);
        let snapshot = rig.handle.snapshot();
        assert_eq!((snapshot.calls, snapshot.hedges), (1, 1));
        assert_eq!(snapshot.won, u64::from(winner == 2));
        assert_eq!(rig.recorder.outcomes(), [Outcome::Success]);
        let hedged = Event::Hedged {
            attempt: 2,
            early: false,
        };
        assert_eq!(rig.recorder.count(|event| *event == hedged), 1);
        let won = Event::HedgeWon { attempt: 2 };
        let times = rig.recorder.count(|event| *event == won);
        assert_eq!(times, usize::from(winner == 2));
    }
}

#[tokio::test(start_paused = true)]
async fn loser_is_dropped_before_the_winner_is_returned() {
    for winner in [1, 2] {
        let mut rig = Rig::new(plain());
        let (mut call, first, second) = rig.hedged().await;
        let (winning, losing) = if winner == 1 {
            (first, second)
        } else {
            (second, first)
        };
        winning.answer(winner);
        assert_eq!(assert_ready!(call.poll()).unwrap(), winner);
        // The call's future is still there.
        assert!(losing.is_dropped());
        assert_eq!(rig.remote.counts().instances, 1, "and so is the clone");
    }
}

#[tokio::test(start_paused = true)]
async fn hedge_that_fails_does_not_beat_a_first_attempt_that_succeeds() {
    let mut rig = Rig::new(plain());
    let (mut call, first, second) = rig.hedged().await;
    second.fail(Fault(2));
    assert_pending!(call.poll());
    first.answer(1);
    assert_eq!(assert_ready!(call.poll()).unwrap(), 1);
    assert_eq!(rig.recorder.outcomes(), [Outcome::Success]);
}

#[tokio::test(start_paused = true)]
async fn first_attempt_that_fails_early_is_tried_again_at_once() {
    let mut rig = Rig::new(plain());
    let (mut call, first) = rig.waiting();
    first.fail(Fault(1));
    assert_pending!(call.poll());
    let second = rig.remote.next_call().expect("at once");
    assert_eq!(rig.remote.running(), 1);
    let hedged = Event::Hedged {
        attempt: 2,
        early: true,
    };
    assert_eq!(rig.recorder.count(|event| *event == hedged), 1);
    second.answer(2);
    assert_eq!(assert_ready!(call.poll()).unwrap(), 2);
}

#[tokio::test(start_paused = true)]
async fn failure_in_the_first_poll_is_tried_again_at_once() {
    let mut rig = Rig::new(plain());
    let mut call = rig.call();
    rig.remote.next_call().unwrap().fail(Fault(1));
    assert_pending!(call.poll());
    rig.remote.next_call().expect("at once").answer(2);
    assert_eq!(assert_ready!(call.poll()).unwrap(), 2);
}

#[tokio::test(start_paused = true)]
async fn where_all_fail_the_first_failure_is_returned() {
    let mut rig = Rig::new(plain());
    let (mut call, first, second) = rig.hedged().await;
    second.fail(Fault(2));
    assert_pending!(call.poll());
    first.fail(Fault(1));
    let error = assert_ready!(call.poll()).unwrap_err();
    assert_eq!(fault(&error), Some(2), "it came first");
    assert_eq!(rig.recorder.outcomes(), [Outcome::Failure]);
}

#[tokio::test(start_paused = true)]
async fn failure_that_says_more_is_returned_though_it_comes_later() {
    let refusal = || Rejection::new(RejectionKind::CircuitOpen, "stock".into());
    let mut rig = Rig::new(plain());
    let (mut call, first, second) = rig.hedged().await;
    second.fail(refusal());
    assert_pending!(call.poll());
    first.fail(Fault(1));
    let error = assert_ready!(call.poll()).unwrap_err();
    assert_eq!(
        fault(&error),
        Some(1),
        "the refusal says that nothing was sent"
    );

    let (mut call, first, second) = rig.hedged().await;
    first.fail(Fault(1));
    assert_pending!(call.poll());
    second.fail(Tagged::new(Tag::DoNotRetry, Fault(2)));
    let error = assert_ready!(call.poll()).unwrap_err();
    assert_eq!(Tag::find(&*error), Some(Tag::DoNotRetry));
}

#[tokio::test(start_paused = true)]
async fn local_refusal_brings_no_hedge() {
    let mut rig = Rig::new(plain());
    let (mut call, first) = rig.waiting();
    first.fail(Rejection::new(RejectionKind::BulkheadFull, "pool".into()));
    let error = assert_ready!(call.poll()).unwrap_err();
    assert!(Rejection::find(&*error).is_some());
    assert_eq!(rig.remote.counts().calls, 1);
    assert_eq!(rig.recorder.outcomes(), [Outcome::Ignored]);
}

#[tokio::test(start_paused = true)]
async fn refused_hedge_ends_further_ones_and_leaves_the_first_alone() {
    let mut rig = Rig::new(plain().max_hedges(3));
    let (mut call, first, second) = rig.hedged().await;
    second.fail(Rejection::new(RejectionKind::BulkheadFull, "pool".into()));
    assert_pending!(call.poll());
    tokio::time::advance(10 * DELAY).await;
    assert_pending!(call.poll());
    first.answer(1);
    assert_eq!(assert_ready!(call.poll()).unwrap(), 1);
    assert_eq!(rig.remote.counts().calls, 2);
}

#[tokio::test(start_paused = true)]
async fn further_hedges_come_a_delay_after_each_other() {
    let mut rig = Rig::new(plain().max_hedges(2));
    let (mut call, _first, second) = rig.hedged().await;
    tokio::time::advance(DELAY - MILLI).await;
    assert_pending!(call.poll());
    assert_eq!(rig.remote.counts().calls, 2);
    tokio::time::advance(MILLI).await;
    assert_pending!(call.poll());
    let third = rig.remote.next_call().expect("another delay is over");
    tokio::time::advance(10 * DELAY).await;
    assert_pending!(call.poll());
    assert_eq!(rig.remote.counts().calls, 3);
    third.answer(3);
    assert_eq!(assert_ready!(call.poll()).unwrap(), 3);
    assert!(second.is_dropped());
}

#[tokio::test(start_paused = true)]
async fn hedges_after_failures_only_leave_slow_calls_alone() {
    let mut rig = Rig::new(plain().delay(None));
    let (mut call, first) = rig.waiting();
    tokio::time::advance(3600 * SECOND).await;
    assert_pending!(call.poll());
    assert_eq!(rig.remote.counts().calls, 1);
    first.fail(Fault(1));
    assert_pending!(call.poll());
    rig.remote.next_call().expect("at once").answer(2);
    assert_eq!(assert_ready!(call.poll()).unwrap(), 2);
}

#[tokio::test(start_paused = true)]
async fn delay_of_zero_sends_both_at_once() {
    let mut rig = Rig::new(plain().delay(Duration::ZERO));
    let (mut call, _first) = rig.waiting();
    rig.remote.next_call().expect("in the same poll").answer(2);
    assert_eq!(assert_ready!(call.poll()).unwrap(), 2);
}

#[tokio::test(start_paused = true)]
async fn user_says_which_requests_and_results_are_worth_it() {
    let layer = plain()
        .hedge_if(|request: &u32| *request != 7)
        .build()
        .unwrap();
    let (inner, remote) = Inner::<u32, u32>::new();
    let mut service = layer.layer(inner);
    let ready = task::spawn(()).enter(|cx, _| service.poll_ready(cx).is_ready());
    assert!(ready);
    let mut call = task::spawn(service.call(7));
    assert_pending!(call.poll());
    tokio::time::advance(10 * DELAY).await;
    assert_pending!(call.poll());
    assert_eq!(remote.counts().calls, 1);
    assert_eq!(layer.handle().snapshot().calls, 0, "it could not be hedged");

    let mut rig = Rig::new(plain().hedge_error(|error| fault(error) == Some(9)));
    let (mut call, first) = rig.waiting();
    first.fail(Fault(1));
    assert_eq!(fault(&assert_ready!(call.poll()).unwrap_err()), Some(1));

    let layer = plain().hedge_response(|response: &u32| *response == 0);
    let layer = layer.build().unwrap();
    let (inner, remote) = Inner::<u32, u32>::new();
    let mut service = layer.layer(inner);
    let ready = task::spawn(()).enter(|cx, _| service.poll_ready(cx).is_ready());
    assert!(ready);
    let mut call = task::spawn(service.call(7));
    remote.next_call().unwrap().answer(0);
    assert_pending!(call.poll());
    remote.next_call().expect("a zero is a failure").answer(5);
    assert_eq!(assert_ready!(call.poll()).unwrap(), 5);
}
