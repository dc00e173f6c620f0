//! The handle of a registry: ask it, hold its start up, let it drain.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
#[cfg(feature = "grpc")]
use std::time::Duration;

use seaworthy_core::health::Impact;
use seaworthy_kit::vital::Vitalities;
use seaworthy_kit::{Event, InvalidConfig, Subscription};

use crate::builder::Builder;
use crate::check::Check;
use crate::checks;
use crate::entry::Entry;
use crate::registry::Registry;
use crate::report::Report;

/// All checks of a process, and what they amount to: cheap to clone, one state for all clones.
///
/// ```
/// use seaworthy_health::{Check, Health};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let health = Health::builder("payments")
///     .check(Check::new("database", || async { Ok::<_, std::io::Error>(()) }))
///     .check(Check::new("mail", || async { Err::<(), _>("no route") }).critical(false))
///     .build()?;
///
/// let report = health.report().await;
/// assert!(report.ready);
/// assert_eq!(report.overall.name(), "degraded");
/// assert_eq!(report.check("mail").unwrap().error.as_deref(), Some("no route"));
/// # Ok(())
/// # }
/// ```
/// Checks run in tasks of tokio's runtime: whoever asks, asks inside of one.
#[derive(Clone)]
pub struct Health {
    registry: Arc<Registry>,
}

/// Holds the start of a process up until it is released: for a cache that must be warm before work comes.
///
/// Dropped without that, it holds the start up for ever: whoever was to warm the cache has failed.
#[derive(Debug)]
#[must_use = "the start is held up until this is released"]
pub struct Hold {
    registry: Arc<Registry>,
}

// ===== impl Health =====

impl Health {
    /// A registry of that name, which its metrics and events carry.
    pub fn builder(name: impl Into<Arc<str>>) -> Builder {
        Builder::new(name)
    }

    pub(crate) fn new(registry: Registry) -> Self {
        let registry = Arc::new(registry);
        // A registry that is built outside of a runtime begins when it is first asked.
        if tokio::runtime::Handle::try_current().is_ok() {
            registry.start();
        }
        Self { registry }
    }

    pub(crate) fn tell(&self, event: &Event) {
        self.registry.telemetry.report(event);
    }

    #[cfg(any(test, feature = "grpc"))]
    pub(crate) const fn registry(&self) -> &Arc<Registry> {
        &self.registry
    }

    /// What all checks say, run anew where their results are too old.
    ///
    /// All of them run at once, and each only once however many ask.
    ///
    /// # Cancel safety
    /// Dropped, it runs on for the others.
    pub async fn report(&self) -> Report {
        let entries = self.registry.entries();
        self.registry.refresh(&entries).await;
        self.registry.report(&entries)
    }

    /// What all checks said last, without asking any.
    #[must_use]
    pub fn snapshot(&self) -> Report {
        self.registry.report(&self.registry.entries())
    }

    /// What readiness is about: the critical checks, and the others only as far as they are known, so that none of them makes a probe wait.
    ///
    /// Until the process has started, it waits for all: the first answer is of a whole round.
    /// Once it drains it waits for none, and asks none: the answer is no.
    ///
    /// # Cancel safety
    /// Dropped, it runs on for the others.
    pub async fn ready(&self) -> Report {
        let entries = self.registry.entries();
        let refresh = async {
            if !self.registry.stage().is_started() {
                return self.registry.refresh(&entries).await;
            }
            let all = entries.iter().cloned();
            let is_critical = |entry: &Arc<Entry>| entry.check.impact == Impact::Critical;
            let (critical, others): (Vec<_>, Vec<_>) = all.partition(is_critical);
            // Nobody waits for the others, but they are kept up to date.
            for entry in &others {
                entry.ask();
            }
            self.registry.refresh(&critical).await;
        };
        self.registry.until_drain(refresh).await;
        self.registry.report(&entries)
    }

    /// What the checks of a group say, or `None` where there is no such group. Once the process drains, none is asked.
    ///
    /// # Cancel safety
    /// Dropped, it runs on for the others.
    pub async fn group(&self, name: &str) -> Option<Report> {
        let members = self.registry.members(name)?;
        let refresh = self.registry.refresh(&members);
        self.registry.until_drain(refresh).await;
        Some(self.registry.report(&members))
    }

    /// Has all checks run whose results are too old; once the process drains, none.
    #[cfg(feature = "grpc")]
    pub(crate) async fn refresh(&self) {
        let entries = self.registry.entries();
        let refresh = self.registry.refresh(&entries);
        self.registry.until_drain(refresh).await;
    }

    /// What is known of a group, or by the empty name of the whole; `None` where there is no such group.
    #[cfg(feature = "grpc")]
    pub(crate) fn glance(&self, service: &str) -> Option<Report> {
        if service.is_empty() {
            return Some(self.snapshot());
        }
        let members = self.registry.members(service)?;
        Some(self.registry.report(&members))
    }

