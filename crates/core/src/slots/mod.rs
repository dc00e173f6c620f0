//! Slots (a bulkhead): so many calls at once, so many more waiting in order, the rest refused.
//!
//! There are two parts, because a slot is taken on every call and the queue is touched only under overload:
//! - [`Slots`] counts, in one atomic word, those running and those waiting.
//!   Taking and giving back a slot is one compare-and-swap each: no lock, no clock, no allocation.
//! - [`Queue`] keeps those who wait, in order, with a deadline each; a [`ControlledDelay`] keeps it from standing.
//!   It is a plain value for one owner at a time; the shell keeps it in a lock that it takes only when somebody waits or is about to.
//!
//! ```text
//!              try_acquire                        release (nobody waits)
//!   newcomer ───────────────▶ running ──────────────────────────────────▶ free
//!      │ Full                    ▲  │
//!      │                         │  │ release hands the slot back: somebody waits
//!      ▼ enter   ┌─────────┐     │  ▼
//!   (lock) ─────▶│ waiting │─────┴─ Queue::release (lock): the same slot, the first in the queue
//!      │         └─────────┘ granted
//!      ▼              │
//!   refused           ├─ deadline passed ─▶ Expired
//!                     └─ cancelled ───────▶ gone; a slot already granted goes to the next
//! ```
//!
//! # The protocol
//!
//! Two rules make it safe.
//! **While the word says that somebody waits, it changes only under the lock of the queue**: a release that finds somebody waiting comes for the lock.
//! Whoever holds that lock hands out what is free in the same step in which it says who waits, so **while somebody waits, no slot is free.**
//! 1. [`Slots::try_acquire`] therefore never overtakes the queue, and needs not look at it.
//!    It cannot wedge either: when the last waiter goes, the count goes with it.
//! 2. [`Queue::enter`] tries once more and announces the newcomer in a single compare-and-swap, under the lock.
//!    Either a slot was free and it is taken, or every later release sees that somebody waits and comes for the lock.
//!    There is nothing in between, hence no wake-up is lost.
//! 3. [`Slots::release`] gives the slot back to its caller if somebody waits.
//!    The caller takes the lock and calls [`Queue::release`]; there the slot changes hands without ever being free, so that neither a newcomer nor a snapshot sees it in between.
//! 4. A grant *is* the slot: the waiter owns it from that moment, polled or not, exactly as a running call owns its slot whether it is polled or not.
//!    A waiter that goes away calls [`Queue::cancel`], which passes a granted slot on; a slot is never handed to somebody who has gone.
//! 5. Woken are both those granted and those whose time is over; each then asks [`Queue::claim`] what became of it.
//!    The payloads (wakers) are passed to a closure under the lock: collect them there, wake them after unlocking.
//!
//! # Fair shares
//!
//! Slots and places that all callers share are taken by whoever asks most often.
//! A [fair](Queue::fair) queue knows for whom each call is made, and within each class
//! - a slot that becomes free goes to the tenant that has the fewest calls running for its weight, and of several to the one that was served least;
//! - a tenant waits in a line of its own: only a line that stands itself has its newcomers wait for less, and turns its order round;
//! - in a full queue, a newcomer takes the place of one of the tenant with the most waiting for its weight, if its own would have fewer;
//! - where nobody may wait, a tenant with less than its share finds some room above the limit: see [`Queue::try_acquire_as`].
//!
//! So nobody is kept from slots that nobody else wants, and whoever has more than its share gets none while others want one.
//! The idea is that of fair queueing (Demers, Keshav and Shenker, 1989), for calls in place of packets: what is shared is how many run, not how many begin; a line and a delay for each tenant is FQ-CoDel (RFC 8290).
//!
//! There each slot is taken and given back under the lock of the queue, which costs a call O(log tenants).
//!
//! A shell should enter the queue at the first poll of its future rather than before: a future that nobody polls then neither waits nor blocks.

use core::fmt;

use crate::InvalidConfig;
use crate::sync::atomic::AtomicU64;
use crate::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};

mod answers;
pub use answers::{Claim, Entered, QueueRefusal, Ticket};

mod fair;

mod order;
pub use order::ControlledDelay;

mod pace;

mod queue;
pub use queue::Queue;

