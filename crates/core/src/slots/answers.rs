//! What the queue answers to those who come, wait and leave.

use core::fmt;

#[cfg(doc)]
use super::Queue;
use super::Slot;
use super::queue::Place;

/// A place in the [`Queue`] that gave it out; good for no other.
///
/// It must be claimed or cancelled; dropped, it keeps its place, and later its slot, for good.
#[derive(PartialEq, Eq, Debug)]
#[must_use = "a ticket that is neither claimed nor cancelled keeps its place for good"]
pub struct Ticket(pub(super) Place);

/// What [`Queue::enter`] gave.
#[derive(Debug)]
#[expect(
    clippy::exhaustive_enums,
    reason = "a newcomer runs or waits; there is no third way"
)]
pub enum Entered {
    /// A slot had become free: run.
    Slot(Slot),
    /// Wait until woken.
    Queued(Ticket),
}

/// Why [`Queue::enter`] let nobody in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum QueueRefusal {
    /// As many wait as may.
    Full,
    /// The deadline is over, and no slot is free at once.
    NoTime,
}

/// What became of a [`Ticket`].
#[derive(Debug)]
#[expect(
    clippy::exhaustive_enums,
    reason = "a waiter waits, runs or has waited in vain"
)]
pub enum Claim {
    /// The waiter owns a slot: run.
    Slot(Slot),
    /// Still in the queue.
    Waiting(Ticket),
    /// The deadline passed before a slot was free, or another call needed the place more; it is gone.
    Expired,
}

// ===== impl QueueRefusal =====

impl fmt::Display for QueueRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full => "queue full",
            Self::NoTime => "no time left to wait for a slot",
        })
    }
}

impl core::error::Error for QueueRefusal {}
