//! The handle: see which deadlines a layer gives and how many calls met theirs, and change them.

use std::future::Future;
use std::time::Duration;

use seaworthy_kit::{BoxError, Control, Plain, RejectionKind, Report, Settle, Share, Subscription};

use super::Rules;
use crate::guard::{Guard, Shared};
use crate::handle::finite;
use crate::limits::Limit;
use crate::response::ResponseFuture;

/// A view of one layer's rules: cheap to clone, valid for as long as anybody holds it.
#[derive(Clone, Debug)]
pub struct DeadlineHandle {
    share: Share<Shared<Rules>>,
}

/// The rules of a layer at one moment.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Snapshot {
    /// The name that the user gave the layer.
    pub name: String,
    /// The most time that a request gets; `None` if it may get any.
    pub max: Option<Duration>,
    /// What a request gets whose caller says nothing; `None` for no deadline.
    pub default_limit: Option<Duration>,
    /// The most time that any request can get: `max` where callers are heard, the lesser of the two where they say nothing; `None` if there is no most.
    pub longest: Option<Duration>,
    /// Calls that were cut at their deadline so far.
    pub timeouts: u64,
    /// Calls under way.
    pub in_flight: usize,
}

impl DeadlineHandle {
    /// The rules now, and what they did.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let rules = &self.share.rules;
        Snapshot {
            name: self.share.telemetry.name().to_owned(),
            max: finite(rules.max.get()),
            default_limit: finite(rules.default.get()),
            longest: finite(rules.longest()),
            timeouts: self.share.timeouts(),
            in_flight: self.share.in_flight(),
        }
    }

    /// Changes [`max`](super::Builder::max) for the calls that begin from now on. Zero refuses them all.
    pub fn set_max(&self, max: Duration) {
        self.share.rules.max.set(max);
    }

    /// Changes [`default_limit`](super::Builder::default_limit) for the calls that begin from now on. Zero refuses those whose caller says nothing.
    pub fn set_default_limit(&self, limit: Duration) {
        self.share.rules.default.set(limit);
    }

    /// Calls the listener at every event of this layer, on the thread where it happens.
    pub fn subscribe(
        &self,
        listener: impl Fn(&Report<'_>) + Send + Sync + 'static,
    ) -> Subscription {
        self.share.telemetry.subscribe(listener)
    }

    /// Observe-only and enforcement by share; ends a drain.
    ///
    /// A call that is only observed does not run inside of the deadline either.
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
        let instruments = self.share.telemetry.instruments();
        instruments.publish(&[RejectionKind::DeadlineExceeded]);
        instruments.publish_timeouts(&[Limit::Deadline.as_str()]);
    }

    /// Runs a function inside of the deadline that a request gets whose caller says nothing: no service needed. An `Err` is a failure.
    ///
    /// # Errors
    /// A [`Rejection`](seaworthy_kit::Rejection) if there is no time or it is up, or the function's own error.
    ///
    /// # Cancel safety
    /// Dropping the future drops the function's future, and so does the deadline; the first counts as abandoned, the second as a failure.
    pub async fn call<F, Fut, Res, E>(&self, function: F) -> Result<Res, BoxError>
    where
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<Res, E>>,
        E: Into<BoxError>,
    {
        let mut guard = Guard::admit(self.share.hold_shared(), |rules| {
            rules.terms(&Plain::new(), &())
        })?;
        let future = guard.around(function);
        ResponseFuture::running(future, guard, Plain::new()).await
    }
}

impl From<Share<Shared<Rules>>> for DeadlineHandle {
    fn from(share: Share<Shared<Rules>>) -> Self {
        Self { share }
    }
}
