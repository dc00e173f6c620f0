//! What every store on a server is held to beyond the shared suite.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use seaworthy_idempotency::Store;
use seaworthy_idempotency::store::{Claimed, Fingerprint, Held, Overdue, StoreErrorKind};
use tokio::sync::Barrier;
use tokio::task::JoinSet;

use crate::fixtures::{DAY, MINUTE, NOTHING, answered, claim, claim_for, granted, key, lease};

/// A hundred owners, half of them at each of two instances of the store: one runs, and the others know.
pub(crate) async fn one_of_a_hundred_runs<S: Store>(one: S, other: S) {
    let stores = [Arc::new(one), Arc::new(other)];
    for round in 0..5 {
        let start = Arc::new(Barrier::new(100));
        let mut claims = JoinSet::new();
        for owner in 0..100 {
            let store = Arc::clone(&stores[owner % 2]);
            let start = Arc::clone(&start);
            claims.spawn(async move {
                start.wait().await;
                store.claim(claim(round, owner as u128)).await.unwrap()
            });
        }
        let claimed = claims.join_all().await;
        let runs = claimed
            .iter()
            .filter(|it| matches!(it, Claimed::Run { attempt: 1, .. }));
        let running = claimed
            .iter()
            .filter(|it| matches!(it, Claimed::Running { .. }));
        assert_eq!((runs.count(), running.count()), (1, 99));
    }
}

/// The same for a run that is overdue: one takes it over.
pub(crate) async fn one_of_a_hundred_takes_over<S: Store>(one: S, other: S) {
    let stores = [Arc::new(one), Arc::new(other)];
    for round in 0..5 {
        granted(stores[0].claim(claim_for(round, 1000, NOTHING)).await);
        let start = Arc::new(Barrier::new(100));
        let mut claims = JoinSet::new();
        for owner in 0..100 {
            let store = Arc::clone(&stores[owner % 2]);
            let start = Arc::clone(&start);
            claims.spawn(async move {
                start.wait().await;
                store.claim(claim(round, owner as u128)).await.unwrap()
            });
        }
        let claimed = claims.join_all().await;
        let runs = claimed
            .iter()
            .filter(|it| matches!(it, Claimed::Run { attempt: 2, .. }));
        let running = claimed
            .iter()
            .filter(|it| matches!(it, Claimed::Running { .. }));
        assert_eq!((runs.count(), running.count()), (1, 99));
    }
}

/// A run's life, with each step said twice, as after a lost reply.
pub(crate) async fn steps_say_the_same_again(store: impl Store) {
    let (token, _) = granted(store.claim(claim(1, 1)).await);
    assert_eq!(granted(store.claim(claim(1, 1)).await), (token, 1));
    let run = lease(1, 1, token);
    let answer = Bytes::from_static(b"first");
    for _ in 0..2 {
        assert_eq!(store.renew(run, MINUTE).await.unwrap(), Held::Yes);
    }
    for answer in [answer.clone(), Bytes::from_static(b"second")] {
        assert_eq!(store.complete(run, answer, DAY).await.unwrap(), Held::Yes);
    }
    assert_eq!(answered(store.claim(claim(1, 2)).await), answer);

    let (token, _) = granted(store.claim(claim(2, 1)).await);
    for _ in 0..2 {
        assert_eq!(store.give_up(lease(2, 1, token)).await.unwrap(), Held::Yes);
    }
    assert_eq!(
        store.renew(lease(2, 1, token), MINUTE).await.unwrap(),
        Held::Lost
    );
    assert_eq!(granted(store.claim(claim(2, 1)).await).1, 2);

    let (token, _) = granted(store.claim(claim(3, 1)).await);
    assert_eq!(store.release(lease(3, 1, token)).await.unwrap(), Held::Yes);
    assert_eq!(store.release(lease(3, 1, token)).await.unwrap(), Held::Lost);
    assert_eq!(granted(store.claim(claim(3, 2)).await).1, 1);
}

/// Pitfall 4: who was taken over changes nothing any more.
pub(crate) async fn late_owner_changes_nothing(store: impl Store) {
    let (old, _) = granted(store.claim(claim_for(1, 1, NOTHING)).await);
    let (new, attempt) = granted(store.claim(claim(1, 2)).await);
    assert!(new > old);
    assert_eq!(attempt, 2);
    for late in [lease(1, 1, old), lease(1, 1, new), lease(1, 2, old)] {
        let answer = Bytes::from_static(b"late");
        assert_eq!(store.complete(late, answer, DAY).await.unwrap(), Held::Lost);
        assert_eq!(store.renew(late, MINUTE).await.unwrap(), Held::Lost);
        assert_eq!(store.give_up(late).await.unwrap(), Held::Lost);
        assert_eq!(store.release(late).await.unwrap(), Held::Lost);
    }
    let answer = Bytes::from_static(b"in time");
    let run = lease(1, 2, new);
    assert_eq!(
        store.complete(run, answer.clone(), DAY).await.unwrap(),
        Held::Yes
    );
    assert_eq!(answered(store.claim(claim(1, 3)).await), answer);
    assert_eq!(store.give_up(run).await.unwrap(), Held::Lost);
    assert_eq!(store.release(run).await.unwrap(), Held::Lost);
}

