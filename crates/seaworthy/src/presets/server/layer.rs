//! The server stack as a layer, and views of what is in it.

use std::future::Future;

use seaworthy_timeout::deadline::DeadlineHandle;
use tower_layer::Layer;

use super::ServerExtras;
use crate::presets::{Handled, Part};

/// The stack in front of handlers: a layer like any other. See [`server`](crate::server()).
#[derive(Clone, Debug)]
pub struct ServerLayer<E, D, B, O, X> {
    pub(super) edge: E,
    pub(super) deadline: D,
    pub(super) bulkhead: B,
    pub(super) timeout: O,
    pub(super) extras: X,
}

// ===== impl ServerLayer =====

impl<E, D, B, O, X> ServerLayer<E, D, B, O, X> {
    /// A view of the deadlines.
    #[must_use]
    pub fn deadline(&self) -> D::Handle
    where
        D: Handled,
    {
        self.deadline.handle()
    }

    /// A view of the bulkhead.
    #[must_use]
    pub fn bulkhead(&self) -> B::Handle
    where
        B: Handled,
    {
        self.bulkhead.handle()
    }

    /// A view of the timeout.
    #[must_use]
    pub fn timeout(&self) -> O::Handle
    where
        O: Handled,
    {
        self.timeout.handle()
    }

    /// Refuses new calls from now on, and is ready when those under way have ended.
    ///
    /// # Cancel safety
    /// Dropping the future stops the wait; new calls stay refused until [`deadline().control().resume()`](crate::Control::resume).
    pub fn drain(&self) -> impl Future<Output = ()> + Send + 'static + use<E, D, B, O, X>
    where
        D: Handled<Handle = DeadlineHandle>,
    {
        self.deadline().drain()
    }

    /// Registers the metrics of all layers now, so that a scrape before the first call shows them.
    pub fn publish(&self)
    where
        D: Part,
        B: Part,
        O: Part,
        X: Part,
    {
        self.deadline.publish();
        self.bulkhead.publish();
        self.timeout.publish();
        self.extras.publish();
    }
}

impl<S, E, D, B, O, K, G, R, A> Layer<S> for ServerLayer<E, D, B, O, ServerExtras<K, G, R, A>>
where
    O: Layer<S>,
    B: Layer<O::Service>,
    A: Layer<B::Service>,
    R: Layer<A::Service>,
    D: Layer<R::Service>,
    G: Layer<D::Service>,
    E: Layer<G::Service>,
{
    type Service = E::Service;

    fn layer(&self, inner: S) -> Self::Service {
        let inner = self.bulkhead.layer(self.timeout.layer(inner));
        let inner = self.deadline.layer(self.extras.limits(inner));
        self.edge.layer(self.extras.class.layer(inner))
    }
}
