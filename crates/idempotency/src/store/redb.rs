//! The store in a file of this machine: durable, for one process at a time.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use seaworthy_core::ledger::{self, Record};
use seaworthy_kit::{Clock, Moment, clock};
use tokio::time::timeout_at;

use super::{Claim, Claimed, Held, Lease, RecordKey, Store, StoreError};

mod batch;
use batch::{Batch, Broken};

mod file;

mod writer;
use writer::Writer;

#[cfg(test)]
mod tests;

/// Keeps the records in a file, with redb: for one process, and for as long as the disk lives.
///
/// What was acknowledged is on the disk: it survives that the process is killed, or the machine loses power.
/// A file belongs to one process at a time; opening it from a second one, or twice in one, is an error.
///
/// # How it works
/// One thread of its own owns the file and takes all steps, so that no thread of the runtime ever waits for the disk.
/// All steps that are asked for while it writes go into its next transaction together: with many callers, one write of the disk serves many of them.
/// A step that changes nothing writes nothing.
/// Dropping the last clone waits until what was asked for is written, and lets go of the file.
///
/// # Time
/// Leases and retentions go by the time since the file was opened, by a monotonic clock (tokio's); no change of the system's time touches them while it is open.
/// Where the file is opened again, they go on by the system's time, but never earlier than what the file has seen.
/// A system's time that is ahead *when the file is opened* therefore ends leases and retentions early, and what is past its retention is forgotten.
/// The time of a step is that at which it was asked for, whatever it waited for the disk.
/// Time for which the machine was suspended does not count on some systems: records are then kept longer.
///
/// # Size
/// It has no bound but the disk.
/// What is past its retention is removed as new keys come in, two for each; [`purge`](Store::purge) removes the rest where no more come.
/// The file does not shrink, but its pages are used again.
///
/// # Where the state lives
/// In the file; the clones of this value share one thread.
///
/// # Cancel safety
/// A step whose future is dropped is taken nevertheless, if it has been asked for.
#[derive(Clone)]
pub struct Redb(Arc<Inner>);

struct Inner {
    writer: Writer,
    clock: Clock,
    /// When the file was opened, by `clock`, and by the time of the file.
    opened: (Moment, Moment),
}

/// What a [`Redb`] is opened with.
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until it opens"]
pub struct RedbBuilder {
    path: PathBuf,
    cache_bytes: usize,
    clock: Clock,
}

const NAME: &str = "redb";

impl Redb {
    /// A store in that file, which is made where it is not there; its directory must be.
    pub fn builder(path: impl Into<PathBuf>) -> RedbBuilder {
        RedbBuilder {
            path: path.into(),
            cache_bytes: 64 << 20,
            clock: Clock::tokio(),
        }
    }

    /// The time of the file: nanoseconds since 1970, by a clock that is not set while it is open.
    fn now(&self) -> Moment {
        let (opened, then) = self.0.opened;
        then + self.0.clock.now().since(opened)
    }

    async fn ask<T: Send + 'static>(
        &self,
        step: impl FnOnce(&mut Batch<'_>) -> Result<T, Broken> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.0.writer.ask(step).await
    }

    /// Changes the record of a lease, and says whether that still held.
    async fn change(
        &self,
        lease: Lease,
        step: impl FnOnce(&mut Record<Bytes>, ledger::Run, Moment) -> bool + Send + 'static,
    ) -> Result<Held, StoreError> {
        let now = self.now();
        let changed = self.ask(move |batch| {
            batch.change(&lease.key, now, |record| step(record, lease.into(), now))
        });
        changed.await?
    }
}

impl Store for Redb {
    async fn claim(&self, claim: Claim) -> Result<Claimed, StoreError> {
        let now = self.now();
        self.ask(move |batch| batch.claim(&claim, now)).await?
    }

    async fn renew(&self, lease: Lease, hold: Duration) -> Result<Held, StoreError> {
        self.change(lease, move |record, run, now| record.renew(run, hold, now))
            .await
    }

    async fn complete(
        &self,
        lease: Lease,
        answer: Bytes,
        retention: Duration,
    ) -> Result<Held, StoreError> {
        self.change(lease, move |record, run, now| {
            record.complete(run, answer, retention, now)
        })
        .await
    }

    async fn give_up(&self, lease: Lease) -> Result<Held, StoreError> {
        self.change(lease, |record, run, now| record.give_up(run, now))
            .await
    }

    async fn release(&self, lease: Lease) -> Result<Held, StoreError> {
        let now = self.now();
        self.ask(move |batch| batch.release(lease, now)).await?
    }

    /// It waits for the end of the lease at the longest, unless that is renewed; it needs tokio's timer, and panics where there is none.
    async fn wait(&self, key: RecordKey, limit: Duration) -> Result<(), StoreError> {
        let end = clock::now() + limit;
        loop {
            let now = self.now();
            let Some((changed, left)) = self.ask(move |batch| batch.watch(key, now)).await?? else {
                return Ok(());
            };
            // Nobody tells that a lease is over.
            let wake = end.min(clock::now() + left);
            let is_changed = timeout_at(clock::instant(wake), changed).await.is_ok();
            if is_changed || clock::now() >= end {
                return Ok(());
            }
        }
    }

    async fn purge(&self, limit: usize) -> Result<usize, StoreError> {
        let now = self.now();
        self.ask(move |batch| batch.remove_past(now, limit)).await
    }
}

impl fmt::Debug for Redb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redb").finish_non_exhaustive()
    }
}

// ===== impl RedbBuilder =====

impl RedbBuilder {
    /// How much of the file is kept in memory. Default: 64 MiB, some 100,000 small answers; redb's own, 1 GiB, is more than a store beside an application should take.
    pub const fn cache_bytes(mut self, bytes: usize) -> Self {
        self.cache_bytes = bytes;
        self
    }

    /// Another clock than tokio's, for leases and retentions; a wait ends by tokio's timers all the same.
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// Opens the file, and checks all of it: that takes the longer the larger it is, some seconds for a gigabyte.
    ///
    /// # Errors
    /// [`Unavailable`](super::StoreErrorKind::Unavailable) if the file cannot be opened, or another process has it open; [`Corrupt`](super::StoreErrorKind::Corrupt) if it is damaged, or is no file of this store.
    pub async fn open(self) -> Result<Redb, StoreError> {
        let system = clock::wall().duration_since(UNIX_EPOCH);
        // Before 1970 it is certainly wrong; the file knows better.
        let wall = Moment::ORIGIN + system.unwrap_or_default();
        let (writer, seen) = Writer::open(self.path, self.cache_bytes, wall).await?;
        let opened = (self.clock.now(), wall.max(seen));
        Ok(Redb(Arc::new(Inner {
            writer,
            clock: self.clock,
            opened,
        })))
    }
}
