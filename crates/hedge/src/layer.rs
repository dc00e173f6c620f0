//! The layer: holds what all its services share.

use std::fmt;

use seaworthy_kit::keyed::{Keyed, KeyedHandle};
use seaworthy_kit::{Plain, Protocol, Root, Rules, Share};
use tower_layer::Layer;

use crate::gate::{Counters, HedgeGate};
use crate::{Builder, Hedge, HedgeHandle};

/// Sends slow calls a second time. See the crate docs.
///
/// `C` is where the delay and the budget of a call come from: one for all, or one for each key.
#[derive(Clone)]
pub struct HedgeLayer<T, A, P = Rules, C = Share<HedgeGate>>(Root<T, A, P, C, Option<Counters>>);

impl HedgeLayer<(), ()> {
    /// For services whose response is all there when their future is ready; every request may be sent twice, every answer is a success and every error worth another try.
    pub fn plain(name: impl Into<String>) -> Builder<Plain, Plain> {
        Builder::new(name.into(), Plain::new(), Plain::new())
    }

    /// For HTTP and gRPC: a call is over when its response body is.
    #[cfg(feature = "http")]
    pub fn http(
        name: impl Into<String>,
    ) -> Builder<seaworthy_http::Http, seaworthy_http::HttpReplay> {
        // A hedge of somebody's second attempt is the third.
        let replay = seaworthy_http::HttpReplay::new().heed_attempts(true);
        Builder::new(name.into(), seaworthy_http::Http::new(), replay)
    }

    /// For `reqwest::Client`, with its own request and response.
    #[cfg(feature = "reqwest")]
    pub fn reqwest(
        name: impl Into<String>,
    ) -> Builder<seaworthy_http::Reqwest, seaworthy_http::ReqwestReplay> {
        let replay = seaworthy_http::ReqwestReplay::new().heed_attempts(true);
        Builder::new(name.into(), seaworthy_http::Reqwest::new(), replay)
    }
}

impl<T, A, P> HedgeLayer<T, A, P> {
    pub(crate) fn new(protocol: Protocol<T, A, P>, gate: HedgeGate) -> Self {
        Self(Root {
            protocol,
            counter: Some(gate.counters.clone()),
            source: Share::new(gate),
        })
    }

    /// A view of the hedges, and the switch that turns them off.
    #[must_use]
    pub fn handle(&self) -> HedgeHandle {
        self.0.source.clone().into()
    }
}

impl<T, A, P, K, F> HedgeLayer<T, A, P, Keyed<HedgeGate, K, F>> {
    pub(crate) const fn by_key(
        protocol: Protocol<T, A, P>,
        source: Keyed<HedgeGate, K, F>,
    ) -> Self {
        Self(Root {
            protocol,
            counter: None,
            source,
        })
    }

    /// A view of the keys: [`HedgeHandle::from`] makes a handle of what it finds for one.
    #[must_use]
    pub fn handle(&self) -> KeyedHandle<HedgeGate, K> {
        self.0.source.handle()
    }
}

impl<S, T: Clone, A: Clone, P: Clone, C: Clone> Layer<S> for HedgeLayer<T, A, P, C> {
    type Service = Hedge<S, T, A, P, C>;

    fn layer(&self, inner: S) -> Self::Service {
        Hedge(self.0.front(inner))
    }
}

impl<T, A, P, C: fmt::Debug> fmt::Debug for HedgeLayer<T, A, P, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("HedgeLayer").field(&self.0).finish()
    }
}
