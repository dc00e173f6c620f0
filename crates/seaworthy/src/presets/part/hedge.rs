//! The hedge in its place.

use std::hash::Hash;

use seaworthy_hedge::{self as hedge, HedgeGate, HedgeHandle, HedgeLayer};
use seaworthy_kit::keyed::{Keyed, KeyedHandle};
use seaworthy_kit::{Budget, InvalidConfig};

use super::{Handled, Part, Plan, Times};

impl<T, A, P> Plan for hedge::Builder<T, A, P> {
    type Layer = HedgeLayer<T, A, P>;

    fn build(self) -> Result<Self::Layer, InvalidConfig> {
        Self::build(self)
    }

    fn with_retry_budget(self, budget: Option<Budget>) -> Self {
        self.or_retry_budget(budget)
    }
}

impl<T, A, P> Part for HedgeLayer<T, A, P> {
    fn publish(&self) {
        self.handle().publish();
    }

    fn times(&self, times: &mut Times) {
        // That of a percentile is not known yet, and above what the calls themselves take.
        times.hedge_delay = self.handle().snapshot().delay;
    }
}

impl<T, A, P> Handled for HedgeLayer<T, A, P> {
    type Handle = HedgeHandle;

    fn handle(&self) -> HedgeHandle {
        Self::handle(self)
    }
}

impl<T, A, P, K: Hash + Eq + Clone, F> Part for HedgeLayer<T, A, P, Keyed<HedgeGate, K, F>> {
    /// Keys without a label share the counters of the layer, and so those of the overflow.
    fn publish(&self) {
        HedgeHandle::from(self.handle().overflow()).publish();
    }

    fn times(&self, times: &mut Times) {
        let overflow = HedgeHandle::from(self.handle().overflow());
        times.hedge_delay = overflow.snapshot().delay;
    }
}

impl<T, A, P, K: Hash + Eq + Clone, F> Handled for HedgeLayer<T, A, P, Keyed<HedgeGate, K, F>> {
    type Handle = KeyedHandle<HedgeGate, K>;

    fn handle(&self) -> KeyedHandle<HedgeGate, K> {
        Self::handle(self)
    }
}
