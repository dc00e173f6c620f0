//! Attempt timeout, total timeout, and the deadline that travels.

use seaworthy_kit::deadline::{self, Deadline};
use seaworthy_kit::testing::ManualClock;
use seaworthy_kit::{Event, Rejection, RejectionKind, clock};
use tokio::time::{Instant, sleep};
use tower::{Layer, ServiceExt};

use super::*;

fn slow(by: Duration) -> Upstream<u32, u32> {
    Upstream::new(move |_, request| async move {
        sleep(by).await;
        Ok(request)
    })
}

fn in_time(left: Duration) -> Deadline {
    Deadline::after(clock::now(), left)
}

#[tokio::test(start_paused = true)]
async fn attempt_that_takes_too_long_is_cut_and_made_again() {
    let upstream = Upstream::new(|number, request: u32| async move {
        if number == 1 {
            sleep(3600 * SECOND).await;
        }
        Ok(request)
    });
    let layer = plain().attempt_timeout(2 * SECOND).build().unwrap();
    let recorder = record(&layer.handle());
    let before = Instant::now();
    assert_eq!(layer.layer(upstream.view()).oneshot(7).await.unwrap(), 7);
    assert_eq!(before.elapsed(), 2 * SECOND + 100 * MILLI);
    assert!(
        recorder
            .events()
            .contains(&Event::TimedOut { limit: "attempt" })
    );
}

#[tokio::test(start_paused = true)]
async fn every_attempt_has_the_whole_limit() {
    let layer = plain().attempt_timeout(2 * SECOND).build().unwrap();
    let before = Instant::now();
    let error = layer.layer(slow(3600 * SECOND)).oneshot(7).await;
    let error = error.unwrap_err();
    assert_eq!(before.elapsed(), 6 * SECOND + 300 * MILLI);
    assert_eq!(exhausted(&error), (3, Reason::Attempts));
    let rejection = Rejection::find(&*error).expect("in the chain");
    assert_eq!(rejection.kind(), RejectionKind::TimedOut);
    assert_eq!(rejection.layer(), "gateway");
}

#[tokio::test(start_paused = true)]
async fn answer_in_the_instant_of_the_limit_wins() {
    let layer = plain().attempt_timeout(2 * SECOND).build().unwrap();
    let answer = layer.layer(slow(2 * SECOND)).oneshot(7).await;
    assert_eq!(answer.unwrap(), 7);
}

#[tokio::test(start_paused = true)]
async fn total_timeout_cuts_the_attempt_under_way() {
    let layer = plain()
        .attempt_timeout(2 * SECOND)
        .total_timeout(3 * SECOND)
        .build()
        .unwrap();
    let recorder = record(&layer.handle());
    let before = Instant::now();
    let error = layer.layer(slow(3600 * SECOND)).oneshot(7).await;
    assert_eq!(before.elapsed(), 3 * SECOND);
    assert_eq!(exhausted(&error.unwrap_err()), (2, Reason::TotalTime));
    let total = Event::TimedOut { limit: "total" };
    assert_eq!(recorder.count(|event| *event == total), 1);
}

#[tokio::test(start_paused = true)]
async fn total_timeout_gives_up_instead_of_a_wait_that_is_too_long() {
    let layer = plain().total_timeout(250 * MILLI).build().unwrap();
    let before = Instant::now();
    let error = layer.layer(failing()).oneshot(7).await.unwrap_err();
    assert_eq!(
        before.elapsed(),
        100 * MILLI,
        "the second wait is not begun"
    );
    assert_eq!(exhausted(&error), (2, Reason::TotalTime));
    assert_eq!(fault(error.source().unwrap()), Some(2));
}

#[tokio::test(start_paused = true)]
async fn deadline_that_is_too_close_ends_the_call_at_once_with_its_failure() {
    let layer = plain().build().unwrap();
    let before = Instant::now();
    let call = layer.layer(failing()).oneshot(7);
    let error = deadline::scope(in_time(50 * MILLI), call).await;
    assert_eq!(before.elapsed(), Duration::ZERO);
    let error = error.unwrap_err();
    assert_eq!(fault(&*error), Some(1), "failed as without this layer");

    let call = layer.layer(failing()).oneshot(7);
    let error = deadline::scope(in_time(250 * MILLI), call).await;
    assert_eq!(before.elapsed(), 100 * MILLI);
    assert_eq!(exhausted(&error.unwrap_err()), (2, Reason::Deadline));
}

/// The deadline is of tokio's time, whichever clock the layer has.
#[tokio::test(start_paused = true)]
async fn deadline_counts_by_its_own_clock() {
    let clock = ManualClock::new();
    let layer = plain().clock(clock.clock()).build().unwrap();
    let upstream = failing();
    let call = layer.layer(upstream.view()).oneshot(7);
    let error = deadline::scope(in_time(50 * MILLI), call).await;
    assert_eq!(fault(&*error.unwrap_err()), Some(1));

    let layer = plain().clock(clock.clock()).wait_for_ready(true);
    let mut service = layer.build().unwrap().layer(upstream.view());
    let call = service.ready().await.unwrap().call(7);
    upstream.set_pending(true);
    let before = Instant::now();
    let error = deadline::scope(in_time(3 * SECOND), call).await;
    assert_eq!(exhausted(&error.unwrap_err()), (1, Reason::NotReady));
    assert_eq!(before.elapsed(), 3 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn attempt_needs_the_time_that_it_is_said_to_need() {
    let layer = plain().min_attempt_time(SECOND).build().unwrap();
    let upstream = failing();
    let call = layer.layer(upstream.view()).oneshot(7);
    let limit = in_time(SECOND + 50 * MILLI);
    deadline::scope(limit, call).await.unwrap_err();
    assert_eq!(upstream.calls(), 1);
    let call = layer.layer(upstream.view()).oneshot(7);
    let limit = in_time(SECOND + 150 * MILLI);
    deadline::scope(limit, call).await.unwrap_err();
    assert_eq!(upstream.calls(), 3);
}

#[tokio::test(start_paused = true)]
async fn longest_limit_is_none() {
    let layer = plain()
        .attempt_timeout(Duration::MAX)
        .total_timeout(Duration::MAX)
        .build()
        .unwrap();
    let answer = layer.layer(slow(3600 * SECOND)).oneshot(7).await;
    assert_eq!(answer.unwrap(), 7);
}

/// There is no runtime that a timer could be of.
#[test]
fn longest_limit_needs_no_timer() {
    let layer = plain().attempt_timeout(Duration::MAX).build().unwrap();
    let hangs = Upstream::<u32, u32>::new(|_, _| std::future::pending());
    let mut call = tokio_test::task::spawn(layer.layer(hangs).oneshot(7));
    tokio_test::assert_pending!(call.poll());
}

#[tokio::test(start_paused = true)]
async fn wait_is_never_longer_than_the_longest() {
    let layer = plain().max_delay(30 * MILLI).build().unwrap();
    let before = Instant::now();
    layer.layer(failing()).oneshot(7).await.unwrap_err();
    assert_eq!(before.elapsed(), 60 * MILLI);
}

#[tokio::test(start_paused = true)]
async fn wait_of_nothing_is_not_a_wait() {
    let layer = plain()
        .backoff(Backoff::constant(Duration::ZERO))
        .build()
        .unwrap();
    let mut call = tokio_test::task::spawn(layer.layer(recovering(2)).oneshot(7));
    assert_eq!(tokio_test::assert_ready!(call.poll()).unwrap(), 7);
}
