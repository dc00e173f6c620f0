//! The store in this process's memory: bounded, and gone with the process.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use seaworthy_core::ledger::{self, Record};
use seaworthy_kit::{Clock, InvalidConfig, Moment, clock};
use tokio::time::timeout_at;

use super::{Claim, Claimed, Held, Lease, RecordKey, Store, StoreError, StoreErrorKind};

mod room;
use room::Room;

mod shard;
use shard::{Full, Shard};

#[cfg(test)]
mod tests;

/// Keeps the records in memory: for one process, and for as long as it lives.
///
/// A process that is killed forgets which requests it ran: what must survive that needs another store.
///
/// # Bounds
/// It holds at most [`max_entries`](MemoryBuilder::max_entries) records and [`max_bytes`](MemoryBuilder::max_bytes) of them and their answers.
/// Where one would be exceeded, it first removes what is past its retention, and then fails with [`StoreErrorKind::Full`].
/// It never drops a record before its retention is over, running, completed or unknown: the request would run again.
/// Room for an answer of [`answer_room`](MemoryBuilder::answer_room) bytes is taken when a run begins, so that an answer of that size can always be stored; a larger one may find the store full.
///
/// It needs as many entries as there are new keys within a retention: 10 a second and a retention of a day are 864,000.
///
/// # Time
/// The clock is monotonic (tokio's); no change of the system's time touches a lease.
/// What is past its retention is removed as new keys come in, two for each, so that no task is needed; [`purge`](Store::purge) removes the rest where no more come.
///
/// # Where the state lives
/// In this value: its clones share it.
#[derive(Clone)]
pub struct Memory(Arc<Inner>);

struct Inner {
    /// Several, so that threads seldom meet.
    shards: Box<[Mutex<Shard>]>,
    room: Room,
    clock: Clock,
}

/// What a [`Memory`] is built from.
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until it is built"]
pub struct MemoryBuilder {
    max_entries: usize,
    max_bytes: usize,
    answer_room: usize,
    clock: Clock,
}

const NAME: &str = "memory";

const SHARDS: usize = 16;

/// How many are removed for each that comes in: more than one, so that it catches up.
const REMOVED_PER_NEW: usize = 2;

/// How many are removed from one shard before the next is looked at, where there is no room: one call must not pay for all.
const REMOVED_AT_ONCE: usize = 64;

impl Memory {
    /// A store with the default bounds.
    #[must_use]
    pub fn new() -> Self {
        Self::builder().make()
    }

    /// A store with bounds of your own.
    pub const fn builder() -> MemoryBuilder {
        MemoryBuilder {
            max_entries: 1_000_000,
            max_bytes: 256 << 20,
            answer_room: 8 << 10,
            clock: Clock::tokio(),
        }
    }

    /// How many records it holds, with those that are past their retention and not yet removed.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.room.entries()
    }

    /// Whether it holds none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many bytes they count for: their answers, the room kept for those to come, and some 500 for each record.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.0.room.bytes()
    }

    fn shard(&self, key: &RecordKey) -> MutexGuard<'_, Shard> {
        // A key is a digest; who can choose its last byte makes threads wait for each other, nothing worse.
        lock(&self.0.shards[usize::from(key.0[31]) % SHARDS])
    }

    /// Takes the step, if need be after room was made.
    fn step<R>(
        &self,
        key: &RecordKey,
        step: impl Fn(&mut Shard, &Room, Moment) -> Result<R, Full>,
    ) -> Result<R, StoreError> {
        let now = self.0.clock.now();
        loop {
            if let Ok(done) = step(&mut self.shard(key), &self.0.room, now) {
                return Ok(done);
            }
            if self.remove_past(now, REMOVED_AT_ONCE) == 0 {
                return Err(StoreError::new(NAME, StoreErrorKind::Full));
            }
        }
    }

    /// Removes at most that many from each shard, one lock at a time.
    fn remove_past(&self, now: Moment, limit: usize) -> usize {
        let remove = |shard| lock(shard).remove_past(now, limit, &self.0.room);
        self.0.shards.iter().map(remove).sum()
    }
}

impl Store for Memory {
    async fn claim(&self, claim: Claim) -> Result<Claimed, StoreError> {
        let asked = ledger::Claim::from(&claim);
        self.step(&claim.key, |shard, room, now| {
            if shard.is_new(&claim.key) {
                shard.remove_past(now, REMOVED_PER_NEW, room);
            }
            shard.claim(claim.key, &asked, now, room)
        })
    }

