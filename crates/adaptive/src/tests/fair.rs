//! Tenants share a limit: what the noisy and the quiet get, and what is left of them.

use std::convert::Infallible;
use std::future::{pending, ready};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::time::{Instant, sleep, sleep_until};
use tower::{Layer, Service, ServiceExt, service_fn};

use super::*;

mod keyed;
mod stress;

/// Whose request it is.
type Name = u32;

type FairLayer = FairAdaptiveLayer<Plain, fn(&Name) -> Tenant>;

const NOISY: Name = 1;
const QUIET: Name = 2;

fn own(name: &Name) -> Tenant {
    tenant(name)
}

/// The suite's own calls, and those that take all slots for it.
fn all(_: &Name) -> Tenant {
    tenant("all")
}

fn fair<M>(builder: Builder<Plain, M>) -> FairLayer {
    builder.fair_by(own as fn(&Name) -> Tenant).build().unwrap()
}

fn ten() -> Builder<Plain> {
    limit(10).min(10).max(10)
}

mod sheds {
    use super::*;

    seaworthy_kit::testing::conformance! {
        layer: || eight().fair_by(all as fn(&Name) -> Tenant).build().unwrap(),
        readiness: always,
        errors: unchanged,
        on_drop: cancels,
        held: |layer| layer.handle().snapshot().running,
        events: |layer, recorder| layer.handle().subscribe(recorder.listener()).forever(),
        refuses: |layer| occupy::<_, u32, u32>(layer, 8),
        rejects: Rejects::with(RejectionKind::Shed, "pool"),
        drains: |layer| layer.handle().drain(),
        observes: |layer, on| layer.handle().control().observe_only(on),
        meddles: |layer, draw| meddle(&layer.handle(), draw),
    }
}

mod queues {
    use super::*;

    seaworthy_kit::testing::conformance! {
        layer: || fair(eight()
            .queue(100)
            .queue_delay(Duration::from_secs(3600), Duration::from_secs(3600))),
        readiness: always,
        errors: unchanged,
        on_drop: cancels,
        held: |layer| {
            let seen = layer.handle().snapshot();
            seen.running + seen.waiting
        },
        events: |layer, recorder| layer.handle().subscribe(recorder.listener()).forever(),
        waits: |layer| occupy::<_, u32, u32>(layer, 8),
        drains: |layer| layer.handle().drain(),
        meddles: |layer, draw| meddle(&layer.handle(), draw),
    }
}

/// How many of its calls a tenant had served.
#[derive(Default, Debug)]
struct Served {
    calls: AtomicUsize,
    served: AtomicUsize,
}

impl Served {
    fn share(&self) -> f64 {
        let count = |it: &AtomicUsize| it.load(Ordering::Relaxed) as f64;
        count(&self.served) / count(&self.calls)
    }
}

