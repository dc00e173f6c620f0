//! The slots with a queue, a clock and a voice: what the shared services ask.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::Duration;

use seaworthy_core::slots::{Occupancy, Queue, Slot, Slots};
use seaworthy_core::{InvalidConfig, show_settled};
use seaworthy_kit::gate::Entry;
use seaworthy_kit::{Clock, Event, Gate, Held, Moment, Refusal, RejectionKind, Telemetry, Verdict};

use crate::layer::Options;
use crate::wait::Wait;

/// A bulkhead as the layer holds it.
#[derive(Debug)]
pub struct BulkheadGate {
    slots: Slots,
    /// Locked only while somebody waits, or is about to.
    queue: Mutex<Queue<Waker>>,
    /// As in the queue, for those who need not lock it. Written under its lock.
    max_queue: AtomicUsize,
    /// How long a call may wait; in nanoseconds, of which the largest number means "for ever".
    max_wait: AtomicU64,
    /// The earliest deadline in the queue. Written under its lock, too.
    next_deadline: AtomicU64,
    /// The pace of the queue in nanoseconds, likewise; zero while it is not known.
    pace: AtomicU64,
    options: Options,
    telemetry: Telemetry,
    gauges: Gauges,
}

/// Whether a bulkhead has gauges.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Gauges {
    /// It has its own.
    Own,
    /// It has none: they would be those of many bulkheads, each overwriting the others.
    None,
}

impl BulkheadGate {
    pub(crate) fn try_new(
        options: Options,
        telemetry: Telemetry,
        gauges: Gauges,
    ) -> Result<Self, InvalidConfig> {
        let gate = Self {
            slots: Slots::try_new(options.max_concurrent)?,
            queue: Mutex::new(Queue::try_new(options.max_queue)?),
            max_queue: AtomicUsize::new(options.max_queue),
            max_wait: AtomicU64::new(nanos(options.max_wait)),
            next_deadline: AtomicU64::new(Moment::NEVER.as_nanos()),
            pace: AtomicU64::new(0),
            options,
            telemetry,
            gauges,
        };
        gate.show_limit();
        Ok(gate)
    }

    pub(crate) fn max_wait(&self) -> Duration {
        match self.max_wait.load(Ordering::Relaxed) {
            u64::MAX => Duration::MAX,
            nanos => Duration::from_nanos(nanos),
        }
    }

    pub(crate) fn set_max_wait(&self, max_wait: Duration) {
        self.max_wait.store(nanos(max_wait), Ordering::Relaxed);
    }

    pub(crate) const fn clock(&self) -> &Clock {
        &self.options.clock
    }

    pub(crate) fn max_queue(&self) -> usize {
        self.max_queue.load(Ordering::Relaxed)
    }

    pub(crate) fn occupancy(&self) -> Occupancy {
        self.slots.occupancy()
    }

    pub(crate) fn queue(&self) -> MutexGuard<'_, Queue<Waker>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the queue under its lock, and wakes whom the change concerns once the lock is released.
    pub(crate) fn with_queue<R>(
        &self,
        change: impl FnOnce(&mut Queue<Waker>, &Slots, &mut dyn FnMut(Waker)) -> R,
    ) -> R {
        let mut woken = Vec::new();
        let result = {
            let mut queue = self.queue();
            let result = change(&mut queue, &self.slots, &mut |waker| woken.push(waker));
            self.publish_queue(&queue);
            result
        };
        for waker in woken {
            // The next one has a slot that nobody else will tell it of; and this may be a `drop`, where a panic would abort.
            let _ = catch_unwind(AssertUnwindSafe(|| waker.wake()));
        }
        self.show();
        result
    }

    /// For those who need not lock the queue.
    fn publish_queue(&self, queue: &Queue<Waker>) {
        let next = queue.next_deadline().unwrap_or(Moment::NEVER);
        self.next_deadline.store(next.as_nanos(), Ordering::Relaxed);
        let pace = nanos(queue.pace().unwrap_or_default());
        self.pace.store(pace, Ordering::Relaxed);
    }

    /// Whether so many may not wait, and nobody's time is over who only has not been polled since.
    fn is_queue_full(&self, waiting: usize) -> bool {
        if waiting < self.max_queue() {
            return false;
        }
        let next = Moment::from_nanos(self.next_deadline.load(Ordering::Relaxed));
        next == Moment::NEVER || self.max_queue() == 0 || self.clock().now() < next
    }

