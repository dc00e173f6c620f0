//! Gates that are being made, without the lock: all who make the same have one seat.

use std::hash::Hash;
use std::mem::ManuallyDrop;

use seaworthy_core::Seats;

use super::{Map, Shard};
use crate::gate::Gate;

/// Whoever makes the gate of a key, until it is there or was made in vain.
pub(super) struct Making<'a, G: Gate, K: Hash + Eq + Clone> {
    map: &'a Map<G, K>,
    index: usize,
    pub(super) id: u64,
}

/// A key whose gate is being made, without the lock.
pub(super) struct Made<K> {
    /// Not the key: to look for it is foreign code, and its makers may go in a panic.
    id: u64,
    key: K,
    makers: usize,
    /// Of those that there are for keys; until a gate has it.
    pub(super) has_seat: bool,
}

/// A seat that is given back in a panic.
struct Seat<'a>(&'a Seats);

/// So many at most make the same gate at once.
const MAX_MAKERS: usize = 64;

impl<G: Gate, K: Hash + Eq + Clone> Map<G, K> {
    /// One more makes the gate of that key; all who do so at once have one seat.
    pub(super) fn begin(
        &self,
        index: usize,
        shard: &mut Shard<G, K>,
        key: &K,
    ) -> Option<Making<'_, G, K>> {
        let id = match shard.making.iter_mut().find(|made| made.key == *key) {
            // A function that makes gates may ask for the very gate that it makes: not for ever.
            Some(made) if made.makers >= MAX_MAKERS => return None,
            Some(made) => {
                made.makers += 1;
                made.id
            }
            None => {
                if !self.seat(index, shard) {
                    return None;
                }
                let seat = Seat(&self.seats);
                // Foreign code, and for one who has a seat only: a flood of keys pays for none.
                let key = key.clone();
                let _taken = ManuallyDrop::new(seat);
                shard.next_id = shard.next_id.wrapping_add(1);
                shard.making.push(Made {
                    id: shard.next_id,
                    key,
                    makers: 1,
                    has_seat: true,
                });
                shard.next_id
            }
        };
        let map = self;
        Some(Making { map, index, id })
    }

    /// Room for one more key, if need be that of a key that is forgotten.
    pub(super) fn seat(&self, index: usize, shard: &mut Shard<G, K>) -> bool {
        self.seats.try_take(self.max_keys as u64) || self.forget_one(index, shard)
    }
}

impl<G, K> Shard<G, K> {
    /// What is known of a gate in the making, for one of its makers.
    pub(super) fn made(&mut self, id: u64) -> &mut Made<K> {
        let made = self.making.iter_mut().find(|made| made.id == id);
        made.expect("there until its last maker has gone")
    }
}

// Also where making it panics: the last one gives the seat back that no gate has used.
impl<G: Gate, K: Hash + Eq + Clone> Drop for Making<'_, G, K> {
    fn drop(&mut self) {
        let mut shard = self.map.lock(self.index);
        let Some(at) = shard.making.iter().position(|it| it.id == self.id) else {
            return;
        };
        shard.making[at].makers -= 1;
        if shard.making[at].makers == 0 && shard.making.swap_remove(at).has_seat {
            self.map.seats.give_back();
        }
    }
}

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        self.0.give_back();
    }
}
