//! What hedging does for the slowest calls, and what it costs, counted over thousands of calls in paused time.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep};
use tower::ServiceExt;

use super::*;
use crate::Percentile;

type Answer = Pin<Box<dyn Future<Output = Result<(), BoxError>> + Send>>;

/// A random number for each attempt, the same in each run.
fn draw(seed: u64, number: u64) -> u64 {
    // SplitMix64.
    let mut z = seed.wrapping_add(number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Takes 10 to 30 ms, and a second in two cases of a hundred.
#[derive(Clone)]
struct Tailed {
    seed: u64,
    calls: Arc<AtomicU64>,
}

impl Service<()> for Tailed {
    type Response = ();
    type Error = BoxError;
    type Future = Answer;

    fn poll_ready(
        &mut self,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Result<(), BoxError>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, (): ()) -> Answer {
        let draw = draw(self.seed, self.calls.fetch_add(1, Ordering::SeqCst));
        let latency = if draw % 100 < 2 {
            SECOND
        } else {
            MILLI * u32::try_from(10 + (draw >> 32) % 21).expect("at most 30")
        };
        Box::pin(async move {
            sleep(latency).await;
            Ok(())
        })
    }
}

/// The latencies of so many calls in order of size, one each 5 ms, whatever becomes of those before.
async fn latencies<S>(service: S, calls: u32) -> Vec<Duration>
where
    S: Service<(), Response = (), Error = BoxError, Future: Send> + Clone + Send + 'static,
{
    let seen = Arc::new(Mutex::new(Vec::new()));
    let mut tasks = Vec::new();
    for _ in 0..calls {
        let (service, seen) = (service.clone(), seen.clone());
        tasks.push(tokio::spawn(async move {
            let start = Instant::now();
            service.oneshot(()).await.unwrap();
            seen.lock().unwrap().push(start.elapsed());
        }));
        sleep(5 * MILLI).await;
    }
    for task in tasks {
        task.await.unwrap();
    }
    let mut seen = Arc::into_inner(seen).unwrap().into_inner().unwrap();
    seen.sort_unstable();
    seen
}

fn percentile_of(latencies: &[Duration], percent: usize) -> Duration {
    latencies[latencies.len() * percent / 100]
}

const CALLS: u32 = 6000;

async fn compare(builder: impl Fn() -> Plain) {
    for seed in 1..=3 {
        let tailed = || Tailed {
            seed,
            calls: Arc::default(),
        };
        let bare = latencies(tailed(), CALLS).await;
        let layer = builder().build().unwrap();
        let hedged_service = tailed();
        let calls = hedged_service.calls.clone();
        let hedged = latencies(layer.layer(hedged_service), CALLS).await;

        let (before, after) = (percentile_of(&bare, 99), percentile_of(&hedged, 99));
        assert!(after * 2 <= before, "p99 of {after:?} after {before:?}");
        let (median, median_before) = (percentile_of(&hedged, 50), percentile_of(&bare, 50));
        assert!(median <= median_before + MILLI);
        let extra = calls.load(Ordering::SeqCst) - u64::from(CALLS);
        let most = u64::from(CALLS) / 20;
        assert!(extra <= most, "{extra} more calls of {CALLS}");
        assert_eq!(extra, layer.handle().snapshot().hedges);
        assert!(extra > u64::from(CALLS) / 100, "{extra}: none to speak of");
    }
}

#[tokio::test(start_paused = true)]
async fn default_layer_halves_p99_of_a_service_with_2_percent_slow_answers_at_5_percent_more_calls()
{
    compare(|| HedgeLayer::plain("stock")).await;
}

#[tokio::test(start_paused = true)]
async fn fixed_delay_halves_p99_at_5_percent_more_calls() {
    compare(|| HedgeLayer::plain("stock").delay(50 * MILLI)).await;
}

/// Ten slots and 100 ms for each call: a hundred calls per second; what is more waits.
#[derive(Clone)]
struct Narrow {
    slots: Arc<Semaphore>,
    calls: Arc<AtomicU64>,
}

impl Service<()> for Narrow {
    type Response = ();
    type Error = BoxError;
    type Future = Answer;

    fn poll_ready(
        &mut self,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Result<(), BoxError>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, (): ()) -> Answer {
        let slots = self.slots.clone();
        let slow = self.calls.fetch_add(1, Ordering::SeqCst) % 50 == 49;
        Box::pin(async move {
            let _slot = slots.acquire_owned().await?;
            sleep(if slow { SECOND / 2 } else { SECOND / 10 }).await;
            Ok(())
        })
    }
}

/// Sends so many calls, one after the other by that gap, and waits for none.
async fn send<S>(service: &S, calls: u32, gap: Duration)
where
    S: Service<(), Response = (), Error = BoxError, Future: Send> + Clone + Send + 'static,
{
    for _ in 0..calls {
        tokio::spawn(service.clone().oneshot(()));
        sleep(gap).await;
    }
}

/// At most so many hedges are sent before overload is seen for what it is.
async fn overload(builder: Plain, most: u64) {
    let layer = builder.build().unwrap();
    let handle = layer.handle();
    let narrow = Narrow {
        slots: Arc::new(Semaphore::new(10)),
        calls: Arc::default(),
    };
    let service = layer.layer(narrow.clone());
    // At half the capacity the slow ones are a tail.
    send(&service, 1500, 20 * MILLI).await;
    let calm = handle.snapshot().hedges;
    assert!(calm > 10, "{calm}");
    // At three times the capacity all are slow.
    send(&service, 600, 3 * MILLI).await;
    let seen = handle.snapshot().hedges;
    assert!(seen - calm <= most, "{}", seen - calm);
    send(&service, 6000, 3 * MILLI).await;
    assert_eq!(handle.snapshot().hedges, seen);
    // What has piled up is worked off, and then there are hedges again.
    while narrow.slots.available_permits() < 10 {
        sleep(SECOND).await;
    }
    send(&service, 6000, 20 * MILLI).await;
    assert!(handle.snapshot().hedges > seen + 10);
}

#[tokio::test(start_paused = true)]
async fn hedges_stop_by_themselves_at_overload_and_come_back_after_it() {
    overload(HedgeLayer::plain("stock"), 40).await;
}

#[tokio::test(start_paused = true)]
async fn hedges_with_a_fixed_delay_and_no_budget_stop_by_themselves_at_overload() {
    let builder = HedgeLayer::plain("stock").budget(None);
    // A fifth of the calls of the window, which are few while all was well.
    overload(builder.delay(250 * MILLI), 120).await;
}

#[tokio::test(start_paused = true)]
async fn percentile_stays_where_it_is_though_all_slow_calls_are_cut() {
    let layer = HedgeLayer::plain("stock")
        .delay(Percentile::new(0.95).window(20 * SECOND))
        .budget(None)
        .build()
        .unwrap();
    let tailed = Tailed {
        seed: 7,
        calls: Arc::default(),
    };
    latencies(layer.layer(tailed), 3 * CALLS).await;
    // Of 10 to 30 ms and 2 % more: 95 of 98 are below this.
    let delay = layer.handle().snapshot().delay.unwrap();
    assert!(delay >= 28 * MILLI && delay <= 32 * MILLI, "{delay:?}");
    let snapshot = layer.handle().snapshot();
    assert!(snapshot.hedges <= snapshot.calls * 7 / 100, "{snapshot:?}");
}

/// A service of which so many calls in a hundred take twice the delay, and the others no time.
#[derive(Clone, Default)]
struct Late {
    percent: Arc<AtomicU64>,
    calls: Arc<AtomicU64>,
}

impl Late {
    fn service(
        &self,
    ) -> impl Service<(), Response = (), Error = BoxError, Future: Send> + Clone + Send + 'static
    {
        let Self { percent, calls } = self.clone();
        tower::service_fn(move |()| {
            let call = calls.fetch_add(1, Ordering::SeqCst);
            // Spread evenly.
            let late = call * 7 % 100 < percent.load(Ordering::SeqCst);
            async move {
                if late {
                    sleep(2 * DELAY).await;
                }
                Ok(())
            }
        })
    }
}

/// How many hedges there are in each second after one in which all calls were late, where 15 in a hundred are.
async fn after_overload(layer: HedgeLayer<seaworthy_kit::Plain, seaworthy_kit::Plain>) -> Vec<u64> {
    let (late, handle) = (Late::default(), layer.handle());
    let service = layer.layer(late.service());
    late.percent.store(100, Ordering::SeqCst);
    latencies(service.clone(), 3_000).await;
    late.percent.store(15, Ordering::SeqCst);
    let mut seconds = Vec::new();
    for _ in 0..20 {
        let before = handle.snapshot().hedges;
        latencies(service.clone(), 200).await;
        seconds.push(handle.snapshot().hedges - before);
    }
    seconds
}

#[tokio::test(start_paused = true)]
async fn hedges_come_back_one_by_one_after_an_overload() {
    let layer = HedgeLayer::plain("stock").delay(DELAY).build().unwrap();
    let seconds = after_overload(layer).await;
    assert_eq!(seconds[..4], [0; 4], "slow is the rule still: {seconds:?}");
    // 5 % of 200 calls, and what is owed for those under way.
    assert!(seconds.iter().all(|hedges| *hedges <= 12), "{seconds:?}");
    assert!(
        seconds[12..].iter().all(|hedges| *hedges >= 8),
        "{seconds:?}"
    );
}

/// What an overload of one dependency does not send is not taken from the retries.
#[tokio::test(start_paused = true)]
async fn shared_budget_is_not_spent_on_what_is_not_sent() {
    let shared = crate::Budget::try_new(crate::BudgetConfig::default().floor(0)).unwrap();
    let layer = HedgeLayer::plain("stock")
        .delay(DELAY)
        .budget(shared.clone());
    let late = Late::default();
    late.percent.store(100, Ordering::SeqCst);
    latencies(layer.build().unwrap().layer(late.service()), 2_000).await;
    let left = shared.remaining_ratio(seaworthy_kit::clock::now());
    assert!(left > 0.9, "{left}");
}
