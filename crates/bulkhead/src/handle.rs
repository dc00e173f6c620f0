//! The handle: see how full the bulkhead is, and change how much it takes.

use std::future::Future;
use std::time::Duration;

use seaworthy_kit::line::Lined;
use seaworthy_kit::{
    BoxError, Control, ErrorsAsFailures, Gate, InvalidConfig, Report, Share, Subscription, call,
};

use crate::gate::BulkheadGate;

/// A view of one bulkhead: cheap to clone, valid for as long as anybody holds it.
#[derive(Clone, Debug)]
pub struct BulkheadHandle {
    share: Share<BulkheadGate>,
}

/// How full a bulkhead is at one moment.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Snapshot {
    /// The name that the user gave the layer.
    pub name: String,
    /// How many calls may run at once.
    pub limit: usize,
    /// How many may wait; zero where calls are shed at once.
    pub queue_limit: usize,
    /// How long a call may wait; `None` for ever, zero where calls are shed at once.
    pub max_wait: Option<Duration>,
    /// How many run; above the limit while a lowered one has not been reached yet.
    pub running: usize,
    /// How many wait.
    pub waiting: usize,
    /// How many more could start now.
    pub available: usize,
}

impl BulkheadHandle {
    /// How full the bulkhead is now.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let seen = self.share.line().occupancy();
        let max_wait = self.share.line().max_wait();
        Snapshot {
            name: self.share.telemetry().name().to_owned(),
            limit: seen.limit,
            queue_limit: self.share.line().max_queue(),
            max_wait: (max_wait != Duration::MAX).then_some(max_wait),
            running: seen.running,
            waiting: seen.waiting,
            available: seen.available(),
        }
    }

    /// Lets so many calls run at once from now on.
    ///
    /// Raised, those who wait get the new slots at once; lowered, nothing is taken from calls that run.
    ///
    /// # Errors
    /// If the limit is zero or too large.
    pub fn set_limit(&self, limit: usize) -> Result<(), InvalidConfig> {
        self.share.set_limit(limit)
    }

    /// Lets so many calls wait from now on; those who wait already stay. It has no effect on a bulkhead that sheds.
    ///
    /// # Errors
    /// If the limit is too large.
    pub fn set_queue_limit(&self, limit: usize) -> Result<(), InvalidConfig> {
        self.share.line().set_max_queue(limit)
    }

    /// Lets calls wait for so long from now on; those who wait already keep the time that they were given. It has no effect on a bulkhead that sheds.
    ///
    /// Zero refuses calls without a slot at once; [`Duration::MAX`] lets them wait for ever.
    pub fn set_max_wait(&self, max_wait: Duration) {
        self.share.line().set_max_wait(max_wait);
    }

    /// Calls the listener at every event of this bulkhead, on the thread where it happens.
    pub fn subscribe(
        &self,
        listener: impl Fn(&Report<'_>) + Send + Sync + 'static,
    ) -> Subscription {
        self.share.telemetry().subscribe(listener)
    }

    /// Observe-only and enforcement by share; ends a drain.
    #[must_use]
    pub fn control(&self) -> &Control {
        self.share.control()
    }

    /// Refuses new calls from now on, and is ready when those that run or wait have ended.
    ///
    /// Calls that wait for a slot were taken before the drain: they keep their place and get their turn.
    /// How long that may last is bounded by `max_wait` and by what the calls take.
    ///
    /// # Cancel safety
    /// Dropping the future stops the wait; new calls stay refused until [`Control::resume`].
    pub fn drain(&self) -> impl Future<Output = ()> + Send + 'static + use<> {
        self.share.drain()
    }

    /// Registers the bulkhead's metrics now, so that a scrape before the first call shows it.
    pub fn publish(&self) {
        self.share.publish();
    }

    /// Runs a function in one of the slots: no service needed. It waits for a slot if the layer does.
    ///
    /// # Errors
    /// A [`Rejection`](seaworthy_kit::Rejection) if there is no slot, or the function's own error.
    ///
    /// # Cancel safety
    /// Dropping the future leaves the queue, or drops the function's future and frees the slot.
    pub async fn call<F, Fut, Res, E>(&self, function: F) -> Result<Res, BoxError>
    where
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<Res, E>>,
        E: Into<BoxError>,
    {
        call(self.share.hold_shared(), &ErrorsAsFailures::new(), function).await
    }

    pub(crate) const fn share(&self) -> &Share<BulkheadGate> {
        &self.share
    }
}

impl From<Share<BulkheadGate>> for BulkheadHandle {
    fn from(share: Share<BulkheadGate>) -> Self {
        Self { share }
    }
}
