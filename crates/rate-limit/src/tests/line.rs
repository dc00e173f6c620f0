//! Calls that wait: in order, no longer than they may, and without a trace when they leave. Time is paused.

use std::sync::{Arc, Mutex};

use tokio::time::{Instant, sleep};
use tower::ServiceExt;

use super::*;

type Queued = RateLimitLayer<seaworthy_kit::Plain, Rules<One, Nobody>>;

fn queued(burst: u64, max_queue: usize, max_wait: Duration) -> Queued {
    RateLimitLayer::plain("api")
        .quota(tenth(burst))
        .queue(max_queue, max_wait)
        .build()
        .unwrap()
}

const LONG: Duration = Duration::from_secs(60);

#[tokio::test(start_paused = true)]
async fn calls_are_made_in_the_order_in_which_they_came_and_at_the_rate() {
    let layer = queued(2, 100, LONG);
    let made = Arc::new(Mutex::new(Vec::new()));
    let log = made.clone();
    let start = Instant::now();
    let service = layer.layer(service_fn(move |number: u32| {
        log.lock()
            .unwrap()
            .push((number, start.elapsed().as_millis()));
        ready(Ok::<_, BoxError>(()))
    }));
    let mut calls = Vec::new();
    for number in 0..10 {
        calls.push(tokio::spawn(service.clone().oneshot(number)));
        tokio::task::yield_now().await;
    }
    for call in calls {
        call.await.unwrap().expect("it may wait");
    }
    let made = made.lock().unwrap();
    let numbers: Vec<_> = made.iter().map(|(number, _)| *number).collect();
    assert_eq!(numbers, (0..10).collect::<Vec<_>>());
    for (number, at) in made.iter() {
        let expected = u128::from(number.saturating_sub(1)) * 100;
        assert!((expected..expected + 3).contains(at), "{number} at {at} ms");
    }
}

#[tokio::test(start_paused = true)]
async fn newcomer_waits_behind_those_who_wait_though_there_would_be_enough_for_it() {
    let layer = RateLimitLayer::plain("api")
        .quota(tenth(3))
        .cost(|cost: &u64| *cost)
        .queue(10, LONG)
        .build()
        .unwrap();
    let service = layer.layer(answers::<u64>());
    service.clone().oneshot(3).await.unwrap();
    let mut dear = task::spawn(service.clone().oneshot(3));
    assert!(dear.poll().is_pending());
    sleep(150 * MS).await;
    let mut cheap = task::spawn(service.clone().oneshot(1));
    assert!(cheap.poll().is_pending(), "one is there, but not its turn");
    assert_eq!(layer.handle().snapshot().waiting, 2);
    sleep(151 * MS).await;
    assert!(dear.poll().is_ready());
    assert!(cheap.poll().is_pending());
    sleep(100 * MS).await;
    assert!(cheap.poll().is_ready());
    assert_eq!(layer.handle().snapshot().waiting, 0);
}

/// Not after it has waited: resilience4j lets a call sleep that cannot be admitted in time.
#[tokio::test(start_paused = true)]
async fn call_whose_turn_would_come_too_late_is_refused_at_once_and_told_when() {
    let layer = queued(1, 100, 250 * MS);
    let mut service = layer.layer(answers::<()>());
    assert!(call(&mut service, ()).is_none());
    let mut waiting = [(); 2].map(|()| task::spawn(service.clone().oneshot(())));
    for waiting in &mut waiting {
        assert!(waiting.poll().is_pending());
    }
    let refused = call(&mut service, ()).expect("its turn is in 300 ms");
    assert_eq!(refused.kind(), RejectionKind::RateLimited);
    assert_eq!(refused.retry_after(), Some(300 * MS));
    for mut waiting in waiting {
        sleep(101 * MS).await;
        assert!(waiting.poll().is_ready());
    }
}

