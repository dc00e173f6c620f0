//! A body that does what bytes tell it to do, and the reader of such bytes.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};

/// What a body does when it is polled once.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Step {
    Data(Bytes),
    Pending,
    Trailers(HeaderMap),
    Fail,
}

/// A body that follows its steps; what comes after trailers or a failure is never reached.
///
/// It panics when it is polled after it has said that it is over.
#[derive(Clone, Debug)]
pub(super) struct Script {
    steps: VecDeque<Step>,
    tells: Tells,
    over: bool,
    said: bool,
}

/// What a body says before it is polled for it.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Tells {
    /// That it is over.
    pub(super) end: bool,
    /// How many bytes are left.
    pub(super) length: bool,
}

/// Reads decisions out of bytes; zeros once they have run out.
pub(super) struct Dice<'a>(&'a [u8]);

// ===== impl Dice =====

impl<'a> Dice<'a> {
    pub(super) fn new(input: &'a [u8]) -> Self {
        Self(input)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn byte(&mut self) -> u8 {
        match self.0.split_first() {
            Some((byte, rest)) => {
                self.0 = rest;
                *byte
            }
            None => 0,
        }
    }

    pub(super) fn below(&mut self, end: u8) -> u8 {
        self.byte() % end
    }

    pub(super) fn flip(&mut self) -> bool {
        self.byte() & 1 == 1
    }

    pub(super) fn tells(&mut self) -> Tells {
        let byte = self.byte();
        Tells {
            end: byte & 1 == 1,
            length: byte & 2 == 2,
        }
    }

    /// Up to fifteen steps; the last may be trailers or a failure.
    pub(super) fn steps(&mut self) -> Vec<Step> {
        let mut steps: Vec<_> = (0..self.below(15))
            .map(|_| match self.below(4) {
                0 => Step::Pending,
                length => Step::Data(Bytes::from(vec![self.byte(); usize::from(length) - 1])),
            })
            .collect();
        match self.below(4) {
            0 => steps.push(Step::Fail),
            1 => {
                let mut trailers = HeaderMap::new();
                if self.flip() {
                    trailers.insert("grpc-status", u16::from(self.below(20)).into());
                }
                steps.push(Step::Trailers(trailers));
            }
            _ => {}
        }
        steps
    }
}

// ===== impl Script =====

impl Script {
    pub(super) fn new(steps: &[Step], tells: Tells) -> Self {
        Self {
            steps: steps.iter().cloned().collect(),
            tells,
            over: false,
            said: false,
        }
    }
}

impl Body for Script {
    type Data = Bytes;
    type Error = &'static str;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, &'static str>>> {
        assert!(!self.said, "polled after its end");
        if self.over {
            self.said = true;
            return Poll::Ready(None);
        }
        match self.steps.pop_front() {
            Some(Step::Pending) => Poll::Pending,
            Some(Step::Data(data)) => Poll::Ready(Some(Ok(Frame::data(data)))),
            Some(Step::Trailers(trailers)) => {
                self.over = true;
                Poll::Ready(Some(Ok(Frame::trailers(trailers))))
            }
            Some(Step::Fail) => {
                (self.over, self.said) = (true, true);
                Poll::Ready(Some(Err("broke off")))
            }
            None => {
                (self.over, self.said) = (true, true);
                Poll::Ready(None)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.over || (self.tells.end && self.steps.is_empty())
    }

    fn size_hint(&self) -> SizeHint {
        if self.tells.length {
            SizeHint::with_exact(length(self.steps.iter()))
        } else {
            SizeHint::default()
        }
    }
}

/// How many bytes of data these steps have.
pub(super) fn length<'a>(steps: impl IntoIterator<Item = &'a Step>) -> u64 {
    let lengths = steps.into_iter().map(|step| match step {
        Step::Data(data) => data.len() as u64,
        Step::Pending | Step::Trailers(_) | Step::Fail => 0,
    });
    lengths.sum()
}

/// One poll of a body.
pub(super) fn poll<B: Body + Unpin>(
    body: &mut B,
) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
    Pin::new(body).poll_frame(&mut Context::from_waker(Waker::noop()))
}
