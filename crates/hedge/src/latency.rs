//! The latencies of the last while, and the percentile of them that calls are measured by.

use std::fmt;
use std::mem;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::Duration;

use hdrhistogram::Histogram;
use seaworthy_kit::{InvalidConfig, Moment};

use crate::delay::Percentile;

/// Latencies in two halves of a window: the one that is filled, and the one before it.
///
/// A call is one sample at most, by its first attempt.
/// One that was not over when the call was (its hedge won, it failed late, its caller left) took at least that long: such a sample is censored.
/// It counts where it is above the percentile already, which is all that the percentile needs to know of it; without it the percentile would creep down with each hedge that wins.
/// Hedges themselves are no samples: those that lose are cut, and those that win are the fast ones.
///
/// Where there are more calls than a percentile needs, one of so many is drawn, and stands for all of them: the others read no clock and write nothing.
///
/// Memory: two histograms of constant size, from 1 µs to 10 min at two digits, about 25 KB in all.
/// Nothing is allocated afterwards.
/// A call never waits for another here: a sample that meets another is left out, which happens to fast and slow ones alike.
pub(crate) struct Latency {
    share: f64,
    min_samples: u64,
    window: Duration,
    /// So many samples from one look to the next are enough.
    enough: u64,
    /// In nanoseconds; `UNKNOWN` while there are too few samples.
    delay: AtomicU64,
    /// Until when that is good, should no sample come: a window after the last look.
    good_until: AtomicU64,
    /// One call of so many is a sample; a power of two.
    stride: AtomicU32,
    halves: Mutex<Halves>,
}

struct Halves {
    present: Histogram<u32>,
    before: Histogram<u32>,
    /// When the present half began.
    since: Moment,
    /// When the percentile was last worked out.
    looked: Moment,
    /// How many calls the samples since then stand for.
    calls: u64,
}

const UNKNOWN: u64 = u64::MAX;

/// In microseconds: ten minutes.
const LONGEST: u64 = 600_000_000;

/// The resolution of tokio's timers.
const LEAST: Duration = Duration::from_millis(1);

/// How often the percentile is worked out in a window.
const LOOKS: u32 = 60;

/// So many samples above a percentile make it exact enough: within a tenth of what is above it.
const ABOVE: f64 = 100.0;

/// More would save little, and at a sudden lull the next sample should not be long in coming.
const LONGEST_STRIDE: u32 = 64;

// ===== impl Latency =====

impl Latency {
    pub(crate) fn try_new(percentile: Percentile) -> Result<Self, InvalidConfig> {
        percentile.check()?;
        let histogram =
            || Histogram::new_with_bounds(1, LONGEST, 2).expect("bounds and digits are constant");
        // Half a window is all that there is for certain.
        let window =
            (ABOVE / (1.0 - percentile.share)).max(2.0 * f64::from(percentile.min_samples));
        let enough = (window / f64::from(LOOKS / 2)).ceil() as u64;
        Ok(Self {
            share: percentile.share,
            min_samples: u64::from(percentile.min_samples),
            window: percentile.window,
            enough,
            delay: AtomicU64::new(UNKNOWN),
            good_until: AtomicU64::new(0),
            stride: AtomicU32::new(1),
            halves: Mutex::new(Halves {
                present: histogram(),
                before: histogram(),
                since: Moment::ORIGIN,
                looked: Moment::ORIGIN,
                calls: 0,
            }),
        })
    }

    /// Above which latency a call is slow; `None` while too little is known.
    pub(crate) fn delay(&self, now: Moment) -> Option<Duration> {
        let delay = self.delay.load(Ordering::Relaxed);
        let is_good = now.as_nanos() <= self.good_until.load(Ordering::Relaxed);
        (delay != UNKNOWN && is_good).then(|| Duration::from_nanos(delay))
    }

    /// A call that began to wait then is over.
    #[inline]
    pub(crate) fn measure(&self, started: Moment, now: impl FnOnce() -> Moment) {
        if self.is_drawn() || self.is_overdue(started) {
            let now = now();
            self.record(now.since(started), now);
        }
    }

