//! One check: what it shows, how old that is, and the one run that may be under way.

use core::time::Duration;

use super::Status;
use crate::{InvalidConfig, Moment};

/// How a check is judged.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct CheckConfig {
    /// How many failures in a row make a check that was good fail.
    pub failures: u32,
    /// How many runs in a row without a failure make a check that failed good again.
    pub passes: u32,
    /// How long a result is good enough for those who ask; zero: each asks anew, though never beside a run.
    pub max_age: Duration,
    /// How long a run may take.
    pub timeout: Duration,
    /// From which age on a result says nothing any more; `None` for never.
    pub stale_after: Option<Duration>,
    /// Whether a run whose time was over counts as one that failed.
    pub silence_fails: bool,
    /// For how long a check that was good may fail, or be silent, before that makes it fail, however few runs it was; `None` for ever.
    pub max_time_in_error: Option<Duration>,
}

/// What one run has seen.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[expect(clippy::exhaustive_enums, reason = "a machine must handle each")]
pub enum Seen {
    /// It ended, and said so.
    Said(Status),
    /// It did not end in time, which is neither good news nor bad.
    Silence,
}

/// What to do for somebody who asks.
#[derive(PartialEq, Eq, Debug)]
#[expect(clippy::exhaustive_enums, reason = "a shell must handle each")]
pub enum Ask {
    /// Nothing: what is shown is good enough.
    Fresh,
    /// Run the check, and report how it ended.
    Run(Run),
    /// Somebody runs it: wait until then at most.
    Wait {
        /// The number of that run.
        number: u64,
        /// When its time is over.
        until: Moment,
    },
}

/// The right to run a check once, and the duty to say how that ended. Dropped in silence, its time passes.
#[derive(PartialEq, Eq, Debug)]
#[must_use = "a run that nobody reports blocks the check"]
pub struct Run {
    number: u64,
    until: Moment,
}

/// What a check shows changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Change {
    /// What it showed; `None` for the first result.
    pub from: Option<Status>,
    /// What it shows now.
    pub to: Status,
}

/// What a check shows at one moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Shown {
    /// `None`: it has not run yet, or so long ago that it says nothing any more.
    pub status: Option<Status>,
    /// How long ago its last run ended or its time was over.
    pub age: Option<Duration>,
    /// How many runs in a row spoke for a change that has not come yet.
    pub streak: u32,
    /// Whether it runs now.
    pub is_running: bool,
}

/// One check, with hysteresis, a cached result and a single run.
///
/// ```text
///           first result                  `failures` failures in a row
///   unknown ────────────▶ good: pass or warn ─────────────────▶ fail
///           ────────────▶ ◀──────────────────────────────────── ◀──── first result
///                          `passes` runs in a row that did not fail
/// ```
///
/// The first result decides at once: nobody has to wait for a row of them to be told the truth.
/// A check that is good and failed, but not often enough in a row, warns: nothing is hidden.
/// Silence, a run whose time was over, warns where the check was good, and leaves a failed one failed.
/// It interrupts no row of failures, and does interrupt one of passes; or counts as a failure, where that is wanted.
/// A check that is good, and sees nothing but failures and silence for its longest time in error, fails with the next of them.
///
/// Inputs: [`ask`](Self::ask), [`renew`](Self::renew), then [`on_end`](Self::on_end), [`on_timeout`](Self::on_timeout) or [`on_abandon`](Self::on_abandon).
/// Output: [`shown`](Self::shown).
///
/// A run whose time is over counts as silence once, and holds its place until it has really ended: what hangs is not started a second time.
/// A clock that runs backwards makes a result no older; one that is in the future counts as of now.
#[derive(Debug)]
pub struct Check {
    config: CheckConfig,
    status: Option<Status>,
    streak: u32,
    ended: Moment,
    /// When the first run ended of those that have seen nothing good since.
    in_error: Option<Moment>,
    run: Option<Running>,
    /// The number of the last run.
    number: u64,
}

