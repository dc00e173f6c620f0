//! The layers that a stack has only if they are asked for: each in its place, and what it does to its neighbours.

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use seaworthy::core::Backoff;
use seaworthy::hedge::BudgetConfig;
use seaworthy::prelude::*;
use seaworthy::rate_limit::Quota;
use tokio::time::{Instant, sleep};
use tower::{Layer, ServiceBuilder, ServiceExt, service_fn};

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

fn kind(error: &BoxError) -> Option<RejectionKind> {
    Rejection::find(&**error).map(Rejection::kind)
}

/// Two services have one type only if the same layers stand in the same order.
fn same_type<T>(_: &T, _: &T) {}

macro_rules! client_by_hand {
    ($kind:ident, $service:expr) => {
        ServiceBuilder::new()
            .layer(PropagateCriticalityLayer::http())
            .layer(DeadlineLayer::$kind("stock").build().unwrap())
            .layer(RetryLayer::$kind("stock").build().unwrap())
            .layer(HedgeLayer::$kind("stock").build().unwrap())
            .layer(ThrottleLayer::$kind("stock").build().unwrap())
            .layer(PaceLayer::$kind("stock").build().unwrap())
            .layer(CircuitBreakerLayer::$kind("stock").build().unwrap())
            .layer(BulkheadLayer::$kind("stock").build().unwrap())
            .layer(TimeoutLayer::$kind("stock").build().unwrap())
            .service($service)
    };
}

macro_rules! client_preset {
    ($kind:ident, $service:expr) => {
        client("stock")
            .$kind()
            // In another order than they stand in.
            .pace(|pace| pace)
            .hedge(|hedge| hedge)
            .propagate_criticality(|class| class)
            .throttle(|throttle| throttle)
            .build()
            .unwrap()
            .layer($service)
    };
}

#[tokio::test]
async fn client_with_every_layer_has_them_in_the_documented_order() {
    same_type(&client_preset!(plain, ()), &client_by_hand!(plain, ()));
    same_type(&client_preset!(http, ()), &client_by_hand!(http, ()));
    same_type(&client_preset!(reqwest, ()), &client_by_hand!(reqwest, ()));
}

#[tokio::test]
async fn server_with_every_layer_has_them_in_the_documented_order() {
    let quota = Quota::per_second(20);
    let by_hand = ServiceBuilder::new()
        .layer(RespondLayer::new())
        .layer(CriticalityLayer::new())
        .layer(DeadlineLayer::http("shop").build().unwrap())
        .layer(RateLimitLayer::http("shop").quota(quota).build().unwrap())
        .layer(AdaptiveLayer::http("shop").build().unwrap())
        .layer(BulkheadLayer::http("shop").build().unwrap())
        .layer(TimeoutLayer::http("shop").build().unwrap())
        .service(());
    let stack = server("shop")
        .http()
        .adaptive(|adaptive| adaptive)
        .rate_limit(|limit| limit.quota(quota))
        .criticality(|class| class)
        .build()
        .unwrap();
    same_type(&stack.layer(()), &by_hand);
}

/// All three would refuse the second call.
#[tokio::test(start_paused = true)]
async fn rate_limit_refuses_before_the_adaptive_limit_and_that_before_the_bulkhead() {
    let cases = [
        (1, 1, RejectionKind::RateLimited),
        (9, 1, RejectionKind::Shed),
        (9, 9, RejectionKind::BulkheadFull),
    ];
    for (quota, most, expected) in cases {
        let stack = server("shop")
            .plain()
            .rate_limit(|limit| limit.quota(Quota::per_hour(quota)))
            .adaptive(|adaptive| adaptive.initial(most).max(most))
            .bulkhead(|bulkhead| bulkhead.max_concurrent(1))
            .build()
            .unwrap();
        let service = stack.layer(service_fn(|(): ()| pending::<Result<(), BoxError>>()));
        let running = tokio::spawn(service.clone().oneshot(()));
        tokio::task::yield_now().await;
        let refused = service.oneshot(()).await.unwrap_err();
        assert_eq!(kind(&refused), Some(expected));
        // Whoever refuses further in, the caller has paid for one call.
        let left = stack.rate_limit().snapshot().states[0].remaining;
        assert_eq!(left, quota - 1);
        assert_eq!(stack.adaptive().snapshot().running, 1);
        running.abort();
    }
}

