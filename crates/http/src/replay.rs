//! A request body that can be sent again: what one attempt reads of it is kept, up to a cap, for
//! the next.

use std::fmt;
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use http_body::{Body, Frame, SizeHint};

mod home;
use home::{Home, Live};

mod recording;
use recording::Recording;

/// How much of a body is kept by default: 64 KiB.
///
/// Linkerd keeps as much: it holds nearly every request that is not an upload, and 1,000 retryable
/// calls at once keep at most 64 MiB of data.
pub const DEFAULT_CAP: usize = 64 * 1024;

/// Makes `body` replayable: the body of the first attempt, and the handle that makes those of the
/// next.
///
/// At most `cap` bytes of data are kept, and the trailers.
/// Kept data is shared with the attempt by reference count, which may keep a larger buffer alive
/// that it was cut out of; only short frames of a body that has many are copied, lest each of them
/// keeps such a buffer.
/// A body that says at the start that it is longer than `cap` is passed through, and nothing of it
/// is kept; one that is over at the start costs nothing at all.
///
/// ```
/// # use http_body_util::{BodyExt, Full};
/// # use bytes::Bytes;
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// use seaworthy_http::replay::{DEFAULT_CAP, replayable};
///
/// let (handle, first) = replayable(Full::new(Bytes::from("amount=99")), DEFAULT_CAP);
/// assert_eq!(first.collect().await.unwrap().to_bytes(), "amount=99");
///
/// let second = handle.again().expect("read to its end and under the cap");
/// assert_eq!(second.collect().await.unwrap().to_bytes(), "amount=99");
/// # }
/// ```
pub fn replayable<B: Body>(body: B, cap: usize) -> (ReplayHandle<B>, ReplayBody<B>) {
    if body.is_end_stream() {
        return (ReplayHandle(Origin::Empty), ReplayBody::over());
    }
    if body.size_hint().lower() > cap as u64 {
        return (ReplayHandle(Origin::TooLong), ReplayBody::once(body));
    }
    let sized = body.size_hint().exact().is_some();
    let home = Arc::new(Home::new(cap, sized));
    let recording = Recording::default();
    let live = Live {
        body,
        recording,
        home: Some(Arc::clone(&home)),
    };
    (ReplayHandle(Origin::Kept(home)), ReplayBody::live(live))
}

/// Makes the bodies of further attempts; from [`replayable`].
///
/// Once it is dropped, the attempt that is running keeps nothing more.
pub struct ReplayHandle<B>(Origin<B>);

/// The body of one attempt: what earlier attempts read of the original, then the rest of it.
///
/// It is for bodies that are `Unpin`, as those of hyper, axum, tonic, reqwest and `http-body-util`'s
/// boxes are; box any other.
///
/// # Cancel safety
/// Dropped before its end, it hands the original, with what was read of it, back to the handle, and
/// the next attempt begins with exactly those bytes.
/// Dropped because the original panicked, it does not.
pub struct ReplayBody<B> {
    source: Source<B>,
    /// The chunk of the recording that comes next.
    next: usize,
    /// Bytes of the recording that this attempt has not sent yet.
    unsent: u64,
}

enum Origin<B> {
    /// There was nothing to send, and there will be nothing to send again.
    Empty,
    /// Longer than the cap, by its own account.
    TooLong,
    Kept(Arc<Home<B>>),
}

/// Where one attempt takes its frames from.
///
/// ```text
///              next attempt: again()
///            .-----------------------.
///            v                       |
///  Live(recording) --dropped--> Home::waiting
///      |       |
///      |       '--over the cap--> Live(nothing kept)
///      '--end--> Home::complete --again()--> Recorded, by any number of attempts
/// ```
enum Source<B> {
    /// Owns the original.
    Live(Live<B>),
    /// All of the original is recorded.
    Recorded(Arc<Home<B>>),
    /// Nothing more to send.
    Over,
}

// ===== impl ReplayHandle =====

impl<B> ReplayHandle<B> {
    /// The body of another attempt, from the first byte; `None` where the original cannot be had.
    ///
    /// Once an attempt has read the original to its end, this always succeeds, whether that attempt
    /// is dropped or not, and also for several attempts at the same time.
    /// Until then the attempt that holds the original must have been dropped: it is never taken
    /// away from one that runs.
    /// A connection task may hold on to a body a little longer than the call that it belongs to.
    ///
    /// `None` for good: more than the cap was read, or the original ended in an error or a panic.
    #[must_use]
    pub fn again(&self) -> Option<ReplayBody<B>> {
        match &self.0 {
            Origin::Empty => Some(ReplayBody::over()),
            Origin::TooLong => None,
            // In this order: an attempt may finish between the two looks.
            Origin::Kept(home) => match home.take_live() {
                Some(live) => Some(ReplayBody::live(live)),
                None => home
                    .complete()
                    .map(|_| ReplayBody::recorded(Arc::clone(home))),
            },
        }
    }

    /// Whether the body is longer than the cap, so that there will never be another.
    #[must_use]
    pub fn is_capped(&self) -> bool {
        match &self.0 {
            Origin::Empty => false,
            Origin::TooLong => true,
            Origin::Kept(home) => home.is_capped(),
        }
    }

