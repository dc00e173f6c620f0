//! The handle: see what runs, listen, purge, drain.

use std::fmt;
use std::future::Future;
use std::time::Duration;

use seaworthy_kit::{RejectionKind, Report, Share, Subscription};

use crate::shared::{Shared, results};
use crate::steps::within;
use crate::store::{Store, StoreError};

/// A view of one layer: cheap to clone, valid for as long as anybody holds it.
pub struct IdempotencyHandle<D, E> {
    share: Share<Shared<D, E>>,
}

/// A layer at one moment.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Snapshot {
    /// The name that the user gave the layer.
    pub name: String,
    /// Calls with a key that are under way, those without a caller included.
    pub in_flight: usize,
    /// Of those, the ones that go on though their caller has left.
    pub detached: usize,
    /// Of those, the ones that wait for another's run.
    pub waiting: usize,
}

impl<D, E> IdempotencyHandle<D, E> {
    pub(crate) const fn new(share: Share<Shared<D, E>>) -> Self {
        Self { share }
    }

    /// What runs now.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            name: self.share.telemetry.name().to_owned(),
            in_flight: self.share.in_flight(),
            detached: self.share.detached.running.taken(),
            waiting: self.share.waiting.taken(),
        }
    }

    /// The store.
    #[must_use]
    pub fn store(&self) -> &D {
        &self.share.store
    }

    /// Calls the listener at every event of this layer, on the thread where it happens.
    pub fn subscribe(
        &self,
        listener: impl Fn(&Report<'_>) + Send + Sync + 'static,
    ) -> Subscription {
        self.share.telemetry.subscribe(listener)
    }

    /// Takes requests again after a drain.
    pub fn resume(&self) {
        self.share.control().resume();
    }

    /// Registers the layer's metrics now, so that a scrape before the first call shows it.
    pub fn publish(&self) {
        let instruments = self.share.telemetry.instruments();
        instruments.publish(&[
            RejectionKind::Draining,
            RejectionKind::KeyReused,
            RejectionKind::InProgress,
            RejectionKind::OutcomeUnknown,
            RejectionKind::StoreUnavailable,
        ]);
        instruments.publish_keyed(&results::ALL);
    }
}

impl<D: Store, E: Send + Sync + 'static> IdempotencyHandle<D, E> {
    /// Refuses new requests with a key from now on, and is ready when those under way have ended, also the ones whose caller has left.
    ///
    /// # Cancel safety
    /// Dropping the future stops the wait; new calls stay refused until [`resume`](Self::resume).
    pub fn drain(&self) -> impl Future<Output = ()> + Send + 'static + use<D, E> {
        self.share.drain()
    }

    /// Removes at most `limit` records that are past their retention, and says how many it removed; to be called now and then, for a store that does not do so by itself.
    ///
    /// # Errors
    /// If the store fails, or does not answer within a minute: a batch takes longer than a step of a call, and nobody waits for it.
    ///
    /// # Cancel safety
    /// What was removed by then is removed.
    pub async fn purge(&self, limit: usize) -> Result<usize, StoreError> {
        within(PURGE_TIMEOUT, self.share.store.purge(limit)).await
    }
}

/// So that the task that purges hears of a store that hangs.
const PURGE_TIMEOUT: Duration = Duration::from_secs(60);

impl<D, E> Clone for IdempotencyHandle<D, E> {
    fn clone(&self) -> Self {
        Self::new(self.share.clone())
    }
}

impl<D, E> fmt::Debug for IdempotencyHandle<D, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IdempotencyHandle")
            .field("layer", &self.share.telemetry.name())
            .finish_non_exhaustive()
    }
}
