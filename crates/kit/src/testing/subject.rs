//! What the suite is told about the layer under test.

use std::any::Any;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use tower_layer::Layer;
use tower_service::Service;

use super::Inner;
use super::recorder::Recorder;
use crate::{BoxError, Rejection, RejectionKind};

/// A layer that the suite can test: what axum and tonic ask of one, too.
///
/// Implemented for all of them; the bounds are the rows about auto-traits.
///
/// ```
/// # use std::sync::Arc;
/// fn conforms(_: impl seaworthy_kit::testing::Subjected<u32, u32>) {}
///
/// let shared = Arc::new(7);
/// conforms(tower::layer::layer_fn(move |inner| (inner, *shared).0));
/// ```
/// A layer that may not move to another thread does not compile:
/// ```compile_fail
/// # use std::rc::Rc;
/// fn conforms(_: impl seaworthy_kit::testing::Subjected<u32, u32>) {}
///
/// let shared = Rc::new(7);
/// conforms(tower::layer::layer_fn(move |inner| (inner, *shared).0));
/// ```
pub trait Subjected<Req, Res>:
    Layer<
        Inner<Req, Res>,
        Service: Service<Req, Error: Into<BoxError>, Response: Send, Future: Send>
                     + Clone
                     + Send
                     + Sync
                     + 'static,
    > + Clone
    + Send
    + Sync
    + 'static
{
}

impl<L, Req, Res> Subjected<Req, Res> for L where
    L: Layer<
            Inner<Req, Res>,
            Service: Service<Req, Error: Into<BoxError>, Response: Send, Future: Send>
                         + Clone
                         + Send
                         + Sync
                         + 'static,
        > + Clone
        + Send
        + Sync
        + 'static
{
}

/// Keeps a layer in a state for as long as it lives.
pub(crate) type Token = Box<dyn Any>;

type Drain = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What the suite is told about a layer. [`conformance!`](crate::testing::conformance) makes it.
pub struct Subject<L, Req, Res> {
    layer: Box<dyn Fn() -> L>,
    request: Box<dyn Fn() -> Req>,
    response: Box<dyn Fn() -> Res>,
    pub(crate) readiness: Readiness,
    pub(crate) errors: Errors,
    pub(crate) on_drop: OnDrop,
    held: Option<Box<dyn Fn(&L) -> usize>>,
    events: Option<Box<dyn Fn(&L, &Recorder)>>,
    refuses: Option<(Box<dyn Fn(&L) -> Token>, Rejects)>,
    waits: Option<Box<dyn Fn(&L) -> Token>>,
    drains: Option<Box<dyn Fn(&L) -> Drain>>,
    observes: Option<Box<dyn Fn(&L, bool)>>,
    meddles: Option<Box<dyn Fn(&L, u64)>>,
}

/// When the service is ready.
#[doc(hidden)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(non_camel_case_types, reason = "the words of the macro")]
#[expect(clippy::exhaustive_enums, reason = "only the macro names them")]
pub enum Readiness {
    /// When the inner service is, or at once where the next call would be refused.
    inner,
    /// Always: it waits for the inner service in the response future.
    always,
}

/// What becomes of an error of the inner service.
#[doc(hidden)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(non_camel_case_types, reason = "the words of the macro")]
#[expect(clippy::exhaustive_enums, reason = "only the macro names them")]
pub enum Errors {
    /// It passes as it is.
    unchanged,
    /// It is a source of another error.
    wrapped,
}

/// What becomes of the inner call when the response future is dropped.
#[doc(hidden)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(non_camel_case_types, reason = "the words of the macro")]
#[expect(clippy::exhaustive_enums, reason = "only the macro names them")]
pub enum OnDrop {
    /// It is dropped, too.
    cancels,
    /// It goes on in a task of its own.
    detaches,
}

/// How a layer that refuses is expected to do so.
#[derive(Clone, Debug)]
pub struct Rejects {
    kind: RejectionKind,
    layer: &'static str,
    says_when: bool,
}

// ===== impl Rejects =====

impl Rejects {
    /// With a [`Rejection`] of that kind, in the name of that layer.
    #[must_use]
    pub const fn with(kind: RejectionKind, layer: &'static str) -> Self {
        Self {
            kind,
            layer,
            says_when: false,
        }
    }

    /// And with a time after which to come back.
    #[must_use]
    pub const fn says_when(mut self) -> Self {
        self.says_when = true;
        self
    }

    pub(crate) fn check(&self, error: &BoxError) {
        let rejection = Rejection::find(&**error).unwrap_or_else(|| {
            panic!("expected a rejection by `{}`, got: {error}", self.layer);
        });
        assert_eq!(rejection.kind(), self.kind);
        assert_eq!(rejection.layer(), self.layer);
        assert!(
            !rejection.reached_inner(),
            "a refusal did not reach the inner service"
        );
        if self.says_when {
            let after = rejection
                .retry_after()
                .expect("it is known when to come back");
            assert!(after > Duration::ZERO, "now is not a time to come back");
        }
    }
}

