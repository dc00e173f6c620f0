//! Every interleaving of a few threads around `Slots` and its queue, driven as a shell drives them.
#![cfg(seaworthy_loom)]

use loom::cell::UnsafeCell;
use loom::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use loom::sync::{Arc, Mutex, Notify};
use loom::thread;
use seaworthy_core::Moment;
use seaworthy_core::slots::{Claim, Entered, Queue, QueueRefusal, Slot, Slots, Ticket};

/// A bulkhead without futures: what a shell makes of the two parts.
struct Bulkhead {
    slots: Slots,
    queue: Mutex<Queue<Arc<Notify>>>,
    /// Counted beside the machine, so that the machine does not judge itself.
    inside: AtomicUsize,
    /// What the only slot is the right to touch: loom tells if the next holder need not see what the last one did.
    work: UnsafeCell<()>,
}

impl Bulkhead {
    fn new(max_concurrent: usize, max_queue: usize) -> Arc<Self> {
        Arc::new(Self {
            slots: Slots::try_new(max_concurrent).expect("valid limit"),
            queue: Mutex::new(Queue::try_new(max_queue).expect("valid queue")),
            inside: AtomicUsize::new(0),
            work: UnsafeCell::new(()),
        })
    }

    /// Everything under the lock, then the wake-ups.
    fn locked<T>(
        &self,
        operate: impl FnOnce(&mut Queue<Arc<Notify>>, &mut Vec<Arc<Notify>>) -> T,
    ) -> T {
        let mut woken = Vec::new();
        let answer = operate(&mut self.queue.lock().expect("not poisoned"), &mut woken);
        for waiter in woken {
            waiter.notify();
        }
        answer
    }

    fn enter(&self, waker: &Arc<Notify>) -> Result<Entered, QueueRefusal> {
        if let Ok(slot) = self.slots.try_acquire() {
            return Ok(Entered::Slot(slot));
        }
        self.locked(|queue, woken| {
            let payload = || Arc::clone(waker);
            queue.enter(&self.slots, NOW, Moment::NEVER, payload, |w| woken.push(w))
        })
    }

    /// Waits as long as it takes: a lost wake-up is a deadlock, which loom reports.
    fn acquire(&self) -> Slot {
        let waker = Arc::new(Notify::new());
        let mut ticket = match self.enter(&waker).expect("room in the queue") {
            Entered::Slot(slot) => return slot,
            Entered::Queued(ticket) => ticket,
        };
        loop {
            waker.wait();
            match self.locked(|queue, _| queue.claim(ticket)) {
                Claim::Slot(slot) => return slot,
                Claim::Waiting(still) => ticket = still,
                Claim::Expired => unreachable!("nothing expires here"),
            }
        }
    }

    fn run(&self, slot: Slot, limit: usize) {
        let others = self.inside.fetch_add(1, SeqCst);
        assert!(others < limit, "{others} others are running");
        self.inside.fetch_sub(1, SeqCst);
        self.release(slot);
    }

    fn work(&self, slot: Slot) {
        self.work.with_mut(|_| ());
        self.release(slot);
    }

    fn release(&self, slot: Slot) {
        if let Err(slot) = self.slots.release(slot) {
            self.locked(|queue, woken| queue.release(&self.slots, slot, NOW, |w| woken.push(w)));
        }
    }

    fn cancel(&self, ticket: Ticket) {
        self.locked(|queue, woken| queue.cancel(&self.slots, ticket, NOW, |w| woken.push(w)));
    }

    fn resize(&self, limit: usize) {
        self.locked(|queue, woken| queue.resize(&self.slots, limit, NOW, |w| woken.push(w)))
            .expect("valid limit");
    }

    fn assert_idle(&self) {
        let seen = self.slots.occupancy();
        assert_eq!((seen.running, seen.waiting), (0, 0));
    }
}

fn model(check: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(check);
}

