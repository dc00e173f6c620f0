//! Records in PostgreSQL, from version 13: many processes, durable, one round trip for each step; and an answer that commits together with what the handler wrote.
//!
//! # Schema
//! Table and functions are in a schema of their own, `seaworthy_idempotency`.
//! [`Postgres::migrate`] makes them, as often as it is called; [`MIGRATION`] is the same text, for tools that migrations are made with.
//! Each step is a call of one function, so that it is one round trip, atomic, and the same for every client; the text says why each is as it is.
//!
//! # Connections
//! A step takes a connection from the pool and sends one statement without a name: nothing depends on the session, so it works behind proxies that hand out another connection for each transaction.
//! The plans of what the functions do are kept by the server.
//! When a connection breaks, the step is sent once more on another one; when nothing is answered in time, that connection is given up.
//! Waiting is done by asking again: `LISTEN` would need a session, and every completion would have to notify.
//!
//! # Exactly once
//! [`Postgres::complete_in`] ends a run inside the handler's own transaction: the payment and its answer are both there or both not, whatever crashes when.
//! Where the run has lost its record to another one, or has ended before, the transaction can only be rolled back, whether the handler looks at the result or not.
//! That holds for the whole transaction and for no part of it: not inside of a savepoint (a `Transaction` within a `Transaction`, a block with `EXCEPTION`), which can be rolled back alone.
//!
//! ```no_run
//! # async fn handler(
//! #     store: seaworthy_idempotency::store::Postgres,
//! #     client: &mut tokio_postgres::Client,
//! #     lease: seaworthy_idempotency::store::Lease,
//! #     answer: bytes::Bytes,
//! # ) -> Result<(), Box<dyn std::error::Error>> {
//! let transaction = client.transaction().await?;
//! transaction
//!     .execute("INSERT INTO payments (amount) VALUES (42)", &[])
//!     .await?;
//! let day = std::time::Duration::from_secs(24 * 3600);
//! store.complete_in(&transaction, lease, &answer, day).await?;
//! transaction.commit().await?;
//! # Ok(()) }
//! ```
//!
//! With another client, run [`COMPLETE_IN`] in the transaction; a failure with [`LOST`] as its SQLSTATE says that the record is lost, and one with [`ENDED`] that the run has ended before.
//!
//! # Isolation
//! READ COMMITTED, the server's own default, is what the steps are made for.
//! Where the database's default is a stricter one, steps that are in each other's way are taken again, and so take longer.
//! A handler's own transaction above READ COMMITTED that was begun before a renewal cannot complete its run any more: it fails with a serialization failure, and has to be kept shorter than a third of the lease.
//!
//! # Clock
//! The server's, `clock_timestamp()`.
//! Where it jumps ahead, leases end early, and the token keeps the late run from ending its record; where it is set back, they end late.

mod exactly_once;
pub use exactly_once::{COMPLETE_IN, CompleteError, ENDED, LOST};

mod lent;

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use deadpool_postgres::{Manager, Pool};
use seaworthy_kit::clock;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Config, NoTls, Row};

use self::lent::Failure;
use super::poll::{self, Poll};
use super::{
    Claim, Claimed, Held, Lease, Overdue, RecordKey, Store, StoreError, StoreErrorKind, Token,
};

/// The schema that the store needs, for tools that migrations are made with: what [`Postgres::migrate`] runs.
pub const MIGRATION: &str = include_str!("../../migrations/0001_idempotency.sql");

/// Records in PostgreSQL; see the [module](self) for what is kept how.
///
/// Clones share the pool.
#[derive(Clone)]
pub struct Postgres {
    pool: Pool,
    timeout: Duration,
}

// ===== impl Postgres =====

impl Postgres {
    /// A store that takes its connections from that pool, which may use TLS.
    ///
    /// A step takes a connection for one round trip, so that few are enough.
    #[must_use]
    pub fn new(pool: Pool) -> Self {
        Self {
            pool,
            timeout: TIMEOUT,
        }
    }

    /// A store with a pool of its own, of at most that many connections, without TLS; nothing is connected yet.
    ///
    /// # Panics
    /// When `connections` is zero: nothing could ever be done.
    #[must_use]
    pub fn without_tls(config: Config, connections: usize) -> Self {
        assert!(connections > 0, "a pool has connections");
        let manager = Manager::new(config, NoTls);
        let pool = Pool::builder(manager).max_size(connections).build();
        Self::new(pool.expect("a pool without timeouts needs no runtime"))
    }

