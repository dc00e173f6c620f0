//! When a call is over and how it ended: the trait that lets one layer serve plain services, HTTP and gRPC.

use std::any::Any;
use std::task::{Context, Poll};

use crate::BoxError;
use crate::quota::Quotas;
use crate::verdict::{Classify, ClassifyFn, ErrorsAsFailures, Verdict, classify_error};

/// Something that waits for the end of one call: a guard.
///
/// It reports exactly one outcome. Dropped unsettled, it settles as abandoned.
pub trait Settle: Send + Sync + Unpin + 'static {
    /// The call is over.
    fn settle(self, verdict: Verdict);

    /// Asked each time the response has nothing to give yet: whether the call is to be cut short, and with which error.
    ///
    /// A guard that returns `Pending` here has registered the waker, or never cuts.
    fn poll_cut(&mut self, cx: &mut Context<'_>) -> Poll<BoxError> {
        let _ = cx;
        Poll::Pending
    }

    /// Told each time that a part of the response arrived.
    fn progress(&mut self) {}

    /// Shown the head of the response as soon as it is there, in the type of its traffic, of HTTP `http::response::Parts`, with the verdict on it; the call goes on for as long as its body.
    fn heed(&mut self, head: &dyn Any, verdict: Verdict) {
        let _ = (head, verdict);
    }

    /// What is left of the caller's quotas, for a response that can carry it.
    fn quotas(&self) -> Option<Quotas> {
        None
    }

    /// Runs each poll of the response's body, so that a guard may put something around it, as the deadline that travels.
    fn around<R>(&mut self, poll: impl FnOnce() -> R) -> R {
        poll()
    }
}

/// When a call is over, and how it ended.
///
/// A plain response is over when its future is ready; an HTTP response when its body is.
/// A layer is written once, generic over this trait, and the user says which of the two it is by the constructor: `XLayer::plain(..)` or `XLayer::http(..)`.
pub trait Traffic<Res>: Clone {
    /// What the caller gets: the response itself, or the response with the guard in its body.
    type Response<G: Settle>;

    /// Hands the response over together with the guard of its call.
    fn finish<G: Settle>(&self, response: Res, guard: G) -> Self::Response<G>;

    /// The verdict on a call that ended with an error instead of a response.
    fn failed(&self, error: &BoxError) -> Verdict;
}

/// Responses without a body: the call is over when its future is ready.
#[derive(Clone, Copy, Default, Debug)]
pub struct Plain<C = ErrorsAsFailures> {
    classifier: C,
}

impl Plain {
    /// An answer is a success, an error is a failure.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            classifier: ErrorsAsFailures::new(),
        }
    }
}

impl<C> Plain<C> {
    /// Another classifier.
    pub const fn with_classifier(classifier: C) -> Self {
        Self { classifier }
    }
}

impl<F> Plain<ClassifyFn<F>> {
    /// A closure as the classifier.
    pub const fn classify<Res>(classify: F) -> Self
    where
        F: Fn(Result<&Res, &BoxError>) -> Verdict,
    {
        Self::with_classifier(ClassifyFn::new(classify))
    }
}

impl<Res, C> Traffic<Res> for Plain<C>
where
    C: Classify<Res> + Clone,
{
    type Response<G: Settle> = Res;

    #[inline(always)]
    fn finish<G: Settle>(&self, response: Res, guard: G) -> Res {
        guard.settle(self.classifier.classify(Ok(&response)));
        response
    }

    fn failed(&self, error: &BoxError) -> Verdict {
        classify_error(&self.classifier, error)
    }
}
