//! The bounded map: who is kept, who is forgotten, who gets the overflow gate.

use std::sync::atomic::{AtomicUsize, Ordering};

use tower_service::Service;

use super::*;
use crate::testing::fixtures::Limit;
use crate::testing::{Inner, Remote};
use crate::{Plain, Rejection};

mod flood;

type ByKey = KeyedLayer<Limit, Plain, u32, fn(&u32) -> u32>;

fn layer(max_keys: usize) -> ByKey {
    let max_keys = NonZeroUsize::new(max_keys).unwrap();
    KeyedLayer::new(
        Plain::new(),
        max_keys,
        |request| *request,
        |_| Limit::new(1),
    )
}

fn find(layer: &ByKey, key: u32) -> Share<Limit> {
    layer.handle().get_or_make(&key)
}

fn known(layer: &ByKey) -> Vec<u32> {
    let mut keys: Vec<_> = layer
        .handle()
        .all()
        .into_iter()
        .map(|(key, _)| key)
        .collect();
    keys.sort_unstable();
    keys
}

fn service(
    layer: &ByKey,
) -> (
    Deferred<Inner<u32, u32>, Plain, Keyed<Limit, u32, fn(&u32) -> u32>>,
    Remote<u32, u32>,
) {
    let (inner, remote) = Inner::new();
    (layer.layer(inner), remote)
}

#[test]
fn as_many_keys_are_kept_as_asked_for() {
    for max_keys in [1, 2, 10, 100, 1000, 5000] {
        let layer = layer(max_keys);
        for key in 0..max_keys as u32 {
            find(&layer, key);
        }
        assert_eq!(known(&layer), (0..max_keys as u32).collect::<Vec<_>>());
        assert_eq!(layer.handle().len(), max_keys);
    }
}

#[test]
fn map_never_grows_beyond_its_bound() {
    for max_keys in [1, 3, 64, 200] {
        let layer = layer(max_keys);
        for key in 0..10_000 {
            find(&layer, key);
            assert!(layer.handle().len() <= max_keys);
        }
        assert_eq!(layer.handle().len(), max_keys);
        assert_eq!(known(&layer).len(), max_keys);
        assert!(known(&layer).contains(&9_999), "the newest key is known");
    }
}

#[test]
fn oldest_key_is_forgotten_first_unless_it_was_used_since() {
    let layer = layer(3);
    for key in [1, 2, 3] {
        find(&layer, key);
    }
    find(&layer, 1);
    find(&layer, 4);
    assert_eq!(
        known(&layer),
        [1, 3, 4],
        "2 is the oldest that was not used"
    );
    find(&layer, 5);
    assert_eq!(known(&layer), [1, 4, 5]);
}

#[test]
fn second_chance_is_one_chance() {
    let layer = layer(2);
    for key in [1, 2, 1, 2] {
        find(&layer, key);
    }
    find(&layer, 3);
    assert_eq!(known(&layer), [2, 3], "all were used: the oldest goes");
}

#[test]
fn key_in_use_is_not_forgotten() {
    let layer = layer(2);
    let mut source = layer.keyed.clone();
    let held = source.hold(&1);
    for key in 2..100 {
        find(&layer, key);
        assert!(known(&layer).contains(&1));
    }
    drop(held);
    find(&layer, 100);
    find(&layer, 101);
    assert!(!known(&layer).contains(&1));
}

#[test]
fn key_that_is_refusing_is_not_forgotten() {
    let layer = layer(2);
    let refusing = find(&layer, 1);
    refusing.limit.store(0, Ordering::SeqCst);
    for key in 2..100 {
        find(&layer, key);
        assert!(known(&layer).contains(&1));
    }
    refusing.limit.store(1, Ordering::SeqCst);
    find(&layer, 100);
    find(&layer, 101);
    assert!(!known(&layer).contains(&1));
}

