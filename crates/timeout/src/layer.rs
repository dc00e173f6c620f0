//! The layer and its builder: what can be set, and where the shared limits are made.

use std::fmt;
use std::time::Duration;

use seaworthy_kit::{InvalidConfig, Plain, Share, Telemetry};
use tower_layer::Layer;

use crate::guard::Shared;
use crate::limits::{Limits, Span, nanos};
use crate::per_request::{ByRequest, Fixed, Untold};
use crate::{Timeout, TimeoutHandle};

/// Ends calls that take too long. See the crate docs.
pub struct TimeoutLayer<T, L = Fixed, C = Untold> {
    traffic: T,
    per_request: L,
    carry: C,
    share: Share<Shared<Limits>>,
}

/// What a [`TimeoutLayer`] is built from.
#[derive(Clone)]
#[must_use = "a builder does nothing until it is built"]
pub struct Builder<T, L = Fixed, C = Untold> {
    name: String,
    traffic: T,
    per_request: L,
    carry: C,
    limit: Duration,
    body_limit: Duration,
    idle: Duration,
    margin: Duration,
    min_useful: Duration,
    ignore_deadline: bool,
}

impl TimeoutLayer<()> {
    /// For services whose response is all there when their future is ready: [`limit`](Builder::limit) is until then, and there is no body to limit.
    pub fn plain(name: impl Into<String>) -> Builder<Plain> {
        Builder::new(name.into(), Plain::new())
    }

    /// For HTTP and gRPC: a call is over when its response body is.
    #[cfg(feature = "http")]
    pub fn http(name: impl Into<String>) -> Builder<seaworthy_http::Http> {
        Builder::new(name.into(), seaworthy_http::Http::new())
    }

    /// For `reqwest::Client`, with its own request and response.
    #[cfg(feature = "reqwest")]
    pub fn reqwest(name: impl Into<String>) -> Builder<seaworthy_http::Reqwest> {
        Builder::new(name.into(), seaworthy_http::Reqwest::new())
    }
}

impl<T, L, C> TimeoutLayer<T, L, C> {
    /// A view of the limits.
    #[must_use]
    pub fn handle(&self) -> TimeoutHandle {
        self.share.clone().into()
    }
}

impl<S, T: Clone, L: Clone, C: Clone> Layer<S> for TimeoutLayer<T, L, C> {
    type Service = Timeout<S, T, L, C>;

    fn layer(&self, inner: S) -> Self::Service {
        Timeout::new(
            inner,
            self.traffic.clone(),
            self.per_request.clone(),
            self.carry.clone(),
            self.share.clone(),
        )
    }
}

impl<T: Clone, L: Clone, C: Clone> Clone for TimeoutLayer<T, L, C> {
    fn clone(&self) -> Self {
        Self {
            traffic: self.traffic.clone(),
            per_request: self.per_request.clone(),
            carry: self.carry.clone(),
            share: self.share.clone(),
        }
    }
}

impl<T, L, C> fmt::Debug for TimeoutLayer<T, L, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TimeoutLayer")
            .field("layer", &self.share.telemetry.name())
            .finish_non_exhaustive()
    }
}

// ===== impl Builder =====

impl<T> Builder<T> {
    fn new(name: String, traffic: T) -> Self {
        Self {
            name,
            traffic,
            per_request: Fixed,
            carry: Untold,
            limit: DEFAULT_LIMIT,
            body_limit: Duration::MAX,
            idle: Duration::MAX,
            margin: Duration::ZERO,
            min_useful: Duration::ZERO,
            ignore_deadline: false,
        }
    }
}

impl<T, L, C> Builder<T, L, C> {
    /// When calls are over and how they ended; it is how another classifier is put in: `.traffic(Http::classify(|result| ..))`.
    pub fn traffic<U>(self, traffic: U) -> Builder<U, L, C> {
        let (per_request, carry) = (self.per_request, self.carry);
        Builder {
            traffic,
            per_request,
            carry,
            name: self.name,
            limit: self.limit,
            body_limit: self.body_limit,
            idle: self.idle,
            margin: self.margin,
            min_useful: self.min_useful,
            ignore_deadline: self.ignore_deadline,
        }
    }

    /// How long the head of the response is waited for, or the whole of a response without a body. Default: 30 s.
    ///
    /// Counts from the first `Pending` of the response future.
    /// Zero refuses every call at once; [`Duration::MAX`] waits for ever.
    pub const fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Another limit for some requests: until the head of the response, like [`limit`](Self::limit), which applies where the function says `None`.
    ///
    /// Zero refuses that request; [`Duration::MAX`] waits for ever.
    pub fn limit_for<Req, F>(self, limit_for: F) -> Builder<T, ByRequest<F>, C>
    where
        F: Fn(&Req) -> Option<Duration>,
    {
        Builder {
            per_request: ByRequest(limit_for),
            carry: self.carry,
            name: self.name,
            traffic: self.traffic,
            limit: self.limit,
            body_limit: self.body_limit,
            idle: self.idle,
            margin: self.margin,
            min_useful: self.min_useful,
            ignore_deadline: self.ignore_deadline,
        }
    }

