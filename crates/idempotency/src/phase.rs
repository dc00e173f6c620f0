//! What a call and its caller know of each other.

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use crate::shared::Detached;

/// Where a call is, and whether its caller still waits: the call writes the one, the caller's future the other.
pub(crate) struct Phase {
    bits: AtomicU8,
    detached: Arc<Detached>,
    cancels: bool,
}

/// A store knows of the call, so that it must not just be dropped.
const HOLDS: u8 = 1;
/// The caller has left.
const LEFT: u8 = 2;
/// And what runs for it is to end.
const CANCELLED: u8 = 4;
/// It runs on, in one of the places for that.
const RUNNING: u8 = 8;
/// It ends, in one of the places for that.
const ENDING: u8 = 16;
/// Its claim is taken back, in one of the places for that.
const UNSURE: u8 = 32;

// ===== impl Phase =====

impl Phase {
    pub(crate) const fn new(detached: Arc<Detached>, cancels: bool) -> Self {
        Self {
            bits: AtomicU8::new(0),
            detached,
            cancels,
        }
    }

    pub(crate) fn hold(&self) {
        self.bits.fetch_or(HOLDS, Ordering::AcqRel);
    }

    pub(crate) fn let_go(&self) {
        self.bits.fetch_and(!HOLDS, Ordering::AcqRel);
    }

    /// The caller leaves; says whether the call must go on without it.
    ///
    /// Beyond the places for calls that go on, a call is cancelled: what is left of it is a step at the store.
    /// Beyond the places for those, it is left to its lease, as if its process had died.
    pub(crate) fn leave(&self) -> bool {
        if self.bits.load(Ordering::Acquire) & HOLDS == 0 {
            return false;
        }
        let bits = if !self.cancels && self.detached.running.take() {
            LEFT | RUNNING
        } else if self.detached.ending.take() {
            LEFT | CANCELLED | ENDING
        } else {
            return false;
        };
        self.bits.fetch_or(bits, Ordering::AcqRel);
        true
    }

    /// Says whether there is a place to take a claim back in.
    pub(crate) fn may_take_back(&self) -> bool {
        let may = self.detached.unsure.take();
        if may {
            self.bits.fetch_or(UNSURE, Ordering::AcqRel);
        }
        may
    }

    pub(crate) fn has_left(&self) -> bool {
        self.bits.load(Ordering::Acquire) & LEFT != 0
    }

    /// Takes a step, and drops what is kept for the caller if that leaves meanwhile: many may leave at a time.
    pub(crate) async fn keep_for_caller<K, T>(
        &self,
        kept: &mut Option<K>,
        step: impl Future<Output = T>,
    ) -> T {
        let mut step = pin!(step);
        poll_fn(|cx| {
            if self.has_left() {
                *kept = None;
            }
            step.as_mut().poll(cx)
        })
        .await
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        self.bits.load(Ordering::Acquire) & CANCELLED != 0
    }
}

/// Dropped with the last who knows it, which is the call: its place is free then, however it ended.
impl Drop for Phase {
    fn drop(&mut self) {
        let bits = *self.bits.get_mut();
        if bits & RUNNING != 0 {
            self.detached.running.give_back();
        }
        if bits & ENDING != 0 {
            self.detached.ending.give_back();
        }
        if bits & UNSURE != 0 {
            self.detached.unsure.give_back();
        }
    }
}

impl fmt::Debug for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Phase({:#08b})", self.bits.load(Ordering::Relaxed))
    }
}
