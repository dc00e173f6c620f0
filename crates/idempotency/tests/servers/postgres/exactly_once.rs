//! The answer inside the handler's own transaction.

use bytes::Bytes;
use seaworthy_idempotency::Store as _;
use seaworthy_idempotency::store::postgres::CompleteError;
use seaworthy_idempotency::store::{Claimed, Held, Lease};
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Transaction};

use super::Test;
use super::surroundings::waiting_for_a_lock;
use crate::fixtures::{DAY, MINUTE, NOTHING, answered, claim, claim_for, granted, lease};

const ANSWER: &[u8] = b"paid";

async fn payments(client: &Client) -> i64 {
    let count = "SELECT count(*) FROM payments";
    client.query_one(count, &[]).await.unwrap().get(0)
}

async fn ready() -> (Test, Client) {
    let test = Test::new().await;
    let client = test.client().await;
    let table = "CREATE TABLE payments (run text)";
    client.batch_execute(table).await.unwrap();
    (test, client)
}

/// What the handler does: the payment and its answer.
async fn pay(test: &Test, transaction: &Transaction<'_>, run: Lease) -> Result<(), CompleteError> {
    let payment = "INSERT INTO payments VALUES ('a run')";
    transaction.execute(payment, &[]).await.unwrap();
    test.store.complete_in(transaction, run, ANSWER, DAY).await
}

#[tokio::test]
async fn payment_and_answer_commit_together() {
    let (test, mut client) = ready().await;
    let (token, _) = granted(test.store.claim(claim(1, 1)).await);
    let run = lease(1, 1, token);
    let transaction = client.transaction().await.unwrap();
    pay(&test, &transaction, run).await.unwrap();
    // Until then nobody sees either, and nobody waits for it.
    let early = test.store.claim(claim(1, 2)).await;
    assert!(matches!(early, Ok(Claimed::Running { .. })));
    transaction.commit().await.unwrap();
    assert_eq!(&answered(test.store.claim(claim(1, 2)).await)[..], ANSWER);
    assert_eq!(payments(&client).await, 1);
    // The layer completes it as well; another answer is none.
    for (answer, held) in [(ANSWER, Held::Yes), (b"other", Held::Lost)] {
        let answer = Bytes::from_static(answer);
        let completed = test.store.complete(run, answer, DAY).await;
        assert_eq!(completed.unwrap(), held);
    }
    assert_eq!(&answered(test.store.claim(claim(1, 2)).await)[..], ANSWER);
}

/// A handler that had no reply to its commit tries again.
#[tokio::test]
async fn repeated_transaction_commits_nothing_twice() {
    let (test, mut client) = ready().await;
    let (token, _) = granted(test.store.claim(claim(1, 1)).await);
    let run = lease(1, 1, token);
    let transaction = client.transaction().await.unwrap();
    pay(&test, &transaction, run).await.unwrap();
    transaction.commit().await.unwrap();
    let again = client.transaction().await.unwrap();
    let ended = pay(&test, &again, run).await;
    assert!(matches!(ended, Err(CompleteError::Ended)), "{ended:?}");
    let _ = again.commit().await;
    assert_eq!(payments(&client).await, 1);
    assert_eq!(&answered(test.store.claim(claim(1, 2)).await)[..], ANSWER);
}

/// The same while the first one is still being committed.
#[tokio::test]
async fn transaction_repeated_before_the_first_commits_nothing_twice() {
    let (test, mut client) = ready().await;
    let (token, _) = granted(test.store.claim(claim(1, 1)).await);
    let run = lease(1, 1, token);
    let transaction = client.transaction().await.unwrap();
    pay(&test, &transaction, run).await.unwrap();
    let mut other = test.client().await;
    let again = other.transaction().await.unwrap();
    let (ended, committed) = tokio::join!(pay(&test, &again, run), async {
        // It waits for the record that the first one has locked.
        waiting_for_a_lock(&test, 1).await;
        transaction.commit().await
    });
    committed.unwrap();
    assert!(matches!(ended, Err(CompleteError::Ended)), "{ended:?}");
    let _ = again.commit().await;
    assert_eq!(payments(&client).await, 1);
}

