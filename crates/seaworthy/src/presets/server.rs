//! The stack in front of handlers.

use std::time::Duration;

use seaworthy_bulkhead as bulkhead;
use seaworthy_kit::{InvalidConfig, Plain};
use seaworthy_timeout as timeout;
use seaworthy_timeout::deadline;

use super::{Part, Plan, Times, Without};

mod extras;
pub use extras::ServerExtras;

mod layer;
pub use layer::ServerLayer;

/// A server stack of which the traffic is not said yet: the first step of [`server`](super::server()).
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until it is built"]
pub struct Server {
    name: String,
}

/// What a [`ServerLayer`] is built from: in each place a layer's builder.
///
/// Each setter takes a closure over the builder in its place, with all its options.
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until it is built"]
pub struct ServerBuilder<E, D, B, O, X> {
    edge: E,
    deadline: D,
    bulkhead: B,
    timeout: O,
    extras: X,
}

// ===== impl Server =====

impl Server {
    pub(super) const fn new(name: String) -> Self {
        Self { name }
    }

    /// For services whose response is all there when their future is ready.
    ///
    /// There is no edge: only HTTP and gRPC have a response that a rejection can become.
    pub fn plain(
        self,
    ) -> ServerBuilder<
        Without,
        deadline::Builder<Plain, Plain>,
        bulkhead::Builder<Plain>,
        timeout::Builder<Plain>,
        ServerExtras<Plain>,
    > {
        let name = self.name;
        ServerBuilder {
            edge: Without,
            deadline: timeout::DeadlineLayer::plain(&name),
            bulkhead: bulkhead::BulkheadLayer::plain(&name),
            timeout: timeout::TimeoutLayer::plain(&name),
            extras: ServerExtras::new(name),
        }
        .with_defaults()
    }

    /// For axum, tonic, hyper: HTTP and gRPC on one server. A call is over when its response body is, and every rejection becomes a response.
    #[cfg(feature = "http")]
    pub fn http(
        self,
    ) -> ServerBuilder<
        seaworthy_http::RespondLayer,
        deadline::Builder<seaworthy_http::Http, seaworthy_http::deadline_header::DeadlineHeaders>,
        bulkhead::Builder<seaworthy_http::Http>,
        timeout::Builder<seaworthy_http::Http>,
        ServerExtras<seaworthy_http::Http>,
    > {
        let name = self.name;
        ServerBuilder {
            edge: seaworthy_http::RespondLayer::new(),
            deadline: timeout::DeadlineLayer::http(&name),
            bulkhead: bulkhead::BulkheadLayer::http(&name),
            timeout: timeout::TimeoutLayer::http(&name),
            extras: ServerExtras::new(name),
        }
        .with_defaults()
    }
}

/// Longer than the total of a client stack inside of the handler.
const LIMIT: Duration = Duration::from_secs(15);

/// What a Tomcat has threads for.
const CONCURRENT: usize = 200;

// ===== impl ServerBuilder =====

impl<E, T, K, M, L, U, X>
    ServerBuilder<E, deadline::Builder<T, K>, bulkhead::Builder<T, M>, timeout::Builder<T, L, U>, X>
{
    fn with_defaults(self) -> Self {
        self.bulkhead(|bulkhead| bulkhead.max_concurrent(CONCURRENT))
            .timeout(|timeout| timeout.limit(LIMIT))
    }
}

impl<E, D, B, O, X> ServerBuilder<E, D, B, O, X> {
    /// Changes how rejections become responses: `.edge(|edge| edge.otherwise(|_| StatusCode::BAD_GATEWAY))`.
    pub fn edge<N: Plan>(self, change: impl FnOnce(E) -> N) -> ServerBuilder<N, D, B, O, X> {
        ServerBuilder {
            edge: change(self.edge),
            deadline: self.deadline,
            bulkhead: self.bulkhead,
            timeout: self.timeout,
            extras: self.extras,
        }
    }

    /// Changes which deadlines are taken and given.
    pub fn deadline<N: Plan>(self, change: impl FnOnce(D) -> N) -> ServerBuilder<E, N, B, O, X> {
        ServerBuilder {
            edge: self.edge,
            deadline: change(self.deadline),
            bulkhead: self.bulkhead,
            timeout: self.timeout,
            extras: self.extras,
        }
    }

    /// Changes the bulkhead. Default: 200 running at once, none waiting.
    pub fn bulkhead<N: Plan>(self, change: impl FnOnce(B) -> N) -> ServerBuilder<E, D, N, O, X> {
        ServerBuilder {
            edge: self.edge,
            deadline: self.deadline,
            bulkhead: change(self.bulkhead),
            timeout: self.timeout,
            extras: self.extras,
        }
    }

    /// Changes the timeout. Default: 15 s until the head of the response.
    pub fn timeout<N: Plan>(self, change: impl FnOnce(O) -> N) -> ServerBuilder<E, D, B, N, X> {
        ServerBuilder {
            edge: self.edge,
            deadline: self.deadline,
            bulkhead: self.bulkhead,
            timeout: change(self.timeout),
            extras: self.extras,
        }
    }

    /// Any number of calls at once.
    pub fn without_bulkhead(self) -> ServerBuilder<E, D, Without, O, X> {
        self.bulkhead(|_| Without)
    }

    /// Changes what stands in the places that are empty at first.
    fn change_extras<Y>(self, change: impl FnOnce(X) -> Y) -> ServerBuilder<E, D, B, O, Y> {
        ServerBuilder {
            edge: self.edge,
            deadline: self.deadline,
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
    /// | `limit` | the handler has as much time as any request can get: the deadline's `max`, or `default_limit` where callers say nothing, which then always comes first |
    /// | `idle` | a body may pause for as long as that |
    /// | `queue` | a call may wait for a slot, or for its share of a rate limit, for as long as it has in all, and the wait is not [`Duration::MAX`] |
    pub fn build(
        self,
    ) -> Result<ServerLayer<E::Layer, D::Layer, B::Layer, O::Layer, X::Layer>, InvalidConfig>
    where
        E: Plan,
        D: Plan,
        B: Plan,
        O: Plan,
        X: Plan,
    {
        let layer = ServerLayer {
            edge: self.edge.build()?,
            deadline: self.deadline.build()?,
            bulkhead: self.bulkhead.build()?,
            timeout: self.timeout.build()?,
            extras: self.extras.build()?,
        };
        let mut times = Times::default();
        layer.deadline.times(&mut times);
        layer.bulkhead.times(&mut times);
        layer.timeout.times(&mut times);
        layer.extras.times(&mut times);
        times.check()?;
        Ok(layer)
    }
}
