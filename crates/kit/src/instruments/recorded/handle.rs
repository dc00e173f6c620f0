//! A metric that looks for the recorder when it is used, and keeps the handle of the first real one.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use metrics::{Counter, Gauge, Key, Recorder};

use super::METADATA;

/// A metric and its handle at the recorder that is installed, once one is.
pub(super) struct Handle<H> {
    key: Key,
    made: OnceLock<(usize, H)>,
}

/// A gauge that remembers what it was set to before there was a recorder.
pub(super) struct Remembered {
    handle: Handle<Gauge>,
    /// The bits of the value, or [`UNSET`].
    value: AtomicU64,
}

/// Bits that no gauge of ours is ever set to: a NaN.
const UNSET: u64 = u64::MAX;

impl<H> Handle<H> {
    pub(super) const fn new(key: Key) -> Self {
        Self {
            key,
            made: OnceLock::new(),
        }
    }

    /// Uses the handle at this recorder; whether it was made just now and kept.
    fn with(
        &self,
        recorder: &dyn Recorder,
        make: impl FnOnce(&dyn Recorder, &Key) -> H,
        then: impl FnOnce(&H),
    ) -> bool {
        let here = std::ptr::from_ref(recorder).addr();
        match self.made.get() {
            Some((there, handle)) if *there == here => {
                then(handle);
                return false;
            }
            _ => {}
        }
        let handle = make(recorder, &self.key);
        then(&handle);
        // A handle of the stand-in must not be kept, or the layer would stay silent for ever; one of a second recorder is not kept either.
        is_real(recorder) && self.made.set((here, handle)).is_ok()
    }
}

impl Handle<Counter> {
    pub(super) fn add(&self, recorder: &dyn Recorder, n: u64) -> bool {
        let make = |recorder: &dyn Recorder, key: &Key| recorder.register_counter(key, &METADATA);
        self.with(recorder, make, |counter| counter.increment(n))
    }
}

impl Remembered {
    pub(super) const fn new(key: Key) -> Self {
        Self {
            handle: Handle::new(key),
            value: AtomicU64::new(UNSET),
        }
    }

    pub(super) fn set(&self, value: f64) {
        self.value.store(value.to_bits(), Ordering::Relaxed);
        // This value, not the one remembered: another thread's, shown here, would stay after that thread has corrected itself.
        with_recorder(|recorder| self.show(recorder, value));
    }

    pub(super) fn flush(&self, recorder: &dyn Recorder) {
        let bits = self.value.load(Ordering::Relaxed);
        if bits != UNSET {
            self.show(recorder, f64::from_bits(bits));
        }
    }

    fn show(&self, recorder: &dyn Recorder, value: f64) {
        let make = |recorder: &dyn Recorder, key: &Key| recorder.register_gauge(key, &METADATA);
        self.handle.with(recorder, make, |gauge| gauge.set(value));
    }
}

/// Lets the function use the recorder that is installed, and survives a panic in there: a layer reports while it holds slots and in `drop`, where a panic would cost the slot, or abort.
pub(super) fn with_recorder<R>(function: impl FnOnce(&dyn Recorder) -> R) {
    metrics::with_recorder(|recorder| {
        // The stand-in does nothing, so it cannot panic; and calls without a recorder should not pay for one.
        if is_real(recorder) {
            let _ = catch_unwind(AssertUnwindSafe(|| function(recorder)));
        } else {
            function(recorder);
        }
    });
}

/// Whether it is a recorder at all, and not the one that stands in until one is installed.
///
/// That one has no size and lies somewhere in the program.
/// A recorder that is installed for good is boxed, and a box without a size lies nowhere: its address is its alignment.
/// So of all recorders only one without a size that is installed for a single thread is mistaken for none.
#[inline]
pub(super) fn is_real(recorder: &dyn Recorder) -> bool {
    size_of_val(recorder) > 0 || std::ptr::from_ref(recorder).addr() < LOWEST_ADDRESS
}

/// No platform puts anything into the first page.
const LOWEST_ADDRESS: usize = 4096;
