//! The steps at the store, each with a limit to how long it is waited for.

use std::future::Future;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, sleep};

use crate::limited::limited;
use crate::shared::{Shared, results};
use crate::store::{Claim, Claimed, Held, Lease, Store, StoreError, StoreErrorKind};

impl<D: Store, E> Shared<D, E> {
    /// Claims, once more with the same owner if the first reply is lost: the claim may be in the store.
    pub(crate) async fn claim(&self, claim: Claim) -> Result<Claimed, StoreError> {
        let limit = self.rules.store_timeout;
        match within(limit, self.store.claim(claim)).await {
            Err(error) if error.kind() == StoreErrorKind::Unavailable => {
                self.report(results::STORE_FAILED);
                within(limit, self.store.claim(claim)).await
            }
            other => other,
        }
    }

    /// Ends a run with its answer; tries again while the store is not available, as long as that is of use to a caller who waits.
    pub(crate) async fn complete(&self, lease: Lease, answer: &Bytes) -> Result<Held, StoreError> {
        let mut pauses = PAUSES.iter();
        loop {
            let step = self
                .store
                .complete(lease, answer.clone(), self.rules.retention);
            match (within(self.rules.store_timeout, step).await, pauses.next()) {
                (Err(error), Some(pause)) if error.kind() == StoreErrorKind::Unavailable => {
                    self.report(results::STORE_FAILED);
                    sleep(*pause).await;
                }
                (result, _) => return result,
            }
        }
    }

    /// Ends a run without an answer. What fails here is left to the end of the lease, which says the same.
    pub(crate) async fn give_up(&self, lease: Lease) {
        self.report(results::GAVE_UP);
        let step = within(self.rules.store_timeout, self.store.give_up(lease));
        if step.await.is_err() {
            self.report(results::STORE_FAILED);
        }
    }

    /// Forgets a run that did nothing; tried again, since a key that is not released is one whose outcome seems unknown.
    ///
    /// One that was not the first gives up instead: an earlier one may have done anything, and only the record knows of it.
    pub(crate) async fn forget(&self, lease: Lease, attempt: u32) {
        if attempt > 1 {
            return self.give_up(lease).await;
        }
        self.report(results::RELEASED);
        for pause in PAUSES {
            let step = within(self.rules.store_timeout, self.store.release(lease));
            if step.await.is_ok() {
                return;
            }
            self.report(results::STORE_FAILED);
            sleep(pause).await;
        }
    }

    /// Holds the lease for as long as it is polled, and is ready when it is lost.
    ///
    /// A renewal that fails is tried again sooner: there are three chances within a lease before another may take over.
    pub(crate) async fn renew(&self, lease: Lease) {
        let third = self.rules.lease / 3;
        let mut pause = third;
        loop {
            sleep(pause).await;
            let began = Instant::now();
            let step = self.store.renew(lease, self.rules.lease);
            match within(self.rules.store_timeout.min(third), step).await {
                Ok(Held::Yes) => pause = third.saturating_sub(began.elapsed()),
                Ok(Held::Lost) => return,
                Err(_) => {
                    self.report(results::STORE_FAILED);
                    pause = third / 4;
                }
            }
        }
    }
}

/// A step that is waited for no longer than that.
pub(crate) async fn within<T>(
    limit: Duration,
    step: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    limited(limit, step).await.unwrap_or_else(|| {
        let late = StoreError::new("of this layer", StoreErrorKind::Unavailable);
        Err(late.with_source("it did not answer in time"))
    })
}

/// Between the tries of a step that must not be lost: short, since a caller waits.
pub(crate) const PAUSES: [Duration; 2] = [Duration::from_millis(50), Duration::from_millis(200)];
