//! A counting gate, immediate and waiting, and layers of them, for the kit's own tests.

mod detached;
pub(crate) use detached::DetachedLayer;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tower_layer::Layer;

use crate::deferred::Deferred;
use crate::gate::{Entry, Gate, NoWait};
use crate::service::Gated;
use crate::share::Held;
use crate::{Plain, Refusal, RejectionKind, Share, Telemetry, Verdict};

/// Admits up to a limit, and refuses beyond it.
pub(crate) struct Limit {
    pub(crate) limit: AtomicUsize,
    pub(crate) running: AtomicUsize,
    telemetry: Telemetry,
}

impl Limit {
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            limit: limit.into(),
            running: AtomicUsize::new(0),
            telemetry: Telemetry::new("limit", "pool"),
        }
    }

    fn full() -> Refusal {
        Refusal::new(RejectionKind::BulkheadFull, Some(Duration::from_secs(1)))
    }
}

impl Gate for Limit {
    type Admission = ();
    type Wait = NoWait<()>;

    fn check(&self) -> Result<(), Refusal> {
        if self.running.load(Ordering::SeqCst) < self.limit.load(Ordering::SeqCst) {
            Ok(())
        } else {
            Err(Self::full())
        }
    }

    fn try_admit(&self) -> Result<(), Refusal> {
        let limit = self.limit.load(Ordering::SeqCst);
        let more = |running| (running < limit).then_some(running + 1);
        match self
            .running
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, more)
        {
            Ok(_) => Ok(()),
            Err(_) => Err(Self::full()),
        }
    }

    fn settle(&self, (): (), _: Verdict) {
        let before = self.running.fetch_sub(1, Ordering::SeqCst);
        assert_ne!(before, 0, "settled more often than admitted");
    }

    fn telemetry(&self) -> &Telemetry {
        &self.telemetry
    }

    fn is_forgettable(&self) -> bool {
        self.limit.load(Ordering::SeqCst) > 0
    }
}

/// Admits up to a limit, and lets others wait.
pub(crate) struct Queue {
    pub(crate) slots: Arc<Semaphore>,
    telemetry: Telemetry,
}

impl Queue {
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            slots: Arc::new(Semaphore::new(limit)),
            telemetry: Telemetry::new("queue", "pool"),
        }
    }

    fn full() -> Refusal {
        Refusal::new(RejectionKind::BulkheadFull, None)
    }
}

impl Gate for Queue {
    type Admission = OwnedSemaphorePermit;
    type Wait = std::pin::Pin<Box<dyn Future<Output = Result<Self::Admission, Refusal>> + Send>>;

    fn check(&self) -> Result<(), Refusal> {
        Ok(())
    }

    fn try_admit(&self) -> Result<Self::Admission, Refusal> {
        self.slots
            .clone()
            .try_acquire_owned()
            .map_err(|_| Self::full())
    }

    fn enter(held: &Held<Self>) -> Entry<Self> {
        match held.try_admit() {
            Ok(admission) => Entry::Admitted(admission),
            Err(_) => {
                let slots = held.slots.clone();
                let wait: Self::Wait =
                    Box::pin(async move { slots.acquire_owned().await.map_err(|_| Self::full()) });
                Entry::Waiting(wait)
            }
        }
    }

    fn settle(&self, admission: Self::Admission, _: Verdict) {
        drop(admission);
    }

    fn telemetry(&self) -> &Telemetry {
        &self.telemetry
    }
}

/// A layer of any gate, immediate.
pub(crate) struct GatedLayer<G>(pub(crate) Share<G>);

impl<G> Clone for GatedLayer<G> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<S, G> Layer<S> for GatedLayer<G> {
    type Service = Gated<S, Plain, G>;

    fn layer(&self, inner: S) -> Self::Service {
        Gated::new(inner, Plain::new(), self.0.clone())
    }
}

/// A layer of any gate, deferred.
pub(crate) struct DeferredLayer<G>(pub(crate) Share<G>);

impl<G> Clone for DeferredLayer<G> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<S, G> Layer<S> for DeferredLayer<G> {
    type Service = Deferred<S, Plain, Share<G>>;

    fn layer(&self, inner: S) -> Self::Service {
        Deferred::new(inner, Plain::new(), self.0.clone())
    }
}

/// Takes all room away while it lives.
pub(crate) struct Closed(Share<Limit>, usize);

impl Closed {
    pub(crate) fn new(share: &Share<Limit>) -> Self {
        Self(share.clone(), share.limit.swap(0, Ordering::SeqCst))
    }
}

impl Drop for Closed {
    fn drop(&mut self) {
        self.0.limit.store(self.1, Ordering::SeqCst);
    }
}