    /// The refusal of a call behind so many others.
    pub(crate) fn refusal(&self, kind: RejectionKind, waiting: usize) -> Refusal {
        let pace = Duration::from_nanos(self.pace.load(Ordering::Relaxed));
        // Whoever waited in vain comes back behind at least one other, or there would have been a slot.
        let ahead = u32::try_from(waiting.max(1)).unwrap_or(u32::MAX);
        // However slow the pace: by then those ahead have been served, or have waited in vain.
        let served = pace.saturating_mul(ahead).min(self.max_wait());
        Refusal::new(kind, (!served.is_zero()).then_some(served))
    }

    pub(crate) fn set_limit(&self, limit: usize) -> Result<(), InvalidConfig> {
        let now = self.clock().now();
        self.with_queue(|queue, slots, wake| queue.resize(slots, limit, now, wake))?;
        self.show_limit();
        self.telemetry.report(&Event::LimitChanged { limit });
        Ok(())
    }

    pub(crate) fn set_max_queue(&self, max_queue: usize) -> Result<(), InvalidConfig> {
        let mut queue = self.queue();
        queue.set_max_queue(max_queue)?;
        self.max_queue.store(max_queue, Ordering::Relaxed);
        Ok(())
    }

    pub(crate) fn publish(&self) {
        self.show();
        let refusals = [RejectionKind::BulkheadFull, RejectionKind::QueueTimeout];
        // Only those that wait can have waited for too long.
        let refusals = match self.max_queue() {
            0 => &refusals[..1],
            _ => &refusals[..],
        };
        self.telemetry.instruments().publish(refusals);
    }

    /// Sets the gauges that every call changes. Before there is a recorder nothing is lost: the next call sets them again.
    #[inline]
    fn show(&self) {
        if self.gauges == Gauges::Own && self.telemetry.instruments().are_heard() {
            self.show_running();
        }
    }

    #[inline(never)]
    fn show_running(&self) {
        let instruments = self.telemetry.instruments();
        show_settled(
            || self.occupancy(),
            |seen| {
                instruments.set_in_flight(seen.running);
                instruments.set_queue_depth(seen.waiting);
            },
        );
    }

    /// Gives the slot to whoever waits for it.
    #[cold]
    fn hand_on(&self, slot: Slot) {
        let now = self.clock().now();
        self.with_queue(|queue, slots, wake| queue.release(slots, slot, now, wake));
    }

    fn show_limit(&self) {
        if self.gauges == Gauges::Own {
            let instruments = self.telemetry.instruments();
            show_settled(
                || self.occupancy(),
                |seen| instruments.set_limit(seen.limit),
            );
        }
    }
}

impl Gate for BulkheadGate {
    type Admission = Slot;
    type Wait = Wait;

    #[inline]
    fn check(&self) -> Result<(), Refusal> {
        if self.occupancy().available() == 0 {
            Err(full())
        } else {
            Ok(())
        }
    }

    #[inline(always)]
    fn admit_healthy(&self) -> Option<Slot> {
        let slot = self.slots.try_acquire().ok()?;
        self.show();
        Some(slot)
    }

    fn try_admit(&self) -> Result<Slot, Refusal> {
        let slot = self.slots.try_acquire().map_err(|_| full())?;
        self.show();
        Ok(slot)
    }

    fn enter(held: &Held<Self>) -> Entry<Self> {
        let full_house = match held.slots.try_acquire() {
            Ok(slot) => {
                held.show();
                return Entry::Admitted(slot);
            }
            Err(full_house) => full_house,
        };
        let waiting = full_house.seen.waiting;
        // A full queue refuses without its lock.
        // Where refusals are only observed, nobody is kept waiting for one either.
        if held.control().enforced_percent() > 0 && !held.is_queue_full(waiting) {
            Entry::Waiting(Wait::new(held.again()))
        } else {
            Entry::Refused(held.refusal(RejectionKind::BulkheadFull, waiting))
        }
    }

    #[inline(always)]
    fn settle(&self, slot: Slot, _: Verdict) {
        match self.slots.release(slot) {
            Ok(()) => self.show(),
            Err(slot) => self.hand_on(slot),
        }
    }

    #[inline]
    fn telemetry(&self) -> &Telemetry {
        &self.telemetry
    }

    /// Not one whose limits were changed: it would come back with those of the builder.
    fn is_forgettable(&self) -> bool {
        self.occupancy().limit == self.options.max_concurrent
            && self.max_queue() == self.options.max_queue
            && self.max_wait() == self.options.max_wait
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// Without a queue nobody can tell when a slot will be free: to know how long calls take, each would have to be timed.
const fn full() -> Refusal {
    Refusal::new(RejectionKind::BulkheadFull, None)
}
