//! Loom's atomics, but no load of one thread hides that of another.
//!
//! Loom runs a thread for as long as it can, and comes back to an earlier point only where it finds that two steps of two threads depend on each other.
//! For a write it compares with the last access to the same atomic alone, and where that was the writer's own load, as in every loop that loads and then swaps, it has forgotten who read before.
//! A thread that only reads would thus never be run after one that loads and swaps: half of the interleavings, and each model in which one thread asks while another moves the circuit.
//! A load therefore touches a second atomic first, without order and so without hiding anything from the memory model: loom then finds that loads depend on each other as well, and tries both orders.

use loom::sync::atomic;

pub(crate) use atomic::{AtomicUsize, Ordering, fence};

macro_rules! explored {
    ($name:ident, $value:ty) => {
        #[derive(Debug)]
        pub(crate) struct $name {
            value: atomic::$name,
            loads: AtomicUsize,
        }

        impl $name {
            pub(crate) fn new(value: $value) -> Self {
                Self {
                    value: atomic::$name::new(value),
                    loads: AtomicUsize::new(0),
                }
            }

            pub(crate) fn load(&self, order: Ordering) -> $value {
                self.loads.fetch_add(1, Ordering::Relaxed);
                self.value.load(order)
            }
        }
    };
}

macro_rules! exchanged {
    ($name:ident, $value:ty) => {
        impl $name {
            pub(crate) fn compare_exchange_weak(
                &self,
                current: $value,
                new: $value,
                success: Ordering,
                failure: Ordering,
            ) -> Result<$value, $value> {
                self.value
                    .compare_exchange_weak(current, new, success, failure)
            }
        }
    };
}

explored!(AtomicU16, u16);
explored!(AtomicU32, u32);
explored!(AtomicU64, u64);
exchanged!(AtomicU32, u32);
exchanged!(AtomicU64, u64);

impl AtomicU16 {
    pub(crate) fn store(&self, value: u16, order: Ordering) {
        self.value.store(value, order);
    }

    pub(crate) fn fetch_add(&self, value: u16, order: Ordering) -> u16 {
        self.value.fetch_add(value, order)
    }

    pub(crate) fn swap(&self, value: u16, order: Ordering) -> u16 {
        self.value.swap(value, order)
    }
}

impl AtomicU32 {
    pub(crate) fn store(&self, value: u32, order: Ordering) {
        self.value.store(value, order);
    }

    pub(crate) fn fetch_add(&self, value: u32, order: Ordering) -> u32 {
        self.value.fetch_add(value, order)
    }

    pub(crate) fn fetch_max(&self, value: u32, order: Ordering) -> u32 {
        self.value.fetch_max(value, order)
    }

    pub(crate) fn swap(&self, value: u32, order: Ordering) -> u32 {
        self.value.swap(value, order)
    }
}

impl AtomicU64 {
    pub(crate) fn store(&self, value: u64, order: Ordering) {
        self.value.store(value, order);
    }

    pub(crate) fn swap(&self, value: u64, order: Ordering) -> u64 {
        self.value.swap(value, order)
    }

    pub(crate) fn fetch_add(&self, value: u64, order: Ordering) -> u64 {
        self.value.fetch_add(value, order)
    }

    pub(crate) fn fetch_sub(&self, value: u64, order: Ordering) -> u64 {
        self.value.fetch_sub(value, order)
    }

    pub(crate) fn fetch_max(&self, value: u64, order: Ordering) -> u64 {
        self.value.fetch_max(value, order)
    }

    pub(crate) fn compare_exchange(
        &self,
        current: u64,
        new: u64,
        success: Ordering,
        failure: Ordering,
    ) -> Result<u64, u64> {
        self.value.compare_exchange(current, new, success, failure)
    }
}
