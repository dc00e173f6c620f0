//! The adaptive limit and the throttle in their places.

use std::hash::Hash;

use seaworthy_adaptive::throttle::{self, ThrottleHandle, ThrottleLayer};
use seaworthy_adaptive::{
    self as adaptive, AdaptiveHandle, AdaptiveLayer, FairAdaptiveLayer, FairBuilder, FairGate,
};
use seaworthy_kit::InvalidConfig;
use seaworthy_kit::keyed::{Keyed, KeyedHandle};

use super::{Handled, Part, Plan};

impl<T, M> Plan for adaptive::Builder<T, M> {
    type Layer = AdaptiveLayer<T, M>;

    fn build(self) -> Result<Self::Layer, InvalidConfig> {
        Self::build(self)
    }
}

impl<T, M> Part for AdaptiveLayer<T, M> {
    fn publish(&self) {
        self.handle().publish();
    }
}

impl<T, M> Handled for AdaptiveLayer<T, M> {
    type Handle = AdaptiveHandle;

    fn handle(&self) -> AdaptiveHandle {
        Self::handle(self)
    }
}

impl<T, F> Plan for FairBuilder<T, F> {
    type Layer = FairAdaptiveLayer<T, F>;

    fn build(self) -> Result<Self::Layer, InvalidConfig> {
        Self::build(self)
    }
}

impl<T, F> Part for FairAdaptiveLayer<T, F> {
    fn publish(&self) {
        self.handle().publish();
    }
}

impl<T, F> Handled for FairAdaptiveLayer<T, F> {
    type Handle = AdaptiveHandle<FairGate>;

    fn handle(&self) -> Self::Handle {
        Self::handle(self)
    }
}

/// The metrics of a key are there when the key is.
impl<T, F, K: Hash + Eq + Clone, N> Part for FairAdaptiveLayer<T, F, Keyed<FairGate, K, N>> {
    fn publish(&self) {}
}

impl<T, F, K: Hash + Eq + Clone, N> Handled for FairAdaptiveLayer<T, F, Keyed<FairGate, K, N>> {
    type Handle = KeyedHandle<FairGate, K>;

    fn handle(&self) -> Self::Handle {
        Self::handle(self)
    }
}

impl<T> Plan for throttle::Builder<T> {
    type Layer = ThrottleLayer<T>;

    fn build(self) -> Result<Self::Layer, InvalidConfig> {
        Self::build(self)
    }
}

impl<T> Part for ThrottleLayer<T> {
    fn publish(&self) {
        self.handle().publish();
    }
}

impl<T> Handled for ThrottleLayer<T> {
    type Handle = ThrottleHandle;

    fn handle(&self) -> ThrottleHandle {
        Self::handle(self)
    }
}