/// Or a flood of other keys would undo what an operator did: a drained key would take calls again.
#[test]
fn key_that_an_operator_has_switched_is_not_forgotten() {
    let switches: [fn(&Share<Limit>); 2] = [
        |share| drop(share.drain()),
        |share| share.control().observe_only(true),
    ];
    for switch in switches {
        let layer = layer(2);
        let switched = find(&layer, 1);
        switch(&switched);
        for key in 2..100 {
            find(&layer, key);
        }
        assert!(find(&layer, 1).same(&switched), "it was forgotten");
        switched.control().resume();
        switched.control().observe_only(false);
        for key in 2..100 {
            find(&layer, key);
        }
        assert!(!find(&layer, 1).same(&switched), "it is kept for ever");
    }
}

#[test]
fn forgotten_key_starts_afresh() {
    let layer = layer(1);
    let old = find(&layer, 1);
    find(&layer, 2);
    assert!(!find(&layer, 1).same(&old));
}

#[test]
fn keys_without_room_share_one_gate() {
    let layer = layer(1);
    let (mut service, remote) = service(&layer);
    let mut start = |key| {
        let mut future = tokio_test::task::spawn(service.call(key));
        (future.poll(), future)
    };
    let (busy, _first) = start(1);
    let (admitted, _second) = start(2);
    assert!(busy.is_pending() && admitted.is_pending());
    assert_eq!(remote.counts().calls, 2);
    assert_eq!(layer.handle().overflow().running.load(Ordering::SeqCst), 1);
    let (refused, _third) = start(3);
    let std::task::Poll::Ready(Err(error)) = &refused else {
        panic!("the overflow gate has room for one, and the answer is {refused:?}");
    };
    assert_eq!(Rejection::find(&**error).unwrap().layer(), "pool");
    assert_eq!(known(&layer), [1], "keys without room leave no trace");
}

#[test]
fn panic_while_a_gate_is_made_takes_no_room() {
    let max_keys = NonZeroUsize::new(2).unwrap();
    let layer: KeyedLayer<_, _, u32, _> = KeyedLayer::new(
        Plain::new(),
        max_keys,
        |key: &u32| *key,
        |key| {
            if key == Some(&13) {
                std::panic::resume_unwind(Box::new("unlucky"));
            }
            Limit::new(1)
        },
    );
    for _ in 0..5 {
        let handle = layer.handle();
        let made =
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| handle.get_or_make(&13)));
        assert!(made.is_err());
        assert!(handle.is_empty());
    }
    for key in [1, 2] {
        let _ = layer.handle().get_or_make(&key);
    }
    assert_eq!(layer.handle().len(), 2);
}

thread_local! {
    /// Whether keys of this thread panic when they are compared.
    static BROKEN: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
}

/// A key of a user whose `Eq` may panic, and which all have one hash.
#[derive(Clone, Debug)]
struct Fragile(u32);

impl PartialEq for Fragile {
    fn eq(&self, other: &Self) -> bool {
        if BROKEN.get() {
            std::panic::resume_unwind(Box::new("as a broken key might"));
        }
        self.0 == other.0
    }
}

impl Eq for Fragile {}

impl Hash for Fragile {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        0_u8.hash(state);
    }
}

/// A key that dropped out of the order, and not out of the map, would keep its room for ever.
#[test]
fn panic_while_keys_are_compared_takes_no_room() {
    let max_keys = NonZeroUsize::new(4).unwrap();
    let layer: KeyedLayer<_, _, Fragile, _> = KeyedLayer::new(
        Plain::new(),
        max_keys,
        |key: &u32| Fragile(*key),
        |_| Limit::new(1),
    );
    let handle = layer.handle();
    for key in 0..4 {
        let _ = handle.get_or_make(&Fragile(key));
    }
    for place in 0..8 {
        BROKEN.set(true);
        let shard = &layer.keyed.map.shards[0];
        let forgotten = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            shard.forget_one(MAX_LOOKS, &layer.keyed.map.control)
        }));
        BROKEN.set(false);
        assert!(forgotten.is_err(), "{place}: the keys were compared");
    }
    let overflow = handle.overflow();
    for key in 4..100 {
        assert!(!handle.get_or_make(&Fragile(key)).same(&overflow), "{key}");
        assert_eq!(handle.len(), 4);
    }
    assert_eq!(handle.all().len(), 4);
}

