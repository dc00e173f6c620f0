//! What the calls of a window took, counted by many threads at once.

use core::time::Duration;

use super::{LimitConfig, RACE, Window};
use crate::Moment;
use crate::moment::nanos;
use crate::sync::atomic::Ordering::Relaxed;
use crate::sync::atomic::{AtomicU16, AtomicU32, AtomicU64};

/// The samples of the present window.
///
/// A call that succeeded costs one addition, and a second write only if more ran at once than before.
/// It orders nothing: whoever ends the window takes all that is there, and what comes later counts for the next one.
#[derive(Debug)]
#[repr(align(64))]
pub struct Samples {
    /// How many calls, in the upper 16 bits, and what they took together, in units of 256 ns: one word, so that the mean is that of the calls it counts.
    taken: AtomicU64,
    /// The most that ran at once when one of them began.
    in_flight: AtomicU64,
    /// How many were dropped.
    drops: AtomicU32,
    /// How many calls the window needs.
    needed: AtomicU16,
    /// How many were cut.
    cut: AtomicU16,
    /// As what a call counts that took longer, and what the slowest of those took, in the same units.
    longest: AtomicU32,
    slowest: AtomicU32,
    /// Calls that began before do not count: the limit was another one then.
    from: AtomicU64,
    /// When the window began, when it may end, and when it is too old to be of use.
    opened: AtomicU64,
    due: AtomicU64,
    stale: AtomicU64,
}

/// What a window is to be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(
    clippy::exhaustive_structs,
    reason = "a value for the owner of the limit to make"
)]
pub struct Terms {
    /// How long it lasts, at least.
    pub length: Duration,
    /// How many calls it needs.
    pub calls: u32,
    /// What one of them may take: for ten times as long there must be something to wait for.
    pub took: Duration,
    /// A call that took longer counts as this.
    pub longest: Duration,
    /// Whether calls that began before it do not count.
    pub only_new: bool,
}

// ===== impl Samples =====

impl Samples {
    /// No window is open yet: the first call that ends opens one.
    #[must_use]
    pub fn new(config: &LimitConfig) -> Self {
        Self {
            taken: AtomicU64::new(0),
            in_flight: AtomicU64::new(0),
            drops: AtomicU32::new(0),
            needed: AtomicU16::new(needed(config.min_samples)),
            cut: AtomicU16::new(0),
            longest: AtomicU32::new(u32::MAX),
            slowest: AtomicU32::new(0),
            from: AtomicU64::new(0),
            opened: AtomicU64::new(0),
            due: AtomicU64::new(0),
            stale: AtomicU64::new(0),
        }
    }

    /// A call succeeded that began then, as one of so many; says whether a window seems to be over.
    ///
    /// One that took no time by its clock says nothing.
    #[inline]
    pub fn on_success(&self, began: Moment, now: Moment, in_flight: usize) -> bool {
        let took = now.as_nanos().saturating_sub(began.as_nanos());
        let seen = self.taken.load(Relaxed);
        if took == 0 || seen >= FULL || !self.counts(began, now) {
            return self.is_over(now);
        }
        let (units, longest) = (units(took), self.longest.load(Relaxed));
        if units > longest {
            self.note_slow(units);
        }
        let units = u64::from(units.min(longest));
        let before = self.taken.fetch_add(ONE_CALL | units, Relaxed);
        self.note_in_flight(in_flight);
        self.is_over_with(before.wrapping_add(ONE_CALL), now)
    }

    /// A call was dropped that began then, as one of so many; says whether a window seems to be over.
    pub fn on_drop(&self, began: Moment, now: Moment, in_flight: usize) -> bool {
        if self.counts(began, now) {
            self.drops.fetch_add(1, Relaxed);
            self.note_in_flight(in_flight);
        }
        self.is_over(now)
    }

    /// A call was cut that began then, as one of so many: it missed a deadline that leaves little more than what calls take; says whether a window seems to be over.
    pub fn on_cut(&self, began: Moment, now: Moment, in_flight: usize) -> bool {
        // Beyond so many, more of them say nothing more; with room for all threads that have looked already.
        if self.cut.load(Relaxed) < MANY && self.counts(began, now) {
            self.cut.fetch_add(1, Relaxed);
            self.note_in_flight(in_flight);
        }
        self.is_over(now)
    }

    /// Whether the window is over: it lasted long enough and has enough calls, or is too old.
    #[must_use]
    pub fn is_over(&self, now: Moment) -> bool {
        self.is_over_with(self.taken.load(Relaxed), now)
    }

