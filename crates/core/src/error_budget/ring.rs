//! How calls ended over one window, in buckets that slide.

use core::time::Duration;

use super::Ends;
use crate::Moment;
use crate::moment::nanos;

/// The ends of calls over a window.
///
/// Buckets are numbered by time, and bucket `n` lives at `n` modulo their number.
/// The newest one is still filling, so the window is between 59 and 60 sixtieths long.
#[derive(Clone, Debug)]
pub(super) struct Ring {
    width: u64,
    newest: u64,
    buckets: [Ends; LEN],
    /// The sums of all buckets.
    sums: Ends,
}

impl Ring {
    pub(super) const BUCKETS: u32 = LEN as u32;

    pub(super) fn new(window: Duration) -> Self {
        Self {
            width: nanos(window).div_ceil(LEN as u64).max(1),
            newest: 0,
            buckets: [Ends::default(); LEN],
            sums: Ends::default(),
        }
    }

    pub(super) const fn is_as_long_as(&self, other: &Self) -> bool {
        self.width == other.width
    }

    pub(super) const fn sums(&self) -> Ends {
        self.sums
    }

    /// Slides to a moment: empties at most all buckets, however long ago the last one was.
    pub(super) fn advance(&mut self, now: Moment) {
        let number = now.as_nanos() / self.width;
        let is_far_back = self.newest.saturating_sub(number) >= LEN as u64;
        if is_far_back || number.saturating_sub(self.newest) >= LEN as u64 {
            self.buckets = [Ends::default(); LEN];
            self.sums = Ends::default();
            self.newest = number;
        } else {
            while self.newest < number {
                self.newest += 1;
                let old = core::mem::take(&mut self.buckets[at(self.newest)]);
                self.sums.good -= old.good;
                self.sums.bad -= old.bad;
            }
        }
        self.invariants();
    }

    /// Counts these in the newest bucket.
    pub(super) fn add(&mut self, ends: Ends) {
        // What does not fit saturates in the sums first, and the bucket follows them.
        let fits = Ends::new(
            ends.good.min(u64::MAX - self.sums.good),
            ends.bad.min(u64::MAX - self.sums.bad),
        );
        let bucket = &mut self.buckets[at(self.newest)];
        *bucket = bucket.plus(fits);
        self.sums = self.sums.plus(fits);
        self.invariants();
    }

    fn invariants(&self) {
        if cfg!(debug_assertions) {
            let sums = self
                .buckets
                .iter()
                .copied()
                .fold(Ends::default(), Ends::plus);
            assert_eq!(self.sums, sums, "the sums are those of the buckets");
        }
    }
}

const fn at(number: u64) -> usize {
    (number % LEN as u64) as usize
}

/// A sixtieth of a window is as exact as a burn rate needs to be.
const LEN: usize = 60;
