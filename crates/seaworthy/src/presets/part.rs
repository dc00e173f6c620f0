//! The places of a stack: what stands in one until the stack is built, and afterwards.

use std::any::Any;
use std::hash::Hash;

use seaworthy_bulkhead::{self as bulkhead, BulkheadGate, BulkheadHandle, BulkheadLayer};
use seaworthy_circuit_breaker::{
    self as circuit_breaker, CircuitBreakerHandle, CircuitBreakerLayer,
};
use seaworthy_kit::keyed::{KeyedHandle, KeyedLayer};
use seaworthy_kit::{Budget, Gate, InvalidConfig, Share};
use seaworthy_retry::{self as retry, RetryHandle, RetryLayer};
use seaworthy_timeout::deadline::{self, DeadlineHandle};
use seaworthy_timeout::{self as timeout, DeadlineLayer, TimeoutHandle, TimeoutLayer};
use tower_layer::Layer;

use super::Times;

/// What is in a place of a stack that is not built yet: a layer's builder, the result of having built it, or [`Without`].
///
/// The result is what `.circuit_breaker(|circuit| circuit.keyed(..))` leaves, and `.circuit_breaker(|_| Ok(shared))`.
pub trait Plan {
    /// The layer it becomes.
    type Layer: Part;

    /// Builds the layer.
    ///
    /// # Errors
    /// If an option has a value that cannot work; the error names the option.
    fn build(self) -> Result<Self::Layer, InvalidConfig>;

    /// Draws on the budget of the stack's retry, where it draws on any and was given no other.
    #[must_use]
    fn with_retry_budget(self, budget: Option<Budget>) -> Self
    where
        Self: Sized,
    {
        let _ = budget;
        self
    }
}

/// A layer in a stack.
pub trait Part {
    /// Registers its metrics now.
    fn publish(&self);

    /// What it says about time, to be checked against what the other layers say.
    fn times(&self, times: &mut Times) {
        let _ = times;
    }

    /// What it lets its retries draw on, to be shared with hedges.
    fn retry_budget(&self) -> Option<Budget> {
        None
    }
}

/// A layer in a stack that has a handle.
pub trait Handled: Part {
    /// The handle.
    type Handle;

    /// A view of the layer.
    fn handle(&self) -> Self::Handle;
}

/// No layer in this place.
#[derive(Clone, Copy, Debug)]
#[expect(
    clippy::exhaustive_structs,
    reason = "there is nothing to add to nothing"
)]
pub struct Without;

// ===== impl Without =====

impl Plan for Without {
    type Layer = Self;

    fn build(self) -> Result<Self, InvalidConfig> {
        Ok(self)
    }
}

impl Part for Without {
    fn publish(&self) {}
}

impl<S> Layer<S> for Without {
    type Service = S;

    fn layer(&self, inner: S) -> S {
        inner
    }
}

// ===== impl Plan =====

impl<L: Part> Plan for Result<L, InvalidConfig> {
    type Layer = L;

    fn build(self) -> Self {
        self
    }
}

impl<T, A, P> Plan for retry::Builder<T, A, P> {
    type Layer = RetryLayer<T, A, P>;

    fn build(self) -> Result<Self::Layer, InvalidConfig> {
        Self::build(self)
    }
}

impl<T> Plan for circuit_breaker::Builder<T> {
    type Layer = CircuitBreakerLayer<T>;

    fn build(self) -> Result<Self::Layer, InvalidConfig> {
        Self::build(self)
    }
}

impl<T, M> Plan for bulkhead::Builder<T, M> {
    type Layer = BulkheadLayer<T, M>;

    fn build(self) -> Result<Self::Layer, InvalidConfig> {
        Self::build(self)
    }
}

impl<T, L, C> Plan for timeout::Builder<T, L, C> {
    type Layer = TimeoutLayer<T, L, C>;

    fn build(self) -> Result<Self::Layer, InvalidConfig> {
        Self::build(self)
    }
}

