//! The layer and its builder.

use std::hash::Hash;
use std::num::NonZeroUsize;
use std::time::Duration;

use seaworthy_core::Ratio;
use seaworthy_core::tempo::TempoConfig;
use seaworthy_kit::keyed::KeyedLayer;
use seaworthy_kit::{InvalidConfig, Plain, Share, Telemetry};
use tower_layer::Layer;

use super::{Pace, PaceGate, PaceHandle};

/// Calls a service at the pace that it asks for. See the [module](super).
#[derive(Clone, Debug)]
pub struct PaceLayer<T> {
    traffic: T,
    share: Share<PaceGate>,
}

/// What a [`PaceLayer`] is built from.
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until it is built"]
pub struct Builder<T> {
    name: String,
    traffic: T,
    max_hint: Duration,
    low: f64,
    wait: Option<Waits>,
    jitter: f64,
}

/// How calls wait.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Waits {
    pub(crate) max_waiting: usize,
    pub(crate) max_wait: Duration,
}

impl PaceLayer<()> {
    /// For services whose response is all there when their future is ready; its classifier says when to come back.
    pub fn plain(name: impl Into<String>) -> Builder<Plain> {
        Builder::new(name.into(), Plain::new())
    }

    /// For HTTP and gRPC clients.
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

impl<T> PaceLayer<T> {
    /// A view of the pace.
    #[must_use]
    pub fn handle(&self) -> PaceHandle {
        self.share.clone().into()
    }
}

impl<S, T: Clone> Layer<S> for PaceLayer<T> {
    type Service = Pace<S, T>;

    fn layer(&self, inner: S) -> Self::Service {
        Pace::new(inner, self.traffic.clone(), self.share.clone())
    }
}

// ===== impl Builder =====

impl<T> Builder<T> {
    const fn new(name: String, traffic: T) -> Self {
        Self {
            name,
            traffic,
            max_hint: DEFAULT_MAX_HINT,
            low: DEFAULT_LOW,
            wait: None,
            jitter: DEFAULT_JITTER,
        }
    }

    /// When calls are over and how they ended; of a verdict this layer reads only when to come back.
    pub fn traffic<U>(self, traffic: U) -> Builder<U> {
        Builder {
            name: self.name,
            traffic,
            max_hint: self.max_hint,
            low: self.low,
            wait: self.wait,
            jitter: self.jitter,
        }
    }

    /// Lets at most `max_waiting` calls wait for their turn, each for at most `max_wait` and never past its deadline. Default: none waits, and calls that come too early are refused.
    ///
    /// A call whose turn would come later than that is refused at once.
    /// `max_wait` counts from the first poll of the response future.
    ///
    /// The wait needs tokio's timer: the response future panics where there is none.
    pub const fn wait(mut self, max_waiting: usize, max_wait: Duration) -> Self {
        self.wait = Some(Waits {
            max_waiting,
            max_wait,
        });
        self
    }

    /// The longest time for which a word of the server counts, and the longest between two calls. Default: 60 s.
    pub const fn max_hint(mut self, longest: Duration) -> Self {
        self.max_hint = longest;
        self
    }

    /// Which share of a quota is low, so that what is left is spread; 1.0 spreads always. Default: 0.2.
    ///
    /// Ten requests are low where the server does not tell how many there are.
    pub const fn low(mut self, share: f64) -> Self {
        self.low = share;
        self
    }

    /// Lets calls that wait for the end of a stop go up to this share of their wait later, each by a draw of its own; from 0.0 to 1.0. Default: 0.1.
    ///
    /// Or else all that wait, here and in other clients that were told of the same moment, would leave in one instant.
    /// Calls that are spread have turns of their own, and those that come after the stop have not waited: they go as they come.
    pub const fn jitter(mut self, share: f64) -> Self {
        self.jitter = share;
        self
    }

    /// Makes the pace.
    ///
    /// # Errors
    /// If an option has a value that cannot work; the error names the option.
    pub fn build(self) -> Result<PaceLayer<T>, InvalidConfig> {
        let telemetry = Telemetry::new(LAYER, &self.name);
        let gate = PaceGate::new(self.config()?, self.wait, self.jitter, telemetry);
        Ok(PaceLayer {
            traffic: self.traffic,
            share: Share::new(gate),
        })
    }

    /// Makes a layer with a pace for each key of a request, such as its host, of which it keeps at most `max_keys`.
    ///
    /// [`PaceHandle::from`] makes a handle of what the layer's own handle finds for a key.
    ///
    /// # Errors
    /// If an option has a value that cannot work; the error names the option.
    pub fn keyed<K, F>(
        self,
        max_keys: NonZeroUsize,
        key: F,
    ) -> Result<KeyedLayer<PaceGate, T, K, F>, InvalidConfig>
    where
        K: Hash + Eq + Clone + 'static,
    {
        self.keyed_with_label(max_keys, key, |_| None)
    }

    /// As [`keyed`](Self::keyed), with a label for the metrics of each key.
    ///
    /// The labels must be few: every one is a time series for ever.
    ///
    /// # Errors
    /// If an option has a value that cannot work; the error names the option.
    pub fn keyed_with_label<K, F, L>(
        self,
        max_keys: NonZeroUsize,
        key: F,
        label: L,
    ) -> Result<KeyedLayer<PaceGate, T, K, F>, InvalidConfig>
    where
        K: Hash + Eq + Clone + 'static,
        L: Fn(&K) -> Option<String> + Send + Sync + 'static,
    {
        let telemetry = Telemetry::new(LAYER, &self.name);
        let (config, wait, jitter) = (self.config()?, self.wait, self.jitter);
        let make =
            move |_: Option<&K>, telemetry, _| Ok(PaceGate::new(config, wait, jitter, telemetry));
        KeyedLayer::labelled(self.traffic, max_keys, key, telemetry, label, make)
    }

    fn config(&self) -> Result<TempoConfig, InvalidConfig> {
        if !(0.0..=1.0).contains(&self.jitter) {
            return Err(InvalidConfig::new("jitter", "must be from 0.0 to 1.0"));
        }
        TempoConfig::try_new(self.max_hint, Ratio::try_new("low", self.low)?)
    }
}

/// Longer than most servers ask for, and no slip of theirs stops a client for a day.
const DEFAULT_MAX_HINT: Duration = Duration::from_secs(60);

/// Enough to tell calls apart, and little beside what they wait.
const DEFAULT_JITTER: f64 = 0.1;

/// Above that a client goes as it likes.
const DEFAULT_LOW: f64 = 0.2;

/// The kind of layer, in metrics and events.
const LAYER: &str = "pace";
