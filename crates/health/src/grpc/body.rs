//! The body of a gRPC answer: one message, or a stream of them, and the trailers.

use std::convert::Infallible;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use seaworthy_http::grpc::{GRPC_MESSAGE, GRPC_STATUS, GrpcStatus, encode_message};

use super::message::check_response;
use super::watch::{Step, Watch};

/// What the registry answers: one message, or a stream of them, and the trailers.
pub struct Messages(Kind);

enum Kind {
    /// One message, and the trailers after it.
    Once(Bytes),
    /// Messages as they come.
    Stream(Step),
    /// The trailers, nothing else.
    Trailers(HeaderMap),
    Over,
}

// ===== impl Messages =====

impl Messages {
    pub(super) const fn once(message: Bytes) -> Self {
        Self(Kind::Once(message))
    }

    pub(super) fn watch(watch: Watch) -> Self {
        Self(Kind::Stream(watch.step()))
    }

    /// Nothing: the head said it all.
    pub(super) const fn over() -> Self {
        Self(Kind::Over)
    }
}

impl Body for Messages {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let (frame, next) = match std::mem::replace(&mut self.0, Kind::Over) {
            Kind::Once(message) => {
                let trailers = trailers(GrpcStatus::Ok, "");
                (Some(Frame::data(message)), Kind::Trailers(trailers))
            }
            Kind::Trailers(trailers) => (Some(Frame::trailers(trailers)), Kind::Over),
            Kind::Over => (None, Kind::Over),
            Kind::Stream(mut step) => match step.as_mut().poll(cx) {
                Poll::Pending => {
                    self.0 = Kind::Stream(step);
                    return Poll::Pending;
                }
                Poll::Ready((watch, Some(status))) => {
                    let frame = Frame::data(check_response(status));
                    (Some(frame), Kind::Stream(watch.step()))
                }
                Poll::Ready((_, None)) => {
                    // Anything but UNIMPLEMENTED, and clients watch again, somewhere else.
                    let ends = trailers(GrpcStatus::Unavailable, "the server shuts down");
                    (Some(Frame::trailers(ends)), Kind::Over)
                }
            },
        };
        self.0 = next;
        Poll::Ready(frame.map(Ok))
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.0, Kind::Over)
    }

    fn size_hint(&self) -> SizeHint {
        match self.0 {
            Kind::Over => SizeHint::with_exact(0),
            _ => SizeHint::default(),
        }
    }
}

impl fmt::Debug for Messages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Messages")
            .field("over", &self.is_end_stream())
            .finish_non_exhaustive()
    }
}

fn trailers(status: GrpcStatus, message: &str) -> HeaderMap {
    let mut trailers = HeaderMap::with_capacity(2);
    trailers.insert(GRPC_STATUS.clone(), u16::from(status.code()).into());
    if !message.is_empty() {
        trailers.insert(GRPC_MESSAGE.clone(), encode_message(message));
    }
    trailers
}
