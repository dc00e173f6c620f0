//! A body that does what it is told, for tests.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use http_body::{Body, Frame, SizeHint};

use Step::{Data, Trailers};

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Step {
    Data(Vec<u8>),
    Trailers,
    Pending,
    Error,
    Panic,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Hint {
    Unknown,
    AtLeast,
    Exact,
}

/// A body that does what it is told, and says what was read of it.
pub(super) struct Script {
    pub(super) steps: VecDeque<Step>,
    pub(super) hint: Hint,
    /// Whether `is_end_stream` tells the end before it was polled for.
    pub(super) tells_end: bool,
    pub(super) probe: Arc<Probe>,
}

#[derive(Debug, Default)]
pub(super) struct Probe {
    pub(super) read: AtomicU64,
    pub(super) ended: AtomicBool,
    pub(super) broken: AtomicBool,
}

pub(super) fn script(steps: impl IntoIterator<Item = Step>) -> Script {
    Script {
        steps: steps.into_iter().collect(),
        hint: Hint::Exact,
        tells_end: true,
        probe: Arc::default(),
    }
}

pub(super) fn data(text: &str) -> Step {
    Data(text.into())
}

pub(super) fn trailers() -> HeaderMap {
    HeaderMap::from_iter([(http::header::ETAG, HeaderValue::from_static("x"))])
}

impl Script {
    fn left(&self) -> u64 {
        let lengths = self.steps.iter().map(|step| match step {
            Data(data) => data.len() as u64,
            _ => 0,
        });
        lengths.sum()
    }
}

impl Body for Script {
    type Data = Bytes;
    type Error = &'static str;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, &'static str>>> {
        let step = self.steps.pop_front();
        let probe = &self.probe;
        let over = match &step {
            None | Some(Trailers) => true,
            Some(Data(_)) => self.is_end_stream(),
            Some(_) => false,
        };
        probe.ended.fetch_or(over, Ordering::Relaxed);
        Poll::Ready(match step {
            None => None,
            Some(Data(data)) => {
                probe.read.fetch_add(data.len() as u64, Ordering::Relaxed);
                Some(Ok(Frame::data(Bytes::from(data))))
            }
            Some(Trailers) => Some(Ok(Frame::trailers(trailers()))),
            Some(Step::Pending) => return Poll::Pending,
            Some(Step::Error) => {
                probe.broken.store(true, Ordering::Relaxed);
                Some(Err("reset"))
            }
            Some(Step::Panic) => panic!("as told"),
        })
    }

    fn is_end_stream(&self) -> bool {
        self.tells_end && self.steps.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        let mut hint = SizeHint::new();
        match self.hint {
            Hint::Unknown => {}
            Hint::AtLeast => hint.set_lower(self.left()),
            Hint::Exact => hint.set_exact(self.left()),
        }
        hint
    }
}
