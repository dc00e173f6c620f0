//! The error budget: how fast failures use up what an objective allows, over several windows at once.
//!
//! An objective of 99.9 % allows one call in a thousand to fail: that is the *budget*.
//! The *burn rate* is the share of calls that failed, in budgets: at 1 the budget of a period is used up exactly at its end, at 14.4 a fiftieth of a month's is gone in an hour.
//!
//! A rule fires while the burn rate is above its factor over a long window and over a short one.
//! The long one keeps a blip from firing, the short one lets the rule end soon after the failures do.
//! These are the "multiwindow, multi-burn-rate alerts" of the Site Reliability Workbook (Google, 2018, chapter 5), and so are the default rules:
//!
//! | factor | long | short | of a budget of 30 days | urgency |
//! |---|---|---|---|---|
//! | 14.4 | 1 hour | 5 minutes | 2 % in an hour | page |
//! | 6 | 6 hours | 30 minutes | 5 % in six hours | page |
//! | 1 | 3 days | 6 hours | 10 % in three days | ticket |
//!
//! # Driving it
//! Calls are counted in a [`Tally`], by many threads at once.
//! Where that says that its slot of time is over, its owner books it: [`ErrorBudget::settle`].
//! Whoever asks settles first.
//!
//! ```
//! use std::time::Duration;
//!
//! use seaworthy_core::Moment;
//! use seaworthy_core::error_budget::{ErrorBudget, ErrorBudgetConfig, Tally, Urgency};
//!
//! let mut budget = ErrorBudget::try_new(ErrorBudgetConfig::new(0.999))?;
//! let tally = Tally::new(&budget);
//! let mut now = Moment::from_nanos(0);
//! for call in 0..3600 {
//!     now = now + Duration::from_secs(1);
//!     if tally.is_over(now) {
//!         budget.settle(&tally, now);
//!     }
//!     tally.count(call % 50 != 0);
//! }
//! budget.settle(&tally, now);
//! // Two in a hundred failed, for an hour: twenty times what may fail.
//! let burn = budget.burns().next().expect("the rule of an hour");
//! assert!((burn.long.unwrap() - 20.0).abs() < 0.5);
//! assert!(burn.fires);
//! assert_eq!(budget.worst(), Some(Urgency::Page));
//! # Ok::<(), seaworthy_core::InvalidConfig>(())
//! ```

use alloc::vec::Vec;
use core::time::Duration;

use crate::{InvalidConfig, Moment};

mod config;
pub use config::{BurnRule, ErrorBudgetConfig, Urgency};

mod ring;
use ring::Ring;

mod tally;
pub use tally::Tally;

#[cfg(all(test, not(seaworthy_loom)))]
mod tests;

/// Counts what ended well and what badly over all the windows of its rules; see the [module](self).
///
/// Memory: one ring of sixty counts for each window that is named, about a kilobyte each; at most seventeen of them.
/// Each call is O(windows), whatever time has passed.
/// A clock that steps back counts into the newest bucket; one that was set back by a whole window begins that window anew.
#[derive(Debug)]
pub struct ErrorBudget {
    /// The share of calls that may fail.
    allowed: f64,
    rules: Vec<Windows>,
    /// One for each window, of which none is there twice.
    rings: Vec<Ring>,
    /// Which of them is the period's.
    period: usize,
    min_calls: u64,
    slot: Duration,
}

/// A rule, and where its windows are counted.
#[derive(Debug)]
struct Windows {
    rule: BurnRule,
    long: usize,
    short: usize,
}

/// How calls ended.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub struct Ends {
    /// How many ended well.
    pub good: u64,
    /// How many did not.
    pub bad: u64,
}

/// What a rule sees.
#[derive(Clone, Copy, PartialEq, Debug)]
#[non_exhaustive]
pub struct Burn {
    /// The rule.
    pub rule: BurnRule,
    /// The burn rate over its long window; `None` where no call ended in it.
    pub long: Option<f64>,
    /// The burn rate over its short window.
    pub short: Option<f64>,
    /// The lower of both in factors of the rule, which fires above one; zero where too few calls ended in the short window to say anything.
    pub pressure: f64,
    /// Whether the rule fires.
    pub fires: bool,
}

// ===== impl ErrorBudget =====

