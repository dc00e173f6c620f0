//! Bodies that are read to their end before anything is done with them, up to a limit.

use std::fmt;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use seaworthy_kit::BoxError;

/// Reads a body to its end, and keeps what it read, so that the body can go on if it turns out to be too long.
///
/// A body of one frame, as most are, is kept as it came; only further frames are copied.
#[derive(Debug)]
pub struct WholeReader {
    data: Data,
    trailers: Option<HeaderMap>,
    limit: usize,
}

#[derive(Debug)]
enum Data {
    One(Bytes),
    Many(BytesMut),
}

/// Why a body was not read to its end.
#[derive(Debug)]
#[non_exhaustive]
pub enum Unread {
    /// It has more data than it may, or says so beforehand.
    TooLong,
    /// It broke off.
    Failed(BoxError),
}

pin_project! {
    /// A body as it came, one that was read to its end, or one of which a part was read and which goes on.
    pub struct WholeBody<B> {
        front: Option<Bytes>,
        #[pin]
        rest: Rest<B>,
        trailers: Option<HeaderMap>,
    }
}

pin_project! {
    #[project = RestProject]
    enum Rest<B> {
        None,
        Here { #[pin] body: B },
        // It was polled where it lies, and so cannot be moved.
        Pinned { body: Pin<Box<B>> },
    }
}

// ===== impl WholeReader =====

impl WholeReader {
    /// Reads no more data than so many bytes.
    #[must_use]
    pub const fn new(limit: usize) -> Self {
        Self {
            data: Data::One(Bytes::new()),
            trailers: None,
            limit,
        }
    }

    /// Reads on; ready when the body is over, or will be read no further.
    ///
    /// The function sees each piece of data as it comes.
    /// A body that says beforehand that it is too long is not read at all.
    pub fn poll<B>(
        &mut self,
        cx: &mut Context<'_>,
        mut body: Pin<&mut B>,
        seen: &mut impl FnMut(&[u8]),
    ) -> Poll<Result<(), Unread>>
    where
        B: Body<Data = Bytes>,
        B::Error: Into<BoxError>,
    {
        loop {
            let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
            if self.len().saturating_add(announced) > self.limit {
                return Poll::Ready(Err(Unread::TooLong));
            }
            // A body that knows its end is not asked again: some count every poll.
            if body.is_end_stream() {
                return Poll::Ready(Ok(()));
            }
            match ready!(body.as_mut().poll_frame(cx)) {
                None => return Poll::Ready(Ok(())),
                Some(Err(error)) => return Poll::Ready(Err(Unread::Failed(error.into()))),
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => {
                        seen(&data);
                        self.push(data);
                        if self.len() > self.limit {
                            return Poll::Ready(Err(Unread::TooLong));
                        }
                    }
                    Err(frame) => {
                        if let Ok(trailers) = frame.into_trailers() {
                            self.trailers = Some(trailers);
                            return Poll::Ready(Ok(()));
                        }
                    }
                },
            }
        }
    }

    /// What was read.
    #[must_use]
    pub fn into_parts(self) -> (Bytes, Option<HeaderMap>) {
        let data = match self.data {
            Data::One(data) => data,
            Data::Many(data) => data.freeze(),
        };
        (data, self.trailers)
    }

    fn len(&self) -> usize {
        match &self.data {
            Data::One(data) => data.len(),
            Data::Many(data) => data.len(),
        }
    }

    fn push(&mut self, more: Bytes) {
        match &mut self.data {
            Data::One(data) if data.is_empty() => *data = more,
            Data::One(data) => {
                let mut all = BytesMut::with_capacity(data.len() + more.len());
                all.extend_from_slice(data);
                all.extend_from_slice(&more);
                self.data = Data::Many(all);
            }
            Data::Many(data) => data.extend_from_slice(&more),
        }
    }
}

/// Reads a body to its end, and gives its data and its trailers; the function sees each piece of data as it comes.
///
/// # Errors
/// If the body is longer than `limit` bytes, or breaks off.
///
/// # Cancel safety
/// Dropping the future drops the body and what was read of it.
pub async fn read_whole<B>(
    body: B,
    limit: usize,
    mut seen: impl FnMut(&[u8]),
) -> Result<(Bytes, Option<HeaderMap>), Unread>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    let mut body = pin!(body);
    let mut reader = WholeReader::new(limit);
    poll_fn(|cx| reader.poll(cx, body.as_mut(), &mut seen)).await?;
    Ok(reader.into_parts())
}

// ===== impl WholeBody =====

impl<B> WholeBody<B> {
    /// The body as it came.
    pub const fn untouched(body: B) -> Self {
        Self {
            front: None,
            rest: Rest::Here { body },
            trailers: None,
        }
    }

    /// A body that is all there.
    #[must_use]
    pub fn whole(data: Bytes, trailers: Option<HeaderMap>) -> Self {
        Self {
            front: Some(data).filter(|data| !data.is_empty()),
            rest: Rest::None,
            trailers,
        }
    }

    /// A body of which that much was read, and which goes on.
    #[must_use]
    pub fn resumed(read: Bytes, rest: Pin<Box<B>>) -> Self {
        Self {
            front: Some(read).filter(|read| !read.is_empty()),
            rest: Rest::Pinned { body: rest },
            trailers: None,
        }
    }
}

impl<B> From<Bytes> for WholeBody<B> {
    fn from(data: Bytes) -> Self {
        Self::whole(data, None)
    }
}

impl<B> Default for WholeBody<B> {
    fn default() -> Self {
        Self::whole(Bytes::new(), None)
    }
}

impl<B> Body for WholeBody<B>
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
        let this = self.project();
        if let Some(front) = this.front.take() {
            return Poll::Ready(Some(Ok(Frame::data(front))));
        }
        match this.rest.project() {
            RestProject::Here { body } => body.poll_frame(cx).map_err(Into::into),
            RestProject::Pinned { body } => body.as_mut().poll_frame(cx).map_err(Into::into),
            RestProject::None => {
                let trailers = this.trailers.take();
                Poll::Ready(trailers.map(|trailers| Ok(Frame::trailers(trailers))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.front.is_none()
            && match &self.rest {
                Rest::None => self.trailers.is_none(),
                Rest::Here { body } => body.is_end_stream(),
                Rest::Pinned { body } => body.is_end_stream(),
            }
    }

    fn size_hint(&self) -> SizeHint {
        let front = self.front.as_ref().map_or(0, Bytes::len) as u64;
        let rest = match &self.rest {
            Rest::None => return SizeHint::with_exact(front),
            Rest::Here { body } => body.size_hint(),
            Rest::Pinned { body } => body.size_hint(),
        };
        let mut hint = SizeHint::new();
        hint.set_lower(rest.lower().saturating_add(front));
        if let Some(upper) = rest.upper().and_then(|upper| upper.checked_add(front)) {
            hint.set_upper(upper);
        }
        hint
    }
}

impl<B> fmt::Debug for WholeBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WholeBody").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
