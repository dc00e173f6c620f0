//! Redis, or Valkey where that is what the machine has.

use std::time::Duration;

use bytes::Bytes;
use redis::{Client, Commands as _};
use seaworthy_idempotency::Store as _;
use seaworthy_idempotency::store::{Claimed, Held, Redis, StoreErrorKind};
use servers::{Loss, Proxy};

use crate::fixtures::{DAY, MINUTE, answered, claim, granted, key, lease};
use crate::rows;

/// A server, and a store on it.
struct Test {
    server: servers::Redis,
    store: Redis,
}

impl Test {
    fn new() -> Self {
        Self::on(servers::Redis::start())
    }

    fn on(server: servers::Redis) -> Self {
        let store = Redis::new(Client::open(server.url()).unwrap());
        Self { server, store }
    }

    fn connection(&self) -> redis::Connection {
        let client = Client::open(self.server.url()).unwrap();
        client.get_connection().unwrap()
    }

    /// A store behind a proxy.
    fn behind(&self) -> (Proxy, Redis) {
        let proxy = Proxy::to(self.server.address());
        let client = Client::open(format!("redis://{}/", proxy.address())).unwrap();
        (proxy, Redis::new(client))
    }
}

rows::server_rows! {
    new: std::future::ready(Test::new()),
    another: |test: &Test| Redis::new(Client::open(test.server.url()).unwrap()),
    expiry: by_itself,
}

/// In a cluster a script may touch the key only that it was sent for, and must say so.
#[tokio::test]
async fn node_of_a_cluster_takes_every_step() {
    let test = Test::on(servers::Redis::with(&["--cluster-enabled", "yes"]));
    let mut connection = test.connection();
    let all = redis::cmd("CLUSTER")
        .arg("ADDSLOTSRANGE")
        .arg(0)
        .arg(16383)
        .to_owned();
    all.exec(&mut connection).unwrap();
    // Until it has noticed that all is there, a node refuses.
    let mut claimed = test.store.claim(claim(1, 1)).await;
    while matches!(&claimed, Err(error) if error.kind() == StoreErrorKind::Unavailable) {
        claimed = test.store.claim(claim(1, 1)).await;
    }
    let (token, _) = granted(claimed);
    let run = lease(1, 1, token);
    assert_eq!(test.store.renew(run, MINUTE).await.unwrap(), Held::Yes);
    test.store
        .wait(key(1), Duration::from_millis(20))
        .await
        .unwrap();
    let answer = Bytes::from_static(b"answer");
    test.store.complete(run, answer.clone(), DAY).await.unwrap();
    assert_eq!(answered(test.store.claim(claim(1, 2)).await), answer);
    let (token, _) = granted(test.store.claim(claim(2, 1)).await);
    assert_eq!(
        test.store.give_up(lease(2, 1, token)).await.unwrap(),
        Held::Yes
    );
    let (token, _) = granted(test.store.claim(claim(2, 1)).await);
    assert_eq!(
        test.store.release(lease(2, 1, token)).await.unwrap(),
        Held::Yes
    );
}

#[tokio::test]
async fn each_step_is_one_round_trip() {
    let test = Test::new();
    let (proxy, store) = test.behind();
    // Connects, and tells the scripts.
    let (token, _) = granted(store.claim(claim(0, 1)).await);
    let run = lease(0, 1, token);
    store.complete(run, Bytes::new(), DAY).await.unwrap();
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
    let test = Test::new();
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
    let test = Test::new();
    let (proxy, store) = test.behind();
    let store = store.timeout(Duration::from_millis(200));
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
    let test = Test::on(servers::Redis::durable());
    let (token, _) = granted(test.store.claim(claim(1, 1)).await);
    test.server.kill();
    rows::everything_is_unavailable(&test.store).await;
    test.server.restart();
    // What was answered before is still known; scripts are not, and are told again.
    let held = test
        .store
        .complete(lease(1, 1, token), Bytes::new(), DAY)
        .await;
    assert_eq!(held.unwrap(), Held::Yes);
}

#[tokio::test]
async fn server_killed_during_a_step_is_unavailable() {
    let test = Test::new();
    granted(test.store.claim(claim(0, 1)).await);
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
    let test = Test::new();
    granted(test.store.claim(claim(0, 1)).await);
    test.server.pause();
    let store = test.store.clone().timeout(Duration::from_millis(100));
    rows::everything_is_unavailable(&store).await;
    test.server.resume();
    // Whether the lost claim ran after all or not: it is this owner's.
    assert_eq!(granted(test.store.claim(claim(1, 1)).await).1, 1);
}

/// After a failover the address may lead to another server, and the old one answers for ever.
#[tokio::test]
async fn server_that_became_a_replica_is_left() {
    let test = Test::new();
    let (proxy, store) = test.behind();
    granted(store.claim(claim(0, 1)).await);
    assert_eq!(proxy.connections(), 1);
    let client = Client::open(test.server.url()).unwrap();
    let mut operator = client.get_multiplexed_async_connection().await.unwrap();
    // Of a server that is not there.
    let demote = redis::cmd("REPLICAOF").arg("127.0.0.1").arg(1).to_owned();
    let _: () = demote.query_async(&mut operator).await.unwrap();
    let error = store.claim(claim(1, 1)).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Unavailable);
    assert!(proxy.connections() > 1, "it looked for another");
    let promote = redis::cmd("REPLICAOF").arg("NO").arg("ONE").to_owned();
    let _: () = promote.query_async(&mut operator).await.unwrap();
    granted(store.claim(claim(1, 1)).await);
}

