//! The handle: see what the limit is and why, and set what it may be.

use std::future::Future;
use std::time::Duration;

use seaworthy_core::limit::Cause;
use seaworthy_kit::{
    BoxError, Control, ErrorsAsFailures, InvalidConfig, Report, Share, Subscription, call,
};

use crate::fair::Adapts;
use crate::gate::AdaptiveGate;

/// A view of one limit: cheap to clone, valid for as long as anybody holds it.
///
/// `G` is [`FairGate`](crate::FairGate) where tenants share the limit.
#[derive(Debug)]
pub struct AdaptiveHandle<G = AdaptiveGate> {
    share: Share<G>,
}

/// What a limit is at one moment, and why.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub struct Snapshot {
    /// The name that the user gave the layer.
    pub name: String,
    /// How many calls may run at once.
    pub limit: usize,
    /// The same, with the fraction by which it moves.
    pub exact_limit: f64,
    /// The least that it may be.
    pub min: usize,
    /// The most that it may be.
    pub max: usize,
    /// Why it is what it is.
    pub cause: Cause,
    /// What calls take without a queue, as far as it is known.
    pub baseline: Option<Duration>,
    /// What calls took in the last window, on average.
    pub recent: Option<Duration>,
    /// Whether the limit is lowered for a window or a few, to learn the baseline.
    pub probing: bool,
    /// Whether it learns.
    pub learning: bool,
    /// How many run; above the limit while a lowered one has not been reached yet.
    pub running: usize,
    /// How many more could start now.
    pub available: usize,
    /// How many wait.
    pub waiting: usize,
    /// How many may wait; zero where calls are shed at once.
    pub queue_limit: usize,
    /// How many tenants have calls that run or wait; one with calls of several classes counts in each. Zero where tenants are not told apart.
    pub tenants: usize,
}

impl<G: Adapts> AdaptiveHandle<G> {
    /// What the limit is now.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let gate = self.share.adaptive();
        let (tenants, seen) = (gate.line.lock().tenants(), gate.line.occupancy());
        let limit = gate.limit();
        let (min, max) = limit.bounds();
        Snapshot {
            name: self.share.telemetry().name().to_owned(),
            limit: seen.limit,
            exact_limit: limit.as_f64(),
            min,
            max,
            cause: limit.cause(),
            baseline: limit.baseline(),
            recent: limit.recent(),
            probing: limit.is_probing(),
            learning: limit.learns(),
            running: seen.running,
            available: seen.available(),
            waiting: seen.waiting,
            queue_limit: gate.line.max_queue(),
            tenants,
        }
    }

    /// Another least and most that the limit may be, from now on.
    ///
    /// Nothing is taken from calls that run.
    ///
    /// # Errors
    /// If the least is zero or above the most, or the most too large; nothing has changed then.
    pub fn set_bounds(&self, min: usize, max: usize) -> Result<(), InvalidConfig> {
        let gate = self.share.adaptive();
        gate.change(|limit| limit.set_bounds(min, max)).map(drop)
    }

    /// Stops learning, or starts again: stopped, the limit stays what it is, and is enforced.
    ///
    /// For a test under load that must not be taken for the truth, or a limit that an operator trusts more.
    pub fn set_learning(&self, learns: bool) {
        let _ = self
            .share
            .adaptive()
            .change(|limit| limit.set_learning(learns));
    }

    /// Lets so many calls wait from now on; those who wait already stay. It has no effect on a layer that sheds.
    ///
    /// # Errors
    /// If the limit is too large.
    pub fn set_queue_limit(&self, limit: usize) -> Result<(), InvalidConfig> {
        self.share.adaptive().line.set_max_queue(limit)
    }

    /// Calls the listener at every event of this limit, on the thread where it happens.
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
    /// How long that may last is bounded by what the calls take.
    ///
    /// # Cancel safety
    /// Dropping the future stops the wait; new calls stay refused until [`Control::resume`].
    pub fn drain(&self) -> impl Future<Output = ()> + Send + 'static + use<G> {
        self.share.drain()
    }

    /// Registers the layer's metrics now, so that a scrape before the first call shows it.
    pub fn publish(&self) {
        self.share.adaptive().publish();
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

    pub(crate) const fn share(&self) -> &Share<G> {
        &self.share
    }
}

impl<G> Clone for AdaptiveHandle<G> {
    fn clone(&self) -> Self {
        Self {
            share: self.share.clone(),
        }
    }
}

impl<G> From<Share<G>> for AdaptiveHandle<G> {
    fn from(share: Share<G>) -> Self {
        Self { share }
    }
}

impl<G> From<AdaptiveHandle<G>> for Share<G> {
    fn from(handle: AdaptiveHandle<G>) -> Self {
        handle.share
    }
}
