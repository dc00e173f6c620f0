//! The layer of a limit that tenants share: one such limit, or one for each key.

use std::fmt;
use std::hash::Hash;
use std::num::NonZeroUsize;

use seaworthy_kit::deferred::Deferred;
use seaworthy_kit::keyed::{Keyed, KeyedHandle, KeyedLayer};
use seaworthy_kit::line::Gauges;
use seaworthy_kit::{InvalidConfig, Share, Telemetry};
use tower_layer::Layer;

use super::{FairGate, Fairly};
use crate::layer::{LAYER, Options};
use crate::{AdaptiveHandle, FairAdaptive};

/// Bounds how many calls of a service run at once, by a limit that it finds and its tenants share. See [`Builder::fair_by`](crate::Builder::fair_by).
///
/// `C` is where the limit of a request comes from: one for all, or one for each [key](FairBuilder::keyed).
pub struct FairAdaptiveLayer<T, F, C = Share<FairGate>> {
    traffic: T,
    pub(crate) source: Fairly<F, C>,
}

/// What a [`FairAdaptiveLayer`] is built from: the options of a [`Builder`](crate::Builder), and whose each request is.
#[derive(Debug)]
#[must_use = "a builder does nothing until it is built"]
pub struct FairBuilder<T, F> {
    checked: Result<(String, T, Options), InvalidConfig>,
    tenant: F,
}

// ===== impl FairAdaptiveLayer =====

impl<T, F> FairAdaptiveLayer<T, F> {
    /// A view of the limit. What it [calls](AdaptiveHandle::call) itself is nobody's, and nobody is a tenant, too.
    #[must_use]
    pub fn handle(&self) -> AdaptiveHandle<FairGate> {
        self.source.limits.clone().into()
    }
}

impl<T, F, K, N> FairAdaptiveLayer<T, F, Keyed<FairGate, K, N>> {
    /// A view of the limits of all keys: [`AdaptiveHandle::from`] makes a handle of what it finds for one.
    #[must_use]
    pub fn handle(&self) -> KeyedHandle<FairGate, K> {
        self.source.limits.handle()
    }
}

impl<S, T: Clone, F: Clone, C: Clone> Layer<S> for FairAdaptiveLayer<T, F, C> {
    type Service = FairAdaptive<S, T, F, C>;

    fn layer(&self, inner: S) -> Self::Service {
        Deferred::new(inner, self.traffic.clone(), self.source.clone())
    }
}

impl<T: Clone, F: Clone, C: Clone> Clone for FairAdaptiveLayer<T, F, C> {
    fn clone(&self) -> Self {
        Self {
            traffic: self.traffic.clone(),
            source: self.source.clone(),
        }
    }
}

impl<T, F, C> fmt::Debug for FairAdaptiveLayer<T, F, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FairAdaptiveLayer").finish_non_exhaustive()
    }
}

// ===== impl FairBuilder =====

impl<T, F> FairBuilder<T, F> {
    pub(crate) const fn new(
        checked: Result<(String, T, Options), InvalidConfig>,
        tenant: F,
    ) -> Self {
        Self { checked, tenant }
    }

    /// Makes one limit, shared by all tenants.
    ///
    /// # Errors
    /// If an option has a value that cannot work; the error names the option.
    pub fn build(self) -> Result<FairAdaptiveLayer<T, F>, InvalidConfig> {
        let (name, traffic, options) = self.checked?;
        let telemetry = Telemetry::new(LAYER, &name);
        let gate = FairGate::try_new(options, telemetry, Gauges::Own)?;
        let (limits, tenant) = (Share::new(gate), self.tenant);
        Ok(FairAdaptiveLayer {
            traffic,
            source: Fairly { limits, tenant },
        })
    }

    /// Makes a layer with a limit for each key of a request, of which it keeps at most `max_keys`; the tenants of one key share its limit.
    ///
    /// Such as a limit for each upstream or route, of which each customer has a fair share.
    /// A tenant with calls of two keys is one of each.
    ///
    /// One that is in use, or that somebody has set, is not forgotten.
    /// An idle key costs about 2,200 bytes, and what the key itself does.
    ///
    /// # Errors
    /// If an option has a value that cannot work; the error names the option.
    pub fn keyed<K, N>(
        self,
        max_keys: NonZeroUsize,
        key: N,
    ) -> Result<FairAdaptiveLayer<T, F, Keyed<FairGate, K, N>>, InvalidConfig>
    where
        K: Hash + Eq + Clone + 'static,
    {
        self.keyed_with_label(max_keys, key, |_| None)
    }

    /// As [`keyed`](Self::keyed), with a label for the metrics of each key.
    ///
    /// The labels must be few: every one is a time series for ever.
    /// Keys without one share the layer's counters, and have no gauges.
    ///
    /// # Errors
    /// If an option has a value that cannot work; the error names the option.
    pub fn keyed_with_label<K, N, L>(
        self,
        max_keys: NonZeroUsize,
        key: N,
        label: L,
    ) -> Result<FairAdaptiveLayer<T, F, Keyed<FairGate, K, N>>, InvalidConfig>
    where
        K: Hash + Eq + Clone + 'static,
        L: Fn(&K) -> Option<String> + Send + Sync + 'static,
    {
        let (name, traffic, options) = self.checked?;
        let telemetry = Telemetry::new(LAYER, &name);
        let make = move |_: Option<&K>, telemetry, gauges| {
            FairGate::try_new(options.clone(), telemetry, gauges)
        };
        let keyed = KeyedLayer::labelled((), max_keys, key, telemetry, label, make)?;
        let (limits, tenant) = (keyed.into_source(), self.tenant);
        Ok(FairAdaptiveLayer {
            traffic,
            source: Fairly { limits, tenant },
        })
    }
}
