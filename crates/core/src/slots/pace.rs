//! How fast slots change hands while calls wait: what a queue can tell those whom it turns away.

use core::time::Duration;

use crate::Moment;

/// The mean time between two slots that were handed on, measured only while calls waited without a break.
///
/// Under a standing queue this is the mean service time divided by the slots, the quantity in Little's law, and needs neither of them to be measured.
#[derive(Default, Debug)]
pub(super) struct Pace {
    /// When the last slot was handed on; `None` if nobody has waited since.
    last: Option<Moment>,
    mean: Option<Duration>,
}

impl Pace {
    /// A slot was handed from a call that ended to one that waited.
    pub(super) fn handed_on(&mut self, now: Moment) {
        let Some(last) = self.last.replace(now) else {
            return;
        };
        let sample = now.since(last);
        self.mean = Some(match self.mean {
            None => sample,
            Some(mean) => (mean - mean / WEIGHT).saturating_add(sample / WEIGHT),
        });
    }

    /// Nobody waits: the time until the next slot is handed on tells how few calls come, not how long they take.
    pub(super) const fn pause(&mut self) {
        self.last = None;
    }

    /// The mean, once there is one.
    pub(super) const fn mean(&self) -> Option<Duration> {
        self.mean
    }
}

/// A sample counts for an eighth: as TCP smooths its round trips, slow enough for one odd call, quick enough for a change.
const WEIGHT: u32 = 8;

#[cfg(all(test, not(seaworthy_loom)))]
mod tests {
    use super::*;

    fn at(nanos: u64) -> Moment {
        Moment::from_nanos(nanos)
    }

    #[test]
    fn pace_is_known_after_two_slots() {
        let mut pace = Pace::default();
        assert_eq!(pace.mean(), None);
        pace.handed_on(at(100));
        assert_eq!(pace.mean(), None);
        pace.handed_on(at(180));
        assert_eq!(pace.mean(), Some(Duration::from_nanos(80)));
        pace.handed_on(at(180));
        assert_eq!(pace.mean(), Some(Duration::from_nanos(70)));
    }

    #[test]
    fn time_without_a_queue_is_not_measured() {
        let mut pace = Pace::default();
        pace.handed_on(at(0));
        pace.handed_on(at(80));
        pace.pause();
        pace.handed_on(at(1_000_000));
        assert_eq!(pace.mean(), Some(Duration::from_nanos(80)));
        pace.handed_on(at(1_000_080));
        assert_eq!(pace.mean(), Some(Duration::from_nanos(80)));
    }

    #[test]
    fn pace_follows_a_change() {
        let mut pace = Pace::default();
        let mut now = 0;
        for _ in 0..3 {
            pace.handed_on(at(now));
            now += 8_000;
        }
        for _ in 0..100 {
            now += 80_000;
            pace.handed_on(at(now));
        }
        let mean = pace.mean().expect("there were many");
        assert!((70_000..=88_000).contains(&mean.as_nanos()), "{mean:?}");
    }

    #[test]
    fn clock_that_runs_backwards_or_leaps_breaks_nothing() {
        let mut pace = Pace::default();
        for now in [5, 3, u64::MAX, 0, u64::MAX, u64::MAX, 7] {
            pace.handed_on(at(now));
        }
        assert!(pace.mean().is_some());
    }
}
