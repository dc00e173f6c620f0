//! The layer over a shared limit: one key for all calls, or that of each request.

use std::fmt;
use std::future::Future;
use std::hash::Hash;
use std::num::NonZeroUsize;

use seaworthy_kit::deferred::Deferred;
use seaworthy_kit::keyed::{Keyed, KeyedHandle, KeyedLayer};
use seaworthy_kit::quota::Quotas;
use seaworthy_kit::{Control, Gate, InvalidConfig, Report, Share, Subscription, Telemetry};
use tower_layer::Layer;

use super::SharedLimit;
use super::gate::SharedGate;
use super::key::Key;
use crate::builder::{Builder, LAYER};
use crate::layer::Alike;
use crate::rules::Priced;

/// An inner service behind a limit that many processes share.
pub type SharedRateLimit<S, T, C, M> = Deferred<S, T, Priced<C, M, SharedGate>>;

/// Bounds how often all processes together call a service. See the [module](super).
///
/// `C` is where the key comes from.
pub struct SharedRateLimitLayer<T, C = Share<SharedGate>, M = Alike> {
    traffic: T,
    pub(super) source: C,
    /// What an exempt request holds.
    exempt: Share<SharedGate>,
    mode: M,
}

/// What a [`SharedRateLimitLayer`] is built from: a [`Builder`], and the limit.
#[derive(Debug)]
#[must_use = "a builder does nothing until it is built"]
pub struct SharedBuilder<T, M = Alike> {
    builder: Builder<T, M>,
    limit: SharedLimit,
}

/// A view of a layer over a shared limit: cheap to clone, valid for as long as anybody holds it.
#[derive(Clone, Debug)]
pub struct SharedRateLimitHandle {
    share: Share<SharedGate>,
}

// ===== impl Builder =====

impl<T, M> Builder<T, M> {
    /// Counts by a limit that many processes share, in place of quotas of the layer's own.
    ///
    /// All layers of all processes that are given a limit of the same name at the same server count together.
    /// A call then waits for the server's word, for as long as [the limit says](super::Builder::timeout) and never past its deadline.
    /// Costs, exemptions and what is announced are said here; quotas, leases and what happens without the server, at the limit.
    pub fn shared(self, limit: SharedLimit) -> SharedBuilder<T, M> {
        SharedBuilder {
            builder: self,
            limit,
        }
    }
}

// ===== impl SharedBuilder =====

impl<T, M> SharedBuilder<T, M> {
    /// A layer that counts all calls together.
    ///
    /// # Errors
    /// If the builder was given quotas or a queue, which a shared limit does not go by.
    pub fn build(self) -> Result<SharedRateLimitLayer<T, Share<SharedGate>, M>, InvalidConfig> {
        let key = self.limit.key(&[]);
        let (builder, gate) = self.parts()?;
        let share = Share::new(gate(key));
        Ok(SharedRateLimitLayer {
            traffic: builder.traffic,
            source: share.clone(),
            exempt: share,
            mode: builder.mode,
        })
    }

    /// A layer that counts the calls of each key, of which this process knows at most `max_keys` at a time.
    ///
    /// The server knows a key by its bytes, of which all processes must make the same: those of `seaworthy_http::key` go in as they are, and that of a caller's address as `Key::from(callers.key(request))`.
    /// What is forgotten here is still known to the server.
    /// Only where more keys than that are in use at once, those that find no room are counted together, at the server, too.
    ///
    /// # Errors
    /// As [`build`](Self::build).
    pub fn keyed<Req, K, F>(
        self,
        max_keys: NonZeroUsize,
        key: F,
    ) -> Result<SharedRateLimitLayer<T, Keyed<SharedGate, K, F>, M>, InvalidConfig>
    where
        F: Fn(&Req) -> K,
        K: AsRef<[u8]> + Hash + Eq + Clone + Send + Sync + 'static,
    {
        let limit = self.limit.clone();
        let (builder, gate) = self.parts()?;
        let keyed = KeyedLayer::new((), max_keys, key, move |key: Option<&K>| {
            let key = key.map_or(Key::OVERFLOW, |key| limit.key(key.as_ref()));
            gate(key)
        });
        let exempt = keyed.handle().overflow();
        Ok(SharedRateLimitLayer {
            traffic: builder.traffic,
            source: keyed.into_source(),
            exempt,
            mode: builder.mode,
        })
    }

