//! What a circuit tells about itself: getters, and all of them at one time.

use core::time::Duration;

use super::call::Cause;
use super::probes::ProbeCounts;
use super::rules::Limit;
use super::state::{Kind, State, Word};
use super::window::Counts;
use super::{Circuit, Clock};
use crate::Moment;
use crate::sync::atomic::Ordering;

/// A circuit at one moment, for a console, a log line or a test.
#[derive(Clone, Copy, PartialEq, Debug)]
#[non_exhaustive]
pub struct CircuitSnapshot {
    /// The state. One that is open stays so until a call asks, also when its time is over.
    pub state: State,
    /// The number of generations before this one: of transitions, but for ends of a recovery.
    pub generation: u64,
    /// Trips since the circuit was last closed; 255 stands for all above.
    pub trips: u8,
    /// When it opened, if it is open.
    pub opened_at: Option<Moment>,
    /// Until when calls are refused, if it is open.
    pub until: Option<Moment>,
    /// What opened it last, since it was built or reset.
    pub tripped_by: Option<Cause>,
    /// The share of calls that is admitted, while it recovers.
    pub admitted_share: Option<f64>,
    /// The window; while open and half-open as it was when the circuit left the closed state, as far as time has not emptied it.
    /// Empty in the other states, and where no rule looks at it.
    pub counts: Counts,
    /// The probes of the half-open state; none in the others.
    pub probes: ProbeCounts,
    /// The share of failures that opens it, if that rule is on.
    pub failure_rate: Option<f64>,
    /// The number of failures in the window that opens it, if that rule is on.
    pub failure_count: Option<u64>,
    /// The share of slow calls that opens it, if that rule is on.
    pub slow_call_rate: Option<f64>,
    /// Calls in the window before a rate is judged.
    pub minimum_calls: u64,
    /// Failures in a row, if that rule is on.
    pub consecutive_failures: Option<Level>,
    /// The leaky count, if that rule is on.
    pub leaky_count: Option<Level>,
    /// When a call last failed, since the circuit was built or reset.
    pub last_failure: Option<Moment>,
}

/// A count on its way to a limit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Level {
    /// Where it is.
    pub count: u32,
    /// Where it opens the circuit.
    pub limit: u32,
}

// ===== impl CircuitSnapshot =====

impl CircuitSnapshot {
    /// The failures that count towards a trip, and how many of them trip, by the first of these rules that is on: leaky count, consecutive failures, failure count, failure rate.
    ///
    /// By failure rate the limit is of the calls now in the window, or of the minimum while there are fewer.
    /// `None` where none of them is on.
    #[must_use]
    pub fn failures(&self) -> Option<Level> {
        let by_count = || {
            Some(Level {
                count: clamp(self.counts.failures),
                limit: clamp(self.failure_count?),
            })
        };
        let by_rate = || {
            let share = crate::Ratio::try_new("failure_rate", self.failure_rate?).ok()?;
            let limit = share.least_part(self.counts.calls.max(self.minimum_calls));
            Some(Level {
                count: clamp(self.counts.failures),
                limit: clamp(limit),
            })
        };
        self.leaky_count
            .or(self.consecutive_failures)
            .or_else(by_count)
            .or_else(by_rate)
    }
}

// ===== impl Circuit: getters =====

impl Circuit {
    /// The state.
    #[must_use]
    pub fn state(&self) -> State {
        self.word().state()
    }

