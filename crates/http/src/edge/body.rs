//! The body of a response that passed the edge: the inner one, or the edge's own.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use seaworthy_kit::{BoxError, Rejection};

use super::kinds::{grpc_status, title};
use super::tell::tell;
use crate::grpc::{GRPC_MESSAGE, GRPC_STATUS, GrpcStatus, encode_message};

pin_project! {
    /// The body of a response that passed the edge.
    pub struct EdgeBody<B> {
        #[pin]
        kind: Kind<B>,
    }
}

pin_project! {
    #[project = Project]
    enum Kind<B> {
        Inner {
            #[pin]
            body: B,
            // gRPC can say what went wrong after the head: in trailers.
            ends_in_trailers: bool,
            tells: bool,
            over: bool,
        },
        Own {
            bytes: Option<Bytes>,
        },
    }
}

impl<B> EdgeBody<B> {
    pub(super) const fn inner(body: B, ends_in_trailers: bool, tells: bool) -> Self {
        let over = false;
        Self {
            kind: Kind::Inner {
                body,
                ends_in_trailers,
                tells,
                over,
            },
        }
    }

    pub(super) fn own(bytes: Bytes) -> Self {
        let bytes = Some(bytes).filter(|bytes| !bytes.is_empty());
        Self {
            kind: Kind::Own { bytes },
        }
    }
}

impl<B> Body for EdgeBody<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match self.project().kind.project() {
            Project::Inner { over: true, .. } => Poll::Ready(None),
            Project::Inner {
                body,
                ends_in_trailers,
                tells,
                over,
            } => match body.poll_frame(cx) {
                Poll::Ready(Some(Err(error))) => {
                    *over = true;
                    let error = error.into();
                    Poll::Ready(Some(if *ends_in_trailers {
                        Ok(Frame::trailers(trailers(&error, *tells)))
                    } else {
                        Err(error)
                    }))
                }
                other => other.map_err(Into::into),
            },
            Project::Own { bytes } => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Inner { body, over, .. } => *over || body.is_end_stream(),
            Kind::Own { bytes } => bytes.is_none(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Inner { over: true, .. } => SizeHint::with_exact(0),
            Kind::Inner { body, .. } => body.size_hint(),
            Kind::Own { bytes } => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
            }
        }
    }
}

/// The trailers of a gRPC response that broke off: what a rejection says, and of another error nothing unless it is to be told.
fn trailers(error: &BoxError, tells: bool) -> HeaderMap {
    let (status, message) = match Rejection::find(&**error) {
        Some(rejection) => (grpc_status(rejection.kind()), title(rejection.kind())),
        None => (GrpcStatus::Internal, "the response broke off"),
    };
    let mut trailers = HeaderMap::with_capacity(2);
    trailers.insert(GRPC_STATUS.clone(), u16::from(status.code()).into());
    let message = if tells {
        encode_message(&tell(error))
    } else {
        encode_message(message)
    };
    trailers.insert(GRPC_MESSAGE.clone(), message);
    trailers
}

impl<B> fmt::Debug for EdgeBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let own = matches!(self.kind, Kind::Own { .. });
        f.debug_struct("EdgeBody")
            .field("own", &own)
            .finish_non_exhaustive()
    }
}
