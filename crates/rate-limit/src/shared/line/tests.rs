//! Calls that wait, with the server away all the time and time paused: in order, no longer than they may, and without a trace when they leave.

use std::future::{Ready, ready};

use seaworthy_core::gcra::Quota;
use seaworthy_kit::testing::{Inner, Recorder};
use seaworthy_kit::{BoxError, Event, Gate, Plain, Rejection, RejectionKind, Share, deadline};
use tokio::time::{Instant, advance, sleep};
use tokio_test::task;
use tower::{Layer, Service, ServiceExt, service_fn};

use super::*;
use crate::rules::{Nobody, One, Rules};
use crate::shared::tests::alone;
use crate::shared::{SharedGate, SharedRateLimitLayer};
use crate::{RateLimitLayer, Says};

mod leaving;
mod steps;

type Queued<C = One> = SharedRateLimitLayer<Plain, Share<SharedGate>, Rules<C, Nobody>>;

const MS: Duration = Duration::from_millis(1);
const LONG: Duration = Duration::from_secs(60);
const HUNDRED_DAYS: Duration = Duration::from_secs(100 * 24 * 3600);

/// Ten a second, and so many at once.
const fn tenth(burst: u64) -> Quota {
    Quota::per_second(10).with_burst(burst)
}

fn over(limit: SharedLimit, max_queue: usize, max_wait: Duration) -> Queued {
    let layer = RateLimitLayer::plain("api").queue(max_queue, max_wait);
    layer.shared(limit).build().unwrap()
}

fn queued(burst: u64, max_queue: usize, max_wait: Duration) -> Queued {
    over(alone(tenth(burst)), max_queue, max_wait)
}

/// Its requests say what they cost.
fn priced(burst: u64) -> Queued<Says<fn(&u64) -> u64>> {
    let cost: fn(&u64) -> u64 = |cost| *cost;
    let layer = RateLimitLayer::plain("api").cost(cost).queue(10, LONG);
    layer.shared(alone(tenth(burst))).build().unwrap()
}

fn answers<Req>()
-> impl Service<Req, Response = (), Error = BoxError, Future = Ready<Result<(), BoxError>>> + Clone
{
    service_fn(|_: Req| ready(Ok(())))
}

fn kind(result: Result<(), BoxError>) -> Option<RejectionKind> {
    let error = result.err()?;
    Some(Rejection::find(&*error).unwrap().kind())
}

