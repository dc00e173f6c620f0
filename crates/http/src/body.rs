//! The response body that carries the guard of its call: the one place where "over" is decided for HTTP and gRPC.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use http::HeaderMap;
use http::response::Parts;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use seaworthy_core::Outcome;
use seaworthy_kit::verdict::classify_error;
use seaworthy_kit::{BoxError, Classify, Settle, Verdict};

pin_project! {
    /// A body that settles its call when it is over.
    ///
    /// | what happens | the verdict |
    /// |---|---|
    /// | the stream ends, by its last frame or by its trailers | that of the head; if the head left it open, that of the trailers |
    /// | the body fails | the classifier's on the error |
    /// | it is dropped after the head said "failure" | failure: the answer was bad, read or not |
    /// | it is dropped before it was ever polled, after the head said "success" | success: the caller has what it came for |
    /// | it is dropped at any other time | abandoned |
    ///
    /// `size_hint` and `is_end_stream` are those of the inner body, until the guard cuts it short: then nothing is left.
    /// A body that has already ended settles as it is made.
    pub struct GuardedBody<B, G: Settle, C> {
        #[pin]
        inner: B,
        call: Option<Call<G, C>>,
        // Set when the guard cut the body short: there is nothing after its error.
        cut: bool,
    }
}

/// What is needed to settle. Dropping it settles too: `GuardedBody` must stay `Unpin` and cannot have a `Drop` that moves out of a pinned field.
struct Call<G: Settle, C> {
    guard: Option<G>,
    classifier: C,
    verdict: Verdict,
    polled: bool,
}

impl<G: Settle, C> Call<G, C> {
    fn settle(mut self, verdict: Verdict) {
        if let Some(guard) = self.guard.take() {
            guard.settle(verdict);
        }
    }

    fn guard(&mut self) -> &mut G {
        self.guard.as_mut().expect("there until it is settled")
    }
}

impl<G: Settle, C> Drop for Call<G, C> {
    fn drop(&mut self) {
        let Some(guard) = self.guard.take() else {
            return;
        };
        match self.verdict.outcome() {
            Some(Outcome::Success) if self.polled => drop(guard),
            // Dropped as it is, the guard settles as abandoned, or as failed in a panic.
            None => drop(guard),
            Some(_) => guard.settle(self.verdict),
        }
    }
}

impl<B, G, C> GuardedBody<B, G, C>
where
    B: Body,
    G: Settle,
    C: Classify<Parts, HeaderMap>,
{
    /// Hands the guard to the body, with what the head of the response said.
    pub(crate) fn new(inner: B, guard: G, classifier: C, verdict: Verdict) -> Self {
        let call = Call {
            guard: Some(guard),
            classifier,
            verdict,
            polled: false,
        };
        // Dropped before the call in a panic, so that what it holds is free when the call is over.
        let inner = inner;
        let call = if inner.is_end_stream() {
            end(call, None);
            None
        } else {
            Some(call)
        };
        Self {
            inner,
            call,
            cut: false,
        }
    }
}

impl<B, G: Settle, C> GuardedBody<B, G, C> {
    /// The inner body. Its call stays open until this body is over or dropped.
    pub const fn get_ref(&self) -> &B {
        &self.inner
    }
}

/// The stream is over.
fn end<G, C>(call: Call<G, C>, trailers: Option<&HeaderMap>)
where
    G: Settle,
    C: Classify<Parts, HeaderMap>,
{
    let verdict = if call.verdict.is_later() {
        call.classifier.classify_end(trailers)
    } else {
        call.verdict
    };
    call.settle(verdict);
}

impl<B, G, C> Body for GuardedBody<B, G, C>
where
    B: Body,
    B::Error: Into<BoxError>,
    G: Settle,
    C: Classify<Parts, HeaderMap>,
{
    type Data = B::Data;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, BoxError>>> {
        let mut this = self.project();
        if *this.cut {
            return Poll::Ready(None);
        }
        // On the stack while the inner body runs: if it panics, unwinding settles the call.
        let Some(mut call) = this.call.take() else {
            return this.inner.poll_frame(cx).map_err(Into::into);
        };
        call.polled = true;
        let frame = call.guard().around(|| this.inner.as_mut().poll_frame(cx));
        match frame {
            Poll::Ready(Some(Ok(frame))) => {
                call.guard().progress();
                if let Some(trailers) = frame.trailers_ref() {
                    end(call, Some(trailers));
                } else if this.inner.is_end_stream() {
                    // A consumer that knows the length does not poll again.
                    end(call, None);
                } else {
                    *this.call = Some(call);
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => {
                let error = error.into();
                let verdict = classify_error(&call.classifier, &error);
                call.settle(verdict);
                Poll::Ready(Some(Err(error)))
            }
            Poll::Ready(None) => {
                end(call, None);
                Poll::Ready(None)
            }
            Poll::Pending => match call.guard().poll_cut(cx) {
                Poll::Ready(error) => {
                    *this.cut = true;
                    let verdict = classify_error(&call.classifier, &error);
                    call.settle(verdict);
                    Poll::Ready(Some(Err(error)))
                }
                Poll::Pending => {
                    *this.call = Some(call);
                    Poll::Pending
                }
            },
        }
    }

    fn is_end_stream(&self) -> bool {
        self.cut || self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        if self.cut {
            SizeHint::with_exact(0)
        } else {
            self.inner.size_hint()
        }
    }
}

impl<B: fmt::Debug, G: Settle, C> fmt::Debug for GuardedBody<B, G, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GuardedBody")
            .field("inner", &self.inner)
            .field("over", &self.call.is_none())
            .finish()
    }
}

#[cfg(test)]
mod tests;
