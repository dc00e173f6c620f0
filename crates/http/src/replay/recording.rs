//! What has been read of a body.

use bytes::Bytes;
use http::HeaderMap;

/// Data in the order in which it was read, and the trailers, if they have been read.
///
/// The first chunk has a place of its own, because most bodies are one chunk and so need no list.
#[derive(Default)]
pub(super) struct Recording {
    first: Option<Bytes>,
    rest: Vec<Bytes>,
    bytes: u64,
    trailers: Option<HeaderMap>,
}

// ===== impl Recording =====

impl Recording {
    /// Keeps a chunk; not an empty one, of which a stranger could send any number under any cap.
    pub(super) fn push(&mut self, chunk: Bytes) {
        if chunk.is_empty() {
            return;
        }
        self.bytes += chunk.len() as u64;
        if self.first.is_none() {
            self.first = Some(chunk);
        } else {
            self.rest.push(chunk);
        }
    }

    pub(super) fn set_trailers(&mut self, trailers: HeaderMap) {
        self.trailers = Some(trailers);
    }

    pub(super) fn chunk(&self, place: usize) -> Option<&Bytes> {
        match place.checked_sub(1) {
            None => self.first.as_ref(),
            Some(place) => self.rest.get(place),
        }
    }

    pub(super) fn chunks(&self) -> usize {
        usize::from(self.first.is_some()) + self.rest.len()
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn trailers(&self) -> Option<&HeaderMap> {
        self.trailers.as_ref()
    }

    /// Whether nothing follows once all chunks before `place` have been sent.
    pub(super) fn is_over(&self, place: usize) -> bool {
        place >= self.chunks() && self.trailers.is_none()
    }
}
