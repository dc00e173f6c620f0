//! The handle: see what the circuit does, and tell it what to do.

use std::future::Future;
use std::time::Duration;

use seaworthy_core::circuit::{Cause, State};
use seaworthy_kit::{
    BoxError, Control, ErrorsAsFailures, Gate, RejectionKind, Report, Share, Subscription, call,
};

use crate::gate::CircuitGate;

/// A view of one circuit: cheap to clone, valid for as long as anybody holds it.
#[derive(Clone, Debug)]
pub struct CircuitBreakerHandle {
    share: Share<CircuitGate>,
}

/// What a circuit is doing at one moment.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub struct Snapshot {
    /// The name that the user gave the layer.
    pub name: String,
    /// The state.
    pub state: State,
    /// Failures that count at present, and in an open or half-open circuit those that opened it: of the window, or the leaky or consecutive count where that is the rule.
    pub failures: u64,
    /// Where those failures open the circuit: a number of failures; for a rate, that share of the calls which are in the window, or of the least number of calls if there are fewer. `None` where only slow calls open it.
    pub threshold: Option<u64>,
    /// Calls in the window; in an open or half-open circuit those by which it was judged.
    pub calls: u64,
    /// Slow calls in the window.
    pub slow_calls: u64,
    /// How long ago the last failure was.
    pub last_failure: Option<Duration>,
    /// How long the circuit stays open, if it is open.
    /// Zero: its time is over, and the next call will be a probe; until then nothing happens by itself, and the state is still `Open`.
    pub until: Option<Duration>,
    /// How many times in a row it has opened.
    pub trips: u32,
    /// What opened it last, also after it has closed.
    pub tripped_by: Option<Cause>,
    /// The share of calls that pass, while it recovers along a ramp.
    pub admitted_share: Option<f64>,
    /// Calls under way.
    pub in_flight: usize,
}

impl CircuitBreakerHandle {
    /// The state. An open circuit whose time is over stays open until a call comes, a recovering one until a call ends.
    #[must_use]
    pub fn state(&self) -> State {
        self.share.circuit().state()
    }

    /// Refuses every call until told otherwise.
    pub fn force_open(&self) {
        self.share.changed(self.share.circuit().force_open());
    }

    /// Lets every call pass and never trips, until told otherwise.
    pub fn force_closed(&self) {
        self.share.changed(self.share.circuit().force_closed());
    }

    /// Lets every call pass and records nothing, until told otherwise.
    pub fn disable(&self) {
        self.share.changed(self.share.circuit().disable());
    }

    /// Closes the circuit, takes back what was forced, and forgets all that was counted.
    pub fn reset(&self) {
        self.share.changed(self.share.circuit().reset());
    }

    /// Calls the listener at every event of this circuit, on the thread where it happens.
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

    /// Refuses new calls from now on, and is ready when those under way have ended.
    ///
    /// # Cancel safety
    /// Dropping the future stops the wait; new calls stay refused until [`Control::resume`].
    pub fn drain(&self) -> impl Future<Output = ()> + Send + 'static + use<> {
        self.share.drain()
    }

    /// Registers the circuit's metrics now, so that a scrape before the first call shows it.
    pub fn publish(&self) {
        let instruments = self.share.telemetry().instruments();
        instruments.publish(&[RejectionKind::CircuitOpen]);
    }

    /// Runs a function as one call through the circuit: no service needed. An `Err` is a failure.
    ///
    /// # Errors
    /// A [`Rejection`](seaworthy_kit::Rejection) if the circuit refuses, or the function's own error.
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

    /// What the circuit is doing now.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let gate = &*self.share;
        let circuit = gate.circuit();
        let now = gate.now();
        let seen = circuit.snapshot(|| now);
        let failures = seen.failures();
        Snapshot {
            name: gate.telemetry().name().to_owned(),
            state: seen.state,
            failures: failures.map_or(seen.counts.failures, |level| level.count.into()),
            threshold: failures.map(|level| level.limit.into()),
            calls: seen.counts.calls,
            slow_calls: seen.counts.slow,
            last_failure: seen.last_failure.map(|at| now.since(at)),
            until: seen.until.map(|at| at.since(now)),
            trips: seen.trips.into(),
            tripped_by: seen.tripped_by,
            admitted_share: seen.admitted_share,
            in_flight: self.share.in_flight(),
        }
    }

    pub(crate) const fn share(&self) -> &Share<CircuitGate> {
        &self.share
    }
}

impl From<Share<CircuitGate>> for CircuitBreakerHandle {
    fn from(share: Share<CircuitGate>) -> Self {
        Self { share }
    }
}