// ===== impl Subject =====

impl<L, Req, Res> Subject<L, Req, Res>
where
    L: Subjected<Req, Res>,
    Req: Send + 'static,
    Res: Send + 'static,
{
    /// A layer in a state in which it admits eight calls at a time, and what goes through it.
    #[must_use]
    pub fn new(
        layer: impl Fn() -> L + 'static,
        request: impl Fn() -> Req + 'static,
        response: impl Fn() -> Res + 'static,
        readiness: Readiness,
        errors: Errors,
        on_drop: OnDrop,
    ) -> Self {
        Self {
            layer: Box::new(layer),
            request: Box::new(request),
            response: Box::new(response),
            readiness,
            errors,
            on_drop,
            held: None,
            events: None,
            refuses: None,
            waits: None,
            drains: None,
            observes: None,
            meddles: None,
        }
    }

    /// How many calls hold something of the layer now.
    #[must_use]
    pub fn held(mut self, held: impl Fn(&L) -> usize + 'static) -> Self {
        self.held = Some(Box::new(held));
        self
    }

    /// Lets the recorder hear of all that happens in the layer.
    #[must_use]
    pub fn events(mut self, listen: impl Fn(&L, &Recorder) + 'static) -> Self {
        self.events = Some(Box::new(listen));
        self
    }

    /// Makes the layer refuse each call for as long as the returned value lives, and says how it does so.
    #[must_use]
    pub fn refuses<T: 'static>(
        mut self,
        refuse: impl Fn(&L) -> T + 'static,
        rejects: Rejects,
    ) -> Self {
        self.refuses = Some((Box::new(move |layer| Box::new(refuse(layer))), rejects));
        self
    }

    /// Makes each call wait for as long as the returned value lives.
    #[must_use]
    pub fn waits<T: 'static>(mut self, fill: impl Fn(&L) -> T + 'static) -> Self {
        self.waits = Some(Box::new(move |layer| Box::new(fill(layer))));
        self
    }

    /// Refuses new calls, and is ready when those that run have ended.
    #[must_use]
    pub fn drains<F>(mut self, drain: impl Fn(&L) -> F + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.drains = Some(Box::new(move |layer| Box::pin(drain(layer))));
        self
    }

    /// Switches between refusals that are enforced and refusals that are only reported.
    #[must_use]
    pub fn observes(mut self, observe: impl Fn(&L, bool) + 'static) -> Self {
        self.observes = Some(Box::new(observe));
        self
    }

    /// Does to the layer what an operator may do at any time, by a random draw.
    #[must_use]
    pub fn meddles(mut self, meddle: impl Fn(&L, u64) + 'static) -> Self {
        self.meddles = Some(Box::new(meddle));
        self
    }

    pub(crate) fn layer(&self) -> L {
        (self.layer)()
    }

    pub(crate) fn request(&self) -> Req {
        (self.request)()
    }

    pub(crate) fn response(&self) -> Res {
        (self.response)()
    }

    /// What calls hold; zero where the suite was not told how to know.
    pub(crate) fn count_held(&self, layer: &L) -> usize {
        self.held.as_ref().map_or(0, |held| held(layer))
    }

    pub(crate) fn listen(&self, layer: &L, recorder: &Recorder) {
        if let Some(listen) = &self.events {
            listen(layer, recorder);
        }
    }

    pub(crate) const fn has_events(&self) -> bool {
        self.events.is_some()
    }

    pub(crate) const fn has_waits(&self) -> bool {
        self.waits.is_some()
    }

    pub(crate) fn refuse(&self, layer: &L) -> (Token, &Rejects) {
        let (refuse, rejects) = self.refuses.as_ref().expect("a row about refusals");
        (refuse(layer), rejects)
    }

    pub(crate) fn fill(&self, layer: &L) -> Token {
        (self.waits.as_ref().expect("a row about waiting"))(layer)
    }

    pub(crate) fn drain(&self, layer: &L) -> Drain {
        (self.drains.as_ref().expect("a row about draining"))(layer)
    }

    pub(crate) fn observe(&self, layer: &L, on: bool) {
        (self.observes.as_ref().expect("a row about observing"))(layer, on);
    }

    pub(crate) fn meddle(&self, layer: &L, draw: u64) {
        if let Some(meddle) = &self.meddles {
            meddle(layer, draw);
        }
    }
}

impl<L, Req, Res> fmt::Debug for Subject<L, Req, Res> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subject")
            .field("readiness", &self.readiness)
            .field("errors", &self.errors)
            .field("on_drop", &self.on_drop)
            .finish_non_exhaustive()
    }
}
