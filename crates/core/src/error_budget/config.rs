//! The options of the error budget, and what is checked of them.

use alloc::vec;
use alloc::vec::Vec;
use core::time::Duration;

use crate::{InvalidConfig, Ratio};

/// The objective, and at which burn rates somebody or something is to act.
#[derive(Clone, PartialEq, Debug)]
pub struct ErrorBudgetConfig {
    pub(super) objective: f64,
    pub(super) rules: Vec<BurnRule>,
    pub(super) period: Duration,
    pub(super) min_calls: u32,
}

/// Fires while the burn rate is above a factor, over a long window and over a short one.
#[derive(Clone, Copy, PartialEq, Debug)]
#[non_exhaustive]
pub struct BurnRule {
    /// How many times faster than it may the budget burns.
    pub factor: f64,
    /// The window that keeps a blip from firing.
    pub long: Duration,
    /// The window that lets the rule end soon.
    pub short: Duration,
    /// How soon somebody has to look.
    pub urgency: Urgency,
}

/// How soon somebody has to look; the less urgent first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[expect(
    clippy::exhaustive_enums,
    reason = "there is now, and there is tomorrow"
)]
pub enum Urgency {
    /// In the next days.
    Ticket,
    /// At once.
    Page,
}

// ===== impl Urgency =====

impl Urgency {
    /// Its name, for labels and logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ticket => "ticket",
            Self::Page => "page",
        }
    }
}

// ===== impl BurnRule =====

impl BurnRule {
    /// Fires above that factor over a window and a twelfth of it, the proportion of the workbook.
    #[must_use]
    pub fn new(factor: f64, long: Duration, urgency: Urgency) -> Self {
        Self {
            factor,
            long,
            short: long / 12,
            urgency,
        }
    }

    /// Another short window.
    #[must_use]
    pub const fn short(self, short: Duration) -> Self {
        Self { short, ..self }
    }
}

// ===== impl ErrorBudgetConfig =====

impl ErrorBudgetConfig {
    /// That share of the calls is to end well, 0.999 say, over 30 days; with the rules of the workbook.
    #[must_use]
    pub fn new(objective: f64) -> Self {
        Self {
            objective,
            rules: vec![
                BurnRule::new(14.4, HOUR, Urgency::Page),
                BurnRule::new(6.0, 6 * HOUR, Urgency::Page),
                BurnRule::new(1.0, 72 * HOUR, Urgency::Ticket),
            ],
            period: 30 * 24 * HOUR,
            min_calls: 100,
        }
    }

    /// Other rules; at most eight, and none at all is a budget that is only shown. Default: those of the workbook.
    #[must_use]
    pub fn rules(self, rules: impl IntoIterator<Item = BurnRule>) -> Self {
        Self {
            rules: rules.into_iter().collect(),
            ..self
        }
    }

    /// Over which time the budget is meant; from one minute to a year, and at least as long as the windows. Default: 30 days.
    #[must_use]
    pub const fn period(mut self, period: Duration) -> Self {
        self.period = period;
        self
    }

    /// Below how many calls in its short window a rule does not fire. Default: 100.
    ///
    /// At an objective of 99.9 %, a single failure among fewer than seventy burns faster than 14.4.
    #[must_use]
    pub const fn min_calls(mut self, calls: u32) -> Self {
        self.min_calls = calls;
        self
    }

    /// The share of calls that may fail.
    pub(super) fn check(&self) -> Result<f64, InvalidConfig> {
        let wrong = |option, reason| Err(InvalidConfig::new(option, reason));
        let objective = Ratio::try_new("objective", self.objective)?;
        if objective == Ratio::ONE {
            return wrong("objective", "must be below 1.0, or there is no budget");
        }
        let allowed = 1.0 - objective.as_f64();
        if self.period < Duration::from_secs(60) || self.period > 366 * 24 * HOUR {
            return wrong("period", "must be between one minute and one year");
        }
        if self.rules.len() > MOST_RULES {
            return wrong("rules", "must be at most eight");
        }
        for rule in &self.rules {
            // As `!(a > b)`: what is not a number is wrong as well.
            if !(rule.factor > 0.0 && rule.factor * allowed < 1.0) {
                return wrong(
                    "factor",
                    "must be above zero, and low enough to be reached when every call fails",
                );
            }
            if rule.short < Duration::from_secs(1) || rule.short > rule.long {
                return wrong("short", "must be at least 1 s and not above long");
            }
            if rule.long > self.period {
                return wrong("long", "must not be above period");
            }
        }
        Ok(allowed)
    }
}

const HOUR: Duration = Duration::from_secs(3600);
const MOST_RULES: usize = 8;
