//! The stack in front of a dependency.

use std::time::Duration;

use seaworthy_bulkhead as bulkhead;
use seaworthy_circuit_breaker as circuit_breaker;
use seaworthy_kit::Plain;
use seaworthy_retry as retry;
use seaworthy_timeout as timeout;
use seaworthy_timeout::deadline;

mod builder;
pub use builder::ClientBuilder;

mod extras;
pub use extras::ClientExtras;

mod layer;
pub use layer::ClientLayer;

/// A client stack of which the traffic is not said yet: the first step of [`client`](super::client()).
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until it is built"]
pub struct Client {
    name: String,
}

/// A client stack with all its layers: the traffic, how requests are sent again, where a request says its deadline, and the [optional layers](ClientExtras); then the retry's rules, the bulkhead's mode, and the timeout's limits and carrier.
pub type ClientPlan<
    T,
    A,
    K,
    X,
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
    X,
>;

// ===== impl Client =====

impl Client {
    pub(super) const fn new(name: String) -> Self {
        Self { name }
    }

    /// For services whose response is all there when their future is ready.
    pub fn plain(self) -> ClientPlan<Plain, Plain, Plain, ClientExtras<Plain>> {
        let name = self.name;
        ClientBuilder {
            deadline: timeout::DeadlineLayer::plain(&name),
            retry: retry::RetryLayer::plain(&name),
            circuit_breaker: circuit_breaker::CircuitBreakerLayer::plain(&name),
            bulkhead: bulkhead::BulkheadLayer::plain(&name),
            timeout: timeout::TimeoutLayer::plain(&name),
            extras: ClientExtras::new(name),
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
        ClientExtras<seaworthy_http::Http>,
    > {
        let name = self.name;
        ClientBuilder {
            deadline: timeout::DeadlineLayer::http(&name),
            retry: retry::RetryLayer::http(&name),
            circuit_breaker: circuit_breaker::CircuitBreakerLayer::http(&name),
            bulkhead: bulkhead::BulkheadLayer::http(&name),
            timeout: timeout::TimeoutLayer::http(&name),
            extras: ClientExtras::new(name),
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
        ClientExtras<seaworthy_http::Reqwest>,
    > {
        let name = self.name;
        ClientBuilder {
            deadline: timeout::DeadlineLayer::reqwest(&name),
            retry: retry::RetryLayer::reqwest(&name),
            circuit_breaker: circuit_breaker::CircuitBreakerLayer::reqwest(&name),
            bulkhead: bulkhead::BulkheadLayer::reqwest(&name),
            timeout: timeout::TimeoutLayer::reqwest(&name),
            extras: ClientExtras::new(name),
        }
        .with_defaults()
    }
}

/// As long as anybody waits in person; see the table of [`client`](super::client()).
const TOTAL: Duration = Duration::from_secs(10);

/// Three of these, and the waits between them, fit into [`TOTAL`].
const ATTEMPT: Duration = Duration::from_secs(3);

// ===== impl ClientBuilder =====

impl<T, A, K, X, P, M, L, U> ClientPlan<T, A, K, X, P, M, L, U> {
    fn with_defaults(self) -> Self {
        self.total_timeout(TOTAL)
            .timeout(|timeout| timeout.limit(ATTEMPT))
    }

    /// When calls are over and how they ended, for the layers that every stack has: `.traffic(Http::classify(|result| ..))`.
    ///
    /// The optional layers ask something else of an answer, such as whether it says that there is too much to do; each is told by its own setter, `.throttle(|throttle| throttle.traffic(..))`.
    pub fn traffic<V: Clone>(self, traffic: V) -> ClientPlan<V, A, K, X, P, M, L, U> {
        self.deadline(|deadline| deadline.traffic(traffic.clone()))
            .retry(|retry| retry.traffic(traffic.clone()))
            .circuit_breaker(|circuit| circuit.traffic(traffic.clone()))
            .bulkhead(|bulkhead| bulkhead.traffic(traffic.clone()))
            .timeout(|timeout| timeout.traffic(traffic))
    }
}
