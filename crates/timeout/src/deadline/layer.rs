//! The layer and its builder: which deadlines are taken, and which are given.

use std::fmt;
use std::time::Duration;

#[cfg(feature = "http")]
use seaworthy_http::deadline_header::DeadlineHeaders;
use seaworthy_kit::{InvalidConfig, Plain, Share, Telemetry};
use tower_layer::Layer;

use super::{DeadlineHandle, Rules, WithDeadline};
use crate::guard::Shared;
use crate::limits::Span;

/// Opens the deadline that came with a request for everything inside, and cuts the call there.
///
/// It stands outermost on a server, and does the same around a client whose calls have one limit for all their attempts.
///
/// # How it decides
/// A request gets the time that its caller gives it, less the [`margin`](Builder::margin); where the caller says nothing, [`default`](Builder::default_limit); and never more than [`max`](Builder::max).
/// Inside of another deadline the earlier one counts: a deadline is only ever tightened.
/// With less than [`min_useful`](Builder::min_useful) to go, the request is refused; work whose caller will have gone is not begun.
/// Without any of these there is no deadline, and the layer costs nothing.
///
/// # How far the deadline goes
/// It is seen (by [`current`](super::current)) in the inner `call`, in every poll of the response future, and in every poll of the response body: the layers and calls inside of a handler, and of a stream that it answers with, are all capped by what is left.
/// It is not seen in tasks that the handler spawns; [`current`](super::current) and [`scope`](super::scope) take it along.
/// The request body is polled by the handler, and so inside.
///
/// The call is cut at the deadline, wherever it is: the response future ends with an error, or the body does, unless they have something to give at that moment.
#[derive(Clone)]
pub struct DeadlineLayer<T, C> {
    traffic: T,
    carry: C,
    share: Share<Shared<Rules>>,
}

/// What a [`DeadlineLayer`] is built from.
#[derive(Clone)]
#[must_use = "a builder does nothing until it is built"]
pub struct Builder<T, C> {
    name: String,
    traffic: T,
    carry: C,
    max: Duration,
    default_limit: Duration,
    min_useful: Duration,
    margin: Duration,
    /// Whether requests can say how much time they have.
    can_say: bool,
    ignore_incoming: bool,
}

impl DeadlineLayer<(), ()> {
    /// For requests that carry no deadline on the wire: they get the [`default_limit`](Builder::default_limit), or what the task has.
    pub fn plain(name: impl Into<String>) -> Builder<Plain, Plain> {
        let builder = Builder::new(name.into(), Plain::new(), Plain::new());
        Builder {
            can_say: false,
            ..builder
        }
    }

    /// For HTTP and gRPC: deadlines in [`DeadlineHeaders`], calls that are over when their response body is.
    #[cfg(feature = "http")]
    pub fn http(name: impl Into<String>) -> Builder<seaworthy_http::Http, DeadlineHeaders> {
        Builder::new(
            name.into(),
            seaworthy_http::Http::new(),
            DeadlineHeaders::default(),
        )
    }

    /// For `reqwest::Client`, with its own request and response.
    #[cfg(feature = "reqwest")]
    pub fn reqwest(name: impl Into<String>) -> Builder<seaworthy_http::Reqwest, DeadlineHeaders> {
        Builder::new(
            name.into(),
            seaworthy_http::Reqwest::new(),
            DeadlineHeaders::default(),
        )
    }
}

impl<T, C> DeadlineLayer<T, C> {
    /// A view of the rules.
    #[must_use]
    pub fn handle(&self) -> DeadlineHandle {
        self.share.clone().into()
    }
}

impl<S, T: Clone, C: Clone> Layer<S> for DeadlineLayer<T, C> {
    type Service = WithDeadline<S, T, C>;

    fn layer(&self, inner: S) -> Self::Service {
        WithDeadline::new(
            inner,
            self.traffic.clone(),
            self.carry.clone(),
            self.share.clone(),
        )
    }
}

impl<T, C> fmt::Debug for DeadlineLayer<T, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeadlineLayer")
            .field("layer", &self.share.telemetry.name())
            .finish_non_exhaustive()
    }
}

// ===== impl Builder =====

