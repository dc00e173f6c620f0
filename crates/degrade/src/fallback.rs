//! The fallback layer: something less in place of an answer that failed.

use std::fmt;
use std::time::Duration;

use seaworthy_kit::telemetry::{Report, Subscription, Telemetry};
use seaworthy_kit::{BoxError, Name, Share};
use tower_layer::Layer;

mod answers;
#[cfg(feature = "http")]
pub use answers::HttpAnswers;
pub use answers::{Answers, ByHead, ByTraffic, Heads, Names, PlainAnswers};

#[cfg(feature = "http")]
mod either;
#[cfg(feature = "http")]
pub use either::EitherBody;

mod give;
pub use give::{Asked, FromRequest, Give, Given, Other};

mod rules;
pub(crate) use rules::Rules;
pub use rules::Seen;

mod service;
pub use service::{Fallback, ResponseFuture};

use crate::Cause;

/// Gives something in place of an answer that was refused, failed, took too long, or is one that a predicate names.
///
/// It never hides a caller's mistake, never answers in place of what it has no [`Given`] for, and says what it did: in the response's extensions ([`Substituted`]), in the field `Degraded`, in metrics and events.
/// Where what it would give fails as well, the caller gets what the inner service had said; until then that answer is kept, with its body and whatever slot that holds.
///
/// An error that is no [`Rejection`](seaworthy_kit::Rejection) is taken for a failure: where those of a client also tell of mistakes, as a status of reqwest or tonic does, [`errors`](Builder::errors) has to say which.
/// And it knows nothing of what a request changes: let [`function`](Builder::function) or [`service`](Builder::service) keep nothing of those that do.
///
/// ```
/// use seaworthy_degrade::FallbackLayer;
/// use tower::{Layer, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
/// let fallback = FallbackLayer::plain("stock").value(0_u32).build();
/// let stock = fallback.layer(service_fn(|_: &str| async {
///     Err::<u32, _>(std::io::Error::other("down"))
/// }));
/// assert_eq!(stock.oneshot("anchor").await?, 0);
/// # Ok(())
/// # }
/// ```
///
/// # What is replaced
/// | the inner service's end | replaced |
/// |---|---|
/// | a refusal, as by an open circuit, a full bulkhead, a drain | yes |
/// | a timeout | yes |
/// | another error | yes |
/// | `rate_limited`: a caller's quota, or one's own at a dependency | only if [`errors`](Builder::errors) says so |
/// | `key_reused`, `in_progress`, `outcome_unknown`, `cost_too_high`: mistakes of the caller's | never |
/// | HTTP 500, 502, 503, 504: those of `stale-if-error` (RFC 5861) | yes, or what [`responses`](Builder::responses) says |
/// | HTTP 4xx, except for 408, 425 and 429 | never |
/// | any other response | only if [`responses`](Builder::responses) says so |
///
/// A response that an edge further in made of a rejection counts as that rejection.
///
/// # Readiness
/// That of the inner service.
/// An error of that readiness is an end as any other: the next call is answered in its place, and the inner service is not called.
///
/// # Cancel safety
/// As that of the inner service: dropping the future drops whatever runs.
pub struct FallbackLayer<T, G, N = ByTraffic> {
    answers: T,
    share: Share<State<G, N>>,
}

/// What a [`FallbackLayer`] is built from.
#[must_use = "a builder does nothing until it is built"]
pub struct Builder<T, G = (), N = ByTraffic> {
    name: String,
    answers: T,
    give: G,
    rules: Rules<N>,
}

/// The view of a [`FallbackLayer`] from outside: cheap to clone.
#[derive(Clone)]
pub struct FallbackHandle<G, N = ByTraffic>(Share<State<G, N>>);

/// In the extensions of an HTTP response: it was given in place of another.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Substituted {
    /// The name of the layer.
    pub layer: &'static str,
    /// Why.
    pub cause: Cause,
    /// What was given: `value`, `function`, `service`, `last_good`.
    pub substitute: &'static str,
    /// How old it is, where that is known.
    pub age: Option<Duration>,
}

/// What all services of a layer share.
pub(crate) struct State<G, N> {
    name: Name,
    give: G,
    rules: Rules<N>,
    telemetry: Telemetry,
}

// ===== impl FallbackLayer =====

impl FallbackLayer<(), ()> {
    /// For services whose response is all there when their future is ready.
    pub fn plain(name: impl Into<String>) -> Builder<PlainAnswers> {
        Builder::new(name.into(), PlainAnswers::new())
    }

    /// For HTTP.
    ///
    /// The head of a response decides: an answer that breaks off in its body cannot be replaced any more.
    #[cfg(feature = "http")]
    pub fn http(name: impl Into<String>) -> Builder<HttpAnswers> {
        Builder::new(name.into(), HttpAnswers::new())
    }
}

impl<T, G, N> FallbackLayer<T, G, N> {
    /// The view from outside.
    #[must_use]
    pub fn handle(&self) -> FallbackHandle<G, N> {
        FallbackHandle(self.share.clone())
    }
}

impl<T: Clone, G, N> Clone for FallbackLayer<T, G, N> {
    fn clone(&self) -> Self {
        Self {
            answers: self.answers.clone(),
            share: self.share.clone(),
        }
    }
}

impl<T, G, N> fmt::Debug for FallbackLayer<T, G, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FallbackLayer")
            .field("name", &self.share.name)
            .finish_non_exhaustive()
    }
}