#[tokio::test(start_paused = true)]
async fn wait_for_the_rate_limit_ends_by_the_deadline() {
    let stack = server("shop")
        .plain()
        .deadline(|deadline| deadline.default_limit(SECOND))
        .timeout(|timeout| timeout.limit(SECOND / 2))
        .rate_limit(|limit| {
            let limit = limit.quota(Quota::per_hour(1));
            limit.queue(10, Duration::MAX)
        })
        .build()
        .unwrap();
    let service = stack.layer(service_fn(|(): ()| async { Ok::<_, BoxError>(()) }));
    service.clone().oneshot(()).await.unwrap();
    let start = Instant::now();
    let refused = service.oneshot(()).await.unwrap_err();
    assert_eq!(kind(&refused), Some(RejectionKind::RateLimited));
    assert_eq!(start.elapsed(), Duration::ZERO, "it would wait in vain");
}

type Asked = Request<Full<Bytes>>;

fn of_class(class: &str) -> Asked {
    let request = Request::builder().header("x-criticality", class);
    request
        .body(Full::default())
        .expect("a class is a header value")
}

#[tokio::test(start_paused = true)]
async fn class_is_seen_by_the_rate_limit_and_by_the_adaptive_limit() {
    let stack = server("shop")
        .http()
        .criticality(|class| class)
        .rate_limit(|limit| {
            // A page that nobody has asked for is dear.
            let dear = |request: &Asked| request.extensions().get::<Criticality>().is_some();
            let limit = limit.quota(Quota::per_hour(100));
            limit.cost(move |request: &Asked| if dear(request) { 10 } else { 1 })
        })
        .adaptive(|adaptive| adaptive.initial(10).min(10).max(10))
        .without_bulkhead()
        .build()
        .unwrap();
    let service = stack.layer(service_fn(|_: Asked| {
        pending::<Result<Response<Full<Bytes>>, BoxError>>()
    }));
    let call = |class| tokio::spawn(service.clone().oneshot(of_class(class)));
    let left = || stack.rate_limit().snapshot().states[0].remaining;
    let mut running: Vec<_> = (0..8).map(|_| call("critical")).collect();
    tokio::task::yield_now().await;
    assert_eq!((stack.adaptive().snapshot().running, left()), (8, 92));
    // Four fifths are taken: the rest is for what somebody waits for.
    let refused = service.clone().oneshot(of_class("sheddable")).await;
    assert_eq!(refused.unwrap().status(), 503);
    assert_eq!(left(), 92, "what is refused further in costs nothing");
    running.push(call("critical"));
    tokio::task::yield_now().await;
    assert_eq!((stack.adaptive().snapshot().running, left()), (9, 91));
    running.swap_remove(0).abort();
    running.swap_remove(0).abort();
    tokio::task::yield_now().await;
    running.push(call("sheddable"));
    tokio::task::yield_now().await;
    assert_eq!((stack.adaptive().snapshot().running, left()), (8, 81));
    running.iter().for_each(|call| call.abort());
}

/// A dependency of which each attempt fails, after a while.
#[derive(Clone, Default)]
struct Fails {
    attempts: Arc<AtomicUsize>,
}

impl Fails {
    async fn after(self, time: Duration) -> Result<(), BoxError> {
        self.attempts.fetch_add(1, Ordering::Relaxed);
        sleep(time).await;
        Err(BoxError::from("broken"))
    }

    fn attempts(&self) -> usize {
        self.attempts.load(Ordering::Relaxed)
    }
}

#[tokio::test(start_paused = true)]
async fn hedge_shares_the_budget_of_the_retry_and_each_attempt_is_seen_inside() {
    // One for each call.
    let one = BudgetConfig::default().share(1.0).floor(0);
    let stack = client("stock")
        .plain()
        .retry(|retry| retry.budget(one).backoff(Backoff::constant(MS)))
        .hedge(|hedge| hedge.delay(50 * MS).budget(None))
        .throttle(|throttle| throttle)
        .build()
        .unwrap();
    let fails = Fails::default();
    let service = stack.layer(service_fn({
        let fails = fails.clone();
        move |(): ()| fails.clone().after(100 * MS)
    }));
    service.oneshot(()).await.unwrap_err();
    assert_eq!(fails.attempts(), 2, "nothing is left for the retry");
    let retry = stack.retry().snapshot();
    assert_eq!((retry.retries, retry.gave_up), (0, 1));
    assert_eq!(stack.hedge().snapshot().hedges, 1);
    assert_eq!(stack.circuit_breaker().snapshot().failures, 2);
    let seen = stack.throttle().snapshot().classes;
    let seen: u64 = seen.iter().map(|class| class.counts.requests).sum();
    assert_eq!(seen, 2);
}

