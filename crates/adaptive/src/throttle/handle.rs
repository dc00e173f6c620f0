//! The handle: see how the dependency fares, and which share of the calls is refused for it.

use std::future::Future;

use seaworthy_core::Criticality;
use seaworthy_core::acceptance::{AcceptanceConfig, Standing};
use seaworthy_kit::{
    BoxError, Control, ErrorsAsFailures, Gate, InvalidConfig, RejectionKind, Report, Share,
    Subscription, call,
};

use super::ThrottleGate;

/// A view of one account: cheap to clone, valid for as long as anybody holds it.
#[derive(Clone, Debug)]
pub struct ThrottleHandle {
    share: Share<ThrottleGate>,
}

/// What an account holds at one moment.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub struct Snapshot {
    /// The name that the user gave the layer.
    pub name: String,
    /// What became of the calls of each class in the window, and with which probability its next call is refused; the least important class first.
    pub classes: [Standing; Criticality::ALL.len()],
    /// Calls under way.
    pub in_flight: usize,
}

impl ThrottleHandle {
    /// With which probability the next call of that class is refused.
    #[must_use]
    pub fn probability(&self, class: Criticality) -> f64 {
        self.share.standings()[class.index()].probability
    }

    /// What the account holds now.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            name: self.share.telemetry().name().to_owned(),
            classes: self.share.standings(),
            in_flight: self.share.in_flight(),
        }
    }

    /// The options, as they are now.
    #[must_use]
    pub fn config(&self) -> AcceptanceConfig {
        self.share.config()
    }

    /// Other options from now on, for all that is counted already: `handle.set_config(handle.config().multiplier(1.5))`.
    ///
    /// The window stays: what is counted is counted by it.
    /// A key of which the options are not those of the builder is not forgotten.
    ///
    /// # Errors
    /// If an option has a value that cannot work, or the window is another one; nothing has changed then.
    pub fn set_config(&self, config: AcceptanceConfig) -> Result<(), InvalidConfig> {
        self.share.set_config(config)
    }

    /// Calls the listener at every event of this layer, on the thread where it happens.
    pub fn subscribe(
        &self,
        listener: impl Fn(&Report<'_>) + Send + Sync + 'static,
    ) -> Subscription {
        self.share.telemetry().subscribe(listener)
    }

    /// Observe-only and enforcement by share; ends a drain.
    ///
    /// A call that would have been refused counts as refused here, and only as that, whether it was enforced or not.
    #[must_use]
    pub fn control(&self) -> &Control {
        self.share.control()
    }

    /// Refuses new calls from now on, and is ready when those under way have ended.
    ///
    /// # Cancel safety
    /// Dropping the future stops the wait; new calls stay refused until [`Control::resume`].
    pub fn drain(&self) -> impl Future<Output = ()> + Send + 'static + use<> {
        self.share.drain()
    }

    /// Registers the layer's metrics now, so that a scrape before the first call shows it.
    pub fn publish(&self) {
        let instruments = self.share.telemetry().instruments();
        instruments.publish(&[RejectionKind::Shed]);
    }

    /// Runs a function as one call of the class of the task: no service needed. An `Err` was not accepted.
    ///
    /// # Errors
    /// A [`Rejection`](seaworthy_kit::Rejection) if the call is refused, or the function's own error.
    ///
    /// # Cancel safety
    /// Dropping the future drops the function's future, and the call counts as abandoned.
    pub async fn call<F, Fut, Res, E>(&self, function: F) -> Result<Res, BoxError>
    where
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<Res, E>>,
        E: Into<BoxError>,
    {
        call(self.share.hold_shared(), &ErrorsAsFailures::new(), function).await
    }

    #[cfg(test)]
    pub(super) fn gate(&self) -> &ThrottleGate {
        &self.share
    }

    pub(crate) const fn share(&self) -> &Share<ThrottleGate> {
        &self.share
    }
}

impl From<Share<ThrottleGate>> for ThrottleHandle {
    fn from(share: Share<ThrottleGate>) -> Self {
        Self { share }
    }
}
