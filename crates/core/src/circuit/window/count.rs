//! A window over the last N calls, without a lock: O(1) for each call, and exact once nobody is writing.

use alloc::boxed::Box;

use super::{Counts, Mark};
use crate::sync::atomic::{AtomicU64, Ordering};

/// The largest window.
///
/// The totals of a window are packed into one word, and a field of it ([`FIELD_BITS`]) has room for this many calls and for [`BIAS`] threads caught between two steps on either side.
pub(in super::super) const MAX_CALLS: u32 = 8192;

/// A call in the ring takes three bits.
const VALID: u64 = 0b001;
const FAILED: u64 = 0b010;
const SLOW: u64 = 0b100;
const MARK_BITS: u32 = 3;
const MARK_MASK: u64 = 0b111;
/// Ten of them share a word with a tag of 34 bits.
const MARKS_PER_WORD: u64 = 10;
const RING_TAG_SHIFT: u32 = MARK_BITS * MARKS_PER_WORD as u32;
const RING_TAG: u64 = u64::MAX << RING_TAG_SHIFT;

/// The totals: tag (22 bits), calls, failures, slow calls (14 each).
const FIELD_BITS: u32 = 14;
const FIELD_MASK: u64 = (1 << FIELD_BITS) - 1;
const TOTALS_TAG_SHIFT: u32 = 3 * FIELD_BITS;
const TOTALS_TAG: u64 = u64::MAX << TOTALS_TAG_SHIFT;
/// Each field counts from here, not from zero: a call may be evicted from the ring before the thread that wrote it has added it to the totals, so a field may be below zero for a moment and must not borrow from its neighbour.
const BIAS: u64 = 1 << (FIELD_BITS - 2);
const EMPTY: u64 = BIAS | BIAS << FIELD_BITS | BIAS << (2 * FIELD_BITS);

/// The last N calls of one generation.
///
/// A call takes the next place of the ring (`head`), swaps its mark in, and applies *the difference to the mark it replaced* to the totals.
/// Each mark is therefore added once and taken away once, by whoever replaced it, and when nobody is between two steps the totals are the sum of the ring.
/// Words carry the generation that wrote them; those of another generation read as empty, so nobody has to clear a window.
/// A tag holds the low bits of the generation: a stale word is taken for a fresh one only if no call at all was recorded for 2^22 transitions and then exactly then.
#[derive(Debug)]
pub(in super::super) struct CountWindow {
    size: u64,
    head: AtomicU64,
    totals: AtomicU64,
    ring: Box<[AtomicU64]>,
}

// ===== impl CountWindow =====

impl CountWindow {
    /// A window of `size` calls, from one to [`MAX_CALLS`].
    pub(in super::super) fn new(size: u32) -> Self {
        let size = u64::from(size);
        Self {
            size,
            head: AtomicU64::new(0),
            totals: AtomicU64::new(EMPTY),
            ring: (0..size.div_ceil(MARKS_PER_WORD))
                .map(|_| AtomicU64::new(0))
                .collect(),
        }
    }

    /// Writes one call down and returns the totals with it; `None` when the generation is over or nothing changed.
    pub(super) fn record(
        &self,
        mark: Mark,
        generation: u64,
        current: impl Fn() -> bool,
    ) -> Option<Counts> {
        if !mark.is_bad() && self.is_full_and_healthy(generation) {
            return None;
        }
        let new = pack(mark);
        let old = self.replace(new, generation, &current)?;
        self.adjust(old, new, generation, &current)
    }

    /// The totals of `generation`.
    pub(in super::super) fn counts(&self, generation: u64) -> Counts {
        let totals = self.totals.load(Ordering::Acquire);
        if totals & TOTALS_TAG == totals_tag(generation) {
            unpack(totals)
        } else {
            Counts::default()
        }
    }

    /// Whether one good call more would replace a good call, so that nothing is to be written.
    #[inline]
    pub(super) fn is_full_and_healthy(&self, generation: u64) -> bool {
        self.totals.load(Ordering::Acquire) == (totals_tag(generation) | EMPTY) + self.size
    }

    /// Swaps a mark into the next place of the ring and returns the one that was there.
    fn replace(&self, new: u64, generation: u64, current: &impl Fn() -> bool) -> Option<u64> {
        let place = self.head.fetch_add(1, Ordering::Relaxed) % self.size;
        let word = &self.ring[(place / MARKS_PER_WORD) as usize];
        let shift = MARK_BITS * (place % MARKS_PER_WORD) as u32;
        let tag = generation << RING_TAG_SHIFT;
        let mut seen = word.load(Ordering::Acquire);
        loop {
            let base = claim(seen, RING_TAG, tag, tag, current)?;
            let old = base >> shift & MARK_MASK;
            let next = base & !(MARK_MASK << shift) | new << shift;
            if next == seen {
                return Some(old);
            }
            match word.compare_exchange_weak(seen, next, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return Some(old),
                Err(other) => seen = other,
            }
        }
    }

    /// Applies the difference between two marks to the totals.
    fn adjust(
        &self,
        old: u64,
        new: u64,
        generation: u64,
        current: &impl Fn() -> bool,
    ) -> Option<Counts> {
        let tag = totals_tag(generation);
        let mut seen = self.totals.load(Ordering::Acquire);
        loop {
            let base = claim(seen, TOTALS_TAG, tag, tag | EMPTY, current)?;
            let next = base + fields(new) - fields(old);
            if next == seen {
                return Some(unpack(next));
            }
            match self
                .totals
                .compare_exchange_weak(seen, next, Ordering::AcqRel, Ordering::Acquire)
            {
                Ok(_) => return Some(unpack(next)),
                Err(other) => seen = other,
            }
        }
    }

    /// The sum of the ring, which is what the totals are when nobody is between two steps.
    #[cfg(any(test, seaworthy_loom))]
    pub(in super::super) fn sum_of_ring(&self, generation: u64) -> Counts {
        let mut sum = EMPTY;
        for word in &self.ring {
            let word = word.load(Ordering::Acquire);
            if word & RING_TAG == generation << RING_TAG_SHIFT {
                for place in 0..MARKS_PER_WORD as u32 {
                    sum += fields(word >> (place * MARK_BITS) & MARK_MASK);
                }
            }
        }
        unpack(sum)
    }
}

/// The word to build on: the one seen, or an empty one in place of another generation's.
///
/// A word of a newer generation must not be taken over by a thread that slept through a transition, hence `current`.
/// It is asked after the word was loaded: who wrote a newer tag had seen the newer generation, so having seen that tag we see that generation too, and give up.
fn claim(
    seen: u64,
    tag_mask: u64,
    tag: u64,
    empty: u64,
    current: &impl Fn() -> bool,
) -> Option<u64> {
    if seen & tag_mask == tag {
        Some(seen)
    } else {
        current().then_some(empty)
    }
}

const fn totals_tag(generation: u64) -> u64 {
    generation << TOTALS_TAG_SHIFT
}

const fn pack(mark: Mark) -> u64 {
    VALID | if mark.failed { FAILED } else { 0 } | if mark.slow { SLOW } else { 0 }
}

/// A mark of the ring as fields of the totals.
const fn fields(mark: u64) -> u64 {
    (mark & VALID) | (mark & FAILED) << (FIELD_BITS - 1) | (mark & SLOW) << (2 * FIELD_BITS - 2)
}

fn unpack(totals: u64) -> Counts {
    let field = |index: u32| (totals >> (index * FIELD_BITS) & FIELD_MASK).saturating_sub(BIAS);
    Counts {
        calls: field(0),
        failures: field(1),
        slow: field(2),
    }
}