impl<T, C> Builder<T, C> {
    const fn new(name: String, traffic: T, carry: C) -> Self {
        Self {
            name,
            traffic,
            carry,
            max: Duration::MAX,
            default_limit: Duration::MAX,
            min_useful: Duration::ZERO,
            margin: Duration::ZERO,
            can_say: true,
            ignore_incoming: false,
        }
    }

    /// When calls are over and how they ended; it is how another classifier is put in: `.traffic(Http::classify(|result| ..))`.
    pub fn traffic<U>(self, traffic: U) -> Builder<U, C> {
        Builder {
            traffic,
            name: self.name,
            carry: self.carry,
            max: self.max,
            default_limit: self.default_limit,
            min_useful: self.min_useful,
            margin: self.margin,
            can_say: self.can_say,
            ignore_incoming: self.ignore_incoming,
        }
    }

    /// Where the deadline of a request is found: other headers, or a field of a plain request. Default: `grpc-timeout`, `x-envoy-expected-rq-timeout-ms`, `x-request-timeout-ms`, in this order.
    pub fn carry<D>(self, carry: D) -> Builder<T, D> {
        Builder {
            carry,
            name: self.name,
            traffic: self.traffic,
            max: self.max,
            default_limit: self.default_limit,
            min_useful: self.min_useful,
            margin: self.margin,
            can_say: true,
            ignore_incoming: self.ignore_incoming,
        }
    }

    /// Never gives a request more time than this, whatever its caller asks for. Default: [`Duration::MAX`], because a caller that asks for much harms nobody whom the server's own limits protect.
    pub const fn max(mut self, max: Duration) -> Self {
        self.max = max;
        self
    }

    /// Gives a request this much time whose caller says nothing. Default: [`Duration::MAX`], for ever.
    pub const fn default_limit(mut self, limit: Duration) -> Self {
        self.default_limit = limit;
        self
    }

    /// Refuses a request that has less time left than this: what the work takes at best. Default: zero, only requests without any time are refused.
    pub const fn min_useful(mut self, time: Duration) -> Self {
        self.min_useful = time;
        self
    }

    /// Takes this much off the time that a caller gives: what its answer needs for the way back. Default: zero, since only the user knows the way.
    pub const fn margin(mut self, margin: Duration) -> Self {
        self.margin = margin;
        self
    }

    /// Does not read what callers say: for a server whose callers are strangers. Default: off, since all that a caller can do is shorten its own call.
    ///
    /// A server that believes some of its callers gives a [`carry`](Self::carry) of its own, which sees the request and says nothing about the others'.
    pub const fn ignore_incoming(mut self, ignore: bool) -> Self {
        self.ignore_incoming = ignore;
        self
    }

    /// Makes the layer.
    ///
    /// # Errors
    /// If `max` or `default_limit` is less than `min_useful`, or zero: every request would be refused; or if there is a margin for what callers say and nobody hears it.
    pub fn build(self) -> Result<DeadlineLayer<T, C>, InvalidConfig> {
        for (option, limit) in [("max", self.max), ("default_limit", self.default_limit)] {
            if limit.is_zero() {
                return Err(InvalidConfig::new(option, "must be above zero"));
            }
            if limit < self.min_useful {
                return Err(InvalidConfig::new(option, "must not be below min_useful"));
            }
        }
        let hears_callers = self.can_say && !self.ignore_incoming;
        if !hears_callers && !self.margin.is_zero() {
            let reason = "is taken off what callers say, and they are not heard";
            return Err(InvalidConfig::new("margin", reason));
        }
        let rules = Rules {
            max: Span::new(self.max),
            default: Span::new(self.default_limit),
            min_useful: self.min_useful,
            margin: self.margin,
            hears_callers,
        };
        let telemetry = Telemetry::new(LAYER, &self.name);
        Ok(DeadlineLayer {
            traffic: self.traffic,
            carry: self.carry,
            share: Share::new(Shared::new(rules, telemetry)),
        })
    }
}

impl<T, C> fmt::Debug for Builder<T, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("name", &self.name)
            .field("max", &self.max)
            .field("default_limit", &self.default_limit)
            .field("min_useful", &self.min_useful)
            .field("margin", &self.margin)
            .field("ignore_incoming", &self.ignore_incoming)
            .finish_non_exhaustive()
    }
}

/// The kind of layer, in metrics and events.
const LAYER: &str = "deadline";
