//! A store whose type is not known before the program runs, and a store that several layers share.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::{Claim, Claimed, Held, Lease, RecordKey, Store, StoreError};

/// Any store, for programs that choose one by their configuration; cheap to clone.
///
/// Each step costs an allocation more than at a store whose type is known.
#[derive(Clone)]
pub struct AnyStore(Arc<dyn Erased>);

type Step<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// [`Store`] with futures in boxes.
trait Erased: Send + Sync + 'static {
    fn claim(&self, claim: Claim) -> Step<'_, Claimed>;
    fn renew(&self, lease: Lease, hold: Duration) -> Step<'_, Held>;
    fn complete(&self, lease: Lease, answer: Bytes, retention: Duration) -> Step<'_, Held>;
    fn give_up(&self, lease: Lease) -> Step<'_, Held>;
    fn release(&self, lease: Lease) -> Step<'_, Held>;
    fn wait(&self, key: RecordKey, limit: Duration) -> Step<'_, ()>;
    fn purge(&self, limit: usize) -> Step<'_, usize>;
}

impl AnyStore {
    /// That store.
    #[must_use]
    pub fn new(store: impl Store) -> Self {
        Self(Arc::new(store))
    }
}

impl<S: Store> Erased for S {
    fn claim(&self, claim: Claim) -> Step<'_, Claimed> {
        Box::pin(Store::claim(self, claim))
    }

    fn renew(&self, lease: Lease, hold: Duration) -> Step<'_, Held> {
        Box::pin(Store::renew(self, lease, hold))
    }

    fn complete(&self, lease: Lease, answer: Bytes, retention: Duration) -> Step<'_, Held> {
        Box::pin(Store::complete(self, lease, answer, retention))
    }

    fn give_up(&self, lease: Lease) -> Step<'_, Held> {
        Box::pin(Store::give_up(self, lease))
    }

    fn release(&self, lease: Lease) -> Step<'_, Held> {
        Box::pin(Store::release(self, lease))
    }

    fn wait(&self, key: RecordKey, limit: Duration) -> Step<'_, ()> {
        Box::pin(Store::wait(self, key, limit))
    }

    fn purge(&self, limit: usize) -> Step<'_, usize> {
        Box::pin(Store::purge(self, limit))
    }
}

impl Store for AnyStore {
    async fn claim(&self, claim: Claim) -> Result<Claimed, StoreError> {
        self.0.claim(claim).await
    }

    async fn renew(&self, lease: Lease, hold: Duration) -> Result<Held, StoreError> {
        self.0.renew(lease, hold).await
    }

    async fn complete(
        &self,
        lease: Lease,
        answer: Bytes,
        retention: Duration,
    ) -> Result<Held, StoreError> {
        self.0.complete(lease, answer, retention).await
    }

    async fn give_up(&self, lease: Lease) -> Result<Held, StoreError> {
        self.0.give_up(lease).await
    }

    async fn release(&self, lease: Lease) -> Result<Held, StoreError> {
        self.0.release(lease).await
    }

    async fn wait(&self, key: RecordKey, limit: Duration) -> Result<(), StoreError> {
        self.0.wait(key, limit).await
    }

    async fn purge(&self, limit: usize) -> Result<usize, StoreError> {
        self.0.purge(limit).await
    }
}

impl fmt::Debug for AnyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AnyStore(..)")
    }
}
