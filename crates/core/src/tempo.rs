//! The pace of a client that obeys what servers say of their quotas: when the next call may go.

use core::time::Duration;

use crate::moment::nanos;
use crate::{InvalidConfig, Moment, Ratio};

/// When calls to one server may go, by what its answers say.
///
/// ```text
///          nothing is left, or "come back later"
///   free ───────────────────────────────────────▶ stopped ──┐
///    │ ▲                                             ▲      │ time
///    │ └───────────── time, or enough is left ───────┼──────┤
///    │ little is left                                │      │
///    └───────────────────────────────────────────▶ spread ◀─┘
/// ```
/// A stop ends at the moment that the server told, and no news shortens it.
/// While little is left, the calls that are left are spread over the time until there is more, each with a turn of its own; the next answer says how it goes on.
/// Stop and spread go together: the turns begin when the stop is over.
///
/// Where an answer loosens the pace, begins to spread calls or stops them while they are spread, or all is [forgotten](Self::forget), the turns that were given are void: those who wait take new ones, in their order.
/// Whoever left that to each of them would send the first one, whose turn is over first, to the end of the line.
///
/// [`heed`](Self::heed) takes in an answer, [`next`](Self::next) says when a call could go, [`turn`](Self::turn) takes that moment for one call, [`give_back`](Self::give_back) returns it.
/// Each is O(1), whatever time has passed; nothing that a server says lasts longer than [`TempoConfig::max_hint`] without being said again.
#[derive(Clone, Debug)]
pub struct Tempo {
    config: TempoConfig,
    /// Nobody goes before.
    stop: Moment,
    /// The time between two turns; zero while nothing is spread.
    every: Duration,
    /// Until when that holds, unless it is said again.
    lasts: Moment,
    /// The latest turn, or the moment at which the spread began.
    last: Moment,
    /// The latest moment that was seen.
    seen: Moment,
    /// Turns of an earlier one are void.
    generation: u64,
}

/// How far a server is believed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct TempoConfig {
    /// The longest wait, and the longest time between two calls, that a server can ask for.
    pub max_hint: Duration,
    /// Which share of a quota is little.
    pub low: Ratio,
}

/// What one answer says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Advice {
    low: Ratio,
    wait: Option<Duration>,
    empty: Option<Duration>,
    every: Duration,
    lasts: Duration,
    has_quota: bool,
}

/// The moment at which one call may go.
#[derive(PartialEq, Eq, Debug)]
#[must_use = "a turn that is not used has to be given back"]
pub struct Turn {
    at: Moment,
    /// What was the latest turn before.
    before: Moment,
    generation: u64,
}

// ===== impl Advice =====

impl Advice {
    /// Nothing yet; `low` says which share of a quota is little.
    #[must_use]
    pub const fn new(low: Ratio) -> Self {
        Self {
            low,
            wait: None,
            empty: None,
            every: Duration::ZERO,
            lasts: Duration::ZERO,
            has_quota: false,
        }
    }

    /// The server asks to be left alone for so long; that takes precedence over quotas of which nothing is left.
    pub fn wait(&mut self, wait: Duration) {
        self.wait = Some(self.wait.map_or(wait, |other| other.max(wait)));
    }

    /// So much is left of a quota, and after `reset` there is more.
    ///
    /// Of several quotas the slowest counts.
    /// One that does not say when there is more says nothing that could be obeyed.
    pub fn quota(&mut self, remaining: u64, reset: Option<Duration>, limit: Option<u64>) {
        self.has_quota = true;
        let Some(reset) = reset else {
            return;
        };
        if remaining == 0 {
            self.empty = Some(self.empty.map_or(reset, |other| other.max(reset)));
            return;
        }
        let little = limit.map_or(LITTLE, |limit| self.low.most_part(limit));
        if remaining <= little {
            let every = nanos(reset).div_ceil(remaining);
            self.every = self.every.max(Duration::from_nanos(every));
            self.lasts = self.lasts.max(reset);
        }
    }

    /// Whether there is nothing to obey.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.stop().is_none() && !self.has_quota
    }

    /// Whether it asks for a pace, or a stop.
    #[must_use]
    pub const fn slows(&self) -> bool {
        self.stop().is_some() || !self.every.is_zero()
    }

    const fn stop(&self) -> Option<Duration> {
        match self.wait {
            Some(wait) => Some(wait),
            None => self.empty,
        }
    }
}

// ===== impl TempoConfig =====

impl TempoConfig {
    /// # Errors
    /// If `max_hint` is zero: nothing that a server says would count.
    pub const fn try_new(max_hint: Duration, low: Ratio) -> Result<Self, InvalidConfig> {
        if max_hint.is_zero() {
            return Err(InvalidConfig::new("max_hint", "must be above zero"));
        }
        Ok(Self { max_hint, low })
    }
}

// ===== impl Turn =====

impl Turn {
    /// The moment.
    #[must_use]
    pub const fn at(&self) -> Moment {
        self.at
    }
}

// ===== impl Tempo =====