    /// How long the whole response is waited for, its head included and to the end of its body. Default: [`Duration::MAX`], for ever, because some responses are streams that are meant to last.
    ///
    /// Counts from the first `Pending` of the call, wherever it is.
    /// Zero refuses every call at once.
    pub const fn body_limit(mut self, limit: Duration) -> Self {
        self.body_limit = limit;
        self
    }

    /// How long the body may pause between two frames. Default: [`Duration::MAX`], for ever, because a stream of events may be silent for hours.
    ///
    /// Counts from the first `Pending` after each frame: the time that the caller takes for a frame is not the callee's.
    pub const fn idle(mut self, limit: Duration) -> Self {
        self.idle = limit;
        self
    }

    /// Does not cut calls at the deadline of the task in which they are made. Default: off.
    ///
    /// For work that must be finished although its caller has stopped waiting.
    pub const fn ignore_deadline(mut self, ignore: bool) -> Self {
        self.ignore_deadline = ignore;
        self
    }

    /// Tells the callee how long the response is waited for. Default: it is told nothing.
    ///
    /// What is told is the smallest of this layer's own limit, what is left of the task's deadline, and what the request already says; less the [`margin`](Self::margin).
    /// The layer's own limit is [`body_limit`](Self::body_limit), since the callee thinks of the whole response, and [`limit`](Self::limit) only where there is no `body_limit`.
    /// So a stream that outlives the limit of its head needs a `body_limit`, however long, or a callee that enforces what it is told cuts it.
    ///
    /// A call that has less left than can be told (in most headers, a millisecond) is refused.
    /// Inside of a retry each attempt is told what is left then.
    pub fn propagate<D>(self, carry: D) -> Builder<T, L, D> {
        Builder {
            carry,
            per_request: self.per_request,
            name: self.name,
            traffic: self.traffic,
            limit: self.limit,
            body_limit: self.body_limit,
            idle: self.idle,
            margin: self.margin,
            min_useful: self.min_useful,
            ignore_deadline: self.ignore_deadline,
        }
    }

    /// How much of the time that there is belongs to the network: the callee is told so much less, and a call that has no more than this left is refused. Default: zero, since only the user knows the way.
    pub const fn margin(mut self, margin: Duration) -> Self {
        self.margin = margin;
        self
    }

    /// Refuses a call of whose deadline less than this is left: what the callee takes at best. Default: zero, only calls without any time are refused.
    ///
    /// It saves the callee work that comes too late, and the circuit around this layer a verdict that is none:
    /// every call that is made has this much time, and so a deadline that cuts it tells that the callee was slow, not that the caller was late.
    /// It is about the travelling deadline only; a limit of this layer's own is what the user finds enough.
    pub const fn min_useful(mut self, time: Duration) -> Self {
        self.min_useful = time;
        self
    }

    /// Makes the layer.
    ///
    /// # Errors
    /// If `idle` is zero, which would cut every body that is not there at once; if the margin leaves nothing of a limit; or if `min_useful` is more than `body_limit` allows any call, or is about a deadline that is ignored.
    pub fn build(self) -> Result<TimeoutLayer<T, L, C>, InvalidConfig> {
        if self.idle.is_zero() {
            return Err(InvalidConfig::new("idle", "must be above zero"));
        }
        for limit in [self.limit, self.body_limit] {
            if !limit.is_zero() && self.margin >= limit {
                return Err(InvalidConfig::new("margin", "must be below the limits"));
            }
        }
        if self.min_useful > self.body_limit {
            let reason = "must not be above body_limit";
            return Err(InvalidConfig::new("min_useful", reason));
        }
        if self.ignore_deadline && !self.min_useful.is_zero() {
            let reason = "is about the deadline that ignore_deadline ignores";
            return Err(InvalidConfig::new("min_useful", reason));
        }
        let limits = Limits {
            head: Span::new(self.limit),
            body: Span::new(self.body_limit),
            idle: Span::new(self.idle),
            margin: nanos(self.margin),
            min_useful: self.min_useful,
            ignore_deadline: self.ignore_deadline,
        };
        let telemetry = Telemetry::new(LAYER, &self.name);
        Ok(TimeoutLayer {
            traffic: self.traffic,
            per_request: self.per_request,
            carry: self.carry,
            share: Share::new(Shared::new(limits, telemetry)),
        })
    }
}

impl<T, L, C> fmt::Debug for Builder<T, L, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("name", &self.name)
            .field("limit", &self.limit)
            .field("body_limit", &self.body_limit)
            .field("idle", &self.idle)
            .field("margin", &self.margin)
            .field("min_useful", &self.min_useful)
            .field("ignore_deadline", &self.ignore_deadline)
            .finish_non_exhaustive()
    }
}

/// Longer than anybody waits for an answer, and short enough that a callee which hangs is noticed; what most clients and proxies take who have a limit at all.
const DEFAULT_LIMIT: Duration = Duration::from_secs(30);

/// The kind of layer, in metrics and events.
const LAYER: &str = "timeout";
