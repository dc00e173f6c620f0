//! Rules, and what is checked of them.

use alloc::vec::Vec;
use core::time::Duration;

use super::Level;
use crate::InvalidConfig;

/// Which rules there are, and how slowly the level comes down.
#[derive(Clone, PartialEq, Debug)]
pub struct LevelsConfig {
    pub(super) rules: Vec<LevelRule>,
    pub(super) hold: Duration,
}

/// Asks for a level while a signal is high.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct LevelRule {
    pub(super) level: Level,
    pub(super) name: &'static str,
    pub(super) enter: f64,
    pub(super) leave: f64,
    pub(super) enter_after: Duration,
    pub(super) leave_after: Duration,
}

// ===== impl LevelRule =====

impl LevelRule {
    /// Asks for a level once the signal of that name has been at or above a value for five seconds, until it has been below nine tenths of it for thirty.
    ///
    /// The higher the signal, the worse.
    #[must_use]
    pub const fn new(level: Level, name: &'static str, enter: f64) -> Self {
        Self {
            level,
            name,
            enter,
            leave: enter * 0.9,
            enter_after: Duration::from_secs(5),
            leave_after: Duration::from_secs(30),
        }
    }

    /// Below which value the signal is good again; below `enter`. Default: nine tenths of it.
    ///
    /// The distance to `enter` should be wider than the signal's noise.
    #[must_use]
    pub const fn leave(self, leave: f64) -> Self {
        Self { leave, ..self }
    }

    /// For how long the signal must be at or above `enter`. Default: 5 s, so that a blip changes nothing.
    #[must_use]
    pub const fn enter_after(self, time: Duration) -> Self {
        Self {
            enter_after: time,
            ..self
        }
    }

    /// For how long the signal must be below `leave`. Default: 30 s: to do without something for half a minute more costs less than to come back too early.
    #[must_use]
    pub const fn leave_after(self, time: Duration) -> Self {
        Self {
            leave_after: time,
            ..self
        }
    }

    /// For which level it asks.
    #[must_use]
    pub const fn level(&self) -> Level {
        self.level
    }

    /// The name of its signal.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    fn check(&self) -> Result<(), InvalidConfig> {
        let wrong = |option, reason| Err(InvalidConfig::new(option, reason));
        if self.level == Level::Normal {
            return wrong("level", "must be another one than normal");
        }
        if !self.enter.is_finite() {
            return wrong("enter", "must be a number");
        }
        if !self.leave.is_finite() {
            return wrong("leave", "must be a number, or the level never comes back");
        }
        if self.leave >= self.enter {
            return wrong("leave", "must be below enter, or the level flaps");
        }
        Ok(())
    }
}

// ===== impl LevelsConfig =====

impl LevelsConfig {
    /// No rules: the level is a matter of hand and schedule.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            rules: Vec::new(),
            hold: Duration::from_secs(30),
        }
    }

    /// One rule more; at most 64.
    #[must_use]
    pub fn rule(mut self, rule: LevelRule) -> Self {
        self.rules.push(rule);
        self
    }

    /// For how long a level that rules brought about lasts at least, before the next better one. Default: 30 s, in which the load that comes back is seen.
    #[must_use]
    pub const fn hold(mut self, hold: Duration) -> Self {
        self.hold = hold;
        self
    }

    pub(super) fn check(&self) -> Result<(), InvalidConfig> {
        if self.rules.len() > MOST_RULES {
            return Err(InvalidConfig::new("rules", "must be at most 64"));
        }
        self.rules.iter().try_for_each(LevelRule::check)
    }
}

impl Default for LevelsConfig {
    fn default() -> Self {
        Self::new()
    }
}

const MOST_RULES: usize = 64;
