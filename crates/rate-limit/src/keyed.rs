//! Quotas by key: what is to be said about keys, and the layer of it.

use std::fmt;
use std::hash::Hash;
use std::num::NonZeroUsize;
use std::time::Duration;

use seaworthy_kit::InvalidConfig;
use seaworthy_kit::keyed::KeyedLayer;

use crate::KeyedRateLimitLayer;
use crate::builder::Builder;
use crate::gate::RateGate;
use crate::limits::Limits;
use crate::rules::Priced;

/// What a [`KeyedRateLimitLayer`] is built from: a [`Builder`], and what is to be said about keys.
#[must_use = "a builder does nothing until it is built"]
pub struct KeyedBuilder<T, M, K, F> {
    builder: Builder<T, M>,
    max_keys: NonZeroUsize,
    key: F,
    limits: Option<Box<dyn Fn(&K) -> Option<Limits> + Send + Sync>>,
    label: Option<Box<dyn Fn(&K) -> Option<String> + Send + Sync>>,
    idle: Duration,
}

impl<T, M, K, F> KeyedBuilder<T, M, K, F> {
    pub(crate) fn new(builder: Builder<T, M>, max_keys: NonZeroUsize, key: F) -> Self {
        Self {
            builder,
            max_keys,
            key,
            limits: None,
            label: None,
            idle: IDLE,
        }
    }

    /// Other quotas for some keys: a customer who pays, a partner, one who was too greedy. Default: all have those of the builder.
    ///
    /// Asked when a key is first seen, and again after it was forgotten; `None` leaves it the quotas of the builder.
    /// The names of the policies are those of the builder's quotas, in order.
    pub fn limits(mut self, limits: impl Fn(&K) -> Option<Limits> + Send + Sync + 'static) -> Self {
        self.limits = Some(Box::new(limits));
        self
    }

    /// A label for the metrics of each key. Default: keys share the layer's counters, and have no gauges.
    ///
    /// The labels must be few: every one is a time series for ever.
    pub fn label(mut self, label: impl Fn(&K) -> Option<String> + Send + Sync + 'static) -> Self {
        self.label = Some(Box::new(label));
        self
    }

    /// Forgets a key, in the background, that was not used for such a time and whose quotas are all there. Default: a minute; zero forgets keys only where others need their room.
    pub const fn forget_idle_every(mut self, idle: Duration) -> Self {
        self.idle = idle;
        self
    }

    /// Makes the layer.
    ///
    /// # Errors
    /// If there is no quota, or an option has a value that cannot work; the error names the option.
    pub fn build(self) -> Result<KeyedRateLimitLayer<T, K, F, M>, InvalidConfig>
    where
        K: Hash + Eq + Clone + Send + Sync + 'static,
    {
        let (options, limits, telemetry) = self.builder.parts()?;
        let (own, label) = (self.limits, self.label);
        let label = move |key: &K| label.as_ref().and_then(|label| label(key));
        let make = move |key: Option<&K>, telemetry, gauges| {
            let own = key.zip(own.as_ref()).and_then(|(key, own)| own(key));
            let limits = own.as_ref().unwrap_or(&limits);
            RateGate::try_new(options.clone(), limits, telemetry, gauges)
        };
        let keyed = KeyedLayer::labelled((), self.max_keys, self.key, telemetry, label, make)?;
        let keyed = match self.idle {
            Duration::ZERO => keyed,
            idle => keyed.forget_idle_every(idle),
        };
        let handle = keyed.handle();
        let source = Priced::new(keyed.into_source(), handle.overflow(), self.builder.mode);
        Ok(KeyedRateLimitLayer {
            traffic: self.builder.traffic,
            source,
            handle,
        })
    }
}

impl<T, M, K, F> fmt::Debug for KeyedBuilder<T, M, K, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyedBuilder")
            .field("name", &self.builder.name)
            .field("max_keys", &self.max_keys)
            .finish_non_exhaustive()
    }
}

/// A caller who comes less than once a minute is worth no memory: with most quotas its bucket is full by then.
pub(crate) const IDLE: Duration = Duration::from_secs(60);
