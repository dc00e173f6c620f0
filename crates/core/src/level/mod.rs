//! The level of a service: how much it does, from everything to next to nothing, and who says so.
//!
//! Few levels, because whoever is on call has to know by heart what each means (Site Reliability Engineering, chapter 22, "Load Shedding and Graceful Degradation").
//!
//! Three say which level it is:
//!
//! - *rules*, over live signals: shed calls, open circuits, the burn of the error budget;
//! - a *schedule*: the nightly maintenance;
//! - a *hand*, which beats both for as long as it says.
//!
//! Of rules and schedule the more degraded counts.
//!
//! # A rule
//! ```text
//!            at or above `enter` for `enter_after`
//!   resting ───────────────────────────────────────▶ asking for its level
//!      ▲                                                │
//!      └─────── below `leave` for `leave_after` ────────┘
//! ```
//! Between `leave` and `enter` nothing changes, and what was about to change does not: that is the hysteresis.
//! The level goes up as soon as a rule asks, and comes down one level at a time, after at least [`hold`](LevelsConfig::hold) on each: load comes back in steps, and each step is seen to be borne before the next.
//! So a level that rules brought about lasts for `hold` at least, whatever the noise.
//!
//! A time that must pass is made of the gaps between observations, and no gap counts for more than half of it: nothing changes on fewer than three of them, however far apart they are.
//! A signal that is not a number says nothing: the rule stays as it is, and the time begins anew.
//!
//! # Driving it
//! [`Levels::observe`] every second or so, with the value of each rule's signal and the level of the schedule; [`Levels::set`] and [`Levels::release`] by hand.
//! Each of them says what changed.
//!
//! ```
//! use std::time::Duration;
//!
//! use seaworthy_core::Moment;
//! use seaworthy_core::level::{Level, LevelRule, Levels, LevelsConfig};
//!
//! let shed = LevelRule::new(Level::Reduced, "shed", 0.05).leave(0.01);
//! let mut levels = Levels::try_new(LevelsConfig::new().rule(shed))?;
//! let mut now = Moment::from_nanos(0);
//! let mut changes = Vec::new();
//! for second in 0..120 {
//!     now = now + Duration::from_secs(1);
//!     let share_shed = if second < 30 { 0.2 } else { 0.0 };
//!     changes.extend(levels.observe(&[share_shed], Level::Normal, now));
//! }
//! let [up, down] = changes[..] else { panic!("{changes:?}") };
//! assert_eq!((up.to, up.cause), (Level::Reduced, "shed"));
//! assert_eq!(down.to, Level::Normal);
//! # Ok::<(), seaworthy_core::InvalidConfig>(())
//! ```

use alloc::vec::Vec;
use core::fmt;
use core::str::FromStr;
use core::time::Duration;

use crate::{InvalidConfig, Moment};

mod config;
pub use config::{LevelRule, LevelsConfig};

mod latch;
use latch::Latch;

mod schedule;
pub use schedule::{Schedule, Weekday};

#[cfg(all(test, not(seaworthy_loom)))]
mod tests;

/// How much a service does; the less, the greater: `a < b` reads "`a` does more than `b`".
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
#[expect(
    clippy::exhaustive_enums,
    reason = "features declare from which level they are off, and the levels are four"
)]
pub enum Level {
    /// Everything; the default.
    #[default]
    Normal,
    /// Without what is nice to have.
    Reduced,
    /// Only what the service is there for.
    Essential,
    /// Only what its operators need.
    Maintenance,
}

/// Decides the level; see the [module](self).
///
/// Each method is O(rules), whatever time has passed.
/// A clock that was set back begins the times anew that have not passed yet.
#[derive(Debug)]
pub struct Levels {
    rules: Vec<(LevelRule, Latch)>,
    hold: Duration,
    hand: Option<Hand>,
    /// What the schedule said last.
    planned: Level,
    /// What the rules brought about, and since when.
    ruled: Level,
    since: Moment,
    cause: &'static str,
    /// What was told last.
    told: Level,
}

/// The level that somebody set.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Hand {
    level: Level,
    until: Moment,
}

/// The level is another one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Change {
    /// The level before.
    pub from: Level,
    /// The level from now on.
    pub to: Level,
    /// Why: `hand`, `schedule`, the name of a rule, or `recovered`.
    pub cause: &'static str,
}

// ===== impl Level =====

impl Level {
    /// All levels, the one that does most first.
    pub const ALL: [Self; 4] = [
        Self::Normal,
        Self::Reduced,
        Self::Essential,
        Self::Maintenance,
    ];

