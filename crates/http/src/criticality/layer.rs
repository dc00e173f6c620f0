//! The layer of a server: which class a request has, opened for everything inside.

use std::fmt;
use std::task::{Context, Poll};

use http::{Request, Response};
use http_body::Body;
use seaworthy_kit::criticality::{self, Carry, Criticality};
use tower_layer::Layer;
use tower_service::Service;

use super::CriticalityHeader;
use super::InClass;
use super::future::ResponseFuture;
use crate::body::GuardedBody;
use crate::classify::DefaultClassifier;

/// Decides the class of each request, and opens it for everything inside: layers, the handler, its outgoing calls, the body that it answers with.
///
/// It stands outside of all layers that look at the class; it refuses nothing itself, and the errors of the inner service pass as they are.
///
/// # How it decides
/// What the server's own code says about the request comes first: the [function](Self::class_for), the [class](Self::class) of the layer, what is noted in the request's extensions, the class of the task, and in the end [`Critical`](Criticality::Critical).
/// What the caller says in the [header](Self::header) can only lower that, unless callers are [trusted](Self::trust).
///
/// With one such layer around the whole server and others around some routes, the innermost counts: so a route gets a class of its own.
///
/// # A stranger's word
/// Anybody can write the header, so from a stranger it is a wish: to be less important is granted, to be more important is not.
/// Where the header names another class than the request gets, it is rewritten, as well as where it names none: code further in that forwards requests as they are, and services behind it that do trust their callers, are not to take the stranger's word for ours.
/// A server whose callers are all services of one's own, be it behind a gateway that has this layer, trusts them; otherwise a class would end at the first hop.
///
/// # How far the class goes
/// It is seen (by [`current`](super::current)) in the inner `call`, in every poll of the response future, and in every poll of the response body.
/// A class other than the default is noted in the request's extensions too, where a handler may extract it, and a layer of this kind finds it again behind a queue that hands requests to a worker.
/// It is not seen in tasks that the handler spawns; [`current`](super::current) and [`scope`](super::scope) take it along.
#[derive(Clone)]
pub struct CriticalityLayer<F = Unsaid> {
    header: Option<CriticalityHeader>,
    trusts: bool,
    class: Option<Criticality>,
    class_for: F,
}

/// An inner service that runs in the class of each request. See [`CriticalityLayer`].
#[derive(Clone)]
pub struct WithCriticality<S, F = Unsaid> {
    inner: S,
    layer: CriticalityLayer<F>,
}

/// No function says which class a request has.
#[derive(Clone, Copy, Default, Debug)]
#[non_exhaustive]
pub struct Unsaid;

/// What our own code says about a request.
pub trait ClassFor<Req> {
    /// The class of this request, where there is something to say.
    fn class_for(&self, request: &Req) -> Option<Criticality>;
}

impl<Req> ClassFor<Req> for Unsaid {
    fn class_for(&self, _: &Req) -> Option<Criticality> {
        None
    }
}

/// A closure says which class a request has.
#[derive(Clone, Copy)]
pub struct ClassForFn<F>(F);

impl<F, Req> ClassFor<Req> for ClassForFn<F>
where
    F: Fn(&Req) -> Option<Criticality>,
{
    fn class_for(&self, request: &Req) -> Option<Criticality> {
        (self.0)(request)
    }
}

// ===== impl CriticalityLayer =====

impl CriticalityLayer {
    /// Requests are [`Critical`](Criticality::Critical), unless their callers ask for less in `x-criticality`.
    #[must_use]
    pub fn new() -> Self {
        Self {
            header: Some(CriticalityHeader::default()),
            trusts: false,
            class: None,
            class_for: Unsaid,
        }
    }
}

impl Default for CriticalityLayer {
    fn default() -> Self {
        Self::new()
    }
}

impl<F> CriticalityLayer<F> {
    /// Where callers say which class a request has; `None` to hear none of them. Default: `x-criticality`.
    ///
    /// A server that trusts some of its callers hears none here, and reads the header in its own [function](Self::class_for).
    #[must_use]
    pub fn header(mut self, header: impl Into<Option<CriticalityHeader>>) -> Self {
        self.header = header.into();
        self
    }

    /// Takes the caller's word, be it for a higher class. Default: off, since nobody asks to be shed first who need not.
    #[must_use]
    pub const fn trust(mut self, trust: bool) -> Self {
        self.trusts = trust;
        self
    }

    /// The class of each request around which the layer stands: of a server, or of a route. Default: none, [`Critical`](Criticality::Critical) where nobody else says anything.
    #[must_use]
    pub fn class(mut self, class: impl Into<Option<Criticality>>) -> Self {
        self.class = class.into();
        self
    }

    /// The class by the request: its method, its path, its tenant; `None` leaves it to [`class`](Self::class). Default: none.
    #[must_use]
    pub fn class_for<G, B>(self, class_for: G) -> CriticalityLayer<ClassForFn<G>>
    where
        G: Fn(&Request<B>) -> Option<Criticality>,
    {
        CriticalityLayer {
            class_for: ClassForFn(class_for),
            header: self.header,
            trusts: self.trusts,
            class: self.class,
        }
    }

    /// The class of a request, and what the caller said, put right.
    fn judge<B>(&self, request: &mut Request<B>) -> Criticality
    where
        F: ClassFor<Request<B>>,
    {
        let carry = self.header.as_ref();
        let noted = request.extensions().get().copied();
        let own = self.class_for.class_for(request).or(self.class);
        let own = own.or(noted).or_else(criticality::current);
        let own = own.unwrap_or_default();
        let given = carry.and_then(|header| header.class_given(request));
        let class = match given {
            Some(given) if self.trusts => given,
            Some(given) => given.min(own),
            None => own,
        };
        if let Some(header) = carry
            && given != Some(class)
            && header.is_there(request.headers())
        {
            header.give_class(request, class);
        }
        // The default needs no note, and so costs no allocation.
        if noted.unwrap_or_default() != class {
            request.extensions_mut().insert(class);
        }
        class
    }
}

impl<S, F: Clone> Layer<S> for CriticalityLayer<F> {
    type Service = WithCriticality<S, F>;

    fn layer(&self, inner: S) -> Self::Service {
        WithCriticality {
            inner,
            layer: self.clone(),
        }
    }
}

// ===== impl WithCriticality =====

impl<S, F> WithCriticality<S, F> {
    /// The inner service.
    pub const fn get_ref(&self) -> &S {
        &self.inner
    }

    /// The inner service.
    pub const fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// The inner service, without classes.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S, F, B, B2> Service<Request<B>> for WithCriticality<S, F>
where
    S: Service<Request<B>, Response = Response<B2>>,
    B2: Body,
    F: ClassFor<Request<B>>,
{
    type Response = Response<GuardedBody<B2, InClass, DefaultClassifier>>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let class = self.layer.judge(&mut request);
        let _entered = criticality::enter(Some(class));
        ResponseFuture::new(class, self.inner.call(request))
    }
}

impl<F> fmt::Debug for CriticalityLayer<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CriticalityLayer")
            .field("header", &self.header)
            .field("trust", &self.trusts)
            .field("class", &self.class)
            .finish_non_exhaustive()
    }
}

impl<S: fmt::Debug, F> fmt::Debug for WithCriticality<S, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WithCriticality")
            .field("inner", &self.inner)
            .field("layer", &self.layer)
            .finish()
    }
}

impl<F> fmt::Debug for ClassForFn<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClassForFn")
    }
}
