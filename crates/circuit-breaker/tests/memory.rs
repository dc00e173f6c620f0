//! What an idle key of a keyed layer takes: the figure in the docs is measured here.

use std::num::NonZeroUsize;

use seaworthy_circuit_breaker::CircuitBreakerLayer;

#[test]
fn idle_key_takes_about_as_much_memory_as_the_docs_say() {
    const KEYS: u64 = 1000;
    let max_keys = NonZeroUsize::new(KEYS as usize).unwrap();
    let layer = CircuitBreakerLayer::plain("hosts")
        .keyed::<u64, _>(max_keys, |key: &u64| *key)
        .unwrap();
    let handle = layer.handle();
    // The maps grow by doubling; measured is what is kept when they are full.
    let info = allocation_counter::measure(|| {
        for key in 0..KEYS {
            drop(handle.get_or_make(&key));
        }
    });
    let each = info.bytes_current as u64 / KEYS;
    assert!((400..1200).contains(&each), "{each} bytes");
}
