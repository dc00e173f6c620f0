//! Levels: how much a service does, set by hand, by a schedule, or by rules over live signals.

use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use seaworthy_core::level::{self, Change, LevelsConfig};
pub use seaworthy_core::level::{Level, LevelRule, Schedule, Weekday};
use seaworthy_kit::telemetry::{Event, Report, Subscription, Telemetry};
use seaworthy_kit::{Clock, InvalidConfig, Moment};

mod layer;
pub use layer::{LevelGate, LevelLayer};

/// How much a service does; clones are one and the same.
///
/// Features are [off from](crate::Feature::off_from) a level on, routes behind a [`LevelLayer`], and any other code asks: [`level`](Self::level) is one load.
/// Rules and schedule are looked at in [rounds](Self::observe), for which [`run`](Self::run) is to be spawned.
///
/// ```
/// use std::sync::Arc;
/// use std::sync::atomic::{AtomicU32, Ordering};
/// use std::time::Duration;
///
/// use seaworthy_degrade::{Level, LevelRule, Levels, feature};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), seaworthy_kit::BoxError> {
/// let waiting = Arc::new(AtomicU32::new(500));
/// let seen = waiting.clone();
/// let levels = Levels::builder("shop")
///     .rule(LevelRule::new(Level::Reduced, "queue", 100.0), move || {
///         f64::from(seen.load(Ordering::Relaxed))
///     })
///     .build()?;
/// tokio::spawn(levels.run(Duration::from_secs(1)));
///
/// tokio::time::sleep(Duration::from_secs(10)).await;
/// assert_eq!(levels.level(), Level::Reduced);
/// let ask = async { Ok::<_, std::io::Error>(vec![5, 4]) };
/// let reviews = feature("reviews").off_from(&levels, Level::Reduced).fallback(vec![]);
/// assert!(reviews.run(ask).await?.is_empty());
///
/// levels.set_for(Level::Normal, Duration::from_secs(3600));
/// assert_eq!(levels.level(), Level::Normal);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Levels(Arc<Shared>);

/// What [`Levels`] are built from.
#[must_use = "a builder does nothing until it is built"]
pub struct Builder {
    name: String,
    config: LevelsConfig,
    signals: Vec<Signal>,
    schedule: Schedule,
    clock: Clock,
}

/// Levels at one moment.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Snapshot {
    /// The name that the user gave them.
    pub name: String,
    /// The level.
    pub level: Level,
    /// Whether it is set by hand.
    pub by_hand: bool,
    /// For how much longer, where that has an end.
    pub by_hand_for: Option<Duration>,
    /// The names of the rules that ask for their level now.
    pub asking: Vec<&'static str>,
}

type Signal = Box<dyn Fn() -> f64 + Send + Sync>;

struct Shared {
    /// The level; with [`TIMED`] where it is to be looked at whether it is still set by hand.
    word: AtomicU8,
    /// Until when it is, where the word is [`TIMED`].
    until: AtomicU64,
    machine: Mutex<level::Levels>,
    signals: Vec<Signal>,
    schedule: Schedule,
    clock: Clock,
    telemetry: Telemetry,
}

const TIMED: u8 = 1 << 7;

// ===== impl Levels =====

impl Levels {
    /// Levels of that name: at first [`Level::Normal`].
    pub fn builder(name: impl Into<String>) -> Builder {
        Builder {
            name: name.into(),
            config: LevelsConfig::new(),
            signals: Vec::new(),
            schedule: Schedule::new(),
            clock: Clock::tokio(),
        }
    }

    /// The level now: one load, or two and a look at the clock while it is set by hand for a time.
    #[must_use]
    #[inline]
    pub fn level(&self) -> Level {
        let word = self.0.word.load(Ordering::Relaxed);
        if word & TIMED == 0 {
            return Level::at(word.into());
        }
        self.0.timed(word & !TIMED)
    }

    /// Sets it by hand, for good: rules and schedule are not heeded until it is [released](Self::release).
    pub fn set(&self, level: Level) {
        self.0
            .change(|machine, now| machine.set(level, Moment::NEVER, now));
    }

    /// Sets it by hand for so long; what everybody forgets ends by itself.
    pub fn set_for(&self, level: Level, time: Duration) {
        self.0
            .change(|machine, now| machine.set(level, now + time, now));
    }

    /// Leaves it to rules and schedule again.
    pub fn release(&self) {
        self.0.change(level::Levels::release);
    }

    /// Looks at all signals and the schedule, once.
    ///
    /// A signal that panics counts as one that is not a number: it says nothing.
    pub fn observe(&self) {
        // Not under the lock: a signal may ask for the level.
        let value = |signal: &Signal| catch_unwind(AssertUnwindSafe(signal)).unwrap_or(f64::NAN);
        let values: Vec<f64> = self.0.signals.iter().map(value).collect();
        let planned = self.0.schedule.level(self.0.clock.unix().as_secs());
        self.0
            .change(|machine, now| machine.observe(&values, planned, now));
        self.0.show();
    }