impl<T, C> Plan for deadline::Builder<T, C> {
    type Layer = DeadlineLayer<T, C>;

    fn build(self) -> Result<Self::Layer, InvalidConfig> {
        Self::build(self)
    }
}

// ===== impl Part =====

impl<T, A, P> Part for RetryLayer<T, A, P> {
    fn publish(&self) {
        self.handle().publish();
    }

    fn times(&self, times: &mut Times) {
        let seen = self.handle().snapshot();
        times.retry_attempt = seen.attempt_timeout;
        times.retry_total = seen.total_timeout;
    }

    fn retry_budget(&self) -> Option<Budget> {
        self.handle().budget()
    }
}

impl<T, A, P> Handled for RetryLayer<T, A, P> {
    type Handle = RetryHandle;

    fn handle(&self) -> RetryHandle {
        Self::handle(self)
    }
}

impl<T> Part for CircuitBreakerLayer<T> {
    fn publish(&self) {
        self.handle().publish();
    }
}

impl<T> Handled for CircuitBreakerLayer<T> {
    type Handle = CircuitBreakerHandle;

    fn handle(&self) -> CircuitBreakerHandle {
        Self::handle(self)
    }
}

impl<T, M> Part for BulkheadLayer<T, M> {
    fn publish(&self) {
        self.handle().publish();
    }

    fn times(&self, times: &mut Times) {
        times.queue = self.handle().snapshot().max_wait;
    }
}

impl<T, M> Handled for BulkheadLayer<T, M> {
    type Handle = BulkheadHandle;

    fn handle(&self) -> BulkheadHandle {
        Self::handle(self)
    }
}

impl<T, L, C> Part for TimeoutLayer<T, L, C> {
    fn publish(&self) {
        self.handle().publish();
    }

    fn times(&self, times: &mut Times) {
        let seen = self.handle().snapshot();
        times.limit = seen.limit;
        times.idle = seen.idle;
    }
}

impl<T, L, C> Handled for TimeoutLayer<T, L, C> {
    type Handle = TimeoutHandle;

    fn handle(&self) -> TimeoutHandle {
        Self::handle(self)
    }
}

impl<T, C> Part for DeadlineLayer<T, C> {
    fn publish(&self) {
        self.handle().publish();
    }

    fn times(&self, times: &mut Times) {
        times.total = self.handle().snapshot().longest;
    }
}

impl<T, C> Handled for DeadlineLayer<T, C> {
    type Handle = DeadlineHandle;

    fn handle(&self) -> DeadlineHandle {
        Self::handle(self)
    }
}

/// The metrics of a key are there when the key is.
impl<G: Gate, T, K: Hash + Eq + Clone, F> Part for KeyedLayer<G, T, K, F> {
    fn publish(&self) {}

    fn times(&self, times: &mut Times) {
        // Asked at run time which gate it is, so that a place may hold one of the user's too.
        let gate: &dyn Any = &self.handle().overflow();
        if let Some(bulkhead) = gate.downcast_ref::<Share<BulkheadGate>>() {
            let bulkhead = BulkheadHandle::from(bulkhead.clone());
            times.queue = bulkhead.snapshot().max_wait;
        }
        #[cfg(feature = "rate-limit")]
        if let Some(pace) = gate.downcast_ref::<Share<seaworthy_rate_limit::pace::PaceGate>>() {
            let pace = seaworthy_rate_limit::PaceHandle::from(pace.clone());
            times.wait = pace.snapshot().max_wait;
        }
    }
}

impl<G: Gate, T, K: Hash + Eq + Clone, F> Handled for KeyedLayer<G, T, K, F> {
    type Handle = KeyedHandle<G, K>;

    fn handle(&self) -> KeyedHandle<G, K> {
        Self::handle(self)
    }
}

#[cfg(feature = "adaptive")]
mod adaptive;

#[cfg(feature = "hedge")]
mod hedge;

#[cfg(feature = "http")]
mod http;

#[cfg(feature = "rate-limit")]
mod rate_limit;