    /// A call was answered in the poll in which it began: no time to speak of, and none is read.
    #[inline]
    pub(crate) fn measure_at_once(&self) {
        if self.is_drawn()
            && let Some(mut halves) = self.try_lock()
        {
            self.add(&mut halves, 0);
        }
    }

    /// A call that began to wait then was not over, and nobody will know when it would have been.
    pub(crate) fn measure_censored(&self, started: Moment, now: impl FnOnce() -> Moment) {
        if self.is_drawn() || self.is_overdue(started) {
            let now = now();
            let elapsed = now.since(started);
            if self.delay(now).is_some_and(|delay| elapsed >= delay) {
                self.record(elapsed, now);
            }
        }
    }

    /// How many calls the samples stand for.
    pub(crate) fn samples(&self) -> u64 {
        self.lock().samples()
    }

    #[inline]
    fn is_drawn(&self) -> bool {
        let stride = self.stride.load(Ordering::Relaxed);
        stride <= 1 || seaworthy_kit::draw() & u64::from(stride - 1) == 0
    }

    /// Whether nothing was drawn for a while: there are fewer calls than the stride is for.
    fn is_overdue(&self, started: Moment) -> bool {
        let good_until = self.good_until.load(Ordering::Relaxed);
        Moment::from_nanos(good_until) < started + (self.window - 3 * self.window / LOOKS)
    }

    fn record(&self, elapsed: Duration, now: Moment) {
        let Some(mut halves) = self.try_lock() else {
            return;
        };
        halves.turn(now, self.window / 2);
        let micros = u64::try_from(elapsed.as_micros()).unwrap_or(LONGEST);
        self.add(&mut halves, micros.min(LONGEST));
        let samples = halves.samples();
        let known = self.delay.load(Ordering::Relaxed) != UNKNOWN;
        let due = now.since(halves.looked) >= self.window / LOOKS;
        if known == (samples >= self.min_samples) && !(known && due) {
            return;
        }
        self.look(&mut halves, now);
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

    /// Adds a sample for each call that it stands for.
    fn add(&self, halves: &mut Halves, micros: u64) {
        let stride = self.stride.load(Ordering::Relaxed);
        halves.present.saturating_record_n(micros, stride);
        halves.calls = halves.calls.saturating_add(u64::from(stride));
        // Before anybody looks: at once after a start, and where no call reads the clock.
        if halves.calls >= 4 * self.enough * u64::from(stride) {
            let longer = (2 * stride).min(LONGEST_STRIDE);
            self.stride.store(longer, Ordering::Relaxed);
        }
    }

    /// How many calls there were since the last look decides which of those to come are samples.
    fn look(&self, halves: &mut Halves, now: Moment) {
        let gap = now.since(halves.looked).as_nanos() / (self.window / LOOKS).as_nanos();
        let looks = u64::try_from(gap).unwrap_or(u64::MAX).max(1);
        let stride = (halves.calls / looks / self.enough).clamp(1, u64::from(LONGEST_STRIDE));
        let stride = (stride as u32).next_power_of_two();
        self.stride.store(stride, Ordering::Relaxed);
        halves.looked = now;
        halves.calls = 0;
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

    /// What that share of the samples of both halves does not exceed.
    fn value_at(&self, share: f64) -> u64 {
        let rank = (share * self.samples() as f64).ceil() as u64;
        let mut before = self.before.iter_recorded().peekable();
        let mut present = self.present.iter_recorded().peekable();
        let (mut seen, mut value) = (0, 0);
        while seen < rank.max(1) {
            let next = match (before.peek(), present.peek()) {
                (Some(one), Some(other)) if other.value_iterated_to() < one.value_iterated_to() => {
                    present.next()
                }
                (Some(_), _) => before.next(),
                (None, _) => present.next(),
            };
            let Some(next) = next else {
                break;
            };
            seen += next.count_since_last_iteration();
            value = next.value_iterated_to();
        }
        value
    }
}

#[cfg(test)]
mod tests;