/// Pitfall 1: a crash anywhere before the commit leaves neither.
#[tokio::test]
async fn transaction_that_is_lost_leaves_neither() {
    let (test, mut client) = ready().await;
    let (token, _) = granted(test.store.claim(claim_for(1, 1, NOTHING)).await);
    let transaction = client.transaction().await.unwrap();
    pay(&test, &transaction, lease(1, 1, token)).await.unwrap();
    drop(transaction);
    drop(client);
    let (_, attempt) = granted(test.store.claim(claim(1, 2)).await);
    assert_eq!((attempt, payments(&test.client().await).await), (2, 0));
}

/// IK-19: who was taken over cannot commit, even if it does not look.
#[tokio::test]
async fn late_owner_cannot_commit_its_payment() {
    let (test, mut client) = ready().await;
    let (late, _) = granted(test.store.claim(claim_for(1, 1, NOTHING)).await);
    granted(test.store.claim(claim(1, 2)).await);
    let transaction = client.transaction().await.unwrap();
    let lost = pay(&test, &transaction, lease(1, 1, late)).await;
    assert!(matches!(lost, Err(CompleteError::Lost)));
    let _ = transaction.commit().await;
    assert_eq!(payments(&client).await, 0);
    let running = test.store.claim(claim(1, 3)).await;
    assert!(matches!(running, Ok(Claimed::Running { .. })));
}

/// A record that is gone, purged or lost, is nobody's.
#[tokio::test]
async fn payment_without_its_record_cannot_be_committed() {
    let (test, mut client) = ready().await;
    let (token, _) = granted(test.store.claim(claim(1, 1)).await);
    let forget = "DELETE FROM seaworthy_idempotency.records";
    assert_eq!(client.execute(forget, &[]).await.unwrap(), 1);
    let transaction = client.transaction().await.unwrap();
    let lost = pay(&test, &transaction, lease(1, 1, token)).await;
    assert!(matches!(lost, Err(CompleteError::Lost)));
    let _ = transaction.commit().await;
    assert_eq!(payments(&client).await, 0);
}

/// The record is locked from the completion to the commit: a takeover waits, and then finds the answer.
#[tokio::test]
async fn takeover_waits_for_the_commit() {
    for commits in [true, false] {
        let (test, mut client) = ready().await;
        let (token, _) = granted(test.store.claim(claim_for(1, 1, NOTHING)).await);
        let transaction = client.transaction().await.unwrap();
        pay(&test, &transaction, lease(1, 1, token)).await.unwrap();
        let store = test.store.clone();
        let takes_over = tokio::spawn(async move { store.claim(claim(1, 2)).await });
        let observer = test.client().await;
        // Whether it waits already, is what the server itself says.
        let waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'";
        while observer
            .query_one(waits, &[])
            .await
            .unwrap()
            .get::<_, i64>(0)
            == 0
        {
            tokio::task::yield_now().await;
        }
        if commits {
            transaction.commit().await.unwrap();
            assert_eq!(&answered(takes_over.await.unwrap())[..], ANSWER);
        } else {
            transaction.rollback().await.unwrap();
            assert_eq!(granted(takes_over.await.unwrap()).1, 2);
        }
        assert_eq!(payments(&client).await, i64::from(commits));
    }
}

/// A transaction that is never ended holds nobody up for ever, and the claim that gave up changes nothing later.
#[tokio::test]
async fn claim_does_not_wait_for_ever() {
    let (test, mut client) = ready().await;
    let (token, _) = granted(test.store.claim(claim_for(1, 1, NOTHING)).await);
    let run = lease(1, 1, token);
    let transaction = client.transaction().await.unwrap();
    pay(&test, &transaction, run).await.unwrap();
    let error = test.store.claim(claim(1, 2)).await.unwrap_err();
    // The server gave up, not the client, whose claim would go on there.
    let cause = std::error::Error::source(&error).and_then(|it| it.downcast_ref());
    let cause: &tokio_postgres::Error = cause.unwrap();
    assert_eq!(cause.code(), Some(&SqlState::LOCK_NOT_AVAILABLE));
    transaction.rollback().await.unwrap();
    assert_eq!(test.store.renew(run, MINUTE).await.unwrap(), Held::Yes);
}
