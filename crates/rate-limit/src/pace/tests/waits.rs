//! Calls that wait for their turn, and those that do not.

use super::*;

fn pace(max_waiting: usize, max_wait: Duration) -> PaceHandle {
    let layer = PaceLayer::plain("gateway").wait(max_waiting, max_wait);
    layer.jitter(0.0).build().unwrap().handle()
}

#[tokio::test(start_paused = true)]
async fn calls_that_wait_for_the_end_of_a_stop_do_not_leave_in_one_instant() {
    let layer = PaceLayer::plain("gateway").wait(100, HOUR);
    let handle = layer.build().unwrap().handle();
    handle.stop(secs(10));
    let mut calls: Vec<_> = (0..100).map(|_| waiting(&handle)).collect();
    let mut left = Vec::new();
    for _ in 0..110 {
        tokio::time::advance(Duration::from_millis(100)).await;
        let before = calls.len();
        // Also one that is polled too early, as in a `select`, waits on.
        calls.retain_mut(|call| call.poll().is_pending());
        left.push(before - calls.len());
    }
    assert_eq!(
        left[..99].iter().sum::<usize>(),
        0,
        "none before the moment"
    );
    assert_eq!(
        left[99..].iter().sum::<usize>(),
        100,
        "a tenth later all have left"
    );
    assert!(left.iter().all(|&at_once| at_once < 50), "{left:?}");
}

#[tokio::test(start_paused = true)]
async fn call_goes_late_but_not_later_than_it_may_and_at_once_where_all_is_forgotten() {
    let layer = || PaceLayer::plain("gateway").jitter(1.0);
    let handle = layer().wait(9, secs(10)).build().unwrap().handle();
    handle.stop(secs(10));
    let mut call = waiting(&handle);
    tokio::time::advance(secs(10) + Duration::from_millis(1)).await;
    assert_ready!(call.poll()).unwrap();
    let handle = layer().wait(9, HOUR).build().unwrap().handle();
    handle.stop(secs(10));
    let mut call = waiting(&handle);
    handle.forget();
    assert!(call.is_woken());
    assert_ready!(call.poll()).unwrap();
    assert_eq!(layer().jitter(1.1).build().unwrap_err().option(), "jitter");
}

/// A waker that panics.
struct Panicking;

impl std::task::Wake for Panicking {
    fn wake(self: std::sync::Arc<Self>) {
        std::panic::resume_unwind(Box::new("as a broken executor might"));
    }
}

#[tokio::test(start_paused = true)]
async fn waker_that_panics_takes_no_turn_from_the_others() {
    let handle = pace(9, HOUR);
    handle.stop(secs(10));
    let mut broken = Box::pin(handle.call(|| std::future::ready(Ok::<_, BoxError>(()))));
    let waker = std::task::Waker::from(std::sync::Arc::new(Panicking));
    let mut context = std::task::Context::from_waker(&waker);
    assert_pending!(broken.as_mut().poll(&mut context));
    let mut behind = waiting(&handle);
    handle.forget();
    assert!(behind.is_woken());
    assert_ready!(behind.poll()).unwrap();
}

/// A call that waits.
fn waiting(handle: &PaceHandle) -> Call {
    let mut call = call(handle);
    assert_pending!(call.poll());
    call
}

#[tokio::test(start_paused = true)]
async fn calls_wait_until_the_told_moment() {
    let handle = pace(2, secs(20));
    let recorder = Recorder::new();
    handle.subscribe(recorder.listener()).forever();
    handle.stop(secs(10));
    let mut calls = [waiting(&handle), waiting(&handle)];
    tokio::time::advance(secs(10) - Duration::from_millis(1)).await;
    assert!(!calls[0].is_woken());
    tokio::time::advance(Duration::from_millis(2)).await;
    for call in &mut calls {
        assert!(call.is_woken());
        assert_ready!(call.poll()).unwrap();
    }
    assert_eq!(handle.snapshot().waiting, 0);
    let events = recorder.events();
    assert_eq!(events[..2], [1, 2].map(|waiting| Event::Queued { waiting }));
    assert!(matches!(events[2], Event::Dequeued { admitted: true, waited } if waited >= secs(10)));
}

#[tokio::test(start_paused = true)]
async fn no_more_wait_than_may_and_none_for_longer_than_it_may() {
    let handle = pace(1, secs(10));
    handle.stop(secs(10));
    let first = waiting(&handle);
    assert_eq!(refused(call(&handle)), secs(10), "one waits");
    drop(first);
    assert_eq!(handle.snapshot().waiting, 0);
    let _again = waiting(&handle);
    let handle = pace(1, secs(10));
    handle.stop(secs(11));
    assert_eq!(refused(call(&handle)), secs(11), "in vain");
    assert_eq!(refused(call(&pace_of_none())), secs(9));
}