fn spawn(
    bulkhead: &Arc<Bulkhead>,
    body: impl FnOnce(&Bulkhead) + 'static,
) -> thread::JoinHandle<()> {
    let bulkhead = Arc::clone(bulkhead);
    thread::spawn(move || body(&bulkhead))
}

#[test]
fn never_more_than_the_limit_runs() {
    model(|| {
        let bulkhead = Bulkhead::new(1, 0);
        let attempt = |bulkhead: &Bulkhead| {
            if let Ok(slot) = bulkhead.slots.try_acquire() {
                bulkhead.run(slot, 1);
            }
        };
        let others = [spawn(&bulkhead, attempt), spawn(&bulkhead, attempt)];
        attempt(&bulkhead);
        for other in others {
            other.join().expect("no panic");
        }
        bulkhead.assert_idle();
    });
}

#[test]
fn every_waiter_is_granted_once_a_slot_is_released() {
    model(|| {
        let bulkhead = Bulkhead::new(1, 2);
        let call = |bulkhead: &Bulkhead| bulkhead.run(bulkhead.acquire(), 1);
        let others = [spawn(&bulkhead, call), spawn(&bulkhead, call)];
        call(&bulkhead);
        for other in others {
            other.join().expect("no panic");
        }
        bulkhead.assert_idle();
    });
}

#[test]
fn grant_to_a_waiter_that_is_leaving_passes_on() {
    model(|| {
        let bulkhead = Bulkhead::new(1, 2);
        let running = bulkhead.slots.try_acquire().expect("free");
        // One gives up at once, perhaps while it is being granted the slot.
        let leaving = spawn(&bulkhead, |bulkhead| {
            let waker = Arc::new(Notify::new());
            match bulkhead.enter(&waker).expect("room in the queue") {
                Entered::Slot(slot) => bulkhead.release(slot),
                Entered::Queued(ticket) => bulkhead.cancel(ticket),
            }
        });
        let patient = spawn(&bulkhead, |bulkhead| bulkhead.run(bulkhead.acquire(), 1));
        bulkhead.release(running);
        leaving.join().expect("no panic");
        patient.join().expect("no panic");
        bulkhead.assert_idle();
    });
}

/// Somebody waits already; whatever frees a slot for them, it is not for a newcomer.
fn check_overtaking(free_one: impl Fn(&Bulkhead, Slot) + Copy + Send + Sync + 'static) {
    model(move || {
        let bulkhead = Bulkhead::new(1, 1);
        let running = bulkhead.slots.try_acquire().expect("free");
        let waker = Arc::new(Notify::new());
        let Ok(Entered::Queued(ticket)) = bulkhead.enter(&waker) else {
            panic!("the slot is taken and the queue empty");
        };
        let newcomer = spawn(&bulkhead, |bulkhead| {
            assert!(bulkhead.slots.try_acquire().is_err(), "overtook a waiter");
        });
        free_one(&bulkhead, running);
        newcomer.join().expect("no panic");
        let claim = bulkhead.locked(|queue, _| queue.claim(ticket));
        assert!(matches!(claim, Claim::Slot(_)), "{claim:?}");
    });
}

#[test]
fn newcomer_never_overtakes_a_waiter_at_a_release() {
    check_overtaking(Bulkhead::release);
}

#[test]
fn newcomer_never_overtakes_a_waiter_at_a_resize() {
    check_overtaking(|bulkhead, _still_running| bulkhead.resize(2));
}

#[test]
fn raised_limit_reaches_a_waiter() {
    model(|| {
        let bulkhead = Bulkhead::new(1, 1);
        let running = bulkhead.slots.try_acquire().expect("free");
        // Granted only by the resize, since the first slot is kept.
        let waiter = spawn(&bulkhead, |bulkhead| bulkhead.run(bulkhead.acquire(), 1));
        bulkhead.resize(2);
        waiter.join().expect("no panic");
        bulkhead.release(running);
        bulkhead.assert_idle();
    });
}

