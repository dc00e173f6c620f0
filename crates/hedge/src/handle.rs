//! The handle: see what the hedges do, switch them off, and run plain functions with them.

use std::future::Future;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;

use seaworthy_kit::{BoxError, Control, Gate, Guard, Plain, Report, Share, Subscription, Unasked};
use tower_service::Service;

use crate::field::{Field, Repeat};
use crate::gate::{Draws, HedgeGate, Pace};
use crate::response::{Parts, ResponseFuture};
use crate::withheld::Withheld;

/// A view of one hedging layer: cheap to clone, valid for as long as anybody holds it.
#[derive(Clone, Debug)]
pub struct HedgeHandle {
    share: Share<HedgeGate>,
}

/// What a hedging layer is doing at one moment.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub struct Snapshot {
    /// The name that the user gave the layer.
    pub name: String,
    /// Whether it sends hedges.
    pub enabled: bool,
    /// How many hedges a call may have.
    pub max_hedges: u32,
    /// After how long a call is slow; `None` while that is not known, or if slow calls are not hedged.
    pub delay: Option<Duration>,
    /// How many calls that is worked out from, one latency for each or for several of them; zero if the delay is fixed.
    pub samples: u64,
    /// How much of the layer's own budget is left, from 0 to 1; `None` without one.
    pub budget_remaining: Option<f64>,
    /// How many calls there have been that might have been hedged, ever.
    pub calls: u64,
    /// How many hedges have been sent, ever.
    pub hedges: u64,
    /// How many of them were the first to succeed, ever.
    pub won: u64,
    /// How many were due and not sent, ever.
    pub withheld: u64,
    /// Calls under way.
    pub in_flight: usize,
}

impl HedgeHandle {
    /// Switches hedges off, or on again: off, each call is made once, as if this layer was not there.
    ///
    /// Calls under way keep the hedges that they have, and send no others.
    pub fn set_enabled(&self, on: bool) {
        self.share.enabled.store(on, Ordering::Relaxed);
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
    /// A hedge that is only observed is not sent, and is told as `hedge_withheld` with the reason `observed`; it counts for the budget, so that there are as many as there would be.
    #[must_use]
    pub fn control(&self) -> &Control {
        self.share.control()
    }

    /// Refuses new calls from now on, and is ready when those under way have ended, with all their attempts.
    ///
    /// # Cancel safety
    /// Dropping the future stops the wait; new calls stay refused until [`Control::resume`].
    pub fn drain(&self) -> impl Future<Output = ()> + Send + 'static + use<> {
        self.share.drain()
    }

    /// Registers the layer's metrics now, so that a scrape before the first call shows it.
    pub fn publish(&self) {
        let instruments = self.share.telemetry().instruments();
        instruments.publish(&[]);
        instruments.publish_hedges(&Withheld::ALL.map(Withheld::as_str));
    }

    /// What the layer is doing now.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let gate = &*self.share;
        let now = gate.clock.now();
        let budget = match &gate.budget {
            Draws::Own => Some(&gate.meter),
            Draws::Shared(budget) => Some(budget),
            Draws::Nothing => None,
        };
        Snapshot {
            name: gate.telemetry().name().to_owned(),
            enabled: gate.is_enabled(),
            max_hedges: gate.max_hedges,
            delay: gate.delay(now),
            samples: match &gate.pace {
                Pace::Live(latency) => latency.samples(),
                Pace::Fixed(_) | Pace::Never => 0,
            },
            budget_remaining: budget.map(|budget| budget.remaining_ratio(now)),
            calls: gate.meter.offered(),
            hedges: gate.hedges.load(Ordering::Relaxed),
            won: gate.won.load(Ordering::Relaxed),
            withheld: gate.withheld.load(Ordering::Relaxed),
            in_flight: self.share.in_flight(),
        }
    }

    /// Runs a function, and a second time beside the first where that is slow or fails early: no service needed. It is called once per attempt.
    ///
    /// An `Ok` wins; an `Err` is worth another try unless [`hedge_error`](crate::Builder::hedge_error) says otherwise.
    ///
    /// # Errors
    /// The error of the function that says most, if no attempt succeeds, or a [`Rejection`](seaworthy_kit::Rejection) if the layer drains.
    ///
    /// # Cancel safety
    /// Dropping the future drops those of all attempts under way, and the call counts as abandoned.
    pub async fn call<F, Fut, Res, E>(&self, function: F) -> Result<Res, BoxError>
    where
        F: Fn() -> Fut,
        Fut: Future<Output = Result<Res, E>>,
        E: Into<BoxError>,
    {
        let guard = Guard::try_admit(self.share.hold_shared())?;
        let function = Function(&function);
        let field = guard.gate().is_enabled().then(|| {
            guard.gate().offer_shared();
            Field::new(Repeat::new(function, (), 0))
        });
        let parts = Parts {
            traffic: Plain::new(),
            replay: Plain::new(),
            rule: Unasked::default(),
        };
        ResponseFuture::<_, (), _, _, _>::running((function.0)(), guard, parts, field).await
    }
}

/// A function as a service.
struct Function<'a, F>(&'a F);

impl<F> Clone for Function<'_, F> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<F> Copy for Function<'_, F> {}

impl<F, Fut, Res, E> Service<()> for Function<'_, F>
where
    F: Fn() -> Fut,
    Fut: Future<Output = Result<Res, E>>,
{
    type Response = Res;
    type Error = E;
    type Future = Fut;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), E>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, (): ()) -> Fut {
        (self.0)()
    }
}

impl From<Share<HedgeGate>> for HedgeHandle {
    fn from(share: Share<HedgeGate>) -> Self {
        Self { share }
    }
}
