//! A store of keys that is slow, or fails, when the test says so.

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
}

impl Remote {
    pub(super) fn new() -> Self {
        Self {
            memory: Memory::new(),
            before_claim: Duration::ZERO,
            before_complete: Duration::ZERO,
            completes: Arc::new(Mutex::new(true)),
        }
    }
}

impl Store for Remote {
    async fn claim(&self, claim: Claim) -> Result<Claimed, StoreError> {
        sleep(self.before_claim).await;
        self.memory.claim(claim).await
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
