//! What a key costs that nobody uses any more: measured, because the docs name a number.

use std::convert::Infallible;
use std::future::ready;
use std::num::NonZeroUsize;

use seaworthy_bulkhead::BulkheadLayer;
use tokio_test::task;
use tower::{Layer, Service, service_fn};

/// Bytes that are left of each key after it was called so often.
fn bytes_per_key(keys: u64, calls: usize) -> u64 {
    let max_keys = NonZeroUsize::new(keys as usize).expect("above zero");
    let layer = BulkheadLayer::plain("tenants")
        .keyed(max_keys, |tenant: &u64| *tenant)
        .expect("defaults");
    let mut service = layer.layer(service_fn(|_: u64| ready(Ok::<_, Infallible>(()))));
    let used = allocation_counter::measure(|| {
        for key in 0..keys {
            for _ in 0..calls {
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
        for calls in [1, 2, 10] {
            let bytes = bytes_per_key(keys, calls);
            assert!(
                bytes <= DOCUMENTED,
                "{bytes} bytes for each of {keys} keys after {calls} calls"
            );
        }
    }
}

/// What the docs of `Builder::keyed` say, 630, and some for another allocator or platform.
const DOCUMENTED: u64 = 740;
