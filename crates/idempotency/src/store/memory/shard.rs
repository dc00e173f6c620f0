//! A part of the memory store behind one lock: its records, and the order in which they expire.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use seaworthy_core::Moment;
use seaworthy_core::ledger::{Claim, Record, Release, Run};
use tokio::sync::Notify;

use super::room::Room;
use crate::store::{Claimed, Held, RecordKey};

#[derive(Default, Debug)]
pub(super) struct Shard {
    records: HashMap<RecordKey, Slot>,
    /// Each record once, by its expiry.
    order: BTreeSet<(Moment, RecordKey)>,
}

#[derive(Debug)]
pub(super) struct Slot {
    record: Record<Bytes>,
    /// Made by the first who waits.
    waiters: Option<Arc<Notify>>,
}

/// There is no room for what was to be stored; nothing has changed.
#[derive(Debug)]
pub(super) struct Full;

impl Shard {
    pub(super) fn is_new(&self, key: &RecordKey) -> bool {
        !self.records.contains_key(key)
    }

    pub(super) fn claim(
        &mut self,
        key: RecordKey,
        claim: &Claim,
        now: Moment,
        room: &Room,
    ) -> Result<Claimed, Full> {
        if let Some(slot) = self.records.get_mut(&key) {
            let step = |record: &mut Record<Bytes>| record.claim(claim, now).into();
            return slot.change(key, step, &mut self.order, room);
        }
        let record = Record::begin(claim, now);
        if !room.take_entry(room.cost(&record)) {
            return Err(Full);
        }
        let claimed = record.begun().into();
        self.order.insert((record.expiry(), key));
        let waiters = None;
        self.records.insert(key, Slot { record, waiters });
        Ok(claimed)
    }

    /// A step of a run, which says whether that still held.
    pub(super) fn change(
        &mut self,
        key: &RecordKey,
        step: impl FnOnce(&mut Record<Bytes>) -> bool,
        room: &Room,
    ) -> Result<Held, Full> {
        let Some(slot) = self.records.get_mut(key) else {
            return Ok(Held::Lost);
        };
        let held = slot.change(*key, step, &mut self.order, room)?;
        Ok(Held::when(held))
    }

    /// Forgets the record of a run that did nothing, if that was the first.
    pub(super) fn release(
        &mut self,
        key: &RecordKey,
        run: Run,
        now: Moment,
        room: &Room,
    ) -> Result<Held, Full> {
        let Some(slot) = self.records.get_mut(key) else {
            return Ok(Held::Lost);
        };
        let step = |record: &mut Record<Bytes>| record.release(run, now);
        match slot.change(*key, step, &mut self.order, room)? {
            Release::Lost => return Ok(Held::Lost),
            Release::GivenUp => {}
            Release::Forget => {
                self.order.remove(&(slot.record.expiry(), *key));
                self.remove(key, room);
            }
        }
        Ok(Held::Yes)
    }

    /// Removes at most that many that are past their retention, and says how many it removed.
    pub(super) fn remove_past(&mut self, now: Moment, limit: usize, room: &Room) -> usize {
        for removed in 0..limit {
            let first = self.order.first().copied();
            let Some(past) = first.filter(|(expiry, _)| now >= *expiry) else {
                return removed;
            };
            self.order.remove(&past);
            self.remove(&past.1, room);
        }
        limit
    }

    /// What tells of the end of the run that holds the record, and the rest of its lease; none where nothing is running.
    pub(super) fn waiters(
        &mut self,
        key: &RecordKey,
        now: Moment,
    ) -> Option<(Arc<Notify>, Duration)> {
        let slot = self.records.get_mut(key)?;
        let left = slot.record.left_of_lease(now)?;
        let waiters = slot.waiters.get_or_insert_default();
        Some((waiters.clone(), left))
    }

    fn remove(&mut self, key: &RecordKey, room: &Room) {
        if let Some(mut slot) = self.records.remove(key) {
            room.give_entry(room.cost(&slot.record));
            slot.wake();
        }
        // What a burst left behind; many removals lie between two such moves, which therefore cost each of them little.
        if self.records.capacity() > 64 && self.records.len() < self.records.capacity() / 8 {
            self.records.shrink_to(self.records.len() * 2);
        }
        debug_assert_eq!(self.records.len(), self.order.len(), "each is in both");
    }
}

impl Slot {
    /// Takes the step on a copy, so that nothing has happened where there is no room for what came of it.
    fn change<R>(
        &mut self,
        key: RecordKey,
        step: impl FnOnce(&mut Record<Bytes>) -> R,
        order: &mut BTreeSet<(Moment, RecordKey)>,
        room: &Room,
    ) -> Result<R, Full> {
        let mut next = self.record.clone();
        let done = step(&mut next);
        if !room.resize(room.cost(&self.record), room.cost(&next)) {
            return Err(Full);
        }
        if next.expiry() != self.record.expiry() {
            order.remove(&(self.record.expiry(), key));
            order.insert((next.expiry(), key));
        }
        self.record = next;
        if !self.record.is_open() {
            self.wake();
        }
        Ok(done)
    }

    fn wake(&mut self) {
        if let Some(waiters) = self.waiters.take() {
            waiters.notify_waiters();
        }
    }
}

#[cfg(test)]
impl Shard {
    pub(super) fn len(&self) -> usize {
        assert_eq!(self.records.len(), self.order.len());
        self.records.len()
    }

    pub(super) fn capacity(&self) -> usize {
        self.records.capacity()
    }
}
