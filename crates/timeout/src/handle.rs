//! The handle: see which limits a layer has and what they did, and change them.

use std::future::Future;
use std::time::Duration;

use seaworthy_kit::{BoxError, Control, Plain, RejectionKind, Report, Settle, Share, Subscription};

use crate::guard::{Guard, Shared};
use crate::limits::{Limit, Limits, is_never};
use crate::per_request::{Fixed, Untold};
use crate::response::ResponseFuture;

/// A view of one layer's limits: cheap to clone, valid for as long as anybody holds it.
#[derive(Clone, Debug)]
pub struct TimeoutHandle {
    share: Share<Shared<Limits>>,
}

/// The limits of a layer at one moment.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Snapshot {
    /// The name that the user gave the layer.
    pub name: String,
    /// How long the head of a response is waited for; `None` for ever.
    pub limit: Option<Duration>,
    /// How long a whole response is waited for; `None` for ever.
    pub body_limit: Option<Duration>,
    /// How long a body may pause; `None` for ever.
    pub idle: Option<Duration>,
    /// Calls that were cut short so far.
    pub timeouts: u64,
    /// Calls under way.
    pub in_flight: usize,
}

impl TimeoutHandle {
    /// The limits now, and what they did.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let limits = &self.share.rules;
        Snapshot {
            name: self.share.telemetry.name().to_owned(),
            limit: finite(limits.head.get()),
            body_limit: finite(limits.body.get()),
            idle: finite(limits.idle.get()),
            timeouts: self.share.timeouts(),
            in_flight: self.share.in_flight(),
        }
    }

    /// Changes [`limit`](crate::Builder::limit) for the calls that begin from now on. Zero refuses them all.
    pub fn set_limit(&self, limit: Duration) {
        self.share.rules.head.set(limit);
    }

    /// Changes [`body_limit`](crate::Builder::body_limit) for the calls that begin from now on. Zero refuses them all.
    pub fn set_body_limit(&self, limit: Duration) {
        self.share.rules.body.set(limit);
    }

    /// Changes [`idle`](crate::Builder::idle) for the calls that begin from now on. Zero cuts a body when it first pauses.
    pub fn set_idle(&self, limit: Duration) {
        self.share.rules.idle.set(limit);
    }

    /// Calls the listener at every event of this layer, on the thread where it happens.
    pub fn subscribe(
        &self,
        listener: impl Fn(&Report<'_>) + Send + Sync + 'static,
    ) -> Subscription {
        self.share.telemetry.subscribe(listener)
    }

    /// Observe-only and enforcement by share; ends a drain.
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
        instruments.publish_timeouts(&Limit::ALL.map(Limit::as_str));
    }

    /// Runs a function as one call under the limits: no service needed. An `Err` is a failure.
    ///
    /// [`limit`](crate::Builder::limit), [`body_limit`](crate::Builder::body_limit) and the deadline of the task count, all until the function's future is ready.
    ///
    /// # Errors
    /// A [`Rejection`](seaworthy_kit::Rejection) if there is no time or it is up, or the function's own error.
    ///
    /// # Cancel safety
    /// Dropping the future drops the function's future, and so does a limit that is met; the first counts as abandoned, the second as a failure.
    pub async fn call<F, Fut, Res, E>(&self, function: F) -> Result<Res, BoxError>
    where
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<Res, E>>,
        E: Into<BoxError>,
    {
        let mut guard = Guard::admit(self.share.hold_shared(), |limits| {
            limits.terms(&Fixed, &Untold, &mut ())
        })?;
        let future = guard.around(function);
        ResponseFuture::running(future, guard, Plain::new()).await
    }
}

impl From<Share<Shared<Limits>>> for TimeoutHandle {
    fn from(share: Share<Shared<Limits>>) -> Self {
        Self { share }
    }
}

pub(crate) fn finite(limit: Duration) -> Option<Duration> {
    (!is_never(limit)).then_some(limit)
}
