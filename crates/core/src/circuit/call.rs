//! The values that go in and out of a circuit: the right to one call, how it ended, why it was refused, what moved.

use core::num::NonZeroU64;
use core::time::Duration;

use super::lease::Lease;
use super::state::State;
use crate::{Moment, Outcome};

/// The right to make one call.
///
/// Move-only: it is given back to [`Circuit::settle`](super::Circuit::settle), once.
/// One that is never settled costs nothing in a closed circuit; as a probe it keeps its slot until its lease ends.
#[derive(Debug)]
#[must_use = "an admission never settled tells the circuit nothing, and as a probe keeps its slot until the lease ends"]
pub struct Admission {
    /// The generation above a bit that is always one: a place that may hold an admission is then no larger than one that does.
    tag: NonZeroU64,
    pub(super) lease: Option<Lease>,
}

/// How a call ended, as far as a circuit cares.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Settlement {
    /// Well, badly, or without a verdict.
    pub outcome: Outcome,
    /// Whether it took longer than the threshold; see [`Circuit::is_slow`](super::Circuit::is_slow).
    /// Ignored where the slow-call rule is off.
    pub slow: bool,
    /// How long the dependency asked to be left alone.
    /// It only prolongs an opening that this very settlement causes, or causes one where [that option](super::CircuitConfig::open_on_retry_after) is on.
    pub retry_after: Option<Duration>,
}

/// Why a call was refused, and until when.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Refusal {
    /// When asking again may succeed; `None` where nobody can tell.
    /// Open: the end of the wait. Half-open: the earliest end of a probe's lease.
    pub until: Option<Moment>,
    /// Why.
    pub why: Why,
    /// What opened the circuit.
    pub cause: Option<Cause>,
}

/// What it was that refused a call.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Why {
    /// The circuit is open.
    Open,
    /// The circuit is half-open and all probes are out.
    HalfOpen,
    /// The circuit is recovering, and this call is not of the share that passes.
    Recovering,
    /// An operator opened the circuit.
    ForcedOpen,
}

/// One arrow of the state diagram, taken; reported to exactly one caller.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Transition {
    /// The state before.
    pub from: State,
    /// The state since.
    pub to: State,
    /// What caused it.
    pub cause: Cause,
    /// The generation that began with it.
    pub generation: u64,
    /// Until when calls are refused, where `to` is open.
    pub until: Option<Moment>,
}

/// What moved a circuit.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Cause {
    /// The share of failures in the window.
    FailureRate,
    /// The number of failures in the window.
    FailureCount,
    /// The share of slow calls in the window.
    SlowCallRate,
    /// Failures without a success between them.
    ConsecutiveFailures,
    /// The leaky count: failures less successes.
    LeakyCount,
    /// The dependency asked to be left alone.
    RetryAfter,
    /// A probe failed.
    ProbeFailed,
    /// Too large a share of the probes failed.
    ProbeFailureRate,
    /// Too large a share of the probes was slow.
    ProbeSlowCallRate,
    /// As many probes succeeded as were asked for.
    ProbesSucceeded,
    /// The recovery ramp has come to its end.
    RampOver,
    /// The circuit has been open for long enough.
    RecoveryTimeoutOver,
    /// An operator forced a state.
    Forced,
    /// An operator reset the circuit.
    Reset,
}

// ===== impl Admission =====

impl Admission {
    /// One that is no probe.
    #[inline]
    pub(super) const fn plain(generation: u64) -> Self {
        Self {
            tag: tag(generation),
            lease: None,
        }
    }

    pub(super) const fn probe(generation: u64, lease: Lease) -> Self {
        Self {
            tag: tag(generation),
            lease: Some(lease),
        }
    }

    /// One of no generation, for a call that is made although the circuit refuses it: whatever it reports is ignored.
    #[inline]
    pub const fn detached() -> Self {
        // A generation has 53 bits.
        Self::plain(u64::MAX)
    }

    /// The generation in which it was given.
    #[must_use]
    #[inline]
    pub const fn generation(&self) -> u64 {
        self.tag.get() >> 1
    }

    /// Whether the call is a probe of a half-open circuit.
    #[must_use]
    #[inline]
    pub const fn is_probe(&self) -> bool {
        self.lease.is_some()
    }

    /// The transition from open to half-open, if this very admission made it.
    #[must_use]
    #[inline]
    pub const fn transition(&self) -> Option<Transition> {
        match &self.lease {
            Some(lease) if lease.entered() => Some(Transition {
                from: State::Open,
                to: State::HalfOpen,
                cause: Cause::RecoveryTimeoutOver,
                generation: self.generation(),
                until: None,
            }),
            _ => None,
        }
    }
}

/// A generation has 53 bits, so that none is lost.
#[inline]
const fn tag(generation: u64) -> NonZeroU64 {
    match NonZeroU64::new(generation << 1 | 1) {
        Some(tag) => tag,
        None => unreachable!(),
    }
}