impl<S, T: Clone, G, N> Layer<S> for FallbackLayer<T, G, N> {
    type Service = Fallback<S, T, G, N>;

    fn layer(&self, inner: S) -> Self::Service {
        Fallback::new(inner, self.answers.clone(), self.share.clone())
    }
}

// ===== impl FallbackHandle =====

impl<G, N> FallbackHandle<G, N> {
    /// Calls the listener whenever something is given in place of an answer; see [`Telemetry::subscribe`].
    pub fn subscribe(
        &self,
        listener: impl Fn(&Report<'_>) + Send + Sync + 'static,
    ) -> Subscription {
        self.0.telemetry.subscribe(listener)
    }
}

impl<G: Word, N> FallbackHandle<G, N> {
    /// Registers the layer's counters with the metrics recorder, at zero.
    pub fn publish(&self) {
        let pairs = Cause::WORDS.map(|cause| (cause, G::WORD));
        self.0.telemetry.instruments().publish_degraded(&pairs);
    }
}

impl<G, N> fmt::Debug for FallbackHandle<G, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FallbackHandle")
            .field("name", &self.0.name)
            .finish_non_exhaustive()
    }
}

/// The word for what is given, in metrics and events.
pub trait Word {
    /// The word.
    const WORD: &'static str;
}

// ===== impl Builder =====

impl<T> Builder<T> {
    fn new(name: String, answers: T) -> Self {
        Self {
            name,
            answers,
            give: (),
            rules: Rules::new(),
        }
    }
}

impl<T, N> Builder<T, (), N> {
    /// Gives a clone of this: of HTTP a response with a body of any type whose data is the inner body's.
    pub fn value<R: Clone>(self, value: R) -> Builder<T, Given<R>, N> {
        self.give(Given::new(value))
    }

    /// Gives what `answer` makes of the cause, and of what `keep` took from the request before it was sent; nothing is given for a request of which it keeps `None`.
    ///
    /// The request itself is not kept: a copy would cost every call, and few answers need more of it than an id.
    pub fn function<K, A>(self, keep: K, answer: A) -> Builder<T, FromRequest<K, A>, N> {
        self.give(FromRequest::new(keep, answer))
    }

    /// Gives the answer of another service to the request that `keep` made of the first, once that service is ready; nothing is given for a request of which it makes `None`.
    ///
    /// A request that changes something should have no such request: whether the first one was done is not known.
    /// [`copy_of_safe`] makes one of those that change nothing.
    pub fn service<S, K>(self, service: S, keep: K) -> Builder<T, Other<S, K>, N> {
        self.give(Other::new(service, keep))
    }

    fn give<G>(self, give: G) -> Builder<T, G, N> {
        Builder {
            name: self.name,
            answers: self.answers,
            give,
            rules: self.rules,
        }
    }
}

impl<T, S, K, N> Builder<T, Other<S, K>, N> {
    /// How long the other service may take, with the wait until it is ready, from the first wait on; then the caller gets what the inner service had said. Default: as long as it likes.
    ///
    /// A fallback that hangs is worse than none.
    pub const fn timeout(mut self, limit: Duration) -> Self {
        self.give.set_limit(limit);
        self
    }
}

impl<T, G, N> Builder<T, G, N> {
    /// Which errors are replaced; mistakes of the caller's are not, whatever it says. Default: all but `rate_limited`.
    pub fn errors(mut self, errors: impl Fn(&BoxError) -> bool + Send + Sync + 'static) -> Self {
        self.rules.set_errors(errors);
        self
    }

    /// Which responses are replaced, by their head (of HTTP) or themselves; mistakes of the caller's are not, whatever it says. Default: of HTTP 500, 502, 503 and 504, of others none.
    pub fn responses<F>(self, responses: F) -> Builder<T, G, ByHead<F>> {
        Builder {
            name: self.name,
            answers: self.answers,
            give: self.give,
            rules: self.rules.with_names(responses),
        }
    }

    /// Makes the layer.
    #[must_use]
    pub fn build(self) -> FallbackLayer<T, G, N>
    where
        G: Word,
    {
        FallbackLayer {
            answers: self.answers,
            share: Share::new(State {
                name: self.name.as_str().into(),
                give: self.give,
                rules: self.rules,
                telemetry: Telemetry::new(LAYER, &self.name),
            }),
        }
    }
}

impl<T, G, N> fmt::Debug for Builder<T, G, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// A copy of a request that changes nothing (of GET, HEAD and OPTIONS) and says of no body; `None` for any other.
///
/// Extensions are copied, too: a deadline or a class in there is that of the call.
#[cfg(feature = "http")]
#[must_use]
pub fn copy_of_safe<B, C: Default>(request: &http::Request<B>) -> Option<http::Request<C>> {
    use http::Method;
    if !matches!(
        *request.method(),
        Method::GET | Method::HEAD | Method::OPTIONS
    ) {
        return None;
    }
    // Without its body it would be another request, and one that announces a body that never comes.
    let headers = request.headers();
    let is_empty = headers
        .get(http::header::CONTENT_LENGTH)
        .is_none_or(|length| length == "0");
    if !is_empty || headers.contains_key(http::header::TRANSFER_ENCODING) {
        return None;
    }
    let mut copy = http::Request::new(C::default());
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = request.uri().clone();
    *copy.version_mut() = request.version();
    *copy.headers_mut() = request.headers().clone();
    *copy.extensions_mut() = request.extensions().clone();
    Some(copy)
}

/// The kind of layer, in metrics and events.
const LAYER: &str = "fallback";
