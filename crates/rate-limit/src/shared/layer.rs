//! The layer over a shared limit: one key for all calls, or that of each request.

use std::fmt;
use std::future::Future;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use seaworthy_kit::deferred::Deferred;
use seaworthy_kit::keyed::{Keyed, KeyedHandle};
use seaworthy_kit::line::Gauges;
use seaworthy_kit::quota::Quotas;
use seaworthy_kit::{Control, Gate, InvalidConfig, Report, Share, Subscription, Telemetry};
use tower_layer::Layer;

use super::SharedLimit;
use super::gate::{Options, SharedGate};
use super::keyed::SharedKeyedBuilder;
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
    /// Costs, exemptions, the queue and what is announced are said here; quotas, leases and what happens without the server, at the limit.
    ///
    /// In a [`queue`](Self::queue), the calls of a key wait in this process, first come first served; see the [module](super#waiting).
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
    /// If the builder was given quotas, which are the shared limit's, or a queue that cannot work.
    pub fn build(self) -> Result<SharedRateLimitLayer<T, Share<SharedGate>, M>, InvalidConfig> {
        let account = self.limit.account(&[]);
        let (builder, options, telemetry) = self.parts()?;
        let gate = SharedGate::new(options, account, telemetry, Gauges::Own);
        let share = Share::new(gate);
        Ok(SharedRateLimitLayer::new(builder, share.clone(), share))
    }

    /// A layer that counts the calls of each key, of which this process knows at most `max_keys` at a time; see [`SharedKeyedBuilder`] for what is to be said about keys.
    ///
    /// The server knows a key by its bytes, of which all processes must make the same: those of `seaworthy_http::key` go in as they are, and that of a caller's address as `Key::from(callers.key(request))`.
    /// What is forgotten here is still known to the server.
    /// Only where more keys than that are in use at once, those that find no room are counted together, at the server, too.
    pub fn keyed<Req, K, F>(self, max_keys: NonZeroUsize, key: F) -> SharedKeyedBuilder<T, M, K, F>
    where
        F: Fn(&Req) -> K,
    {
        SharedKeyedBuilder::new(self, max_keys, key)
    }

    pub(super) fn parts(self) -> Result<(Builder<T, M>, Arc<Options>, Telemetry), InvalidConfig> {
        let Self { builder, limit } = self;
        if !builder.quotas.is_empty() {
            let reason = "is the shared limit's: give it there";
            return Err(InvalidConfig::new("quota", reason));
        }
        // It checks how many may wait.
        seaworthy_core::gcra::Line::<()>::try_new(builder.max_queue)?;
        let telemetry = Telemetry::new(LAYER, &builder.name);
        let options = Options {
            limit,
            announce: builder.announce,
            max_queue: builder.max_queue,
            max_wait: builder.max_wait,
        };
        Ok((builder, Arc::new(options), telemetry))
    }
}

// ===== impl SharedRateLimitLayer =====

impl<T, C, M> SharedRateLimitLayer<T, C, M> {
    /// How long a call waits for its turn at most; `None` where none does, or for ever.
    #[must_use]
    pub fn max_wait(&self) -> Option<Duration> {
        self.exempt.longest_wait()
    }

    pub(super) fn new(builder: Builder<T, M>, source: C, exempt: Share<SharedGate>) -> Self {
        Self {
            traffic: builder.traffic,
            source,
            exempt,
            mode: builder.mode,
        }
    }
}

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

    /// How many calls wait for their turn.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.share.waiting()
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
    /// Calls that wait were taken before the drain: they keep their place and get their turn.
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
