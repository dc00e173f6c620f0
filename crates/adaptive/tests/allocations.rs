//! What a call behind an adaptive limit allocates: measured, because the docs name numbers.

use std::convert::Infallible;
use std::future::{Future, pending, ready};
use std::num::NonZeroUsize;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use seaworthy_adaptive::{AdaptiveLayer, tenant};
use tower::{Layer, Service, service_fn};

fn poll<S: Service<()>>(service: &mut S) -> Poll<Result<S::Response, S::Error>> {
    let mut cx = Context::from_waker(Waker::noop());
    assert!(service.poll_ready(&mut cx).is_ready());
    pin!(service.call(())).poll(&mut cx)
}

/// How often a hundred calls of a long-lived service allocate, each over when it is first polled.
fn allocations<S: Service<()>>(mut service: S) -> u64 {
    // The second call makes the service's own counter.
    (0..3).for_each(|_| assert!(poll(&mut service).is_ready()));
    let calls = || (0..100).for_each(|_| assert!(poll(&mut service).is_ready()));
    allocation_counter::measure(calls).count_total
}

#[test]
fn admitted_call_allocates_nothing_with_or_without_a_queue() {
    let answers = service_fn(|()| ready(Ok::<_, Infallible>(())));
    // Short windows: some of the calls end one, and decide.
    let builder = || {
        let builder = AdaptiveLayer::plain("api");
        builder.window(std::time::Duration::from_nanos(1), 10)
    };
    let sheds = builder().build().expect("valid options");
    assert_eq!(allocations(sheds.layer(answers)), 0);
    let queues = builder().queue(10).build().expect("valid options");
    assert_eq!(allocations(queues.layer(answers)), 0);
    // Nor what is kept of a tenant: a few of them that come and go have room where others had.
    let names = std::cell::Cell::new(0_u64);
    let whose = |(): &()| {
        names.set(names.get() + 1);
        tenant(&(names.get() % 5))
    };
    let fair = builder().fair_by(whose).build().expect("valid options");
    assert_eq!(allocations(fair.layer(answers)), 0);
    let fair = builder().queue(10).fair_by(whose).build();
    assert_eq!(allocations(fair.expect("valid options").layer(answers)), 0);
}

#[test]
fn refused_call_allocates_its_error_and_nothing_else() {
    let layer = AdaptiveLayer::plain("api").initial(1).max(1).build();
    let layer = layer.expect("valid options");
    let mut hangs = layer.layer(service_fn(|()| pending::<Result<(), Infallible>>()));
    let mut cx = Context::from_waker(Waker::noop());
    assert!(hangs.poll_ready(&mut cx).is_ready());
    let mut running = pin!(hangs.call(()));
    assert!(running.as_mut().poll(&mut cx).is_pending());

    let answers = service_fn(|()| ready(Ok::<_, Infallible>(())));
    assert_eq!(allocations(layer.layer(answers)), 100);
}

/// Bytes that are left of each key after it was called twice.
fn bytes_per_key<S: Service<u64>>(mut service: S, keys: u64) -> u64 {
    let mut cx = Context::from_waker(Waker::noop());
    let used = allocation_counter::measure(|| {
        for key in (0..keys).chain(0..keys) {
            assert!(pin!(service.call(key)).poll(&mut cx).is_ready());
        }
    });
    used.bytes_current as u64 / keys
}

#[test]
fn idle_key_costs_no_more_than_documented() {
    let answers = service_fn(|_: u64| ready(Ok::<_, Infallible>(())));
    for keys in [100, 1_000, 10_000] {
        let max_keys = NonZeroUsize::new(keys as usize).expect("above zero");
        let builder = || AdaptiveLayer::plain("tenants");
        let key: fn(&u64) -> u64 = |tenant| *tenant;

        let layer = builder().keyed(max_keys, key).expect("defaults");
        let bytes = bytes_per_key(layer.layer(answers), keys);
        assert_eq!(layer.handle().len() as u64, keys);
        assert!(bytes <= DOCUMENTED, "{bytes} bytes for each of {keys} keys");

        let layer = builder().fair_by(|name: &u64| tenant(name));
        let layer = layer.keyed(max_keys, key).expect("defaults");
        let bytes = bytes_per_key(layer.layer(answers), keys);
        assert_eq!(layer.handle().len() as u64, keys);
        assert!(bytes <= DOCUMENTED_FAIR, "fair: {bytes} for each of {keys}");
    }
}

/// What the docs of `Builder::keyed` say, 1,200, and some for another allocator or platform.
const DOCUMENTED: u64 = 1_400;

/// What the docs of `FairBuilder::keyed` say, 2,200, and some likewise.
const DOCUMENTED_FAIR: u64 = 2_500;
