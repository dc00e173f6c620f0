//! How long a tripped circuit stays open: an exponential wait, capped, then jittered, or the dependency's own wish.

use core::time::Duration;

use crate::moment::nanos;
use crate::{Moment, Ratio};

/// The shortest wait that jitter may leave: a wait of nothing would make an open circuit a closed one.
pub(super) const MIN_WAIT: Duration = Duration::from_millis(1);

/// The open wait in integers, all in nanoseconds.
#[derive(Debug)]
pub(super) struct OpenWait {
    base: u64,
    max: u64,
    /// The growth with each trip in a row, in thousandths.
    factor: u64,
    jitter: Option<Ratio>,
    /// The longest wait there can be; worked out once, as each refusal asks.
    longest: u64,
}

// ===== impl OpenWait =====

impl OpenWait {
    pub(super) const FACTOR_UNIT: u64 = 1000;

    pub(super) fn new(base: Duration, max: Duration, factor: u64, jitter: Option<Ratio>) -> Self {
        let max = nanos(max);
        let span = jitter.map_or(0, |share| share.least_part(max));
        Self {
            base: nanos(base),
            max,
            factor,
            jitter,
            longest: max.saturating_add(span),
        }
    }

    /// The wait after a trip that had `earlier` trips before it since the circuit was last closed.
    ///
    /// Capped first, jittered then: the other way round, circuits at the cap would all wait equally long and probe together.
    /// So the longest wait is the cap and the jitter on top.
    pub(super) fn after(&self, earlier: u8, draw: u64, hint: Option<Duration>) -> Duration {
        let own = self.jittered(self.grown(earlier), draw);
        // A hint is advice: it may prolong the wait, up to the same cap, and never shorten it.
        Duration::from_nanos(own).max(self.asked(hint))
    }

    /// The wait that the dependency asked for, up to the cap.
    pub(super) fn asked(&self, hint: Option<Duration>) -> Duration {
        let asked = hint.map_or(0, nanos).min(self.max);
        Duration::from_nanos(asked).max(MIN_WAIT)
    }

    /// Whether no wait lasts from `now` until then: the clock was set back since it began.
    pub(super) const fn is_impossible(&self, until: Moment, now: Moment) -> bool {
        // Twice, so that a small step back changes nothing.
        until.as_nanos().saturating_sub(now.as_nanos()) > self.longest.saturating_mul(2)
    }

    /// The longest wait there can be.
    pub(super) const fn longest(&self) -> Duration {
        Duration::from_nanos(self.longest)
    }

    fn grown(&self, earlier: u8) -> u64 {
        let mut wait = self.base;
        for _ in 0..earlier {
            if wait >= self.max {
                break;
            }
            let next = u128::from(wait) * u128::from(self.factor) / u128::from(Self::FACTOR_UNIT);
            wait = u64::try_from(next).unwrap_or(u64::MAX);
        }
        wait.min(self.max)
    }

    fn span(&self, wait: u64) -> u64 {
        self.jitter.map_or(0, |share| share.least_part(wait))
    }

    fn jittered(&self, wait: u64, draw: u64) -> u64 {
        let span = self.span(wait);
        // The draw as a fraction of the whole range, both ends included.
        let range = 2 * u128::from(span) + 1;
        let offset = (u128::from(draw) * range) >> 64;
        let wait = u128::from(wait - span) + offset;
        u64::try_from(wait).unwrap_or(u64::MAX).max(nanos(MIN_WAIT))
    }
}

#[cfg(test)]
#[cfg(not(seaworthy_loom))]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn wait(jitter: Option<f64>) -> OpenWait {
        let jitter = jitter.map(|share| Ratio::try_new("jitter", share).unwrap());
        OpenWait::new(30 * SECOND, 300 * SECOND, 2000, jitter)
    }

    #[test]
    fn wait_doubles_up_to_the_cap_for_any_number_of_trips() {
        let expected = [30, 60, 120, 240, 300, 300];
        for (earlier, seconds) in (0..).zip(expected) {
            assert_eq!(wait(None).after(earlier, 0, None), seconds * SECOND);
        }
        assert_eq!(wait(None).after(u8::MAX, u64::MAX, None), 300 * SECOND);
        let endless = OpenWait::new(Duration::MAX, Duration::MAX, u64::MAX, None);
        assert_eq!(
            endless.after(u8::MAX, 7, None),
            Duration::from_nanos(u64::MAX)
        );
    }

    #[test]
    fn jitter_is_symmetric_and_survives_the_cap() {
        let wait = wait(Some(0.1));
        for (earlier, middle) in [(0, 30 * SECOND), (9, 300 * SECOND)] {
            assert_eq!(wait.after(earlier, 0, None), middle * 9 / 10);
            assert_eq!(wait.after(earlier, u64::MAX / 2, None), middle);
            assert_eq!(wait.after(earlier, u64::MAX, None), middle * 11 / 10);
        }
        assert_eq!(wait.longest(), 330 * SECOND);
    }

    #[test]
    fn full_jitter_never_leaves_nothing() {
        assert_eq!(wait(Some(1.0)).after(0, 0, None), MIN_WAIT);
    }

    #[test]
    fn hint_of_next_to_nothing_is_a_wait_all_the_same() {
        assert_eq!(wait(None).asked(Some(Duration::from_nanos(1))), MIN_WAIT);
    }

    #[test]
    fn hint_prolongs_up_to_the_cap_and_never_shortens() {
        let wait = wait(None);
        assert_eq!(wait.after(0, 0, Some(SECOND)), 30 * SECOND);
        assert_eq!(wait.after(0, 0, Some(45 * SECOND)), 45 * SECOND);
        assert_eq!(wait.after(0, 0, Some(Duration::MAX)), 300 * SECOND);
    }
}
