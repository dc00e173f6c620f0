//! What stands in the places of a client stack, and whether it fits.

use std::time::Duration;

use seaworthy_kit::InvalidConfig;
use seaworthy_timeout::deadline;

use super::ClientLayer;
use crate::presets::{Part, Plan, Times, Without};

/// What a [`ClientLayer`] is built from: in each place a layer's builder.
///
/// Each setter takes a closure over the builder in its place, with all its options.
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until it is built"]
pub struct ClientBuilder<D, R, C, B, O, X> {
    pub(super) deadline: D,
    pub(super) retry: R,
    pub(super) circuit_breaker: C,
    pub(super) bulkhead: B,
    pub(super) timeout: O,
    pub(super) extras: X,
}

// ===== impl ClientBuilder =====

impl<T, K, R, C, B, O, X> ClientBuilder<deadline::Builder<T, K>, R, C, B, O, X> {
    /// Limits a call with all its attempts and waits, to the end of the response body. Default: 10 s.
    ///
    /// [`Duration::MAX`] is no limit, for responses that are streams and meant to last.
    pub fn total_timeout(self, limit: Duration) -> Self {
        self.deadline(|deadline| deadline.max(limit).default_limit(limit))
    }
}

impl<D, R, C, B, O, X> ClientBuilder<D, R, C, B, O, X> {
    /// Changes the outermost layer, which holds the total timeout.
    pub fn deadline<N: Plan>(self, change: impl FnOnce(D) -> N) -> ClientBuilder<N, R, C, B, O, X> {
        ClientBuilder {
            deadline: change(self.deadline),
            retry: self.retry,
            circuit_breaker: self.circuit_breaker,
            bulkhead: self.bulkhead,
            timeout: self.timeout,
            extras: self.extras,
        }
    }

    /// Changes the retry.
    pub fn retry<N: Plan>(self, change: impl FnOnce(R) -> N) -> ClientBuilder<D, N, C, B, O, X> {
        ClientBuilder {
            deadline: self.deadline,
            retry: change(self.retry),
            circuit_breaker: self.circuit_breaker,
            bulkhead: self.bulkhead,
            timeout: self.timeout,
            extras: self.extras,
        }
    }

    /// Changes the circuit breaker; `.circuit_breaker(|circuit| circuit.keyed(..))` makes a circuit for each key.
    pub fn circuit_breaker<N: Plan>(
        self,
        change: impl FnOnce(C) -> N,
    ) -> ClientBuilder<D, R, N, B, O, X> {
        ClientBuilder {
            deadline: self.deadline,
            retry: self.retry,
            circuit_breaker: change(self.circuit_breaker),
            bulkhead: self.bulkhead,
            timeout: self.timeout,
            extras: self.extras,
        }
    }

    /// Changes the bulkhead.
    pub fn bulkhead<N: Plan>(self, change: impl FnOnce(B) -> N) -> ClientBuilder<D, R, C, N, O, X> {
        ClientBuilder {
            deadline: self.deadline,
            retry: self.retry,
            circuit_breaker: self.circuit_breaker,
            bulkhead: change(self.bulkhead),
            timeout: self.timeout,
            extras: self.extras,
        }
    }

    /// Changes the timeout of an attempt. Default: 3 s until the head of the response.
    pub fn timeout<N: Plan>(self, change: impl FnOnce(O) -> N) -> ClientBuilder<D, R, C, B, N, X> {
        ClientBuilder {
            deadline: self.deadline,
            retry: self.retry,
            circuit_breaker: self.circuit_breaker,
            bulkhead: self.bulkhead,
            timeout: change(self.timeout),
            extras: self.extras,
        }
    }

    /// One attempt per call.
    pub fn without_retry(self) -> ClientBuilder<D, Without, C, B, O, X> {
        self.retry(|_| Without)
    }

    /// No circuit: a dependency that is down is called all the same.
    pub fn without_circuit_breaker(self) -> ClientBuilder<D, R, Without, B, O, X> {
        self.circuit_breaker(|_| Without)
    }

    /// Any number of calls at once.
    pub fn without_bulkhead(self) -> ClientBuilder<D, R, C, Without, O, X> {
        self.bulkhead(|_| Without)
    }

    /// Changes what stands in the places that are empty at first.
    pub(super) fn change_extras<Y>(
        self,
        change: impl FnOnce(X) -> Y,
    ) -> ClientBuilder<D, R, C, B, O, Y> {
        ClientBuilder {
            deadline: self.deadline,
            retry: self.retry,
            circuit_breaker: self.circuit_breaker,
            bulkhead: self.bulkhead,
            timeout: self.timeout,
            extras: change(self.extras),
        }
    }

    /// Builds the layers.
    ///
    /// # Errors
    /// If an option has a value that cannot work, or one that another layer of the stack leaves without effect; the error names the option:
    ///
    /// | option | what cannot be |
    /// |---|---|
    /// | `limit` | an attempt has as much time as the whole call |
    /// | `idle` | a body may pause for as long as the whole call has |
    /// | `queue`, `wait` | a call may wait for a slot, or for its turn, for as long as it has in all, and the wait is not [`Duration::MAX`] |
    /// | `delay` | an attempt is cut before it is hedged, or may wait for a slot or for its turn for so long that it is hedged before it was sent |
    /// | `total_timeout` | the retry's own is not below that of the stack, or not above the `limit` of the timeout inside, as with `attempt_timeout` |
    /// | `attempt_timeout` | the retry's own is not below the total timeout, or not above the `limit` of the timeout inside: cut from outside of the circuit, a call that hangs never counts as a failure |
    pub fn build(
        self,
    ) -> Result<
        ClientLayer<D::Layer, R::Layer, C::Layer, B::Layer, O::Layer, X::Layer>,
        InvalidConfig,
    >
    where
        D: Plan,
        R: Plan,
        C: Plan,
        B: Plan,
        O: Plan,
        X: Plan,
    {
        let retry = self.retry.build()?;
        let extras = self.extras.with_retry_budget(retry.retry_budget());
        let layer = ClientLayer {
            deadline: self.deadline.build()?,
            retry,
            circuit_breaker: self.circuit_breaker.build()?,
            bulkhead: self.bulkhead.build()?,
            timeout: self.timeout.build()?,
            extras: extras.build()?,
        };
        let mut times = Times::default();
        layer.deadline.times(&mut times);
        layer.retry.times(&mut times);
        layer.circuit_breaker.times(&mut times);
        layer.bulkhead.times(&mut times);
        layer.timeout.times(&mut times);
        layer.extras.times(&mut times);
        times.check()?;
        Ok(layer)
    }
}