#[tokio::test(start_paused = true)]
async fn hedge_with_a_budget_of_its_own_keeps_it() {
    let none = BudgetConfig::default().share(0.01).floor(0);
    let other = seaworthy::hedge::Budget::default();
    let stack = client("stock")
        .plain()
        .retry(|retry| retry.budget(none))
        .hedge(|hedge| {
            let hedge = hedge.delay(50 * MS).budget(None);
            hedge.retry_budget(other.clone())
        })
        .build()
        .unwrap();
    let fails = Fails::default();
    let service = stack.layer(service_fn({
        let fails = fails.clone();
        move |(): ()| fails.clone().after(100 * MS)
    }));
    service.oneshot(()).await.unwrap_err();
    assert_eq!(fails.attempts(), 2, "a hedge, and no retry");
    assert!(stack.retry().budget().is_some_and(|it| !it.same(&other)));
}

#[tokio::test(start_paused = true)]
async fn each_attempt_of_the_retry_may_be_hedged() {
    let stack = client("stock")
        .plain()
        .retry(|retry| retry.backoff(Backoff::constant(MS)))
        .hedge(|hedge| hedge.delay(50 * MS).hedge_error(|_| false))
        .build()
        .unwrap();
    let fails = Fails::default();
    let service = stack.layer(service_fn({
        let fails = fails.clone();
        move |(): ()| fails.clone().after(MS)
    }));
    service.oneshot(()).await.unwrap_err();
    assert_eq!(fails.attempts(), 3);
    assert_eq!(stack.hedge().snapshot().calls, 3, "not one");
}

#[tokio::test(start_paused = true)]
async fn server_that_asks_for_a_pause_is_not_called_by_anybody() {
    let stack = client("stock")
        .plain()
        .hedge(|hedge| hedge.delay(50 * MS).budget(None))
        .throttle(|throttle| throttle)
        .pace(|pace| pace)
        .build()
        .unwrap();
    let fails = Fails::default();
    let service = stack.layer(service_fn({
        let fails = fails.clone();
        move |(): ()| fails.clone().after(MS)
    }));
    stack.pace().stop(30 * SECOND);
    let refused = service.oneshot(()).await.unwrap_err();
    assert_eq!(kind(&refused), Some(RejectionKind::RateLimited));
    assert_eq!(fails.attempts(), 0);
    assert_eq!(stack.hedge().snapshot().hedges, 0);
    assert_eq!(stack.retry().snapshot().retries, 0);
    let seen = stack.throttle().snapshot().classes;
    assert!(seen.iter().all(|class| class.counts.requests == 0));
}

#[tokio::test(start_paused = true)]
async fn deadline_ends_hedges_as_well() {
    let stack = client("stock")
        .plain()
        .total_timeout(100 * MS)
        .timeout(|timeout| timeout.limit(80 * MS))
        .hedge(|hedge| hedge.delay(50 * MS).budget(None))
        .without_retry()
        .build()
        .unwrap();
    let living = Arc::new(());
    let service = stack.layer(service_fn({
        let living = living.clone();
        move |(): ()| {
            let lives = living.clone();
            async move {
                let never = pending::<Result<(), BoxError>>().await;
                drop(lives);
                never
            }
        }
    }));
    let start = Instant::now();
    let call = tokio::spawn(service.oneshot(()));
    sleep(90 * MS).await;
    // The first was cut after 80 ms; the second has run for 40, and would for 40 more.
    assert_eq!(stack.hedge().snapshot().hedges, 1);
    assert_eq!(stack.timeout().snapshot().timeouts, 1);
    let error = call.await.unwrap().unwrap_err();
    assert_eq!(start.elapsed(), 100 * MS);
    assert_eq!(kind(&error), Some(RejectionKind::TimedOut));
    assert_eq!(Arc::strong_count(&living), 1, "nobody works for it");
}
