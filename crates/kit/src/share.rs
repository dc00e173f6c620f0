//! State that all clones of a service share, held by each call without a write that other threads see.
//!
//! A call in flight must keep its layer's state alive, and an `Arc` clone for that is a write to a counter that every thread shares: it made a call of 4 ns cost 28 ns with two threads.
//! So each long-lived clone of a service owns a counter of its own, a `Local`, which the calls made through that clone count on.
//! A fresh clone begins on the counter of the clone it came from and makes its own on its second call: a clone for a single call, as axum makes them, allocates nothing.
//!
//! The counters double as the record of what is in flight, which is what [`Share::drain`] waits for.
//! NOTE: `tests/loom_share.rs` has the same steps written out, for loom.

use std::fmt;
use std::future::Future;
use std::ops::Deref;
use std::sync::atomic::{AtomicUsize, Ordering, fence};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::Notify;

use crate::control::Control;

/// One clone's view of state that all clones share.
pub struct Share<T> {
    anchor: Arc<Anchor<T>>,
    calls: Calls,
}

/// What a clone has done so far, which decides whose counter its next call uses.
#[derive(Clone, Copy)]
enum Calls {
    None,
    One,
    /// The counter is this clone's own.
    Own,
}

/// Keeps one call's state alive; dropped when the call is over.
pub struct Held<T> {
    local: Arc<Local<T>>,
    // After the counter, which drops first.
    _end: End,
}

/// The end of a call: dropped once the call is no longer counted, it wakes the drains that wait.
struct End;

/// What the clones of a service hold: one count on a [`Local`], so that whatever else counts there is a call.
struct Anchor<T> {
    held: Held<T>,
    /// As the counter has it: one step less on the way to what every call looks at.
    core: Arc<Core<T>>,
}

/// The counter of one clone, which is the `Arc`'s own.
///
/// On a cache line of its own: the counters of two clones that were made one after the other would lie on one line, and their threads would share it after all.
#[repr(align(64))]
struct Local<T> {
    core: Arc<Core<T>>,
}

struct Core<T> {
    value: T,
    control: Control,
    locals: Mutex<Vec<Entry<T>>>,
}

struct Entry<T> {
    anchor: Weak<Anchor<T>>,
    local: Weak<Local<T>>,
}

/// How many drains wait in this process; read at the end of every call, written only when a drain begins or ends.
static DRAINS: AtomicUsize = AtomicUsize::new(0);

/// Wakes the drains that wait.
static ENDED: Notify = Notify::const_new();

// ===== impl Share =====

impl<T> Share<T> {
    /// Shares the value between this and all its clones.
    pub fn new(value: T) -> Self {
        let core = Arc::new(Core {
            value,
            control: Control::new(),
            locals: Mutex::new(Vec::new()),
        });
        Self {
            anchor: Core::anchor(&core),
            calls: Calls::None,
        }
    }

    /// What controls the layer at run time: drain and enforcement.
    #[must_use]
    #[inline]
    pub fn control(&self) -> &Control {
        &self.core().control
    }

    /// Holds the state for one call of this clone.
    #[inline]
    pub fn hold(&mut self) -> Held<T> {
        self.hold_and_look().0
    }

    /// The same, with a way to the state that is known before the call is counted: the counter is written, and whatever is looked up behind it has to wait for that.
    #[doc(hidden)]
    #[inline(always)]
    pub fn hold_and_look(&mut self) -> (Held<T>, &Control, &T) {
        if !matches!(self.calls, Calls::Own) {
            self.settle_in();
        }
        let core = self.core();
        (self.hold_shared(), &core.control, &core.value)
    }

    /// The first two calls of a clone.
    fn settle_in(&mut self) {
        match self.calls {
            Calls::None => self.calls = Calls::One,
            Calls::One => self.own(),
            Calls::Own => {}
        }
    }

    #[cold]
    fn own(&mut self) {
        self.anchor = Core::anchor(&self.anchor.core);
        self.calls = Calls::Own;
    }

    /// Holds the state for one call on the counter that is there: for callers that have no clone of their own to remember calls in.
    #[must_use]
    #[inline]
    pub fn hold_shared(&self) -> Held<T> {
        self.anchor.held.again()
    }

    /// How many calls hold the state now.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.core().in_flight()
    }

    /// Whether both share one state.
    #[must_use]
    pub fn same(&self, other: &Self) -> bool {
        std::ptr::eq(self.core(), other.core())
    }

    #[inline]
    fn core(&self) -> &Core<T> {
        &self.anchor.core
    }
}

