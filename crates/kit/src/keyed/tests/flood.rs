//! How room is made for a new key: where every gate is in use and callers make up keys, and while a gate is being made.

use std::sync::atomic::AtomicBool;

use super::*;
use crate::gate::NoWait;
use crate::{Refusal, Telemetry, Verdict};

/// Notes how often it is asked whether it may be forgotten, and may not while it is busy.
struct Watched {
    limit: Limit,
    asked: Arc<AtomicUsize>,
    is_busy: Arc<AtomicBool>,
}

impl Gate for Watched {
    type Admission = ();
    type Wait = NoWait<()>;

    fn check(&self) -> Result<(), Refusal> {
        Gate::check(&self.limit)
    }

    fn try_admit(&self) -> Result<(), Refusal> {
        self.limit.try_admit()
    }

    fn settle(&self, admission: (), verdict: Verdict) {
        self.limit.settle(admission, verdict);
    }

    fn telemetry(&self) -> &Telemetry {
        self.limit.telemetry()
    }

    fn is_forgettable(&self) -> bool {
        self.asked.fetch_add(1, Ordering::SeqCst);
        !self.is_busy.load(Ordering::SeqCst)
    }
}

#[test]
fn flood_of_keys_into_a_full_map_looks_at_few_places_for_each() {
    let asked = Arc::new(AtomicUsize::new(0));
    let is_busy = Arc::new(AtomicBool::new(true));
    for max_keys in [64, 2000] {
        let (watched, busy) = (asked.clone(), is_busy.clone());
        is_busy.store(true, Ordering::SeqCst);
        let bound = NonZeroUsize::new(max_keys).unwrap();
        let layer: KeyedLayer<_, _, u32, _> = KeyedLayer::new(
            Plain::new(),
            bound,
            |key: &u32| *key,
            move |_| Watched {
                limit: Limit::new(1),
                asked: watched.clone(),
                is_busy: busy.clone(),
            },
        );
        let handle = layer.handle();
        let keys = 0..max_keys as u32;
        keys.for_each(|key| drop(handle.get_or_make(&key)));
        let overflow = handle.overflow();
        let flood = |from: u32| {
            let before = asked.load(Ordering::SeqCst);
            let refused =
                (from..from + 10_000).filter(|key| handle.get_or_make(key).same(&overflow));
            (refused.count(), asked.load(Ordering::SeqCst) - before)
        };
        // One far look in each shard.
        let (refused, looks) = flood(10_000);
        assert_eq!(refused, 10_000);
        assert!(looks <= 4 * 10_000 + 16 * 200, "{looks}");
        // And yet room is found as soon as there is some.
        is_busy.store(false, Ordering::SeqCst);
        assert_eq!(flood(30_000).0, 0, "of {max_keys}");
    }
}

#[test]
fn function_that_makes_a_gate_may_ask_the_map() {
    let asked = Arc::new(OnceLock::<KeyedHandle<Limit, u32>>::new());
    let handle = asked.clone();
    let max_keys = NonZeroUsize::new(4).unwrap();
    let layer: KeyedLayer<_, _, u32, _> = KeyedLayer::new(
        Plain::new(),
        max_keys,
        |key: &u32| *key,
        move |_| {
            if let Some(handle) = handle.get() {
                // And even make the gate that is being made: the first is kept.
                let made = handle.get(&7).is_none() && handle.len() < 2;
                drop(made.then(|| handle.get_or_make(&7)));
            }
            Limit::new(1)
        },
    );
    let handle = layer.handle();
    asked.set(handle.clone()).unwrap();
    let made = handle.get_or_make(&7);
    assert!(made.same(&handle.get(&7).unwrap()));
    assert_eq!(handle.len(), 1, "and the other's room was given back");
}

#[test]
fn all_who_make_the_same_gate_have_one_seat() {
    let asked = Arc::new(OnceLock::<KeyedHandle<Limit, u32>>::new());
    let handle = asked.clone();
    let max_keys = NonZeroUsize::new(2).unwrap();
    let is_first = AtomicBool::new(true);
    let make = move |_: Option<&u32>| {
        if let Some(handle) = handle.get()
            && is_first.swap(false, Ordering::SeqCst)
        {
            // Inside, another makes the gate that is being made, and then one of another key.
            let busy = handle.get_or_make(&7).hold_shared();
            let other = handle.get_or_make(&8).hold_shared();
            drop((busy, other));
        }
        Limit::new(1)
    };
    let layer: KeyedLayer<_, _, u32, _> =
        KeyedLayer::new(Plain::new(), max_keys, |key: &u32| *key, make);
    let handle = layer.handle();
    asked.set(handle.clone()).unwrap();
    drop(handle.get_or_make(&7));
    assert_eq!(handle.len(), 2, "each of both keys has a gate of its own");
    assert!(handle.get(&8).is_some());
}
