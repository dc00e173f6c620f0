//! The handle: which keys are known, and their gates.

use std::fmt;
use std::hash::Hash;
use std::sync::{Arc, PoisonError};

use super::Map;
use crate::gate::Gate;
use crate::share::Share;

/// A view of a keyed layer's gates.
pub struct KeyedHandle<G, K> {
    pub(super) map: Arc<Map<G, K>>,
}

// ===== impl KeyedHandle =====

impl<G: Gate, K: Hash + Eq + Clone> KeyedHandle<G, K> {
    /// The gate of a key, if the key is known.
    ///
    /// Once the key is forgotten to make room for others, this is no longer its gate: ask again rather than keep it.
    #[must_use]
    pub fn get(&self, key: &K) -> Option<Share<G>> {
        let shard = self.map.lock(self.map.index(key));
        shard.gates.get(key).map(|kept| kept.share.clone())
    }

    /// The gate of a key, made if the key is new: to force or drain a key that has seen no call.
    ///
    /// A key that is switched so is not forgotten; of one that is not, see [`get`](Self::get).
    #[must_use]
    pub fn get_or_make(&self, key: &K) -> Share<G> {
        self.map.find(key.clone(), Share::clone)
    }

    /// The gate that keys share for which there was no room.
    #[must_use]
    pub fn overflow(&self) -> Share<G> {
        self.map.overflow.clone()
    }

    /// The known keys and their gates.
    #[must_use]
    pub fn all(&self) -> Vec<(K, Share<G>)> {
        let mut all = Vec::new();
        for shard in &self.map.shards {
            let shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            all.extend(
                shard
                    .gates
                    .iter()
                    .map(|(key, kept)| (key.clone(), kept.share.clone())),
            );
        }
        all
    }

    /// How many keys are known.
    #[must_use]
    pub fn len(&self) -> usize {
        self.map.seats.taken() as usize
    }

    /// Whether no key is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<G, K> Clone for KeyedHandle<G, K> {
    fn clone(&self) -> Self {
        Self {
            map: self.map.clone(),
        }
    }
}

impl<G, K> fmt::Debug for KeyedHandle<G, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyedHandle").finish_non_exhaustive()
    }
}
