//! The half-open state: slots that are leased to probes, and the tally of how the probes ended.

use alloc::boxed::Box;
use core::time::Duration;

use super::call::Cause;
use super::lease::{Lease, MAX_SLOTS, STAMP_BITS};
use super::window::Mark;
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::{Moment, Ratio};

/// The most probes, and the most successes to ask for: a refusal of the half-open state looks at every slot.
pub(super) const MAX_PROBES: u32 = 1000;
const _: () = assert!(
    MAX_PROBES <= MAX_SLOTS,
    "a lease has no room for so many slots"
);

/// A slot: tag of the generation (14 bits), serial (6), end of the lease in ticks (44).
///
/// The tag frees the slots of an older generation without anybody clearing them.
/// The serial counts the leases of the slot, so that a lease is not mistaken for an earlier one that would end in the same tick, which takes a clock that steps back.
const EXPIRY_BITS: u32 = 44;
const EXPIRY_MASK: u64 = (1 << EXPIRY_BITS) - 1;
const SERIAL_BITS: u32 = STAMP_BITS - EXPIRY_BITS;
const SERIAL_MASK: u64 = (1 << SERIAL_BITS) - 1;
const SLOT_TAG_SHIFT: u32 = STAMP_BITS;
/// A tick is 2^20 ns, about a millisecond, so that 44 bits reach as far as a `Moment` does.
const TICK_BITS: u32 = 20;
const TICK: Duration = Duration::from_nanos(1 << TICK_BITS);
const FREE: u64 = 0;
/// A slot whose probe has brought a verdict: not leased again in this generation.
const SPENT: u64 = EXPIRY_MASK;

/// The tally: tag of the generation (28 bits), successes, failures, slow probes (12 each).
const FIELD_BITS: u32 = 12;
const FIELD_MASK: u64 = (1 << FIELD_BITS) - 1;
const TALLY_TAG_SHIFT: u32 = 3 * FIELD_BITS;
const TALLY_TAG: u64 = u64::MAX << TALLY_TAG_SHIFT;

/// The probes of one half-open state at a time.
#[derive(Debug)]
pub(super) struct Probes {
    slots: Box<[AtomicU64]>,
    tally: AtomicU64,
    lease: Duration,
    trial: Trial,
}

/// When the probes have said enough.
#[derive(Clone, Copy, Debug)]
pub(super) struct Trial {
    /// Probes at a time.
    slots: u64,
    /// Successes that close.
    needed: u64,
    /// Failures on the way there that do not reopen.
    allowed: u64,
    /// Why more of them reopen.
    too_many: Cause,
    /// Share of slow probes that reopens.
    slow_call_rate: Option<Ratio>,
}

/// How the probes of one half-open state ended so far.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub struct ProbeCounts {
    /// Probes that are out, their lease not over.
    pub running: u64,
    /// Probes that succeeded.
    pub successes: u64,
    /// Probes that failed.
    pub failures: u64,
    /// Probes that were slow: that succeeded, failed, or were abandoned by then.
    pub slow: u64,
}

/// What the probes have decided.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Verdict {
    Close,
    Reopen(Cause),
}

/// What a slot is to one generation at one moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Slot {
    Vacant,
    Leased(Moment),
    Spent,
}

/// Why no slot was leased.
#[derive(Debug)]
pub(super) enum NoLease {
    /// All are taken; the earliest end of a lease.
    Full(Option<Moment>),
    /// The circuit has moved on.
    Stale,
}

// ===== impl Probes =====

impl Probes {
    pub(super) fn new(trial: Trial, lease: Duration) -> Self {
        Self {
            slots: (0..trial.slots).map(|_| AtomicU64::new(FREE)).collect(),
            tally: AtomicU64::new(0),
            lease,
            trial,
        }
    }

    /// Leases a slot in `generation`: one that is free, of another generation, or whose lease is over.
    ///
    /// `current` tells whether the circuit is still in the state that asked for it.
    pub(super) fn reserve(
        &self,
        generation: u64,
        now: Moment,
        current: impl Fn() -> bool,
    ) -> Result<Lease, NoLease> {
        let mut earliest = None;
        for (index, slot) in (0..).zip(&self.slots) {
            let mut seen = slot.load(Ordering::Acquire);
            loop {
                match self.slot(seen, generation, now) {
                    Slot::Vacant => {}
                    Slot::Leased(end) => {
                        earliest = sooner(earliest, end);
                        break;
                    }
                    Slot::Spent => break,
                }
                // A slot of a newer generation looks free to a thread that slept through a transition.
                // Asked after the slot was read: who leased it there had seen the newer state.
                if !current() {
                    return Err(NoLease::Stale);
                }
                let stamp = self.stamp(seen, generation, now);
                match slot.compare_exchange(seen, stamp, Ordering::AcqRel, Ordering::Acquire) {
                    Ok(_) => {
                        return Ok(Lease::new(index, stamp));
                    }
                    Err(other) => seen = other,
                }
            }
        }
        Err(NoLease::Full(earliest))
    }

