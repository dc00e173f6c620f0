//! A connection of the pool for one statement: given back when it has been answered, given up otherwise.

use deadpool_postgres::{Object, Pool, PoolError};
use tokio::time::{Instant, timeout_at};
use tokio_postgres::error::SqlState;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Error, Row};

/// Why a statement has no result.
#[derive(Debug)]
pub(super) enum Failure {
    /// Nothing came in time.
    Silence,
    Pool(PoolError),
    Postgres(Error),
}

/// A connection that goes back to the pool only where its answer has come.
///
/// One that is still owed an answer would keep the next step waiting for it, for ever where it is silent.
struct Lent(Option<Object>);

impl Drop for Lent {
    fn drop(&mut self) {
        if let Some(connection) = self.0.take() {
            drop(Object::take(connection));
        }
    }
}

/// Runs a statement that has one row.
///
/// Where the connection breaks or the transaction is told to try again, it is sent once more: it may have run already, which every step allows for.
pub(super) async fn run(
    pool: &Pool,
    statement: &str,
    parameters: &[(&(dyn ToSql + Sync), Type)],
    until: Instant,
) -> Result<Row, Failure> {
    let tries = async {
        match once(pool, statement, parameters).await {
            Err(Failure::Postgres(error)) if is_broken(&error) => {
                // What broke this one has broken the others as well: a server that was restarted.
                pool.retain(|_, _| false);
            }
            Err(Failure::Postgres(error)) if may_succeed(&error) => {}
            done => return done,
        }
        once(pool, statement, parameters).await
    };
    timeout_at(until, tries)
        .await
        .unwrap_or(Err(Failure::Silence))
}

async fn once(
    pool: &Pool,
    statement: &str,
    parameters: &[(&(dyn ToSql + Sync), Type)],
) -> Result<Row, Failure> {
    let connection = pool.get().await.map_err(Failure::Pool)?;
    let mut lent = Lent(Some(connection));
    let connection = lent.0.as_ref().expect("it is taken below only");
    let row = connection.query_typed_one(statement, parameters).await;
    // A refusal is an answer as well.
    if row.as_ref().err().is_none_or(|error| !is_broken(error)) {
        drop(lent.0.take());
    }
    row.map_err(Failure::Postgres)
}

fn is_broken(error: &Error) -> bool {
    // What a server says that goes down is the last that it says.
    let goodbyes = [SqlState::ADMIN_SHUTDOWN, SqlState::CRASH_SHUTDOWN];
    match error.code() {
        Some(code) => goodbyes.contains(code),
        None => true,
    }
}

/// Two transactions were in each other's way, and this one was undone.
fn may_succeed(error: &Error) -> bool {
    let undone = [
        SqlState::T_R_SERIALIZATION_FAILURE,
        SqlState::T_R_DEADLOCK_DETECTED,
    ];
    error.code().is_some_and(|code| undone.contains(code))
}