    /// Whether a critical check has no result on which the readiness of that group, or of the whole, depends.
    #[cfg(feature = "grpc")]
    pub(crate) fn lacks(&self, service: &str) -> bool {
        let report = self.glance(service);
        let mut checks = report.iter().flat_map(|report| &report.checks);
        checks.any(|check| check.is_critical() && check.status.is_none())
    }

    /// The names of the groups.
    #[must_use]
    pub fn groups(&self) -> Vec<Arc<str>> {
        self.registry.groups()
    }

    /// Whether the runtime is alive, by the heartbeat; true without one. It asks no check.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        self.registry.is_alive()
    }

    /// Starts what shows that the runtime is alive, where that could not be done when the registry was built.
    #[cfg(feature = "http")]
    pub(crate) fn start_heartbeat(&self) {
        self.registry.start_heartbeat();
    }

    /// Whether the first round has passed, once.
    #[must_use]
    pub fn is_started(&self) -> bool {
        self.registry.stage().is_started()
    }

    /// Whether it drains.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.registry.is_draining()
    }

    /// Waits until it drains: for what would go on for ever, as a stream of events, and hold up the end until its limit.
    ///
    /// ```
    /// use seaworthy_health::Health;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # async fn next_event() { std::future::pending().await }
    /// let health = Health::builder("feed").build()?;
    /// let drains = health.drains();
    /// # health.begin_drain();
    /// tokio::select! {
    ///     () = next_event() => {}
    ///     () = drains => { /* Send what is left, and end the stream. */ }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn drains(&self) -> impl Future<Output = ()> + Send + 'static + use<> {
        let registry = self.registry.clone();
        async move { registry.until_drain(std::future::pending()).await }
    }

    /// Not ready from now on, for ever, whatever the checks say; alive all the same.
    pub fn begin_drain(&self) {
        self.registry.begin_drain();
    }

    /// Ends what would go on for ever: streams of `Watch`. It drains as well.
    ///
    /// A server that waits for its calls to end would wait for them.
    pub fn close(&self) {
        self.registry.close();
    }

    /// Takes another check in.
    ///
    /// A process that has started stays so; its readiness waits for the new check, if that is critical.
    ///
    /// # Errors
    /// If there is one of that name, or a number of it cannot work.
    pub fn add(&self, check: Check) -> Result<(), InvalidConfig> {
        self.registry.add(check).map(drop)
    }

    /// Takes in what layers say of themselves, as [`Builder::layers`] does.
    ///
    /// For layers that come later than the registry: a [`Drain`](crate::Drain) that is to listen during the start needs that first of all.
    ///
    /// # Errors
    /// If there is a check of one of their names; what comes before it stays in.
    pub fn add_layers(&self, handles: impl Vitalities) -> Result<(), InvalidConfig> {
        checks::layers(handles).try_for_each(|check| self.add(check))
    }

    /// Makes a group, or makes it anew.
    ///
    /// # Errors
    /// If a member is neither a name nor a tag of a check, or there are too many groups.
    pub fn set_group<M: Into<Arc<str>>>(
        &self,
        name: impl Into<Arc<str>>,
        members: impl IntoIterator<Item = M>,
    ) -> Result<(), InvalidConfig> {
        let members = members.into_iter().map(Into::into).collect();
        self.registry.set_group(name.into(), members)
    }

    /// Forgets a group, if there is one of that name.
    pub fn remove_group(&self, name: &str) {
        self.registry.remove_group(name);
    }

    /// Holds the start up: neither started nor ready until it is released. Too late where the process has started.
    pub fn hold(&self) -> Hold {
        self.registry.hold();
        Hold {
            registry: self.registry.clone(),
        }
    }

    /// Waits until what the registry says may have changed: a check, the stage, the groups.
    ///
    /// It asks no check: with checks that run only when asked, nothing changes until somebody asks.
    pub fn changed(&self) -> impl Future<Output = ()> + Send + 'static + use<> {
        let mut changes = self.registry.changes();
        async move {
            // It cannot be gone while somebody can ask; if it is, nothing changes any more.
            if changes.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// Calls the listener at every event of this registry and its checks, on the thread where it happens.
    pub fn subscribe(
        &self,
        listener: impl Fn(&seaworthy_kit::Report<'_>) + Send + Sync + 'static,
    ) -> Subscription {
        self.registry.telemetry.subscribe(listener)
    }

    /// How often who watches should ask, so that nothing is older than it may be.
    #[cfg(feature = "grpc")]
    pub(crate) fn pace(&self) -> Duration {
        match &self.registry.background {
            Some(background) => background.every,
            None => self.registry.defaults().max_age.max(LEAST_PACE),
        }
    }
}

impl fmt::Debug for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.registry.fmt(f)
    }
}

// ===== impl Hold =====

impl Hold {
    /// What was waited for is there.
    pub fn release(self) {
        self.registry.release();
    }
}

/// With results that are never good enough, a stream still asks only so often.
#[cfg(feature = "grpc")]
const LEAST_PACE: Duration = Duration::from_secs(1);
