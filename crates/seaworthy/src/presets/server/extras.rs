//! The places of a server stack that are empty until something is asked for.

use std::fmt;
use std::marker::PhantomData;

use seaworthy_kit::InvalidConfig;
use tower_layer::Layer;

use super::{ServerBuilder, ServerLayer};
use crate::presets::{Handled, Kind, Part, Plan, Times, Without};

/// The layers that a server stack has only if they are asked for: who decides the class of a request, the rate limit and the adaptive limit.
///
/// A place that is empty costs nothing: no state, no type in the stack, no instruction.
pub struct ServerExtras<K, G = Without, R = Without, A = Without> {
    pub(super) name: String,
    pub(super) class: G,
    rate_limit: R,
    adaptive: A,
    kind: PhantomData<fn() -> K>,
}

// ===== impl ServerExtras =====

impl<K> ServerExtras<K> {
    pub(super) const fn new(name: String) -> Self {
        Self {
            name,
            class: Without,
            rate_limit: Without,
            adaptive: Without,
            kind: PhantomData,
        }
    }
}

impl<K, G, R, A> ServerExtras<K, G, R, A> {
    /// What stands between the deadline and the bulkhead.
    pub(super) fn limits<S>(&self, inner: S) -> R::Service
    where
        A: Layer<S>,
        R: Layer<A::Service>,
    {
        self.rate_limit.layer(self.adaptive.layer(inner))
    }
}

impl<K, G: Plan, R: Plan, A: Plan> Plan for ServerExtras<K, G, R, A> {
    type Layer = ServerExtras<K, G::Layer, R::Layer, A::Layer>;

    fn build(self) -> Result<Self::Layer, InvalidConfig> {
        Ok(ServerExtras {
            name: self.name,
            class: self.class.build()?,
            rate_limit: self.rate_limit.build()?,
            adaptive: self.adaptive.build()?,
            kind: PhantomData,
        })
    }
}

impl<K, G: Part, R: Part, A: Part> Part for ServerExtras<K, G, R, A> {
    fn publish(&self) {
        self.class.publish();
        self.rate_limit.publish();
        self.adaptive.publish();
    }

    fn times(&self, times: &mut Times) {
        self.rate_limit.times(times);
        self.adaptive.times(times);
    }
}

impl<K, G: Clone, R: Clone, A: Clone> Clone for ServerExtras<K, G, R, A> {
    fn clone(&self) -> Self {
        Self {
            name: self.name.clone(),
            class: self.class.clone(),
            rate_limit: self.rate_limit.clone(),
            adaptive: self.adaptive.clone(),
            kind: PhantomData,
        }
    }
}

impl<K, G, R, A> fmt::Debug for ServerExtras<K, G, R, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerExtras")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

// ===== impl ServerBuilder =====

/// Setters of the layers that a stack has only if they are asked for: asked for twice, the second takes the first one's place.
impl<E, D, B, O, K: Kind, G, R, A> ServerBuilder<E, D, B, O, ServerExtras<K, G, R, A>> {
    /// Puts a rate limit between the deadline and the adaptive limit: whoever comes too often takes no slot. Default: none.
    ///
    /// It needs a quota, and a key, or all callers share it: `.rate_limit(|limit| limit.quota(Quota::per_second(20)).announce().keyed(max_keys, callers.into_key()))`.
    #[cfg(feature = "rate-limit")]
    pub fn rate_limit<N: Plan>(
        self,
        change: impl FnOnce(K::RateLimit) -> N,
    ) -> ServerBuilder<E, D, B, O, ServerExtras<K, G, N, A>> {
        self.change_extras(|extras| ServerExtras {
            rate_limit: change(K::rate_limit(&extras.name)),
            name: extras.name,
            class: extras.class,
            adaptive: extras.adaptive,
            kind: PhantomData,
        })
    }

    /// Puts an adaptive limit between the rate limit and the bulkhead, which finds how many calls may run and lets the less important give way. Default: none.
    ///
    /// The bulkhead stays, as the most that it may find, and brings it down where it refuses; [`without_bulkhead`](ServerBuilder::without_bulkhead) leaves the adaptive limit in its place.
    #[cfg(feature = "adaptive")]
    pub fn adaptive<N: Plan>(
        self,
        change: impl FnOnce(K::Adaptive) -> N,
    ) -> ServerBuilder<E, D, B, O, ServerExtras<K, G, R, N>> {
        self.change_extras(|extras| ServerExtras {
            adaptive: change(K::adaptive(&extras.name)),
            name: extras.name,
            class: extras.class,
            rate_limit: extras.rate_limit,
            kind: PhantomData,
        })
    }

    /// Decides the class of each request right inside of the edge, by `x-criticality`, and opens it for everything inside. Default: nothing is read, and all requests are critical.
    ///
    /// A caller can only lower its own: `.criticality(|class| class.trust(true))` believes it.
    #[cfg(feature = "http")]
    pub fn criticality<N: Plan>(
        self,
        change: impl FnOnce(seaworthy_http::criticality::CriticalityLayer) -> N,
    ) -> ServerBuilder<E, D, B, O, ServerExtras<K, N, R, A>> {
        self.change_extras(|extras| ServerExtras {
            class: change(seaworthy_http::criticality::CriticalityLayer::new()),
            name: extras.name,
            rate_limit: extras.rate_limit,
            adaptive: extras.adaptive,
            kind: PhantomData,
        })
    }
}

// ===== impl ServerLayer =====

impl<E, D, B, O, K, G, R, A> ServerLayer<E, D, B, O, ServerExtras<K, G, R, A>> {
    /// A view of the rate limit.
    #[must_use]
    pub fn rate_limit(&self) -> R::Handle
    where
        R: Handled,
    {
        self.extras.rate_limit.handle()
    }

    /// A view of the adaptive limit.
    #[must_use]
    pub fn adaptive(&self) -> A::Handle
    where
        A: Handled,
    {
        self.extras.adaptive.handle()
    }
}
