//! The layer of a client: tells the callee the class of the work that calls.

use std::fmt;
use std::task::{Context, Poll};

use seaworthy_kit::criticality::{self, Carry, Criticality, Scoped};
use tower_layer::Layer;
use tower_service::Service;

use super::CriticalityHeader;

/// Writes the class of each call into its request, and opens it for the layers inside.
///
/// It stands outermost on a client, so that whatever refuses calls by their class knows it; errors and responses pass as they are.
///
/// # How it decides
/// The class is what is noted in the request's extensions, else that of the task: of the request that is being handled, or of a [`scope`](super::scope).
/// A header that is there already can only lower it: it may be of a request that is being forwarded, and a stranger's word.
/// Where neither says anything the request is left as it is, with or without a header; a callee takes a request without one for [`Critical`](Criticality::Critical).
///
/// ```
/// use http::{Request, Response};
/// use seaworthy_http::criticality::{Criticality, PropagateCriticalityLayer, scope};
/// use tower::{Layer, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), std::convert::Infallible> {
/// let client = PropagateCriticalityLayer::http().layer(service_fn(|request: Request<()>| async move {
///     Ok::<_, std::convert::Infallible>(Response::new(request.headers().get("x-criticality").cloned()))
/// }));
///
/// let told = scope(Criticality::SheddablePlus, client.clone().oneshot(Request::new(()))).await?;
/// assert_eq!(told.into_body().unwrap(), "sheddable-plus");
///
/// // One call of another class, by a note in the request.
/// let mut audit = Request::new(());
/// audit.extensions_mut().insert(Criticality::CriticalPlus);
/// assert_eq!(client.oneshot(audit).await?.into_body().unwrap(), "critical-plus");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct PropagateCriticalityLayer<C = CriticalityHeader> {
    carry: C,
}

/// An inner service whose callees are told the class of each call. See [`PropagateCriticalityLayer`].
#[derive(Clone)]
pub struct PropagateCriticality<S, C = CriticalityHeader> {
    inner: S,
    carry: C,
}

// ===== impl PropagateCriticalityLayer =====

impl PropagateCriticalityLayer {
    /// For HTTP and gRPC, and for `reqwest::Client`: in `x-criticality`.
    #[must_use]
    pub fn http() -> Self {
        Self::new(CriticalityHeader::default())
    }
}

impl<C> PropagateCriticalityLayer<C> {
    /// Another header, or what carries a class in requests that are not HTTP.
    pub const fn new(carry: C) -> Self {
        Self { carry }
    }
}

impl<S, C: Clone> Layer<S> for PropagateCriticalityLayer<C> {
    type Service = PropagateCriticality<S, C>;

    fn layer(&self, inner: S) -> Self::Service {
        PropagateCriticality {
            inner,
            carry: self.carry.clone(),
        }
    }
}

// ===== impl PropagateCriticality =====

impl<S, C> PropagateCriticality<S, C> {
    /// The inner service.
    pub const fn get_ref(&self) -> &S {
        &self.inner
    }

    /// The inner service.
    pub const fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// The inner service, whose callees are told nothing.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S, C, Req> Service<Req> for PropagateCriticality<S, C>
where
    S: Service<Req>,
    C: Carry<Req>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Scoped<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Req) -> Self::Future {
        let class = tell(&self.carry, &mut request);
        let _entered = criticality::enter(class);
        Scoped::new(class, self.inner.call(request))
    }
}

/// Puts the class into the request, where anybody said which it is.
fn tell<Req>(carry: &impl Carry<Req>, request: &mut Req) -> Option<Criticality> {
    let given = carry.class_given(request);
    let own = carry.class_noted(request).or_else(criticality::current);
    let Some(own) = own else {
        return given;
    };
    let class = given.map_or(own, |given| given.min(own));
    if given != Some(class) {
        carry.give_class(request, class);
    }
    Some(class)
}

impl<S: fmt::Debug, C> fmt::Debug for PropagateCriticality<S, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PropagateCriticality")
            .field("inner", &self.inner)
            .finish_non_exhaustive()
    }
}