    /// How long a step may take, a connection included; two seconds unless set: a server in the same place answers a thousand times as fast, and a client of a payment still waits then.
    ///
    /// A claim that waits for another transaction is ended by the server after one second; with less than that here, it may still be granted after it was given up, as with a lost reply.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Makes the schema, or leaves it as it is; several processes may do so at once.
    ///
    /// It takes as long as it takes: it may have to wait for another process, or for whoever holds the table.
    ///
    /// # Errors
    /// [`StoreErrorKind::Unavailable`] where the server cannot be reached, or the user may not create a schema.
    pub async fn migrate(&self) -> Result<(), StoreError> {
        // Without a `BEGIN` of its own, a text of many statements is one transaction.
        lent::run_all(&self.pool, MIGRATION).await.map_err(error_of)
    }

    /// The one row of that statement.
    async fn run(
        &self,
        statement: &str,
        parameters: &[(&(dyn ToSql + Sync), Type)],
    ) -> Result<Row, StoreError> {
        let until = clock::instant(clock::now() + self.timeout);
        lent::run(&self.pool, statement, parameters, until)
            .await
            .map_err(error_of)
    }

    /// A step of a run: whether it was still its right.
    async fn step(
        &self,
        statement: &str,
        lease: Lease,
        more: &[(&(dyn ToSql + Sync), Type)],
    ) -> Result<Held, StoreError> {
        let key = &lease.key.as_bytes()[..];
        let owner = &lease.owner.number().to_be_bytes()[..];
        let token = token(lease);
        let mut parameters: Vec<(&(dyn ToSql + Sync), Type)> = vec![
            (&key, Type::BYTEA),
            (&owner, Type::BYTEA),
            (&token, Type::INT8),
        ];
        parameters.extend(more.iter().cloned());
        let row = self.run(statement, &parameters).await?;
        Ok(if cell::<bool>(&row, 0)? {
            Held::Yes
        } else {
            Held::Lost
        })
    }

    /// What is left of the lease of the run that holds it.
    async fn left(&self, key: RecordKey) -> Result<Duration, StoreError> {
        let key = &key.as_bytes()[..];
        let row = self.run(LEFT, &[(&key, Type::BYTEA)]).await?;
        duration(cell(&row, 0)?)
    }
}

impl Store for Postgres {
    async fn claim(&self, claim: Claim) -> Result<Claimed, StoreError> {
        let owner = &claim.owner.number().to_be_bytes()[..];
        let parameters: [(&(dyn ToSql + Sync), Type); 6] = [
            (&&claim.key.as_bytes()[..], Type::BYTEA),
            (&&claim.fingerprint.as_bytes()[..], Type::BYTEA),
            (&owner, Type::BYTEA),
            (&micros(claim.lease), Type::INT8),
            (&micros(claim.retention.max(claim.lease)), Type::INT8),
            (&(claim.overdue == Overdue::TakeOver), Type::BOOL),
        ];
        claimed(&self.run(CLAIM, &parameters).await?)
    }

    async fn renew(&self, lease: Lease, hold: Duration) -> Result<Held, StoreError> {
        self.step(RENEW, lease, &[(&micros(hold), Type::INT8)])
            .await
    }

    async fn complete(
        &self,
        lease: Lease,
        answer: Bytes,
        retention: Duration,
    ) -> Result<Held, StoreError> {
        let more: [(&(dyn ToSql + Sync), Type); 2] = [
            (&&answer[..], Type::BYTEA),
            (&micros(retention), Type::INT8),
        ];
        self.step(COMPLETE, lease, &more).await
    }

    async fn give_up(&self, lease: Lease) -> Result<Held, StoreError> {
        self.step(GIVE_UP, lease, &[]).await
    }

    async fn release(&self, lease: Lease) -> Result<Held, StoreError> {
        self.step(RELEASE, lease, &[]).await
    }

    async fn wait(&self, key: RecordKey, limit: Duration) -> Result<(), StoreError> {
        poll::wait(limit, POLL, || self.left(key)).await
    }

