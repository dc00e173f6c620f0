//! The layer and its builder: what can be set, and where the shared circuit is made.

use std::hash::Hash;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use seaworthy_core::Ratio;
use seaworthy_core::circuit::{Circuit, CircuitConfig, OpenCap, Place};
use seaworthy_kit::keyed::KeyedLayer;
use seaworthy_kit::line::Gauges;
use seaworthy_kit::{Clock, InvalidConfig, Plain, Share, Telemetry};
use tower_layer::Layer;

use crate::gate::CircuitGate;
use crate::{CircuitBreaker, CircuitBreakerHandle};

/// Puts a circuit breaker in front of a service. See the crate docs.
#[derive(Clone, Debug)]
pub struct CircuitBreakerLayer<T> {
    traffic: T,
    share: Share<CircuitGate>,
}

/// What a [`CircuitBreakerLayer`] is built from.
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until it is built"]
pub struct Builder<T> {
    name: String,
    traffic: T,
    pub(crate) circuit: CircuitConfig,
    clock: Clock,
    pub(crate) abandoned_after: Option<Duration>,
    pub(crate) max_open_share: Option<f64>,
}

impl CircuitBreakerLayer<()> {
    /// For services whose response is all there when their future is ready.
    pub fn plain(name: impl Into<String>) -> Builder<Plain> {
        Builder::new(name.into(), Plain::new())
    }

    /// For HTTP and gRPC: a call is over when its response body is.
    #[cfg(feature = "http")]
    pub fn http(name: impl Into<String>) -> Builder<seaworthy_http::Http> {
        Builder::new(name.into(), seaworthy_http::Http::new())
    }

    /// For `reqwest::Client`, with its own request and response.
    #[cfg(feature = "reqwest")]
    pub fn reqwest(name: impl Into<String>) -> Builder<seaworthy_http::Reqwest> {
        Builder::new(name.into(), seaworthy_http::Reqwest::new())
    }
}

impl<T> CircuitBreakerLayer<T> {
    /// A view of the circuit.
    #[must_use]
    pub fn handle(&self) -> CircuitBreakerHandle {
        self.share.clone().into()
    }
}

impl<S, T: Clone> Layer<S> for CircuitBreakerLayer<T> {
    type Service = CircuitBreaker<S, T>;

    fn layer(&self, inner: S) -> Self::Service {
        CircuitBreaker::new(inner, self.traffic.clone(), self.share.clone())
    }
}

// ===== impl Builder =====

impl<T> Builder<T> {
    fn new(name: String, traffic: T) -> Self {
        Self {
            name,
            traffic,
            circuit: CircuitConfig::new(),
            clock: Clock::tokio(),
            abandoned_after: None,
            max_open_share: None,
        }
    }

    /// When calls are over and how they ended; it is how another classifier is put in: `.traffic(Http::classify(|result| ..))`.
    pub fn traffic<U>(self, traffic: U) -> Builder<U> {
        Builder {
            name: self.name,
            traffic,
            circuit: self.circuit,
            clock: self.clock,
            abandoned_after: self.abandoned_after,
            max_open_share: self.max_open_share,
        }
    }

    /// All options of the circuit at once.
    pub fn circuit(mut self, circuit: CircuitConfig) -> Self {
        self.circuit = circuit;
        self
    }

    /// Opens when this share of the calls in the window failed, or more; above 0.0 and at most 1.0, `None` turns the rule off. Default: 0.5.
    pub fn failure_rate(self, share: impl Into<Option<f64>>) -> Self {
        self.change(|circuit| circuit.failure_rate(share))
    }

    /// Counts calls that took longer than this as slow, and opens when half of the calls in the window were, or the share of [`slow_call_rate`](Self::slow_call_rate). Default: off.
    ///
    /// A call lasts until it is over, over HTTP to the end of its response body; one that its caller drops after more than the threshold counts as slow too.
    /// It costs two readings of the clock for each call.
    pub fn slow_call_threshold(self, threshold: Duration) -> Self {
        self.change(|circuit| circuit.slow_call_threshold(threshold))
    }

    /// Opens when this share of the calls in the window was slow, or more. Default: 0.5, once there is a threshold.
    pub fn slow_call_rate(self, share: f64) -> Self {
        self.change(|circuit| circuit.slow_call_rate(share))
    }

