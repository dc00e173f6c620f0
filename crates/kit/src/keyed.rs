//! One gate for each key of a request (host, tenant, route, anything), the same combinator for every layer, over a bounded map.

use std::collections::hash_map::RandomState;
use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::hash::{BuildHasher, Hash};
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, TryLockError};

use seaworthy_core::Seats;
use tower_layer::Layer;

use crate::control::Control;
use crate::deferred::{Deferred, Source};
use crate::gate::Gate;
use crate::share::{Held, Share};

use self::making::Made;
use self::sweep::Sweeper;

mod handle;
mod making;
pub use handle::KeyedHandle;

mod labels;
mod sweep;
mod switches;

/// A layer with one gate for each key.
///
/// # Where the state lives
/// In this value: its clones, and the services it makes, share one map.
pub struct KeyedLayer<G, T, K, F> {
    traffic: T,
    keyed: Keyed<G, K, F>,
}

/// Finds the gate of a request's key.
pub struct Keyed<G, K, F> {
    map: Arc<Map<G, K>>,
    key: F,
}

/// A bounded map from keys to gates.
///
/// A gate is made when its key is first seen.
/// When there is no room, the key that was not used for longest is forgotten, by the second-chance rule, if no call holds its gate, nobody has switched it alone and the gate may be forgotten.
/// If there is none such, the new key shares one overflow gate with all others that found no room: neither unlimited memory nor a way around the limit.
struct Map<G, K> {
    shards: Box<[Mutex<Shard<G, K>>]>,
    hasher: RandomState,
    max_keys: usize,
    /// The seats that are taken, in all shards together: a bound for each shard would turn keys away while others have room.
    seats: Seats,
    make: Box<dyn Fn(Option<&K>) -> G + Send + Sync>,
    overflow: Share<G>,
    /// What is switched for all keys, and so for each that is yet to come.
    control: Control,
    /// Forgets idle keys in the background, where it is asked to.
    sweeper: OnceLock<Sweeper<G, K>>,
}

struct Shard<G, K> {
    gates: HashMap<K, Kept<G>>,
    /// The keys, oldest first; a key used since it was last looked at gets another round.
    order: VecDeque<K>,
    making: Vec<Made<K>>,
    next_id: u64,
    /// How many calls in a row have looked for room and found none.
    fruitless: usize,
}

struct Kept<G> {
    share: Share<G>,
    used: bool,
}

// ===== impl KeyedLayer =====

impl<G: Gate, T, K: Hash + Eq + Clone, F> KeyedLayer<G, T, K, F> {
    /// Keeps at most `max_keys` gates, made by `make`; without a key it makes the overflow gate.
    pub fn new(
        traffic: T,
        max_keys: NonZeroUsize,
        key: F,
        make: impl Fn(Option<&K>) -> G + Send + Sync + 'static,
    ) -> Self {
        let overflow = make(None);
        Self::over(traffic, max_keys, key, overflow, make)
    }

    fn over(
        traffic: T,
        max_keys: NonZeroUsize,
        key: F,
        overflow: G,
        make: impl Fn(Option<&K>) -> G + Send + Sync + 'static,
    ) -> Self {
        let map = Arc::new(Map::new(max_keys, overflow, Box::new(make)));
        Self {
            traffic,
            keyed: Keyed { map, key },
        }
    }

    /// A view of the gates.
    pub fn handle(&self) -> KeyedHandle<G, K> {
        KeyedHandle {
            map: self.keyed.map.clone(),
        }
    }
}

impl<G, T, K, F> KeyedLayer<G, T, K, F> {
    /// Where a layer of one's own gets the gates from.
    pub fn into_source(self) -> Keyed<G, K, F> {
        self.keyed
    }
}

impl<S, G, T: Clone, K, F: Clone> Layer<S> for KeyedLayer<G, T, K, F> {
    type Service = Deferred<S, T, Keyed<G, K, F>>;