#[tokio::test]
async fn flushed_scripts_are_told_again() {
    let test = Test::new();
    granted(test.store.claim(claim(0, 1)).await);
    let mut connection = test.connection();
    redis::cmd("SCRIPT")
        .arg("FLUSH")
        .exec(&mut connection)
        .unwrap();
    granted(test.store.claim(claim(1, 1)).await);
}

/// IK-11: nothing a client sends can name a record.
#[tokio::test]
async fn names_are_the_prefix_and_a_digest() {
    let test = Test::new();
    let store = test.store.clone().prefix("shop:");
    granted(store.claim(claim(0xab, 1)).await);
    let names: Vec<String> = test.connection().keys("*").unwrap();
    assert_eq!(names, [format!("shop:{}", "ab".repeat(32))]);
    // Another prefix is another set of keys.
    granted(test.store.claim(claim(0xab, 2)).await);
}

#[tokio::test]
async fn redis_itself_forgets() {
    let test = Test::new();
    let (token, _) = granted(test.store.claim(claim(0xab, 1)).await);
    let name = format!("idempotency:{}", "ab".repeat(32));
    let mut connection = test.connection();
    let day = i64::try_from(DAY.as_secs()).unwrap();
    let left: i64 = connection.ttl(&name).unwrap();
    assert!((day - 60..=day).contains(&left));
    let run = lease(0xab, 1, token);
    test.store
        .complete(run, Bytes::new(), 2 * DAY)
        .await
        .unwrap();
    let left: i64 = connection.ttl(&name).unwrap();
    assert!((2 * day - 60..=2 * day).contains(&left));
    assert_eq!(test.store.purge(10).await.unwrap(), 0);
}

#[tokio::test]
async fn what_makes_no_sense_is_corrupt() {
    let test = Test::new();
    let name = format!("idempotency:{}", "01".repeat(32));
    let mut connection = test.connection();
    let fields: [&[(&str, &str)]; 5] = [
        &[("x", "another's")],
        &[("s", "running")],
        &[
            ("s", "walking"),
            ("t", "1"),
            ("n", "1"),
            ("l", "1"),
            ("o", "o"),
            ("f", FINGERPRINT),
        ],
        &[
            ("s", "running"),
            ("t", "-5"),
            ("n", "1"),
            ("l", "9e15"),
            ("o", OWNER),
            ("f", FINGERPRINT),
        ],
        // Completed without an answer, and kept for ever.
        &[
            ("s", "completed"),
            ("t", "1"),
            ("n", "1"),
            ("l", "1"),
            ("o", "o"),
            ("f", FINGERPRINT),
        ],
    ];
    for fields in fields {
        let () = connection.del(&name).unwrap();
        let () = connection.hset_multiple(&name, fields).unwrap();
        let error = test.store.claim(claim(1, 1)).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Corrupt, "{fields:?}");
    }
    let () = connection.set(&name, "no hash").unwrap();
    let error = test.store.claim(claim(1, 1)).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Corrupt);
}

/// As `fixtures::claim` has them.
const FINGERPRINT: &str = "\u{7}\u{7}\u{7}\u{7}\u{7}\u{7}\u{7}\u{7}\u{7}\u{7}\u{7}\u{7}\u{7}\u{7}\u{7}\u{7}\u{7}\u{7}\u{7}\u{7}\u{7}\u{7}\u{7}\u{7}\u{7}\u{7}\u{7}\u{7}\u{7}\u{7}\u{7}\u{7}";
const OWNER: &str = "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\u{1}";

#[tokio::test]
async fn full_server_says_so() {
    let test = Test::on(servers::Redis::with(&[
        "--maxmemory",
        "1",
        "--maxmemory-policy",
        "noeviction",
    ]));
    let error = test.store.claim(claim(1, 1)).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Full);
}

#[tokio::test]
async fn errors_and_debug_tell_no_secret() {
    let client = Client::open("redis://user:secret@127.0.0.1:1/").unwrap();
    let store = Redis::new(client);
    let error = store.claim(claim(1, 1)).await.unwrap_err();
    let source = std::error::Error::source(&error).unwrap();
    let said = format!("{error} {error:?} {source} {store:?}");
    assert!(!said.contains("secret"), "{said}");
    assert!(said.contains("the idempotency store `redis` is not available"));
}

#[tokio::test]
async fn unknown_key_has_nobody_to_wait_for() {
    let test = Test::new();
    let (proxy, store) = test.behind();
    store.wait(key(9), DAY).await.unwrap();
    let _ = proxy.take_turns();
    store.wait(key(9), DAY).await.unwrap();
    assert_eq!(proxy.take_turns(), 1);
    assert!(matches!(
        store.claim(claim(9, 1)).await.unwrap(),
        Claimed::Run { .. }
    ));
}
