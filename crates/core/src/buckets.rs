//! Counts over the last stretch of time, in buckets, without a lock: O(1) to count, O(buckets) to sum up, any gap.

use alloc::boxed::Box;
use core::array;
use core::time::Duration;

use crate::Moment;
use crate::moment::nanos;
use crate::sync::atomic::{AtomicU64, Ordering};

/// The narrowest bucket: narrower ones would cost more than they tell, and use the laps of the tag up.
pub(crate) const MIN_WIDTH: Duration = Duration::from_millis(1);

/// A count: tag of the epoch (14 bits), tag of the lap (26), count (24, saturating).
///
/// A stale count is taken for a fresh one only if it was left alone for exactly a multiple of 2^26 windows (21 years for a window of ten seconds) in one epoch, or of 2^14 epochs within one window.
const COUNT_BITS: u32 = 24;
pub(crate) const COUNT_MASK: u64 = (1 << COUNT_BITS) - 1;
const LAP_BITS: u32 = 26;
const LAP_MASK: u64 = (1 << LAP_BITS) - 1;

/// The newest bucket: era (16 bits), number (48, enough for any `Moment` in buckets of a millisecond).
const NUMBER_BITS: u32 = 48;
const NUMBER_MASK: u64 = (1 << NUMBER_BITS) - 1;

/// How far a clock must be set back to be believed, if the window is shorter.
///
/// A thread that slept between reading the clock and booking what it saw looks the same as a clock that stepped back, and must not cost the others what they counted.
const MIN_JUMP: Duration = Duration::from_secs(60);

/// What happened in the last buckets of time: `N` counts for each.
///
/// Time is cut into numbered buckets of equal width; of `b` buckets, number `n` lives in place `n % b`, in its lap `n / b`.
/// A count of another lap, era or generation reads as zero and is replaced by whoever needs its place next, so nobody has to clear anything, however long nothing happened.
///
/// A clock that steps back books into the newest bucket known, and so evicts nothing.
/// One that was set back by the window or a minute, whichever is longer, is believed, and an empty window begins, in a new *era*: otherwise one leap ahead would pile everything into one bucket until the clock is there again.
#[derive(Debug)]
pub(crate) struct Buckets<const N: usize> {
    width: u64,
    /// How many buckets back is a jump and no step.
    jump: u64,
    newest: AtomicU64,
    /// Each count with its own tag.
    buckets: Box<[[AtomicU64; N]]>,
}

/// A bucket of time by its number, and the era in which that is meant.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Place(u64);

// ===== impl Buckets =====

impl<const N: usize> Buckets<N> {
    /// A window of `span`, cut into `buckets`.
    pub(crate) fn new(span: Duration, buckets: u32) -> Self {
        let bucket = |_| array::from_fn(|_| AtomicU64::new(0));
        // Rounded up, so that the buckets cover the span.
        let width = nanos(span).div_ceil(u64::from(buckets));
        Self {
            width,
            jump: u64::from(buckets).max(nanos(MIN_JUMP).div_ceil(width)),
            newest: AtomicU64::new(0),
            buckets: (0..buckets).map(bucket).collect(),
        }
    }

    /// Shows the counts of `generation` in each bucket of the window that ends now, the newest first.
    ///
    /// In each, the count with the highest index is read first: who adds to them in the order of their indices never shows more of a later one than of an earlier one, unless the bucket changed hands in between or a count is full.
    pub(crate) fn each(&self, generation: u64, now: Moment, mut see: impl FnMut([u64; N])) {
        let newest = self.place(now, Place(self.newest.load(Ordering::Acquire)));
        for age in 0..self.len().min(newest.number() + 1) {
            let place = newest.at(newest.number() - age);
            let bucket = self.bucket(place.number());
            let tag = self.tag(generation, place);
            let mut counts = [0; N];
            for (count, cell) in counts.iter_mut().zip(bucket).rev() {
                *count = read(cell, tag);
            }
            see(counts);
        }
    }