mod tenant;
pub use tenant::{Party, Tenant};

#[cfg(all(test, not(seaworthy_loom)))]
mod tests;

/// How many calls run at once, and how many wait for it: see the [module](self) for the protocol.
pub struct Slots {
    /// `limit`, `running` and `waiting`, 21 bits each: one load is a consistent picture.
    word: AtomicU64,
}

/// The right to run one call, out of a limited number of them.
///
/// It must be given back, through [`Slots::release`] or [`Queue::release`]; dropped, it lowers the number of slots for good.
#[derive(Debug)]
#[must_use = "a slot that is not released is lost for good"]
pub struct Slot(());

/// No slot is free.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Full {
    /// What was seen; where `waiting` is the longest queue allowed, there is no need to take the lock.
    pub seen: Occupancy,
}

/// A picture of the slots at one instant.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Occupancy {
    /// How many may run at once.
    pub limit: usize,
    /// How many run now, those granted a slot included; above `limit` while a lowered limit has not been reached yet.
    pub running: usize,
    /// How many wait for a slot.
    pub waiting: usize,
}

// ===== impl Slots =====

impl Slots {
    /// The most that may run at once, and the most that may wait: two million of each, so that three counts fit one word.
    pub const MAX: usize = MASK as usize;

    /// As many slots as `max_concurrent`, all free.
    ///
    /// # Errors
    /// If `max_concurrent` is zero or above [`MAX`](Self::MAX).
    pub fn try_new(max_concurrent: usize) -> Result<Self, InvalidConfig> {
        let limit = check_limit(max_concurrent)?;
        let word = Occupancy {
            limit,
            running: 0,
            waiting: 0,
        }
        .pack();
        Ok(Self {
            word: AtomicU64::new(word),
        })
    }

    /// Takes a free slot; there is none while others wait.
    ///
    /// # Errors
    /// If no slot is free: the newcomer may [enter](Queue::enter) the queue, behind those who wait.
    #[inline]
    pub fn try_acquire(&self) -> Result<Slot, Full> {
        let mut word = self.word.load(Relaxed);
        loop {
            if is_full(word) {
                let seen = Occupancy::unpack(word);
                return Err(Full { seen });
            }
            // Acquire: what the previous holder of this slot did is over before we begin.
            match self
                .word
                .compare_exchange_weak(word, word + ONE_RUNNING, Acquire, Relaxed)
            {
                Ok(_) => return Ok(Slot(())),
                Err(changed) => word = changed,
            }
        }
    }

    /// Takes a free slot if fewer run than `most` of the limit, and says how many run now, this one included.
    ///
    /// For calls that may use a part of the limit only, or that want to know how many others run.
    ///
    /// # Errors
    /// If no slot is free, or so many run.
    #[inline]
    pub fn try_acquire_below(&self, most: impl Fn(usize) -> usize) -> Result<(Slot, usize), Full> {
        let mut word = self.word.load(Relaxed);
        loop {
            let seen = Occupancy::unpack(word);
            if seen.running >= most(seen.limit).min(seen.limit) {
                return Err(Full { seen });
            }
            // As in `try_acquire`.
            match self
                .word
                .compare_exchange_weak(word, word + ONE_RUNNING, Acquire, Relaxed)
            {
                Ok(_) => return Ok((Slot(()), seen.running + 1)),
                Err(changed) => word = changed,
            }
        }
    }

    /// Gives a slot back, unless somebody waits for it.
    ///
    /// # Errors
    /// The slot itself, if somebody waits: take the lock and pass it to [`Queue::release`].
    #[inline]
    pub fn release(&self, slot: Slot) -> Result<(), Slot> {
        let mut word = self.word.load(Relaxed);
        loop {
            if word >> BITS & MASK > 0 {
                return Err(slot);
            }
            let running = word & MASK;
            debug_assert!(running > 0, "a slot is released where it was acquired");
            // Saturating: a count that was wrong must not borrow from its neighbours.
            let without = word - running.min(ONE_RUNNING);
            match self
                .word
                .compare_exchange_weak(word, without, Release, Relaxed)
            {
                Ok(_) => return Ok(()),
                Err(changed) => word = changed,
            }
        }
    }

