//! PostgreSQL.

mod exactly_once;
mod surroundings;

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use deadpool_postgres::{Manager, Pool};
use seaworthy_idempotency::Store as _;
use seaworthy_idempotency::store::{Held, Postgres, StoreErrorKind};
use servers::{Loss, Proxy};
use tokio::task::JoinSet;
use tokio_postgres::{Client, Config, NoTls};

use crate::fixtures::{DAY, MINUTE, NOTHING, answered, claim, claim_for, granted, key, lease};
use crate::rows;

/// A server with the schema, and a store on it.
pub(crate) struct Test {
    server: servers::Postgres,
    store: Postgres,
}

fn config(address: SocketAddr) -> Config {
    let mut config = Config::new();
    config.host("127.0.0.1").port(address.port());
    config.user("postgres").dbname("postgres");
    config
}

fn pool(address: SocketAddr, connections: usize) -> Pool {
    let manager = Manager::new(config(address), NoTls);
    Pool::builder(manager)
        .max_size(connections)
        .build()
        .unwrap()
}

impl Test {
    pub(crate) async fn new() -> Self {
        let server = servers::Postgres::start();
        let store = Postgres::without_tls(config(server.address()), 8);
        store.migrate().await.unwrap();
        Self { server, store }
    }

    /// A client of its own, as a handler has one.
    pub(crate) async fn client(&self) -> Client {
        let (client, connection) = config(self.server.address()).connect(NoTls).await.unwrap();
        tokio::spawn(connection);
        client
    }

    /// A store behind a proxy, with one connection.
    fn behind(&self) -> (Proxy, Postgres) {
        let proxy = Proxy::to(self.server.address());
        let store = Postgres::without_tls(config(proxy.address()), 1);
        (proxy, store)
    }
}

rows::server_rows! {
    new: Test::new(),
    another: |test: &Test| Postgres::without_tls(config(test.server.address()), 8),
    expiry: swept,
}

#[tokio::test]
async fn each_step_is_one_round_trip() {
    let test = Test::new().await;
    let (proxy, store) = test.behind();
    // Connects; no statement is sent before the one that is meant.
    granted(store.claim(claim(0, 1)).await);
    let _ = proxy.take_turns();

    let (token, _) = granted(store.claim(claim(1, 1)).await);
    assert_eq!(proxy.take_turns(), 1, "a claim");
    let answer = Bytes::from(vec![7; 1 << 20]);
    let run = lease(1, 1, token);
    store.complete(run, answer, DAY).await.unwrap();
    assert_eq!(proxy.take_turns(), 1, "its completion");
    answered(store.claim(claim(1, 2)).await);
    assert_eq!(proxy.take_turns(), 1, "a replay");
    assert_eq!(proxy.connections(), 1);
}

#[tokio::test]
async fn lost_reply_makes_no_second_run() {
    let test = Test::new().await;
    let (proxy, store) = test.behind();
    granted(store.claim(claim(0, 1)).await);
    // The store itself asks again on a new connection.
    proxy.lose_next_reply(Loss::Cut);
    let (token, attempt) = granted(store.claim(claim(1, 1)).await);
    assert_eq!((proxy.lost(), attempt), (1, 1));
    proxy.lose_next_reply(Loss::Cut);
    let run = lease(1, 1, token);
    let held = store.complete(run, Bytes::from_static(b"once"), DAY).await;
    assert_eq!((proxy.lost(), held.unwrap()), (2, Held::Yes));
    assert_eq!(&answered(store.claim(claim(1, 2)).await)[..], b"once");
}

#[tokio::test]
async fn silent_connection_is_given_up_in_time() {
    let test = Test::new().await;
    let (proxy, store) = test.behind();
    let store = store.timeout(Duration::from_millis(300));
    granted(store.claim(claim(0, 1)).await);
    proxy.lose_next_reply(Loss::Silence);
    let error = store.claim(claim(1, 1)).await.unwrap_err();
    assert_eq!(
        (proxy.lost(), error.kind()),
        (1, StoreErrorKind::Unavailable)
    );
    // It was granted, and the same owner is told so.
    let (token, attempt) = granted(store.claim(claim(1, 1)).await);
    assert_eq!((proxy.connections(), attempt), (2, 1));
    let run = lease(1, 1, token);
    assert_eq!(store.renew(run, MINUTE).await.unwrap(), Held::Yes);
}

