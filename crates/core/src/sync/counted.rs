//! The language's atomics, but each load and each write is counted: a test can show that a path only reads, and how little.

extern crate std;

use core::sync::atomic;
use std::cell::Cell;
use std::thread_local;

pub(crate) use atomic::{AtomicU16, AtomicU32, AtomicUsize, Ordering, fence};

thread_local! {
    static LOADS: Cell<u64> = const { Cell::new(0) };
    static WRITES: Cell<u64> = const { Cell::new(0) };
}

/// How often `run` loads, in this thread.
pub(crate) fn loads(run: impl FnOnce()) -> u64 {
    let before = LOADS.get();
    run();
    LOADS.get() - before
}

/// How many writes `run` tries, in this thread. A compare-and-swap that fails counts too: it takes the cache line all the same.
pub(crate) fn writes(run: impl FnOnce()) -> u64 {
    let before = WRITES.get();
    run();
    WRITES.get() - before
}

fn wrote() {
    WRITES.set(WRITES.get() + 1);
}

#[derive(Debug)]
pub(crate) struct AtomicU64(atomic::AtomicU64);

impl AtomicU64 {
    pub(crate) const fn new(value: u64) -> Self {
        Self(atomic::AtomicU64::new(value))
    }

    pub(crate) fn load(&self, order: Ordering) -> u64 {
        LOADS.set(LOADS.get() + 1);
        self.0.load(order)
    }

    pub(crate) fn store(&self, value: u64, order: Ordering) {
        wrote();
        self.0.store(value, order);
    }

    pub(crate) fn swap(&self, value: u64, order: Ordering) -> u64 {
        wrote();
        self.0.swap(value, order)
    }

    pub(crate) fn fetch_add(&self, value: u64, order: Ordering) -> u64 {
        wrote();
        self.0.fetch_add(value, order)
    }

    pub(crate) fn fetch_sub(&self, value: u64, order: Ordering) -> u64 {
        wrote();
        self.0.fetch_sub(value, order)
    }

    pub(crate) fn fetch_max(&self, value: u64, order: Ordering) -> u64 {
        wrote();
        self.0.fetch_max(value, order)
    }

    pub(crate) fn compare_exchange(
        &self,
        current: u64,
        new: u64,
        success: Ordering,
        failure: Ordering,
    ) -> Result<u64, u64> {
        wrote();
        self.0.compare_exchange(current, new, success, failure)
    }

    pub(crate) fn compare_exchange_weak(
        &self,
        current: u64,
        new: u64,
        success: Ordering,
        failure: Ordering,
    ) -> Result<u64, u64> {
        wrote();
        self.0.compare_exchange_weak(current, new, success, failure)
    }
}
