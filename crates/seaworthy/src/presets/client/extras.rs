//! The places of a client stack that are empty until something is asked for.

use std::fmt;
use std::marker::PhantomData;

use seaworthy_kit::{Budget, InvalidConfig};
use tower_layer::Layer;

use super::{ClientBuilder, ClientLayer};
use crate::presets::{Handled, Kind, Part, Plan, Times, Without};

/// The layers that a client stack has only if they are asked for: who passes the class of a call on, the hedge, the throttle and the pace.
///
/// A place that is empty costs nothing: no state, no type in the stack, no instruction.
pub struct ClientExtras<K, G = Without, H = Without, T = Without, P = Without> {
    pub(super) name: String,
    pub(super) class: G,
    hedge: H,
    throttle: T,
    pace: P,
    kind: PhantomData<fn() -> K>,
}

// ===== impl ClientExtras =====

impl<K> ClientExtras<K> {
    pub(super) const fn new(name: String) -> Self {
        Self {
            name,
            class: Without,
            hedge: Without,
            throttle: Without,
            pace: Without,
            kind: PhantomData,
        }
    }
}

impl<K, G, H, T, P> ClientExtras<K, G, H, T, P> {
    /// What stands between the retry and the circuit breaker.
    pub(super) fn attempts<S>(&self, inner: S) -> H::Service
    where
        P: Layer<S>,
        T: Layer<P::Service>,
        H: Layer<T::Service>,
    {
        self.hedge
            .layer(self.throttle.layer(self.pace.layer(inner)))
    }
}

impl<K, G: Plan, H: Plan, T: Plan, P: Plan> Plan for ClientExtras<K, G, H, T, P> {
    type Layer = ClientExtras<K, G::Layer, H::Layer, T::Layer, P::Layer>;

    fn build(self) -> Result<Self::Layer, InvalidConfig> {
        Ok(ClientExtras {
            name: self.name,
            class: self.class.build()?,
            hedge: self.hedge.build()?,
            throttle: self.throttle.build()?,
            pace: self.pace.build()?,
            kind: PhantomData,
        })
    }

    fn with_retry_budget(self, budget: Option<Budget>) -> Self {
        Self {
            hedge: self.hedge.with_retry_budget(budget),
            ..self
        }
    }
}

impl<K, G: Part, H: Part, T: Part, P: Part> Part for ClientExtras<K, G, H, T, P> {
    fn publish(&self) {
        self.class.publish();
        self.hedge.publish();
        self.throttle.publish();
        self.pace.publish();
    }

    fn times(&self, times: &mut Times) {
        self.hedge.times(times);
        self.throttle.times(times);
        self.pace.times(times);
    }
}

impl<K, G: Clone, H: Clone, T: Clone, P: Clone> Clone for ClientExtras<K, G, H, T, P> {
    fn clone(&self) -> Self {
        Self {
            name: self.name.clone(),
            class: self.class.clone(),
            hedge: self.hedge.clone(),
            throttle: self.throttle.clone(),
            pace: self.pace.clone(),
            kind: PhantomData,
        }
    }
}

impl<K, G, H, T, P> fmt::Debug for ClientExtras<K, G, H, T, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientExtras")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

// ===== impl ClientBuilder =====

/// Setters of the layers that a stack has only if they are asked for: asked for twice, the second takes the first one's place.
impl<D, R, C, B, O, K: Kind, G, H, T, P> ClientBuilder<D, R, C, B, O, ClientExtras<K, G, H, T, P>> {
    /// Puts a hedge between the retry and the throttle, so that a slow attempt gets a second one beside it. Default: none.
    ///
    /// Outside of the circuit breaker, which so sees each of the two.
    /// It draws on the budget of the retry, unless it is told another, so that retries and hedges together stay within it.
    /// One by key, `.hedge(|hedge| hedge.keyed(..))`, is built before the retry is, and shares only a [`Budget`] that both are given.
    #[cfg(feature = "hedge")]
    pub fn hedge<N: Plan>(
        self,
        change: impl FnOnce(K::Hedge) -> N,
    ) -> ClientBuilder<D, R, C, B, O, ClientExtras<K, G, N, T, P>> {
        self.change_extras(|extras| ClientExtras {
            hedge: change(K::hedge(&extras.name)),
            name: extras.name,
            class: extras.class,
            throttle: extras.throttle,
            pace: extras.pace,
            kind: PhantomData,
        })
    }

    /// Puts a throttle between the hedge and the pace, which refuses attempts while the dependency takes on too few. Default: none.
    ///
    /// Each attempt is asked for and counts, a hedge as well.
    #[cfg(feature = "adaptive")]
    pub fn throttle<N: Plan>(
        self,
        change: impl FnOnce(K::Throttle) -> N,
    ) -> ClientBuilder<D, R, C, B, O, ClientExtras<K, G, H, N, P>> {
        self.change_extras(|extras| ClientExtras {
            throttle: change(K::throttle(&extras.name)),
            name: extras.name,
            class: extras.class,
            hedge: extras.hedge,
            pace: extras.pace,
            kind: PhantomData,
        })
    }

    /// Puts a pace between the throttle and the circuit breaker, which obeys what the server says of its quotas. Default: none.
    ///
    /// Each attempt keeps it, a hedge as well; one that waits for its turn holds neither a probe nor a slot.
    /// A `RateLimitLayer` for a quota that is known beforehand has the same place: `.pace(|_| limit)`.
    #[cfg(feature = "rate-limit")]
    pub fn pace<N: Plan>(
        self,
        change: impl FnOnce(K::Pace) -> N,
    ) -> ClientBuilder<D, R, C, B, O, ClientExtras<K, G, H, T, N>> {
        self.change_extras(|extras| ClientExtras {
            pace: change(K::pace(&extras.name)),
            name: extras.name,
            class: extras.class,
            hedge: extras.hedge,
            throttle: extras.throttle,
            kind: PhantomData,
        })
    }

    /// Passes the class of the work that calls on to the dependency, in `x-criticality`, and opens it for all layers. Default: nothing is passed on.
    ///
    /// The outermost of all. `.propagate_criticality(|_| PropagateCriticalityLayer::new(header))` names another header.
    #[cfg(feature = "http")]
    pub fn propagate_criticality<N: Plan>(
        self,
        change: impl FnOnce(seaworthy_http::criticality::PropagateCriticalityLayer) -> N,
    ) -> ClientBuilder<D, R, C, B, O, ClientExtras<K, N, H, T, P>> {
        self.change_extras(|extras| ClientExtras {
            class: change(seaworthy_http::criticality::PropagateCriticalityLayer::http()),
            name: extras.name,
            hedge: extras.hedge,
            throttle: extras.throttle,
            pace: extras.pace,
            kind: PhantomData,
        })
    }
}

// ===== impl ClientLayer =====

impl<D, R, C, B, O, K, G, H, T, P> ClientLayer<D, R, C, B, O, ClientExtras<K, G, H, T, P>> {
    /// A view of the hedge.
    #[must_use]
    pub fn hedge(&self) -> H::Handle
    where
        H: Handled,
    {
        self.extras.hedge.handle()
    }

    /// A view of the throttle.
    #[must_use]
    pub fn throttle(&self) -> T::Handle
    where
        T: Handled,
    {
        self.extras.throttle.handle()
    }

    /// A view of the pace.
    #[must_use]
    pub fn pace(&self) -> P::Handle
    where
        P: Handled,
    {
        self.extras.pace.handle()
    }
}