// ===== impl Settlement =====

impl Settlement {
    /// A call that ended so, neither slow nor with a hint.
    #[must_use]
    #[inline]
    pub const fn new(outcome: Outcome) -> Self {
        Self {
            outcome,
            slow: false,
            retry_after: None,
        }
    }

    /// Says whether the call was slow.
    #[must_use]
    #[inline]
    pub const fn slow(mut self, slow: bool) -> Self {
        self.slow = slow;
        self
    }

    /// Says how long the dependency asked to be left alone.
    #[must_use]
    #[inline]
    pub const fn retry_after(mut self, retry_after: Option<Duration>) -> Self {
        self.retry_after = retry_after;
        self
    }
}

impl From<Outcome> for Settlement {
    fn from(outcome: Outcome) -> Self {
        Self::new(outcome)
    }
}

// ===== impl Refusal =====

impl Refusal {
    pub(super) const fn new(why: Why, until: Option<Moment>, cause: Option<Cause>) -> Self {
        Self { until, why, cause }
    }
}

// ===== impl Why =====

impl Why {
    /// Every one of them, in the order of [`index`](Self::index).
    pub const ALL: [Self; 4] = [
        Self::Open,
        Self::HalfOpen,
        Self::Recovering,
        Self::ForcedOpen,
    ];

    /// The position in [`ALL`](Self::ALL): a table by state needs no map.
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }

    /// The state that refused, as a label: lowercase, words joined by `_`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Open => State::Open.name(),
            Self::HalfOpen => State::HalfOpen.name(),
            Self::Recovering => State::Recovering.name(),
            Self::ForcedOpen => State::ForcedOpen.name(),
        }
    }
}

// ===== impl Cause =====

/// Those that open a circuit.
const TRIPS: [Cause; 9] = [
    Cause::FailureRate,
    Cause::FailureCount,
    Cause::SlowCallRate,
    Cause::ConsecutiveFailures,
    Cause::LeakyCount,
    Cause::RetryAfter,
    Cause::ProbeFailed,
    Cause::ProbeFailureRate,
    Cause::ProbeSlowCallRate,
];

/// A cause in an atomic, below its generation.
const PACKED_BITS: u32 = 4;
const PACKED_MASK: u64 = (1 << PACKED_BITS) - 1;

impl Cause {
    /// Every cause, in the order of [`index`](Self::index).
    pub const ALL: [Self; 14] = [
        Self::FailureRate,
        Self::FailureCount,
        Self::SlowCallRate,
        Self::ConsecutiveFailures,
        Self::LeakyCount,
        Self::RetryAfter,
        Self::ProbeFailed,
        Self::ProbeFailureRate,
        Self::ProbeSlowCallRate,
        Self::ProbesSucceeded,
        Self::RampOver,
        Self::RecoveryTimeoutOver,
        Self::Forced,
        Self::Reset,
    ];

    /// The position in [`ALL`](Self::ALL): a table by cause needs no map.
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }

    /// The cause of a trip and the generation that began with it, as a number that an atomic can keep; zero is none.
    pub(super) fn pack(self, generation: u64) -> u64 {
        let position = TRIPS.iter().position(|cause| *cause == self);
        position.map_or(0, |position| {
            generation << PACKED_BITS | (position as u64 + 1)
        })
    }

    pub(super) fn unpack(bits: u64) -> Option<Self> {
        let position = ((bits & PACKED_MASK) as usize).checked_sub(1)?;
        TRIPS.get(position).copied()
    }

    /// The generation that began with a trip; a generation has 53 bits, so that none is lost.
    pub(super) const fn packed_generation(bits: u64) -> u64 {
        bits >> PACKED_BITS
    }

    /// The cause as a label: lowercase, words joined by `_`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::FailureRate => "failure_rate",
            Self::FailureCount => "failure_count",
            Self::SlowCallRate => "slow_call_rate",
            Self::ConsecutiveFailures => "consecutive_failures",
            Self::LeakyCount => "leaky_count",
            Self::RetryAfter => "retry_after",
            Self::ProbeFailed => "probe_failed",
            Self::ProbeFailureRate => "probe_failure_rate",
            Self::ProbeSlowCallRate => "probe_slow_call_rate",
            Self::ProbesSucceeded => "probes_succeeded",
            Self::RampOver => "ramp_over",
            Self::RecoveryTimeoutOver => "recovery_timeout_over",
            Self::Forced => "forced",
            Self::Reset => "reset",
        }
    }
}

#[cfg(all(test, not(seaworthy_loom)))]
mod tests {
    use super::*;

    #[test]
    fn index_is_the_position_in_all() {
        for (position, cause) in Cause::ALL.into_iter().enumerate() {
            assert_eq!(cause.index(), position, "{cause:?}");
        }
        for (position, why) in Why::ALL.into_iter().enumerate() {
            assert_eq!(why.index(), position, "{why:?}");
        }
    }
}