#[test]
fn lowered_limit_is_kept_whoever_races() {
    model(|| {
        let bulkhead = Bulkhead::new(2, 2);
        let first = bulkhead.slots.try_acquire().expect("free");
        let second = bulkhead.slots.try_acquire().expect("free");
        bulkhead.resize(1);
        let waiter = spawn(&bulkhead, |bulkhead| bulkhead.run(bulkhead.acquire(), 1));
        let releaser = spawn(&bulkhead, |bulkhead| bulkhead.release(first));
        // While the second slot is held, a limit of one lets nobody else in.
        bulkhead.inside.fetch_add(1, SeqCst);
        releaser.join().expect("no panic");
        bulkhead.inside.fetch_sub(1, SeqCst);
        bulkhead.release(second);
        waiter.join().expect("no panic");
        bulkhead.assert_idle();
    });
}

#[test]
fn resize_races_with_release_and_acquire() {
    model(|| {
        let bulkhead = Bulkhead::new(2, 2);
        let running = bulkhead.slots.try_acquire().expect("free");
        let caller = spawn(&bulkhead, |bulkhead| bulkhead.run(bulkhead.acquire(), 2));
        let releaser = spawn(&bulkhead, |bulkhead| bulkhead.release(running));
        bulkhead.resize(1);
        caller.join().expect("no panic");
        releaser.join().expect("no panic");
        bulkhead.assert_idle();
        assert_eq!(bulkhead.slots.occupancy().limit, 1);
    });
}

#[test]
fn next_holder_sees_what_the_last_one_did() {
    model(|| {
        let bulkhead = Bulkhead::new(1, 0);
        let attempt = |bulkhead: &Bulkhead| {
            if let Ok(slot) = bulkhead.slots.try_acquire() {
                bulkhead.work(slot);
            }
        };
        let other = spawn(&bulkhead, attempt);
        attempt(&bulkhead);
        other.join().expect("no panic");
    });
}

#[test]
fn newcomer_sees_what_was_done_in_a_slot_that_a_waiter_gave_up() {
    model(|| {
        let bulkhead = Bulkhead::new(1, 1);
        let running = bulkhead.slots.try_acquire().expect("free");
        let waker = Arc::new(Notify::new());
        let Ok(Entered::Queued(ticket)) = bulkhead.enter(&waker) else {
            panic!("the slot is taken and the queue empty");
        };
        let releaser = spawn(&bulkhead, |bulkhead| bulkhead.work(running));
        let newcomer = spawn(&bulkhead, |bulkhead| {
            if let Ok(slot) = bulkhead.slots.try_acquire() {
                bulkhead.work(slot);
            }
        });
        bulkhead.cancel(ticket);
        releaser.join().expect("no panic");
        newcomer.join().expect("no panic");
        bulkhead.assert_idle();
    });
}

/// Somebody's time is over while the slot that they wait for comes free.
#[test]
fn slot_released_as_the_only_waiter_expires_is_free() {
    model(|| {
        let bulkhead = Bulkhead::new(1, 1);
        let running = bulkhead.slots.try_acquire().expect("free");
        let until = Moment::from_nanos(1);
        let entered = bulkhead.locked(|queue, woken| {
            let payload = || Arc::new(Notify::new());
            queue.enter(&bulkhead.slots, NOW, until, payload, |w| woken.push(w))
        });
        let Ok(Entered::Queued(ticket)) = entered else {
            panic!("the slot is taken and the queue empty");
        };
        // In time by its own clock.
        let releaser = spawn(&bulkhead, |bulkhead| bulkhead.release(running));
        bulkhead.locked(|queue, woken| queue.expire(&bulkhead.slots, until, |w| woken.push(w)));
        match bulkhead.locked(|queue, _| queue.claim(ticket)) {
            Claim::Slot(slot) => bulkhead.release(slot),
            Claim::Expired => {}
            Claim::Waiting(_) => panic!("its time is over"),
        }
        releaser.join().expect("no panic");
        bulkhead.assert_idle();
        assert!(bulkhead.slots.try_acquire().is_ok(), "nothing leaked");
    });
}

const NOW: Moment = Moment::ORIGIN;