    #[inline]
    fn is_over_with(&self, taken: u64, now: Moment) -> bool {
        let now = now.as_nanos();
        if now < self.due.load(Relaxed) {
            return is_set_back(now, self.opened.load(Relaxed)) || taken >= FULL / 2;
        }
        let lost = u64::from(self.drops.load(Relaxed)) + u64::from(self.cut.load(Relaxed));
        let calls = (taken >> CALL_SHIFT) + lost;
        calls >= self.needed.load(Relaxed).into() || now >= self.stale.load(Relaxed)
    }

    /// Whether a call counts that began then. Where the clock was set back, each does.
    #[inline]
    fn counts(&self, began: Moment, now: Moment) -> bool {
        let from = self.from.load(Relaxed);
        began.as_nanos() >= from || is_set_back(now.as_nanos(), from)
    }

    #[cold]
    fn note_slow(&self, units: u32) {
        self.slowest.fetch_max(units, Relaxed);
    }

    #[inline]
    fn note_in_flight(&self, in_flight: usize) {
        let in_flight = in_flight as u64;
        // Mostly it is not the most: then the line is only read.
        if in_flight > self.in_flight.load(Relaxed) {
            self.in_flight.fetch_max(in_flight, Relaxed);
        }
    }

    /// Takes what was counted; for the owner of the limit only.
    #[must_use]
    pub fn take(&self) -> Window {
        let taken = self.taken.swap(0, Relaxed);
        let (calls, units) = (taken >> CALL_SHIFT, taken & UNITS);
        let mean = (units << UNIT_BITS).checked_div(calls).unwrap_or(0);
        Window {
            calls: u32::try_from(calls).unwrap_or(u32::MAX),
            drops: self.drops.swap(0, Relaxed),
            cut: self.cut.swap(0, Relaxed).into(),
            mean: Duration::from_nanos(mean),
            in_flight: usize::try_from(self.in_flight.swap(0, Relaxed)).unwrap_or(usize::MAX),
        }
    }

    /// What the slowest call took that counted for less; zero if there was none.
    pub(super) fn take_slowest(&self) -> Duration {
        let units = self.slowest.swap(0, Relaxed);
        Duration::from_nanos(u64::from(units) << UNIT_BITS)
    }

    /// Whether a window that was taken has as many calls as it needed.
    pub(super) fn are_enough(&self, window: &Window) -> bool {
        let calls = window.calls.saturating_add(window.drops);
        calls.saturating_add(window.cut) >= self.needed.load(Relaxed).into()
    }

    /// Opens the next window; for the owner of the limit only.
    pub fn open(&self, now: Moment, terms: Terms) {
        let Terms {
            length,
            calls,
            took,
            longest,
            only_new,
        } = terms;
        self.needed.store(needed(calls), Relaxed);
        self.longest.store(units(nanos(longest)), Relaxed);
        let from = if only_new { now.as_nanos() } else { 0 };
        self.from.store(from, Relaxed);
        self.opened.store(now.as_nanos(), Relaxed);
        self.due.store((now + length).as_nanos(), Relaxed);
        let stale = length.max(took).saturating_mul(STALE).max(LEAST_STALE);
        self.stale.store((now + stale).as_nanos(), Relaxed);
    }
}

/// A time as it is counted, never nothing; longer ones than 18 minutes count as that: as many as the number has room for cannot overflow the sum.
fn units(nanos: u64) -> u32 {
    u32::try_from(nanos >> UNIT_BITS).map_or(u32::MAX, |units| units.max(1))
}

/// No window needs more: see [`LimitConfig`].
fn needed(calls: u32) -> u16 {
    u16::try_from(calls).unwrap_or(u16::MAX)
}

/// Whether the clock was set back since: two threads that have both read it may be apart, too, but not by so much.
fn is_set_back(now: u64, since: u64) -> bool {
    now.saturating_add(nanos(RACE)) < since
}

/// The number of calls has 16 bits, their sum 48.
const CALL_SHIFT: u32 = 48;
const ONE_CALL: u64 = 1 << CALL_SHIFT;
const UNITS: u64 = ONE_CALL - 1;

/// Calls are measured in units of 256 ns.
const UNIT_BITS: u32 = 8;

/// Beyond so many calls no more are counted, with room for all threads that have looked already; half of it ends a window early.
const FULL: u64 = 0xF000 << CALL_SHIFT;

/// More calls than a window can count were cut.
const MANY: u16 = 0xF000;

/// A window that after ten times its length, or what a call takes, and ten seconds, has too few calls is of a service that has nothing to do.
const STALE: u32 = 10;
const LEAST_STALE: Duration = Duration::from_secs(10);