    /// Whether a slot could be leased in `generation`; if not, the earliest end of a lease.
    pub(super) fn vacancy(&self, generation: u64, now: Moment) -> Result<(), Option<Moment>> {
        let mut earliest = None;
        for slot in &self.slots {
            match self.slot(slot.load(Ordering::Acquire), generation, now) {
                Slot::Vacant => return Ok(()),
                Slot::Leased(end) => earliest = sooner(earliest, end),
                Slot::Spent => {}
            }
        }
        Err(earliest)
    }

    /// Frees the slot of a lease that brought no verdict, if it still has it.
    pub(super) fn give_back(&self, lease: &Lease, generation: u64) {
        let stamp = stamp(lease, generation);
        self.swap(lease, stamp, stamp & !EXPIRY_MASK | FREE);
    }

    /// Takes the slot of a lease out of use, so that nobody can lease it while its result is counted; false when the lease has lost it.
    pub(super) fn spend(&self, lease: &Lease, generation: u64) -> bool {
        let stamp = stamp(lease, generation);
        self.swap(lease, stamp, stamp | SPENT)
    }

    /// Frees the slots that look spent in a generation which has not begun.
    ///
    /// They are as many generations old as the tag can count, and no later trial came as far as them.
    /// Left alone they would be missing in a trial that needs every slot, and the circuit would stay half-open for ever.
    ///
    /// `current` tells whether the generation has still to begin, asked after the slot was read: before that, nobody can have spent one in it.
    pub(super) fn unspend(&self, generation: u64, current: impl Fn() -> bool) {
        for slot in &self.slots {
            let seen = slot.load(Ordering::Acquire);
            let is_spent = seen >> SLOT_TAG_SHIFT == tag(generation) && seen & EXPIRY_MASK == SPENT;
            if is_spent && current() {
                let free = seen & !EXPIRY_MASK | FREE;
                // Who was faster has done the same, or leased it.
                let _ = slot.compare_exchange(seen, free, Ordering::AcqRel, Ordering::Acquire);
            }
        }
    }

    /// Counts how a probe ended whose slot is spent; `None` when that decides nothing.
    pub(super) fn count(
        &self,
        lease: &Lease,
        mark: Mark,
        generation: u64,
        current: impl Fn() -> bool,
    ) -> Option<Verdict> {
        let tally = self.add(mark, generation, current);
        if mark.abandoned {
            // Slow, and no result: whoever comes next may bring one in its place.
            let spent = stamp(lease, generation) | SPENT;
            self.swap(lease, spent, spent & !EXPIRY_MASK | FREE);
        }
        let tally = tally?;
        debug_assert!(
            tally.results() <= self.trial.most(),
            "{tally:?} of {:?}",
            self.trial
        );
        // Every result has a place of its own in the tally, so the first few give their slot back, and exactly as many probes are spent as a verdict can take.
        if !mark.abandoned && tally.results() <= self.trial.most() - self.trial.slots {
            let spent = stamp(lease, generation) | SPENT;
            self.swap(lease, spent, spent & !EXPIRY_MASK | FREE);
        }
        self.trial.verdict(tally)
    }

    /// The counts of `generation`.
    pub(super) fn counts(&self, generation: u64, now: Moment) -> ProbeCounts {
        let running = self.slots.iter().filter(|slot| {
            let slot = self.slot(slot.load(Ordering::Acquire), generation, now);
            matches!(slot, Slot::Leased(_))
        });
        let running = running.count() as u64;
        let seen = self.tally.load(Ordering::Acquire);
        let tally = if seen & TALLY_TAG == generation << TALLY_TAG_SHIFT {
            unpack(seen)
        } else {
            ProbeCounts::default()
        };
        ProbeCounts { running, ..tally }
    }

    fn slot(&self, slot: u64, generation: u64, now: Moment) -> Slot {
        let expiry = slot & EXPIRY_MASK;
        if slot >> SLOT_TAG_SHIFT != tag(generation) || expiry == FREE {
            return Slot::Vacant;
        }
        if expiry == SPENT {
            return Slot::Spent;
        }
        let end = Moment::from_nanos(expiry << TICK_BITS);
        // No lease ends that late, so the clock was set back since: without this the slot would be lost until it is there again.
        // Twice, so that a small step back does not put more probes out than there are slots.
        let impossible = end.since(now) > self.lease.saturating_mul(2).saturating_add(TICK);
        if now >= end || impossible {
            Slot::Vacant
        } else {
            Slot::Leased(end)
        }
    }

