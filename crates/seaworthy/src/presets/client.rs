//! The stack in front of a dependency.

use std::future::Future;
use std::time::Duration;

use seaworthy_bulkhead as bulkhead;
use seaworthy_circuit_breaker as circuit_breaker;
use seaworthy_kit::{InvalidConfig, Plain};
use seaworthy_retry as retry;
use seaworthy_timeout as timeout;
use seaworthy_timeout::deadline::{self, DeadlineHandle};
use tower_layer::Layer;

use super::{Handled, Part, Plan, Times, Without};

/// A client stack of which the traffic is not said yet: the first step of [`client`](super::client()).
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until it is built"]
pub struct Client {
    name: String,
}

/// What a [`ClientLayer`] is built from: in each place a layer's builder.
///
/// Each setter takes a closure over the builder in its place, with all its options.
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until it is built"]
pub struct ClientBuilder<D, R, C, B, O> {
    deadline: D,
    retry: R,
    circuit_breaker: C,
    bulkhead: B,
    timeout: O,
}

/// The stack in front of a dependency: a layer like any other. See [`client`](super::client()).
#[derive(Clone, Debug)]
pub struct ClientLayer<D, R, C, B, O> {
    deadline: D,
    retry: R,
    circuit_breaker: C,
    bulkhead: B,
    timeout: O,
}

/// A client stack with all its layers: the traffic, how requests are sent again, where a request says its deadline; then the retry's rules, the bulkhead's mode, and the timeout's limits and carrier.
pub type ClientPlan<
    T,
    A,
    K,
    P = retry::Rules,
    M = bulkhead::Shed,
    L = timeout::Fixed,
    U = timeout::Untold,
> = ClientBuilder<
    deadline::Builder<T, K>,
    retry::Builder<T, A, P>,
    circuit_breaker::Builder<T>,
    bulkhead::Builder<T, M>,
    timeout::Builder<T, L, U>,
>;

// ===== impl Client =====

impl Client {
    pub(super) const fn new(name: String) -> Self {
        Self { name }
    }

    /// For services whose response is all there when their future is ready.
    pub fn plain(self) -> ClientPlan<Plain, Plain, Plain> {
        let name = self.name;
        ClientBuilder {
            deadline: timeout::DeadlineLayer::plain(&name),
            retry: retry::RetryLayer::plain(&name),
            circuit_breaker: circuit_breaker::CircuitBreakerLayer::plain(&name),
            bulkhead: bulkhead::BulkheadLayer::plain(&name),
            timeout: timeout::TimeoutLayer::plain(name),
        }
        .with_defaults()
    }

    /// For HTTP and gRPC clients: hyper-util's, a tonic `Channel`, anything that takes an `http::Request`. A call is over when its response body is.
    ///
    /// A client that takes one type of body, as a tonic `Channel`, is told how that is made of a replayed one: `.retry(|retry| retry.body(tonic::body::Body::new))`.
    #[cfg(feature = "http")]
    pub fn http(
        self,
    ) -> ClientPlan<
        seaworthy_http::Http,
        seaworthy_http::HttpReplay,
        seaworthy_http::deadline_header::DeadlineHeaders,
    > {
        let name = self.name;
        ClientBuilder {
            deadline: timeout::DeadlineLayer::http(&name),
            retry: retry::RetryLayer::http(&name),
            circuit_breaker: circuit_breaker::CircuitBreakerLayer::http(&name),
            bulkhead: bulkhead::BulkheadLayer::http(&name),
            timeout: timeout::TimeoutLayer::http(name),
        }
        .with_defaults()
    }

    /// For `reqwest::Client`, with its own request and response.
    #[cfg(feature = "reqwest")]
    pub fn reqwest(
        self,
    ) -> ClientPlan<
        seaworthy_http::Reqwest,
        seaworthy_http::ReqwestReplay,
        seaworthy_http::deadline_header::DeadlineHeaders,
    > {
        let name = self.name;
        ClientBuilder {
            deadline: timeout::DeadlineLayer::reqwest(&name),
            retry: retry::RetryLayer::reqwest(&name),
            circuit_breaker: circuit_breaker::CircuitBreakerLayer::reqwest(&name),
            bulkhead: bulkhead::BulkheadLayer::reqwest(&name),
            timeout: timeout::TimeoutLayer::reqwest(name),
        }
        .with_defaults()
    }
}

/// As long as anybody waits in person; see the table of [`client`](super::client()).
const TOTAL: Duration = Duration::from_secs(10);

/// Three of these, and the waits between them, fit into [`TOTAL`].
const ATTEMPT: Duration = Duration::from_secs(3);

// ===== impl ClientBuilder =====

impl<T, A, K, P, M, L, U> ClientPlan<T, A, K, P, M, L, U> {
    fn with_defaults(self) -> Self {
        self.total_timeout(TOTAL)
            .timeout(|timeout| timeout.limit(ATTEMPT))
    }

    /// When calls are over and how they ended, for all layers: `.traffic(Http::classify(|result| ..))`.
    pub fn traffic<V: Clone>(self, traffic: V) -> ClientPlan<V, A, K, P, M, L, U> {
        self.deadline(|deadline| deadline.traffic(traffic.clone()))
            .retry(|retry| retry.traffic(traffic.clone()))
            .circuit_breaker(|circuit| circuit.traffic(traffic.clone()))
            .bulkhead(|bulkhead| bulkhead.traffic(traffic.clone()))
            .timeout(|timeout| timeout.traffic(traffic))
    }
}

