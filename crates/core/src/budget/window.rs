//! How many calls were offered and how many withdrawn in the last while, in ten buckets that slide.

use crate::Moment;

/// Two counts over a sliding window, one of them sampled from a counter that only grows.
///
/// Buckets are numbered by time, and bucket `n` lives at `n` modulo ten.
/// The newest one is still filling, so the window is between nine and ten tenths long.
#[derive(Debug)]
pub(super) struct Window {
    width: u64,
    buckets: [Bucket; BUCKETS],
    /// The sums of all buckets.
    sums: Bucket,
    /// When the counter was last looked at, and what it said.
    seen: Option<(Moment, u64)>,
}

#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
struct Bucket {
    offered: u64,
    withdrawn: u64,
}

impl Window {
    pub(super) fn new(nanos: u64) -> Self {
        Self {
            width: nanos.div_ceil(BUCKETS as u64).max(1),
            buckets: [Bucket::default(); BUCKETS],
            sums: Bucket::default(),
            seen: None,
        }
    }

    pub(super) const fn offered(&self) -> u64 {
        self.sums.offered
    }

    pub(super) const fn withdrawn(&self) -> u64 {
        self.sums.withdrawn
    }

    /// Slides on to `now` and spreads the calls since the last look over the time since; gives back the time, which never runs backwards.
    pub(super) fn observe(&mut self, now: Moment, total: u64) -> Moment {
        let Some((before, counted)) = self.seen else {
            // Nobody knows when those before came, except for the call that looks.
            self.seen = Some((now, total));
            self.add_offered(self.number(now), total.min(1));
            return now;
        };
        let now = now.max(before);
        // A total that shrinks is a sum taken while a counter went away: nothing is offered twice.
        let total = total.max(counted);
        self.slide(before, now);
        self.spread(before, now, total - counted);
        self.seen = Some((now, total));
        self.invariants();
        now
    }

    /// Counts one withdrawal in the newest bucket, whose number it gives back.
    pub(super) fn withdraw(&mut self) -> u64 {
        let number = self.newest();
        let bucket = self.bucket(number);
        bucket.withdrawn += 1;
        self.sums.withdrawn += 1;
        number
    }

    pub(super) fn refund(&mut self, number: u64) {
        let newest = self.newest();
        if number > newest || newest - number >= BUCKETS as u64 {
            return;
        }
        let bucket = self.bucket(number);
        // Nothing to give back: a withdrawal of another budget.
        if bucket.withdrawn > 0 {
            bucket.withdrawn -= 1;
            self.sums.withdrawn -= 1;
        }
    }

    /// Empties the buckets that begin after `before`: at most all of them, however long ago that was.
    fn slide(&mut self, before: Moment, now: Moment) {
        let (from, to) = (self.number(before), self.number(now));
        for number in (from.saturating_add(1)..=to).rev().take(BUCKETS) {
            let old = core::mem::take(self.bucket(number));
            self.sums.offered -= old.offered;
            self.sums.withdrawn -= old.withdrawn;
        }
    }

    /// Rounded so that none is lost, and the last one came just now.
    fn spread(&mut self, before: Moment, now: Moment, calls: u64) {
        if calls == 0 {
            return;
        }
        let (first, last) = (self.number(before), self.number(now));
        let (start, end) = (before.as_nanos(), now.as_nanos());
        // How many had come by that moment, the last one excepted.
        let come_by = |moment: u64| {
            if moment <= start {
                return 0;
            }
            // Above zero, since a bucket of this gap begins between its ends.
            let gap = u128::from(end - start);
            let share = u128::from(calls) * u128::from(moment - start) / gap;
            (share as u64).min(calls - 1)
        };
        // Those of before the window are gone already.
        let oldest = first.max(last.saturating_sub(BUCKETS as u64 - 1));
        let mut counted = come_by(oldest * self.width);
        for number in oldest..=last {
            let come = if number == last {
                calls
            } else {
                come_by((number + 1) * self.width)
            };
            self.add_offered(number, come - counted);
            counted = come;
        }
    }

    fn add_offered(&mut self, number: u64, calls: u64) {
        // A count that does not fit saturates in the sum first, and the bucket follows it.
        let calls = calls.min(u64::MAX - self.sums.offered);
        self.bucket(number).offered += calls;
        self.sums.offered += calls;
    }

    fn number(&self, moment: Moment) -> u64 {
        moment.as_nanos() / self.width
    }

    fn newest(&self) -> u64 {
        self.seen.map_or(0, |(moment, _)| self.number(moment))
    }

    fn bucket(&mut self, number: u64) -> &mut Bucket {
        &mut self.buckets[(number % BUCKETS as u64) as usize]
    }

    pub(super) fn invariants(&self) {
        if cfg!(debug_assertions) {
            let offered = self
                .buckets
                .iter()
                .map(|bucket| bucket.offered)
                .sum::<u64>();
            let withdrawn = self
                .buckets
                .iter()
                .map(|bucket| bucket.withdrawn)
                .sum::<u64>();
            assert_eq!(
                self.sums,
                Bucket { offered, withdrawn },
                "the sums are those of the buckets"
            );
        }
    }
}

/// A tenth of a window is as exact as a budget needs to be.
const BUCKETS: usize = 10;
