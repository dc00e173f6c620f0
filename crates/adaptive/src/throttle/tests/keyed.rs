//! An account for each key: apart from the others, and kept as long as it matters.

use std::num::NonZeroUsize;

use seaworthy_kit::keyed::KeyedLayer;
use tower::{Layer, ServiceExt, service_fn};

use super::*;

type Hosts = KeyedLayer<ThrottleGate, Plain, u32, fn(&u32) -> u32>;

fn hosts(max_keys: usize) -> Hosts {
    let max_keys = NonZeroUsize::new(max_keys).unwrap();
    builder()
        .keyed(max_keys, (|host| *host) as fn(&u32) -> u32)
        .unwrap()
}

fn account(layer: &Hosts, host: u32) -> ThrottleHandle {
    layer.handle().get_or_make(&host).into()
}

#[tokio::test(start_paused = true)]
async fn overload_of_one_host_is_not_held_against_another() {
    let layer = hosts(10);
    let service = layer.layer(service_fn(async |host: u32| {
        if host == 1 { Err("too much") } else { Ok(host) }
    }));
    refused_where_possible(true);
    assert!(!is_shed(&service.clone().oneshot(1).await.unwrap_err()));
    assert!(is_shed(&service.clone().oneshot(1).await.unwrap_err()));
    service.clone().oneshot(2).await.unwrap();
    assert_eq!(counts(&account(&layer, 1), Critical), (2, 0, 1));
    assert_eq!(counts(&account(&layer, 2), Critical), (1, 1, 0));
}

#[tokio::test(start_paused = true)]
async fn key_whose_host_refuses_is_not_forgotten_until_the_window_is_over() {
    let layer = hosts(1);
    let service = layer.layer(service_fn(async |host: u32| {
        if host == 1 { Err("too much") } else { Ok(host) }
    }));
    let known = || {
        let all = layer.handle().all();
        all.into_iter().map(|(host, _)| host).collect::<Vec<_>>()
    };
    service.clone().oneshot(1).await.unwrap_err();
    service.clone().oneshot(2).await.unwrap();
    assert_eq!(known(), [1], "the other shares the overflow account");
    advance(Duration::from_secs(120)).await;
    service.clone().oneshot(2).await.unwrap();
    assert_eq!(known(), [2]);
}

#[tokio::test(start_paused = true)]
async fn options_that_somebody_has_set_hold_at_once_and_keep_their_key() {
    let layer = hosts(1);
    let service = layer.layer(service_fn(async |_: u32| Err::<(), _>("too much")));
    let handle = account(&layer, 1);
    service.clone().oneshot(1).await.unwrap_err();
    let before = handle.probability(Critical);
    let config = handle.config().max_rejection(0.125);
    handle.set_config(config).unwrap();
    assert!(before > 0.125);
    assert_eq!(handle.probability(Critical), 0.125);
    let wrong = handle.config().window(Duration::from_secs(1));
    assert_eq!(handle.set_config(wrong).unwrap_err().option(), "window");
    advance(Duration::from_secs(120)).await;
    let known = || layer.handle().get(&2).is_some();
    service.clone().oneshot(2).await.unwrap_err();
    assert!(!known(), "the first is kept: somebody has set it");
}

mod contract {
    use super::*;

    seaworthy_kit::testing::conformance! {
        layer: || hosts(4),
        readiness: always,
        errors: unchanged,
        on_drop: cancels,
    }
}
