//! The file: its tables, whether it is one of ours, and what its errors mean.

use std::io;
use std::path::Path;

use redb::{
    Builder, Database, DatabaseError, ReadableDatabase, StorageError, TableDefinition, TableHandle,
};
use seaworthy_core::Moment;

use super::NAME;
use crate::store::{StoreError, StoreErrorKind};

/// Key to record: the head as `core` lays it out, and the answer behind it.
pub(super) const RECORDS: TableDefinition<'_, &[u8; 32], &[u8]> = TableDefinition::new("records");

/// Each record once, by its expiry: what a purge goes by.
pub(super) const EXPIRIES: TableDefinition<'_, (u64, &[u8; 32]), ()> =
    TableDefinition::new("expiries");

/// What is known of the file itself.
pub(super) const FILE: TableDefinition<'_, &str, u64> = TableDefinition::new("file");

/// The layout; another number is another version's.
const FORMAT: &str = "seaworthy idempotency format";
const CURRENT: u64 = 1;

/// The latest time that was written.
pub(super) const SEEN: &str = "seen";

/// Opens or makes it, and tells the latest time it has seen.
pub(super) fn open(
    path: &Path,
    cache_bytes: usize,
    wall: Moment,
) -> Result<(Database, Moment), StoreError> {
    let file = builder(cache_bytes).create(path).map_err(unopened)?;
    let is_new = !has_tables(&file).map_err(|error| failed(&error))?;
    if is_new {
        make(&file, wall).map_err(|error| failed(&error))?;
    }
    checked(file)
}

/// Opens it again after a failure. A new one in its place would know nothing, and run everything again.
pub(super) fn reopen(path: &Path, cache_bytes: usize) -> Result<Database, StoreError> {
    let file = builder(cache_bytes).open(path).map_err(unopened)?;
    checked(file).map(|(file, _)| file)
}

fn builder(cache_bytes: usize) -> Builder {
    let mut builder = Builder::new();
    builder.set_cache_size(cache_bytes);
    // Without it a damaged file may panic long after it was opened.
    builder.set_check_integrity_on_open(true);
    builder
}

fn has_tables(file: &Database) -> Result<bool, redb::Error> {
    Ok(file.begin_read()?.list_tables()?.next().is_some())
}

fn checked(file: Database) -> Result<(Database, Moment), StoreError> {
    let seen = check(&file).map_err(|error| match error {
        redb::Error::TableTypeMismatch { .. } | redb::Error::TableDoesNotExist(_) => {
            foreign("its tables are others")
        }
        other => failed(&other),
    })??;
    Ok((file, seen))
}

fn check(file: &Database) -> Result<Result<Moment, StoreError>, redb::Error> {
    let read = file.begin_read()?;
    if !read.list_tables()?.any(|table| table.name() == FILE.name()) {
        return Ok(Err(foreign("it is another application's")));
    }
    let table = read.open_table(FILE)?;
    let format = table.get(FORMAT)?.map(|format| format.value());
    if format != Some(CURRENT) {
        return Ok(Err(foreign("another version wrote it")));
    }
    read.open_table(RECORDS)?;
    read.open_table(EXPIRIES)?;
    let seen = table.get(SEEN)?.map_or(0, |seen| seen.value());
    Ok(Ok(Moment::from_nanos(seen)))
}

fn make(file: &Database, wall: Moment) -> Result<(), redb::Error> {
    let write = file.begin_write()?;
    {
        let mut table = write.open_table(FILE)?;
        table.insert(FORMAT, CURRENT)?;
        table.insert(SEEN, wall.as_nanos())?;
        write.open_table(RECORDS)?;
        write.open_table(EXPIRIES)?;
    }
    write.commit()?;
    Ok(())
}

fn foreign(why: &'static str) -> StoreError {
    StoreError::new(NAME, StoreErrorKind::Corrupt).with_source(why)
}

fn unopened(error: DatabaseError) -> StoreError {
    match error {
        // What is no file of redb's, and what is cut short.
        DatabaseError::Storage(StorageError::Io(error))
            if matches!(
                error.kind(),
                io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof
            ) =>
        {
            StoreError::new(NAME, StoreErrorKind::Corrupt).with_source(error)
        }
        DatabaseError::UpgradeRequired(_) => {
            StoreError::new(NAME, StoreErrorKind::Corrupt).with_source(error)
        }
        other => failed(&other.into()),
    }
}

/// What an error of the file means; its text holds neither keys nor answers.
pub(super) fn failed(error: &redb::Error) -> StoreError {
    StoreError::new(NAME, kind(error)).with_source(error.to_string())
}

pub(super) fn kind(error: &redb::Error) -> StoreErrorKind {
    match error {
        redb::Error::Corrupted(_) => StoreErrorKind::Corrupt,
        redb::Error::Io(error) if error.kind() == io::ErrorKind::StorageFull => {
            StoreErrorKind::Full
        }
        _ => StoreErrorKind::Unavailable,
    }
}
