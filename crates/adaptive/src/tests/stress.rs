//! Many threads at once, calls dropped at random, limits that change: no slot is lost, and never do too many run.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;

use super::*;

const MOST: usize = 6;

/// Polls the future so many times, as often as it is woken and once more for each turn of the executor; then drops it.
pub(super) async fn at_most<F: Future>(polls: usize, future: F) -> Option<F::Output> {
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

async fn work(running: &AtomicUsize, turns: usize, answer: Answer) -> Answer {
    struct Inside<'a>(&'a AtomicUsize);
    impl Drop for Inside<'_> {
        fn drop(&mut self) {
            self.0.fetch_sub(1, Ordering::SeqCst);
        }
    }
    let others = running.fetch_add(1, Ordering::SeqCst);
    let _inside = Inside(running);
    assert!(others < MOST, "{others} others run");
    for _ in 0..turns {
        tokio::task::yield_now().await;
    }
    answer
}

async fn caller(handle: AdaptiveHandle, running: Arc<AtomicUsize>, seed: u64) {
    let mut random = fastrand::Rng::with_seed(seed);
    for _ in 0..500 {
        let turns = random.usize(..4);
        let answer = match random.u8(..3) {
            0 => Ok(()),
            1 => overload(RejectionKind::TimedOut),
            _ => Err("a bug".into()),
        };
        let class = Criticality::ALL[random.usize(..4)];
        let call = handle.call(|| work(&running, turns, answer));
        let call = criticality::scope(class, call);
        if random.bool() {
            let _ = call.await;
        } else {
            at_most(random.usize(..6), call).await;
        }
    }
}

async fn race(handle: AdaptiveHandle) {
    let running = Arc::new(AtomicUsize::new(0));
    let callers: Vec<_> = (0..16)
        .map(|seed| tokio::spawn(caller(handle.clone(), running.clone(), seed)))
        .collect();
    let mut random = fastrand::Rng::with_seed(99);
    while callers.iter().any(|caller| !caller.is_finished()) {
        handle.set_bounds(1, random.usize(1..=MOST)).unwrap();
        handle.set_learning(random.bool());
        let _ = handle.snapshot();
        tokio::task::yield_now().await;
    }
    for caller in callers {
        caller.await.unwrap();
    }
    handle.set_bounds(1, MOST).unwrap();
    let snapshot = handle.snapshot();
    assert_eq!((snapshot.running, snapshot.waiting), (0, 0));
    assert_eq!(snapshot.limit, snapshot.exact_limit as usize);
}

fn racing() -> Builder<Plain> {
    AdaptiveLayer::plain("pool")
        .initial(MOST)
        .max(MOST)
        .window(Duration::from_micros(10), 1)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn random_ends_and_limits_on_many_threads_lose_no_slot() {
    race(racing().build().unwrap().handle()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn random_ends_and_limits_on_many_threads_lose_no_slot_and_no_waiter() {
    let delay = Duration::from_millis(1);
    let layer = racing().queue(8).queue_delay(delay, 5 * delay);
    race(layer.build().unwrap().handle()).await;
}