/// As those of a `buffer_unordered` whose consumer is busy.
#[tokio::test(start_paused = true)]
async fn waiters_that_nobody_polls_hold_up_nobody() {
    let layer = queued(1, 2, 500 * MS);
    let mut service = layer.layer(answers::<()>());
    assert!(call(&mut service, ()).is_none());
    let mut left = [(); 2].map(|()| task::spawn(service.clone().oneshot(())));
    for left in &mut left {
        assert!(left.poll().is_pending());
    }
    assert!(call(&mut service, ()).is_some(), "the line is full");
    // Both have waited in vain by then, and there is one to be had again.
    sleep(600 * MS).await;
    assert!(call(&mut service, ()).is_none());
    for mut left in left {
        assert!(left.poll().is_ready());
    }
}

#[tokio::test(start_paused = true)]
async fn full_line_refuses_at_once() {
    let layer = queued(1, 1, LONG);
    let mut service = layer.layer(answers::<()>());
    assert!(call(&mut service, ()).is_none());
    let mut waiting = task::spawn(service.clone().oneshot(()));
    assert!(waiting.poll().is_pending());
    let refused = call(&mut service, ()).expect("the line is full");
    assert_eq!(refused.kind(), RejectionKind::RateLimited);
    assert_eq!(refused.retry_after(), Some(200 * MS));
    assert_eq!(layer.handle().snapshot().waiting, 1);
    for nobody_waits in [queued(1, 0, LONG), queued(1, 10, Duration::ZERO)] {
        let mut service = nobody_waits.layer(answers::<()>());
        assert!(call(&mut service, ()).is_none());
        assert!(call(&mut service, ()).is_some());
    }
}

#[tokio::test(start_paused = true)]
async fn deadline_bounds_the_wait() {
    let layer = queued(1, 10, LONG);
    let mut service = layer.layer(answers::<()>());
    assert!(call(&mut service, ()).is_none());
    let within = |time| seaworthy_core::Deadline::after(seaworthy_kit::clock::now(), time);
    let before = Instant::now();
    let result = deadline::scope(within(50 * MS), service.clone().oneshot(())).await;
    let error = result.expect_err("its turn is in 100 ms");
    let kind = Rejection::find(&*error).unwrap().kind();
    assert_eq!(kind, RejectionKind::RateLimited);
    assert_eq!(before.elapsed(), Duration::ZERO, "at once");
    let result = deadline::scope(within(150 * MS), service.clone().oneshot(())).await;
    assert!(result.is_ok());
    // And where its turn moved away while it waited.
    let waiting = tokio::spawn(deadline::scope(
        within(150 * MS),
        service.clone().oneshot(()),
    ));
    tokio::task::yield_now().await;
    layer.handle().set_quota(Quota::per_hour(1)).unwrap();
    let error = waiting.await.unwrap().expect_err("an hour is too long");
    let kind = Rejection::find(&*error).unwrap().kind();
    assert_eq!(kind, RejectionKind::DeadlineExceeded);
    assert_eq!(layer.handle().snapshot().waiting, 0);
}

#[tokio::test(start_paused = true)]
async fn place_and_share_of_one_who_leaves_go_to_the_next() {
    let layer = queued(1, 10, LONG);
    let mut service = layer.layer(answers::<()>());
    assert!(call(&mut service, ()).is_none());
    let mut calls = [(); 3].map(|()| Box::pin(task::spawn(service.clone().oneshot(()))));
    for call in &mut calls {
        assert!(call.poll().is_pending());
    }
    let [first, mut second, mut third] = calls;
    drop(first);
    assert!(second.is_woken(), "its turn is sooner now");
    assert!(second.poll().is_pending());
    sleep(101 * MS).await;
    assert!(second.is_woken());
    // Granted to it by a poll of the third, and not taken.
    assert!(third.poll().is_pending());
    drop(second);
    assert!(third.is_woken());
    assert!(third.poll().is_ready(), "no share was lost");
}