impl<T: Send + Sync + 'static> Share<T> {
    /// Refuses new calls from now on, and is ready when those that run have ended.
    ///
    /// # Cancel safety
    /// Dropping the future stops the wait; new calls stay refused until [`Control::resume`].
    pub fn drain(&self) -> impl Future<Output = ()> + Send + 'static + use<T> {
        // The order of these two lines and the `Release` in `in_flight` are what `Held` relies on.
        let drain = Drain::begin();
        self.control().start_drain();
        let core = self.anchor.core.clone();
        async move {
            let _drain = drain;
            loop {
                let mut ended = std::pin::pin!(ENDED.notified());
                // Registered before the count, so that a call that ends in between is not missed.
                ended.as_mut().enable();
                if core.in_flight() == 0 {
                    // What those calls did is seen by whoever waited for them: the counts are read without that.
                    fence(Ordering::Acquire);
                    return;
                }
                ended.await;
            }
        }
    }
}

/// A clone has made no call yet: it starts on the counter of the clone it came from, and allocates nothing.
impl<T> Clone for Share<T> {
    fn clone(&self) -> Self {
        Self {
            anchor: self.anchor.clone(),
            calls: Calls::None,
        }
    }
}

impl<T> Deref for Share<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.core().value
    }
}

impl<T: fmt::Debug> fmt::Debug for Share<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Share").field(&**self).finish()
    }
}

// ===== impl Held =====

impl<T> Held<T> {
    #[inline(always)]
    const fn new(local: Arc<Local<T>>) -> Self {
        Self { local, _end: End }
    }

    /// Lets go, in line; dropping does the same.
    #[doc(hidden)]
    #[inline(always)]
    pub fn release(self) {
        let Self { local, _end } = self;
        drop(local);
    }

    /// The same state for one more call.
    #[must_use]
    #[inline]
    pub fn again(&self) -> Self {
        let held = Self::new(self.local.clone());
        // Pairs with the `Release` in `Core::in_flight`: either that count sees this call, or this call sees the drain.
        fence(Ordering::Acquire);
        held
    }

    /// What controls the layer at run time.
    #[must_use]
    #[inline]
    pub fn control(&self) -> &Control {
        &self.local.core.control
    }
}

impl<T> Deref for Held<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.local.core.value
    }
}

impl Drop for End {
    #[inline(always)]
    fn drop(&mut self) {
        // Pairs with the `Release` in `Core::in_flight`: either that count misses this call, or this call sees that a drain waits.
        fence(Ordering::Acquire);
        if DRAINS.load(Ordering::Relaxed) != 0 {
            wake_drains();
        }
    }
}

#[cold]
fn wake_drains() {
    ENDED.notify_waiters();
}

impl<T: fmt::Debug> fmt::Debug for Held<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Held").field(&**self).finish()
    }
}

// ===== impl Core =====

impl<T> Core<T> {
    fn anchor(core: &Arc<Self>) -> Arc<Anchor<T>> {
        let local = Arc::new(Local { core: core.clone() });
        let weak = Arc::downgrade(&local);
        let anchor = Arc::new(Anchor {
            held: Held::new(local),
            core: core.clone(),
        });
        let mut locals = core.locals.lock().unwrap_or_else(PoisonError::into_inner);
        if locals.len() == locals.capacity() {
            locals.retain(|entry| entry.local.strong_count() > 0);
            // As much room again as is taken makes the sweep amortised O(1), also where for each clone that is dropped another is made.
            let room = locals.len() + 1;
            locals.reserve(room);
        }
        locals.push(Entry {
            anchor: Arc::downgrade(&anchor),
            local: weak,
        });
        anchor
    }

    fn in_flight(&self) -> usize {
        let locals = self.locals.lock().unwrap_or_else(PoisonError::into_inner);
        locals.iter().map(Entry::in_flight).sum()
    }
}

impl<T> Entry<T> {
    fn in_flight(&self) -> usize {
        // Dropping a clone is a `Release` write to the very counter that calls write to when they begin and end.
        // A call that begins after it sees everything before it, above all the drain; one that began before it is in the count below.
        drop(self.local.upgrade());
        match self.anchor.upgrade() {
            Some(anchor) => Arc::strong_count(&anchor.held.local) - 1,
            None => self.local.strong_count(),
        }
    }
}

// ===== impl Drain =====

/// One drain that waits.
struct Drain;

impl Drain {
    fn begin() -> Self {
        DRAINS.fetch_add(1, Ordering::Relaxed);
        Self
    }
}

impl Drop for Drain {
    fn drop(&mut self) {
        DRAINS.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;
