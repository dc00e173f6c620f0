//! The body of a response that passed a layer of health: the inner one, or the layer's own.

use std::convert::Infallible;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

pin_project! {
    /// The body of a response that passed the layer: the inner one, or the layer's own.
    pub struct HealthBody<B, O = Content> {
        #[pin]
        kind: Kind<B, O>,
    }
}

pin_project! {
    #[project = Project]
    enum Kind<B, O> {
        Inner { #[pin] body: B },
        Own { #[pin] own: O },
    }
}

/// A document, or nothing.
#[derive(Clone, Default, Debug)]
pub struct Content(Option<Bytes>);

impl<B, O> HealthBody<B, O> {
    pub(crate) const fn inner(body: B) -> Self {
        Self {
            kind: Kind::Inner { body },
        }
    }

    pub(crate) const fn own(own: O) -> Self {
        Self {
            kind: Kind::Own { own },
        }
    }
}

impl<B, O> Body for HealthBody<B, O>
where
    B: Body<Data = Bytes>,
    O: Body<Data = Bytes, Error = Infallible>,
{
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        match self.project().kind.project() {
            Project::Inner { body } => body.poll_frame(cx),
            Project::Own { own } => own.poll_frame(cx).map_err(|never| match never {}),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Inner { body } => body.is_end_stream(),
            Kind::Own { own } => own.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Inner { body } => body.size_hint(),
            Kind::Own { own } => own.size_hint(),
        }
    }
}

impl<B, O> fmt::Debug for HealthBody<B, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let own = matches!(self.kind, Kind::Own { .. });
        f.debug_struct("HealthBody")
            .field("own", &own)
            .finish_non_exhaustive()
    }
}

// ===== impl Content =====

impl From<Bytes> for Content {
    fn from(bytes: Bytes) -> Self {
        Self(Some(bytes).filter(|bytes| !bytes.is_empty()))
    }
}

impl From<String> for Content {
    fn from(text: String) -> Self {
        Bytes::from(text).into()
    }
}

impl Body for Content {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.take().map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.0.as_ref().map_or(0, |bytes| bytes.len() as u64))
    }
}