    /// Its name: what is written into labels and logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Normal => "normal",
            Self::Reduced => "reduced",
            Self::Essential => "essential",
            Self::Maintenance => "maintenance",
        }
    }

    /// Its place in [`ALL`](Self::ALL): a number for gauges and atomics.
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }

    /// The level at that place; the last one beyond the end.
    #[must_use]
    pub const fn at(index: usize) -> Self {
        match index {
            0 => Self::Normal,
            1 => Self::Reduced,
            2 => Self::Essential,
            _ => Self::Maintenance,
        }
    }

    const fn one_better(self) -> Self {
        Self::at(self.index().saturating_sub(1))
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// By its name, in any case: for configuration and command lines.
impl FromStr for Level {
    type Err = InvalidConfig;

    fn from_str(name: &str) -> Result<Self, InvalidConfig> {
        let same = |level: &Self| level.as_str().eq_ignore_ascii_case(name);
        Self::ALL.into_iter().find(same).ok_or_else(|| {
            InvalidConfig::new("level", "must be normal, reduced, essential or maintenance")
        })
    }
}

// ===== impl Levels =====

impl Levels {
    /// At [`Level::Normal`].
    ///
    /// # Errors
    /// If an option has a value that cannot work; the error names the option.
    pub fn try_new(config: LevelsConfig) -> Result<Self, InvalidConfig> {
        config.check()?;
        let latches = config.rules.into_iter();
        Ok(Self {
            rules: latches.map(|rule| (rule, Latch::default())).collect(),
            hold: config.hold,
            hand: None,
            planned: Level::Normal,
            ruled: Level::Normal,
            since: Moment::ORIGIN,
            cause: RECOVERED,
            told: Level::Normal,
        })
    }

    /// Takes in the value of each rule's signal, in the order of the rules, and the level that the schedule has now.
    ///
    /// A value that is missing counts as one that is not a number.
    pub fn observe(&mut self, values: &[f64], planned: Level, now: Moment) -> Option<Change> {
        let mut values = values.iter().copied();
        let mut asked = (Level::Normal, RECOVERED);
        for (rule, latch) in &mut self.rules {
            if latch.observe(rule, values.next().unwrap_or(f64::NAN), now) && rule.level > asked.0 {
                asked = (rule.level, rule.name);
            }
        }
        self.follow(asked, now);
        self.planned = planned;
        self.tell(now)
    }

    /// Sets the level by hand, until then ([`Moment::NEVER`] for good); rules and schedule go on unheeded.
    ///
    /// A limit is what ends a switch that everybody has forgotten.
    pub fn set(&mut self, level: Level, until: Moment, now: Moment) -> Option<Change> {
        self.hand = Some(Hand { level, until });
        self.tell(now)
    }

    /// Leaves it to rules and schedule again.
    pub fn release(&mut self, now: Moment) -> Option<Change> {
        self.hand = None;
        self.tell(now)
    }

    /// Ends what was set by hand, where its time is over; between observations nothing else does.
    pub fn tick(&mut self, now: Moment) -> Option<Change> {
        self.tell(now)
    }

    /// The level, as it was told last.
    #[must_use]
    pub const fn level(&self) -> Level {
        self.told
    }

    /// Whether the level is set by hand.
    #[must_use]
    pub const fn is_by_hand(&self) -> bool {
        self.hand.is_some()
    }

    /// Until when the level is set by hand, where it is.
    #[must_use]
    pub fn by_hand_until(&self) -> Option<Moment> {
        self.hand.map(|hand| hand.until)
    }

    /// The rules that ask for their level now.
    pub fn asking(&self) -> impl Iterator<Item = &LevelRule> {
        let asking = self.rules.iter().filter(|(_, latch)| latch.is_set());
        asking.map(|(rule, _)| rule)
    }

    /// The rules, in the order in which their signals are given.
    pub fn rules(&self) -> impl Iterator<Item = &LevelRule> {
        self.rules.iter().map(|(rule, _)| rule)
    }

    /// Up at once, down one by one.
    fn follow(&mut self, (asked, cause): (Level, &'static str), now: Moment) {
        // Set back: the time on this level begins anew.
        self.since = self.since.min(now);
        if asked > self.ruled {
            (self.ruled, self.since, self.cause) = (asked, now, cause);
        } else if asked < self.ruled && now.since(self.since) >= self.hold {
            (self.ruled, self.since) = (self.ruled.one_better().max(asked), now);
            self.cause = if asked == self.ruled {
                cause
            } else {
                RECOVERED
            };
        }
    }

    fn tell(&mut self, now: Moment) -> Option<Change> {
        if self.hand.is_some_and(|hand| hand.until <= now) {
            self.hand = None;
        }
        let (to, cause) = match self.hand {
            Some(hand) => (hand.level, HAND),
            None if self.planned > self.ruled => (self.planned, SCHEDULE),
            None => (self.ruled, self.cause),
        };
        let from = core::mem::replace(&mut self.told, to);
        (from != to).then_some(Change { from, to, cause })
    }
}

const HAND: &str = "hand";
const SCHEDULE: &str = "schedule";
const RECOVERED: &str = "recovered";
