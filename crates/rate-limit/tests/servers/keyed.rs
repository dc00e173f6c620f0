//! Keys with quotas and labels of their own, and those that are forgotten.

use std::convert::Infallible;
use std::num::NonZeroUsize;
use std::time::Duration;

use seaworthy_kit::keyed::Keyed;
use seaworthy_kit::testing::Recorder;
use seaworthy_kit::{BoxError, Gate as _, Plain};
use seaworthy_rate_limit::shared::{SharedGate, SharedLimits, SharedRateLimitLayer, WhenAway};
use seaworthy_rate_limit::{Alike, Quota, RateLimitLayer, SharedLimit};
use tower::{Layer, ServiceExt as _, service_fn};

use crate::fixtures::{Test, remaining};

type Key = fn(&&'static str) -> &'static str;
type ByKey = SharedRateLimitLayer<Plain, Keyed<SharedGate, &'static str, Key>, Alike>;

const KEYS: NonZeroUsize = NonZeroUsize::new(10).unwrap();

fn with(limit: &SharedLimit, premium: &SharedLimits) -> ByKey {
    let premium = premium.clone();
    let layer = RateLimitLayer::plain("layer").announce();
    let layer = layer.shared(limit.clone()).keyed(KEYS, (|key| *key) as Key);
    let layer = layer.limits(move |key| (*key == "premium").then(|| premium.clone()));
    let layer = layer.label(|key| (*key == "premium").then(|| "gold".to_owned()));
    layer.build().unwrap()
}

async fn call(layer: &ByKey, key: &'static str) -> Result<(), BoxError> {
    let service = layer.layer(service_fn(async |_: &'static str| Ok::<_, Infallible>(())));
    service.oneshot(key).await
}

async fn admitted(layer: &ByKey, key: &'static str, calls: usize) -> usize {
    let mut count = 0;
    for _ in 0..calls {
        count += usize::from(call(layer, key).await.is_ok());
    }
    count
}

#[tokio::test]
async fn some_keys_have_other_quotas_in_all_processes() {
    let test = Test::new();
    let new = || test.limit().quota(Quota::per_hour(3)).build().unwrap();
    let (one, two) = (new(), new());
    let layers = [&one, &two].map(|limit| {
        let premium = limit
            .limits([Quota::per_hour(9), Quota::per_day(7)])
            .unwrap();
        with(limit, &premium)
    });
    for (key, all) in [("premium", 7), ("other", 3)] {
        let mut count = 0;
        for layer in &layers {
            count += admitted(layer, key, 5).await;
        }
        assert_eq!(count, all, "{key}");
    }
    let premium = layers[1].handle().get(&"premium").unwrap();
    let told = premium.quotas().unwrap();
    let told: Vec<_> = told
        .iter()
        .map(|state| (state.policy.as_str(), state.limit, state.remaining))
        .collect();
    // The names are those of the limit, and the last of them stands for the rest.
    assert_eq!(told, [("api", 9, 2), ("api", 7, 0)]);
}

#[tokio::test]
async fn lease_and_share_of_a_key_are_of_its_own_quotas() {
    let test = Test::new();
    let limit = test.limit().quota(Quota::per_hour(20)).lease(0.1);
    let limit = limit.build().unwrap();
    let premium = limit.limits([Quota::per_hour(100)]).unwrap();
    let layer = with(&limit, &premium);
    assert_eq!(admitted(&layer, "premium", 2).await, 2);
    assert_eq!(admitted(&layer, "other", 2).await, 2);
    // Asked by the limit's own quotas, of which it has spent the same part: one, and a lease of ten.
    assert_eq!(remaining(&limit_of(&test, 100), "premium").await, 89);
    assert_eq!(remaining(&limit_of(&test, 20), "other").await, 17);
    limit.close().await;
    assert_eq!(remaining(&limit_of(&test, 100), "premium").await, 98);
    test.server.kill();
    let count = admitted(&layer, "premium", 200).await;
    assert!((98..=100).contains(&count), "{count}");
    assert_eq!(admitted(&layer, "other", 200).await, 20);
}

fn limit_of(test: &Test, units: u64) -> SharedLimit {
    let limit = test.limit().quota(Quota::per_hour(units));
    limit.build().unwrap()
}

#[tokio::test]
async fn quotas_that_cannot_work_are_an_error_where_they_are_made() {
    let test = Test::new();
    let limit = test.limit().quota(Quota::per_hour(20)).lease(0.1);
    let limit = limit.build().unwrap();
    let wrong = |quota| limit.limits([quota]).unwrap_err().option();
    assert_eq!(wrong(Quota::per_hour(10)), "lease");
    let slow = Quota::new(1000, Duration::from_secs(101 * 24 * 3600));
    assert_eq!(wrong(slow), "burst");
    assert!(limit.limits([]).is_err());
    let limit = test.limit().quota(Quota::per_hour(20));
    let limit = limit.when_away(WhenAway::Share(0.001)).build().unwrap();
    let share = limit.limits([Quota::new(1, Duration::from_secs(90 * 24 * 3600))]);
    assert_eq!(share.unwrap_err().option(), "when_away");
}

#[tokio::test]
async fn label_of_a_key_is_told_and_idle_keys_are_forgotten_here_alone() {
    let test = Test::new();
    let limit = test.limit().quota(Quota::per_hour(3)).build().unwrap();
    let premium = limit.limits([Quota::per_hour(9)]).unwrap();
    let layer = with(&limit, &premium);
    let recorder = Recorder::new();
    let overflow = layer.handle().overflow();
    overflow
        .telemetry()
        .subscribe(recorder.listener())
        .forever();
    assert_eq!(admitted(&layer, "premium", 10).await, 9);
    assert_eq!(admitted(&layer, "other", 4).await, 3);
    let mut labels: Vec<_> = recorder.recorded().into_iter().map(|it| it.key).collect();
    labels.dedup();
    assert_eq!(labels, [Some("gold".to_owned()), None]);
    assert_eq!(layer.handle().len(), 2);
    while !layer.handle().is_empty() {
        layer.handle().forget_idle();
    }
    assert!(
        call(&layer, "premium").await.is_err(),
        "the server knows it"
    );
}

/// By default after a minute.
#[tokio::test]
async fn idle_keys_are_forgotten_in_the_background() {
    let test = Test::new();
    let limit = test.limit().quota(Quota::per_hour(3)).build().unwrap();
    let layer = |idle| {
        let layer = RateLimitLayer::plain("layer").shared(limit.clone());
        let layer = layer.keyed(KEYS, (|key| *key) as Key);
        layer.forget_idle_every(idle).build().unwrap()
    };
    let (kept, forgotten) = (layer(Duration::ZERO), layer(Duration::from_millis(1)));
    call(&kept, "key").await.unwrap();
    call(&forgotten, "key").await.unwrap();
    while !forgotten.handle().is_empty() {
        tokio::task::yield_now().await;
    }
    assert_eq!(kept.handle().len(), 1);
}
