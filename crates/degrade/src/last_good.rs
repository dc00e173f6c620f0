//! The last good answer, in place of one that failed.

use std::fmt;
use std::hash::Hash;
use std::time::Duration;

use seaworthy_kit::telemetry::{Report, Subscription, Telemetry};
use seaworthy_kit::{BoxError, Clock, InvalidConfig, Name, Share};
use tower_layer::Layer;

use crate::Cause;
use crate::fallback::{ByHead, ByTraffic, Rules};

mod keeps;
#[cfg(feature = "http")]
pub use keeps::{HttpAnswers, KeptResponse, Reading, UriKey, by_uri};
pub use keeps::{Keeps, PlainAnswers};

mod service;
pub use service::{Answered, ResponseFuture};

mod store;
use store::Store;

/// Keeps the last good answer to each kind of request, and gives it in place of one that failed.
///
/// What it replaces, and what never, is the same as of a [`FallbackLayer`](crate::FallbackLayer); where it has nothing, or only what is too old, the failure passes, to a fallback further out, say.
/// It is bounded in number, size and age, and marked: in the response's extensions ([`Substituted`](crate::fallback::Substituted)), in the fields `Age` and `Degraded`, in metrics and events.
///
/// What is itself less than whole is not kept, of HTTP or not: an answer in whose making a feature was [noted](crate::note()), wherever that is gathered.
///
/// The key says whose answer it is: whatever depends on who asks must not be kept under a key that others have, too.
///
/// ```
/// use std::sync::atomic::{AtomicBool, Ordering};
/// use std::time::Duration;
///
/// use seaworthy_degrade::LastGoodLayer;
/// use tower::{Layer, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), seaworthy_kit::BoxError> {
/// static DOWN: AtomicBool = AtomicBool::new(false);
/// let last = LastGoodLayer::plain("prices", |item: &&'static str| Some(*item))
///     .max_age(Duration::from_secs(3600))
///     .build()?;
/// let prices = last.layer(service_fn(|item: &'static str| async move {
///     if DOWN.load(Ordering::Relaxed) {
///         return Err(std::io::Error::other("down"));
///     }
///     Ok(item.len())
/// }));
///
/// assert_eq!(prices.clone().oneshot("anchor").await?, 6);
/// DOWN.store(true, Ordering::Relaxed);
/// assert_eq!(prices.clone().oneshot("anchor").await?, 6);
/// assert!(prices.oneshot("rope").await.is_err(), "nobody has asked for it before");
/// # Ok(())
/// # }
/// ```
///
/// # HTTP
/// An answer that is to be kept is read to its end before it is passed on, once in a tenth of `max_age`; one that breaks off there is replaced, too, and one that is longer than [`max_body`](Builder::max_body) goes on as it comes, and is not kept.
/// In between answers pass as they come, and one that breaks off in its body cannot be replaced any more.
/// Kept is 200 alone, and nothing with `Set-Cookie` or `Vary`, nor what `Cache-Control` forbids to keep for others or to give stale: `no-store`, `private`, `no-cache`, `must-revalidate`, `proxy-revalidate`, `s-maxage`.
/// `text/event-stream` passes as it comes, and so does gRPC, whose end tells whether it is good.
/// This is no cache: while the inner service answers, each request reaches it.
///
/// # Cost
/// A good answer takes the lock of the store once, to see that what is kept is still young, and once in a tenth of `max_age` it is copied.
///
/// # Readiness
/// That of the inner service, whose errors pass as they are.
///
/// # Cancel safety
/// As that of the inner service: what was read of an answer is lost, and not kept.
pub struct LastGoodLayer<T, F, K, V, N = ByTraffic> {
    traffic: T,
    share: Share<State<F, K, V, N>>,
}

/// What a [`LastGoodLayer`] is built from.
#[must_use = "a builder does nothing until it is built"]
pub struct Builder<T, F, N = ByTraffic> {
    name: String,
    traffic: T,
    key: F,
    rules: Rules<N>,
    max_age: Duration,
    max_entries: usize,
    max_body: usize,
    clock: Clock,
}

/// What all services of a layer share.
pub(crate) struct State<F, K, V, N> {
    name: Name,
    key: F,
    rules: Rules<N>,
    store: Store<K, V>,
    max_body: usize,
    clock: Clock,
    telemetry: Telemetry,
}

// ===== impl LastGoodLayer =====

impl LastGoodLayer<(), (), (), ()> {
    /// For services whose response is all there when their future is ready, and can be cloned; requests with the same key have the same answer, and of those without one none is kept.
    pub fn plain<Req, K>(
        name: impl Into<String>,
        key: impl Fn(&Req) -> Option<K>,
    ) -> Builder<PlainAnswers, impl Fn(&Req) -> Option<K>> {
        Builder::new(name.into(), PlainAnswers::new(), key)
    }

    /// For HTTP; [`by_uri`] is a key for what is the same for everybody.
    ///
    /// Answers to one method are never given to another, whatever the key: that to a HEAD has no body.
    #[cfg(feature = "http")]
    pub fn http<B, K>(
        name: impl Into<String>,
        key: impl Fn(&http::Request<B>) -> Option<K>,
    ) -> Builder<HttpAnswers, impl Fn(&http::Request<B>) -> Option<(http::Method, K)>> {
        let key = move |request: &http::Request<B>| {
            key(request).map(|key| (request.method().clone(), key))
        };
        Builder::new(name.into(), HttpAnswers::new(), key)
    }
}