impl Tempo {
    /// Free.
    #[must_use]
    pub const fn new(config: TempoConfig) -> Self {
        Self {
            config,
            stop: Moment::ORIGIN,
            every: Duration::ZERO,
            lasts: Moment::ORIGIN,
            last: Moment::ORIGIN,
            seen: Moment::ORIGIN,
            generation: 0,
        }
    }

    /// Takes in what an answer says.
    pub fn heed(&mut self, advice: &Advice, now: Moment) {
        self.follow(now);
        let max = self.config.max_hint;
        if let Some(stop) = advice.stop() {
            let stop = self.stop.max(now + stop.min(max));
            if stop > self.stop && self.is_spread(now) {
                self.take_back(now);
            }
            self.stop = stop;
        }
        if advice.has_quota {
            let every = advice.every.min(max);
            let is_spread = self.is_spread(now);
            let is_looser = is_spread && every < self.every;
            let begins = !is_spread && !every.is_zero();
            if is_looser || begins {
                self.generation += 1;
            }
            if is_looser || !is_spread {
                // Calls that are under way have not been counted yet: the first turn is not at once.
                self.last = now;
            }
            self.every = every;
            self.lasts = now + advice.lasts.min(max);
        }
        self.invariants();
    }

    /// When the next call may go; `now` where it may go at once.
    #[must_use]
    pub fn next(&mut self, now: Moment) -> Moment {
        self.follow(now);
        let free = self.stop.max(now);
        if self.is_spread(now) {
            free.max(self.last + self.every)
        } else {
            free
        }
    }

    /// When the next call may go, for as long as calls are only stopped and not spread.
    #[must_use]
    pub fn stopped_until(&mut self, now: Moment) -> Option<Moment> {
        self.follow(now);
        (now < self.stop).then_some(self.stop)
    }

    /// Takes the next moment for one call.
    pub fn turn(&mut self, now: Moment) -> Turn {
        let at = self.next(now);
        let before = self.last;
        if self.is_spread(now) {
            self.last = at;
        }
        self.invariants();
        Turn {
            at,
            before,
            generation: self.generation,
        }
    }

    /// Whether the call may go now, at its turn; a stop that came later holds it up.
    #[must_use]
    pub fn is_due(&mut self, turn: &Turn, now: Moment) -> bool {
        self.follow(now);
        now >= turn.at && now >= self.stop && !self.is_void(turn)
    }

    /// Whether a new turn has to be taken in place of this one.
    #[must_use]
    pub const fn is_void(&self, turn: &Turn) -> bool {
        turn.generation != self.generation
    }

    /// Which turns are valid: a change says that those who wait have to look.
    #[must_use]
    pub const fn generation(&self) -> u64 {
        self.generation
    }

    /// The call is not made. Its turn is free again, unless another was taken since.
    #[expect(clippy::needless_pass_by_value, reason = "it is given back once")]
    pub fn give_back(&mut self, turn: Turn) {
        if self.last == turn.at && !self.is_void(&turn) {
            self.last = turn.before.min(turn.at);
        }
        self.invariants();
    }

    /// Forgets what servers have said.
    pub fn forget(&mut self) {
        let generation = self.generation + 1;
        *self = Self {
            generation,
            ..Self::new(self.config)
        };
    }

    /// Whether calls go as they come.
    #[must_use]
    pub fn is_free(&mut self, now: Moment) -> bool {
        self.follow(now);
        now >= self.stop && !self.is_spread(now)
    }

    /// The time between two turns, while calls are spread.
    #[must_use]
    pub fn spacing(&mut self, now: Moment) -> Option<Duration> {
        self.follow(now);
        self.is_spread(now).then_some(self.every)
    }

    /// Makes all turns void that are still to come: the next one is what was the first of them.
    fn take_back(&mut self, now: Moment) {
        self.generation += 1;
        let ahead = nanos(self.last.since(now));
        let turns = ahead.div_ceil(nanos(self.every).max(1));
        self.last = self.last
            - self
                .every
                .saturating_mul(u32::try_from(turns).unwrap_or(u32::MAX));
        // Where there are more of them than that, which is a pace of nanoseconds.
        self.last = self.last.min(now);
    }

    /// Also while those wait who have a turn already: nobody is to overtake them.
    fn is_spread(&self, now: Moment) -> bool {
        !self.every.is_zero() && (now < self.lasts || now < self.last)
    }

    /// A clock that was set back takes everything with it, or what was to last for seconds would last for as long as it was set back.
    ///
    /// Threads that read the clock one after the other and get here the other way round are no such clock.
    fn follow(&mut self, now: Moment) {
        let back = self.seen.since(now);
        if back > RACE {
            for moment in [&mut self.stop, &mut self.lasts, &mut self.last] {
                *moment = *moment - back;
            }
            self.seen = now;
        }
        self.seen = self.seen.max(now);
    }

    /// What holds at any time.
    fn invariants(&self) {
        let max = self.config.max_hint;
        debug_assert!(self.every <= max);
        debug_assert!(self.stop <= self.seen + max);
        debug_assert!(self.lasts <= self.seen + max);
    }
}

/// What is little of a quota whose size the server does not tell.
const LITTLE: u64 = 10;

/// How far apart two threads may be that have both read the clock.
const RACE: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests;
