//! The layer: where the shared quotas are kept, and what stands in front of a service.

use std::fmt;
use std::hash::Hash;

use seaworthy_kit::keyed::{Keyed, KeyedHandle};
use seaworthy_kit::{Plain, Share};
use tower_layer::Layer;

use crate::builder::Builder;
use crate::gate::RateGate;
use crate::rules::{Priced, Rules};
use crate::{KeyedRateLimit, PricedRateLimit, RateLimit, RateLimitHandle};

/// Bounds how often a service is called. See the crate docs.
#[derive(Clone, Debug)]
pub struct RateLimitLayer<T, M = Alike> {
    pub(crate) traffic: T,
    pub(crate) share: Share<RateGate>,
    pub(crate) mode: M,
}

/// Each call costs one, and is refused at once where there is none: decided without a look at the request.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Alike;

/// Bounds how often each key of a request calls a service. See the crate docs.
pub struct KeyedRateLimitLayer<T, K, F, M = Alike> {
    pub(crate) traffic: T,
    pub(crate) source: Priced<Keyed<RateGate, K, F>, M>,
    pub(crate) handle: KeyedHandle<RateGate, K>,
}

impl RateLimitLayer<()> {
    /// For services whose response is all there when their future is ready.
    pub fn plain(name: impl Into<String>) -> Builder<Plain> {
        Builder::new(name.into(), Plain::new())
    }

    /// For HTTP and gRPC: a refusal by a layer further in is known as one also where it is a response already.
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

impl<T, M> RateLimitLayer<T, M> {
    /// A view of the quotas.
    #[must_use]
    pub fn handle(&self) -> RateLimitHandle {
        self.share.clone().into()
    }
}

impl<S, T: Clone> Layer<S> for RateLimitLayer<T, Alike> {
    type Service = RateLimit<S, T>;

    fn layer(&self, inner: S) -> Self::Service {
        RateLimit::new(inner, self.traffic.clone(), self.share.clone())
    }
}

impl<S, T: Clone, C: Clone, E: Clone> Layer<S> for RateLimitLayer<T, Rules<C, E>> {
    type Service = PricedRateLimit<S, T, Rules<C, E>>;

    fn layer(&self, inner: S) -> Self::Service {
        let source = Priced::new(self.share.clone(), self.share.clone(), self.mode.clone());
        PricedRateLimit::new(inner, self.traffic.clone(), source)
    }
}

// ===== impl KeyedRateLimitLayer =====

impl<T, K, F, M> KeyedRateLimitLayer<T, K, F, M> {
    /// A view of the quotas of all keys: [`RateLimitHandle::from`] makes a handle of what it finds for one.
    #[must_use]
    pub fn handle(&self) -> KeyedHandle<RateGate, K> {
        self.handle.clone()
    }
}

impl<S, T, K, F, M> Layer<S> for KeyedRateLimitLayer<T, K, F, M>
where
    T: Clone,
    K: Hash + Eq + Clone,
    F: Clone,
    M: Clone,
{
    type Service = KeyedRateLimit<S, T, K, F, M>;

    fn layer(&self, inner: S) -> Self::Service {
        KeyedRateLimit::new(inner, self.traffic.clone(), self.source.clone())
    }
}

impl<T: Clone, K, F: Clone, M: Clone> Clone for KeyedRateLimitLayer<T, K, F, M> {
    fn clone(&self) -> Self {
        Self {
            traffic: self.traffic.clone(),
            source: self.source.clone(),
            handle: self.handle.clone(),
        }
    }
}

impl<T, K, F, M> fmt::Debug for KeyedRateLimitLayer<T, K, F, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyedRateLimitLayer")
            .finish_non_exhaustive()
    }
}
