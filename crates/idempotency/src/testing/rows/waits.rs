//! Waiting for another's run.

use std::time::Duration;

use seaworthy_kit::clock;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::store::{Held, Lease, RecordKey, Store};
use crate::testing::tested::{LONG, SHORT, Tested, claim, done, key, marking};

#[doc(hidden)]
impl<S: Store> Tested<S> {
    // IK-16
    pub async fn wait_ends_with_the_run(self) {
        for end in 0..3 {
            let (lease, _) = self.run(claim(key())).await;
            let waits = [self.waiting(lease.key).await, self.waiting(lease.key).await];
            assert_eq!(self.end(lease, end).await, Held::Yes);
            for wait in waits {
                done(async { wait.await.expect("no panic") }).await;
            }
        }
    }

    // IK-16
    pub async fn wait_ends_at_its_limit(self) {
        let (lease, _) = self.run(claim(key())).await;
        done(self.store.wait(lease.key, SHORT)).await;
        done(self.store.wait(lease.key, Duration::ZERO)).await;
        self.assert_running(lease.key).await;
    }

    pub async fn wait_returns_where_nothing_runs(self) {
        done(self.store.wait(key(), LONG)).await;
        for end in 0..3 {
            let (lease, _) = self.run(claim(key())).await;
            assert_eq!(self.end(lease, end).await, Held::Yes);
            done(self.store.wait(lease.key, LONG)).await;
        }
        let (lease, _) = self.run(claim(key())).await;
        assert_eq!(self.give_up(lease).await, Held::Yes);
        let _ = self.claim(marking(lease.key)).await;
        self.assert_unknown(lease.key).await;
        done(self.store.wait(lease.key, LONG)).await;
    }

    pub async fn waiting_does_not_spin(self) {
        let (lease, _) = self.run(claim(key())).await;
        let end = clock::now() + SHORT * 5;
        let mut returns = 0;
        while clock::now() < end {
            done(self.store.wait(lease.key, SHORT)).await;
            returns += 1;
        }
        assert!(returns <= 50, "returned {returns} times");
    }

    pub async fn dropped_wait_disturbs_nobody(self) {
        let (lease, _) = self.run(claim(key())).await;
        let other = self.waiting(lease.key).await;
        for _ in 0..5 {
            // Dropped while it waits.
            let _ = timeout(SHORT / 4, self.store.wait(lease.key, LONG)).await;
        }
        assert_eq!(self.complete(lease, b"paid").await, Held::Yes);
        done(async { other.await.expect("no panic") }).await;
        self.assert_answer(lease.key, b"paid").await;
    }

    async fn end(&self, lease: Lease, way: usize) -> Held {
        match way {
            0 => self.complete(lease, b"paid").await,
            1 => self.give_up(lease).await,
            _ => self.release(lease).await,
        }
    }

    /// A wait that has had time to begin; that it has begun is not certain, and nothing depends on it.
    async fn waiting(&self, key: RecordKey) -> JoinHandle<Result<(), crate::StoreError>> {
        let store = self.store.clone();
        let mut wait = tokio::spawn(async move { store.wait(key, LONG).await });
        let early = timeout(SHORT, &mut wait).await;
        if early.is_ok() {
            // It returned for no reason, as it may; then this one waits for the rest.
            let store = self.store.clone();
            wait = tokio::spawn(async move { store.wait(key, LONG).await });
        }
        wait
    }
}
