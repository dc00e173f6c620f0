//! A shared limit by key: what is to be said about keys, and the layer of it.

use std::fmt;
use std::hash::Hash;
use std::num::NonZeroUsize;
use std::time::Duration;

use seaworthy_kit::InvalidConfig;
use seaworthy_kit::keyed::{Keyed, KeyedLayer};

use super::gate::SharedGate;
use super::key::Key;
use super::layer::{SharedBuilder, SharedRateLimitLayer};
use super::plan::{Account, SharedLimits};
use crate::keyed::IDLE;

/// What a [`SharedRateLimitLayer`] by key is built from: a [`SharedBuilder`], and what is to be said about keys.
#[must_use = "a builder does nothing until it is built"]
pub struct SharedKeyedBuilder<T, M, K, F> {
    builder: SharedBuilder<T, M>,
    max_keys: NonZeroUsize,
    key: F,
    limits: Option<Box<dyn Fn(&K) -> Option<SharedLimits> + Send + Sync>>,
    label: Option<Box<dyn Fn(&K) -> Option<String> + Send + Sync>>,
    idle: Duration,
}

impl<T, M, K, F> SharedKeyedBuilder<T, M, K, F> {
    pub(super) fn new(builder: SharedBuilder<T, M>, max_keys: NonZeroUsize, key: F) -> Self {
        Self {
            builder,
            max_keys,
            key,
            limits: None,
            label: None,
            idle: IDLE,
        }
    }

    /// Other quotas for some keys, as [the limit makes them](super::SharedLimit::limits): a customer who pays, a partner, one who was too greedy. Default: all have those of the limit.
    ///
    /// Asked when this process first sees a key, and again after it was forgotten; `None` leaves it the quotas of the limit.
    /// All processes, and all layers of the limit, should say the same of a key; while they do not, a quota keeps what was spent of it as a share of what there is, as long as its window is the same.
    /// [`SharedLimit::check`](super::SharedLimit::check) knows nothing of it.
    pub fn limits(
        mut self,
        limits: impl Fn(&K) -> Option<SharedLimits> + Send + Sync + 'static,
    ) -> Self {
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

    /// Forgets a key here, in the background, that was not used for such a time; the server goes on knowing it. Default: a minute; zero forgets keys only where others need their room.
    pub const fn forget_idle_every(mut self, idle: Duration) -> Self {
        self.idle = idle;
        self
    }

    /// Makes the layer.
    ///
    /// # Errors
    /// As [`SharedBuilder::build`].
    pub fn build(self) -> Result<SharedRateLimitLayer<T, Keyed<SharedGate, K, F>, M>, InvalidConfig>
    where
        K: AsRef<[u8]> + Hash + Eq + Clone + Send + Sync + 'static,
    {
        let (builder, options, telemetry) = self.builder.parts()?;
        let (own, label) = (self.limits, self.label);
        let label = move |key: &K| label.as_ref().and_then(|label| label(key));
        let make = move |key: Option<&K>, telemetry, gauges| {
            let own = key.zip(own.as_ref()).and_then(|(key, own)| own(key));
            let inner = &options.limit.inner;
            let plan = own.map_or_else(|| inner.plan.clone(), |own| own.0);
            let number = key.map_or(Key::OVERFLOW, |key| inner.digests.of(key.as_ref()));
            let account = Account::new(number, plan);
            Ok(SharedGate::new(options.clone(), account, telemetry, gauges))
        };
        let keyed = KeyedLayer::labelled((), self.max_keys, self.key, telemetry, label, make)?;
        let keyed = match self.idle {
            Duration::ZERO => keyed,
            idle => keyed.forget_idle_every(idle),
        };
        let exempt = keyed.handle().overflow();
        let source = keyed.into_source();
        Ok(SharedRateLimitLayer::new(builder, source, exempt))
    }
}

impl<T, M, K, F> fmt::Debug for SharedKeyedBuilder<T, M, K, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedKeyedBuilder")
            .field("max_keys", &self.max_keys)
            .finish_non_exhaustive()
    }
}
