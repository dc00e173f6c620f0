//! The steps at the store, each with a limit to how long it is waited for.

use std::error::Error;
use std::fmt;
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
        match self.step(self.store.claim(claim)).await {
            Err(error) if error.kind() == StoreErrorKind::Unavailable => {
                self.step(self.store.claim(claim)).await
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
            match (self.step(step).await, pauses.next()) {
                (Err(error), Some(pause)) if error.kind() == StoreErrorKind::Unavailable => {
                    sleep(*pause).await;
                }
                (result, _) => return result,
            }
        }
    }

    /// Ends a run without an answer; says whether it was still the run's to end.
    ///
    /// What fails here is left to the end of the lease, which says the same.
    pub(crate) async fn give_up(&self, lease: Lease) -> Held {
        match self.step(self.store.give_up(lease)).await {
            Ok(Held::Lost) => Held::Lost,
            Ok(Held::Yes) | Err(_) => {
                self.report(results::GAVE_UP);
                Held::Yes
            }
        }
    }

    /// Forgets a run that did nothing; tried again, since a key that is not released is one whose outcome seems unknown.
    ///
    /// What becomes of a run that was not the first, the store knows: an earlier one may have done anything.
    /// Says whether the record was still the run's; one that is gone when the step is tried again has been released.
    pub(crate) async fn forget(&self, lease: Lease) -> Held {
        let mut held = self.step(self.store.release(lease)).await;
        for pause in PAUSES {
            match held {
                Ok(Held::Lost) => return Held::Lost,
                Ok(Held::Yes) => break,
                Err(_) => {}
            }
            sleep(pause).await;
            held = self.step(self.store.release(lease)).await;
            if held.is_ok() {
                break;
            }
        }
        self.report(results::RELEASED);
        Held::Yes
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
            match self.step(step).await {
                Ok(Held::Yes) => pause = third.saturating_sub(began.elapsed()),
                Ok(Held::Lost) => return,
                Err(_) => pause = third / 4,
            }
        }
    }

    /// One step; that it failed is reported with the kind of failure, and with nothing that a client sent or an operator set.
    pub(crate) async fn step<T>(
        &self,
        step: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let result = within(self.rules.store_timeout, step).await;
        if let Err(error) = &result {
            self.report_with(results::STORE_FAILED, Some(cause(error)));
        }
        result
    }
}

/// A step that is waited for no longer than that.
pub(crate) async fn within<T>(
    limit: Duration,
    step: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    limited(limit, step).await.unwrap_or_else(|| {
        let late = StoreError::new("of this layer", StoreErrorKind::Unavailable);
        Err(late.with_source(Late))
    })
}

/// The store did not answer in time.
#[derive(Debug)]
struct Late;

impl fmt::Display for Late {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("it did not answer in time")
    }
}

impl Error for Late {}

/// The failure of a step, as events have it.
fn cause(error: &StoreError) -> &'static str {
    match error.kind() {
        StoreErrorKind::Unavailable if error.source().is_some_and(<dyn Error>::is::<Late>) => {
            "timed_out"
        }
        StoreErrorKind::Unavailable => "unavailable",
        StoreErrorKind::Full => "full",
        StoreErrorKind::Corrupt => "corrupt",
    }
}

/// Between the tries of a step that must not be lost: short, since a caller waits.
const PAUSES: [Duration; 2] = [Duration::from_millis(50), Duration::from_millis(200)];