    /// How many may run, run and wait, all at one instant.
    #[must_use]
    #[inline]
    pub fn occupancy(&self) -> Occupancy {
        Occupancy::unpack(self.word.load(Acquire))
    }

    /// Whether no slot is free.
    #[must_use]
    #[inline]
    pub fn is_full(&self) -> bool {
        is_full(self.word.load(Acquire))
    }

    /// Takes a slot if fewer than `most` run, whatever the limit; says how many run now. For the owner of the queue only, as rule 1 keeps newcomers from overtaking.
    fn take_within(&self, most: usize) -> Option<usize> {
        let mut word = self.word.load(Relaxed);
        loop {
            let running = Occupancy::unpack(word).running;
            if running >= most.min(Self::MAX) {
                return None;
            }
            // As in `try_acquire`; below the most there can be, adding one never carries.
            match self
                .word
                .compare_exchange_weak(word, word + ONE_RUNNING, Acquire, Relaxed)
            {
                Ok(_) => return Some(running + 1),
                Err(changed) => word = changed,
            }
        }
    }

    /// Puts `returned` slots back and hands out what is then free to the first of `waiting`; says to how many.
    ///
    /// One compare-and-swap does all of it, so that a slot changes hands without being free in between, and nobody is ever announced as waiting while a slot is free.
    /// For the owner of the queue only.
    fn settle(&self, returned: usize, waiting: usize) -> usize {
        self.settle_within(None, returned, waiting)
    }

    /// The same, under a new limit if there is one.
    fn settle_within(&self, limit: Option<usize>, returned: usize, waiting: usize) -> usize {
        let mut word = self.word.load(Relaxed);
        loop {
            let seen = Occupancy::unpack(word);
            debug_assert!(
                seen.running >= returned,
                "a slot is released where it was acquired"
            );
            let limit = limit.unwrap_or(seen.limit);
            let kept = seen.running.saturating_sub(returned);
            let granted = limit.saturating_sub(kept).min(waiting);
            let next = Occupancy {
                limit,
                running: kept + granted,
                waiting: waiting - granted,
            };
            match self
                .word
                .compare_exchange_weak(word, next.pack(), AcqRel, Relaxed)
            {
                Ok(_) => return granted,
                Err(changed) => word = changed,
            }
        }
    }
}

impl fmt::Debug for Slots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Slots").field(&self.occupancy()).finish()
    }
}

// ===== impl Full =====

impl fmt::Display for Full {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Occupancy {
            limit,
            running,
            waiting,
        } = self.seen;
        write!(f, "{running} of {limit} slots taken, {waiting} waiting")
    }
}

impl core::error::Error for Full {}

// ===== impl Occupancy =====

impl Occupancy {
    /// How many slots are free: none while a lowered limit is exceeded.
    #[must_use]
    pub const fn available(self) -> usize {
        self.limit.saturating_sub(self.running)
    }

    const fn pack(self) -> u64 {
        debug_assert!(self.limit <= Slots::MAX);
        debug_assert!(self.running <= Slots::MAX);
        debug_assert!(self.waiting <= Slots::MAX);
        (self.limit as u64) << (2 * BITS) | (self.waiting as u64) << BITS | self.running as u64
    }

    const fn unpack(word: u64) -> Self {
        Self {
            limit: (word >> (2 * BITS) & MASK) as usize,
            running: (word & MASK) as usize,
            waiting: (word >> BITS & MASK) as usize,
        }
    }
}

fn check_limit(max_concurrent: usize) -> Result<usize, InvalidConfig> {
    if max_concurrent == 0 {
        return Err(InvalidConfig::new("max_concurrent", "must be at least 1"));
    }
    if max_concurrent > Slots::MAX {
        return Err(InvalidConfig::new(
            "max_concurrent",
            "must be at most 2097151",
        ));
    }
    Ok(max_concurrent)
}

const fn is_full(word: u64) -> bool {
    word & MASK >= word >> (2 * BITS)
}

/// Three counts in 64 bits.
const BITS: u32 = 21;
const MASK: u64 = (1 << BITS) - 1;
/// `running` has the lowest bits; it stays at or below a limit of 21 bits, so adding one never carries.
const ONE_RUNNING: u64 = 1;
