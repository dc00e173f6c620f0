//! The layer that says in each response what is less than whole in it.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http::header::{CACHE_CONTROL, HeaderName, HeaderValue};
use http::{Request, Response};
use pin_project_lite::pin_project;
use seaworthy_http::structured::encode_token_or_string;
use tower_layer::Layer;
use tower_service::Service;

use crate::degradations::{Gather, gather_call, is_inside};
use crate::{Degradation, Degradations};

/// The field that lists what is less than whole: a List of RFC 9651, of Tokens, or Strings where a name is no Token.
pub const DEGRADED: HeaderName = HeaderName::from_static("degraded");

/// Gathers what is less than whole in each answer, and says so in the response: in the field [`DEGRADED`], and as [`Degradations`] in its extensions.
///
/// Such a response also says `Cache-Control: no-store`, unless it is [cacheable](Self::cacheable): what was given in an emergency must not outlive it.
///
/// It stands around the handler, inside of the [`RespondLayer`](seaworthy_http::RespondLayer) or outside of it; where there are several, the outermost gathers for all.
/// It refuses nothing, and the errors of the inner service pass as they are.
/// What runs in the body of a response, after its head has gone, is not gathered.
///
/// ```
/// use bytes::Bytes;
/// use http::{Request, Response};
/// use seaworthy_degrade::{DegradedLayer, feature};
/// use tower::{Layer, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), seaworthy_kit::BoxError> {
/// let page = DegradedLayer::new().layer(service_fn(|_: Request<()>| async {
///     let down = async { Err::<u32, _>(std::io::Error::other("down")) };
///     let stars = feature("reviews").fallback(0).run(down).await?;
///     Ok::<_, seaworthy_kit::BoxError>(Response::new(format!("{stars} stars")))
/// }));
///
/// let response = page.oneshot(Request::new(())).await?;
/// assert_eq!(response.body(), "0 stars");
/// assert_eq!(response.headers()["degraded"], "reviews");
/// assert_eq!(response.headers()["cache-control"], "no-store");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Default, Debug)]
pub struct DegradedLayer {
    tells_causes: bool,
    is_cacheable: bool,
}

/// The service of [`DegradedLayer`].
#[derive(Clone, Copy, Debug)]
pub struct Degraded<S> {
    inner: S,
    layer: DegradedLayer,
}

// ===== impl DegradedLayer =====

impl DegradedLayer {
    /// Tells names and nothing else, and keeps responses that are less than whole out of caches.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            tells_causes: false,
            is_cacheable: false,
        }
    }

    /// Tells of each feature why it is less than whole, and what was given in its place: `reviews;cause=timed_out;given=value`. Default: no, that is for the inside.
    #[must_use]
    pub const fn tell_causes(mut self, tell: bool) -> Self {
        self.tells_causes = tell;
        self
    }

    /// Leaves `Cache-Control` as it is; what a [`FallbackLayer`](crate::FallbackLayer) or a [`LastGoodLayer`](crate::LastGoodLayer) gave says `no-store` by itself. Default: no, and it becomes `no-store`.
    #[must_use]
    pub const fn cacheable(mut self, cacheable: bool) -> Self {
        self.is_cacheable = cacheable;
        self
    }

    fn mark<B>(self, response: &mut Response<B>, less: Degradations) {
        let all = less.to_vec();
        let items = all.iter().filter_map(|it| self.item(it));
        let list = items.collect::<Vec<_>>().join(", ");
        let headers = response.headers_mut();
        if let Ok(value) = HeaderValue::try_from(list)
            && !value.is_empty()
        {
            // What an upstream said of its own answer stays.
            headers.append(DEGRADED, value);
        }
        if !self.is_cacheable {
            headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        }
        response.extensions_mut().insert(less);
    }

    /// `None` for a name that no field can carry.
    fn item(self, it: &Degradation) -> Option<String> {
        let mut item = encode_token_or_string(it.feature)?;
        if self.tells_causes {
            item.push_str(";cause=");
            item.push_str(it.cause.as_str());
            item.push_str(";given=");
            item.push_str(it.substitute);
        }
        Some(item)
    }
}

/// Keeps a response that was given in place of another out of caches, of which one may stand further in than the [`DegradedLayer`]; and says of it that it is, where no such layer `says` so.
pub(crate) fn say<B>(response: &mut Response<B>, feature: &'static str, says: bool) {
    let item = encode_token_or_string(feature).filter(|_| says);
    let value = item.and_then(|item| HeaderValue::try_from(item).ok());
    let headers = response.headers_mut();
    if let Some(value) = value {
        headers.append(DEGRADED, value);
    }
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
}

impl<S> Layer<S> for DegradedLayer {
    type Service = Degraded<S>;

    fn layer(&self, inner: S) -> Degraded<S> {
        Degraded {
            inner,
            layer: *self,
        }
    }
}

// ===== impl Degraded =====

impl<S, ReqBody, ResBody> Service<Request<ReqBody>> for Degraded<S>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>>,
{
    type Response = Response<ResBody>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<ReqBody>) -> Self::Future {
        ResponseFuture {
            future: gather_call(|| self.inner.call(request)),
            layer: self.layer,
        }
    }
}

pin_project! {
    /// The response of a call whose answer is watched.
    #[must_use = "futures do nothing unless polled"]
    pub struct ResponseFuture<F> {
        #[pin]
        future: Gather<F>,
        layer: DegradedLayer,
    }
}

impl<F, B, E> Future for ResponseFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
{
    type Output = Result<Response<B>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        // Asked where it is polled, as the list is: the call may have been made by somebody else's worker.
        let is_outermost = !is_inside();
        let (result, less) = ready!(this.future.poll(cx));
        Poll::Ready(result.map(|mut response| {
            if let Some(less) = less.filter(|_| is_outermost) {
                this.layer.mark(&mut response, less);
            }
            response
        }))
    }
}

impl<F> fmt::Debug for ResponseFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
