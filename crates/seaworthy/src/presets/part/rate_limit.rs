//! The rate limit, of whatever kind, and the pace in their places.

use std::hash::Hash;

use seaworthy_kit::InvalidConfig;
use seaworthy_kit::keyed::KeyedHandle;
use seaworthy_rate_limit::pace::{self, PaceHandle, PaceLayer};
use seaworthy_rate_limit::{
    self as rate_limit, KeyedRateLimitLayer, RateGate, RateLimitHandle, RateLimitLayer,
};

use super::{Handled, Part, Plan, Times};

impl<T, M> Plan for rate_limit::Builder<T, M> {
    type Layer = RateLimitLayer<T, M>;

    fn build(self) -> Result<Self::Layer, InvalidConfig> {
        Self::build(self)
    }
}

impl<T, M> Part for RateLimitLayer<T, M> {
    fn publish(&self) {
        self.handle().publish();
    }

    fn times(&self, times: &mut Times) {
        times.rate_queue = self.handle().snapshot().max_wait;
    }
}

impl<T, M> Handled for RateLimitLayer<T, M> {
    type Handle = RateLimitHandle;

    fn handle(&self) -> RateLimitHandle {
        Self::handle(self)
    }
}

impl<T, M, K, F> Plan for rate_limit::KeyedBuilder<T, M, K, F>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
{
    type Layer = KeyedRateLimitLayer<T, K, F, M>;

    fn build(self) -> Result<Self::Layer, InvalidConfig> {
        Self::build(self)
    }
}

impl<T, K: Hash + Eq + Clone, F, M> Part for KeyedRateLimitLayer<T, K, F, M> {
    /// Keys without a label share the counters of the layer, and so those of the overflow.
    fn publish(&self) {
        RateLimitHandle::from(self.handle().overflow()).publish();
    }

    fn times(&self, times: &mut Times) {
        let overflow = RateLimitHandle::from(self.handle().overflow());
        times.rate_queue = overflow.snapshot().max_wait;
    }
}

impl<T, K: Hash + Eq + Clone, F, M> Handled for KeyedRateLimitLayer<T, K, F, M> {
    type Handle = KeyedHandle<RateGate, K>;

    fn handle(&self) -> KeyedHandle<RateGate, K> {
        Self::handle(self)
    }
}

impl<T> Plan for pace::Builder<T> {
    type Layer = PaceLayer<T>;

    fn build(self) -> Result<Self::Layer, InvalidConfig> {
        Self::build(self)
    }
}

impl<T> Part for PaceLayer<T> {
    fn publish(&self) {
        self.handle().publish();
    }

    fn times(&self, times: &mut Times) {
        times.wait = self.handle().snapshot().max_wait;
    }
}

impl<T> Handled for PaceLayer<T> {
    type Handle = PaceHandle;

    fn handle(&self) -> PaceHandle {
        Self::handle(self)
    }
}

#[cfg(feature = "redis")]
mod shared {
    //! A limit that many processes share; its own metrics are those of its `SharedLimit`.

    use std::hash::Hash;

    use seaworthy_kit::keyed::{Keyed, KeyedHandle};
    use seaworthy_kit::{InvalidConfig, Share};
    use seaworthy_rate_limit::shared::{
        SharedBuilder, SharedGate, SharedKeyedBuilder, SharedRateLimitHandle, SharedRateLimitLayer,
    };

    use super::{Handled, Part, Plan, Times};

    impl<T, M> Plan for SharedBuilder<T, M> {
        type Layer = SharedRateLimitLayer<T, Share<SharedGate>, M>;

        fn build(self) -> Result<Self::Layer, InvalidConfig> {
            Self::build(self)
        }
    }

    impl<T, M, K, F> Plan for SharedKeyedBuilder<T, M, K, F>
    where
        K: AsRef<[u8]> + Hash + Eq + Clone + Send + Sync + 'static,
    {
        type Layer = SharedRateLimitLayer<T, Keyed<SharedGate, K, F>, M>;

        fn build(self) -> Result<Self::Layer, InvalidConfig> {
            Self::build(self)
        }
    }

    impl<T, C, M> Part for SharedRateLimitLayer<T, C, M> {
        fn publish(&self) {}

        fn times(&self, times: &mut Times) {
            times.rate_queue = self.max_wait();
        }
    }

    impl<T, M> Handled for SharedRateLimitLayer<T, Share<SharedGate>, M> {
        type Handle = SharedRateLimitHandle;

        fn handle(&self) -> SharedRateLimitHandle {
            Self::handle(self)
        }
    }

    impl<T, K, F, M> Handled for SharedRateLimitLayer<T, Keyed<SharedGate, K, F>, M> {
        type Handle = KeyedHandle<SharedGate, K>;

        fn handle(&self) -> KeyedHandle<SharedGate, K> {
            Self::handle(self)
        }
    }
}
