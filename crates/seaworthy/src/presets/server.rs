//! The stack in front of handlers.

use std::future::Future;
use std::time::Duration;

use seaworthy_bulkhead as bulkhead;
use seaworthy_kit::{InvalidConfig, Plain};
use seaworthy_timeout as timeout;
use seaworthy_timeout::deadline::{self, DeadlineHandle};
use tower_layer::Layer;

use super::{Handled, Part, Plan, Times, Without};

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
pub struct ServerBuilder<E, D, B, O> {
    edge: E,
    deadline: D,
    bulkhead: B,
    timeout: O,
}

/// The stack in front of handlers: a layer like any other. See [`server`](super::server()).
#[derive(Clone, Debug)]
pub struct ServerLayer<E, D, B, O> {
    edge: E,
    deadline: D,
    bulkhead: B,
    timeout: O,
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
    > {
        let name = self.name;
        ServerBuilder {
            edge: Without,
            deadline: timeout::DeadlineLayer::plain(&name),
            bulkhead: bulkhead::BulkheadLayer::plain(&name),
            timeout: timeout::TimeoutLayer::plain(name),
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
    > {
        let name = self.name;
        ServerBuilder {
            edge: seaworthy_http::RespondLayer::new(),
            deadline: timeout::DeadlineLayer::http(&name),
            bulkhead: bulkhead::BulkheadLayer::http(&name),
            timeout: timeout::TimeoutLayer::http(name),
        }
        .with_defaults()
    }
}

/// Longer than the total of a client stack inside of the handler.
const LIMIT: Duration = Duration::from_secs(15);

/// What a Tomcat has threads for.
const CONCURRENT: usize = 200;

// ===== impl ServerBuilder =====

impl<E, T, K, M, L, U>
    ServerBuilder<E, deadline::Builder<T, K>, bulkhead::Builder<T, M>, timeout::Builder<T, L, U>>
{
    fn with_defaults(self) -> Self {
        self.bulkhead(|bulkhead| bulkhead.max_concurrent(CONCURRENT))
            .timeout(|timeout| timeout.limit(LIMIT))
    }
}

impl<E, D, B, O> ServerBuilder<E, D, B, O> {
    /// Changes how rejections become responses: `.edge(|edge| edge.otherwise(|_| StatusCode::BAD_GATEWAY))`.
    pub fn edge<X: Plan>(self, change: impl FnOnce(E) -> X) -> ServerBuilder<X, D, B, O> {
        ServerBuilder {
            edge: change(self.edge),
            deadline: self.deadline,
            bulkhead: self.bulkhead,
            timeout: self.timeout,
        }
    }

    /// Changes which deadlines are taken and given.
    pub fn deadline<X: Plan>(self, change: impl FnOnce(D) -> X) -> ServerBuilder<E, X, B, O> {
        ServerBuilder {
            edge: self.edge,
            deadline: change(self.deadline),
            bulkhead: self.bulkhead,
            timeout: self.timeout,
        }
    }

    /// Changes the bulkhead. Default: 200 running at once, none waiting.
    pub fn bulkhead<X: Plan>(self, change: impl FnOnce(B) -> X) -> ServerBuilder<E, D, X, O> {
        ServerBuilder {
            edge: self.edge,
            deadline: self.deadline,
            bulkhead: change(self.bulkhead),
            timeout: self.timeout,
        }
    }

    /// Changes the timeout. Default: 15 s until the head of the response.
    pub fn timeout<X: Plan>(self, change: impl FnOnce(O) -> X) -> ServerBuilder<E, D, B, X> {
        ServerBuilder {
            edge: self.edge,
            deadline: self.deadline,
            bulkhead: self.bulkhead,
            timeout: change(self.timeout),
        }
    }

    /// Any number of calls at once.
    pub fn without_bulkhead(self) -> ServerBuilder<E, D, Without, O> {
        self.bulkhead(|_| Without)
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
    /// | `queue` | a call may wait for a slot for as long as it has in all, and the wait is not [`Duration::MAX`] |
    pub fn build(self) -> Result<ServerLayer<E::Layer, D::Layer, B::Layer, O::Layer>, InvalidConfig>
    where
        E: Plan,
        D: Plan,
        B: Plan,
        O: Plan,
    {
        let layer = ServerLayer {
            edge: self.edge.build()?,
            deadline: self.deadline.build()?,
            bulkhead: self.bulkhead.build()?,
            timeout: self.timeout.build()?,
        };
        let mut times = Times::default();
        layer.deadline.times(&mut times);
        layer.bulkhead.times(&mut times);
        layer.timeout.times(&mut times);
        times.check()?;
        Ok(layer)
    }
}

// ===== impl ServerLayer =====

impl<E, D, B, O> ServerLayer<E, D, B, O> {
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
    pub fn drain(&self) -> impl Future<Output = ()> + Send + 'static + use<E, D, B, O>
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
    {
        self.deadline.publish();
        self.bulkhead.publish();
        self.timeout.publish();
    }
}

impl<S, E, D, B, O> Layer<S> for ServerLayer<E, D, B, O>
where
    O: Layer<S>,
    B: Layer<O::Service>,
    D: Layer<B::Service>,
    E: Layer<D::Service>,
{
    type Service = E::Service;

    fn layer(&self, inner: S) -> Self::Service {
        let inner = self.bulkhead.layer(self.timeout.layer(inner));
        self.edge.layer(self.deadline.layer(inner))
    }
}