#[tokio::test]
async fn killed_server_is_unavailable_and_then_works_again() {
    let test = Test::new().await;
    let (token, _) = granted(test.store.claim(claim(1, 1)).await);
    test.server.kill();
    rows::everything_is_unavailable(&test.store).await;
    test.server.restart();
    let run = lease(1, 1, token);
    let held = test.store.complete(run, Bytes::new(), DAY).await;
    assert_eq!(held.unwrap(), Held::Yes);
}

/// Nobody has told the pool that its connections are gone.
#[tokio::test]
async fn restart_between_two_steps_is_not_noticed() {
    let test = Test::new().await;
    let (token, _) = granted(test.store.claim(claim(1, 1)).await);
    test.server.restart();
    let run = lease(1, 1, token);
    let held = test.store.complete(run, Bytes::new(), DAY).await;
    assert_eq!(held.unwrap(), Held::Yes);
}

#[tokio::test]
async fn server_killed_during_a_step_is_unavailable() {
    let test = Test::new().await;
    test.server.pause();
    let store = test.store.clone();
    let step = tokio::spawn(async move { store.claim(claim(1, 1)).await });
    tokio::task::yield_now().await;
    test.server.kill();
    let error = step.await.unwrap().unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Unavailable);
}

#[tokio::test]
async fn paused_server_is_unavailable_in_time() {
    let test = Test::new().await;
    granted(test.store.claim(claim(0, 1)).await);
    test.server.pause();
    let store = test.store.clone().timeout(Duration::from_millis(100));
    rows::everything_is_unavailable(&store).await;
    test.server.resume();
    // Whether the lost claim ran after all or not: it is this owner's.
    assert_eq!(granted(test.store.claim(claim(1, 1)).await).1, 1);
}

#[tokio::test]
async fn many_may_migrate_at_once_and_again() {
    let server = servers::Postgres::start();
    let mut migrations = JoinSet::new();
    for _ in 0..8 {
        let store = Postgres::without_tls(config(server.address()), 1);
        migrations.spawn(async move { store.migrate().await });
    }
    for migrated in migrations.join_all().await {
        migrated.unwrap();
    }
    let store = Postgres::without_tls(config(server.address()), 1);
    granted(store.claim(claim(1, 1)).await);
    store.migrate().await.unwrap();
    assert_eq!(granted(store.claim(claim(1, 1)).await).1, 1);
}

/// A service that starts while others take payments must not hold them up, nor wait for them.
#[tokio::test]
async fn migration_of_what_is_there_waits_for_no_transaction() {
    let test = Test::new().await;
    granted(test.store.claim(claim(1, 1)).await);
    let mut client = test.client().await;
    let transaction = client.transaction().await.unwrap();
    let held = "UPDATE seaworthy_idempotency.records SET attempt = attempt";
    assert_eq!(transaction.execute(held, &[]).await.unwrap(), 1);
    // The server itself ends what waits for a lock.
    let mut config = config(test.server.address());
    config.options("-c lock_timeout=5000");
    let starting = Postgres::without_tls(config, 1);
    starting.migrate().await.unwrap();
}

#[tokio::test]
async fn without_its_schema_the_store_is_unavailable() {
    let server = servers::Postgres::start();
    let store = Postgres::without_tls(config(server.address()), 1);
    let error = store.claim(claim(1, 1)).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Unavailable);
}

#[tokio::test]
async fn purge_removes_what_is_past_and_waits_for_nobody() {
    let test = Test::new().await;
    for number in 0..10 {
        let mut past = claim_for(number, 1, NOTHING);
        past.retention = NOTHING;
        granted(test.store.claim(past).await);
    }
    granted(test.store.claim(claim(10, 1)).await);
    assert_eq!(test.store.purge(3).await.unwrap(), 3);
    let mut client = test.client().await;
    let transaction = client.transaction().await.unwrap();
    let held = "SELECT FROM seaworthy_idempotency.records WHERE expires_at < clock_timestamp() LIMIT 1 FOR UPDATE";
    transaction.execute(held, &[]).await.unwrap();
    assert_eq!(test.store.purge(100).await.unwrap(), 6);
    transaction.rollback().await.unwrap();
    assert_eq!(test.store.purge(100).await.unwrap(), 1);
    assert_eq!(test.store.purge(100).await.unwrap(), 0);
    assert!(test.store.claim(claim(10, 2)).await.is_ok());
}

