//! A delay and a budget for each key, and no more keys than there may be.

use std::num::NonZeroUsize;

use seaworthy_kit::keyed::{Keyed, KeyedHandle};
use seaworthy_kit::testing::conformance;
use seaworthy_kit::{Gate, Rejection, RejectionKind};
use tokio_test::{assert_pending, assert_ready};
use tower::ServiceExt;

use super::*;
use crate::{BudgetConfig, HedgeGate, Percentile};

type Key = fn(&u32) -> u32;
type ByKey = HedgeLayer<
    seaworthy_kit::Plain,
    seaworthy_kit::Plain,
    crate::Rules,
    Keyed<HedgeGate, u32, Key>,
>;
type Keys = KeyedHandle<HedgeGate, u32>;

/// One key for ten numbers.
fn keyed(builder: Plain, max_keys: usize) -> ByKey {
    let max_keys = NonZeroUsize::new(max_keys).unwrap();
    let key: Key = |request| request / 10;
    builder.keyed(max_keys, key).unwrap()
}

fn handle(keys: &Keys, key: u32) -> HedgeHandle {
    keys.get(&key).expect("it was used").into()
}

/// A scripted service behind such a layer.
fn rig(layer: &ByKey) -> (impl Fn(u32) -> Spawn<KeyedCall>, Remote<u32, u32>) {
    let (inner, remote) = Inner::new();
    let service = layer.layer(inner);
    let call = move |request| {
        let mut service = service.clone();
        let ready = task::spawn(()).enter(|cx, _| service.poll_ready(cx).is_ready());
        assert!(ready, "the scripted service is ready");
        task::spawn(service.call(request))
    };
    (call, remote)
}

type KeyedCall = <<ByKey as Layer<Inner<u32, u32>>>::Service as Service<u32>>::Future;

/// A call that takes so long.
async fn taking(
    call: &impl Fn(u32) -> Spawn<KeyedCall>,
    remote: &Remote<u32, u32>,
    request: u32,
    time: Duration,
) {
    let mut call = call(request);
    assert_pending!(call.poll());
    tokio::time::advance(time).await;
    remote.next_call().unwrap().answer(request);
    assert_ready!(call.poll()).unwrap();
}

#[tokio::test(start_paused = true)]
async fn every_key_has_a_budget_of_its_own() {
    let half = BudgetConfig::default().share(0.5).floor(0);
    let layer = keyed(plain().budget(half), 8);
    let (call, remote) = rig(&layer);
    let recorder = Recorder::new();
    let telemetry = layer.handle().overflow();
    telemetry
        .telemetry()
        .subscribe(recorder.listener())
        .forever();
    for request in [10, 11, 12] {
        taking(&call, &remote, request, MILLI).await;
    }
    // Three calls of the other key are nothing to this one.
    let mut slow = call(20);
    assert_pending!(slow.poll());
    tokio::time::advance(DELAY).await;
    assert_pending!(slow.poll());
    assert_eq!(withheld(&recorder), ["budget"]);
    let mut slow = call(13);
    assert_pending!(slow.poll());
    tokio::time::advance(DELAY).await;
    assert_pending!(slow.poll());
    assert_eq!(handle(&layer.handle(), 1).snapshot().hedges, 1);
    assert_eq!(handle(&layer.handle(), 2).snapshot().hedges, 0);
    assert_eq!(handle(&layer.handle(), 2).snapshot().calls, 1);
}

#[tokio::test(start_paused = true)]
async fn shared_budget_is_one_for_all_keys() {
    let half = BudgetConfig::default().share(0.5).floor(0);
    let budget = crate::Budget::try_new(half).unwrap();
    let layer = keyed(plain().budget(budget.clone()), 8);
    let (call, remote) = rig(&layer);
    for request in [10, 11, 12] {
        taking(&call, &remote, request, MILLI).await;
    }
    assert_eq!(budget.offered(), 3);
    let mut slow = call(20);
    assert_pending!(slow.poll());
    tokio::time::advance(DELAY).await;
    assert_pending!(slow.poll());
    assert_eq!(handle(&layer.handle(), 2).snapshot().hedges, 1);
}

