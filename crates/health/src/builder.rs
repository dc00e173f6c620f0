//! The options of a registry.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use seaworthy_core::health::CheckConfig;
use seaworthy_kit::InvalidConfig;
use seaworthy_kit::vital::Vitalities;

use crate::background::Background;
use crate::build_info::BuildInfo;
use crate::check::Check;
use crate::checks;
use crate::health::Health;
use crate::heartbeat::Heartbeat;
use crate::reading::Redaction;
use crate::registry::{Registry, Rules};

/// Makes a [`Health`].
#[derive(Debug)]
#[must_use = "a builder does nothing until it is built"]
pub struct Builder {
    name: Arc<str>,
    build: BuildInfo,
    checks: Vec<Check>,
    groups: Vec<(Arc<str>, Vec<Arc<str>>)>,
    config: CheckConfig,
    every: Option<Duration>,
    jitter: f64,
    heartbeat: Option<Duration>,
    redaction: Option<Redaction>,
}

impl Builder {
    pub(crate) fn new(name: impl Into<Arc<str>>) -> Self {
        Self {
            name: name.into(),
            build: BuildInfo::default(),
            checks: Vec::new(),
            groups: Vec::new(),
            config: CheckConfig::new(),
            every: None,
            jitter: 0.1,
            heartbeat: None,
            redaction: None,
        }
    }

    /// Takes a check in.
    pub fn check(mut self, check: Check) -> Self {
        self.checks.push(check);
        self
    }

    /// Takes several in.
    pub fn checks(mut self, checks: impl IntoIterator<Item = Check>) -> Self {
        self.checks.extend(checks);
        self
    }

    /// Takes in what layers say of themselves: circuits, bulkheads, limits, a tuple of their handles, keyed or not.
    ///
    /// Each is a check `name:kind`, as `gateway:circuit_breaker`, that is not critical: what has a circuit has a way to do without.
    /// It asks nobody, and so is never too old.
    pub fn layers(self, handles: impl Vitalities) -> Self {
        self.checks(checks::layers(handles))
    }

    /// A group of checks by their names or tags: a service of `grpc.health.v1`, and a path over HTTP.
    pub fn group<M: Into<Arc<str>>>(
        mut self,
        name: impl Into<Arc<str>>,
        members: impl IntoIterator<Item = M>,
    ) -> Self {
        let members = members.into_iter().map(Into::into).collect();
        self.groups.push((name.into(), members));
        self
    }

