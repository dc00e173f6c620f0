//! What a call and its caller know of each other.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use crate::shared::Places;

/// Where a call is, and whether its caller still waits: the call writes the one, the caller's future the other.
pub(crate) struct Phase {
    bits: AtomicU8,
    detached: Arc<Places>,
    cancels: bool,
}

/// A store knows of the call, so that it must not just be dropped.
const HOLDS: u8 = 1;
/// The caller has left.
const LEFT: u8 = 2;
/// And what runs for it is to end.
const CANCELLED: u8 = 4;
/// It runs on, in one of the places for that.
const PLACED: u8 = 8;

// ===== impl Phase =====

impl Phase {
    pub(crate) const fn new(detached: Arc<Places>, cancels: bool) -> Self {
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
    /// Beyond the places for calls without a caller a call is cancelled: what is left of it is one step at the store.
    pub(crate) fn leave(&self) -> bool {
        if self.bits.load(Ordering::Acquire) & HOLDS == 0 {
            return false;
        }
        let bits = if self.cancels || !self.detached.take() {
            LEFT | CANCELLED
        } else {
            LEFT | PLACED
        };
        self.bits.fetch_or(bits, Ordering::AcqRel);
        true
    }

    pub(crate) fn has_left(&self) -> bool {
        self.bits.load(Ordering::Acquire) & LEFT != 0
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        self.bits.load(Ordering::Acquire) & CANCELLED != 0
    }
}

/// Dropped with the last who knows it, which is the call: its place is free then, however it ended.
impl Drop for Phase {
    fn drop(&mut self) {
        if *self.bits.get_mut() & PLACED != 0 {
            self.detached.give_back();
        }
    }
}

impl fmt::Debug for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Phase({:#06b})", self.bits.load(Ordering::Relaxed))
    }
}