impl<T, K, R, C, B, O> ClientBuilder<deadline::Builder<T, K>, R, C, B, O> {
    /// Limits a call with all its attempts and waits, to the end of the response body. Default: 10 s.
    ///
    /// [`Duration::MAX`] is no limit, for responses that are streams and meant to last.
    pub fn total_timeout(self, limit: Duration) -> Self {
        self.deadline(|deadline| deadline.max(limit).default_limit(limit))
    }
}

impl<D, R, C, B, O> ClientBuilder<D, R, C, B, O> {
    /// Changes the outermost layer, which holds the total timeout.
    pub fn deadline<X: Plan>(self, change: impl FnOnce(D) -> X) -> ClientBuilder<X, R, C, B, O> {
        ClientBuilder {
            deadline: change(self.deadline),
            retry: self.retry,
            circuit_breaker: self.circuit_breaker,
            bulkhead: self.bulkhead,
            timeout: self.timeout,
        }
    }

    /// Changes the retry.
    pub fn retry<X: Plan>(self, change: impl FnOnce(R) -> X) -> ClientBuilder<D, X, C, B, O> {
        ClientBuilder {
            deadline: self.deadline,
            retry: change(self.retry),
            circuit_breaker: self.circuit_breaker,
            bulkhead: self.bulkhead,
            timeout: self.timeout,
        }
    }

    /// Changes the circuit breaker; `.circuit_breaker(|circuit| circuit.keyed(..))` makes a circuit for each key.
    pub fn circuit_breaker<X: Plan>(
        self,
        change: impl FnOnce(C) -> X,
    ) -> ClientBuilder<D, R, X, B, O> {
        ClientBuilder {
            deadline: self.deadline,
            retry: self.retry,
            circuit_breaker: change(self.circuit_breaker),
            bulkhead: self.bulkhead,
            timeout: self.timeout,
        }
    }

    /// Changes the bulkhead.
    pub fn bulkhead<X: Plan>(self, change: impl FnOnce(B) -> X) -> ClientBuilder<D, R, C, X, O> {
        ClientBuilder {
            deadline: self.deadline,
            retry: self.retry,
            circuit_breaker: self.circuit_breaker,
            bulkhead: change(self.bulkhead),
            timeout: self.timeout,
        }
    }

    /// Changes the timeout of an attempt. Default: 3 s until the head of the response.
    pub fn timeout<X: Plan>(self, change: impl FnOnce(O) -> X) -> ClientBuilder<D, R, C, B, X> {
        ClientBuilder {
            deadline: self.deadline,
            retry: self.retry,
            circuit_breaker: self.circuit_breaker,
            bulkhead: self.bulkhead,
            timeout: change(self.timeout),
        }
    }

    /// One attempt per call.
    pub fn without_retry(self) -> ClientBuilder<D, Without, C, B, O> {
        self.retry(|_| Without)
    }

    /// No circuit: a dependency that is down is called all the same.
    pub fn without_circuit_breaker(self) -> ClientBuilder<D, R, Without, B, O> {
        self.circuit_breaker(|_| Without)
    }

    /// Any number of calls at once.
    pub fn without_bulkhead(self) -> ClientBuilder<D, R, C, Without, O> {
        self.bulkhead(|_| Without)
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
    /// | `queue` | a call may wait for a slot for as long as it has in all, and the wait is not [`Duration::MAX`] |
    /// | `total_timeout` | the retry's own is not below that of the stack, or not above the `limit` of the timeout inside, as with `attempt_timeout` |
    /// | `attempt_timeout` | the retry's own is not below the total timeout, or not above the `limit` of the timeout inside: cut from outside of the circuit, a call that hangs never counts as a failure |
    pub fn build(
        self,
    ) -> Result<ClientLayer<D::Layer, R::Layer, C::Layer, B::Layer, O::Layer>, InvalidConfig>
    where
        D: Plan,
        R: Plan,
        C: Plan,
        B: Plan,
        O: Plan,
    {
        let layer = ClientLayer {
            deadline: self.deadline.build()?,
            retry: self.retry.build()?,
            circuit_breaker: self.circuit_breaker.build()?,
            bulkhead: self.bulkhead.build()?,
            timeout: self.timeout.build()?,
        };
        let mut times = Times::default();
        layer.deadline.times(&mut times);
        layer.retry.times(&mut times);
        layer.circuit_breaker.times(&mut times);
        layer.bulkhead.times(&mut times);
        layer.timeout.times(&mut times);
        times.check()?;
        Ok(layer)
    }
}

// ===== impl ClientLayer =====

impl<D, R, C, B, O> ClientLayer<D, R, C, B, O> {
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
    pub fn drain(&self) -> impl Future<Output = ()> + Send + 'static + use<D, R, C, B, O>
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
    {
        self.deadline.publish();
        self.retry.publish();
        self.circuit_breaker.publish();
        self.bulkhead.publish();
        self.timeout.publish();
    }
}

impl<S, D, R, C, B, O> Layer<S> for ClientLayer<D, R, C, B, O>
where
    O: Layer<S>,
    B: Layer<O::Service>,
    C: Layer<B::Service>,
    R: Layer<C::Service>,
    D: Layer<R::Service>,
{
    type Service = D::Service;

    fn layer(&self, inner: S) -> Self::Service {
        let inner = self.bulkhead.layer(self.timeout.layer(inner));
        let inner = self.retry.layer(self.circuit_breaker.layer(inner));
        self.deadline.layer(inner)
    }
}
