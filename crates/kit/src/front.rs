//! The front of a layer that admits every call and may make it more than once: what it is made of, its readiness, and the drain.

use std::fmt;
use std::task::{Context, Poll};

use tower_service::Service;

use crate::deferred::Source;
use crate::gate::{Gate, Guard, NoWait, Refusal};
use crate::telemetry::Telemetry;
use crate::verdict::Verdict;
use crate::{Asked, BoxError, Rules};

/// What is shared by the services of such a layer: it refuses calls only while it drains.
///
/// It is a [`Gate`] whose admissions are nothing.
pub trait Open: Send + Sync + 'static {
    /// Where it reports to.
    fn reports_to(&self) -> &Telemetry;

    /// See [`Gate::is_forgettable`].
    fn is_forgettable(&self) -> bool {
        true
    }
}

/// When calls are over, how they are made again, and what the user says to that.
#[derive(Clone, Debug)]
#[expect(clippy::exhaustive_structs, reason = "its owners take it apart")]
pub struct Protocol<T, A, P = Rules> {
    /// When calls are over and how they ended.
    pub traffic: T,
    /// How requests are sent again, and which answers ask for it.
    pub replay: A,
    /// What the user says in place of it.
    pub rules: P,
}

/// What a layer has in common with each of its services, and a service with its clones.
#[derive(Clone)]
#[expect(clippy::exhaustive_structs, reason = "its owners take it apart")]
pub struct Root<T, A, P, C, N> {
    /// When calls are over, and how they are made again.
    pub protocol: Protocol<T, A, P>,
    /// Where the gate of a call comes from.
    pub source: C,
    /// Where calls are counted; each clone of a service has one of its own.
    pub counter: N,
}

/// An inner service with what stands in front of it.
///
/// # Readiness
/// That of the inner service, and nothing is reserved.
/// While the layer drains it is ready at once, and the next call is refused, whether the drain is over by then or not: the inner service was not polled for it.
pub struct Front<S, T, A, P, C, N> {
    inner: S,
    root: Root<T, A, P, C, N>,
    /// The next call is refused.
    is_draining: bool,
}

// ===== impl Open =====

impl<G: Open> Gate for G {
    type Admission = ();
    type Wait = NoWait<()>;

    fn check(&self) -> Result<(), Refusal> {
        Ok(())
    }

    fn try_admit(&self) -> Result<(), Refusal> {
        Ok(())
    }

    #[inline]
    fn admit_healthy(&self) -> Option<()> {
        Some(())
    }

    #[inline]
    fn settle(&self, (): (), _: Verdict) {}

    #[inline]
    fn telemetry(&self) -> &Telemetry {
        self.reports_to()
    }

    fn is_forgettable(&self) -> bool {
        Open::is_forgettable(self)
    }
}

// ===== impl Protocol =====

impl<T, A> Protocol<T, A> {
    /// Without a word of the user's.
    pub fn new(traffic: T, replay: A) -> Self {
        Self {
            traffic,
            replay,
            rules: Rules::default(),
        }
    }
}

impl<T, A, P> Protocol<T, A, P> {
    /// With another word on when calls are over.
    pub fn with_traffic<U>(self, traffic: U) -> Protocol<U, A, P> {
        Protocol {
            traffic,
            replay: self.replay,
            rules: self.rules,
        }
    }

    /// With another way to send requests again, made of the present one.
    pub fn map_replay<B>(self, map: impl FnOnce(A) -> B) -> Protocol<T, B, P> {
        Protocol {
            traffic: self.traffic,
            replay: map(self.replay),
            rules: self.rules,
        }
    }

    fn map_rules<O>(self, map: impl FnOnce(P) -> O) -> Protocol<T, A, O> {
        Protocol {
            traffic: self.traffic,
            replay: self.replay,
            rules: map(self.rules),
        }
    }
}

impl<T, A, Q, R> Protocol<T, A, Rules<Q, R>> {
    /// With a closure that says which requests may be sent again.
    pub fn requests<F>(self, may_repeat: F) -> Protocol<T, A, Rules<Asked<F>, R>> {
        self.map_rules(|rules| rules.requests(may_repeat))
    }

    /// With a closure that says which responses ask for another attempt.
    pub fn responses<F>(self, is_transient: F) -> Protocol<T, A, Rules<Q, Asked<F>>> {
        self.map_rules(|rules| rules.responses(is_transient))
    }
}

// ===== impl Root =====

impl<T, A, P, C, N> Root<T, A, P, C, N> {
    /// Puts all that in front of a service.
    pub fn front<S>(&self, inner: S) -> Front<S, T, A, P, C, N>
    where
        Self: Clone,
    {
        Front {
            inner,
            root: self.clone(),
            is_draining: false,
        }
    }
}

impl<T, A, P, C: fmt::Debug, N> fmt::Debug for Root<T, A, P, C, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Root")
            .field("source", &self.source)
            .finish_non_exhaustive()
    }
}

// ===== impl Front =====

impl<S, T, A, P, C, N> Front<S, T, A, P, C, N> {
    /// The inner service.
    pub const fn get_ref(&self) -> &S {
        &self.inner
    }

    /// The inner service.
    pub const fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// The inner service alone.
    pub fn into_inner(self) -> S {
        self.inner
    }

    /// What it has in common with its clones.
    #[inline(always)]
    pub const fn root(&self) -> &Root<T, A, P, C, N> {
        &self.root
    }

    /// Where its calls are counted.
    #[inline(always)]
    pub const fn counter(&mut self) -> &mut N {
        &mut self.root.counter
    }

    /// Whether a call can be made.
    #[inline(always)]
    pub fn poll_ready<Req, Sent>(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>>
    where
        C: Source<Req>,
        S: Service<Sent>,
        S::Error: Into<BoxError>,
    {
        if self.root.source.is_draining() {
            self.is_draining = true;
            return Poll::Ready(Ok(()));
        }
        let ready = self.inner.poll_ready(cx);
        if ready.is_pending() && self.is_draining {
            // Who was told "ready" may call, and is refused as it would have been then.
            return Poll::Ready(Ok(()));
        }
        self.is_draining = false;
        ready.map_err(Into::into)
    }

    /// The guard of a call, unless the layer drains.
    ///
    /// It exists before the inner service is called, so that a panic in there is settled.
    ///
    /// # Errors
    /// If it drains, or did when the service was found ready.
    #[inline(always)]
    pub fn admit<Req>(&mut self, request: &Req) -> Result<Guard<C::Gate>, BoxError>
    where
        C: Source<Req>,
    {
        if std::mem::take(&mut self.is_draining) {
            return Err(Guard::refuse_draining(self.root.source.hold(request)));
        }
        self.root.source.admit(request)
    }
}

/// A clone has no kept refusal, and starts to count where the original does.
impl<S: Clone, T, A, P, C, N> Clone for Front<S, T, A, P, C, N>
where
    Root<T, A, P, C, N>: Clone,
{
    fn clone(&self) -> Self {
        self.root.front(self.inner.clone())
    }
}

impl<S: fmt::Debug, T, A, P, C: fmt::Debug, N> fmt::Debug for Front<S, T, A, P, C, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Front")
            .field("source", &self.root.source)
            .field("inner", &self.inner)
            .finish_non_exhaustive()
    }
}
