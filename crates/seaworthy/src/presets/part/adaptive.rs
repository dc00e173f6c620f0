//! The adaptive limit and the throttle in their places.

use seaworthy_adaptive::throttle::{self, ThrottleHandle, ThrottleLayer};
use seaworthy_adaptive::{self as adaptive, AdaptiveHandle, AdaptiveLayer};
use seaworthy_kit::InvalidConfig;

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
