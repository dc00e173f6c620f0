//! Many threads at once, each on a seeded schedule: calls of several tenants and classes, dropped at random, and limits that change.
//! Whoever was admitted is settled, never do too many run, and whoever waits gets an answer.

use super::super::stress::at_most;
use super::*;

const MOST: usize = 6;

/// Above the limit, for those with less than their share.
const LENT: usize = 3;

const CALLS: usize = 400;

#[derive(Default, Debug)]
struct Seen {
    running: AtomicUsize,
    most: AtomicUsize,
    admitted: AtomicUsize,
    settled: AtomicUsize,
    answered: AtomicUsize,
    given_up: AtomicUsize,
}

/// A call that runs; over when it is dropped.
struct Inside<'a>(&'a Seen);

// ===== impl Inside =====

impl<'a> Inside<'a> {
    fn new(seen: &'a Seen) -> Self {
        seen.admitted.fetch_add(1, Ordering::SeqCst);
        let running = seen.running.fetch_add(1, Ordering::SeqCst) + 1;
        seen.most.fetch_max(running, Ordering::SeqCst);
        Self(seen)
    }
}

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::SeqCst);
        self.0.settled.fetch_add(1, Ordering::SeqCst);
    }
}

async fn caller(layer: FairLayer, seen: Arc<Seen>, seed: u64) {
    let mut random = fastrand::Rng::with_seed(seed);
    for _ in 0..CALLS {
        let turns = random.usize(..4);
        let fails = random.u8(..3);
        let inner = {
            let seen = seen.clone();
            service_fn(move |_: Name| {
                let seen = seen.clone();
                async move {
                    let _inside = Inside::new(&seen);
                    for _ in 0..turns {
                        tokio::task::yield_now().await;
                    }
                    match fails {
                        0 => Ok(()),
                        1 => overload(RejectionKind::TimedOut),
                        _ => Err("a bug".into()),
                    }
                }
            })
        };
        let class = Criticality::ALL[random.usize(..4)];
        let call = layer.layer(inner).oneshot(random.u32(..5));
        let call: Pin<Box<dyn Future<Output = Answer> + Send>> = Box::pin(call);
        let call = criticality::scope(class, call);
        let answer = if random.bool() {
            Some(call.await)
        } else {
            at_most(random.usize(..6), call).await
        };
        let count = match answer {
            Some(_) => &seen.answered,
            None => &seen.given_up,
        };
        count.fetch_add(1, Ordering::SeqCst);
    }
}

async fn race<M>(builder: Builder<Plain, M>, most: usize) {
    let window = Duration::from_micros(10);
    let layer = fair(builder.initial(MOST).max(MOST).window(window, 1));
    let (handle, seen) = (layer.handle(), Arc::new(Seen::default()));
    let callers: Vec<_> = (0..16)
        .map(|seed| tokio::spawn(caller(layer.clone(), seen.clone(), seed)))
        .collect();
    let mut random = fastrand::Rng::with_seed(99);
    while callers.iter().any(|caller| !caller.is_finished()) {
        handle.set_bounds(1, random.usize(1..=MOST)).unwrap();
        handle.set_learning(random.bool());
        let snapshot = handle.snapshot();
        assert!(snapshot.running <= most && snapshot.tenants <= 5 * 4);
        tokio::task::yield_now().await;
    }
    for caller in callers {
        caller.await.unwrap();
    }
    let count = |it: &AtomicUsize| it.load(Ordering::SeqCst);
    assert_eq!(count(&seen.answered) + count(&seen.given_up), 16 * CALLS);
    assert_eq!(count(&seen.admitted), count(&seen.settled));
    assert!(count(&seen.most) <= most, "{seen:?}");
    assert!(count(&seen.admitted) > CALLS, "{seen:?}");
    let snapshot = handle.snapshot();
    assert_eq!(
        (snapshot.running, snapshot.waiting, snapshot.tenants),
        (0, 0, 0)
    );
    // Nothing is lost: as many may run as before, and of one tenant all of them.
    handle.set_bounds(MOST, MOST).unwrap();
    assert_eq!(hangs(&layer, NOISY, MOST).len(), handle.snapshot().running);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn random_calls_of_tenants_on_many_threads_lose_no_slot() {
    race(AdaptiveLayer::plain("pool"), MOST + LENT).await;
}

/// For an hour and more: a waiter that is lost hangs.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn random_calls_of_tenants_on_many_threads_lose_no_waiter() {
    let hour = Duration::from_secs(3600);
    let builder = AdaptiveLayer::plain("pool");
    race(builder.queue(8).queue_delay(hour, hour), MOST).await;
}

/// The waits end by themselves, while slots change hands.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn random_waits_that_end_on_many_threads_lose_no_slot() {
    let delay = Duration::from_millis(1);
    let builder = AdaptiveLayer::plain("pool").queue(8);
    race(builder.queue_delay(delay, 5 * delay), MOST).await;
}