    fn layer(&self, inner: S) -> Self::Service {
        Deferred::new(inner, self.traffic.clone(), self.keyed.clone())
    }
}

impl<G, T: Clone, K, F: Clone> Clone for KeyedLayer<G, T, K, F> {
    fn clone(&self) -> Self {
        Self {
            traffic: self.traffic.clone(),
            keyed: self.keyed.clone(),
        }
    }
}

impl<G, T, K, F> fmt::Debug for KeyedLayer<G, T, K, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyedLayer").finish_non_exhaustive()
    }
}

// ===== impl Keyed =====

impl<Req, G, K, F> Source<Req> for Keyed<G, K, F>
where
    G: Gate,
    K: Hash + Eq + Clone,
    F: Fn(&Req) -> K,
{
    type Gate = G;

    fn hold(&mut self, request: &Req) -> Held<G> {
        let held = self.map.hold((self.key)(request));
        self.map.sweep();
        held
    }

    fn is_draining(&self) -> bool {
        self.map.control.is_draining()
    }
}

impl<G, K, F> Keyed<G, K, F> {
    /// A view of the gates.
    #[must_use]
    pub fn handle(&self) -> KeyedHandle<G, K> {
        KeyedHandle {
            map: self.map.clone(),
        }
    }
}

impl<G, K, F: Clone> Clone for Keyed<G, K, F> {
    fn clone(&self) -> Self {
        Self {
            map: self.map.clone(),
            key: self.key.clone(),
        }
    }
}

impl<G, K, F> fmt::Debug for Keyed<G, K, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keyed").finish_non_exhaustive()
    }
}

// ===== impl Map =====

impl<G: Gate, K: Hash + Eq + Clone> Map<G, K> {
    fn new(
        max_keys: NonZeroUsize,
        overflow: G,
        make: Box<dyn Fn(Option<&K>) -> G + Send + Sync>,
    ) -> Self {
        let shards = (max_keys.get() / KEYS_PER_SHARD).clamp(1, MAX_SHARDS);
        let shard = |_| {
            Mutex::new(Shard {
                gates: HashMap::new(),
                order: VecDeque::new(),
                making: Vec::new(),
                next_id: 0,
                fruitless: 0,
            })
        };
        Self {
            shards: (0..shards).map(shard).collect(),
            hasher: RandomState::new(),
            max_keys: max_keys.get(),
            seats: Seats::new(),
            overflow: Share::new(overflow),
            make,
            control: Control::new(),
            sweeper: OnceLock::new(),
        }
    }

    fn index(&self, key: &K) -> usize {
        self.hasher.hash_one(key) as usize % self.shards.len()
    }

    fn lock(&self, index: usize) -> MutexGuard<'_, Shard<G, K>> {
        self.shards[index]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn hold(&self, key: K) -> Held<G> {
        // Held under the shard's lock, so that the gate cannot be forgotten between finding and holding it.
        self.find(key, Share::hold_shared)
    }

    fn find<R>(&self, key: K, then: impl FnOnce(&Share<G>) -> R) -> R {
        let index = self.index(&key);
        let mut shard = self.lock(index);
        if let Some(share) = shard.get(&key) {
            return then(share);
        }
        // Declared before the lock is taken again, and so dropped after it.
        let Some(making) = self.begin(index, &mut shard, &key) else {
            return then(&self.overflow);
        };
        drop(shard);
        // Without the lock: it asks what quotas or label a user gives the key, and that may take time, or ask this map.
        let made = Share::new((self.make)(Some(&key)));
        let mut shard = self.lock(index);
        // Another thread may have been faster; its gate has calls already.
        if let Some(share) = shard.get(&key) {
            return then(share);
        }
        // The seat of the key, unless another's gate has taken it and was forgotten since.
        if !shard.made(making.id).has_seat {
            if !self.seat(index, &mut shard) {
                return then(&self.overflow);
            }
            shard.made(making.id).has_seat = true;
        }
        made.control().switch_as(&self.control);
        let result = then(&made);
        shard.order.push_back(key.clone());
        let share = made;
        shard.gates.insert(key, Kept { share, used: false });
        shard.made(making.id).has_seat = false;
        result
    }

