//! Slots with a line in front of them: what every layer shares that bounds how many calls run, and may let others wait.
//!
//! The machine is in [`slots`](seaworthy_core::slots), whose docs have the protocol; here it gets its lock, its clock, its wakers and its gauges.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::Duration;

use seaworthy_core::slots::{ControlledDelay, Full, Occupancy, Party, Queue, Slot, Slots};
use seaworthy_core::{InvalidConfig, show_settled};

use crate::gate::Entry;
use crate::unwind::wake_all;
use crate::{Clock, Gate, Held, Moment, Refusal, RejectionKind, Telemetry};

mod wait;
pub use wait::Wait;

/// Slots, and the calls that wait for them.
#[derive(Debug)]
pub struct Line {
    slots: Slots,
    /// Locked only while somebody waits, or is about to.
    queue: Mutex<Queue<Waker>>,
    is_controlled: bool,
    /// As in the queue, for those who need not lock it. Written under its lock.
    max_queue: AtomicUsize,
    /// How long a call may wait; in nanoseconds, of which the largest number means "for ever".
    max_wait: AtomicU64,
    /// The earliest deadline in the queue. Written under its lock, too.
    next_deadline: AtomicU64,
    /// The pace of the queue in nanoseconds, likewise; zero while it is not known.
    pace: AtomicU64,
    clock: Clock,
    gauges: Gauges,
}

/// What a [`Line`] is made of.
#[derive(Clone, Debug)]
#[expect(clippy::exhaustive_structs, reason = "a value for layers to fill in")]
pub struct LineConfig {
    /// How many may run at once.
    pub max_concurrent: usize,
    /// How many may wait.
    pub max_queue: usize,
    /// How long one may wait; [`Duration::MAX`] for ever.
    pub max_wait: Duration,
    /// How the line is kept from standing, where it is.
    pub delay: Option<ControlledDelay>,
    /// Whose time decides.
    pub clock: Clock,
}

/// Whether a line has gauges.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(clippy::exhaustive_enums, reason = "a layer has them or not")]
pub enum Gauges {
    /// It has its own.
    Own,
    /// It has none: they would be those of many lines, each overwriting the others.
    None,
}

/// A gate whose admissions are slots of a [`Line`].
pub trait Lined: Gate<Wait = Wait<Self>> {
    /// What a call is refused with for which there is no room in the line.
    const FULL: RejectionKind;

    /// The line.
    fn line(&self) -> &Line;

    /// What a call of that party is admitted with that has waited for this slot.
    fn seated(&self, slot: Slot, party: Party) -> Self::Admission;

    /// The refusal of a call behind so many others.
    fn refusal(&self, kind: RejectionKind, waiting: usize) -> Refusal {
        self.line().refusal(kind, waiting)
    }
}

// ===== impl Line =====

impl Line {
    /// A line in which nobody stands.
    ///
    /// # Errors
    /// If one of the numbers cannot work.
    pub fn try_new(config: LineConfig, gauges: Gauges) -> Result<Self, InvalidConfig> {
        let queue = Queue::try_new(config.max_queue)?;
        Ok(Self {
            slots: Slots::try_new(config.max_concurrent)?,
            queue: Mutex::new(match config.delay {
                Some(delay) => queue.controlled(delay),
                None => queue,
            }),
            is_controlled: config.delay.is_some(),
            max_queue: AtomicUsize::new(config.max_queue),
            max_wait: AtomicU64::new(nanos(config.max_wait)),
            next_deadline: AtomicU64::new(Moment::NEVER.as_nanos()),
            pace: AtomicU64::new(0),
            clock: config.clock,
            gauges,
        })
    }

    /// The slots.
    #[must_use]
    #[inline(always)]
    pub const fn slots(&self) -> &Slots {
        &self.slots
    }

    /// The clock.
    #[must_use]
    pub const fn clock(&self) -> &Clock {
        &self.clock
    }

    /// How many run and wait.
    #[must_use]
    #[inline]
    pub fn occupancy(&self) -> Occupancy {
        self.slots.occupancy()
    }

    /// How long a call may wait; [`Duration::MAX`] for ever.
    #[must_use]
    pub fn max_wait(&self) -> Duration {
        match self.max_wait.load(Ordering::Relaxed) {
            u64::MAX => Duration::MAX,
            nanos => Duration::from_nanos(nanos),
        }
    }

    /// Lets calls wait for so long from now on.
    pub fn set_max_wait(&self, max_wait: Duration) {
        self.max_wait.store(nanos(max_wait), Ordering::Relaxed);
    }

    /// How many may wait.
    #[must_use]
    pub fn max_queue(&self) -> usize {
        self.max_queue.load(Ordering::Relaxed)
    }

    /// Lets so many wait from now on.
    ///
    /// # Errors
    /// If there cannot be so many.
    pub fn set_max_queue(&self, max_queue: usize) -> Result<(), InvalidConfig> {
        let mut queue = self.lock();
        queue.set_max_queue(max_queue)?;
        self.max_queue.store(max_queue, Ordering::Relaxed);
        Ok(())
    }

    /// The queue, locked: to look at it. What changes it goes through the other methods.
    pub fn lock(&self) -> MutexGuard<'_, Queue<Waker>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets so many run at once from now on.
    ///
    /// # Errors
    /// If there cannot be so many; nothing has changed then.
    pub fn resize(&self, limit: usize, telemetry: &Telemetry) -> Result<(), InvalidConfig> {
        let now = self.clock.now();
        let resize = |queue: &mut Queue<Waker>, slots: &Slots, wake: &mut dyn FnMut(Waker)| {
            queue.resize(slots, limit, now, wake)
        };
        self.change(telemetry, resize)?;
        self.show_limit(telemetry);
        Ok(())
    }

