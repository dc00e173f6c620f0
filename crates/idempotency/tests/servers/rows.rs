//! What every store on a server is held to beyond the suite of all stores.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use seaworthy_idempotency::Store;
use seaworthy_idempotency::store::{Claimed, Held, StoreErrorKind};
use tokio::sync::Barrier;
use tokio::task::JoinSet;

use crate::fixtures::{DAY, MINUTE, NOTHING, answered, claim, claim_for, granted, key, lease};

/// What the tests of a store on a server are made of: how a server is started that has a store, and how one more instance of that store is made.
macro_rules! server_rows {
    (new: $new:expr, another: $another:expr, expiry: $expiry:ident $(,)?) => {
        $crate::rows::server_rows! {
            @ $new, clock_of_the_client_plays_no_role large_answer_comes_back
            record_is_kept_as_long_as_its_lease wait_without_an_end_ends_with_the_run
            waiting_ends_with_the_lease
        }

        #[tokio::test(flavor = "multi_thread")]
        async fn one_of_a_hundred_runs() {
            let test = $new.await;
            let other = ($another)(&test);
            $crate::rows::one_of_a_hundred_runs(test.store, other).await;
        }

        #[tokio::test(flavor = "multi_thread")]
        async fn one_of_a_hundred_takes_over() {
            let test = $new.await;
            let other = ($another)(&test);
            $crate::rows::one_of_a_hundred_takes_over(test.store, other).await;
        }

        mod suite {
            use super::Test;
            use seaworthy_idempotency::testing::{Tested, store_suite};

            store_suite! {
                store: async {
                    let Test { server, store } = $new.await;
                    Tested::passing(store, move |time| {
                        // It runs as long as the store is used.
                        let _ = &server;
                        tokio::time::sleep(time)
                    })
                },
                expiry: $expiry,
            }
        }
    };
    (@ $new:expr, $($row:ident)*) => {$(
        #[tokio::test]
        async fn $row() {
            let test = $new.await;
            $crate::rows::$row(test.store.timeout(std::time::Duration::MAX)).await;
        }
    )*};
}
pub(crate) use server_rows;

/// A hundred owners, half of them at each of two instances of the store: one runs, and the others know.
pub(crate) async fn one_of_a_hundred_runs<S: Store>(one: S, other: S) {
    let stores = [Arc::new(one), Arc::new(other)];
    for round in 0..5 {
        one_of_a_hundred(&stores, round, 1).await;
    }
}

/// The same for a run that is overdue: one takes it over.
pub(crate) async fn one_of_a_hundred_takes_over<S: Store>(one: S, other: S) {
    let stores = [Arc::new(one), Arc::new(other)];
    for round in 0..5 {
        granted(stores[0].claim(claim_for(round, 1000, NOTHING)).await);
        one_of_a_hundred(&stores, round, 2).await;
    }
}

/// A hundred claim at once; the one who runs is told that it is this attempt.
async fn one_of_a_hundred<S: Store>(stores: &[Arc<S>; 2], key: u8, expected: u32) {
    let start = Arc::new(Barrier::new(100));
    let mut claims = JoinSet::new();
    for owner in 0..100 {
        let store = Arc::clone(&stores[owner % 2]);
        let start = Arc::clone(&start);
        claims.spawn(async move {
            start.wait().await;
            store.claim(claim(key, owner as u128)).await.unwrap()
        });
    }
    let claimed = claims.join_all().await;
    let is_run = |it: &&Claimed| matches!(it, Claimed::Run { attempt, .. } if *attempt == expected);
    let is_running = |it: &&Claimed| matches!(it, Claimed::Running { .. });
    let (runs, running) = (
        claimed.iter().filter(is_run),
        claimed.iter().filter(is_running),
    );
    assert_eq!((runs.count(), running.count()), (1, 99));
}

/// Pitfall 14: a lease is not over because a client's clock says so.
pub(crate) async fn clock_of_the_client_plays_no_role(store: impl Store) {
    let (token, _) = granted(store.claim(claim(1, 1)).await);
    tokio::time::pause();
    tokio::time::advance(2 * DAY).await;
    tokio::time::resume();
    let running = store.claim(claim(1, 2)).await;
    assert!(matches!(running, Ok(Claimed::Running { .. })));
    let run = lease(1, 1, token);
    assert_eq!(store.renew(run, MINUTE).await.unwrap(), Held::Yes);
}

/// Pitfall 2: a run keeps its record by its lease, however short the retention.
pub(crate) async fn record_is_kept_as_long_as_its_lease(store: impl Store) {
    let mut short = claim(1, 1);
    short.retention = Duration::ZERO;
    granted(store.claim(short).await);
    let running = store.claim(claim(1, 2)).await;
    assert!(matches!(running, Ok(Claimed::Running { .. })));
}

/// Five megabytes of all bytes come back as they were.
pub(crate) async fn large_answer_comes_back(store: impl Store) {
    let answer: Bytes = (0..5_000_000_u32)
        .map(|it| it.to_le_bytes()[it as usize % 4])
        .collect();
    let (token, _) = granted(store.claim(claim(1, 1)).await);
    let run = lease(1, 1, token);
    assert_eq!(
        store.complete(run, answer.clone(), DAY).await.unwrap(),
        Held::Yes
    );
    assert!(answered(store.claim(claim(1, 2)).await) == answer);
}

/// Waiting ends with a lease that nobody renews: who waited takes over.
pub(crate) async fn waiting_ends_with_the_lease(store: impl Store) {
    granted(
        store
            .claim(claim_for(1, 1, Duration::from_millis(30)))
            .await,
    );
    let waits = store.wait(key(1), DAY);
    let ended = tokio::time::timeout(Duration::from_secs(10), waits).await;
    ended.expect("the lease is over long before").unwrap();
    assert_eq!(granted(store.claim(claim(1, 2)).await).1, 2);
}

/// Everything fails as a store that cannot be reached, and in time.
pub(crate) async fn everything_is_unavailable(store: &impl Store) {
    let run = lease(1, 1, seaworthy_idempotency::store::Token::from_number(1));
    let began = tokio::time::Instant::now();
    let kinds = [
        store.claim(claim(1, 1)).await.unwrap_err().kind(),
        store
            .complete(run, Bytes::new(), DAY)
            .await
            .unwrap_err()
            .kind(),
        store.renew(run, MINUTE).await.unwrap_err().kind(),
        store.wait(key(1), DAY).await.unwrap_err().kind(),
    ];
    assert_eq!(kinds, [StoreErrorKind::Unavailable; 4]);
    assert!(began.elapsed() < Duration::from_secs(10));
}

/// A limit may be as long as a `Duration` can be.
pub(crate) async fn wait_without_an_end_ends_with_the_run(store: impl Store) {
    let (token, _) = granted(store.claim(claim(1, 1)).await);
    let released = async { store.release(lease(1, 1, token)).await };
    let (waited, released) = tokio::join!(store.wait(key(1), Duration::MAX), released);
    waited.unwrap();
    assert_eq!(released.unwrap(), Held::Yes);
}