    /// Whether there will never be another body: it is longer than the cap, or failed while an attempt read it.
    ///
    /// One that panicked is not known to be lost; [`again`](Self::again) has none of it all the same.
    #[must_use]
    pub fn is_spent(&self) -> bool {
        match &self.0 {
            Origin::Kept(home) => home.is_capped() || home.is_lost(),
            Origin::Empty | Origin::TooLong => self.is_capped(),
        }
    }
}

impl<B> fmt::Debug for ReplayHandle<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReplayHandle")
            .field("is_capped", &self.is_capped())
            .finish()
    }
}

// ===== impl ReplayBody =====

impl<B> ReplayBody<B> {
    /// The body of a call that has one attempt and no more: nothing is kept of it.
    #[must_use]
    pub fn once(body: B) -> Self {
        Self::live(Live {
            body,
            recording: Recording::default(),
            home: None,
        })
    }

    fn over() -> Self {
        Self {
            source: Source::Over,
            next: 0,
            unsent: 0,
        }
    }

    fn live(live: Live<B>) -> Self {
        let unsent = live.recording.bytes();
        Self {
            source: Source::Live(live),
            next: 0,
            unsent,
        }
    }

    fn recorded(home: Arc<Home<B>>) -> Self {
        let unsent = home.complete().map_or(0, Recording::bytes);
        Self {
            source: Source::Recorded(home),
            next: 0,
            unsent,
        }
    }

    /// The recording that this attempt sends from.
    fn recording(&self) -> Option<&Recording> {
        match &self.source {
            Source::Live(live) => Some(&live.recording),
            Source::Recorded(home) => home.complete(),
            Source::Over => None,
        }
    }

    /// The next frame that an earlier attempt has read already.
    fn replay(&mut self) -> Option<Frame<Bytes>> {
        let recording = self.recording()?;
        let Some(chunk) = recording.chunk(self.next).cloned() else {
            // Only a complete recording has trailers.
            let trailers = recording.trailers().cloned()?;
            self.source = Source::Over;
            return Some(Frame::trailers(trailers));
        };
        self.next += 1;
        self.unsent -= chunk.len() as u64;
        Some(Frame::data(chunk))
    }
}

impl<B> Body for ReplayBody<B>
where
    B: Body + Unpin,
{
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let this = self.get_mut();
        if let Some(frame) = this.replay() {
            return Poll::Ready(Some(Ok(frame)));
        }
        // Taken out while it is polled: should it panic, or end, or fail, it is gone, and no later
        // attempt goes on from a place that nobody knows.
        let Source::Live(mut live) = mem::replace(&mut this.source, Source::Over) else {
            return Poll::Ready(None);
        };
        match Pin::new(&mut live.body).poll_frame(cx) {
            Poll::Pending => {
                this.source = Source::Live(live);
                Poll::Pending
            }
            Poll::Ready(Some(Ok(frame))) => {
                let frame = frame.map_data(|mut data| data.copy_to_bytes(data.remaining()));
                live.record(&frame);
                if frame.is_trailers() || live.body.is_end_stream() {
                    live.complete();
                } else {
                    this.next = live.recording.chunks();
                    this.source = Source::Live(live);
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => {
                live.lose();
                Poll::Ready(Some(Err(error)))
            }
            Poll::Ready(None) => {
                live.complete();
                Poll::Ready(None)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            Source::Live(live) => self.unsent == 0 && live.body.is_end_stream(),
            Source::Recorded(home) => home
                .complete()
                .is_none_or(|recording| recording.is_over(self.next)),
            Source::Over => true,
        }
    }

    fn size_hint(&self) -> SizeHint {
        let rest = match &self.source {
            Source::Live(live) => live.body.size_hint(),
            // Every attempt is framed like the first: an exact length, learnt meanwhile, would make
            // HTTP/1 send a `content-length` in place of chunks, and drop the trailers.
            Source::Recorded(home) if !home.sized() => SizeHint::new(),
            Source::Recorded(_) | Source::Over => SizeHint::with_exact(0),
        };
        let mut hint = SizeHint::new();
        hint.set_lower(rest.lower().saturating_add(self.unsent));
        if let Some(upper) = rest
            .upper()
            .and_then(|upper| upper.checked_add(self.unsent))
        {
            hint.set_upper(upper);
        }
        hint
    }
}

impl<B> Drop for ReplayBody<B> {
    fn drop(&mut self) {
        // Cancellation: the next attempt goes on from here.
        if let Source::Live(live) = mem::replace(&mut self.source, Source::Over) {
            live.hand_back();
        }
    }
}

impl<B> fmt::Debug for ReplayBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let source = match &self.source {
            Source::Live(Live { home: Some(_), .. }) => "live",
            Source::Live(Live { home: None, .. }) => "live, nothing kept",
            Source::Recorded(_) => "recorded",
            Source::Over => "over",
        };
        f.debug_struct("ReplayBody")
            .field("source", &source)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