    async fn purge(&self, limit: usize) -> Result<usize, StoreError> {
        let mut removed = 0;
        while removed < limit {
            let batch = BATCH.min(limit - removed);
            let at_most = i32::try_from(batch).unwrap_or(i32::MAX);
            let row = self.run(PURGE, &[(&at_most, Type::INT4)]).await?;
            let now = usize::try_from(cell::<i64>(&row, 0)?).map_err(|_| corrupt())?;
            removed += now;
            if now < batch {
                break;
            }
        }
        Ok(removed)
    }
}

impl fmt::Debug for Postgres {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Postgres")
            .field("connections", &self.pool.status().max_size)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

/// What the function `claim` says.
fn claimed(row: &Row) -> Result<Claimed, StoreError> {
    let attempt = |row| u32::try_from(cell::<i32>(row, 2)?).map_err(|_| corrupt());
    let left = |row| duration(cell(row, 3)?);
    Ok(match cell::<&str>(row, 0)? {
        "run" => Claimed::Run {
            token: Token::from_number(u64::try_from(cell::<i64>(row, 1)?).map_err(|_| corrupt())?),
            attempt: attempt(row)?,
        },
        "running" => Claimed::Running { left: left(row)? },
        "completed" => Claimed::Completed {
            answer: Bytes::from(cell::<Vec<u8>>(row, 4)?),
            left: left(row)?,
        },
        "unknown" => Claimed::Unknown {
            attempts: attempt(row)?,
            left: left(row)?,
        },
        "mismatch" => Claimed::Mismatch,
        _ => return Err(corrupt()),
    })
}

/// A value, or that it makes no sense.
fn cell<'a, T: tokio_postgres::types::FromSql<'a>>(
    row: &'a Row,
    index: usize,
) -> Result<T, StoreError> {
    row.try_get(index)
        .map_err(|error| corrupt().with_source(error))
}

fn error_of(failure: Failure) -> StoreError {
    match failure {
        Failure::Silence => unavailable("it did not answer in time"),
        Failure::Pool(error) => unavailable(error),
        Failure::Postgres(error) => {
            let is_full = error.code() == Some(&tokio_postgres::error::SqlState::DISK_FULL);
            let kind = if is_full {
                StoreErrorKind::Full
            } else {
                StoreErrorKind::Unavailable
            };
            StoreError::new(NAME, kind).with_source(error)
        }
    }
}

fn unavailable(source: impl Into<seaworthy_kit::BoxError>) -> StoreError {
    StoreError::new(NAME, StoreErrorKind::Unavailable).with_source(source)
}

const fn corrupt() -> StoreError {
    StoreError::new(NAME, StoreErrorKind::Corrupt)
}

fn token(lease: Lease) -> i64 {
    // No run has such a token, so it is nobody's.
    i64::try_from(lease.token.number()).unwrap_or(-1)
}

/// Rounded up: a record that is kept for too short a time could be run twice.
fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.min(LONGEST).as_nanos().div_ceil(1000)).unwrap_or(i64::MAX)
}

fn duration(micros: i64) -> Result<Duration, StoreError> {
    u64::try_from(micros)
        .map(Duration::from_micros)
        .map_err(|_| corrupt())
}

const CLAIM: &str = "SELECT * FROM seaworthy_idempotency.claim($1, $2, $3, $4, $5, $6)";
const RENEW: &str = "SELECT seaworthy_idempotency.renew($1, $2, $3, $4)";
const COMPLETE: &str = "SELECT seaworthy_idempotency.complete($1, $2, $3, $4, $5)";
const GIVE_UP: &str = "SELECT seaworthy_idempotency.give_up($1, $2, $3)";
const RELEASE: &str = "SELECT seaworthy_idempotency.release($1, $2, $3)";
const LEFT: &str = "SELECT seaworthy_idempotency.left_of_lease($1)";
const PURGE: &str = "SELECT seaworthy_idempotency.purge($1)";

const NAME: &str = "postgres";

const TIMEOUT: Duration = Duration::from_secs(2);

/// A hundred years: more than a timestamp could hold is no use, and an error.
const LONGEST: Duration = Duration::from_secs(100 * 366 * 24 * 3600);

/// So many rows are deleted within milliseconds, and locked no longer.
const BATCH: usize = 1000;

/// A session is a process here, and a question takes one for a round trip: fewer of them than of Redis.
const POLL: Poll = Poll {
    first: Duration::from_millis(10),
    longest: Duration::from_millis(200),
};