fn pace_of_none() -> PaceHandle {
    let handle = pace(0, HOUR);
    handle.stop(secs(9));
    handle
}

#[tokio::test(start_paused = true)]
async fn call_that_would_miss_its_deadline_does_not_wait() {
    let handle = pace(9, HOUR);
    handle.stop(secs(10));
    let now = seaworthy_kit::clock::now();
    for (left, waits) in [(secs(9), false), (secs(11), true)] {
        let deadline = seaworthy_core::Deadline::after(now, left);
        let call = handle.call(async || Ok::<_, BoxError>(()));
        let mut call = task::spawn(Box::pin(deadline::scope(deadline, call)));
        assert_eq!(call.poll().is_pending(), waits);
    }
}

#[tokio::test(start_paused = true)]
async fn stop_that_comes_meanwhile_holds_up_who_waits_or_ends_the_wait() {
    let handle = pace(9, secs(15));
    handle.stop(secs(10));
    let mut call = waiting(&handle);
    tokio::time::advance(secs(8)).await;
    handle.stop(secs(5));
    tokio::time::advance(secs(3)).await;
    assert!(call.is_woken());
    assert_pending!(call.poll());
    handle.stop(secs(5));
    tokio::time::advance(secs(3)).await;
    let error = assert_ready!(call.poll()).unwrap_err();
    let rejection = Rejection::find(&*error).unwrap();
    assert_eq!(rejection.retry_after(), Some(secs(2)));
    assert_eq!(handle.snapshot().waiting, 0);
}

#[tokio::test(start_paused = true)]
async fn forgotten_stop_lets_who_waits_go_in_order() {
    let handle = pace(9, HOUR);
    handle.stop(secs(60));
    let mut calls: Vec<_> = (0..3).map(|_| waiting(&handle)).collect();
    handle.forget();
    for call in &mut calls {
        assert!(call.is_woken());
        assert_ready!(call.poll()).unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn call_that_nobody_polls_keeps_nobody_waiting() {
    let handle = pace(1, HOUR);
    handle.stop(secs(10));
    let _unpolled = call(&handle);
    assert_eq!(handle.snapshot().waiting, 0);
    let _waits = waiting(&handle);
}

#[tokio::test(start_paused = true)]
async fn observed_only_nobody_waits_and_nobody_is_refused() {
    let handle = pace(9, HOUR);
    handle.stop(secs(10));
    handle.control().observe_only(true);
    assert_ready!(call(&handle).poll()).unwrap();
}

/// Started, polled, dropped, let go, stopped, forgotten, in any order.
#[tokio::test(start_paused = true)]
async fn calls_that_come_and_go_leave_nothing_behind() {
    for seed in 0..300 {
        let mut draws = fastrand::Rng::with_seed(seed);
        let handle = pace(4, secs(20));
        let mut calls: Vec<Call> = Vec::new();
        for _ in 0..60 {
            let which = draws.usize(..calls.len().max(1));
            match draws.u8(..8) {
                0..=2 => calls.push(call(&handle)),
                3 | 4 if !calls.is_empty() => {
                    if calls[which].poll().is_ready() {
                        drop(calls.swap_remove(which));
                    }
                }
                5 if !calls.is_empty() => drop(calls.swap_remove(which)),
                6 => handle.stop(secs(draws.u64(..30))),
                _ if draws.bool() => handle.forget(),
                _ => tokio::time::advance(secs(draws.u64(..8))).await,
            }
            assert!(
                handle.snapshot().waiting <= calls.len().min(4),
                "seed {seed}"
            );
        }
        calls.clear();
        assert_eq!(
            (handle.snapshot().waiting, handle.held()),
            (0, 0),
            "seed {seed}"
        );
    }
}

/// It was not called, and yet the other side has spoken.
#[tokio::test(start_paused = true)]
async fn error_of_the_readiness_that_says_when_to_come_back_is_heard() {
    use seaworthy_kit::testing::Inner;
    use seaworthy_kit::{Plain, Verdict};
    use tower::{Layer, Service};

    let says = |_: Result<&u32, &BoxError>| Verdict::FAILURE.with_retry_after(Some(secs(7)));
    let layer = PaceLayer::plain("gateway").traffic(Plain::classify(says));
    let layer = layer.wait(9, HOUR).build().unwrap();
    let (inner, remote) = Inner::<u32, u32>::new();
    remote.fail_readiness();
    let mut call = task::spawn(layer.layer(inner).call(1));
    assert!(assert_ready!(call.poll()).is_err());
    assert_eq!(layer.handle().snapshot().stopped_for, Some(secs(7)));
}