#[tokio::test]
async fn purge_goes_on_after_a_batch() {
    let test = Test::new().await;
    let client = test.client().await;
    let many = "INSERT INTO seaworthy_idempotency.records
        SELECT sha256(int4send(n)), sha256(int4send(n)), 'running', decode(md5(n::text), 'hex'), 1, 1, now(), now(), NULL
        FROM generate_series(1, 2500) AS n";
    client.execute(many, &[]).await.unwrap();
    assert_eq!(test.store.purge(2100).await.unwrap(), 2100);
    assert_eq!(test.store.purge(usize::MAX).await.unwrap(), 400);
}

#[tokio::test]
async fn replay_writes_nothing() {
    let test = Test::new().await;
    let (token, _) = granted(test.store.claim(claim(1, 1)).await);
    let run = lease(1, 1, token);
    test.store.complete(run, Bytes::new(), DAY).await.unwrap();
    let client = test.client().await;
    let row = "SELECT xmin::text || ' ' || xmax::text FROM seaworthy_idempotency.records";
    let before: String = client.query_one(row, &[]).await.unwrap().get(0);
    for owner in 2..10 {
        answered(test.store.claim(claim(1, owner)).await);
    }
    let after: String = client.query_one(row, &[]).await.unwrap().get(0);
    assert_eq!(before, after);
}

/// Nothing is left in a session that a proxy hands to somebody else.
#[tokio::test]
async fn sessions_have_no_state() {
    let test = Test::new().await;
    let pool = pool(test.server.address(), 1);
    let store = Postgres::new(pool.clone());
    let (token, _) = granted(store.claim(claim(1, 1)).await);
    store.wait(key(1), Duration::from_millis(20)).await.unwrap();
    store
        .complete(lease(1, 1, token), Bytes::new(), DAY)
        .await
        .unwrap();
    let client = pool.get().await.unwrap();
    let state = "SELECT (SELECT count(*) FROM pg_prepared_statements)
        + (SELECT count(*) FROM pg_listening_channels())
        + (SELECT count(*) FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = 'advisory')
        + (SELECT count(*) FROM pg_settings WHERE source = 'session' AND name = 'lock_timeout')";
    let row = client.query_typed_one(state, &[]).await.unwrap();
    assert_eq!(row.get::<_, i64>(0), 0);
}

#[tokio::test]
async fn what_makes_no_sense_is_corrupt() {
    let test = Test::new().await;
    let client = test.client().await;
    // As another version, or a hand, might leave it.
    let free = "ALTER TABLE seaworthy_idempotency.records
        DROP CONSTRAINT records_state_check, DROP CONSTRAINT records_token_check,
        DROP CONSTRAINT records_attempt_check, DROP CONSTRAINT records_check,
        ALTER COLUMN lease_until DROP NOT NULL";
    client.batch_execute(free).await.unwrap();
    granted(test.store.claim(claim(1, 1)).await);
    for (owner, damage) in [
        (2, "state = 'walking'"),
        (1, "state = 'running', token = -1"),
        (1, "token = 1, attempt = -1"),
        (2, "attempt = 1, state = 'completed'"),
    ] {
        let damage = format!("UPDATE seaworthy_idempotency.records SET {damage}");
        client.execute(&damage, &[]).await.unwrap();
        let error = test.store.claim(claim(1, owner)).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Corrupt, "{damage}");
    }
}

#[tokio::test]
async fn errors_and_debug_tell_no_secret() {
    let mut config = config("127.0.0.1:1".parse().unwrap());
    config.password("secret");
    let store = Postgres::without_tls(config, 1);
    let error = store.claim(claim(1, 1)).await.unwrap_err();
    let source = std::error::Error::source(&error).unwrap();
    let said = format!("{error} {error:?} {source} {store:?}");
    assert!(!said.contains("secret"), "{said}");
    assert!(said.contains("the idempotency store `postgres` is not available"));
}