    /// Takes the rates over the last so many calls, at most 8192. Default: 100.
    ///
    /// While the window is full of good calls, another one costs a few loads and writes nothing.
    pub fn window_calls(self, calls: u32) -> Self {
        self.change(|circuit| circuit.window_calls(calls))
    }

    /// Takes the rates over the last stretch of time instead, which slides in so many steps: at most 256, of at least a millisecond each; 10 is the usual number.
    ///
    /// It forgets while nothing happens, where a window of calls keeps what it saw.
    /// Every call, a success too, then reads the clock once and adds to a count that all threads share.
    pub fn window_time(self, span: Duration, buckets: u32) -> Self {
        self.change(|circuit| circuit.window_time(span, buckets))
    }

    /// Does not judge a rate by fewer calls than this. Default: 20; never more than a window of calls holds.
    pub fn minimum_calls(self, calls: u32) -> Self {
        self.change(|circuit| circuit.minimum_calls(calls))
    }

    /// Opens at so many failures without a success between them. Default: off.
    pub fn consecutive_failures(self, failures: impl Into<Option<u32>>) -> Self {
        self.change(|circuit| circuit.consecutive_failures(failures))
    }

    /// Counts up at a failure and down at a success, never below zero, and opens at so many. Default: off.
    ///
    /// To have this rule alone, turn the other off: `.failure_rate(None)`.
    pub fn leaky_count(self, count: impl Into<Option<u32>>) -> Self {
        self.change(|circuit| circuit.leaky_count(count))
    }

    /// Opens when the window holds this many failures, however many calls succeeded, and without a minimum of calls. Default: off.
    pub fn failure_count(self, failures: impl Into<Option<u32>>) -> Self {
        self.change(|circuit| circuit.failure_count(failures))
    }

    /// Opens at the first failure that says when to come back (`Retry-After`, gRPC's `RetryInfo`), until then. Default: off, it only prolongs an opening that it causes.
    ///
    /// It is for a dependency that speaks for all of its instances.
    pub fn open_on_retry_after(self, opens: bool) -> Self {
        self.change(|circuit| circuit.open_on_retry_after(opens))
    }

    /// Stays open for this long the first time. Default: 30 s.
    pub fn recovery_timeout(self, timeout: Duration) -> Self {
        self.change(|circuit| circuit.recovery_timeout(timeout))
    }

    /// Never stays open for longer than this, whatever the backoff or the dependency says, but for the jitter on top. Default: 5 min.
    pub fn max_recovery_timeout(self, timeout: Duration) -> Self {
        self.change(|circuit| circuit.max_recovery_timeout(timeout))
    }

    /// Each time it opens again without having closed, it stays open for so many times as long; from 1.0, which never grows, to 1000.0. Default: 2.
    pub fn recovery_factor(self, factor: f64) -> Self {
        self.change(|circuit| circuit.recovery_factor(factor))
    }

    /// Stays open for this share longer or shorter, at random; from 0.0 to 1.0. Default: 0.1.
    pub fn jitter(self, share: f64) -> Self {
        self.change(|circuit| circuit.jitter(share))
    }

    /// Lets at most so many calls at a time probe a half-open circuit; from 1 to 1000. Default: 3.
    pub fn half_open_max_calls(self, calls: u32) -> Self {
        self.change(|circuit| circuit.half_open_max_calls(calls))
    }

    /// Closes after so many probes succeeded; from 1 to 1000. Default: 3.
    pub fn success_threshold(self, successes: u32) -> Self {
        self.change(|circuit| circuit.success_threshold(successes))
    }

    /// Lets probes fail as long as their share stays below this. Default: `None`, the first failure opens the circuit again.
    ///
    /// It needs more [`half_open_max_calls`](Self::half_open_max_calls) than [`success_threshold`](Self::success_threshold): with as many, one failure is one success too few.
    pub fn half_open_failure_rate(self, share: impl Into<Option<f64>>) -> Self {
        self.change(|circuit| circuit.half_open_failure_rate(share))
    }

    /// Gives up on a probe that has not reported for this long, and hands its place on; in steps of about a millisecond. Default: 30 s.
    pub fn probe_lease(self, lease: Duration) -> Self {
        self.change(|circuit| circuit.probe_lease(lease))
    }

    /// Counts a call that its caller dropped as a failure if it had lasted for this long. Default: `None`, dropped calls say nothing.
    ///
    /// It is for callers whose own timeout is outside of this layer, and costs two readings of the clock for each call.
    /// Such a failure counts in every rule, and as slow if it was longer than that threshold; a probe dropped so late is a failed probe.
    /// A call that is still under way is never counted.
    pub fn abandoned_after(mut self, age: impl Into<Option<Duration>>) -> Self {
        self.abandoned_after = age.into();
        self
    }