    /// Where what happens at this moment is booked, given the newest place known.
    fn place(&self, now: Moment, newest: Place) -> Place {
        let number = now.as_nanos() / self.width;
        if number >= newest.number() {
            newest.at(number)
        } else if newest.number() - number < self.jump {
            newest
        } else {
            newest.next_era(number)
        }
    }

    /// Where what happens now is booked; makes it the newest place.
    pub(crate) fn advance(&self, now: Moment) -> Place {
        let mut newest = self.newest.load(Ordering::Acquire);
        loop {
            let place = self.place(now, Place(newest));
            if place.0 == newest {
                return place;
            }
            match self.newest.compare_exchange_weak(
                newest,
                place.0,
                Ordering::AcqRel,
                Ordering::Acquire,
            ) {
                Ok(_) => return place,
                Err(other) => newest = other,
            }
        }
    }

    /// Adds one to the count of that index; false when its place or its generation is over.
    pub(crate) fn add(
        &self,
        index: usize,
        place: Place,
        generation: u64,
        current: &impl Fn() -> bool,
    ) -> bool {
        let cell = &self.bucket(place.number())[index];
        let tag = self.tag(generation, place);
        let mut seen = cell.load(Ordering::Acquire);
        loop {
            let next = if seen & !COUNT_MASK == tag {
                if seen & COUNT_MASK == COUNT_MASK {
                    return true;
                }
                seen + 1
            } else if current() && !self.is_over(place) {
                tag | 1
            } else {
                return false;
            };
            match cell.compare_exchange_weak(seen, next, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return true,
                Err(other) => seen = other,
            }
        }
    }

    /// Whether a later lap may already live in the bucket of this place: then it must not be evicted.
    ///
    /// Asked after the bucket was read: who wrote a later lap had moved `newest` there before.
    fn is_over(&self, place: Place) -> bool {
        let newest = Place(self.newest.load(Ordering::Acquire));
        newest.era() != place.era() || newest.number() >= place.number() + self.len()
    }

    fn bucket(&self, number: u64) -> &[AtomicU64; N] {
        &self.buckets[(number % self.len()) as usize]
    }

    fn tag(&self, generation: u64, place: Place) -> u64 {
        // Generations and eras only ever rise, so their sum is a new one with each of both.
        let epoch = generation.wrapping_add(place.era());
        let lap = (place.number() / self.len()) & LAP_MASK;
        epoch << (LAP_BITS + COUNT_BITS) | lap << COUNT_BITS
    }

    const fn len(&self) -> u64 {
        self.buckets.len() as u64
    }
}

// ===== impl Place =====

impl Place {
    const fn number(self) -> u64 {
        self.0 & NUMBER_MASK
    }

    const fn era(self) -> u64 {
        self.0 >> NUMBER_BITS
    }

    /// Another number in the same era.
    const fn at(self, number: u64) -> Self {
        Self(self.0 & !NUMBER_MASK | number & NUMBER_MASK)
    }

    /// A number in the era after this one; after 2^16 they start over.
    const fn next_era(self, number: u64) -> Self {
        Self(self.era().wrapping_add(1) << NUMBER_BITS | number & NUMBER_MASK)
    }
}

fn read(cell: &AtomicU64, tag: u64) -> u64 {
    let seen = cell.load(Ordering::Acquire);
    if seen & !COUNT_MASK == tag {
        seen & COUNT_MASK
    } else {
        0
    }
}

#[cfg(all(test, not(seaworthy_loom)))]
impl<const N: usize> Buckets<N> {
    /// Fills a count of the first bucket up, as only millions of calls could.
    pub(crate) fn fill(&self, index: usize) {
        let cell = &self.buckets[0][index];
        cell.store(cell.load(Ordering::Relaxed) | COUNT_MASK, Ordering::Relaxed);
    }
}
