//! Levels by the time of day: maintenance on Sunday nights, less during the sale.

use alloc::vec::Vec;
use core::time::Duration;

use super::Level;
use crate::InvalidConfig;

/// Which level is planned at which time, in UTC.
///
/// UTC, because it has no hour that is there twice or never.
/// Where several entries cover a time, the most degraded counts.
///
/// ```
/// use std::time::Duration;
///
/// use seaworthy_core::level::{Level, Schedule, Weekday};
///
/// const HOUR: Duration = Duration::from_secs(3600);
/// let plan = Schedule::new()
///     .weekly(Weekday::Sunday, 23 * HOUR, 2 * HOUR, Level::Maintenance)?
///     .daily(18 * HOUR, 2 * HOUR, Level::Reduced)?;
///
/// // Monday, 30 November 2026, 00:30: what began on Sunday lasts until one.
/// assert_eq!(plan.level(1_795_998_600), Level::Maintenance);
/// assert_eq!(plan.level(1_795_998_600 + 3600), Level::Normal);
/// assert_eq!(plan.level(1_795_998_600 + 18 * 3600), Level::Reduced);
/// # Ok::<(), seaworthy_core::InvalidConfig>(())
/// ```
#[derive(Clone, Default, Debug)]
pub struct Schedule {
    entries: Vec<Entry>,
}

/// A day of the week.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[expect(clippy::exhaustive_enums, reason = "the days are seven")]
#[expect(missing_docs, reason = "a day is a day")]
pub enum Weekday {
    Monday,
    Tuesday,
    Wednesday,
    Thursday,
    Friday,
    Saturday,
    Sunday,
}

/// From a time on that comes again, or comes once, for so long; in seconds.
#[derive(Clone, Copy, Debug)]
struct Entry {
    /// `None`: once.
    every: Option<u64>,
    from: u64,
    lasts: u64,
    level: Level,
}

impl Schedule {
    /// Nothing is planned.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            entries: Vec::new(),
        }
    }

    /// Each day at that time of the day, for so long.
    ///
    /// # Errors
    /// If the time is none of a day, or lasts for less than a second or more than a day; or if there are 64 entries already.
    pub fn daily(
        self,
        from: Duration,
        lasts: Duration,
        level: Level,
    ) -> Result<Self, InvalidConfig> {
        self.add(Some(DAY), 0, from, lasts, level)
    }

    /// On that day of each week, at that time of the day, for so long.
    ///
    /// # Errors
    /// If the time is none of a day, or lasts for less than a second or more than a week; or if there are 64 entries already.
    pub fn weekly(
        self,
        day: Weekday,
        from: Duration,
        lasts: Duration,
        level: Level,
    ) -> Result<Self, InvalidConfig> {
        // The epoch was a Thursday.
        let days = (day as u64 + 7 - Weekday::Thursday as u64) % 7;
        self.add(Some(7 * DAY), days * DAY, from, lasts, level)
    }

    /// Once, from that second since the Unix epoch on, for so long.
    ///
    /// # Errors
    /// If it lasts for less than a second; or if there are 64 entries already.
    pub fn once(self, from: u64, lasts: Duration, level: Level) -> Result<Self, InvalidConfig> {
        self.add(None, from, Duration::ZERO, lasts, level)
    }

    fn add(
        mut self,
        every: Option<u64>,
        base: u64,
        from: Duration,
        lasts: Duration,
        level: Level,
    ) -> Result<Self, InvalidConfig> {
        let wrong = |reason| Err(InvalidConfig::new("schedule", reason));
        if self.entries.len() >= MOST_ENTRIES {
            return wrong("must have at most 64 entries");
        }
        if from.as_secs() >= DAY {
            return wrong("must begin at a time of the day");
        }
        if lasts.as_secs() == 0 || every.is_some_and(|every| lasts.as_secs() > every) {
            return wrong("must last for at least a second, and end before it comes again");
        }
        self.entries.push(Entry {
            every,
            from: base.saturating_add(from.as_secs()),
            lasts: lasts.as_secs(),
            level,
        });
        Ok(self)
    }

    /// Which level is planned at that second since the Unix epoch.
    #[must_use]
    pub fn level(&self, unix: u64) -> Level {
        let covering = self.entries.iter().filter(|entry| entry.covers(unix));
        let levels = covering.map(|entry| entry.level);
        levels.max().unwrap_or_default()
    }
}

