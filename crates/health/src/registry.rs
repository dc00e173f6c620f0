//! The registry: all checks of a process, and what they amount to.

use std::fmt;
use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

use seaworthy_core::Moment;
use seaworthy_core::health::{CheckConfig, Overall, Stage};
use seaworthy_kit::clock::{now, wall};
use seaworthy_kit::{Event, InvalidConfig, Telemetry};
use tokio::sync::watch;

use crate::background::Background;
use crate::build_info::BuildInfo;
use crate::check::Check;
use crate::entry::Entry;
use crate::groups::Groups;
use crate::heartbeat::Heartbeat;
use crate::reading::Redaction;
use crate::report::Report;

/// What all views of one registry share.
pub(crate) struct Registry {
    pub(crate) name: Arc<str>,
    pub(crate) build: BuildInfo,
    pub(crate) telemetry: Telemetry,
    rules: Rules,
    roster: RwLock<Roster>,
    stage: Mutex<Standing>,
    /// How many things other than checks hold the start up.
    holds: AtomicUsize,
    /// Whether the process ends now, and streams with it.
    closed: AtomicBool,
    /// Whether it drains, for those who look at every response.
    draining: AtomicBool,
    /// Moves on whenever an answer may have become another.
    changed: watch::Sender<u64>,
    began: Moment,
    pub(crate) background: Option<Background>,
    pub(crate) heartbeat: Option<Heartbeat>,
}

/// What holds for all checks.
pub(crate) struct Rules {
    /// How they are judged, where they do not say.
    pub(crate) config: CheckConfig,
    /// How often they run by themselves.
    pub(crate) every: Option<Duration>,
    pub(crate) redaction: Option<Redaction>,
}

/// The checks and their groups.
struct Roster {
    entries: Arc<[Arc<Entry>]>,
    groups: Groups,
}

struct Standing {
    stage: Stage,
    /// As it was last told.
    ready: bool,
}

// ===== impl Registry =====

impl Registry {
    pub(crate) fn new(
        name: Arc<str>,
        build: BuildInfo,
        rules: Rules,
        background: Option<Background>,
        heartbeat: Option<Heartbeat>,
    ) -> Self {
        let telemetry = Telemetry::new("health", &name);
        telemetry.instruments().set_ready(false);
        Self {
            telemetry,
            name,
            build,
            rules,
            roster: RwLock::new(Roster {
                entries: Arc::new([]),
                groups: Groups::default(),
            }),
            stage: Mutex::new(Standing {
                stage: Stage::default(),
                ready: false,
            }),
            holds: AtomicUsize::new(0),
            closed: AtomicBool::new(false),
            draining: AtomicBool::new(false),
            changed: watch::Sender::new(0),
            began: now(),
            background,
            heartbeat,
        }
    }

    /// Takes a check in; its name must be new.
    pub(crate) fn add(&self, check: Check) -> Result<Arc<Entry>, InvalidConfig> {
        let changed = self.changed.clone();
        let entry = Entry::try_new(check, &self.rules, &self.telemetry, changed)?;
        let entry = Arc::new(entry);
        let mut roster = self.roster.write().unwrap_or_else(PoisonError::into_inner);
        let name = &entry.check.name;
        if roster.entries.iter().any(|other| other.check.name == *name) {
            return Err(InvalidConfig::new("check", "must have a name of its own"));
        }
        let entries = roster.entries.iter().cloned();
        roster.entries = entries.chain([entry.clone()]).collect();
        drop(roster);
        self.announce();
        Ok(entry)
    }

    /// Makes a group, or makes it anew.
    pub(crate) fn set_group(
        &self,
        name: Arc<str>,
        members: Vec<Arc<str>>,
    ) -> Result<(), InvalidConfig> {
        let mut roster = self.roster.write().unwrap_or_else(PoisonError::into_inner);
        let is_known = |member: &Arc<str>| {
            let mut entries = roster.entries.iter();
            entries.any(|entry| entry.check.name == *member || entry.check.tags.contains(member))
        };
        if !members.iter().all(is_known) {
            let reason = "must have members that are names or tags of checks";
            return Err(InvalidConfig::new("group", reason));
        }
        roster.groups.set(name, members)?;
        drop(roster);
        self.announce();
        Ok(())
    }

    pub(crate) fn remove_group(&self, name: &str) {
        let mut roster = self.roster.write().unwrap_or_else(PoisonError::into_inner);
        roster.groups.remove(name);
        drop(roster);
        self.announce();
    }

    pub(crate) fn groups(&self) -> Vec<Arc<str>> {
        self.roster().groups.names()
    }

    pub(crate) fn entries(&self) -> Arc<[Arc<Entry>]> {
        self.roster().entries.clone()
    }

