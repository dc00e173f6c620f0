//! The handle that all layers of this crate have that admit calls.

use std::fmt;
use std::future::Future;

use seaworthy_kit::telemetry::{Report, Subscription};
use seaworthy_kit::{Control, Gate, RejectionKind, Share};

/// The view of a layer from outside: cheap to clone.
pub struct LayerHandle<G>(Share<G>);

impl<G: Gate> LayerHandle<G> {
    pub(crate) const fn new(share: Share<G>) -> Self {
        Self(share)
    }

    /// What can be switched while it runs: how many of its refusals it enforces, and the end of a drain.
    #[must_use]
    pub fn control(&self) -> &Control {
        self.0.control()
    }

    /// How many calls run.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.0.in_flight()
    }

    /// Refuses new calls from now on, and is ready when those that run have ended.
    ///
    /// # Cancel safety
    /// Dropping the future stops the wait; new calls stay refused until [`Control::resume`].
    pub fn drain(&self) -> impl Future<Output = ()> + Send + 'static + use<G> {
        self.0.drain()
    }

    /// Calls the listener at every event of this layer; see [`Telemetry::subscribe`](seaworthy_kit::Telemetry::subscribe).
    pub fn subscribe(
        &self,
        listener: impl Fn(&Report<'_>) + Send + Sync + 'static,
    ) -> Subscription {
        self.0.telemetry().subscribe(listener)
    }

    /// Registers the layer's metrics with the recorder before its first call.
    pub fn publish(&self) {
        let refusals = [RejectionKind::Shed, RejectionKind::Draining];
        self.0.telemetry().instruments().publish(&refusals);
    }
}

impl<G> Clone for LayerHandle<G> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<G: Gate> fmt::Debug for LayerHandle<G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LayerHandle")
            .field("name", &self.0.telemetry().name())
            .finish_non_exhaustive()
    }
}
