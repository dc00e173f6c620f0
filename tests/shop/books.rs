//! The shop's own database: a charge and its answer are in one transaction.

use std::sync::Arc;

use seaworthy::idempotency::Run;
use seaworthy::idempotency::store::Postgres;
use seaworthy::idempotency::store::postgres::CompleteError;
use tokio_postgres::{Client, Config, NoTls};

use crate::RETENTION;
use crate::steps::Leash;

/// The table of charges.
#[derive(Clone)]
pub(crate) struct Books {
    config: Arc<Config>,
    answers: Postgres,
}

impl Books {
    /// The table is made where there is none; two shops may start at once.
    pub(crate) async fn open(config: Config, answers: Postgres) -> Self {
        let books = Self {
            config: Arc::new(config),
            answers,
        };
        let table = "SELECT pg_advisory_xact_lock(1); CREATE TABLE IF NOT EXISTS charges (card text NOT NULL)";
        books.connect().await.batch_execute(table).await.unwrap();
        books
    }

    /// Charges the card and stores the answer, both or neither; says whether it did.
    ///
    /// As good handlers do, it tries again where its commit has no reply.
    pub(crate) async fn charge(&self, leash: Leash, run: &Run, card: &str, answer: &[u8]) -> bool {
        loop {
            let mut client = self.connect().await;
            let transaction = client.transaction().await.unwrap();
            let insert = "INSERT INTO charges (card) VALUES ($1)";
            transaction.execute(insert, &[&card]).await.unwrap();
            assert!(card != "panics-once" || run.attempt() > 1, "as it was told");
            leash.step("charged").await;
            let done = self
                .answers
                .complete_in(&transaction, run.lease(), answer, RETENTION)
                .await;
            match done {
                Ok(()) => {}
                // Dropped, the transaction is rolled back.
                Err(CompleteError::Lost) => return false,
                Err(CompleteError::Ended) => return true,
                Err(error) => panic!("{error:?}"),
            }
            leash.step("completed").await;
            if transaction.commit().await.is_ok() {
                return true;
            }
        }
    }

    pub(crate) async fn charged(&self, card: &str) -> i64 {
        let count = "SELECT count(*) FROM charges WHERE card = $1";
        let client = self.connect().await;
        client.query_one(count, &[&card]).await.unwrap().get(0)
    }

    async fn connect(&self) -> Client {
        let (client, connection) = self.config.connect(NoTls).await.unwrap();
        tokio::spawn(connection);
        client
    }
}