    /// Once it closes, lets a share of the calls pass that rises evenly from none to all within this time. Default: `None`, all calls pass at once.
    ///
    /// It is for dependencies that come back cold: empty caches, no connections, few instances.
    /// Calls are counted as in the closed state, and a trip on the way up is one more in a row.
    pub fn recovery_ramp(self, span: impl Into<Option<Duration>>) -> Self {
        self.change(|circuit| circuit.recovery_ramp(span))
    }

    /// In a [keyed](Self::keyed) layer, lets at most this share of the known keys refuse calls at a time, though always one; above 0.0 and at most 1.0. Default: `None`, each key for itself.
    ///
    /// Where keys are endpoints of one service and most of them seem broken, it is more likely the caller's network or load, and the rest must not get the traffic of all.
    /// A circuit beyond the share opens all the same, for the eye: its calls are let through and reported as refusals that were not enforced, until others have closed.
    /// What an operator forced open is neither counted nor let through.
    pub fn max_open_share(mut self, share: impl Into<Option<f64>>) -> Self {
        self.max_open_share = share.into();
        self
    }

    /// Another clock than tokio's.
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// Makes the circuit.
    ///
    /// # Errors
    /// If an option has a value that cannot work, or is for keyed layers only; the error names the option.
    pub fn build(self) -> Result<CircuitBreakerLayer<T>, InvalidConfig> {
        if self.max_open_share.is_some() {
            return Err(InvalidConfig::new("max_open_share", "is for keyed layers"));
        }
        let circuit = Circuit::try_new(self.circuit)?;
        let telemetry = Telemetry::new(LAYER, &self.name);
        let gate = CircuitGate::new(circuit, self.clock, telemetry, self.abandoned_after);
        Ok(CircuitBreakerLayer {
            traffic: self.traffic,
            share: Share::new(gate.with_gauge()),
        })
    }

    /// Makes a layer with a circuit for each key of a request, of which it keeps at most `max_keys`.
    ///
    /// # Errors
    /// If an option has a value that cannot work; the error names the option.
    pub fn keyed<K, F>(
        self,
        max_keys: NonZeroUsize,
        key: F,
    ) -> Result<KeyedLayer<CircuitGate, T, K, F>, InvalidConfig>
    where
        K: Hash + Eq + Clone + 'static,
    {
        self.keyed_with_label(max_keys, key, |_| None)
    }

    /// As [`keyed`](Self::keyed), with a label for the metrics of each key.
    ///
    /// The labels must be few: every one is a time series for ever. Keys without one share the layer's.
    ///
    /// # Errors
    /// If an option has a value that cannot work; the error names the option.
    pub fn keyed_with_label<K, F, L>(
        self,
        max_keys: NonZeroUsize,
        key: F,
        label: L,
    ) -> Result<KeyedLayer<CircuitGate, T, K, F>, InvalidConfig>
    where
        K: Hash + Eq + Clone + 'static,
        L: Fn(&K) -> Option<String> + Send + Sync + 'static,
    {
        let Self {
            name,
            traffic,
            circuit,
            clock,
            abandoned_after,
            max_open_share,
        } = self;
        let cap = max_open_share.map(|share| Ratio::try_new("max_open_share", share));
        let cap = cap.transpose()?.map(|share| Arc::new(OpenCap::new(share)));
        let telemetry = Telemetry::new(LAYER, &name);
        let make = move |key: Option<&K>, telemetry, gauges| {
            let circuit = Circuit::try_new(circuit)?;
            let place = cap.clone().map(|cap| Place::new(cap, key.is_some()));
            let gate = CircuitGate::new(circuit, clock.clone(), telemetry, abandoned_after);
            let gate = gate.capped(place);
            Ok(match gauges {
                Gauges::Own => gate.with_gauge(),
                Gauges::None => gate,
            })
        };
        KeyedLayer::labelled(traffic, max_keys, key, telemetry, label, make)
    }

    fn change(mut self, change: impl FnOnce(CircuitConfig) -> CircuitConfig) -> Self {
        self.circuit = change(self.circuit);
        self
    }
}

/// The kind of layer, in metrics and events.
const LAYER: &str = "circuit_breaker";
