//! A window over the last stretch of time.

use core::time::Duration;

use super::{Counts, Mark};
use crate::Moment;
use crate::buckets::Buckets;
use crate::sync::atomic::{Ordering, fence};

/// The most buckets: a verdict reads three words of each.
pub(in super::super) const MAX_BUCKETS: u32 = 256;

/// The calls of the last stretch of time: in each bucket how many there were, how many failed and how many were slow.
#[derive(Debug)]
pub(in super::super) struct TimeWindow {
    buckets: Buckets<3>,
}

/// The order in which a call is counted: the call before its marks, and read the other way round, so that there are never more failures than calls.
const CALLS: usize = 0;
const FAILURES: usize = 1;
const SLOW: usize = 2;

impl TimeWindow {
    /// A window of `span`, cut into `buckets`.
    pub(in super::super) fn new(span: Duration, buckets: u32) -> Self {
        Self {
            buckets: Buckets::new(span, buckets),
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
        let place = self.buckets.advance(now);
        let add = |index| self.buckets.add(index, place, generation, &current);
        let counted = add(CALLS) && (!mark.failed || add(FAILURES)) && (!mark.slow || add(SLOW));
        (counted && mark.is_bad()).then(|| {
            // Two bad calls that are booked into two buckets at once write one and read the other.
            // Without this neither need see the other, and a rule that they break together would not trip; with it the later one sees both.
            fence(Ordering::SeqCst);
            self.counts(generation, now)
        })
    }

    /// The counts of `generation` in the window that ends now.
    pub(super) fn counts(&self, generation: u64, now: Moment) -> Counts {
        let mut sum = Counts::default();
        self.buckets.each(generation, now, |counts| {
            let calls = counts[CALLS];
            sum.calls += calls;
            // A bucket taken over by a later lap between the reads, or full, may show fewer calls than failures.
            sum.failures += counts[FAILURES].min(calls);
            sum.slow += counts[SLOW].min(calls);
        });
        sum
    }
}

#[cfg(all(test, not(seaworthy_loom)))]
mod tests {
    use super::*;
    use crate::buckets::COUNT_MASK;

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
        window.buckets.fill(CALLS);
        let counts = record().expect("a bad call is told what there is");
        assert_eq!((counts.calls, counts.failures), (COUNT_MASK, 2));
    }
}
