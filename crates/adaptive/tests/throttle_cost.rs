//! What adaptive throttling costs in memory: nothing for a call, and what the docs name for a key.

use std::convert::Infallible;
use std::future::ready;
use std::num::NonZeroUsize;

use seaworthy_adaptive::throttle::ThrottleLayer;
use tokio_test::task;
use tower::{Layer, Service, service_fn};

#[test]
fn admitted_call_allocates_nothing_whether_it_is_weighed_or_not() {
    for troubled in [false, true] {
        let layer = ThrottleLayer::plain("search").build().expect("defaults");
        let mut service = layer.layer(service_fn(|fail: bool| {
            ready(if fail { Err("too much") } else { Ok(()) })
        }));
        // The first two calls of a clone set it up.
        for _ in 0..10 {
            admit(&mut service, troubled);
        }
        let used = allocation_counter::measure(|| {
            for _ in 0..100 {
                admit(&mut service, false);
            }
        });
        assert_eq!(used.count_total, 0, "troubled: {troubled}");
    }
}

/// One call, polled once, by a waker that does nothing.
fn admit<S>(service: &mut S, request: bool)
where
    S: Service<bool>,
{
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    let call = std::pin::pin!(service.call(request));
    assert!(Future::poll(call, &mut cx).is_ready());
}

/// Bytes that are left of each key after it was called twice.
fn bytes_per_key(keys: u64) -> u64 {
    let max_keys = NonZeroUsize::new(keys as usize).expect("above zero");
    let layer = ThrottleLayer::plain("hosts")
        .keyed(max_keys, |host: &u64| *host)
        .expect("defaults");
    let mut service = layer.layer(service_fn(|_: u64| ready(Ok::<_, Infallible>(()))));
    let used = allocation_counter::measure(|| {
        for key in 0..keys {
            for _ in 0..2 {
                assert!(task::spawn(service.call(key)).poll().is_ready());
            }
        }
    });
    assert_eq!(layer.handle().len() as u64, keys);
    used.bytes_current as u64 / keys
}

#[test]
fn idle_key_costs_no_more_than_documented() {
    for keys in [100, 1_000, 10_000] {
        let bytes = bytes_per_key(keys);
        assert!(bytes <= DOCUMENTED, "{bytes} bytes for each of {keys} keys");
    }
}

/// What the docs of `Builder::keyed` say, 1,650, and some for another allocator or platform.
const DOCUMENTED: u64 = 1_900;
