//! The handle: see how a server is called, and overrule what it said.

use std::future::Future;
use std::time::Duration;

use seaworthy_kit::{
    BoxError, Control, ErrorsAsFailures, Gate, RejectionKind, Report, Share, Subscription, call,
    clock,
};

use super::PaceGate;

/// A view of one pace: cheap to clone, valid for as long as anybody holds it.
#[derive(Clone, Debug)]
pub struct PaceHandle {
    pub(super) share: Share<PaceGate>,
}

/// How a server is called at one moment.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Snapshot {
    /// The name that the user gave the layer.
    pub name: String,
    /// For how long it is not called at all.
    pub stopped_for: Option<Duration>,
    /// The time between two calls, while they are spread.
    pub spacing: Option<Duration>,
    /// How many wait for their turn.
    pub waiting: usize,
    /// How long a call waits at most; `None` where none does, or for ever.
    pub max_wait: Option<Duration>,
}

impl PaceHandle {
    pub(crate) const fn share(&self) -> &Share<PaceGate> {
        &self.share
    }

    /// How the server is called now.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let now = clock::now();
        let mut line = self.share.line();
        let stopped_for = line.tempo.stopped_until(now);
        Snapshot {
            name: self.share.telemetry().name().to_owned(),
            stopped_for: stopped_for.map(|until| until.since(now)),
            spacing: line.tempo.spacing(now),
            waiting: line.waiting(),
            max_wait: self.share.longest_wait(),
        }
    }

    /// Stops for so long, as if the server had asked for it: also for what it says elsewhere, in a message or in a field of its own.
    ///
    /// At most for the layer's longest hint.
    pub fn stop(&self, wait: Duration) {
        self.share.stop(wait);
    }

    /// Forgets what the server has said; calls that wait go at once.
    pub fn forget(&self) {
        self.share.forget();
    }

    /// How many calls hold the state; one that waits does so twice.
    #[cfg(test)]
    pub(crate) fn held(&self) -> usize {
        self.share.in_flight()
    }

    /// Calls the listener at every event of this pace, on the thread where it happens.
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
    /// # Cancel safety
    /// Dropping the future stops the wait; new calls stay refused until [`Control::resume`].
    pub fn drain(&self) -> impl Future<Output = ()> + Send + 'static + use<> {
        self.share.drain()
    }

    /// Registers the layer's metrics now, so that a scrape before the first call shows it.
    pub fn publish(&self) {
        let instruments = self.share.telemetry().instruments();
        instruments.publish(&[RejectionKind::RateLimited]);
    }

    /// Runs a function at the pace: no service needed. It waits if the layer lets calls wait.
    ///
    /// What the function finds out goes into [`stop`](Self::stop).
    ///
    /// # Errors
    /// A [`Rejection`](seaworthy_kit::Rejection) if the call comes too early, or the function's own error.
    ///
    /// # Cancel safety
    /// Dropping the future gives its turn back, or drops the function's future.
    pub async fn call<F, Fut, Res, E>(&self, function: F) -> Result<Res, BoxError>
    where
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<Res, E>>,
        E: Into<BoxError>,
    {
        call(self.share.hold_shared(), &ErrorsAsFailures::new(), function).await
    }
}

impl From<Share<PaceGate>> for PaceHandle {
    fn from(share: Share<PaceGate>) -> Self {
        Self { share }
    }
}
