//! What a registry says at one moment.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use seaworthy_core::health::{Impact, Overall, Stage, Status, Tally};

use crate::build_info::BuildInfo;

/// What a registry says at one moment.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Report {
    /// The name of the registry.
    pub name: Arc<str>,
    /// What the checks amount to.
    pub overall: Overall,
    /// Whether work may come.
    pub ready: bool,
    /// Whether the first round has passed, once.
    pub started: bool,
    /// Whether it drains.
    pub draining: bool,
    /// Whether the runtime is alive, by the heartbeat; true without one.
    pub alive: bool,
    /// The checks, in the order in which they came.
    pub checks: Vec<CheckReport>,
    /// Which build it is.
    pub build: BuildInfo,
    /// How long the registry has been there.
    pub uptime: Duration,
    /// The time of day.
    pub time: SystemTime,
}

/// What one check says at one moment.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct CheckReport {
    /// Its name.
    pub name: Arc<str>,
    /// What it can do to the whole.
    pub impact: Impact,
    /// What it shows; `None` where it has no result, or one that is too old: that counts as a failure.
    pub status: Option<Status>,
    /// Its figure, where it has one.
    pub value: Option<f64>,
    /// Where the figure means trouble.
    pub threshold: Option<f64>,
    /// The unit of the figure.
    pub unit: Option<Arc<str>>,
    /// What kind of component it is about.
    pub component: Option<Arc<str>>,
    /// Why it does not pass. Not for strangers: it is the text of an error.
    pub error: Option<Cow<'static, str>>,
    /// How long its last run took.
    pub response_time: Option<Duration>,
    /// How long ago that ended.
    pub age: Option<Duration>,
    /// The time of day at which it ended.
    pub time: Option<SystemTime>,
}

impl Report {
    pub(crate) fn tally(checks: &[CheckReport]) -> Tally {
        checks.iter().fold(Tally::default(), |tally, check| {
            tally.and(check.impact, check.status)
        })
    }

    pub(crate) fn judge(&mut self, stage: Stage, held: bool) {
        let tally = Self::tally(&self.checks);
        self.overall = tally.overall();
        self.ready = stage.is_ready(tally, held);
        self.started = stage.is_started();
        self.draining = stage.is_draining();
    }

    /// The check of that name.
    #[must_use]
    pub fn check(&self, name: &str) -> Option<&CheckReport> {
        self.checks.iter().find(|check| &*check.name == name)
    }
}

impl CheckReport {
    /// What it counts as: without a result, as a failure.
    #[must_use]
    pub fn counts_as(&self) -> Status {
        self.status.unwrap_or(Status::Fail)
    }

    /// Whether its failure turns readiness off.
    #[must_use]
    pub fn is_critical(&self) -> bool {
        self.impact == Impact::Critical
    }
}
