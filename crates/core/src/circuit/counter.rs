//! One count that starts over with each generation: failures in a row, and the handbook's leaky count.

use crate::sync::atomic::{AtomicU64, Ordering};

/// The highest count there is; limits above it are refused when the circuit is built.
pub(super) const MAX_COUNT: u32 = (1 << COUNT_BITS) - 1;

const COUNT_BITS: u32 = 24;
const COUNT_MASK: u64 = (1 << COUNT_BITS) - 1;

/// A count tagged with its generation: tag (40 bits), count (24).
///
/// The count of another generation reads as zero, so nobody has to clear it when the circuit moves.
#[derive(Debug)]
pub(super) struct Counter(AtomicU64);

// ===== impl Counter =====

impl Counter {
    pub(super) fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// Adds one and returns the count; `None` when the generation is over.
    ///
    /// `current` tells whether `generation` is still that of the circuit.
    pub(super) fn raise(&self, generation: u64, current: impl Fn() -> bool) -> Option<u32> {
        let tag = generation << COUNT_BITS;
        let mut seen = self.0.load(Ordering::Acquire);
        loop {
            let next = if seen & !COUNT_MASK == tag {
                if seen & COUNT_MASK == COUNT_MASK {
                    return Some(MAX_COUNT);
                }
                seen + 1
            } else if current() {
                tag | 1
            } else {
                return None;
            };
            match self
                .0
                .compare_exchange_weak(seen, next, Ordering::AcqRel, Ordering::Acquire)
            {
                Ok(_) => return Some((next & COUNT_MASK) as u32),
                Err(other) => seen = other,
            }
        }
    }

    /// Takes one away, not below zero. At zero it only loads.
    #[inline]
    pub(super) fn lower(&self, generation: u64) {
        self.shrink(generation, |count| count - 1);
    }

    /// Starts over. At zero it only loads.
    #[inline]
    pub(super) fn clear(&self, generation: u64) {
        self.shrink(generation, |_| 0);
    }

    /// The count of `generation`.
    #[inline]
    pub(super) fn get(&self, generation: u64) -> u32 {
        let seen = self.0.load(Ordering::Acquire);
        if seen & !COUNT_MASK == generation << COUNT_BITS {
            (seen & COUNT_MASK) as u32
        } else {
            0
        }
    }

    #[inline]
    fn shrink(&self, generation: u64, less: impl Fn(u64) -> u64) {
        let tag = generation << COUNT_BITS;
        let mut seen = self.0.load(Ordering::Acquire);
        while seen & !COUNT_MASK == tag && seen & COUNT_MASK > 0 {
            let next = tag | less(seen & COUNT_MASK);
            match self
                .0
                .compare_exchange_weak(seen, next, Ordering::AcqRel, Ordering::Acquire)
            {
                Ok(_) => return,
                Err(other) => seen = other,
            }
        }
    }
}

#[cfg(all(test, not(seaworthy_loom)))]
mod tests {
    use super::*;

    #[test]
    fn count_at_its_end_stays_there_and_in_its_generation() {
        let counter = Counter(AtomicU64::new(7 << COUNT_BITS | COUNT_MASK));
        assert_eq!(counter.raise(7, || true), Some(MAX_COUNT));
        assert_eq!((counter.get(7), counter.get(8)), (MAX_COUNT, 0));
        counter.lower(7);
        assert_eq!(counter.get(7), MAX_COUNT - 1);
    }
}