/// IK-7: another fingerprint is told before that somebody runs, and after that there is an answer.
pub(crate) async fn mismatch_comes_before_everything_else(store: impl Store) {
    let mut other = claim(1, 2);
    other.fingerprint = Fingerprint::from_digest([8; 32]);
    let (token, _) = granted(store.claim(claim(1, 1)).await);
    assert_eq!(store.claim(other).await.unwrap(), Claimed::Mismatch);
    let answer = Bytes::from_static(b"answer");
    store
        .complete(lease(1, 1, token), answer, DAY)
        .await
        .unwrap();
    assert_eq!(store.claim(other).await.unwrap(), Claimed::Mismatch);
}

/// IK-22: what is overdue becomes unknown where the claim says so, and the run cannot end it any more.
pub(crate) async fn overdue_run_is_marked_and_ends_no_more(store: impl Store) {
    let (token, _) = granted(store.claim(claim_for(1, 1, NOTHING)).await);
    let marks = claim(1, 2).overdue(Overdue::MarkUnknown);
    for claim in [marks, claim(1, 3)] {
        match store.claim(claim).await.unwrap() {
            Claimed::Unknown { attempts: 1, left } => assert!(left <= DAY && left > DAY - MINUTE),
            other => panic!("{other:?}"),
        }
    }
    let late = store.complete(lease(1, 1, token), Bytes::new(), DAY).await;
    assert_eq!(late.unwrap(), Held::Lost);
}

/// A lease that is over may still be held, and the run ended, as long as nobody took it.
pub(crate) async fn run_that_nobody_took_goes_on(store: impl Store) {
    let (token, _) = granted(store.claim(claim_for(1, 1, NOTHING)).await);
    let run = lease(1, 1, token);
    assert_eq!(store.renew(run, MINUTE).await.unwrap(), Held::Yes);
    match store.claim(claim(1, 2)).await.unwrap() {
        Claimed::Running { left } => assert!(left <= MINUTE && left > MINUTE / 2),
        other => panic!("{other:?}"),
    }
    let (token, _) = granted(store.claim(claim_for(2, 1, NOTHING)).await);
    let run = lease(2, 1, token);
    assert_eq!(
        store.complete(run, Bytes::new(), DAY).await.unwrap(),
        Held::Yes
    );
}

/// A record past its retention is none: for a claim, and for the run that would end it.
pub(crate) async fn record_past_its_retention_is_none(store: impl Store) {
    let mut short = claim_for(1, 1, NOTHING);
    short.retention = NOTHING;
    let (token, _) = granted(store.claim(short).await);
    let late = store.complete(lease(1, 1, token), Bytes::new(), DAY).await;
    assert_eq!(late.unwrap(), Held::Lost);
    // Also for another request, and as a first attempt.
    let mut other = claim(1, 2);
    other.fingerprint = Fingerprint::from_digest([8; 32]);
    assert_eq!(granted(store.claim(other).await).1, 1);

    let (token, _) = granted(store.claim(claim(2, 1)).await);
    let run = lease(2, 1, token);
    assert_eq!(
        store.complete(run, Bytes::new(), NOTHING).await.unwrap(),
        Held::Yes
    );
    assert_eq!(granted(store.claim(claim(2, 2)).await).1, 1);
}

/// Pitfall 2: a run keeps its record by its lease, however short the retention.
pub(crate) async fn record_outlives_its_lease(store: impl Store) {
    let mut short = claim(1, 1);
    short.retention = NOTHING;
    let (token, _) = granted(store.claim(short).await);
    let running = |claimed| matches!(claimed, Ok(Claimed::Running { .. }));
    assert!(running(store.claim(claim(1, 2)).await));
    short = claim_for(2, 1, NOTHING);
    short.retention = Duration::from_secs(5);
    let (other, _) = granted(store.claim(short).await);
    store.renew(lease(2, 1, other), DAY).await.unwrap();
    let run = lease(1, 1, token);
    store.complete(run, Bytes::new(), DAY).await.unwrap();
    match store.claim(claim(2, 2)).await.unwrap() {
        Claimed::Running { left } => assert!(left > DAY - MINUTE),
        other => panic!("{other:?}"),
    }
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

/// Waiting ends with the run, at once where there is none, and at its limit.
pub(crate) async fn waiting_ends<S: Store>(store: S) {
    let store = Arc::new(store);
    let short = Duration::from_millis(30);
    store.wait(key(1), DAY).await.unwrap();
    let (token, _) = granted(store.claim(claim(1, 1)).await);
    store.wait(key(1), short).await.unwrap();
    let waiting = tokio::spawn({
        let store = Arc::clone(&store);
        async move { store.wait(key(1), DAY).await }
    });
    // It has begun to wait, or will find the answer at once.
    tokio::task::yield_now().await;
    store
        .complete(lease(1, 1, token), Bytes::new(), DAY)
        .await
        .unwrap();
    waiting.await.unwrap().unwrap();
    // A lease that ends by itself ends the waiting too.
    granted(store.claim(claim_for(2, 1, short)).await);
    store.wait(key(2), DAY).await.unwrap();
    granted(store.claim(claim(2, 2)).await);
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
