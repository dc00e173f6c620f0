//! How much of its bounds the memory store has used, in all shards together.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use bytes::Bytes;
use seaworthy_core::Moment;
use seaworthy_core::ledger::Record;

use super::shard::Slot;
use crate::store::RecordKey;

/// Entries and bytes: a bound for each shard would turn keys away while others have room.
#[derive(Debug)]
pub(super) struct Room {
    entries: AtomicUsize,
    bytes: AtomicUsize,
    max_entries: usize,
    max_bytes: usize,
    answer_room: usize,
}

/// What a record costs without its answer: twice what it takes in the map and in the index, neither of which is ever quite full.
const RECORD: usize = 2 * (size_of::<(RecordKey, Slot)>() + size_of::<(Moment, RecordKey)>());

impl Room {
    pub(super) const fn new(max_entries: usize, max_bytes: usize, answer_room: usize) -> Self {
        Self {
            entries: AtomicUsize::new(0),
            bytes: AtomicUsize::new(0),
            max_entries,
            max_bytes,
            answer_room,
        }
    }

    /// Whether a single record and its answer have room at all.
    pub(super) const fn fits_one(&self) -> bool {
        RECORD.saturating_add(self.answer_room) <= self.max_bytes
    }

    pub(super) fn entries(&self) -> usize {
        self.entries.load(Relaxed)
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes.load(Relaxed)
    }

    /// What a record counts for: while it may yet be answered, with the room for that.
    pub(super) fn cost(&self, record: &Record<Bytes>) -> usize {
        let answer = if record.is_open() {
            self.answer_room
        } else {
            record.answer().map_or(0, Bytes::len)
        };
        RECORD.saturating_add(answer)
    }

    /// Room for a new record, if there is any.
    pub(super) fn take_entry(&self, bytes: usize) -> bool {
        if !add(&self.entries, 1, self.max_entries) {
            return false;
        }
        let is_taken = add(&self.bytes, bytes, self.max_bytes);
        if !is_taken {
            self.entries.fetch_sub(1, Relaxed);
        }
        is_taken
    }

    /// Room for a record that has become another, if there is any; a smaller one always has.
    pub(super) fn resize(&self, from: usize, to: usize) -> bool {
        if to <= from {
            self.bytes.fetch_sub(from - to, Relaxed);
            return true;
        }
        add(&self.bytes, to - from, self.max_bytes)
    }

    pub(super) fn give_entry(&self, bytes: usize) {
        self.entries.fetch_sub(1, Relaxed);
        self.bytes.fetch_sub(bytes, Relaxed);
    }
}

fn add(counter: &AtomicUsize, more: usize, max: usize) -> bool {
    let add = |now: usize| now.checked_add(more).filter(|sum| *sum <= max);
    counter.fetch_update(Relaxed, Relaxed, add).is_ok()
}
