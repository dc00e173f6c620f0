//! The steps that go into one transaction.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use redb::{ReadableTable, Table, WriteTransaction};
use seaworthy_core::Moment;
use seaworthy_core::ledger::{self, HEAD, Record, Release};
use tokio::sync::Notify;
use tokio::sync::futures::OwnedNotified;

use super::{NAME, file};
use crate::store::{Claim, Claimed, Held, Lease, RecordKey, StoreError, StoreErrorKind};

/// The file failed, and with it the whole transaction.
pub(super) type Broken = redb::Error;

/// Who waits for the end of a run.
pub(super) type Waiters = HashMap<RecordKey, Arc<Notify>>;

/// What becomes of a step that was taken; the inner error is of its record alone.
type Taken<T> = Result<Result<T, StoreError>, Broken>;

pub(super) struct Batch<'a> {
    records: Table<'a, &'static [u8; 32], &'static [u8]>,
    expiries: Table<'a, (u64, &'static [u8; 32]), ()>,
    file: Table<'a, &'static str, u64>,
    waiters: &'a mut Waiters,
    /// Whose waiters are to be woken once this is on the disk.
    ended: Vec<RecordKey>,
    /// The latest time of a change; none where nothing has changed.
    changed: Option<Moment>,
}

impl<'a> Batch<'a> {
    pub(super) fn open(
        write: &'a WriteTransaction,
        waiters: &'a mut Waiters,
    ) -> Result<Self, Broken> {
        Ok(Self {
            records: write.open_table(file::RECORDS)?,
            expiries: write.open_table(file::EXPIRIES)?,
            file: write.open_table(file::FILE)?,
            waiters,
            ended: Vec::new(),
            changed: None,
        })
    }

    /// Whether there is anything to write, and who is to be told then.
    pub(super) fn close(mut self) -> Result<(bool, Vec<RecordKey>), Broken> {
        if let Some(now) = self.changed {
            let seen = self.file.get(file::SEEN)?.map_or(0, |seen| seen.value());
            self.file.insert(file::SEEN, now.as_nanos().max(seen))?;
        }
        Ok((self.changed.is_some(), self.ended))
    }

    pub(super) fn claim(&mut self, claim: &Claim, now: Moment) -> Taken<Claimed> {
        let asked = ledger::Claim::from(claim);
        let before = match self.get(&claim.key)? {
            Ok(before) => before,
            Err(corrupt) => return Ok(Err(corrupt)),
        };
        let Some(before) = before else {
            let record = Record::begin(&asked, now);
            self.put(&claim.key, None, &record, now)?;
            // More than one for each that comes in, so that it catches up.
            self.remove_past(now, 2)?;
            return Ok(Ok(record.begun().into()));
        };
        let mut record = before.clone();
        let claimed = record.claim(&asked, now).into();
        self.put(&claim.key, Some(&before), &record, now)?;
        Ok(Ok(claimed))
    }

    pub(super) fn change(
        &mut self,
        key: &RecordKey,
        now: Moment,
        step: impl FnOnce(&mut Record<Bytes>) -> bool,
    ) -> Taken<Held> {
        let before = match self.get(key)? {
            Ok(Some(before)) => before,
            Ok(None) => return Ok(Ok(Held::Lost)),
            Err(corrupt) => return Ok(Err(corrupt)),
        };
        let mut record = before.clone();
        let held = step(&mut record);
        self.put(key, Some(&before), &record, now)?;
        Ok(Ok(Held::when(held)))
    }

    pub(super) fn release(&mut self, lease: Lease, now: Moment) -> Taken<Held> {
        let mut forgotten = None;
        let released = self.change(&lease.key, now, |record| {
            let release = record.release(lease.into(), now);
            forgotten = (release == Release::Forget).then_some(record.expiry());
            release != Release::Lost
        })?;
        if let Some(expiry) = forgotten {
            self.remove(&lease.key, expiry, now)?;
        }
        Ok(released)
    }

    /// What tells of the end of the run that holds the record, and the rest of its lease; none where nothing is running.
    pub(super) fn watch(
        &mut self,
        key: RecordKey,
        now: Moment,
    ) -> Taken<Option<(OwnedNotified, Duration)>> {
        let record = match self.get(&key)? {
            Ok(record) => record,
            Err(corrupt) => return Ok(Err(corrupt)),
        };
        let left = record.and_then(|record| record.left_of_lease(now));
        let watch = left.map(|left| {
            let waiters = self.waiters.entry(key).or_default().clone();
            // Made here, in step with all that may end it.
            (waiters.notified_owned(), left)
        });
        Ok(Ok(watch))
    }

    /// Removes at most that many that are past their retention, and says how many it removed.
    pub(super) fn remove_past(&mut self, now: Moment, limit: usize) -> Result<usize, Broken> {
        for removed in 0..limit {
            let first = self.expiries.first()?;
            let past = first.and_then(|(first, _)| {
                let (expiry, key) = first.value();
                let expiry = Moment::from_nanos(expiry);
                (now >= expiry).then_some((expiry, RecordKey(*key)))
            });
            let Some((expiry, key)) = past else {
                return Ok(removed);
            };
            self.remove(&key, expiry, now)?;
        }
        Ok(limit)
    }

    fn get(&self, key: &RecordKey) -> Taken<Option<Record<Bytes>>> {
        let Some(value) = self.records.get(&key.0)? else {
            return Ok(Ok(None));
        };
        let record = value.value().split_first_chunk::<HEAD>();
        let record = record
            .and_then(|(head, answer)| Record::from_head(head, || Bytes::copy_from_slice(answer)));
        let corrupt = || StoreError::new(NAME, StoreErrorKind::Corrupt);
        Ok(record.map(Some).ok_or_else(corrupt))
    }

    fn put(
        &mut self,
        key: &RecordKey,
        before: Option<&Record<Bytes>>,
        record: &Record<Bytes>,
        now: Moment,
    ) -> Result<(), Broken> {
        let head = record.to_head();
        if before.is_some_and(|before| before.to_head() == head) {
            return Ok(());
        }
        self.changed = self.changed.max(Some(now));
        let expiry_before = before.map(Record::expiry);
        if expiry_before != Some(record.expiry()) {
            if let Some(expiry) = expiry_before {
                self.expiries.remove((expiry.as_nanos(), &key.0))?;
            }
            self.expiries
                .insert((record.expiry().as_nanos(), &key.0), ())?;
        }
        let answer = record.answer().map_or(&[][..], Bytes::as_ref);
        let mut value = self.records.insert_reserve(&key.0, HEAD + answer.len())?;
        let value = value.as_mut();
        value[..HEAD].copy_from_slice(&head);
        value[HEAD..].copy_from_slice(answer);
        if !record.is_open() {
            self.ended.push(*key);
        }
        Ok(())
    }

    fn remove(&mut self, key: &RecordKey, expiry: Moment, now: Moment) -> Result<(), Broken> {
        self.changed = self.changed.max(Some(now));
        self.expiries.remove((expiry.as_nanos(), &key.0))?;
        self.records.remove(&key.0)?;
        self.ended.push(*key);
        Ok(())
    }
}

#[cfg(test)]
impl Batch<'_> {
    pub(super) const fn has_changed(&self) -> bool {
        self.changed.is_some()
    }
}