    fn parts(
        self,
    ) -> Result<
        (
            Builder<T, M>,
            impl Fn(Key) -> SharedGate + Send + Sync + 'static,
        ),
        InvalidConfig,
    > {
        let Self { builder, limit } = self;
        if !builder.quotas.is_empty() {
            let reason = "is the shared limit's: give it there";
            return Err(InvalidConfig::new("quota", reason));
        }
        if builder.max_queue > 0 {
            let reason = "does not go with a shared limit";
            return Err(InvalidConfig::new("queue", reason));
        }
        let telemetry = Telemetry::new(LAYER, &builder.name);
        let announce = builder.announce;
        let gate =
            move |key| SharedGate::new(limit.clone(), key, announce, telemetry.for_key(None));
        Ok((builder, gate))
    }
}

// ===== impl SharedRateLimitLayer =====

impl<T, M> SharedRateLimitLayer<T, Share<SharedGate>, M> {
    /// A view of the layer.
    #[must_use]
    pub fn handle(&self) -> SharedRateLimitHandle {
        self.source.clone().into()
    }
}

impl<T, K, F, M> SharedRateLimitLayer<T, Keyed<SharedGate, K, F>, M> {
    /// A view of the keys: [`SharedRateLimitHandle::from`] makes a handle of what it finds for one.
    #[must_use]
    pub fn handle(&self) -> KeyedHandle<SharedGate, K> {
        self.source.handle()
    }
}

impl<S, T: Clone, C: Clone, M: Clone> Layer<S> for SharedRateLimitLayer<T, C, M> {
    type Service = SharedRateLimit<S, T, C, M>;

    fn layer(&self, inner: S) -> Self::Service {
        let source = Priced::new(self.source.clone(), self.exempt.clone(), self.mode.clone());
        SharedRateLimit::new(inner, self.traffic.clone(), source)
    }
}

impl<T: Clone, C: Clone, M: Clone> Clone for SharedRateLimitLayer<T, C, M> {
    fn clone(&self) -> Self {
        Self {
            traffic: self.traffic.clone(),
            source: self.source.clone(),
            exempt: self.exempt.clone(),
            mode: self.mode.clone(),
        }
    }
}

impl<T, C, M> fmt::Debug for SharedRateLimitLayer<T, C, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedRateLimitLayer")
            .finish_non_exhaustive()
    }
}

// ===== impl SharedRateLimitHandle =====

impl SharedRateLimitHandle {
    /// How the quotas stood when last anybody said; none before that, or where the layer does not [`announce`](Builder::announce) them.
    #[must_use]
    pub fn quotas(&self) -> Quotas {
        self.share.quotas().unwrap_or_default()
    }

    /// Calls the listener at every event of this layer, on the thread where it happens. Whether the server is there, [the limit](SharedLimit::subscribe) tells.
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

    /// Refuses new calls from now on, and is ready when those that run or wait have ended.
    ///
    /// # Cancel safety
    /// Dropping the future stops the wait; new calls stay refused until [`Control::resume`].
    pub fn drain(&self) -> impl Future<Output = ()> + Send + 'static + use<> {
        self.share.drain()
    }

    /// Registers the metrics of the layer and the limit now, so that a scrape before the first call shows them.
    pub fn publish(&self) {
        self.share.publish();
    }
}

impl From<Share<SharedGate>> for SharedRateLimitHandle {
    fn from(share: Share<SharedGate>) -> Self {
        Self { share }
    }
}
