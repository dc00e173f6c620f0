//! The shop's own database: a charge and its answer are in one transaction.

use std::sync::Arc;

use seaworthy::idempotency::Run;
use seaworthy::idempotency::store::postgres::{CompleteError, Postgres};
use tokio::sync::Mutex;
use tokio_postgres::{Client, Config, NoTls};

use crate::RETENTION;
use crate::steps::Leash;

/// One connection to the table of charges.
#[derive(Clone)]
pub(crate) struct Books {
    client: Arc<Mutex<Client>>,
    answers: Postgres,
}

impl Books {
    /// The table is made where there is none; two shops may start at once.
    pub(crate) async fn open(config: &Config, answers: Postgres) -> Self {
        let (client, connection) = config.connect(NoTls).await.unwrap();
        tokio::spawn(connection);
        let table = "SELECT pg_advisory_xact_lock(1); CREATE TABLE IF NOT EXISTS charges (card text NOT NULL)";
        client.batch_execute(table).await.unwrap();
        Self {
            client: Arc::new(Mutex::new(client)),
            answers,
        }
    }

    /// Charges the card and stores the answer, both or neither; says whether it did.
    pub(crate) async fn charge(&self, leash: Leash, run: &Run, card: &str, answer: &[u8]) -> bool {
        let mut client = self.client.lock().await;
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
            Err(error) => panic!("{error:?}"),
        }
        leash.step("completed").await;
        transaction.commit().await.unwrap();
        true
    }

    pub(crate) async fn charged(&self, card: &str) -> i64 {
        let count = "SELECT count(*) FROM charges WHERE card = $1";
        let client = self.client.lock().await;
        client.query_one(count, &[&card]).await.unwrap().get(0)
    }
}
