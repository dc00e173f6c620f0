//! The layer: holds what all its services share.

use std::fmt;

use seaworthy_kit::budget::Counter;
use seaworthy_kit::{Plain, Protocol, Root, Rules, Share};
use tower_layer::Layer;

use crate::gate::RetryGate;
use crate::{Builder, Retry, RetryHandle};

/// Tries failed calls again. See the crate docs.
#[derive(Clone)]
pub struct RetryLayer<T, A, P = Rules>(Root<T, A, P, Share<RetryGate>, Option<Counter>>);

impl RetryLayer<(), ()> {
    /// For services whose response is all there when their future is ready; every request may be repeated, every error is worth it, and no answer is.
    pub fn plain(name: impl Into<String>) -> Builder<Plain, Plain> {
        Builder::new(name.into(), Plain::new(), Plain::new())
    }

    /// For HTTP and gRPC: a call is over when its response body is.
    #[cfg(feature = "http")]
    pub fn http(
        name: impl Into<String>,
    ) -> Builder<seaworthy_http::Http, seaworthy_http::HttpReplay> {
        let replay = seaworthy_http::HttpReplay::new();
        Builder::new(name.into(), seaworthy_http::Http::new(), replay)
    }

    /// For `reqwest::Client`, with its own request and response.
    #[cfg(feature = "reqwest")]
    pub fn reqwest(
        name: impl Into<String>,
    ) -> Builder<seaworthy_http::Reqwest, seaworthy_http::ReqwestReplay> {
        let replay = seaworthy_http::ReqwestReplay::new();
        Builder::new(name.into(), seaworthy_http::Reqwest::new(), replay)
    }
}

impl<T, A, P> RetryLayer<T, A, P> {
    pub(crate) fn new(protocol: Protocol<T, A, P>, gate: RetryGate) -> Self {
        Self(Root {
            protocol,
            counter: gate.counter(),
            source: Share::new(gate),
        })
    }

    /// A view of the policy, its budget and its calls.
    #[must_use]
    pub fn handle(&self) -> RetryHandle {
        RetryHandle::new(self.0.source.clone(), self.0.counter.clone())
    }
}

impl<S, T: Clone, A: Clone, P: Clone> Layer<S> for RetryLayer<T, A, P> {
    type Service = Retry<S, T, A, P>;

    fn layer(&self, inner: S) -> Self::Service {
        Retry(self.0.front(inner))
    }
}

impl<T, A, P> fmt::Debug for RetryLayer<T, A, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RetryLayer").field(&self.0).finish()
    }
}