    /// Gives a slot back, to whoever waits for it if anybody does.
    ///
    /// The gauges are left to [`Gate::show`], which is called where somebody hears.
    #[inline(always)]
    pub fn release(&self, slot: Slot, telemetry: &Telemetry) {
        if let Err(slot) = self.slots.release(slot) {
            self.hand_on(slot, telemetry);
        }
    }

    #[cold]
    fn hand_on(&self, slot: Slot, telemetry: &Telemetry) {
        let now = self.clock.now();
        self.change(telemetry, |queue, slots, wake| {
            queue.release(slots, slot, now, wake);
        });
    }

    /// The same line, in which tenants have [fair shares](seaworthy_core::slots#fair-shares).
    ///
    /// With `lends`, for a line in which nobody may wait, those with less than their share find room above the limit.
    ///
    /// From then on, slots are taken with [`acquire_as`](Self::acquire_as), and given back with [`release_as`](Self::release_as), and nothing else.
    #[must_use]
    pub fn fair(self, lends: bool) -> Self {
        let queue = self.queue.into_inner();
        Self {
            queue: Mutex::new(queue.unwrap_or_else(PoisonError::into_inner).fair(lends)),
            ..self
        }
    }

    /// Takes a slot for a party, where there is one for it; says how many run then.
    ///
    /// # Errors
    /// If there is none: see [`Queue::try_acquire_as`].
    pub fn acquire_as(
        &self,
        party: Party,
        most: impl Fn(usize) -> usize,
    ) -> Result<(Slot, usize), Full> {
        self.lock().try_acquire_as(party, &self.slots, most)
    }

    /// Gives the slot of a party back, to whoever has the best claim to it if anybody waits.
    pub fn release_as(&self, slot: Slot, party: Party, telemetry: &Telemetry) {
        self.change(telemetry, |queue, slots, wake| {
            // Without anybody who waits, nobody is late.
            let now = match queue.is_empty() {
                true => Moment::ORIGIN,
                false => self.clock.now(),
            };
            queue.release_as(party, slots, slot, now, wake);
        });
    }

    /// The way in of a call for which no slot was free when so many waited.
    #[must_use]
    pub fn enter<G: Lined>(held: &Held<G>, waiting: usize, party: impl Into<Party>) -> Entry<G> {
        // Where refusals are only observed, nobody is kept waiting for one either.
        let line = held.line();
        if held.control().enforced_percent() > 0 && !line.is_full(waiting) {
            Entry::Waiting(Wait::new(held.again(), party.into()))
        } else {
            Entry::Refused(held.refusal(G::FULL, waiting))
        }
    }

    /// Whether so many may not wait, and nobody's time is over who only has not been polled since, nor does anybody give way.
    ///
    /// Told without the lock, so that a full queue refuses without it.
    fn is_full(&self, waiting: usize) -> bool {
        let max_queue = self.max_queue();
        if waiting < max_queue || self.is_controlled && max_queue > 0 {
            return false;
        }
        let next = Moment::from_nanos(self.next_deadline.load(Ordering::Relaxed));
        next == Moment::NEVER || max_queue == 0 || self.clock.now() < next
    }

    /// The refusal of a call behind so many others.
    #[must_use]
    pub fn refusal(&self, kind: RejectionKind, waiting: usize) -> Refusal {
        let pace = Duration::from_nanos(self.pace.load(Ordering::Relaxed));
        // Whoever waited in vain comes back behind at least one other, or there would have been a slot.
        let ahead = u32::try_from(waiting.max(1)).unwrap_or(u32::MAX);
        // However slow the pace: by then those ahead have been served, or have waited in vain.
        let served = pace.saturating_mul(ahead).min(self.max_wait());
        Refusal::new(kind, (!served.is_zero()).then_some(served))
    }

    /// Changes the queue under its lock, and wakes whom the change concerns once the lock is released.
    fn change<R>(
        &self,
        telemetry: &Telemetry,
        change: impl FnOnce(&mut Queue<Waker>, &Slots, &mut dyn FnMut(Waker)) -> R,
    ) -> R {
        let mut woken = Vec::new();
        let result = {
            let mut queue = self.lock();
            let result = change(&mut queue, &self.slots, &mut |waker| woken.push(waker));
            self.publish_queue(&queue);
            result
        };
        wake_all(woken);
        self.show(telemetry);
        result
    }

    /// For those who need not lock the queue.
    fn publish_queue(&self, queue: &Queue<Waker>) {
        let next = queue.next_deadline().unwrap_or(Moment::NEVER);
        self.next_deadline.store(next.as_nanos(), Ordering::Relaxed);
        let pace = nanos(queue.pace().unwrap_or_default());
        self.pace.store(pace, Ordering::Relaxed);
    }

    /// Sets the gauges that every call changes. Before there is a recorder nothing is lost: the next call sets them again.
    #[inline]
    pub fn show(&self, telemetry: &Telemetry) {
        if telemetry.instruments().are_heard() {
            self.show_running(telemetry);
        }
    }

    #[cold]
    fn show_running(&self, telemetry: &Telemetry) {
        if self.gauges == Gauges::None {
            return;
        }
        let instruments = telemetry.instruments();
        show_settled(
            || self.occupancy(),
            |seen| {
                instruments.set_in_flight(seen.running);
                instruments.set_queue_depth(seen.waiting);
            },
        );
    }

    /// Sets the gauge of the limit.
    pub fn show_limit(&self, telemetry: &Telemetry) {
        if self.gauges == Gauges::Own {
            let instruments = telemetry.instruments();
            show_settled(
                || self.occupancy(),
                |seen| instruments.set_limit(seen.limit),
            );
        }
    }

    /// Whether it has gauges.
    #[must_use]
    pub const fn gauges(&self) -> Gauges {
        self.gauges
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