/// Polls it, and lets whoever asks for it go as far as it can.
async fn stands<F: Future>(call: &mut task::Spawn<F>) {
    assert!(call.poll().is_pending());
    for _ in 0..5 {
        tokio::task::yield_now().await;
    }
}

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
        assert!(
            (expected..expected + 12).contains(at),
            "{number} at {at} ms"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn newcomer_waits_behind_those_who_wait_though_there_would_be_enough_for_it() {
    let layer = priced(3);
    let service = layer.layer(answers::<u64>());
    service.clone().oneshot(3).await.unwrap();
    let mut dear = task::spawn(service.clone().oneshot(3));
    stands(&mut dear).await;
    sleep(150 * MS).await;
    let mut cheap = task::spawn(service.clone().oneshot(1));
    stands(&mut cheap).await;
    assert_eq!(layer.handle().waiting(), 2);
    let free = service.clone().oneshot(0).await;
    assert_eq!(kind(free), None, "it needs nothing");
    let never = service.clone().oneshot(4).await;
    assert_eq!(kind(never), Some(RejectionKind::CostTooHigh));
    let direct = layer.source.try_admit();
    assert!(direct.is_err(), "nor does it overtake without a service");
    sleep(152 * MS).await;
    assert!(dear.poll().is_ready());
    assert!(cheap.poll().is_pending());
    sleep(100 * MS).await;
    assert!(cheap.poll().is_ready());
    assert_eq!(layer.handle().waiting(), 0);
}

#[tokio::test(start_paused = true)]
async fn what_is_refused_for_longer_than_it_may_wait_does_not() {
    let service = queued(1, 10, 99 * MS).layer(answers::<()>());
    service.clone().oneshot(()).await.unwrap();
    let refused = task::spawn(service.clone().oneshot(())).poll();
    assert!(matches!(refused, Poll::Ready(Err(_))));
}

#[tokio::test(start_paused = true)]
async fn full_line_refuses_at_once_and_says_when_the_first_goes_on() {
    let layer = queued(1, 1, LONG);
    let service = layer.layer(answers::<()>());
    service.clone().oneshot(()).await.unwrap();
    let mut waiting = task::spawn(service.clone().oneshot(()));
    stands(&mut waiting).await;
    let Poll::Ready(Err(refused)) = task::spawn(service.clone().oneshot(())).poll() else {
        panic!("the line is full");
    };
    let refused = Rejection::find(&*refused).unwrap();
    assert_eq!(refused.kind(), RejectionKind::RateLimited);
    assert_eq!(refused.retry_after(), Some(100 * MS));
    for nobody_waits in [queued(1, 0, LONG), queued(1, 10, Duration::ZERO)] {
        let service = nobody_waits.layer(answers::<()>());
        service.clone().oneshot(()).await.unwrap();
        assert!(task::spawn(service.oneshot(())).poll().is_ready());
    }
}

#[tokio::test(start_paused = true)]
async fn deadline_bounds_the_wait() {
    let layer = priced(2);
    let service = layer.layer(answers::<u64>());
    service.clone().oneshot(2).await.unwrap();
    let within = |time| seaworthy_core::Deadline::after(seaworthy_kit::clock::now(), time);
    let start = Instant::now();
    let call = |time, cost| deadline::scope(within(time), service.clone().oneshot(cost));
    // It is known that the first cannot.
    assert_eq!(
        kind(call(50 * MS, 1).await),
        Some(RejectionKind::RateLimited)
    );
    assert!(start.elapsed() < 2 * MS, "at once");
    // Nor can one behind it, if that is too late for itself.
    let first = tokio::spawn(call(LONG, 1));
    sleep(MS).await;
    let second = call(50 * MS, 1).await;
    assert_eq!(kind(second), Some(RejectionKind::RateLimited));
    assert!(start.elapsed() < 5 * MS, "at once");
    // Of one that is third nobody knows until the second is first.
    let second = tokio::spawn(call(LONG, 1));
    sleep(MS).await;
    let third = call(148 * MS, 1).await;
    assert_eq!(kind(third), Some(RejectionKind::DeadlineExceeded));
    assert!(start.elapsed() >= 148 * MS);
    assert_eq!(layer.handle().waiting(), 1);
    first.await.unwrap().unwrap();
    second.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn longest_wait_bounds_it_and_says_when_to_come_back() {
    let layer = queued(1, 10, 150 * MS);
    let service = layer.layer(answers::<()>());
    service.clone().oneshot(()).await.unwrap();
    let first = tokio::spawn(service.clone().oneshot(()));
    tokio::task::yield_now().await;
    let start = Instant::now();
    let error = service.clone().oneshot(()).await.unwrap_err();
    let waited = start.elapsed();
    assert!((100 * MS..=152 * MS).contains(&waited), "{waited:?}");
    let refused = Rejection::find(&*error).unwrap();
    assert_eq!(refused.kind(), RejectionKind::RateLimited);
    assert!(refused.retry_after().is_some());
    first.await.unwrap().unwrap();
}

/// As those of a `buffer_unordered` whose consumer is busy.
#[tokio::test(start_paused = true)]
async fn waiters_that_nobody_polls_hold_up_nobody() {
    let layer = queued(2, 2, 500 * MS);
    let service = layer.layer(answers::<()>());
    for _ in 0..2 {
        service.clone().oneshot(()).await.unwrap();
    }
    let mut stalled = task::spawn(service.clone().oneshot(()));
    stands(&mut stalled).await;
    let start = Instant::now();
    service.clone().oneshot(()).await.unwrap();
    let waited = start.elapsed();
    assert!((200 * MS..206 * MS).contains(&waited), "{waited:?}");
    assert!(stalled.poll().is_ready(), "it has its share all the same");
}

#[tokio::test(start_paused = true)]
async fn observed_only_nobody_waits_and_nobody_is_refused() {
    let layer = queued(1, 10, LONG);
    let service = layer.layer(answers::<()>());
    layer.handle().control().observe_only(true);
    for _ in 0..3 {
        let answer = task::spawn(service.clone().oneshot(())).poll();
        assert!(matches!(answer, Poll::Ready(Ok(()))));
    }
}

#[tokio::test(start_paused = true)]
async fn wait_is_told() {
    let layer = queued(1, 10, LONG);
    let recorder = Recorder::new();
    layer.handle().subscribe(recorder.listener()).forever();
    let service = layer.layer(answers::<()>());
    service.clone().oneshot(()).await.unwrap();
    let mut left = task::spawn(service.clone().oneshot(()));
    stands(&mut left).await;
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
    assert!(waits[3].1 == Some(true) && (100..104).contains(&waits[3].0));
}

/// One who waits for a share that another process, or another line, has taken in the meantime.
#[tokio::test(start_paused = true)]
async fn first_one_whose_turn_moves_away_waits_no_longer_in_vain() {
    let limit = alone(tenth(1));
    let lines = [150 * MS, LONG].map(|wait| over(limit.clone(), 10, wait));
    let services = lines.each_ref().map(|layer| layer.layer(answers::<()>()));
    services[0].clone().oneshot(()).await.unwrap();
    let start = Instant::now();
    let mut other = task::spawn(services[1].clone().oneshot(()));
    stands(&mut other).await;
    let mut late = task::spawn(services[0].clone().oneshot(()));
    stands(&mut late).await;
    while !late.is_woken() {
        sleep(MS).await;
    }
    let waited = start.elapsed();
    assert!((100 * MS..110 * MS).contains(&waited), "{waited:?}");
    let Poll::Ready(Err(error)) = late.poll() else {
        panic!("it has one, and so has the other");
    };
    let wait = Rejection::find(&*error).unwrap().retry_after().unwrap();
    assert!((90 * MS..=100 * MS).contains(&wait), "{wait:?}");
    assert!(other.poll().is_ready());
}
