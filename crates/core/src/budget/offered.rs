//! How many calls were offered, counted without sharing a cache line between threads.

use core::fmt;

use crate::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

/// A counter that every call increments and that is read only when something goes wrong.
///
/// It is split into [`SHARDS`](Self::SHARDS) cache lines.
/// Each service clone takes a [`Shard`] of its own and keeps it; with as many clones as shards, or fewer, no two of them write to the same line.
/// With more they share some, and the count stays exact: only the time differs.
/// A clone owns nothing, so one that goes away need not be known about.
pub struct Offered {
    shards: [Line; Self::SHARDS],
    next: AtomicUsize,
}

/// Which part of an [`Offered`] to count in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Shard(usize);

/// 128 bytes, because processors fetch lines of 64 bytes in pairs.
#[repr(align(128))]
struct Line(AtomicU64);

impl Offered {
    /// As many as a large machine has worker threads; 4 KiB in all.
    // Two in models, since each look reads them all.
    pub const SHARDS: usize = if cfg!(seaworthy_loom) { 2 } else { 32 };

    /// A look at the clock costs about ten times what counting does: at every 32nd call it is lost in the noise.
    pub const OBSERVE_EVERY: u64 = 32;

    /// Nothing counted yet.
    #[must_use]
    pub fn new() -> Self {
        Self {
            shards: core::array::from_fn(|_| Line(AtomicU64::new(0))),
            next: AtomicUsize::new(0),
        }
    }

    /// The next shard in turn: for a service clone to keep, since this is a write that all of them share.
    #[must_use]
    pub fn shard(&self) -> Shard {
        Shard(self.next.fetch_add(1, Relaxed) % Self::SHARDS)
    }

    /// Counts one call, and says whether this is one at which to [observe](super::Budget::observe) the total.
    #[inline]
    pub fn add(&self, Shard(shard): Shard) -> bool {
        self.shards[shard]
            .0
            .fetch_add(1, Relaxed)
            .is_multiple_of(Self::OBSERVE_EVERY)
    }

    /// How many calls have been counted, ever; each one that happened before this look.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.shards
            .iter()
            .map(|line| line.0.load(Relaxed))
            .fold(0, u64::saturating_add)
    }
}

impl Default for Offered {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Offered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Offered")
            .field("total", &self.total())
            .finish_non_exhaustive()
    }
}