impl ErrorBudget {
    /// Nothing has happened yet.
    ///
    /// # Errors
    /// If an option has a value that cannot work; the error names the option.
    pub fn try_new(config: ErrorBudgetConfig) -> Result<Self, InvalidConfig> {
        let allowed = config.check()?;
        let mut rings: Vec<Ring> = Vec::new();
        let mut ring = |window: Duration| {
            let made = Ring::new(window);
            let same = rings.iter().position(|other| other.is_as_long_as(&made));
            same.unwrap_or_else(|| {
                rings.push(made);
                rings.len() - 1
            })
        };
        let windows = |rule: BurnRule| Windows {
            rule,
            long: ring(rule.long),
            short: ring(rule.short),
        };
        let shortest = config.rules.iter().map(|rule| rule.short).min();
        let rules = config.rules.into_iter().map(windows).collect();
        Ok(Self {
            allowed,
            rules,
            period: ring(config.period),
            rings,
            min_calls: config.min_calls.into(),
            // Fine enough that a slot falls into one bucket, give or take one.
            slot: (shortest.unwrap_or(config.period) / Ring::BUCKETS).max(LEAST_SLOT),
        })
    }

    /// Books what was counted, in its own slot of time, and begins a new one.
    pub fn settle(&mut self, tally: &Tally, now: Moment) {
        let (counted, at) = tally.take(now);
        if counted != Ends::default() {
            self.book(counted, at);
        }
        for ring in &mut self.rings {
            ring.advance(now);
        }
    }

    /// Books ends of calls at a moment.
    pub fn book(&mut self, ends: Ends, at: Moment) {
        for ring in &mut self.rings {
            ring.advance(at);
            ring.add(ends);
        }
    }

    /// What each rule sees, as of the last time that something was booked or settled, in the order in which they were given.
    pub fn burns(&self) -> impl Iterator<Item = Burn> {
        self.rules.iter().map(|windows| self.burn(windows))
    }

    /// The most urgent of the rules that fire.
    #[must_use]
    pub fn worst(&self) -> Option<Urgency> {
        let firing = self.burns().filter(|burn| burn.fires);
        firing.map(|burn| burn.rule.urgency).max()
    }

    /// The highest pressure of the rules of that urgency; zero if there are none.
    #[must_use]
    pub fn pressure(&self, urgency: Urgency) -> f64 {
        let these = self.burns().filter(|burn| burn.rule.urgency == urgency);
        these.map(|burn| burn.pressure).fold(0.0, f64::max)
    }

    /// Which share of the budget is left of the period that ends now: one while nothing failed, and below zero once more failed than may.
    #[must_use]
    pub fn remaining(&self) -> f64 {
        1.0 - self.rate(self.rings[self.period].sums()).unwrap_or(0.0)
    }

    /// How the calls of the period that ends now ended.
    #[must_use]
    pub fn ends(&self) -> Ends {
        self.rings[self.period].sums()
    }

    fn burn(&self, windows: &Windows) -> Burn {
        let short = self.rings[windows.short].sums();
        let rule = windows.rule;
        let burn = Burn {
            rule,
            long: self.rate(self.rings[windows.long].sums()),
            short: self.rate(short),
            pressure: 0.0,
            fires: false,
        };
        match (burn.long, burn.short) {
            (Some(long), Some(now)) if short.all() >= self.min_calls => {
                let pressure = long.min(now) / rule.factor;
                Burn {
                    pressure,
                    fires: pressure > 1.0,
                    ..burn
                }
            }
            _ => burn,
        }
    }

    /// The burn rate of these.
    fn rate(&self, ends: Ends) -> Option<f64> {
        let all = ends.all();
        (all > 0).then(|| ends.bad as f64 / all as f64 / self.allowed)
    }
}

// ===== impl Ends =====

impl Ends {
    /// So many of each.
    #[must_use]
    pub const fn new(good: u64, bad: u64) -> Self {
        Self { good, bad }
    }

    /// All of them.
    #[must_use]
    pub const fn all(self) -> u64 {
        self.good.saturating_add(self.bad)
    }

    const fn plus(self, other: Self) -> Self {
        Self::new(
            self.good.saturating_add(other.good),
            self.bad.saturating_add(other.bad),
        )
    }
}

/// The shortest slot: shorter ones would only be settled more often.
const LEAST_SLOT: Duration = Duration::from_millis(1);
