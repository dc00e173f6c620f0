//! The client's side: one key for each logical request, kept over its retries.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::header::HeaderName;
use http::{HeaderValue, Method, Request};
use seaworthy_http::retry::IDEMPOTENCY_KEY;
use tower_layer::Layer;
use tower_service::Service;

use crate::current::current;
use crate::draws::{Draws, uuid};

/// Gives each POST and PATCH that has no key one, a random UUID: outside of a retry layer, so that all attempts have the same.
///
/// A retry layer sends a request with an `Idempotency-Key` again whatever its method is: with this layer around it, it may retry a POST.
/// A request that has a key keeps it.
///
/// ```
/// use http::{Request, Response};
/// use seaworthy_idempotency::KeyLayer;
/// use tower::{ServiceBuilder, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let client = ServiceBuilder::new()
///     .layer(KeyLayer::new())
///     // .layer(retry)
///     .service(service_fn(|request: Request<String>| async move {
///         let key = request.headers()["idempotency-key"].to_str().unwrap().to_owned();
///         Ok::<_, std::convert::Infallible>(Response::new(key))
///     }));
///
/// let charge = Request::post("/v1/charges").body(String::new()).unwrap();
/// let key = client.oneshot(charge).await.unwrap().into_body();
/// assert_eq!(key.len(), 38, "a UUID in quotes");
/// # }
/// ```
#[derive(Clone)]
pub struct KeyLayer {
    rules: Rules,
}

/// The service of [`KeyLayer`].
#[derive(Clone)]
pub struct WithKey<S> {
    inner: S,
    rules: Rules,
}

/// In the extensions of a request: which of the calls of a run it is, where the run makes several to one place; see [`KeyLayer::derived`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KeyLabel(Cow<'static, str>);

#[derive(Clone)]
struct Rules {
    header: HeaderName,
    quoted: bool,
    derived: bool,
    draws: Arc<Draws>,
}

// ===== impl KeyLayer =====

impl KeyLayer {
    /// Random keys, in quotes, in `Idempotency-Key`.
    #[must_use]
    pub fn new() -> Self {
        Self {
            rules: Rules {
                header: IDEMPOTENCY_KEY.clone(),
                quoted: true,
                derived: false,
                draws: Arc::new(Draws::new()),
            },
        }
    }

    /// Another header, for servers that know keys by another name. Default: `idempotency-key`.
    ///
    /// A retry layer knows that one only.
    #[must_use]
    pub fn header(mut self, name: HeaderName) -> Self {
        self.rules.header = name;
        self
    }

    /// Sends keys without quotes. Default: off, in quotes, as the draft has it; some servers know only bare ones.
    #[must_use]
    pub const fn bare(mut self, bare: bool) -> Self {
        self.rules.quoted = !bare;
        self
    }

    /// Inside of a run of an idempotency layer, derives the key from that run, the method and the target: each attempt of the handler sends the same key, and the callee runs it once. Default: off.
    ///
    /// A handler that calls one target several times puts another [`KeyLabel`] into each of those requests; without, the callee takes them for one.
    /// Outside of a run keys are random.
    #[must_use]
    pub const fn derived(mut self, derived: bool) -> Self {
        self.rules.derived = derived;
        self
    }
}

impl Default for KeyLayer {
    fn default() -> Self {
        Self::new()
    }
}

impl<S> Layer<S> for KeyLayer {
    type Service = WithKey<S>;

    fn layer(&self, inner: S) -> WithKey<S> {
        WithKey {
            inner,
            rules: self.rules.clone(),
        }
    }
}

// ===== impl WithKey =====

impl<S, B> Service<Request<B>> for WithKey<S>
where
    S: Service<Request<B>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> S::Future {
        let has_effect = [Method::POST, Method::PATCH].contains(request.method());
        if has_effect && !request.headers().contains_key(&self.rules.header) {
            let key = self.rules.key(&request);
            let name = self.rules.header.clone();
            request.headers_mut().insert(name, key);
        }
        self.inner.call(request)
    }
}

impl<S> WithKey<S> {
    /// The inner service.
    pub const fn get_ref(&self) -> &S {
        &self.inner
    }

    /// The inner service.
    pub const fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// The inner service, without keys.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl KeyLabel {
    /// That label.
    #[must_use]
    pub fn new(label: impl Into<Cow<'static, str>>) -> Self {
        Self(label.into())
    }
}

// ===== impl Rules =====

impl Rules {
    fn key<B>(&self, request: &Request<B>) -> HeaderValue {
        let run = if self.derived { current() } else { None };
        let key = match run {
            Some(run) => {
                let label = request.extensions().get::<KeyLabel>();
                let label = label.map_or("", |label| &*label.0);
                run.child(&format!("{} {} {label}", request.method(), request.uri()))
            }
            None => uuid(self.draws.number(), 4),
        };
        let key = if self.quoted {
            format!("\"{key}\"")
        } else {
            key
        };
        HeaderValue::try_from(key).expect("a UUID is a header value")
    }
}

impl fmt::Debug for KeyLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyLayer")
            .field("header", &self.rules.header)
            .field("derived", &self.rules.derived)
            .finish_non_exhaustive()
    }
}

impl<S: fmt::Debug> fmt::Debug for WithKey<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WithKey")
            .field("inner", &self.inner)
            .finish_non_exhaustive()
    }
}
