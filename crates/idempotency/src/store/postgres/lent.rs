//! A connection of the pool for one statement: given back when it has been answered, given up otherwise.

use std::time::Duration;

use deadpool_postgres::{Object, Pool, PoolError};
use tokio::time::{Instant, sleep, timeout_at};
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

/// Between two tries that may be in the way of others.
const PAUSE: Duration = Duration::from_millis(5);

impl Lent {
    fn get(&self) -> &Object {
        self.0.as_ref().expect("it is there until it is given back")
    }

    /// It has been answered; a refusal is an answer as well.
    fn give_back(mut self, error: Option<&Error>) {
        if error.is_none_or(|error| !is_broken(error)) {
            drop(self.0.take());
        }
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let Some(connection) = self.0.take() {
            drop(Object::take(connection));
        }
    }
}

/// Runs a text of many statements.
pub(super) async fn run_all(pool: &Pool, statements: &str) -> Result<(), Failure> {
    let connection = pool.get().await.map_err(Failure::Pool)?;
    let lent = Lent(Some(connection));
    let done = lent.get().batch_execute(statements).await;
    lent.give_back(done.as_ref().err());
    done.map_err(Failure::Postgres)
}

/// Runs a statement that has one row.
///
/// Where the connection breaks, it is sent once more; where transactions were in each other's way, until it is over or the time is: it may have run already, which every step allows for.
pub(super) async fn run(
    pool: &Pool,
    statement: &str,
    parameters: &[(&(dyn ToSql + Sync), Type)],
    until: Instant,
) -> Result<Row, Failure> {
    let tries = async {
        let mut was_broken = false;
        loop {
            match once(pool, statement, parameters).await {
                Err(Failure::Postgres(error)) if is_broken(&error) && !was_broken => {
                    was_broken = true;
                }
                Err(Failure::Postgres(error)) if may_succeed(&error) => {
                    // Not at once, and not all at the same moment.
                    sleep(PAUSE.mul_f64(0.5 + fastrand::f64())).await;
                }
                done => return done,
            }
        }
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
    let lent = Lent(Some(connection));
    let row = lent.get().query_typed_one(statement, parameters).await;
    lent.give_back(row.as_ref().err());
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
