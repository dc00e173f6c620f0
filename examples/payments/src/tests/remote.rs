//! A store of keys that is slow, fails, or ends a lease, when the test says so.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use seaworthy::idempotency::store::{
    Claim, Claimed, Held, Lease, Memory, RecordKey, Store, StoreError, StoreErrorKind,
};
use tokio::time::sleep;

/// Memory, behind a network that is slow or broken.
#[derive(Clone, Debug)]
pub(super) struct Remote {
    pub(super) memory: Memory,
    pub(super) before_claim: Duration,
    pub(super) before_complete: Duration,
    pub(super) completes: Arc<Mutex<bool>>,
    /// That of the latest run.
    pub(super) lease: Arc<Mutex<Option<Lease>>>,
}

impl Remote {
    pub(super) fn new() -> Self {
        Self {
            memory: Memory::new(),
            before_claim: Duration::ZERO,
            before_complete: Duration::ZERO,
            completes: Arc::new(Mutex::new(true)),
            lease: Arc::default(),
        }
    }

    /// Ends the lease of the latest run, which does not know of it yet.
    pub(super) async fn end_lease(&self) {
        let lease = self.lease.lock().unwrap().take().unwrap();
        self.memory.give_up(lease).await.unwrap();
    }
}

impl Store for Remote {
    async fn claim(&self, claim: Claim) -> Result<Claimed, StoreError> {
        sleep(self.before_claim).await;
        let claimed = self.memory.claim(claim).await;
        if let Ok(Claimed::Run { token, .. }) = &claimed {
            *self.lease.lock().unwrap() = Some(Lease::new(claim.key, claim.owner, *token));
        }
        claimed
    }

    async fn renew(&self, lease: Lease, hold: Duration) -> Result<Held, StoreError> {
        self.memory.renew(lease, hold).await
    }

    async fn complete(
        &self,
        lease: Lease,
        answer: Bytes,
        retention: Duration,
    ) -> Result<Held, StoreError> {
        sleep(self.before_complete).await;
        if !*self.completes.lock().unwrap() {
            return Err(StoreError::new("remote", StoreErrorKind::Unavailable));
        }
        self.memory.complete(lease, answer, retention).await
    }

    async fn give_up(&self, lease: Lease) -> Result<Held, StoreError> {
        self.memory.give_up(lease).await
    }

    async fn release(&self, lease: Lease) -> Result<Held, StoreError> {
        self.memory.release(lease).await
    }

    async fn wait(&self, key: RecordKey, limit: Duration) -> Result<(), StoreError> {
        self.memory.wait(key, limit).await
    }

    async fn purge(&self, limit: usize) -> Result<usize, StoreError> {
        self.memory.purge(limit).await
    }
}