/// A tenant that calls every so often, whether it is served or not; each call takes from 10 to 30 ms.
async fn calls(layer: FairLayer, name: Name, every: Duration, until: Instant) -> Arc<Served> {
    let served = Arc::new(Served::default());
    let mut random = fastrand::Rng::with_seed(name.into());
    let mut next = Instant::now();
    let mut running = tokio::task::JoinSet::new();
    while next < until {
        sleep_until(next).await;
        next += every.mul_f64(0.5 + random.f64());
        let takes = Duration::from_micros(random.u64(10_000..30_000));
        let inner = service_fn(move |_: Name| async move {
            sleep(takes).await;
            Ok::<_, Infallible>(())
        });
        let (layer, served) = (layer.clone(), served.clone());
        running.spawn(async move {
            served.calls.fetch_add(1, Ordering::Relaxed);
            if layer.layer(inner).oneshot(name).await.is_ok() {
                served.served.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    running.join_all().await;
    served
}

/// What the quiet and the noisy one had served, in calls of ten at once of which each takes 20 ms on average: 500 in a second.
async fn contend(layer: FairLayer, quiet: Duration, noisy: Duration) -> [Arc<Served>; 2] {
    let until = Instant::now() + Duration::from_secs(4);
    let (most, handle) = (Arc::new(AtomicUsize::new(0)), layer.handle());
    let seen = most.clone();
    let listener = move |_: &seaworthy_kit::Report<'_>| {
        seen.fetch_max(handle.snapshot().running, Ordering::Relaxed);
    };
    layer.handle().subscribe(listener).forever();
    let noisy = tokio::spawn(calls(layer.clone(), NOISY, noisy, until));
    let quiet = tokio::spawn(calls(layer.clone(), QUIET, quiet, until));
    let both = [quiet.await.unwrap(), noisy.await.unwrap()];
    let snapshot = layer.handle().snapshot();
    assert_eq!(
        (snapshot.running, snapshot.waiting, snapshot.tenants),
        (0, 0, 0)
    );
    let above = if snapshot.queue_limit == 0 { 4 } else { 0 };
    assert!(most.load(Ordering::Relaxed) <= 10 + above);
    both
}

#[tokio::test(start_paused = true)]
async fn noisy_tenant_does_not_push_a_quiet_one_under_its_share() {
    let every = 10 * MILLI;
    for layer in [fair(ten()), fair(ten().queue(50))] {
        let [quiet, noisy] = contend(layer, every, every / 50).await;
        assert!(quiet.share() >= 0.95, "{quiet:?}");
        // What the quiet one leaves, 1,600 calls in four seconds, is the noisy one's.
        let served = noisy.served.load(Ordering::Relaxed);
        assert!(served >= 1_450, "{served}");
    }
}

/// The same with one name for both, to see that it is the shares that do it.
#[tokio::test(start_paused = true)]
async fn without_shares_the_quiet_one_loses_half_of_its_calls() {
    let layer = ten().fair_by(all as fn(&Name) -> Tenant).build().unwrap();
    let [quiet, _] = contend(layer, 10 * MILLI, 10 * MILLI / 50).await;
    assert!(quiet.share() < 0.5, "{quiet:?}");
}

#[tokio::test(start_paused = true)]
async fn tenant_that_asks_for_its_whole_share_gets_it() {
    // With five slots of its own and no queue, 72 calls of a hundred that come at random would find one free (Erlang's formula).
    for (layer, least) in [(fair(ten()), 0.72), (fair(ten().queue(50)), 0.95)] {
        // 250 calls in a second are half of what there is.
        let [quiet, _] = contend(layer, 4 * MILLI, 4 * MILLI / 20).await;
        assert!(quiet.share() >= least, "{quiet:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn share_goes_by_weight() {
    let weighs = |name: &Name| tenant(name).weight(*name);
    for builder in [ten().queue(50), ten().queue(8)] {
        let layer = builder
            .fair_by(weighs as fn(&Name) -> Tenant)
            .build()
            .unwrap();
        let every = MILLI / 2;
        let [heavy, light] = contend(layer, every, every).await;
        let ratio = heavy.share() / light.share();
        assert!((1.7..=2.3).contains(&ratio), "{ratio}");
    }
}

/// Calls of a name that run until they are dropped.
fn hangs(
    layer: &FairLayer,
    name: Name,
    calls: usize,
) -> Vec<Spawn<Pin<Box<dyn Future<Output = Answer>>>>> {
    let start = |_| {
        let inner = service_fn(|_: Name| pending::<Answer>());
        let call: Pin<Box<dyn Future<Output = Answer>>> = Box::pin(layer.layer(inner).call(name));
        let mut call = task::spawn(call);
        assert_pending!(call.poll());
        call
    };
    (0..calls).map(start).collect()
}

#[tokio::test(start_paused = true)]
async fn whoever_is_alone_gets_all_and_calls_that_are_given_up_leave_nothing() {
    let layer = fair(ten().queue(5));
    let handle = layer.handle();
    let running = hangs(&layer, NOISY, 10);
    assert_eq!(
        (handle.snapshot().running, handle.snapshot().tenants),
        (10, 1)
    );
    let waiting = hangs(&layer, NOISY, 3);
    let quiet = hangs(&layer, QUIET, 2);
    assert_eq!(
        (handle.snapshot().waiting, handle.snapshot().tenants),
        (5, 2)
    );
    drop(waiting);
    drop(running);
    assert_eq!(
        (handle.snapshot().running, handle.snapshot().tenants),
        (2, 1)
    );
    drop(quiet);
    assert_eq!(
        (handle.snapshot().running, handle.snapshot().tenants),
        (0, 0)
    );
}

#[tokio::test(start_paused = true)]
async fn freed_slot_goes_to_who_has_least_and_is_passed_on_if_nobody_comes_for_it() {
    let layer = fair(limit(2).min(2).max(2).queue(9));
    let mut running = hangs(&layer, NOISY, 2);
    let noisy = hangs(&layer, NOISY, 2);
    let quiet = hangs(&layer, QUIET, 1);
    running.pop();
    assert!(quiet[0].is_woken() && !noisy[0].is_woken());
    drop(quiet);
    assert!(noisy[0].is_woken() && !noisy[1].is_woken());
}

#[tokio::test(start_paused = true)]
async fn line_of_one_does_not_shorten_the_wait_of_another() {
    let layer = fair(limit(1).min(1).max(1).queue(9));
    let _running = hangs(&layer, NOISY, 1);
    let first = hangs(&layer, NOISY, 1);
    advance(90 * MILLI).await;
    let _second = hangs(&layer, NOISY, 1);
    advance(11 * MILLI).await;
    assert!(
        first[0].is_woken(),
        "its 100 ms are over, and the line stands"
    );
    let noisy = hangs(&layer, NOISY, 1);
    let quiet = hangs(&layer, QUIET, 1);
    advance(6 * MILLI).await;
    assert!(noisy[0].is_woken() && !quiet[0].is_woken());
}

#[tokio::test(start_paused = true)]
async fn panics_leave_no_slot_and_no_tenant_behind() {
    let layer = fair(ten());
    for name in 0..30 {
        let inner = service_fn(|_: Name| async {
            advance(MILLI).await;
            std::panic::resume_unwind(Box::new("mine"));
            #[expect(unreachable_code, reason = "it says what it would give")]
            Ok::<(), Infallible>(())
        });
        let call = tokio::spawn(layer.layer(inner).oneshot(name));
        assert!(call.await.unwrap_err().is_panic());
    }
    let wrong = |_: &Name| -> Tenant { panic!("as a user's function may") };
    let layer = ten().fair_by(wrong as fn(&Name) -> Tenant).build().unwrap();
    let mut service = layer.layer(service_fn(|_: Name| ready(Ok::<_, Infallible>(()))));
    let call = std::panic::AssertUnwindSafe(|| drop(service.call(1)));
    assert!(std::panic::catch_unwind(call).is_err());
    let snapshot = layer.handle().snapshot();
    assert_eq!((snapshot.running, snapshot.tenants), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn made_up_names_cost_no_memory_and_no_more_than_their_calls() {
    let layer = fair(ten().queue(5));
    let handle = layer.handle();
    let mut calls = hangs(&layer, NOISY, 10);
    for name in 100..10_000 {
        let inner = service_fn(|_: Name| pending::<Answer>());
        let mut call = task::spawn(Box::pin(layer.layer(inner).call(name)));
        let _ = call.poll();
        assert!(handle.snapshot().tenants <= 16);
        if name % 1000 == 0 {
            calls.pop();
        }
    }
    let snapshot = handle.snapshot();
    assert_eq!((snapshot.waiting, snapshot.tenants), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn calls_of_the_handle_are_those_of_one_tenant() {
    let layer = fair(ten());
    let _noisy = hangs(&layer, NOISY, 10);
    let handle = layer.handle();
    assert!(handle.call(|| ready(Ok::<_, BoxError>(()))).await.is_ok());
    assert_eq!(handle.snapshot().tenants, 1);
}

#[test]
fn impossible_options_are_named_when_the_layer_is_built() {
    let wrong = ten().drop_rate(0.0).fair_by(own).build();
    assert_eq!(wrong.unwrap_err().option(), "drop_rate");
    let wrong = limit(1).max(0).fair_by(own).build();
    assert_eq!(wrong.unwrap_err().option(), "max");
}
