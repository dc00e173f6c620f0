//! The way back to full load: after the circuit has closed, a share of the calls that rises linearly from nothing to all.

use core::time::Duration;

use crate::Moment;
use crate::moment::nanos;
use crate::sync::atomic::{AtomicU64, Ordering};

/// A whole call, in units of credit.
const UNIT: u64 = 1 << 20;
const CREDIT_BITS: u32 = 24;
const CREDIT_MASK: u64 = (1 << CREDIT_BITS) - 1;

/// A recovery's span, its beginning, and what it owes to the calls that it has refused so far.
///
/// Each call that asks earns the share of a call that is admitted at that moment, and the one that makes a whole call of it passes.
/// So the share is exact for any number of calls, evenly spread, and no dice are needed.
#[derive(Debug)]
pub(super) struct Ramp {
    span: Duration,
    /// Written before the state that it belongs to is published.
    from: AtomicU64,
    /// Tag of the generation (40 bits), credit (24).
    /// In a new generation it is a whole call, so that somebody whose calls are few and far between is not refused the first one.
    credit: AtomicU64,
}

// ===== impl Ramp =====

impl Ramp {
    pub(super) fn new(span: Duration) -> Self {
        Self {
            span,
            from: AtomicU64::new(0),
            credit: AtomicU64::new(UNIT),
        }
    }

    /// Begins a recovery; false when the circuit has moved, which `current` tells.
    pub(super) fn begin(&self, now: Moment, current: impl Fn() -> bool) -> bool {
        let mut seen = self.from.load(Ordering::Acquire);
        loop {
            // Asked after the word was read: one of a later recovery must not be overwritten by a thread that slept.
            if !current() {
                return false;
            }
            match self.from.compare_exchange(
                seen,
                now.as_nanos(),
                Ordering::AcqRel,
                Ordering::Acquire,
            ) {
                Ok(_) => return true,
                Err(other) => seen = other,
            }
        }
    }

    /// When every call is admitted again.
    fn end(&self) -> Moment {
        self.from() + self.span
    }

    pub(super) fn is_over(&self, now: Moment) -> bool {
        // No recovery begins that late, so the clock was set back since.
        let impossible = self.from().since(now) > self.span;
        now >= self.end() || impossible
    }

    /// The share of calls that is admitted now.
    pub(super) fn share(&self, now: Moment) -> f64 {
        self.units(now) as f64 / UNIT as f64
    }

    /// Whether one more call passes; `None` when the generation is over, which `current` tells.
    pub(super) fn take(
        &self,
        generation: u64,
        now: Moment,
        current: impl Fn() -> bool,
    ) -> Option<bool> {
        let tag = generation << CREDIT_BITS;
        let share = self.units(now);
        let mut seen = self.credit.load(Ordering::Acquire);
        loop {
            let credit = if seen & !CREDIT_MASK == tag {
                seen & CREDIT_MASK
            } else if current() {
                UNIT
            } else {
                return None;
            };
            debug_assert!(credit <= UNIT, "nobody is owed more than one call");
            let credit = credit + share;
            let passes = credit >= UNIT;
            let next = tag | if passes { credit - UNIT } else { credit };
            match self
                .credit
                .compare_exchange_weak(seen, next, Ordering::AcqRel, Ordering::Acquire)
            {
                Ok(_) => return Some(passes),
                Err(other) => seen = other,
            }
        }
    }

    fn from(&self) -> Moment {
        Moment::from_nanos(self.from.load(Ordering::Acquire))
    }

    fn units(&self, now: Moment) -> u64 {
        if self.is_over(now) {
            return UNIT;
        }
        let elapsed = u128::from(nanos(now.since(self.from())));
        // Below a whole one, since the elapsed time is below the span.
        (elapsed * u128::from(UNIT) / u128::from(nanos(self.span))) as u64
    }
}