#[test]
fn limit_of_a_key_holds_across_threads() {
    let layer = layer(4);
    let running: [AtomicUsize; 4] = Default::default();
    std::thread::scope(|threads| {
        for _ in 0..4 {
            let mut source = layer.keyed.clone();
            let running = &running;
            threads.spawn(move || {
                for step in 0..2_000_u32 {
                    let key = step % 4;
                    let held = source.hold(&key);
                    if held.try_admit().is_ok() {
                        let running = &running[key as usize];
                        let before = running.fetch_add(1, Ordering::SeqCst);
                        assert_eq!(before, 0, "a key of four has one gate of its own");
                        std::thread::yield_now();
                        running.fetch_sub(1, Ordering::SeqCst);
                        held.settle((), crate::Verdict::SUCCESS);
                    }
                }
            });
        }
    });
    assert_eq!(known(&layer), [0, 1, 2, 3]);
    for (_, share) in layer.handle().all() {
        assert_eq!(share.in_flight(), 0);
    }
}

#[test]
fn bound_holds_across_threads() {
    let layer = layer(200);
    std::thread::scope(|threads| {
        for thread in 0..4_u32 {
            let (layer, mut source) = (&layer, layer.keyed.clone());
            threads.spawn(move || {
                for step in 0..3_000_u32 {
                    let held = source.hold(&(step.wrapping_mul(thread + 1) % 1000));
                    assert!(layer.handle().len() <= 200);
                    drop(held);
                }
            });
        }
    });
    assert_eq!(known(&layer).len(), layer.handle().len());
}

#[test]
fn keys_that_refuse_survive_a_flood_of_others_from_many_threads() {
    let layer = layer(50);
    let refusing: Vec<_> = (0..20).map(|key| find(&layer, key)).collect();
    for share in &refusing {
        share.limit.store(0, Ordering::SeqCst);
    }
    std::thread::scope(|threads| {
        for thread in 1..=4_u32 {
            let (layer, mut source) = (&layer, layer.keyed.clone());
            threads.spawn(move || {
                for step in 0..5_000_u32 {
                    drop(source.hold(&(1_000 * thread + step % 997)));
                    assert!(layer.handle().len() <= 50);
                }
            });
        }
    });
    for (key, share) in refusing.iter().enumerate() {
        assert!(find(&layer, key as u32).same(share), "{key} was forgotten");
    }
    assert_eq!(layer.handle().len(), 50, "the others have the room");
}

/// The bound is one for all shards: a shard whose keys all refuse must not turn newcomers away for that.
#[test]
fn newcomer_takes_room_from_another_shard() {
    let layer = layer(2 * KEYS_PER_SHARD);
    let map = &layer.keyed.map;
    assert_eq!(map.shards.len(), 2);
    let all = 0..2 * KEYS_PER_SHARD as u32;
    let (here, elsewhere): (Vec<_>, Vec<_>) = all.partition(|key| map.index(key) == 0);
    assert!(!elsewhere.is_empty(), "keys are spread");
    for key in here.iter().chain(&elsewhere) {
        find(&layer, *key);
    }
    for key in &here {
        find(&layer, *key).limit.store(0, Ordering::SeqCst);
    }
    let newcomer = (1_000..).find(|key| map.index(key) == 0).unwrap();
    let overflow = layer.handle().overflow();
    assert!(!find(&layer, newcomer).same(&overflow));
    let known = known(&layer);
    assert_eq!(known.len(), 2 * KEYS_PER_SHARD);
    assert!(known.contains(&newcomer));
    assert!(here.iter().all(|key| known.contains(key)), "they refuse");
}

#[test]
fn map_full_of_keys_that_refuse_gives_newcomers_the_overflow_gate() {
    let layer = layer(10);
    for key in 0..10 {
        find(&layer, key).limit.store(0, Ordering::SeqCst);
    }
    let overflow = layer.handle().overflow();
    for key in 10..100 {
        assert!(find(&layer, key).same(&overflow));
    }
    assert_eq!(known(&layer), (0..10).collect::<Vec<_>>());
    find(&layer, 3).limit.store(1, Ordering::SeqCst);
    let newcomer = (100..110).find(|key| !find(&layer, *key).same(&overflow));
    assert!(newcomer.is_some(), "one may be forgotten again");
    assert!(!known(&layer).contains(&3));
}