impl LastGoodLayer<(), (), (), ()> {
    /// For a key whose type has a name, as that of a `fn`: the layer can then be named, too.
    pub fn of<T, F>(name: impl Into<String>, traffic: T, key: F) -> Builder<T, F> {
        Builder::new(name.into(), traffic, key)
    }
}

impl<T, F, K: Hash + Eq, V, N> LastGoodLayer<T, F, K, V, N> {
    /// How many answers are kept now.
    #[must_use]
    pub fn kept(&self) -> usize {
        self.share.store.len()
    }
}

impl<T, F, K, V, N> LastGoodLayer<T, F, K, V, N> {
    /// Calls the listener whenever a kept answer is given; see [`Telemetry::subscribe`].
    pub fn subscribe(
        &self,
        listener: impl Fn(&Report<'_>) + Send + Sync + 'static,
    ) -> Subscription {
        self.share.telemetry.subscribe(listener)
    }

    /// Registers the layer's counters with the metrics recorder, at zero.
    pub fn publish(&self) {
        let pairs = Cause::WORDS.map(|cause| (cause, LAST_GOOD));
        self.share.telemetry.instruments().publish_degraded(&pairs);
    }
}

impl<T: Clone, F, K, V, N> Clone for LastGoodLayer<T, F, K, V, N> {
    fn clone(&self) -> Self {
        Self {
            traffic: self.traffic.clone(),
            share: self.share.clone(),
        }
    }
}

impl<T, F, K, V, N> fmt::Debug for LastGoodLayer<T, F, K, V, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LastGoodLayer")
            .field("name", &self.share.name)
            .finish_non_exhaustive()
    }
}

impl<S, T: Clone, F, K, V, N> Layer<S> for LastGoodLayer<T, F, K, V, N> {
    type Service = Answered<S, T, F, K, V, N>;

    fn layer(&self, inner: S) -> Self::Service {
        Answered::new(inner, self.traffic.clone(), self.share.clone())
    }
}

// ===== impl Builder =====

impl<T, F> Builder<T, F> {
    fn new(name: String, traffic: T, key: F) -> Self {
        Self {
            name,
            traffic,
            key,
            rules: Rules::new(),
            max_age: Duration::from_secs(3600),
            max_entries: 1000,
            max_body: 64 * 1024,
            clock: Clock::tokio(),
        }
    }
}

impl<T, F, N> Builder<T, F, N> {
    /// For how long an answer is given after it came; above zero. Default: an hour, as the handbook's page keeps what is popular.
    pub const fn max_age(mut self, age: Duration) -> Self {
        self.max_age = age;
        self
    }

    /// How many answers are kept; above zero, and the oldest goes first. Default: 1000, which with the longest bodies are 64 MiB.
    pub const fn max_entries(mut self, entries: usize) -> Self {
        self.max_entries = entries;
        self
    }

    /// How long the body of an HTTP answer may be that is kept. Default: 64 KiB.
    pub const fn max_body(mut self, bytes: usize) -> Self {
        self.max_body = bytes;
        self
    }

    /// Which errors are replaced; mistakes of the caller's are not, whatever it says. Default: all but `rate_limited`.
    pub fn errors(mut self, errors: impl Fn(&BoxError) -> bool + Send + Sync + 'static) -> Self {
        self.rules.set_errors(errors);
        self
    }

    /// Which responses are replaced, by their head (of HTTP) or themselves; mistakes of the caller's are not, whatever it says. Default: of HTTP 500, 502, 503 and 504, of others none.
    pub fn responses<G>(self, responses: G) -> Builder<T, F, ByHead<G>> {
        Builder {
            name: self.name,
            traffic: self.traffic,
            key: self.key,
            rules: self.rules.with_names(responses),
            max_age: self.max_age,
            max_entries: self.max_entries,
            max_body: self.max_body,
            clock: self.clock,
        }
    }

    /// Another clock, for tests.
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// Makes the layer.
    ///
    /// # Errors
    /// If `max_age` or `max_entries` is zero.
    pub fn build<K: Hash + Eq, V>(self) -> Result<LastGoodLayer<T, F, K, V, N>, InvalidConfig> {
        if self.max_age.is_zero() {
            return Err(InvalidConfig::new("max_age", "must be above zero"));
        }
        if self.max_entries == 0 {
            return Err(InvalidConfig::new("max_entries", "must be above zero"));
        }
        Ok(LastGoodLayer {
            traffic: self.traffic,
            share: Share::new(State {
                name: self.name.as_str().into(),
                key: self.key,
                rules: self.rules,
                store: Store::new(self.max_age, self.max_entries),
                max_body: self.max_body,
                clock: self.clock,
                telemetry: Telemetry::new(LAYER, &self.name),
            }),
        })
    }
}

impl<T, F, N> fmt::Debug for Builder<T, F, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("name", &self.name)
            .field("max_age", &self.max_age)
            .field("max_entries", &self.max_entries)
            .field("max_body", &self.max_body)
            .finish_non_exhaustive()
    }
}

/// The word for what is given.
const LAST_GOOD: &str = "last_good";

/// The kind of layer, in metrics and events.
const LAYER: &str = "fallback";
