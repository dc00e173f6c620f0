//! A window over the last stretch of time, in buckets, without a lock: O(1) for each call, O(buckets) for each verdict, any gap.

use alloc::boxed::Box;
use core::time::Duration;

use super::{Counts, Mark};
use crate::Moment;
use crate::moment::nanos;
use crate::sync::atomic::{AtomicU64, Ordering, fence};

/// The most buckets: a verdict reads three words of each.
pub(in super::super) const MAX_BUCKETS: u32 = 256;
/// The narrowest bucket: narrower ones would cost more than they tell, and use the laps of the tag up.
pub(in super::super) const MIN_WIDTH: Duration = Duration::from_millis(1);

/// A count: tag of the epoch (14 bits), tag of the lap (26), count (24, saturating).
///
/// A stale count is taken for a fresh one only if it was left alone for exactly a multiple of 2^26 windows (21 years for a window of ten seconds) in one epoch, or of 2^14 epochs within one window.
const COUNT_BITS: u32 = 24;
const COUNT_MASK: u64 = (1 << COUNT_BITS) - 1;
const LAP_BITS: u32 = 26;
const LAP_MASK: u64 = (1 << LAP_BITS) - 1;

/// The newest bucket: era (16 bits), number (48, enough for any `Moment` in buckets of a millisecond).
const NUMBER_BITS: u32 = 48;
const NUMBER_MASK: u64 = (1 << NUMBER_BITS) - 1;

/// How far a clock must be set back to be believed, if the window is shorter.
///
/// A thread that slept between reading the clock and booking its call looks the same as a clock that stepped back, and must not cost the others what they counted.
const MIN_JUMP: Duration = Duration::from_secs(60);

/// The calls of the last N buckets of time.
///
/// Time is cut into numbered buckets of equal width; bucket `n` lives in place `n % N`, in its lap `n / N`.
/// A count of another lap, era or generation reads as zero and is replaced by the next call that needs its place, so nobody has to clear anything, however long nothing happened.
///
/// A clock that steps back books into the newest bucket known, and so evicts nothing.
/// One that was set back by the window or a minute, whichever is longer, is believed, and an empty window begins, in a new *era*: otherwise one leap ahead would pile everything into one bucket until the clock is there again.
#[derive(Debug)]
pub(in super::super) struct TimeWindow {
    width: u64,
    /// How many buckets back is a jump and no step.
    jump: u64,
    newest: AtomicU64,
    buckets: Box<[Bucket]>,
}

/// A bucket of time by its number, and the era in which that is meant.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Place(u64);

/// What happened in one bucket of time: three counts, each with its own tag.
#[derive(Debug)]
struct Bucket {
    calls: AtomicU64,
    failures: AtomicU64,
    slow: AtomicU64,
}

// ===== impl TimeWindow =====

impl TimeWindow {
    /// A window of `span`, cut into `buckets`.
    pub(in super::super) fn new(span: Duration, buckets: u32) -> Self {
        let bucket = |_| Bucket {
            calls: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            slow: AtomicU64::new(0),
        };
        // Rounded up, so that the buckets cover the span.
        let width = nanos(span).div_ceil(u64::from(buckets));
        Self {
            width,
            jump: u64::from(buckets).max(nanos(MIN_JUMP).div_ceil(width)),
            newest: AtomicU64::new(0),
            buckets: (0..buckets).map(bucket).collect(),
        }
    }

    /// Writes one call down, and returns the counts with it if it was bad.
    pub(super) fn record(
        &self,
        mark: Mark,
        generation: u64,
        now: Moment,
        current: impl Fn() -> bool,
    ) -> Option<Counts> {
        let place = self.advance(now);
        let bucket = self.bucket(place.number());
        // The call before its marks, and read the other way round: never more failures than calls.
        let counted = self.add(&bucket.calls, place, generation, &current)
            && (!mark.failed || self.add(&bucket.failures, place, generation, &current))
            && (!mark.slow || self.add(&bucket.slow, place, generation, &current));
        (counted && mark.is_bad()).then(|| {
            // Two bad calls that are booked into two buckets at once write one and read the other.
            // Without this neither need see the other, and a rule that they break together would not trip; with it the later one sees both.
            fence(Ordering::SeqCst);
            self.counts(generation, now)
        })
    }

    /// The counts of `generation` in the window that ends now.
    pub(super) fn counts(&self, generation: u64, now: Moment) -> Counts {
        let newest = self.place(now, Place(self.newest.load(Ordering::Acquire)));
        let mut sum = Counts::default();
        for age in 0..self.len().min(newest.number() + 1) {
            let place = newest.at(newest.number() - age);
            let bucket = self.bucket(place.number());
            let tag = self.tag(generation, place);
            let [failures, slow] = [&bucket.failures, &bucket.slow].map(|cell| read(cell, tag));
            let calls = read(&bucket.calls, tag);
            sum.calls += calls;
            // A bucket taken over by a later lap between the two reads, or full, may show fewer calls than failures.
            sum.failures += failures.min(calls);
            sum.slow += slow.min(calls);
        }
        sum
    }

    /// Where a call of this moment is booked, given the newest place known.
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

    /// The same, and makes it the newest place.
    fn advance(&self, now: Moment) -> Place {
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

    /// Adds one to a count; false when its place or its generation is over.
    fn add(
        &self,
        cell: &AtomicU64,
        place: Place,
        generation: u64,
        current: &impl Fn() -> bool,
    ) -> bool {
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

    fn bucket(&self, number: u64) -> &Bucket {
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
mod tests {
    use super::*;

    #[test]
    fn full_bucket_counts_on_as_full() {
        let window = TimeWindow::new(Duration::from_secs(1), 1);
        let mark = Mark {
            failed: true,
            slow: false,
            abandoned: false,
        };
        let record = || window.record(mark, 7, Moment::ORIGIN, || true);
        record();
        let calls = &window.buckets[0].calls;
        calls.store(
            calls.load(Ordering::Relaxed) | COUNT_MASK,
            Ordering::Relaxed,
        );
        let counts = record().expect("a bad call is told what there is");
        assert_eq!((counts.calls, counts.failures), (COUNT_MASK, 2));
    }
}