    /// Makes room by forgetting a key.
    ///
    /// Where all gates are in use, as in a flood of keys that somebody makes up, a first call looks far, and those behind it look on where it stopped, a few places each: to be refused must not cost more than to be served.
    fn forget_one(&self, index: usize, shard: &mut Shard<G, K>) -> bool {
        let others = self.shards.len() - 1;
        let (looks, others) = match shard.fruitless {
            0 => (MAX_LOOKS, 0..others),
            before => {
                let at = before % others.max(1);
                (LOOKS_AFTERWARDS, at..(at + 1).min(others))
            }
        };
        let found = shard.forget_one(looks, &self.control)
            || others
                .into_iter()
                .any(|other| self.forget_one_elsewhere(index, other));
        shard.fruitless = if found {
            0
        } else {
            shard.fruitless.wrapping_add(1).max(1)
        };
        found
    }

    /// Makes room in one of the other shards than this, which is locked: whoever else holds a lock is not waited for, or two could wait for each other.
    fn forget_one_elsewhere(&self, index: usize, other: usize) -> bool {
        let shard = &self.shards[(index + 1 + other) % self.shards.len()];
        match shard.try_lock() {
            Ok(mut shard) => shard.forget_one(LOOKS_ELSEWHERE, &self.control),
            Err(TryLockError::Poisoned(poisoned)) => poisoned
                .into_inner()
                .forget_one(LOOKS_ELSEWHERE, &self.control),
            Err(TryLockError::WouldBlock) => false,
        }
    }
}

/// Enough that threads seldom meet.
const MAX_SHARDS: usize = 16;

/// Few keys are in one shard, where the one that was not used for longest is found exactly.
const KEYS_PER_SHARD: usize = 64;

// ===== impl Shard =====

impl<G: Gate, K: Hash + Eq + Clone> Shard<G, K> {
    fn get(&mut self, key: &K) -> Option<&Share<G>> {
        let kept = self.gates.get_mut(key)?;
        kept.used = true;
        Some(&kept.share)
    }

    /// Makes room for one key; `false` if every gate that was looked at is in use.
    fn forget_one(&mut self, max_looks: usize, control: &Control) -> bool {
        // Twice round is enough to find a gate that was only saved by its second chance; the bound keeps one call from paying for a large map of busy gates.
        for _ in 0..(2 * self.order.len()).min(max_looks) {
            // It has its next place before it is looked at: a key that panics when it is compared must not lose it, or nobody would ever forget it.
            if !self.order.is_empty() {
                self.order.rotate_left(1);
            }
            let Some(key) = self.order.back() else {
                return false;
            };
            let Some(kept) = self.gates.get_mut(key) else {
                self.order.pop_back();
                continue;
            };
            let second_chance = std::mem::take(&mut kept.used);
            if !second_chance && kept.is_forgettable(control) {
                self.gates.remove(key);
                self.order.pop_back();
                return true;
            }
        }
        false
    }
}

// ===== impl Kept =====

impl<G: Gate> Kept<G> {
    /// Whether a new gate could take this one's place: what an operator has switched on this one alone would be lost, such as that it drains.
    fn is_forgettable(&self, control: &Control) -> bool {
        let share = &self.share;
        share.in_flight() == 0 && share.control().is_switched_as(control) && share.is_forgettable()
    }
}

/// How many gates one call looks at to make room; see [`Shard::forget_one`].
const MAX_LOOKS: usize = 64;

/// The same where the call before found nothing.
const LOOKS_AFTERWARDS: usize = 2;

/// The same in another shard, where it finds nothing in its own.
const LOOKS_ELSEWHERE: usize = 2;

#[cfg(test)]
#[cfg(feature = "testing")]
mod tests;