    fn stamp(&self, seen: u64, generation: u64, now: Moment) -> u64 {
        // Rounded up, so that a lease is never shorter than promised, and short of `SPENT` at the end of time.
        let expiry = (now + self.lease).as_nanos().div_ceil(1 << TICK_BITS);
        let serial = (seen >> EXPIRY_BITS).wrapping_add(1) & SERIAL_MASK;
        tag(generation) << SLOT_TAG_SHIFT | serial << EXPIRY_BITS | expiry.min(SPENT - 1)
    }

    fn swap(&self, lease: &Lease, from: u64, to: u64) -> bool {
        self.slots[lease.slot()]
            .compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire)
            .is_ok()
    }

    fn add(&self, mark: Mark, generation: u64, current: impl Fn() -> bool) -> Option<ProbeCounts> {
        let tag = generation << TALLY_TAG_SHIFT;
        let result = if mark.failed { 1 << FIELD_BITS } else { 1 };
        let one = if mark.abandoned { 0 } else { result }
            | if mark.slow { 1 << (2 * FIELD_BITS) } else { 0 };
        let mut seen = self.tally.load(Ordering::Acquire);
        loop {
            let next = if seen & TALLY_TAG == tag {
                seen + one
            } else if current() {
                tag | one
            } else {
                return None;
            };
            match self
                .tally
                .compare_exchange_weak(seen, next, Ordering::AcqRel, Ordering::Acquire)
            {
                Ok(_) => return Some(unpack(next)),
                Err(other) => seen = other,
            }
        }
    }
}

// ===== impl Trial =====

impl Trial {
    pub(super) fn new(
        slots: u64,
        needed: u64,
        failure_rate: Option<Ratio>,
        slow_call_rate: Option<Ratio>,
    ) -> Self {
        let mut trial = Self {
            slots,
            needed,
            allowed: 0,
            too_many: Cause::ProbeFailed,
            slow_call_rate,
        };
        if let Some(rate) = failure_rate {
            trial.too_many = Cause::ProbeFailureRate;
            // The trial ends with the last success needed, so with `failed` failures it takes `needed + failed` probes: a share that only grows.
            trial.allowed = (1..=trial.most() - needed)
                .take_while(|&failed| !rate.reached(failed, needed + failed))
                .last()
                .unwrap_or(0);
        }
        trial
    }

    /// Whether it ever closes after a failure.
    pub(super) const fn forgives(&self) -> bool {
        self.allowed > 0
    }

    /// The most probes that a verdict can take.
    const fn most(&self) -> u64 {
        if self.slots > self.needed {
            self.slots
        } else {
            self.needed
        }
    }

    /// Decides as soon as the results to come cannot change the verdict, and looks for what is bad before it closes.
    fn verdict(&self, tally: ProbeCounts) -> Option<Verdict> {
        let slow_in = |probes: u64| {
            self.slow_call_rate
                .is_some_and(|rate| rate.reached(tally.slow, probes))
        };
        if tally.failures > self.allowed {
            Some(Verdict::Reopen(self.too_many))
        } else if slow_in(self.needed + self.allowed) {
            // Too many of the longest trial that may still close, so too many of any.
            Some(Verdict::Reopen(Cause::ProbeSlowCallRate))
        } else if tally.successes < self.needed {
            None
        } else if slow_in(tally.results()) {
            Some(Verdict::Reopen(Cause::ProbeSlowCallRate))
        } else {
            Some(Verdict::Close)
        }
    }
}

// ===== impl ProbeCounts =====

impl ProbeCounts {
    const fn results(&self) -> u64 {
        self.successes + self.failures
    }
}

const fn tag(generation: u64) -> u64 {
    generation & (u64::MAX >> SLOT_TAG_SHIFT)
}

/// What the slot of a lease holds as long as the lease has it.
const fn stamp(lease: &Lease, generation: u64) -> u64 {
    tag(generation) << SLOT_TAG_SHIFT | lease.stamp()
}

const fn unpack(tally: u64) -> ProbeCounts {
    ProbeCounts {
        running: 0,
        successes: tally & FIELD_MASK,
        failures: tally >> FIELD_BITS & FIELD_MASK,
        slow: tally >> (2 * FIELD_BITS) & FIELD_MASK,
    }
}

fn sooner(earliest: Option<Moment>, end: Moment) -> Option<Moment> {
    Some(earliest.map_or(end, |earliest| earliest.min(end)))
}