    /// Looks in each such period, a tenth of a second at least, for as long as there is another clone: to be spawned.
    ///
    /// # Cancel safety
    /// Dropped, nobody looks any more; the level stays.
    pub fn run(&self, period: Duration) -> impl Future<Output = ()> + Send + 'static + use<> {
        let shared = Arc::downgrade(&self.0);
        let period = period.max(LEAST_PERIOD);
        async move {
            while let Some(shared) = shared.upgrade() {
                Self(shared).observe();
                tokio::time::sleep(period).await;
            }
        }
    }

    /// How things are now.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let level = self.level();
        let machine = self.0.machine();
        let until = machine
            .by_hand_until()
            .filter(|until| *until != Moment::NEVER);
        Snapshot {
            name: self.0.telemetry.name().to_owned(),
            level,
            by_hand: machine.is_by_hand(),
            by_hand_for: until.map(|until| until.since(self.0.clock.now())),
            asking: machine.asking().map(LevelRule::name).collect(),
        }
    }

    /// Calls the listener whenever the level changes; see [`Telemetry::subscribe`].
    pub fn subscribe(
        &self,
        listener: impl Fn(&Report<'_>) + Send + Sync + 'static,
    ) -> Subscription {
        self.0.telemetry.subscribe(listener)
    }
}

impl fmt::Debug for Levels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Levels")
            .field("name", &self.0.telemetry.name())
            .field("level", &self.level())
            .finish_non_exhaustive()
    }
}

impl Shared {
    fn machine(&self) -> MutexGuard<'_, level::Levels> {
        self.machine.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The level that is set by hand for a time; the lock is for the one that finds the time over.
    #[cold]
    fn timed(&self, level: u8) -> Level {
        let until = Moment::from_nanos(self.until.load(Ordering::Relaxed));
        if self.clock.now() < until {
            return Level::at(level.into());
        }
        self.change(level::Levels::tick)
    }

    /// In each round: a recorder that came late learns of it, and of two changes that were told at once the later one stands.
    fn show(&self) {
        let level = self.machine().level();
        self.telemetry.instruments().set_level(level.index() as u8);
    }

    /// Changes the machine, and tells of the change once the lock is free.
    fn change(&self, change: impl FnOnce(&mut level::Levels, Moment) -> Option<Change>) -> Level {
        let (level, changed) = {
            let mut machine = self.machine();
            let changed = change(&mut machine, self.clock.now());
            let level = machine.level();
            let until = machine
                .by_hand_until()
                .filter(|until| *until != Moment::NEVER);
            let timed = if until.is_some() { TIMED } else { 0 };
            if let Some(until) = until {
                self.until.store(until.as_nanos(), Ordering::Relaxed);
            }
            self.word
                .store(level.index() as u8 | timed, Ordering::Relaxed);
            (level, changed)
        };
        if let Some(Change {
            from, to, cause, ..
        }) = changed
        {
            self.telemetry.instruments().set_level(to.index() as u8);
            self.telemetry.report(&Event::LevelChanged {
                from: from.as_str(),
                to: to.as_str(),
                cause,
                worse: to > from,
            });
        }
        level
    }
}

// ===== impl Builder =====

impl Builder {
    /// One rule more, and the signal that it looks at: the higher, the worse.
    ///
    /// The function is called in each round; it must not block.
    pub fn rule(
        mut self,
        rule: LevelRule,
        signal: impl Fn() -> f64 + Send + Sync + 'static,
    ) -> Self {
        self.config = self.config.rule(rule);
        self.signals.push(Box::new(signal));
        self
    }

    /// Which levels are planned. Default: none.
    pub fn schedule(mut self, schedule: Schedule) -> Self {
        self.schedule = schedule;
        self
    }

    /// For how long a level that rules brought about lasts at least, before the next better one. Default: 30 s, in which the load that comes back is seen.
    pub fn hold(mut self, hold: Duration) -> Self {
        self.config = self.config.hold(hold);
        self
    }

    /// Another clock, for tests: rules and [schedule](Self::schedule) go by it.
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// Makes them.
    ///
    /// # Errors
    /// If a rule cannot work, or there are more than 64.
    pub fn build(self) -> Result<Levels, InvalidConfig> {
        let telemetry = Telemetry::new(LEVEL, &self.name);
        let machine = level::Levels::try_new(self.config)?;
        telemetry
            .instruments()
            .set_level(Level::Normal.index() as u8);
        Ok(Levels(Arc::new(Shared {
            word: AtomicU8::new(Level::Normal.index() as u8),
            until: AtomicU64::new(0),
            machine: Mutex::new(machine),
            signals: self.signals,
            schedule: self.schedule,
            clock: self.clock,
            telemetry,
        })))
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("name", &self.name)
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

/// More often would be work that nobody sees, and without a pause there would be nothing else.
const LEAST_PERIOD: Duration = Duration::from_millis(100);

/// The kind of layer, in metrics and events.
const LEVEL: &str = "level";
