//! The latencies of the last while, and the percentile of them that calls are measured by.

use std::fmt;
use std::mem;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::Duration;

use hdrhistogram::Histogram;
use seaworthy_kit::{InvalidConfig, Moment};

use crate::delay::Percentile;

/// Latencies in two halves of a window: the one that is filled, and the one before it.
///
/// Each call is one sample, by its first attempt.
/// One that was not over when the call was (its hedge won, it failed late, its caller left) took at least that long: such a sample is censored.
/// It counts where it is above the percentile already, which is all that the percentile needs to know of it; without it the percentile would creep down with each hedge that wins.
/// Hedges themselves are no samples: those that lose are cut, and those that win are the fast ones.
///
/// Memory: three histograms of constant size, from 1 µs to 10 min at two digits, about 35 KB in all.
/// Nothing is allocated afterwards.
/// A call never waits for another here: a sample that meets another is left out, which happens to fast and slow ones alike.
pub(crate) struct Latency {
    share: f64,
    min_samples: u64,
    window: Duration,
    /// In nanoseconds; `UNKNOWN` while there are too few samples.
    delay: AtomicU64,
    /// Until when that is good, should no sample come.
    good_until: AtomicU64,
    halves: Mutex<Halves>,
}

struct Halves {
    present: Histogram<u32>,
    before: Histogram<u32>,
    /// Room to add both up in.
    both: Histogram<u32>,
    /// When the present half began.
    since: Moment,
    /// When the percentile was last worked out.
    looked: Moment,
}

const UNKNOWN: u64 = u64::MAX;

/// In microseconds: ten minutes.
const LONGEST: u64 = 600_000_000;

/// The resolution of tokio's timers.
const LEAST: Duration = Duration::from_millis(1);

// ===== impl Latency =====

impl Latency {
    pub(crate) fn try_new(percentile: Percentile) -> Result<Self, InvalidConfig> {
        percentile.check()?;
        let histogram =
            || Histogram::new_with_bounds(1, LONGEST, 2).expect("bounds and digits are constant");
        Ok(Self {
            share: percentile.share,
            min_samples: u64::from(percentile.min_samples),
            window: percentile.window,
            delay: AtomicU64::new(UNKNOWN),
            good_until: AtomicU64::new(0),
            halves: Mutex::new(Halves {
                present: histogram(),
                before: histogram(),
                both: histogram(),
                since: Moment::ORIGIN,
                looked: Moment::ORIGIN,
            }),
        })
    }

    /// Above which latency a call is slow; `None` while too little is known.
    pub(crate) fn delay(&self, now: Moment) -> Option<Duration> {
        let delay = self.delay.load(Ordering::Relaxed);
        let is_good = now.as_nanos() <= self.good_until.load(Ordering::Relaxed);
        (delay != UNKNOWN && is_good).then(|| Duration::from_nanos(delay))
    }

    /// A call took that long.
    pub(crate) fn record(&self, elapsed: Duration, now: Moment) {
        let Some(mut halves) = self.try_lock() else {
            return;
        };
        halves.turn(now, self.window / 2);
        let micros = u64::try_from(elapsed.as_micros()).unwrap_or(LONGEST);
        halves.present.saturating_record(micros.min(LONGEST));
        let samples = halves.samples();
        let known = self.delay.load(Ordering::Relaxed) != UNKNOWN;
        let due = now.since(halves.looked) >= self.window / 60;
        if known == (samples >= self.min_samples) && !(known && due) {
            return;
        }
        halves.looked = now;
        let delay = if samples < self.min_samples {
            UNKNOWN
        } else {
            let micros = halves.value_at(self.share);
            let delay = Duration::from_micros(micros).max(LEAST);
            u64::try_from(delay.as_nanos()).unwrap_or(UNKNOWN)
        };
        self.delay.store(delay, Ordering::Relaxed);
        let good_until = now + self.window;
        self.good_until
            .store(good_until.as_nanos(), Ordering::Relaxed);
    }

    /// A call was answered in the poll in which it began: no time to speak of, and none is read.
    pub(crate) fn record_at_once(&self) {
        if let Some(mut halves) = self.try_lock() {
            halves.present.saturating_record(0);
        }
    }

    /// A call was not over after that long, and nobody will know when it would have been.
    pub(crate) fn record_censored(&self, elapsed: Duration, now: Moment) {
        if self.delay(now).is_some_and(|delay| elapsed >= delay) {
            self.record(elapsed, now);
        }
    }

    /// How many samples there are.
    pub(crate) fn samples(&self) -> u64 {
        self.lock().samples()
    }

