//! The client stack as a layer, and views of what is in it.

use std::future::Future;

use seaworthy_timeout::deadline::DeadlineHandle;
use tower_layer::Layer;

use super::ClientExtras;
use crate::presets::{Handled, Part};

/// The stack in front of a dependency: a layer like any other. See [`client`](crate::client()).
#[derive(Clone, Debug)]
pub struct ClientLayer<D, R, C, B, O, X> {
    pub(super) deadline: D,
    pub(super) retry: R,
    pub(super) circuit_breaker: C,
    pub(super) bulkhead: B,
    pub(super) timeout: O,
    pub(super) extras: X,
}

// ===== impl ClientLayer =====

impl<D, R, C, B, O, X> ClientLayer<D, R, C, B, O, X> {
    /// A view of the outermost layer, which holds the total timeout.
    #[must_use]
    pub fn deadline(&self) -> D::Handle
    where
        D: Handled,
    {
        self.deadline.handle()
    }

    /// A view of the retry.
    #[must_use]
    pub fn retry(&self) -> R::Handle
    where
        R: Handled,
    {
        self.retry.handle()
    }

    /// A view of the circuit.
    #[must_use]
    pub fn circuit_breaker(&self) -> C::Handle
    where
        C: Handled,
    {
        self.circuit_breaker.handle()
    }

    /// A view of the bulkhead.
    #[must_use]
    pub fn bulkhead(&self) -> B::Handle
    where
        B: Handled,
    {
        self.bulkhead.handle()
    }

    /// A view of the timeout of an attempt.
    #[must_use]
    pub fn timeout(&self) -> O::Handle
    where
        O: Handled,
    {
        self.timeout.handle()
    }

    /// Refuses new calls from now on, and is ready when those under way have ended, with all their attempts.
    ///
    /// Only the outermost layer refuses: the attempts that a running call still has are not hindered.
    ///
    /// # Cancel safety
    /// Dropping the future stops the wait; new calls stay refused until [`deadline().control().resume()`](crate::Control::resume).
    pub fn drain(&self) -> impl Future<Output = ()> + Send + 'static + use<D, R, C, B, O, X>
    where
        D: Handled<Handle = DeadlineHandle>,
    {
        self.deadline().drain()
    }

    /// Registers the metrics of all layers now, so that a scrape before the first call shows them.
    pub fn publish(&self)
    where
        D: Part,
        R: Part,
        C: Part,
        B: Part,
        O: Part,
        X: Part,
    {
        self.deadline.publish();
        self.retry.publish();
        self.circuit_breaker.publish();
        self.bulkhead.publish();
        self.timeout.publish();
        self.extras.publish();
    }
}

impl<S, D, R, C, B, O, K, G, H, T, P> Layer<S>
    for ClientLayer<D, R, C, B, O, ClientExtras<K, G, H, T, P>>
where
    O: Layer<S>,
    B: Layer<O::Service>,
    C: Layer<B::Service>,
    P: Layer<C::Service>,
    T: Layer<P::Service>,
    H: Layer<T::Service>,
    R: Layer<H::Service>,
    D: Layer<R::Service>,
    G: Layer<D::Service>,
{
    type Service = G::Service;

    fn layer(&self, inner: S) -> Self::Service {
        let inner = self.bulkhead.layer(self.timeout.layer(inner));
        let inner = self.extras.attempts(self.circuit_breaker.layer(inner));
        let inner = self.deadline.layer(self.retry.layer(inner));
        self.extras.class.layer(inner)
    }
}