#[derive(Clone, Copy, Debug)]
struct Running {
    until: Moment,
    /// Its time was over, and it was counted.
    overdue: bool,
}

// ===== impl CheckConfig =====

impl CheckConfig {
    /// One failure makes it fail, one pass makes it good; five seconds of age, three seconds of time, never stale, and silence warns, however often.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            failures: 1,
            passes: 1,
            max_age: Duration::from_secs(5),
            timeout: Duration::from_secs(3),
            stale_after: None,
            silence_fails: false,
            max_time_in_error: None,
        }
    }
}

impl Default for CheckConfig {
    fn default() -> Self {
        Self::new()
    }
}

// ===== impl Run =====

impl Run {
    /// Which run of its check it is, counted from one.
    #[must_use]
    pub const fn number(&self) -> u64 {
        self.number
    }

    /// When its time is over.
    #[must_use]
    pub const fn until(&self) -> Moment {
        self.until
    }
}

// ===== impl Check =====

impl Check {
    /// A check that has not run yet.
    ///
    /// # Errors
    /// If a count, the timeout or the longest time in error is zero, or a result would be stale before its age is over.
    pub fn try_new(config: CheckConfig) -> Result<Self, InvalidConfig> {
        let wrong = |option, reason| Err(InvalidConfig::new(option, reason));
        if config.failures == 0 {
            return wrong("failures", "must be at least 1");
        }
        if config.passes == 0 {
            return wrong("passes", "must be at least 1");
        }
        if config.timeout.is_zero() {
            return wrong("timeout", "must be above zero");
        }
        if config.max_time_in_error.is_some_and(|it| it.is_zero()) {
            return wrong("max_time_in_error", "must be above zero");
        }
        if config
            .stale_after
            .is_some_and(|stale| stale <= config.max_age)
        {
            return wrong("stale_after", "must be longer than `max_age`");
        }
        Ok(Self {
            config,
            status: None,
            streak: 0,
            ended: Moment::ORIGIN,
            in_error: None,
            run: None,
            number: 0,
        })
    }

    /// How it is judged.
    #[must_use]
    pub const fn config(&self) -> &CheckConfig {
        &self.config
    }

    /// Somebody wants to know: a result that is young enough will do.
    pub fn ask(&mut self, now: Moment) -> Ask {
        self.take_time(now);
        let is_fresh = self.status.is_some() && now.since(self.ended) < self.config.max_age;
        if is_fresh {
            Ask::Fresh
        } else {
            self.renew(now)
        }
    }

    /// A new result is wanted, however young the last one is.
    ///
    /// Of a run that hangs there is none; it makes a check fail that has been in error for too long by now.
    pub fn renew(&mut self, now: Moment) -> Ask {
        self.take_time(now);
        let ask = match self.run {
            // It hangs, which is known; not for how long.
            Some(Running { overdue: true, .. }) => {
                let seen = Seen::Silence;
                if self.status != Some(Status::Fail) && self.is_too_long_in_error(seen, now) {
                    self.judge(seen, now);
                }
                Ask::Fresh
            }
            Some(Running { until, .. }) => Ask::Wait {
                number: self.number,
                until,
            },
            None => {
                self.number += 1;
                let until = now + self.config.timeout;
                let overdue = false;
                self.run = Some(Running { until, overdue });
                let number = self.number;
                Ask::Run(Run { number, until })
            }
        };
        self.invariants();
        ask
    }

