//! A drain and the calls that it waits for, in every interleaving.
//!
//! `kit::Share` counts calls by the reference counts of an `Arc`, and loom's `Arc` has no `Weak`.
//! So this is the protocol of `share.rs`, with the operations of the standard library's `Arc` written out: a change there belongs here as well.
#![cfg(seaworthy_loom)]

use loom::cell::UnsafeCell;
use loom::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use loom::sync::atomic::{AtomicBool, AtomicUsize, fence};
use loom::sync::{Arc, Notify};
use loom::thread;

/// What a clone shares with the calls made through it, and with a drain.
struct Share<const CALLS: usize> {
    /// The strong count of a `Local`; one is the anchor's.
    count: AtomicUsize,
    draining: AtomicBool,
    drains: AtomicUsize,
    ended: Notify,
    /// What each call does, if it is made. Touched by the drain afterwards, so that loom tells if a call still does it, or if what it did cannot be seen.
    work: [UnsafeCell<()>; CALLS],
}

impl<const CALLS: usize> Share<CALLS> {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            count: AtomicUsize::new(1),
            draining: AtomicBool::new(false),
            drains: AtomicUsize::new(0),
            ended: Notify::new(),
            work: std::array::from_fn(|_| UnsafeCell::new(())),
        })
    }

    /// `Held::again`, the check of a gate, the call, `Held::drop`.
    fn call(&self, which: usize) {
        self.count.fetch_add(1, Relaxed);
        fence(Acquire);
        if !self.draining.load(Relaxed) {
            self.work[which].with_mut(|_| ());
        }
        self.count.fetch_sub(1, Release);
        fence(Acquire);
        if self.drains.load(Relaxed) != 0 {
            self.ended.notify();
        }
    }

    /// `Share::drain`, whose waiter is registered before it counts: a notification in between is kept.
    fn drain(&self) {
        self.drains.fetch_add(1, Relaxed);
        self.draining.store(true, Relaxed);
        while self.in_flight() > 0 {
            self.ended.wait();
        }
        fence(Acquire);
        self.drains.fetch_sub(1, Relaxed);
    }

    /// `Entry::in_flight`: an upgrade that is dropped, then the strong count.
    fn in_flight(&self) -> usize {
        self.count.fetch_add(1, Acquire);
        self.count.fetch_sub(1, Release);
        self.count.load(Relaxed) - 1
    }
}

fn check<const CALLS: usize>() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(|| {
        let share = Share::<CALLS>::new();
        let calls: [_; CALLS] = std::array::from_fn(|which| {
            let share = share.clone();
            thread::spawn(move || share.call(which))
        });
        // One that misses the end of a call waits for ever, which loom reports.
        share.drain();
        for work in &share.work {
            work.with_mut(|_| ());
        }
        for call in calls {
            call.join().expect("no panic");
        }
    });
}

#[test]
fn drain_of_one_call_is_over_exactly_when_the_call_is() {
    check::<1>();
}

#[test]
fn drain_of_two_calls_is_over_exactly_when_both_are() {
    check::<2>();
}