/// A waiter that nobody polls gets its share all the same, and keeps nobody from theirs.
#[tokio::test(start_paused = true)]
async fn waiter_that_is_not_polled_holds_up_nobody() {
    let layer = queued(2, 10, LONG);
    let mut service = layer.layer(answers::<()>());
    for _ in 0..2 {
        assert!(call(&mut service, ()).is_none());
    }
    let mut stalled = task::spawn(service.clone().oneshot(()));
    assert!(stalled.poll().is_pending());
    let before = Instant::now();
    service.clone().oneshot(()).await.unwrap();
    let waited = before.elapsed();
    assert!((200 * MS..203 * MS).contains(&waited), "{waited:?}");
    assert!(stalled.poll().is_ready());
}

#[tokio::test(start_paused = true)]
async fn what_a_call_gives_back_is_given_to_those_who_wait() {
    let layer = queued(1, 10, LONG);
    let mut service = layer.layer(answers::<()>());
    let unpolled = service.call(());
    let mut waiting = task::spawn(service.clone().oneshot(()));
    assert!(waiting.poll().is_pending());
    drop(unpolled);
    assert!(waiting.is_woken());
    assert!(waiting.poll().is_ready());
}

#[tokio::test(start_paused = true)]
async fn raised_quota_lets_those_who_wait_go_sooner() {
    let layer = RateLimitLayer::plain("api")
        .quota(Quota::per_hour(1))
        .queue(10, Duration::MAX)
        .build()
        .unwrap();
    let mut service = layer.layer(answers::<()>());
    assert!(call(&mut service, ()).is_none());
    let waiting = tokio::spawn(service.clone().oneshot(()));
    tokio::task::yield_now().await;
    layer.handle().set_quota(tenth(1)).unwrap();
    let before = Instant::now();
    waiting.await.unwrap().unwrap();
    assert!(before.elapsed() < 102 * MS);
}

#[tokio::test(start_paused = true)]
async fn cost_that_a_lowered_burst_never_has_waits_no_longer() {
    let layer = RateLimitLayer::plain("api")
        .quota(tenth(5))
        .cost(|cost: &u64| *cost)
        .queue(10, Duration::MAX)
        .build()
        .unwrap();
    let service = layer.layer(answers::<u64>());
    service.clone().oneshot(5).await.unwrap();
    let waiting = tokio::spawn(service.clone().oneshot(5));
    tokio::task::yield_now().await;
    layer.handle().set_quota(tenth(4)).unwrap();
    let error = waiting.await.unwrap().expect_err("never");
    let kind = Rejection::find(&*error).unwrap().kind();
    assert_eq!(kind, RejectionKind::CostTooHigh);
}

#[tokio::test(start_paused = true)]
async fn drain_lets_those_who_wait_have_their_turn() {
    let layer = queued(1, 10, LONG);
    let mut service = layer.layer(answers::<()>());
    assert!(call(&mut service, ()).is_none());
    let waiting = tokio::spawn(service.clone().oneshot(()));
    tokio::task::yield_now().await;
    let mut drain = task::spawn(layer.handle().drain());
    assert!(drain.poll().is_pending());
    assert_eq!(kind(call(&mut service, ())), Some(RejectionKind::Draining));
    waiting.await.unwrap().unwrap();
    assert!(drain.is_woken());
    assert!(drain.poll().is_ready());
}

#[tokio::test(start_paused = true)]
async fn wait_is_told() {
    let layer = queued(1, 10, LONG);
    let recorder = Recorder::new();
    layer.handle().subscribe(recorder.listener()).forever();
    let mut service = layer.layer(answers::<()>());
    assert!(call(&mut service, ()).is_none());
    let mut left = task::spawn(service.clone().oneshot(()));
    assert!(left.poll().is_pending());
    drop(left);
    service.clone().oneshot(()).await.unwrap();
    let waits: Vec<_> = recorder
        .take()
        .into_iter()
        .filter_map(|event| match event {
            Event::Queued { waiting } => Some((waiting, None)),
            Event::Dequeued { waited, admitted } => {
                Some((waited.as_millis() as usize, Some(admitted)))
            }
            _ => None,
        })
        .collect();
    assert_eq!(waits[..3], [(1, None), (0, Some(false)), (1, None)]);
    assert!(waits[3].1 == Some(true) && (100..103).contains(&waits[3].0));
}