#[tokio::test(start_paused = true)]
async fn every_key_has_a_percentile_of_its_own() {
    let layer = keyed(plain().delay(Percentile::new(0.9).min_samples(5)), 8);
    let (call, remote) = rig(&layer);
    for _ in 0..5 {
        taking(&call, &remote, 10, 5 * MILLI).await;
        taking(&call, &remote, 20, 500 * MILLI).await;
    }
    let [quick, slow] = [1, 2].map(|key| handle(&layer.handle(), key).snapshot());
    assert!(quick.delay.unwrap() < 6 * MILLI, "{quick:?}");
    assert!(slow.delay.unwrap() >= 500 * MILLI, "{slow:?}");
    assert_eq!(slow.samples, 5);
}

#[tokio::test(start_paused = true)]
async fn keys_are_bounded_and_idle_ones_are_forgotten() {
    let layer = keyed(plain().delay(Percentile::new(0.9).window(20 * SECOND)), 2);
    let keys = layer.handle();
    let (call, remote) = rig(&layer);
    let running = [10, 20, 30, 40].map(&call);
    assert_eq!(keys.len(), 2);
    assert_eq!(keys.overflow().in_flight(), 2, "those that found no room");
    drop((running, remote));
    tokio::time::sleep(15 * SECOND).await;
    assert_eq!(keys.len(), 2, "their latencies count still");
    tokio::time::sleep(30 * SECOND).await;
    assert!(keys.is_empty());
}

#[tokio::test(start_paused = true)]
async fn key_whose_hedges_are_off_is_not_forgotten() {
    let layer = keyed(plain(), 8);
    let keys = layer.handle();
    HedgeHandle::from(keys.get_or_make(&1)).set_enabled(false);
    let _ = keys.get_or_make(&2);
    assert_eq!(keys.forget_idle() + keys.forget_idle(), 1);
    assert!(!handle(&keys, 1).snapshot().enabled);
    let (call, remote) = rig(&layer);
    let mut slow = call(10);
    assert_pending!(slow.poll());
    tokio::time::advance(DELAY).await;
    assert_pending!(slow.poll());
    assert_eq!(remote.counts().calls, 1);
}

#[tokio::test(start_paused = true)]
async fn one_key_is_drained_alone() {
    let layer = keyed(plain(), 8);
    let (inner, remote) = Inner::<u32, u32>::new();
    let service = layer.layer(inner);
    let _drain = layer.handle().get_or_make(&1).drain();
    let refused = service.clone().oneshot(10).await.unwrap_err();
    let rejection = refused.downcast_ref::<Rejection>().expect("a refusal");
    assert_eq!(rejection.kind(), RejectionKind::Draining);
    assert_eq!(remote.counts().calls, 0);
    let mut other = task::spawn(service.oneshot(20));
    assert_pending!(other.poll());
    assert_eq!(remote.counts().calls, 1);
}

#[test]
fn impossible_options_are_named_when_the_layer_is_built() {
    let keys = NonZeroUsize::new(8).unwrap();
    let error = plain()
        .max_hedges(9)
        .keyed::<u32, _>(keys, |request: &u32| *request);
    assert_eq!(error.unwrap_err().option(), "max_hedges");
}

mod suite {
    use super::*;

    fn layer() -> ByKey {
        keyed(HedgeLayer::plain("stock").hedge_error(|_| false), 8)
    }

    conformance! {
        layer: layer,
        readiness: inner,
        errors: unchanged,
        on_drop: cancels,
        held: |layer: &ByKey| {
            let keys = layer.handle().all();
            keys.iter().map(|(_, share)| share.in_flight()).sum()
        },
        events: |layer: &ByKey, recorder| {
            layer.handle().overflow().telemetry().subscribe(recorder.listener()).forever();
        },
        drains: |layer: &ByKey| layer.handle().drain(),
        meddles: |layer: &ByKey, draw| match draw % 3 {
            0 => layer.handle().enforce_percent((draw / 3 % 101) as u8),
            1 => HedgeHandle::from(layer.handle().get_or_make(&0)).set_enabled((draw / 3).is_multiple_of(2)),
            _ => layer.handle().resume(),
        },
    }
}
