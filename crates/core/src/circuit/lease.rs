//! A probe's claim on a slot, packed into one word so that an admission is two: those pass in registers on the healthy path.

use core::num::NonZeroU64;

/// What a slot holds below the tag of its generation: the serial and the end of its lease.
pub(super) const STAMP_BITS: u32 = 50;
const STAMP_MASK: u64 = (1 << STAMP_BITS) - 1;
/// As many slots as a lease can tell apart.
pub(super) const MAX_SLOTS: u32 = 1 << SLOT_BITS;
const SLOT_BITS: u32 = 10;
const SLOT_MASK: u64 = (1 << SLOT_BITS) - 1;

const SLOT_SHIFT: u32 = 1;
const STAMP_SHIFT: u32 = SLOT_SHIFT + SLOT_BITS;
const ENTERED: u64 = 1 << (STAMP_SHIFT + STAMP_BITS);

/// A probe's claim on one of the slots of the half-open state: always one (1 bit), slot (10), stamp without its tag (50), entered (1).
#[derive(Debug)]
pub(super) struct Lease(NonZeroU64);

// ===== impl Lease =====

impl Lease {
    /// The lease of `slot`, which holds `stamp` as long as the lease has it.
    pub(super) fn new(slot: u16, stamp: u64) -> Self {
        let bits = u64::from(slot) << SLOT_SHIFT | (stamp & STAMP_MASK) << STAMP_SHIFT;
        Self(NonZeroU64::MIN | bits)
    }

    pub(super) const fn slot(&self) -> usize {
        (self.0.get() >> SLOT_SHIFT & SLOT_MASK) as usize
    }

    /// What its slot holds as long as this lease has it, without the tag of its generation.
    pub(super) const fn stamp(&self) -> u64 {
        self.0.get() >> STAMP_SHIFT & STAMP_MASK
    }

    /// Whether this very probe moved the circuit from open to half-open.
    pub(super) const fn entered(&self) -> bool {
        self.0.get() & ENTERED != 0
    }

    /// The lease of the probe that did.
    pub(super) fn entering(self) -> Self {
        Self(self.0 | ENTERED)
    }
}
