//! What has been read of a body.

use std::mem;

use bytes::Bytes;
use http::HeaderMap;

/// Data in the order in which it was read, and the trailers, if they have been read.
///
/// The first chunk has a place of its own, because most bodies are one chunk and so need no list.
///
/// Chunks are shared with whoever read them, and each keeps all of the buffer alive that it was cut out of: for hyper that is 8 KiB or more.
/// So after the first few of them, short ones are copied together: a stranger could send a body of single bytes otherwise, and 64 KiB of it would keep a quarter of a gigabyte (measured).
#[derive(Default)]
pub(super) struct Recording {
    first: Option<Bytes>,
    bytes: u64,
    /// Boxed: a recording moves with its request, through each layer.
    more: Option<Box<More>>,
}

/// What most bodies do not have.
#[derive(Default)]
struct More {
    rest: Vec<Bytes>,
    /// Short chunks that follow; no chunk before they are [sealed](Recording::seal).
    short: Vec<u8>,
    trailers: Option<HeaderMap>,
}

/// So many chunks are shared however short they are: most bodies have no more, and pay for no copy.
pub(super) const SHARED: usize = 8;

/// A chunk as long as this is always shared: it is half of hyper's smallest buffer, so what it keeps alive is little more than itself.
pub(super) const SHORT: usize = 4096;

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
        } else if chunk.len() < SHORT && self.chunks() >= SHARED {
            self.more().short.extend_from_slice(&chunk);
        } else {
            let more = self.more();
            more.seal();
            more.rest.push(chunk);
        }
    }

    /// Makes one chunk of the short ones that were read last: whoever reads the recording finds all of it in chunks.
    pub(super) fn seal(&mut self) {
        if let Some(more) = &mut self.more {
            more.seal();
        }
    }

    pub(super) fn set_trailers(&mut self, trailers: HeaderMap) {
        self.more().trailers = Some(trailers);
    }

    fn more(&mut self) -> &mut More {
        self.more.get_or_insert_default()
    }

    pub(super) fn chunk(&self, place: usize) -> Option<&Bytes> {
        match place.checked_sub(1) {
            None => self.first.as_ref(),
            Some(place) => self.more.as_ref()?.rest.get(place),
        }
    }

    pub(super) fn chunks(&self) -> usize {
        let rest = self.more.as_ref().map_or(0, |more| more.rest.len());
        usize::from(self.first.is_some()) + rest
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn trailers(&self) -> Option<&HeaderMap> {
        self.more.as_ref()?.trailers.as_ref()
    }

    /// Whether nothing follows once all chunks before `place` have been sent.
    pub(super) fn is_over(&self, place: usize) -> bool {
        place >= self.chunks() && self.trailers().is_none()
    }
}

// ===== impl More =====

impl More {
    fn seal(&mut self) {
        if !self.short.is_empty() {
            self.short.shrink_to_fit();
            self.rest.push(mem::take(&mut self.short).into());
        }
    }
}
