//! How many calls failed in a window of time, in buckets.

use core::time::Duration;

use crate::moment::nanos;
use crate::{InvalidConfig, Moment};

/// How many calls there were in the last window, and how many of them failed.
///
/// The window is cut into thirty buckets: what it shows is of its length, or up to a thirtieth less.
/// O(buckets) to sum up, any gap of time; a clock that runs backwards counts into the newest bucket.
#[derive(Debug)]
pub struct Rate {
    width: u64,
    /// The number of the newest bucket.
    newest: u64,
    /// Failed, and all; the bucket `n` is in place `n % BUCKETS`.
    buckets: [(u64, u64); BUCKETS],
}

const BUCKETS: usize = 30;

impl Rate {
    /// An empty window.
    ///
    /// # Errors
    /// If it is shorter than a second.
    pub fn try_new(window: Duration) -> Result<Self, InvalidConfig> {
        if window < Duration::from_secs(1) {
            return Err(InvalidConfig::new("window", "must be at least one second"));
        }
        Ok(Self {
            width: nanos(window).div_ceil(BUCKETS as u64),
            newest: 0,
            buckets: [(0, 0); BUCKETS],
        })
    }

    /// Counts a call.
    pub fn count(&mut self, failed: bool, now: Moment) {
        let place = self.advance(now);
        let (failures, all) = &mut self.buckets[place];
        *failures = failures.saturating_add(failed.into());
        *all = all.saturating_add(1);
    }

    /// How many failed, and how many there were.
    pub fn counts(&mut self, now: Moment) -> (u64, u64) {
        self.advance(now);
        self.buckets.iter().fold((0, 0), |(failed, all), bucket| {
            (
                u64::saturating_add(failed, bucket.0),
                u64::saturating_add(all, bucket.1),
            )
        })
    }

    /// Forgets what is older than the window; where to count now.
    fn advance(&mut self, now: Moment) -> usize {
        let number = now.as_nanos() / self.width;
        let gap = number.saturating_sub(self.newest);
        for step in 1..=gap.min(BUCKETS as u64) {
            let place = (self.newest + step) % BUCKETS as u64;
            self.buckets[place as usize] = (0, 0);
        }
        self.newest = self.newest.max(number);
        (self.newest % BUCKETS as u64) as usize
    }
}

#[cfg(all(test, not(seaworthy_loom)))]
mod tests {
    extern crate std;

    use std::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn window_too_short_is_refused() {
        assert!(Rate::try_new(Duration::from_millis(999)).is_err());
        assert!(Rate::try_new(Duration::MAX).is_ok());
    }

    #[test]
    fn year_without_calls_is_empty() {
        let mut rate = Rate::try_new(Duration::from_secs(300)).expect("valid");
        rate.count(true, Moment::ORIGIN);
        let year = Moment::ORIGIN + Duration::from_secs(365 * 24 * 3600);
        assert_eq!(rate.counts(year), (0, 0));
        rate.count(true, Moment::NEVER);
        assert_eq!(rate.counts(Moment::NEVER), (1, 1));
    }

    proptest! {
        #[test]
        fn rate_agrees_with_a_list_of_all_calls(
            calls in prop::collection::vec((0..3_u64, 0..400_u64, any::<bool>()), 0..200),
        ) {
            // Buckets of ten seconds.
            let mut rate = Rate::try_new(Duration::from_secs(300)).expect("valid");
            let mut list: Vec<(u64, bool)> = Vec::new();
            let mut now = 1_000_u64;
            for (kind, by, failed) in calls {
                match kind {
                    0 => now += by,
                    1 => now = now.saturating_sub(by / 8),
                    _ => {
                        let at = Moment::ORIGIN + Duration::from_secs(now);
                        rate.count(failed, at);
                        // Of a clock that went back, the newest bucket is the present one.
                        let bucket = list.iter().map(|(at, _)| *at).max().unwrap_or(0).max(now / 10);
                        list.push((bucket, failed));
                        let newest = bucket;
                        let within = list.iter().filter(|(at, _)| newest - at < 30);
                        let all = within.clone().count() as u64;
                        let failures = within.filter(|(_, failed)| *failed).count() as u64;
                        prop_assert_eq!(rate.counts(at), (failures, all));
                    }
                }
            }
        }
    }
}