    async fn renew(&self, lease: Lease, hold: Duration) -> Result<Held, StoreError> {
        self.step(&lease.key, |shard, room, now| {
            let step = |record: &mut Record<Bytes>| record.renew(lease.into(), hold, now);
            shard.change(&lease.key, step, room)
        })
    }

    async fn complete(
        &self,
        lease: Lease,
        answer: Bytes,
        retention: Duration,
    ) -> Result<Held, StoreError> {
        self.step(&lease.key, |shard, room, now| {
            let step = |record: &mut Record<Bytes>| {
                record.complete(lease.into(), answer.clone(), retention, now)
            };
            shard.change(&lease.key, step, room)
        })
    }

    async fn give_up(&self, lease: Lease) -> Result<Held, StoreError> {
        self.step(&lease.key, |shard, room, now| {
            let step = |record: &mut Record<Bytes>| record.give_up(lease.into(), now);
            shard.change(&lease.key, step, room)
        })
    }

    async fn release(&self, lease: Lease) -> Result<Held, StoreError> {
        self.step(&lease.key, |shard, room, now| {
            shard.release(&lease.key, lease.into(), now, room)
        })
    }

    /// It waits for the end of the lease at the longest, unless that is renewed; it needs tokio's timer, and panics where there is none.
    async fn wait(&self, key: RecordKey, limit: Duration) -> Result<(), StoreError> {
        let end = clock::now() + limit;
        loop {
            let change;
            // Made under the lock, so that no change is missed that comes after it.
            let changed;
            let left;
            {
                let mut shard = self.shard(&key);
                let Some(running) = shard.waiters(&key, self.0.clock.now()) else {
                    return Ok(());
                };
                (change, left) = running;
                changed = change.notified();
            }
            // Nobody tells that a lease is over.
            let wake = end.min(clock::now() + left);
            let is_changed = timeout_at(clock::instant(wake), changed).await.is_ok();
            if is_changed || clock::now() >= end {
                return Ok(());
            }
        }
    }

    async fn purge(&self, limit: usize) -> Result<usize, StoreError> {
        let now = self.0.clock.now();
        let mut removed = 0;
        for shard in &self.0.shards {
            removed += lock(shard).remove_past(now, limit - removed, &self.0.room);
        }
        Ok(removed)
    }
}

impl Default for Memory {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memory")
            .field("len", &self.len())
            .field("bytes", &self.bytes())
            .finish_non_exhaustive()
    }
}

fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

// ===== impl MemoryBuilder =====

impl MemoryBuilder {
    /// Holds at most so many records. Default: 1,000,000, eleven new ones a second with a retention of a day.
    pub const fn max_entries(mut self, entries: usize) -> Self {
        self.max_entries = entries;
        self
    }

    /// Holds at most so many bytes, as [`Memory::bytes`] counts them. Default: 256 MiB, so that a record of the default number may not quite have 300 bytes: who has many keys, or large answers, sets both.
    pub const fn max_bytes(mut self, bytes: usize) -> Self {
        self.max_bytes = bytes;
        self
    }

    /// Keeps so many bytes free for the answer of each run from its beginning, so that an answer up to that size finds room. Default: 8 KiB, which few answers of an API exceed, and with which 30,000 may run at once.
    pub const fn answer_room(mut self, bytes: usize) -> Self {
        self.answer_room = bytes;
        self
    }

    /// Another clock than tokio's, for leases and retentions; a wait ends by tokio's timers all the same.
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// Makes the store.
    ///
    /// # Errors
    /// If there is no room for a single record and its answer; the error names the option.
    pub fn build(self) -> Result<Memory, InvalidConfig> {
        if self.max_entries == 0 {
            return Err(InvalidConfig::new("max_entries", "must be at least 1"));
        }
        if !self.room().fits_one() {
            return Err(InvalidConfig::new(
                "max_bytes",
                "must leave room for a record with its answer",
            ));
        }
        Ok(self.make())
    }

    const fn room(&self) -> Room {
        Room::new(self.max_entries, self.max_bytes, self.answer_room)
    }

    fn make(self) -> Memory {
        Memory(Arc::new(Inner {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            room: self.room(),
            clock: self.clock,
        }))
    }
}