    /// The checks of a group; `None` where there is no such group.
    pub(crate) fn members(&self, group: &str) -> Option<Vec<Arc<Entry>>> {
        let roster = self.roster();
        let members = roster.groups.get(group)?;
        let is_in = |entry: &&Arc<Entry>| {
            let check = &entry.check;
            members
                .iter()
                .any(|member| check.name == *member || check.tags.contains(member))
        };
        Some(roster.entries.iter().filter(is_in).cloned().collect())
    }

    fn roster(&self) -> RwLockReadGuard<'_, Roster> {
        self.roster.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs what is too old of these, and waits for it. All run at once; each has its own limit.
    pub(crate) async fn refresh(self: &Arc<Self>, entries: &[Arc<Entry>]) {
        self.start();
        let mut awaited = Vec::with_capacity(entries.len());
        awaited.extend(entries.iter().map(|entry| entry.ask()));
        for (entry, run) in entries.iter().zip(awaited) {
            if let Some(run) = run {
                entry.wait(run).await;
            }
        }
    }

    /// Waits for that, though no longer than until the process drains: then nothing that a check says makes a difference.
    pub(crate) async fn until_drain(&self, work: impl Future<Output = ()>) {
        // Before the look: what changes after it is not missed.
        let mut changes = self.changes();
        if self.is_draining() {
            return;
        }
        let drains = async {
            while !self.is_draining() {
                if changes.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
            }
        };
        tokio::select! {
            biased;
            () = work => {}
            () = drains => {}
        }
    }

    /// Starts what runs in the background, once.
    pub(crate) fn start(self: &Arc<Self>) {
        self.start_heartbeat();
        if let Some(background) = &self.background {
            background.start(self);
        }
    }

    /// Starts the heartbeat, once: it asks nobody.
    pub(crate) fn start_heartbeat(&self) {
        if let Some(heartbeat) = &self.heartbeat {
            heartbeat.start();
        }
    }

    /// What these checks say now, and the stage by all of them.
    pub(crate) fn report(&self, entries: &[Arc<Entry>]) -> Report {
        let stage = self.settle();
        let mut report = Report {
            name: self.name.clone(),
            overall: Overall::Healthy,
            ready: false,
            started: false,
            draining: false,
            alive: self.is_alive(),
            checks: entries.iter().map(|entry| entry.report()).collect(),
            build: self.build.clone(),
            uptime: now().since(self.began),
            time: wall(),
        };
        report.judge(stage, self.is_held());
        report
    }

    /// Moves the stage on by what all checks show, and tells whether the process is ready.
    pub(crate) fn settle(&self) -> Stage {
        let entries = self.entries();
        // Before the lock, of which listeners must know nothing.
        entries.iter().for_each(|entry| entry.notice_age());
        let held = self.is_held();
        let (stage, before, ready) = {
            let mut standing = self.standing();
            let checks = entries.iter();
            let tally = checks.fold(seaworthy_core::health::Tally::default(), |tally, entry| {
                tally.and(entry.check.impact, entry.status())
            });
            standing.stage.on_round(tally, held);
            let ready = standing.stage.is_ready(tally, held);
            let before = std::mem::replace(&mut standing.ready, ready);
            if before != ready {
                // Under the lock: whoever saw an older state must not tell it last.
                self.telemetry.instruments().set_ready(ready);
            }
            (standing.stage, before, ready)
        };
        if before != ready {
            let [from, to] = [before, ready].map(|it| if it { "ready" } else { "not_ready" });
            self.telemetry.report(&Event::HealthChanged { from, to });
            self.announce();
        }
        stage
    }

    pub(crate) fn begin_drain(&self) -> bool {
        let new = self.standing().stage.on_drain();
        self.draining.store(true, Ordering::Release);
        if new {
            self.settle();
            self.announce();
        }
        new
    }

    pub(crate) fn stage(&self) -> Stage {
        self.standing().stage
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }

    pub(crate) fn close(&self) {
        self.begin_drain();
        self.closed.store(true, Ordering::Release);
        self.announce();
    }

    #[cfg(feature = "grpc")]
    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    pub(crate) fn hold(&self) {
        self.holds.fetch_add(1, Ordering::AcqRel);
    }

    pub(crate) fn release(&self) {
        self.holds.fetch_sub(1, Ordering::AcqRel);
        self.settle();
        self.announce();
    }

    pub(crate) fn is_held(&self) -> bool {
        self.holds.load(Ordering::Acquire) > 0
    }

    pub(crate) fn is_alive(&self) -> bool {
        self.heartbeat.as_ref().is_none_or(Heartbeat::beats)
    }

    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    fn announce(&self) {
        self.changed.send_modify(|version| *version += 1);
    }

    fn standing(&self) -> MutexGuard<'_, Standing> {
        self.stage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(feature = "grpc")]
    pub(crate) const fn defaults(&self) -> &CheckConfig {
        &self.rules.config
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.entries();
        let names: Vec<_> = names.iter().map(|entry| &*entry.check.name).collect();
        f.debug_struct("Registry")
            .field("name", &self.name)
            .field("checks", &names)
            .field("stage", &self.stage())
            .finish_non_exhaustive()
    }
}
