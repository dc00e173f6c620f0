//! The body of the inner service's answer, or that of what was given in its place.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use seaworthy_kit::BoxError;

pin_project! {
    /// The body of the inner service's answer, or that of what was given in its place.
    pub struct EitherBody<B, C> {
        #[pin]
        body: Either<B, C>,
    }
}

pin_project! {
    #[project = Project]
    enum Either<B, C> {
        Inner { #[pin] body: B },
        Given { #[pin] body: C },
    }
}

impl<B, C> EitherBody<B, C> {
    pub(super) const fn inner(body: B) -> Self {
        Self {
            body: Either::Inner { body },
        }
    }

    pub(super) const fn given(body: C) -> Self {
        Self {
            body: Either::Given { body },
        }
    }
}

impl<B, C> Body for EitherBody<B, C>
where
    B: Body,
    C: Body<Data = B::Data>,
    B::Error: Into<BoxError>,
    C::Error: Into<BoxError>,
{
    type Data = B::Data;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, BoxError>>> {
        match self.project().body.project() {
            Project::Inner { body } => body.poll_frame(cx).map_err(Into::into),
            Project::Given { body } => body.poll_frame(cx).map_err(Into::into),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.body {
            Either::Inner { body } => body.is_end_stream(),
            Either::Given { body } => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.body {
            Either::Inner { body } => body.size_hint(),
            Either::Given { body } => body.size_hint(),
        }
    }
}

/// Empty, where what was given can be: a response that is refused further out has such a body.
impl<B, C: Default> Default for EitherBody<B, C> {
    fn default() -> Self {
        Self::given(C::default())
    }
}

impl<B, C> fmt::Debug for EitherBody<B, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let given = matches!(self.body, Either::Given { .. });
        f.debug_struct("EitherBody")
            .field("given", &given)
            .finish_non_exhaustive()
    }
}
