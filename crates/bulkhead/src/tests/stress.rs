//! Many threads at once, calls dropped at random: no slot is lost, and never do too many run.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;

use super::*;

const LIMIT: usize = 3;

/// Polls the future so many times, as often as it is woken and once more for each turn of the executor; then drops it.
async fn at_most<F: Future>(polls: usize, future: F) -> Option<F::Output> {
    let mut future = Box::pin(future);
    let mut left = polls;
    poll_fn(|cx| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        let polled = future.as_mut().poll(cx);
        if polled.is_pending() {
            cx.waker().wake_by_ref();
        }
        polled.map(Some)
    })
    .await
}

#[derive(Default)]
struct Seen {
    running: AtomicUsize,
    done: AtomicUsize,
    gone: AtomicUsize,
    refused: AtomicUsize,
}

/// Runs for a few turns of the executor; dropped at any of them.
async fn work(seen: &Seen, most: usize, turns: usize) -> Result<(), BoxError> {
    struct Inside<'a>(&'a AtomicUsize);
    impl Drop for Inside<'_> {
        fn drop(&mut self) {
            self.0.fetch_sub(1, Ordering::SeqCst);
        }
    }
    let others = seen.running.fetch_add(1, Ordering::SeqCst);
    let _inside = Inside(&seen.running);
    assert!(others < most, "{others} others run");
    for _ in 0..turns {
        tokio::task::yield_now().await;
    }
    Ok(())
}

async fn caller(handle: BulkheadHandle, seen: Arc<Seen>, most: usize, seed: u64, calls: usize) {
    slow_caller(handle, seen, most, seed, calls, 4).await;
}

async fn slow_caller(
    handle: BulkheadHandle,
    seen: Arc<Seen>,
    most: usize,
    seed: u64,
    calls: usize,
    most_turns: usize,
) {
    let mut random = fastrand::Rng::with_seed(seed);
    for _ in 0..calls {
        let turns = random.usize(..most_turns);
        let call = handle.call(|| work(&seen, most, turns));
        let result = if random.bool() {
            Some(call.await)
        } else {
            at_most(random.usize(..6), call).await
        };
        let count = match result {
            None => &seen.gone,
            Some(Ok(())) => &seen.done,
            Some(Err(error)) => {
                assert!(Rejection::find(&*error).is_some(), "{error}");
                &seen.refused
            }
        };
        count.fetch_add(1, Ordering::Relaxed);
    }
}

fn limited() -> BulkheadHandle {
    let layer = BulkheadLayer::plain("pool").max_concurrent(LIMIT);
    let layer = layer.queue(4, Duration::MAX).build().unwrap();
    layer.handle()
}

fn assert_at_rest(handle: &BulkheadHandle, seen: &Seen, calls: usize) {
    let snapshot = handle.snapshot();
    assert_eq!((snapshot.running, snapshot.waiting), (0, 0));
    assert_eq!(snapshot.available, snapshot.limit);
    let all = [&seen.done, &seen.gone, &seen.refused].map(|count| count.load(Ordering::Relaxed));
    assert_eq!(all.iter().sum::<usize>(), calls);
}

/// That the load was such that calls ended in every way.
fn assert_all_ways(seen: &Seen) {
    for count in [&seen.done, &seen.gone, &seen.refused] {
        assert!(count.load(Ordering::Relaxed) > 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn random_cancellations_on_many_threads_lose_no_slot() {
    let (handle, seen) = (limited(), Arc::new(Seen::default()));
    let callers: Vec<_> = (0..16)
        .map(|seed| tokio::spawn(caller(handle.clone(), seen.clone(), LIMIT, seed, 1_000)))
        .collect();
    for caller in callers {
        caller.await.unwrap();
    }
    assert_at_rest(&handle, &seen, 16 * 1_000);
    assert_all_ways(&seen);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn limits_that_change_under_load_lose_no_slot() {
    let (handle, seen) = (limited(), Arc::new(Seen::default()));
    let callers: Vec<_> = (0..16)
        .map(|seed| tokio::spawn(caller(handle.clone(), seen.clone(), 2 * LIMIT, seed, 300)))
        .collect();
    let mut random = fastrand::Rng::with_seed(99);
    while callers.iter().any(|caller| !caller.is_finished()) {
        handle.set_limit(random.usize(1..=2 * LIMIT)).unwrap();
        handle.set_queue_limit(random.usize(..6)).unwrap();
        tokio::task::yield_now().await;
    }
    for caller in callers {
        caller.await.unwrap();
    }
    assert_at_rest(&handle, &seen, 16 * 300);
    assert_all_ways(&seen);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn waits_that_end_while_slots_are_handed_on_lose_no_slot() {
    let layer = BulkheadLayer::plain("pool").max_concurrent(LIMIT);
    let wait = Duration::from_millis(1);
    let handle = layer.queue(12, wait).build().unwrap().handle();
    let seen = Arc::new(Seen::default());
    let callers: Vec<_> = (0..16)
        .map(|seed| {
            let (handle, seen) = (handle.clone(), seen.clone());
            tokio::spawn(slow_caller(handle, seen, LIMIT, seed, 500, 300))
        })
        .collect();
    for caller in callers {
        caller.await.unwrap();
    }
    assert_at_rest(&handle, &seen, 16 * 500);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn drain_under_load_ends_with_the_last_call() {
    for seed in 0..20 {
        let (handle, seen) = (limited(), Arc::new(Seen::default()));
        let callers: Vec<_> = (0..8)
            .map(|caller_seed| {
                let seed = 100 * seed + caller_seed;
                tokio::spawn(caller(handle.clone(), seen.clone(), LIMIT, seed, 100))
            })
            .collect();
        tokio::task::yield_now().await;
        handle.drain().await;
        assert_eq!(counts(&handle), (LIMIT, 0, 0));
        for caller in callers {
            caller.await.unwrap();
        }
        assert_eq!(seen.running.load(Ordering::SeqCst), 0);
    }
}