    fn try_lock(&self) -> Option<MutexGuard<'_, Halves>> {
        match self.halves.try_lock() {
            Ok(halves) => Some(halves),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Halves> {
        self.halves.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Latency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Latency")
            .field("percentile", &self.share)
            .field("window", &self.window)
            .finish_non_exhaustive()
    }
}

// ===== impl Halves =====

impl Halves {
    /// Begins another half where the present one is over; after a long pause both are.
    fn turn(&mut self, now: Moment, half: Duration) {
        let gap = now.since(self.since);
        if gap < half {
            return;
        }
        mem::swap(&mut self.before, &mut self.present);
        self.present.clear();
        if gap >= 2 * half {
            self.before.clear();
        }
        self.since = now;
    }

    fn samples(&self) -> u64 {
        self.before.len() + self.present.len()
    }

    fn value_at(&mut self, share: f64) -> u64 {
        self.both.reset();
        for half in [&self.before, &self.present] {
            self.both.add(half).expect("all have the same bounds");
        }
        self.both.value_at_quantile(share)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLI: Duration = Duration::from_millis(1);

    fn at(millis: u64) -> Moment {
        Moment::ORIGIN + Duration::from_secs(3600) + Duration::from_millis(millis)
    }

    fn latency(min_samples: u32) -> Latency {
        let percentile = Percentile::new(0.9).min_samples(min_samples);
        Latency::try_new(percentile.window(Duration::from_secs(10))).unwrap()
    }

    /// About that many milliseconds: two digits are kept.
    fn is_about(delay: Option<Duration>, millis: u32) -> bool {
        let most = MILLI * millis + MILLI * millis / 50;
        delay.is_some_and(|delay| delay >= MILLI * millis && delay <= most)
    }

    #[test]
    fn nothing_is_known_before_there_are_enough_samples() {
        let latency = latency(10);
        for millis in 1..=9 {
            latency.record(MILLI * millis, at(0));
            assert_eq!(latency.delay(at(0)), None);
        }
        latency.record(10 * MILLI, at(0));
        assert!(is_about(latency.delay(at(0)), 9));
    }

    #[test]
    fn old_samples_are_forgotten() {
        let latency = latency(10);
        (0..20).for_each(|_| latency.record(500 * MILLI, at(0)));
        assert!(is_about(latency.delay(at(0)), 500));
        // The first half is kept beside the second, and both are gone with the third.
        (0..20).for_each(|n| latency.record(5 * MILLI, at(5_000 + n)));
        (0..20).for_each(|n| latency.record(5 * MILLI, at(10_200 + n)));
        assert!(is_about(latency.delay(at(10_300)), 5));
        // And of those that nobody followed nothing is left.
        assert!(latency.delay(at(20_000)).is_some());
        assert_eq!(latency.delay(at(20_300)), None);
        latency.record(5 * MILLI, at(40_000));
        assert_eq!(latency.samples(), 1);
        assert_eq!(latency.delay(at(40_000)), None);
    }

    #[test]
    fn call_that_was_cut_counts_above_the_percentile_and_not_below() {
        let latency = latency(10);
        latency.record_censored(9 * MILLI, at(0));
        assert_eq!(latency.samples(), 0, "nothing is known yet");
        (0..20).for_each(|_| latency.record(5 * MILLI, at(0)));
        latency.record_censored(4 * MILLI, at(0));
        assert_eq!(latency.samples(), 20);
        latency.record_censored(6 * MILLI, at(0));
        assert_eq!(latency.samples(), 21);
    }

    #[test]
    fn answers_at_once_are_samples_and_the_delay_is_a_millisecond_at_least() {
        let latency = latency(10);
        (0..20).for_each(|_| latency.record_at_once());
        latency.record(Duration::ZERO, Moment::ORIGIN);
        assert_eq!(latency.samples(), 21);
        assert_eq!(latency.delay(Moment::ORIGIN), Some(MILLI));
    }

    #[test]
    fn huge_latencies_and_a_clock_that_runs_backwards_are_borne() {
        let latency = latency(1);
        latency.record(Duration::MAX, at(1_000));
        latency.record(Duration::MAX, at(0));
        assert!(latency.delay(at(0)) >= Some(Duration::from_secs(599)));
        latency.record(MILLI, Moment::NEVER);
        assert_eq!(latency.samples(), 1);
    }

    #[test]
    fn nonsense_is_an_error() {
        for share in [0.0, 1.0, -0.1, f64::NAN] {
            assert!(Latency::try_new(Percentile::new(share)).is_err(), "{share}");
        }
        let percentile = Percentile::new(0.95);
        assert!(Latency::try_new(percentile.min_samples(0)).is_err());
        assert!(Latency::try_new(percentile.window(MILLI)).is_err());
        assert!(Latency::try_new(percentile.window(Duration::MAX)).is_err());
    }
}
