//! The end of a run inside the handler's own transaction.

use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

use tokio_postgres::Transaction;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::{ToSql, Type};

use super::{Postgres, micros, token};
use crate::store::Lease;

/// The statement of [`Postgres::complete_in`], for other clients.
///
/// Its parameters: the key's digest and the owner's number with the highest byte first, both `bytea`; the token, `bigint`; the answer, `bytea`; the retention in microseconds, `bigint`.
pub const COMPLETE_IN: &str = "SELECT seaworthy_idempotency.complete_or_fail($1, $2, $3, $4, $5)";

/// The SQLSTATE of [`COMPLETE_IN`] where the run has lost its record.
pub const LOST: &str = "SWI01";

/// The SQLSTATE of [`COMPLETE_IN`] where the run has ended before: this transaction was committed already.
pub const ENDED: &str = "SWI02";

/// Why an answer is not in the transaction, which can only be rolled back now.
#[derive(Debug)]
#[non_exhaustive]
pub enum CompleteError {
    /// Another run took the record over, it was ended otherwise, or it is gone: what this run did must not be committed.
    Lost,
    /// This run has ended its record before, perhaps in an earlier try of this transaction whose reply was lost: what stands beside it here is committed already, and would be made twice.
    Ended,
    /// The database failed.
    Failed(tokio_postgres::Error),
}

impl Postgres {
    /// Ends the run with an answer, inside a transaction of the handler's own: both commit together or not at all.
    ///
    /// The layer completes the run once more when the handler has answered, and is told that it was done, if it is the same answer.
    /// The record is locked until the transaction ends: commit soon.
    ///
    /// A transaction whose commit has no reply may be committed or not.
    /// Repeated, it fails with [`CompleteError::Ended`] if it was: nothing is made twice.
    ///
    /// # Errors
    /// In each case the transaction is failed: nothing in it can be committed any more, unless this was called inside of a savepoint of it.
    ///
    /// # Cancel safety
    /// The transaction is in an unknown state then; drop it, which rolls it back.
    pub async fn complete_in(
        &self,
        transaction: &Transaction<'_>,
        lease: Lease,
        answer: &[u8],
        retention: Duration,
    ) -> Result<(), CompleteError> {
        let owner = lease.owner.number().to_be_bytes();
        let parameters: [(&(dyn ToSql + Sync), Type); 5] = [
            (&&lease.key.as_bytes()[..], Type::BYTEA),
            (&&owner[..], Type::BYTEA),
            (&token(lease), Type::INT8),
            (&answer, Type::BYTEA),
            (&micros(retention), Type::INT8),
        ];
        let done = transaction.query_typed(COMPLETE_IN, &parameters).await;
        done.map(drop)
            .map_err(|error| match error.code().map(SqlState::code) {
                Some(LOST) => CompleteError::Lost,
                Some(ENDED) => CompleteError::Ended,
                _ => CompleteError::Failed(error),
            })
    }
}

// ===== impl CompleteError =====

impl fmt::Display for CompleteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Lost => {
                "the run has lost its idempotency record, its transaction must be rolled back"
            }
            Self::Ended => {
                "the run has ended its idempotency record before, with all that was committed beside it"
            }
            Self::Failed(_) => "the answer could not be put into the transaction",
        })
    }
}

impl StdError for CompleteError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Self::Lost | Self::Ended => None,
            Self::Failed(error) => Some(error),
        }
    }
}
