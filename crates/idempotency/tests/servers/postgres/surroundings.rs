//! What else is in the database: locks, operators of others, and another isolation.

use std::time::Duration;

use bytes::Bytes;
use seaworthy_idempotency::Store as _;
use seaworthy_idempotency::store::{Claimed, Held, Postgres};

use super::{Test, config};
use crate::fixtures::{DAY, MINUTE, answered, claim, granted, key, lease};
use crate::rows;

/// Ready when that many sessions wait for a lock.
pub(crate) async fn waiting_for_a_lock(test: &Test, sessions: i64) {
    let client = test.client().await;
    let waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'";
    loop {
        let waiting: i64 = client.query_one(waiting, &[]).await.unwrap().get(0);
        if waiting == sessions {
            return;
        }
    }
}

/// A server goes on waiting for clients that have given up: it must not do so for as long as the lock is held.
#[tokio::test]
async fn locked_table_uses_up_no_connections() {
    let test = Test::new().await;
    let (token, _) = granted(test.store.claim(claim(1, 1)).await);
    let run = lease(1, 1, token);
    let mut client = test.client().await;
    let transaction = client.transaction().await.unwrap();
    let lock = "LOCK TABLE seaworthy_idempotency.records IN ACCESS EXCLUSIVE MODE";
    transaction.execute(lock, &[]).await.unwrap();
    let store = test.store.clone().timeout(Duration::from_millis(100));
    let answer = Bytes::from_static(b"paid");
    let (claimed, renewed, completed, given_up, released, purged, waited) = tokio::join!(
        store.claim(claim(2, 1)),
        store.renew(run, MINUTE),
        store.complete(run, answer, DAY),
        store.give_up(run),
        store.release(run),
        store.purge(1),
        store.wait(key(1), MINUTE),
    );
    assert!(claimed.is_err() && renewed.is_err() && completed.is_err());
    assert!(given_up.is_err() && released.is_err() && purged.is_err() && waited.is_err());
    // The lock is still held, and nobody waits for it any more.
    waiting_for_a_lock(&test, 0).await;
    transaction.rollback().await.unwrap();
    assert_eq!(test.store.renew(run, MINUTE).await.unwrap(), Held::Yes);
}

/// Whoever may create in `public` must not decide what the functions mean.
#[tokio::test]
async fn operators_of_other_schemas_play_no_role() {
    let test = Test::new().await;
    let client = test.client().await;
    let theirs = "CREATE FUNCTION public.nothing(bigint, interval) RETURNS interval LANGUAGE sql AS $$ SELECT interval '0' $$;
        CREATE OPERATOR public.* (LEFTARG = bigint, RIGHTARG = interval, FUNCTION = public.nothing)";
    client.batch_execute(theirs).await.unwrap();
    let (token, _) = granted(test.store.claim(claim(1, 1)).await);
    let running = test.store.claim(claim(1, 2)).await;
    assert!(
        matches!(running, Ok(Claimed::Running { .. })),
        "{running:?}"
    );
    let answer = Bytes::from_static(b"paid");
    let completed = test.store.complete(lease(1, 1, token), answer, DAY).await;
    assert_eq!(completed.unwrap(), Held::Yes);
    answered(test.store.claim(claim(1, 2)).await);
}

/// Where the database's default is stricter than what the steps are made for.
#[tokio::test(flavor = "multi_thread")]
async fn one_of_a_hundred_runs_at_every_isolation() {
    for isolation in ["repeatable\\ read", "serializable"] {
        let store = |test: &Test| {
            let mut config = config(test.server.address());
            config.options(format!("-c default_transaction_isolation={isolation}"));
            Postgres::without_tls(config, 8)
        };
        let test = Test::new().await;
        rows::one_of_a_hundred_runs(store(&test), store(&test)).await;
        let test = Test::new().await;
        rows::one_of_a_hundred_takes_over(store(&test), store(&test)).await;
    }
}
