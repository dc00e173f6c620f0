//! What attempts hand to each other: the original while it is unread, the recording once it is
//! over.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use bytes::Bytes;
use http_body::Frame;

use super::recording::Recording;

/// The original body and what has been read of it.
pub(super) struct Live<B> {
    pub(super) body: B,
    pub(super) recording: Recording,
    /// Where both go when this attempt is dropped; `None` once nothing is kept any more.
    pub(super) home: Option<Arc<Home<B>>>,
}

/// Where attempts leave what the next one needs.
///
/// The original is *owned* by the one attempt that reads it and handed over through here, so that
/// reading takes no lock, and so that two attempts cannot read from it in turns.
/// The lock is taken twice per attempt, when the original leaves and when it comes back, for as
/// long as a move takes.
/// Only moves happen under it, so a poisoned lock still guards a sound value.
pub(super) struct Home<B> {
    cap: usize,
    /// Whether the original knew its length from the start.
    sized: bool,
    waiting: Mutex<Option<(B, Recording)>>,
    complete: OnceLock<Recording>,
    /// Relaxed: it says all there is to know, nothing is read because of it.
    capped: AtomicBool,
    /// Relaxed, as `capped`: whoever hears of the failure hears of it through something that orders.
    lost: AtomicBool,
}

// ===== impl Live =====

impl<B> Live<B> {
    /// Keeps what was read, as long as there is room and somebody who may want it.
    pub(super) fn record(&mut self, frame: &Frame<Bytes>) {
        let Some(home) = &self.home else { return };
        if Arc::strong_count(home) == 1 {
            // The handle is gone and with it the only way to another attempt.
            self.forget();
        } else if let Some(data) = frame.data_ref() {
            let room = home.cap as u64 - self.recording.bytes();
            if data.len() as u64 > room {
                home.capped.store(true, Ordering::Relaxed);
                self.forget();
            } else {
                self.recording.push(data.clone());
            }
        } else if let Some(trailers) = frame.trailers_ref() {
            self.recording.set_trailers(trailers.clone());
        } else {
            // A kind of frame that is yet to be invented: sent on, but nothing to be sent twice.
            self.forget();
        }
    }

    fn forget(&mut self) {
        self.home = None;
        self.recording = Recording::default();
    }

    /// The original is over: what was read of it is all there is.
    ///
    /// Published here and not on drop, because a connection may hold on to a finished body.
    pub(super) fn complete(mut self) {
        self.recording.seal();
        if let Some(home) = self.home {
            // There is one original and it ends once.
            let _ = home.complete.set(self.recording);
        }
    }

    /// The original failed: nobody can go on from here.
    pub(super) fn lose(self) {
        if let Some(home) = self.home {
            home.lost.store(true, Ordering::Relaxed);
        }
    }

    pub(super) fn hand_back(mut self) {
        self.recording.seal();
        if let Some(home) = self.home {
            let mut waiting = home.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            *waiting = Some((self.body, self.recording));
        }
    }
}

// ===== impl Home =====

impl<B> Home<B> {
    pub(super) fn new(cap: usize, sized: bool) -> Self {
        Self {
            cap,
            sized,
            waiting: Mutex::new(None),
            complete: OnceLock::new(),
            capped: AtomicBool::new(false),
            lost: AtomicBool::new(false),
        }
    }

    /// The original, if it waits for its next reader.
    pub(super) fn take_live(self: &Arc<Self>) -> Option<Live<B>> {
        let waiting = self
            .waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let (body, recording) = waiting?;
        Some(Live {
            body,
            recording,
            home: Some(Arc::clone(self)),
        })
    }

    /// All that the original was, once it is over.
    pub(super) fn complete(&self) -> Option<&Recording> {
        self.complete.get()
    }

    pub(super) fn sized(&self) -> bool {
        self.sized
    }

    pub(super) fn is_capped(&self) -> bool {
        self.capped.load(Ordering::Relaxed)
    }

    pub(super) fn is_lost(&self) -> bool {
        self.lost.load(Ordering::Relaxed)
    }
}
