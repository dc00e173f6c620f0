//! The handle: see what is left, and change how much there is.

use std::future::Future;
use std::time::Duration;

use seaworthy_core::gcra::Quota;
use seaworthy_kit::quota::QuotaState;
use seaworthy_kit::{
    BoxError, Control, ErrorsAsFailures, Gate, InvalidConfig, Report, Share, Subscription, call,
};

use crate::gate::RateGate;

/// A view of one rate limit: cheap to clone, valid for as long as anybody holds it.
#[derive(Clone, Debug)]
pub struct RateLimitHandle {
    share: Share<RateGate>,
}

/// How a rate limit stands at one moment.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Snapshot {
    /// The name that the user gave the layer.
    pub name: String,
    /// The quotas, in the order in which they were given.
    pub quotas: Vec<Quota>,
    /// How each of them stands, in the same order.
    pub states: Vec<QuotaState>,
    /// How many calls wait.
    pub waiting: usize,
    /// How long a call waits at most; `None` where none does, or for ever.
    pub max_wait: Option<Duration>,
}

impl RateLimitHandle {
    /// How the rate limit stands now.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let quotas = self.share.windows().cells().map(|cell| cell.quota());
        Snapshot {
            name: self.share.telemetry().name().to_owned(),
            quotas: quotas.collect(),
            states: self.share.states().collect(),
            waiting: self.share.waiting(),
            max_wait: self.share.longest_wait(),
        }
    }

    /// Another first quota from now on; what is spent stays spent, as far as the new burst goes.
    ///
    /// A key whose quota was set so is not forgotten.
    ///
    /// # Errors
    /// If the quota cannot work; nothing has changed then.
    pub fn set_quota(&self, quota: Quota) -> Result<(), InvalidConfig> {
        self.set_quota_at(0, quota)
    }

    /// The same for one of several quotas, counted from zero in the order in which they were given.
    ///
    /// # Errors
    /// If there is none such, or the quota cannot work; nothing has changed then.
    pub fn set_quota_at(&self, at: usize, quota: Quota) -> Result<(), InvalidConfig> {
        self.share.set_quota(at, quota)
    }

    /// Calls the listener at every event of this rate limit, on the thread where it happens.
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
    /// Calls that wait were taken before the drain: they keep their place and get their turn.
    ///
    /// # Cancel safety
    /// Dropping the future stops the wait; new calls stay refused until [`Control::resume`].
    pub fn drain(&self) -> impl Future<Output = ()> + Send + 'static + use<> {
        self.share.drain()
    }

    /// Registers the metrics now, so that a scrape before the first call shows the layer.
    pub fn publish(&self) {
        self.share.publish();
    }

    /// Runs a function for one unit of the quotas: no service needed. It waits for it if the layer does.
    ///
    /// # Errors
    /// A [`Rejection`](seaworthy_kit::Rejection) if there is none, or the function's own error.
    ///
    /// # Cancel safety
    /// Dropping the future leaves the line, or drops the function's future; what was taken for a function that runs is spent.
    pub async fn call<F, Fut, Res, E>(&self, function: F) -> Result<Res, BoxError>
    where
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<Res, E>>,
        E: Into<BoxError>,
    {
        call(self.share.hold_shared(), &ErrorsAsFailures::new(), function).await
    }

    pub(crate) const fn share(&self) -> &Share<RateGate> {
        &self.share
    }
}

impl From<Share<RateGate>> for RateLimitHandle {
    fn from(share: Share<RateGate>) -> Self {
        Self { share }
    }
}
