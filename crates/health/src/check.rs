//! A check: an async function with a name, and how it is judged.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use seaworthy_core::health::{CheckConfig, Impact};

use crate::reading::{IntoReading, Reading, Thresholds};

pub(crate) type Running = Pin<Box<dyn Future<Output = Reading> + Send>>;
pub(crate) type Function = Arc<dyn Fn() -> Running + Send + Sync>;

/// An async function with a name that finds out how something is.
///
/// ```
/// use std::time::Duration;
///
/// use seaworthy_health::Check;
///
/// # async fn ping() -> std::io::Result<()> { Ok(()) }
/// # fn queue_depth() -> f64 { 3.0 }
/// // It works, or it does not.
/// let database = Check::new("database", || ping()).timeout(Duration::from_secs(1));
///
/// // A figure, with thresholds: read live, told with the answer.
/// let queue = Check::new("queue_depth", || async { queue_depth() })
///     .critical(false)
///     .warn_above(100.0)
///     .fail_above(1_000.0);
/// # let _ = (database, queue);
/// ```
/// It runs in a task of its own, never twice at a time, and nobody who asks can cut it short.
/// It must not block its thread: what does goes into `tokio::task::spawn_blocking`.
#[derive(Clone)]
#[must_use = "a check does nothing until it is in a registry"]
pub struct Check {
    pub(crate) name: Arc<str>,
    pub(crate) function: Function,
    pub(crate) impact: Impact,
    pub(crate) tags: Vec<Arc<str>>,
    pub(crate) thresholds: Thresholds,
    pub(crate) unit: Option<Arc<str>>,
    pub(crate) component: Option<Arc<str>>,
    pub(crate) silence_fails: bool,
    pub(crate) failures: Option<u32>,
    pub(crate) passes: Option<u32>,
    pub(crate) max_age: Option<Duration>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) max_time_in_error: Option<Duration>,
}

impl Check {
    /// A critical check of that name; see [`IntoReading`] for what the function may give back.
    ///
    /// In `application/health+json` a name as `database:connections` is a component and what is measured of it.
    pub fn new<F, Fut>(name: impl Into<Arc<str>>, function: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output: IntoReading> + Send + 'static,
    {
        let function: Function = Arc::new(move || {
            let future = function();
            Box::pin(async move { future.await.into_reading() })
        });
        Self {
            name: name.into(),
            function,
            impact: Impact::Critical,
            tags: Vec::new(),
            thresholds: Thresholds::default(),
            unit: None,
            component: None,
            silence_fails: false,
            failures: None,
            passes: None,
            max_age: None,
            timeout: None,
            max_time_in_error: None,
        }
    }

    /// Whether nothing works without it. Default: true, since a check that nobody thought about must not be one that changes nothing.
    ///
    /// A critical check that fails turns readiness off, and this instance away from the load balancer, for as long as it fails.
    /// A dependency that all instances share takes all of them away at once: leave it critical only where not one request can do without it.
    /// One with a fallback, or behind a circuit, is not.
    pub const fn critical(mut self, critical: bool) -> Self {
        self.impact = if critical {
            Impact::Critical
        } else {
            Impact::Degrading
        };
        self
    }

    /// It is told, and changes nothing.
    pub const fn informational(mut self) -> Self {
        self.impact = Impact::Informational;
        self
    }

    /// How long a run may take: beyond, it is dropped, and the check warns. Default: that of the registry, 3 s.
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// A run whose time is over counts as a failure. Default: it warns, since silence is no proof that something is broken.
    ///
    /// For a dependency that hangs when it is down.
    pub const fn timeout_fails(mut self) -> Self {
        self.silence_fails = true;
        self
    }

    /// How long a result is good enough for those who ask. Default: that of the registry, 5 s.
    pub const fn max_age(mut self, age: Duration) -> Self {
        self.max_age = Some(age);
        self
    }

    /// How many failures in a row it takes to fail. Default: that of the registry, 1.
    pub const fn failures(mut self, failures: u32) -> Self {
        self.failures = Some(failures);
        self
    }

    /// How many runs without a failure in a row it takes to be well again. Default: that of the registry, 1.
    pub const fn passes(mut self, passes: u32) -> Self {
        self.passes = Some(passes);
        self
    }

    /// For how long it may fail, or not answer, before that makes it fail, however few runs it was. Default: that of the registry, for ever.
    ///
    /// It bounds what [`failures`](Self::failures) tolerates, and how long silence is no proof.
    pub const fn max_time_in_error(mut self, longest: Duration) -> Self {
        self.max_time_in_error = Some(longest);
        self
    }

    /// A word by which groups take it in.
    pub fn tag(mut self, tag: impl Into<Arc<str>>) -> Self {
        self.tags.push(tag.into());
        self
    }

    /// A figure above that warns.
    pub const fn warn_above(mut self, limit: f64) -> Self {
        self.thresholds.warn_above = Some(limit);
        self
    }

    /// A figure above that fails.
    pub const fn fail_above(mut self, limit: f64) -> Self {
        self.thresholds.fail_above = Some(limit);
        self
    }

    /// A figure below that warns.
    pub const fn warn_below(mut self, limit: f64) -> Self {
        self.thresholds.warn_below = Some(limit);
        self
    }

    /// A figure below that fails.
    pub const fn fail_below(mut self, limit: f64) -> Self {
        self.thresholds.fail_below = Some(limit);
        self
    }

    /// The unit of its figure, for `application/health+json`.
    pub fn unit(mut self, unit: impl Into<Arc<str>>) -> Self {
        self.unit = Some(unit.into());
        self
    }

    /// What kind of component it is about, for `application/health+json`: `component`, `datastore` or `system`.
    pub fn component(mut self, kind: impl Into<Arc<str>>) -> Self {
        self.component = Some(kind.into());
        self
    }

    /// How it is judged, with what the registry says where it says nothing itself; and how old its results may get where they are refreshed so often.
    pub(crate) fn config(&self, defaults: CheckConfig, every: Option<Duration>) -> CheckConfig {
        let mut config = defaults;
        config.failures = self.failures.unwrap_or(defaults.failures);
        config.passes = self.passes.unwrap_or(defaults.passes);
        config.max_age = self.max_age.unwrap_or(defaults.max_age);
        config.timeout = self.timeout.unwrap_or(defaults.timeout);
        config.silence_fails = self.silence_fails;
        config.max_time_in_error = self.max_time_in_error.or(defaults.max_time_in_error);
        if let Some(every) = every {
            let round = every.saturating_add(config.timeout);
            let kept = round.saturating_mul(2);
            config.max_age = self.max_age.unwrap_or(kept);
            // Later than whoever asks has it run: it must not be too old before it could be replaced.
            let stale = config.max_age.checked_add(round);
            config.stale_after = stale.map(|stale| stale.max(round.saturating_mul(3)));
        }
        config
    }
}

impl fmt::Debug for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Check")
            .field("name", &self.name)
            .field("impact", &self.impact)
            .field("tags", &self.tags)
            .finish_non_exhaustive()
    }
}
