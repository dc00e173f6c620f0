//! Bodies that a test feeds, or that never end.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame};
use tokio::sync::mpsc;

/// A body that says the same for ever.
#[derive(Debug)]
pub struct Endless {
    /// Released with the body: a test that keeps a weak reference sees when the body is gone.
    _alive: Arc<()>,
}

impl Endless {
    /// The body, which holds on to this as long as it exists.
    #[must_use]
    pub const fn new(alive: Arc<()>) -> Self {
        Self { _alive: alive }
    }
}

impl Body for Endless {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(&[b'.'; 1024])))))
    }
}

/// A body whose frames, or its failure, come through a channel; it ends when the sender is dropped.
#[derive(Debug)]
pub struct Frames(mpsc::UnboundedReceiver<Result<Frame<Bytes>, std::io::Error>>);

impl Frames {
    /// The body, and what feeds it.
    #[must_use]
    pub fn channel() -> (
        mpsc::UnboundedSender<Result<Frame<Bytes>, std::io::Error>>,
        Self,
    ) {
        let (sender, receiver) = mpsc::unbounded_channel();
        (sender, Self(receiver))
    }
}

impl Body for Frames {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        self.0.poll_recv(cx)
    }
}
