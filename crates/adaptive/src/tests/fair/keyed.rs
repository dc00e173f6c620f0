//! A limit for each key, which the tenants of that key share.

use std::num::NonZeroUsize;

use seaworthy_kit::deferred::Source;
use seaworthy_kit::keyed::Keyed;

use super::*;

/// Where it goes, and whose it is.
type Request = (&'static str, Name);

type KeyedLayer<K> =
    FairAdaptiveLayer<Plain, fn(&Request) -> Tenant, Keyed<FairGate, K, fn(&Request) -> K>>;

const KEYS: NonZeroUsize = NonZeroUsize::new(2).unwrap();

fn by_route<M>(builder: Builder<Plain, M>) -> KeyedLayer<&'static str> {
    let key: fn(&Request) -> &'static str = |request| request.0;
    let tenant: fn(&Request) -> Tenant = |request| tenant(&request.1);
    builder.fair_by(tenant).keyed(KEYS, key).unwrap()
}

fn handle(layer: &KeyedLayer<&'static str>, route: &'static str) -> AdaptiveHandle<FairGate> {
    layer.handle().get_or_make(&route).into()
}

type Hanging = Spawn<Pin<Box<dyn Future<Output = Answer>>>>;

/// Starts a call that runs until it is dropped, if it is not refused.
fn start(layer: &KeyedLayer<&'static str>, request: Request) -> Option<Hanging> {
    let inner = service_fn(|_: Request| pending::<Answer>());
    let call: Pin<Box<dyn Future<Output = Answer>>> = Box::pin(layer.layer(inner).call(request));
    let mut call = task::spawn(call);
    call.poll().is_pending().then_some(call)
}

mod sheds {
    use super::*;

    fn one() -> FairAdaptiveLayer<Plain, fn(&Name) -> Tenant, Keyed<FairGate, (), fn(&Name)>> {
        let key: fn(&Name) = |_| ();
        let tenant: fn(&Name) -> Tenant = all;
        eight().fair_by(tenant).keyed(KEYS, key).unwrap()
    }

    seaworthy_kit::testing::conformance! {
        layer: || one(),
        readiness: always,
        errors: unchanged,
        on_drop: cancels,
        held: |layer| AdaptiveHandle::from(layer.handle().get_or_make(&())).snapshot().running,
        events: |layer, recorder| {
            let handle = AdaptiveHandle::from(layer.handle().get_or_make(&()));
            handle.subscribe(recorder.listener()).forever();
        },
        refuses: |layer| occupy::<_, u32, u32>(layer, 8),
        rejects: Rejects::with(RejectionKind::Shed, "pool"),
        drains: |layer| layer.handle().drain(),
        observes: |layer, on| layer.handle().observe_only(on),
        meddles: |layer, draw| meddle(&AdaptiveHandle::from(layer.handle().get_or_make(&())), draw),
    }
}

#[tokio::test(start_paused = true)]
async fn tenants_share_the_limit_of_their_key_and_no_other() {
    let layer = by_route(limit(4).min(4).max(4));
    let noisy: Vec<_> = (0..9).filter_map(|_| start(&layer, ("a", NOISY))).collect();
    assert_eq!(noisy.len(), 4, "alone on its route, it gets all of that");
    let quiet: Vec<_> = (0..9).filter_map(|_| start(&layer, ("a", QUIET))).collect();
    assert_eq!(quiet.len(), 2, "its share, above the limit");
    let elsewhere: Vec<_> = (0..9).filter_map(|_| start(&layer, ("b", NOISY))).collect();
    assert_eq!(
        elsewhere.len(),
        4,
        "what it has of one route is not held against it on another"
    );
    let seen = ["a", "b"].map(|route| handle(&layer, route).snapshot());
    assert_eq!(
        seen.each_ref().map(|it| (it.running, it.tenants)),
        [(6, 2), (4, 1)]
    );
    drop((noisy, quiet, elsewhere));
    let seen = ["a", "b"].map(|route| handle(&layer, route).snapshot());
    assert_eq!(
        seen.each_ref().map(|it| (it.running, it.tenants)),
        [(0, 0), (0, 0)]
    );
}

#[tokio::test(start_paused = true)]
async fn freed_slot_of_a_key_goes_to_who_has_least_of_that_key() {
    let layer = by_route(limit(2).min(2).max(2).queue(9));
    let _elsewhere: Vec<_> = (0..2)
        .map(|_| start(&layer, ("b", QUIET)).unwrap())
        .collect();
    let mut running: Vec<_> = (0..2)
        .map(|_| start(&layer, ("a", NOISY)).unwrap())
        .collect();
    let noisy = start(&layer, ("a", NOISY)).unwrap();
    let quiet = start(&layer, ("a", QUIET)).unwrap();
    running.pop();
    assert!(quiet.is_woken() && !noisy.is_woken());
}

#[test]
fn key_that_somebody_has_set_or_that_is_in_use_is_not_forgotten() {
    let layer = by_route(limit(4));
    handle(&layer, "set").set_bounds(2, 3).unwrap();
    let used = start(&layer, ("used", QUIET));
    drop(start(&layer, ("new", QUIET)));
    assert!(layer.handle().get(&"set").is_some() && layer.handle().get(&"used").is_some());
    drop(used);
    drop(start(&layer, ("new", QUIET)));
    drop(start(&layer, ("new", QUIET)));
    assert!(layer.handle().get(&"used").is_none() && layer.handle().get(&"new").is_some());
    assert_eq!(handle(&layer, "set").snapshot().max, 3);
}

#[tokio::test(start_paused = true)]
async fn drain_is_one_of_all_keys() {
    let layer = by_route(limit(4));
    let running = start(&layer, ("a", QUIET));
    let mut drained = task::spawn(layer.handle().drain());
    assert_pending!(drained.poll());
    assert!(start(&layer, ("a", QUIET)).is_none() && start(&layer, ("b", QUIET)).is_none());
    assert!(Source::<Request>::is_draining(&layer.source));
    drop(running);
    assert_ready!(drained.poll());
}

#[test]
fn key_with_a_label_is_told_by_it() {
    let key: fn(&Request) -> &'static str = |request| request.0;
    let tenant: fn(&Request) -> Tenant = |request| tenant(&request.1);
    let label = |key: &&'static str| (*key == "a").then(|| "a".to_owned());
    let layer = limit(1).max(1).fair_by(tenant);
    let layer = layer.keyed_with_label(KEYS, key, label).unwrap();
    for (route, expected) in [("a", Some("a".to_owned())), ("b", None)] {
        let heard = Arc::new(std::sync::Mutex::new(Vec::new()));
        let seen = heard.clone();
        let listener = move |report: &seaworthy_kit::Report<'_>| {
            seen.lock().unwrap().push(report.key.map(str::to_owned));
        };
        handle(&layer, route).subscribe(listener).forever();
        let running = start(&layer, (route, NOISY));
        assert!(start(&layer, (route, NOISY)).is_none());
        drop(running);
        assert!(heard.lock().unwrap().contains(&expected));
    }
}

#[test]
fn impossible_options_are_named_when_the_layer_is_built() {
    let key = |request: &Request| request.0;
    for (wrong, option) in [
        (ten().drop_rate(0.0), "drop_rate"),
        (limit(1).max(0), "max"),
    ] {
        let layer = wrong.fair_by(|_: &Request| Tenant::NOBODY);
        let error = layer.keyed::<&str, _>(KEYS, key).unwrap_err();
        assert_eq!(error.option(), option);
    }
}