    /// The number of generations before this one: of transitions, but for ends of a recovery.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.word().generation()
    }

    /// Until when calls are refused, if the circuit is open.
    #[must_use]
    pub fn until(&self) -> Option<Moment> {
        self.opening().1.map(|(_, until)| until)
    }

    /// When a call last failed, since the circuit was built or reset. Late failures of an older generation do not count.
    #[must_use]
    pub fn last_failure(&self) -> Option<Moment> {
        let nanos = self.last_failure.load(Ordering::Relaxed);
        Some(Moment::from_nanos(nanos)).filter(|&moment| moment != Moment::NEVER)
    }

    /// What opened the circuit last, since it was built or reset.
    #[must_use]
    pub fn tripped_by(&self) -> Option<Cause> {
        Cause::unpack(self.tripped_by.load(Ordering::Acquire))
    }

    /// Whether a new circuit could take this one's place and nobody would notice: asked by who has to forget one of many.
    ///
    /// It is closed, or would have to be asked to become so: its time, or its ramp, was over long ago, and no call came.
    /// Long is as long as the circuit may be open, so a caller who can make circuits be forgotten gains nothing by it.
    /// What a closed circuit has counted is forgotten with it.
    pub fn is_forgettable(&self, now: impl FnOnce() -> Moment) -> bool {
        let word = self.word();
        let until = Moment::from_nanos(self.until.load(Ordering::Acquire));
        let is_quiet = |now: Moment| now.since(until) >= self.wait.longest();
        match word.kind() {
            Kind::Closed => true,
            Kind::Opening | Kind::ForcedOpen | Kind::ForcedClosed | Kind::Disabled => false,
            Kind::Open => is_quiet(now()),
            Kind::HalfOpen => {
                let now = now();
                is_quiet(now) && self.probes.counts(word.generation(), now).running == 0
            }
            Kind::Recovering => {
                let now = now();
                self.ramp.as_ref().is_none_or(|ramp| ramp.is_over(now))
            }
        }
    }

    /// Whether the shell has to measure how long calls take: only the slow-call rule needs it.
    #[must_use]
    #[inline]
    pub const fn needs_duration(&self) -> bool {
        self.slow_call_threshold.is_some()
    }

    /// Whether a call that took so long was slow: longer than the threshold. Never where the rule is off.
    #[must_use]
    #[inline]
    pub fn is_slow(&self, duration: Duration) -> bool {
        self.slow_call_threshold
            .is_some_and(|threshold| duration > threshold)
    }

    /// The circuit at one moment.
    ///
    /// State, generation, trips and times belong together; the counts are those of that generation, though calls may be counted in between.
    pub fn snapshot(&self, now: impl FnOnce() -> Moment) -> CircuitSnapshot {
        let mut clock = Clock::new(now);
        let (word, open) = self.opening();
        let generation = word.generation();
        // Nobody counts while the circuit is open or half-open, so what opened it is still there to be seen.
        let counted_in = match word.kind() {
            Kind::Open | Kind::HalfOpen => self.counted_in.load(Ordering::Acquire),
            _ => generation,
        };
        let level = |limit: &Limit| Level {
            count: limit.count.get(counted_in),
            limit: limit.at,
        };
        let window = self.rules.window.as_ref();
        let probes = match word.kind() {
            Kind::HalfOpen => self.probes.counts(generation, clock.now()),
            _ => ProbeCounts::default(),
        };
        let ramp = self
            .ramp
            .as_ref()
            .filter(|_| word.kind() == Kind::Recovering);
        CircuitSnapshot {
            state: word.state(),
            generation,
            trips: word.trips(),
            opened_at: open.map(|(at, _)| at),
            until: open.map(|(_, until)| until),
            tripped_by: self.tripped_by(),
            admitted_share: ramp.map(|ramp| ramp.share(clock.now())),
            counts: window.map_or_else(Counts::default, |window| {
                window.counts(counted_in, || clock.now())
            }),
            probes,
            failure_rate: self.rules.failure_rate.map(crate::Ratio::as_f64),
            failure_count: self.rules.failure_count,
            slow_call_rate: self.rules.slow_call_rate.map(crate::Ratio::as_f64),
            minimum_calls: self.rules.minimum_calls,
            consecutive_failures: self.rules.consecutive.as_ref().map(level),
            leaky_count: self.rules.leaky.as_ref().map(level),
            last_failure: self.last_failure(),
        }
    }

    /// Panics unless what a count window holds is the sum of its ring, which is so whenever nobody is settling.
    #[cfg(any(test, seaworthy_loom))]
    #[doc(hidden)]
    pub fn audit(&self) {
        if let Some(super::window::Window::Calls(window)) = &self.rules.window {
            let generation = self.generation();
            let sum = window.sum_of_ring(generation);
            let counts = window.counts(generation);
            assert_eq!(counts, sum, "an outcome was lost, or counted twice");
        }
    }

    /// The state word, and since when and until when it is open, both of the same generation.
    fn opening(&self) -> (Word, Option<(Moment, Moment)>) {
        let mut word = self.word();
        loop {
            if word.kind() != Kind::Open {
                return (word, None);
            }
            let [at, until] = [&self.opened_at, &self.until]
                .map(|cell| Moment::from_nanos(cell.load(Ordering::Acquire)));
            // Times of a later opening are stored only after the state has moved on.
            let again = self.word();
            if again == word {
                return (word, Some((at, until)));
            }
            word = again;
        }
    }
}

fn clamp(count: u64) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}