impl Entry {
    const fn covers(&self, unix: u64) -> bool {
        let since = match self.every {
            // Not below zero: the time within its week, shifted by a week.
            Some(every) => (unix % every + every - self.from) % every,
            None if unix < self.from => return false,
            None => unix - self.from,
        };
        since < self.lasts
    }
}

const DAY: u64 = 24 * 3600;
const MOST_ENTRIES: usize = 64;

#[cfg(all(test, not(seaworthy_loom)))]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);
    /// Friday, 27 November 2026, midnight.
    const FRIDAY: u64 = 1_795_737_600;

    fn weekly(day: Weekday, from: Duration, lasts: Duration) -> Schedule {
        let plan = Schedule::new().weekly(day, from, lasts, Level::Essential);
        plan.expect("valid")
    }

    #[test]
    fn day_of_the_week_is_the_calendars() {
        let days = [
            Weekday::Friday,
            Weekday::Saturday,
            Weekday::Sunday,
            Weekday::Monday,
            Weekday::Tuesday,
            Weekday::Wednesday,
            Weekday::Thursday,
        ];
        for (after, day) in days.into_iter().enumerate() {
            let plan = weekly(day, 12 * HOUR, HOUR);
            for other in 0..7 {
                let noon = FRIDAY + other * DAY + 12 * 3600;
                let expected = other as usize == after;
                assert_eq!(plan.level(noon) == Level::Essential, expected, "{day:?}");
            }
        }
    }

    #[test]
    fn once_is_once() {
        let plan = Schedule::new().once(FRIDAY, 2 * HOUR, Level::Reduced);
        let plan = plan.expect("valid");
        assert_eq!(plan.level(FRIDAY - 1), Level::Normal);
        assert_eq!(plan.level(FRIDAY), Level::Reduced);
        assert_eq!(plan.level(FRIDAY + 7199), Level::Reduced);
        assert_eq!(plan.level(FRIDAY + 7200), Level::Normal);
        assert_eq!(plan.level(FRIDAY + 7 * DAY), Level::Normal);
    }

    #[test]
    fn entry_that_is_no_time_is_refused() {
        let new = Schedule::new;
        assert!(new().daily(24 * HOUR, HOUR, Level::Reduced).is_err());
        assert!(new().daily(HOUR, Duration::ZERO, Level::Reduced).is_err());
        assert!(new().daily(HOUR, 25 * HOUR, Level::Reduced).is_err());
        let long = new().weekly(Weekday::Monday, HOUR, 169 * HOUR, Level::Reduced);
        assert!(long.is_err());
        let mut plan = new();
        for _ in 0..64 {
            plan = plan.daily(HOUR, HOUR, Level::Reduced).expect("fits");
        }
        assert!(plan.daily(HOUR, HOUR, Level::Reduced).is_err());
    }

    #[test]
    fn most_degraded_entry_counts() {
        let plan = Schedule::new()
            .daily(HOUR, 3 * HOUR, Level::Reduced)
            .and_then(|plan| plan.daily(2 * HOUR, HOUR, Level::Maintenance))
            .expect("valid");
        let hours = [0, 1, 2, 3, 4].map(|hour| plan.level(FRIDAY + hour * 3600).index());
        assert_eq!(hours, [0, 1, 3, 1, 0]);
    }

    proptest! {
        #[test]
        fn weekly_entry_is_there_for_its_time_in_each_week(
            unix in 8 * DAY..u64::MAX / 2,
            day in 0..7_u64,
            from in 0..DAY,
            lasts in 1..=7 * DAY,
        ) {
            use Weekday::{Friday, Monday, Saturday, Sunday, Thursday, Tuesday, Wednesday};
            let weekday = [Monday, Tuesday, Wednesday, Thursday, Friday, Saturday, Sunday][day as usize];
            let plan = weekly(weekday, Duration::from_secs(from), Duration::from_secs(lasts));
            // The latest beginning that is not after it: the 5th of January 1970 was a Monday.
            let mut begin = 4 * DAY + day * DAY + from;
            begin += unix.saturating_sub(begin) / (7 * DAY) * (7 * DAY);
            if begin > unix { begin -= 7 * DAY; }
            prop_assert_eq!(plan.level(unix) == Level::Essential, unix - begin < lasts);
        }
    }
}
