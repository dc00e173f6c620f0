//! The layer and its builder: what can be set, and where the shared account is made.

use std::fmt;
use std::hash::Hash;
use std::num::NonZeroUsize;
use std::time::Duration;

use seaworthy_core::acceptance::{Acceptance, AcceptanceConfig};
#[cfg(feature = "http")]
use seaworthy_http::OverloadClassifier;
use seaworthy_kit::keyed::KeyedLayer;
use seaworthy_kit::line::Gauges;
use seaworthy_kit::{Clock, InvalidConfig, Plain, Share, Telemetry};
use tower_layer::Layer;

use super::{Throttle, ThrottleGate, ThrottleHandle};

/// Refuses some of a client's calls while its dependency accepts too few of them. See the [docs of the module](super).
#[derive(Clone, Debug)]
pub struct ThrottleLayer<T> {
    traffic: T,
    share: Share<ThrottleGate>,
}

/// What a [`ThrottleLayer`] is built from.
#[derive(Clone)]
#[must_use = "a builder does nothing until it is built"]
pub struct Builder<T> {
    name: String,
    traffic: T,
    config: AcceptanceConfig,
    clock: Clock,
    draw: fn() -> u64,
}

impl ThrottleLayer<()> {
    /// For services whose response is all there when their future is ready: an answer was accepted, an error was not.
    pub fn plain(name: impl Into<String>) -> Builder<Plain> {
        Builder::new(name.into(), Plain::new())
    }

    /// For HTTP and gRPC, by [`OverloadClassifier`]: a call counts when the head of its response is there.
    #[cfg(feature = "http")]
    pub fn http(name: impl Into<String>) -> Builder<seaworthy_http::Http<OverloadClassifier>> {
        let classifier = OverloadClassifier::new();
        Builder::new(
            name.into(),
            seaworthy_http::Http::with_classifier(classifier),
        )
    }

    /// For `reqwest::Client`, with its own request and response, by [`OverloadClassifier`].
    #[cfg(feature = "reqwest")]
    pub fn reqwest(
        name: impl Into<String>,
    ) -> Builder<seaworthy_http::Reqwest<OverloadClassifier>> {
        let classifier = OverloadClassifier::new();
        Builder::new(
            name.into(),
            seaworthy_http::Reqwest::with_classifier(classifier),
        )
    }
}

impl<T> ThrottleLayer<T> {
    /// A view of the account.
    #[must_use]
    pub fn handle(&self) -> ThrottleHandle {
        self.share.clone().into()
    }
}

impl<S, T: Clone> Layer<S> for ThrottleLayer<T> {
    type Service = Throttle<S, T>;

    fn layer(&self, inner: S) -> Self::Service {
        Throttle::new(inner, self.traffic.clone(), self.share.clone())
    }
}

// ===== impl Builder =====

impl<T> Builder<T> {
    fn new(name: String, traffic: T) -> Self {
        Self {
            name,
            traffic,
            config: AcceptanceConfig::new(),
            clock: Clock::tokio(),
            draw: seaworthy_kit::draw,
        }
    }

    /// When calls are over, and which of them the dependency accepted: a success was accepted, a failure was not, and what is ignored or abandoned says nothing.
    ///
    /// It is how another classifier is put in: `.traffic(Http::classify(|result| ..))`.
    pub fn traffic<U>(self, traffic: U) -> Builder<U> {
        Builder {
            traffic,
            name: self.name,
            config: self.config,
            clock: self.clock,
            draw: self.draw,
        }
    }

    /// All options of the formula at once.
    pub const fn config(mut self, config: AcceptanceConfig) -> Self {
        self.config = config;
        self
    }

    /// K: how many calls are sent for one that is accepted; above 1.0 and at most 100.0. Default: 2, as in the book.
    ///
    /// Near 1 the dependency refuses few calls that were sent, and it takes longer to notice that it can take more; at 1 it would not be noticed at all.
    pub const fn multiplier(mut self, k: f64) -> Self {
        self.config = self.config.multiplier(k);
        self
    }

    /// For how long a call counts, in steps of a twelfth; from 12 ms to an hour. Default: two minutes, as in the book.
    ///
    /// A shorter one forgets an overload sooner, and refuses more by chance.
    pub const fn window(mut self, window: Duration) -> Self {
        self.config = self.config.window(window);
        self
    }

    /// Refuses nothing while fewer calls than this are in the window. Default: 100, somewhat less than one in a second: who asks so rarely relieves nobody by asking less.
    pub const fn min_requests(mut self, requests: u32) -> Self {
        self.config = self.config.min_requests(requests);
        self
    }

    /// Refuses no greater share than this, however bad things are; above 0.0 and below 1.0. Default: 0.9, since who sends nothing never learns that the dependency is back.
    pub const fn max_rejection(mut self, share: f64) -> Self {
        self.config = self.config.max_rejection(share);
        self
    }

    /// Another clock than tokio's.
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    #[cfg(test)]
    pub(super) const fn draw(mut self, draw: fn() -> u64) -> Self {
        self.draw = draw;
        self
    }

    /// Makes the account.
    ///
    /// # Errors
    /// If an option has a value that cannot work; the error names the option.
    pub fn build(self) -> Result<ThrottleLayer<T>, InvalidConfig> {
        let acceptance = Acceptance::try_new(self.config)?;
        let telemetry = Telemetry::new(LAYER, &self.name);
        let gate = ThrottleGate::new(acceptance, self.clock, telemetry, self.draw);
        Ok(ThrottleLayer {
            traffic: self.traffic,
            share: Share::new(gate.with_gauges()),
        })
    }

    /// Makes a layer with an account for each key of a request, of which it keeps at most `max_keys`: the host that is called, or the method.
    ///
    /// A key is forgotten only when its dependency has refused nothing for a window.
    /// An idle key costs about 1,650 bytes, and what the key itself does.
    ///
    /// # Errors
    /// If an option has a value that cannot work; the error names the option.
    pub fn keyed<K, F>(
        self,
        max_keys: NonZeroUsize,
        key: F,
    ) -> Result<KeyedLayer<ThrottleGate, T, K, F>, InvalidConfig>
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
    ) -> Result<KeyedLayer<ThrottleGate, T, K, F>, InvalidConfig>
    where
        K: Hash + Eq + Clone + 'static,
        L: Fn(&K) -> Option<String> + Send + Sync + 'static,
    {
        let Self {
            name,
            traffic,
            config,
            clock,
            draw,
        } = self;
        let telemetry = Telemetry::new(LAYER, &name);
        let make = move |_: Option<&K>, telemetry, gauges| {
            let acceptance = Acceptance::try_new(config)?;
            let gate = ThrottleGate::new(acceptance, clock.clone(), telemetry, draw);
            Ok(match gauges {
                Gauges::Own => gate.with_gauges(),
                Gauges::None => gate,
            })
        };
        KeyedLayer::labelled(traffic, max_keys, key, telemetry, label, make)
    }
}

impl<T> fmt::Debug for Builder<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("name", &self.name)
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

/// The kind of layer, in metrics and events.
const LAYER: &str = "throttle";
