//! The state of a circuit: the six states a user sees, and the one word that holds state, trips and generation.

use crate::sync::atomic::{AtomicU64, Ordering};

/// What a circuit does with a call.
///
/// ```text
///                   a rule trips                     recovery timeout over,
///                  (+1 trip in a row)                first call asks
///   ┌────────┐ ─────────────────────▶ ┌──────┐ ─────────────────────▶ ┌───────────┐
///   │ Closed │                        │ Open │                        │ Half-open │
///   └────────┘                        └──────┘ ◀───────────────────── └───────────┘
///        ▲                             probe failed, or bad rate             │
///        │                             (+1 trip in a row)                    │
///        └───────────────────────────────────────────────────────────────────┘
///                          enough probes succeeded (trips := 0)
///
///   with a recovery ramp, between half-open and closed:
///   Half-open ── enough probes succeeded ─▶ Recovering ── ramp over (trips := 0) ─▶ Closed
///                                           Recovering ── a rule trips (+1 trip) ─▶ Open
///
///   any state ── force_open ───▶ Forced open   ┐
///   any state ── force_closed ─▶ Forced closed ├── left only by another of these four
///   any state ── disable ──────▶ Disabled      ┘
///   any state ── reset ────────▶ Closed, everything forgotten
/// ```
///
/// Every arrow is one compare-and-swap, so every arrow has one winner.
/// Each begins a new generation, save the end of a recovery: what was counted since the probes succeeded counts on.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum State {
    /// Calls pass and are counted.
    Closed,
    /// Calls are refused until a moment.
    Open,
    /// A few calls pass as probes, the others are refused.
    HalfOpen,
    /// A rising share of the calls passes, and they are counted as in the closed state.
    /// Only with a [recovery ramp](super::CircuitConfig::recovery_ramp).
    Recovering,
    /// An operator opened it: calls are refused until the operator says otherwise.
    ForcedOpen,
    /// An operator closed it: calls pass and are counted for the eye, but nothing trips it.
    ForcedClosed,
    /// An operator switched it off: calls pass and nothing is recorded.
    Disabled,
}

impl State {
    /// The state as a label: lowercase, words joined by `_`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half_open",
            Self::Recovering => "recovering",
            Self::ForcedOpen => "forced_open",
            Self::ForcedClosed => "forced_closed",
            Self::Disabled => "disabled",
        }
    }
}

/// `State` as the machine has it: one more, `Opening`.
///
/// The moment until which a circuit is open takes a word of its own.
/// Whoever trips the circuit first makes it `Opening`, which nobody else may leave, then stores that moment, then makes it `Open`: so nobody ever reads `Open` together with the moment of an earlier trip.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    Closed,
    Opening,
    Open,
    HalfOpen,
    ForcedOpen,
    ForcedClosed,
    Disabled,
    Recovering,
}

/// The state word: kind (3 bits), trips in a row (8, saturating), generation (53).
///
/// All three in one word, so that closing forgets the trips, and every transition starts a generation, in the same compare-and-swap.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Word(u64);

const KIND_BITS: u32 = 3;
const TRIPS_BITS: u32 = 8;
const KIND_MASK: u64 = (1 << KIND_BITS) - 1;
const TRIPS_MASK: u64 = (1 << TRIPS_BITS) - 1;
const GENERATION_SHIFT: u32 = KIND_BITS + TRIPS_BITS;

// ===== impl Word =====

impl Word {
    /// A new circuit: closed, no trips, generation zero.
    pub(super) const START: Self = Self::pack(Kind::Closed, 0, 0);

    const fn pack(kind: Kind, trips: u8, generation: u64) -> Self {
        Self(kind as u64 | (trips as u64) << KIND_BITS | generation << GENERATION_SHIFT)
    }

    /// That of a closed circuit: to close forgets the trips.
    #[inline]
    pub(super) const fn closed(generation: u64) -> Self {
        Self::pack(Kind::Closed, 0, generation)
    }

    pub(super) const fn bits(self) -> u64 {
        self.0
    }

    #[inline]
    pub(super) fn load(cell: &AtomicU64) -> Self {
        // Acquire: who sees `Open` sees its moment, and who saw a word tagged by a newer generation sees that generation.
        Self(cell.load(Ordering::Acquire))
    }

    /// Moves `cell` from this word to `next`, or says what is there instead.
    pub(super) fn swap(self, cell: &AtomicU64, next: Self) -> Result<(), Self> {
        match cell.compare_exchange(self.0, next.0, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => Ok(()),
            Err(seen) => Err(Self(seen)),
        }
    }

    #[inline]
    pub(super) const fn kind(self) -> Kind {
        match self.0 & KIND_MASK {
            0 => Kind::Closed,
            1 => Kind::Opening,
            2 => Kind::Open,
            3 => Kind::HalfOpen,
            4 => Kind::ForcedOpen,
            5 => Kind::ForcedClosed,
            6 => Kind::Disabled,
            _ => Kind::Recovering,
        }
    }

    pub(super) const fn state(self) -> State {
        match self.kind() {
            Kind::Closed => State::Closed,
            Kind::Opening | Kind::Open => State::Open,
            Kind::HalfOpen => State::HalfOpen,
            Kind::ForcedOpen => State::ForcedOpen,
            Kind::ForcedClosed => State::ForcedClosed,
            Kind::Disabled => State::Disabled,
            Kind::Recovering => State::Recovering,
        }
    }

    /// Trips since the circuit was last closed.
    pub(super) const fn trips(self) -> u8 {
        (self.0 >> KIND_BITS & TRIPS_MASK) as u8
    }

    #[inline]
    pub(super) const fn generation(self) -> u64 {
        self.0 >> GENERATION_SHIFT
    }

    /// The next generation, tripped but without its moment yet.
    pub(super) const fn opening(self) -> Self {
        self.successor(Kind::Opening, self.trips().saturating_add(1))
    }

    /// The same generation once its moment is stored.
    pub(super) const fn opened(self) -> Self {
        Self::pack(Kind::Open, self.trips(), self.generation())
    }

    /// The next generation, probing.
    pub(super) const fn half_open(self) -> Self {
        self.successor(Kind::HalfOpen, self.trips())
    }

    /// The next generation, recovering: the trips are kept, for a circuit that trips again in its recovery was not well.
    pub(super) const fn recovering(self) -> Self {
        self.successor(Kind::Recovering, self.trips())
    }

    /// The same generation once it has recovered.
    pub(super) const fn recovered(self) -> Self {
        Self::pack(Kind::Closed, 0, self.generation())
    }

    /// The next generation in a state that has no trips behind it.
    pub(super) const fn fresh(self, kind: Kind) -> Self {
        self.successor(kind, 0)
    }

    const fn successor(self, kind: Kind, trips: u8) -> Self {
        // The shift drops the carry: after 2^53 transitions the generations start over.
        Self::pack(kind, trips, self.generation().wrapping_add(1))
    }

    pub(super) fn invariants(self) {
        match self.kind() {
            Kind::Opening | Kind::Open | Kind::HalfOpen | Kind::Recovering => {
                debug_assert!(self.trips() > 0, "an opened circuit has tripped: {self:?}");
            }
            Kind::Closed | Kind::ForcedOpen | Kind::ForcedClosed | Kind::Disabled => {
                debug_assert!(self.trips() == 0, "a circuit forgets its trips: {self:?}");
            }
        }
    }
}