    /// A run has ended, and saw that. What a run sees whose time was over comes too late.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "the right to the run is used up"
    )]
    pub fn on_end(&mut self, run: Run, seen: Seen, now: Moment) -> Option<Change> {
        let Running { overdue, .. } = self.take(&run)?;
        let change = (!overdue).then(|| self.judge(seen, now)).flatten();
        self.invariants();
        change
    }

    /// The time of that run is over: counts once, whoever notices it. Ignored before its time, and where the run has ended.
    pub fn on_timeout(&mut self, number: u64, now: Moment) -> Option<Change> {
        let running = self.run.as_mut().filter(|_| number == self.number)?;
        if running.overdue || now < running.until {
            return None;
        }
        running.overdue = true;
        let change = self.judge(Seen::Silence, now);
        self.invariants();
        change
    }

    /// A run was dropped and has seen nothing; the next who asks runs anew.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "the right to the run is used up"
    )]
    pub fn on_abandon(&mut self, run: Run) {
        self.take(&run);
        self.invariants();
    }

    /// Whether that run is still under way, and its time not known to be over.
    #[must_use]
    pub fn is_awaited(&self, number: u64) -> bool {
        number == self.number && self.run.is_some_and(|run| !run.overdue)
    }

    /// What it shows.
    #[must_use]
    pub fn shown(&self, now: Moment) -> Shown {
        let age = now.since(self.ended);
        let is_stale = self.config.stale_after.is_some_and(|stale| age > stale);
        Shown {
            status: self.status.filter(|_| !is_stale),
            age: self.status.map(|_| age),
            streak: self.streak,
            is_running: self.run.is_some(),
        }
    }

    /// A result of the future is of now at the latest: or a clock that leapt ahead and back would keep it fresh until then.
    fn take_time(&mut self, now: Moment) {
        self.ended = self.ended.min(now);
        self.in_error = self.in_error.map(|since| since.min(now));
        if let Some(run) = &mut self.run {
            run.until = run.until.min(now + self.config.timeout);
        }
    }

    /// Takes the run's place, if it still has it.
    fn take(&mut self, run: &Run) -> Option<Running> {
        if run.number == self.number {
            self.run.take()
        } else {
            None
        }
    }

    fn judge(&mut self, seen: Seen, now: Moment) -> Option<Change> {
        self.ended = now;
        let seen = match seen {
            Seen::Silence if self.config.silence_fails => Seen::Said(Status::Fail),
            _ => seen,
        };
        let is_too_long = self.is_too_long_in_error(seen, now);
        let from = self.status;
        let to = match (from, seen) {
            (None, Seen::Said(status)) => status,
            (Some(Status::Pass | Status::Warn), _) if is_too_long => {
                self.streak = 0;
                Status::Fail
            }
            (None | Some(Status::Pass | Status::Warn), Seen::Silence) => Status::Warn,
            (Some(Status::Fail), Seen::Said(Status::Fail) | Seen::Silence) => {
                self.streak = 0;
                Status::Fail
            }
            (Some(Status::Fail), Seen::Said(status)) => {
                let good = self.lengthen(self.config.passes);
                if good { status } else { Status::Fail }
            }
            (Some(Status::Pass | Status::Warn), Seen::Said(Status::Fail)) => {
                let bad = self.lengthen(self.config.failures);
                if bad { Status::Fail } else { Status::Warn }
            }
            (Some(Status::Pass | Status::Warn), Seen::Said(status)) => {
                self.streak = 0;
                status
            }
        };
        self.status = Some(to);
        (from != Some(to)).then_some(Change { from, to })
    }

    /// Notes since when nothing good was seen; whether that is too long.
    fn is_too_long_in_error(&mut self, seen: Seen, now: Moment) -> bool {
        if matches!(seen, Seen::Said(Status::Pass | Status::Warn)) {
            self.in_error = None;
            return false;
        }
        let since = *self.in_error.get_or_insert(now);
        let longest = self.config.max_time_in_error;
        longest.is_some_and(|longest| now.since(since) >= longest)
    }

    /// One more in the row; whether it is long enough, and over.
    fn lengthen(&mut self, needed: u32) -> bool {
        self.streak += 1;
        let enough = self.streak >= needed;
        if enough {
            self.streak = 0;
        }
        enough
    }

    fn invariants(&self) {
        let needed = match self.status {
            None => 1,
            Some(Status::Fail) => self.config.passes,
            Some(Status::Pass | Status::Warn) => self.config.failures,
        };
        debug_assert!(self.streak < needed, "a row that is long enough is over");
        debug_assert!(self.number > 0 || self.run.is_none());
    }
}