    /// How long a run of a check may take, where the check does not say. Default: 3 s.
    ///
    /// A probe that has to wait for a run must be willing to wait for longer: Kubernetes gives up after one second, unless told otherwise.
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.config.timeout = timeout;
        self
    }

    /// How long a result is good enough for those who ask, where the check does not say. Default: 5 s, the period of a readiness probe.
    ///
    /// With [`refresh_every`](Self::refresh_every) it follows from that, where the check does not say.
    pub const fn max_age(mut self, age: Duration) -> Self {
        self.config.max_age = age;
        self
    }

    /// How many failures in a row make a check fail, where the check does not say. Default: 1, since who probes counts again: Kubernetes to three.
    pub const fn failures(mut self, failures: u32) -> Self {
        self.config.failures = failures;
        self
    }

    /// How many runs without a failure in a row make it well again, where the check does not say. Default: 1.
    pub const fn passes(mut self, passes: u32) -> Self {
        self.config.passes = passes;
        self
    }

    /// For how long a check may fail, or not answer, before that makes it fail, where the check does not say. Default: for ever.
    ///
    /// A critical check that never answers only warns, and leaves the process ready: with this, for so long at most.
    pub const fn max_time_in_error(mut self, longest: Duration) -> Self {
        self.config.max_time_in_error = Some(longest);
        self
    }

    /// Runs all checks by themselves so often, so that nobody who asks waits for one. Default: off, they run when somebody asks.
    ///
    /// A check that takes longer than that keeps no other from its next run.
    /// A result that should have been replaced twice is run for by whoever asks, and one that is older still says nothing any more: a scheduler that died must not look healthy.
    pub const fn refresh_every(mut self, every: Duration) -> Self {
        self.every = Some(every);
        self
    }

    /// By which share of the interval a round in the background may come early. Default: 0.1, so that instances started together part.
    pub const fn jitter(mut self, share: f64) -> Self {
        self.jitter = share;
        self
    }

    /// Counts the process as stuck when a task that only shows that it runs did not for so long. Default: off.
    ///
    /// It notices a runtime of which some threads are blocked for ever: an answer of which none is left nobody gets anyway.
    pub const fn heartbeat(mut self, limit: Duration) -> Self {
        self.heartbeat = Some(limit);
        self
    }

    /// Makes of the name of a check and the text of its error, or warning, the text that is told: without the hosts, users and passwords that drivers write into it. Default: as it is.
    ///
    /// It is asked once for each run, before anything is kept; what it panics over is told as `redacted`.
    ///
    /// ```
    /// use seaworthy_health::{Check, Health};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let refused = || async { Err::<(), _>("no route to db-7.internal:5432") };
    /// let health = Health::builder("payments")
    ///     .check(Check::new("database", refused))
    ///     .redact(|_, error| error.split(" to ").next().unwrap_or_default().to_owned())
    ///     .build()?;
    /// assert_eq!(health.report().await.check("database").unwrap().error.as_deref(), Some("no route"));
    /// # Ok(())
    /// # }
    /// ```
    pub fn redact(mut self, redact: impl Fn(&str, &str) -> String + Send + Sync + 'static) -> Self {
        self.redaction = Some(Redaction::new(redact));
        self
    }

    /// The version that is told. Default: none.
    pub fn version(mut self, version: impl Into<Cow<'static, str>>) -> Self {
        self.build.version = Some(version.into());
        self
    }

    /// The commit that is told. Default: none.
    pub fn git_commit(mut self, commit: impl Into<Cow<'static, str>>) -> Self {
        self.build.git_commit = Some(commit.into());
        self
    }

    /// When the program was built, as it is told. Default: none.
    pub fn build_timestamp(mut self, time: impl Into<Cow<'static, str>>) -> Self {
        self.build.build_timestamp = Some(time.into());
        self
    }

    /// The registry.
    ///
    /// # Errors
    /// If two checks have one name, a group has a member that is neither a name nor a tag of a check, thresholds contradict each other, or a number cannot work.
    pub fn build(self) -> Result<Health, InvalidConfig> {
        let background = self.schedule()?;
        if self.heartbeat.is_some_and(|limit| limit < LEAST_HEARTBEAT) {
            let reason = "must be at least 100 ms";
            return Err(InvalidConfig::new("heartbeat", reason));
        }
        let heartbeat = self.heartbeat.map(Heartbeat::new);
        let rules = Rules {
            config: self.config,
            every: self.every,
            redaction: self.redaction,
        };
        let registry = Registry::new(self.name, self.build, rules, background, heartbeat);
        for check in self.checks {
            registry.add(check)?;
        }
        let mut names: Vec<Arc<str>> = Vec::new();
        for (name, members) in self.groups {
            if names.contains(&name) {
                return Err(InvalidConfig::new("group", "must have a name of its own"));
            }
            names.push(name.clone());
            registry.set_group(name, members)?;
        }
        Ok(Health::new(registry))
    }

    /// What runs in the background.
    fn schedule(&self) -> Result<Option<Background>, InvalidConfig> {
        let Some(every) = self.every else {
            return Ok(None);
        };
        if !(LEAST_REFRESH..=MOST_REFRESH).contains(&every) {
            let reason = "must be between 10 ms and a day";
            return Err(InvalidConfig::new("refresh_every", reason));
        }
        if !(0.0..=1.0).contains(&self.jitter) {
            return Err(InvalidConfig::new("jitter", "must be between 0.0 and 1.0"));
        }
        Ok(Some(Background::new(every, self.jitter)))
    }
}

/// A task that wakes up more often costs more than it tells.
const LEAST_HEARTBEAT: Duration = Duration::from_millis(100);
const LEAST_REFRESH: Duration = Duration::from_millis(10);
const MOST_REFRESH: Duration = Duration::from_secs(24 * 3600);
