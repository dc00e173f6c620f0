//! How what belongs to a call travels with it: its [deadline](crate::deadline), its [class](crate::criticality).
//!
//! It is a value of the task, not of a thread: it follows the futures that are polled inside its scope, across await points and worker threads.
//! It does not follow what leaves the task: a future given to `tokio::spawn` starts without one.
//! Background work is meant to: it is not what the caller waits for.
//! Work that does belong to the call takes the value along, with `current` before and `scope` inside of the new task.

use std::cell::Cell;
use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::thread::LocalKey;

use pin_project_lite::pin_project;

/// A value that travels with a call.
pub trait Travels: Copy + fmt::Debug + 'static {
    /// What is there outside of all scopes.
    const NONE: Self;

    /// Whether it is [`NONE`](Self::NONE): a scope that changes nothing.
    fn is_none(self) -> bool;

    /// What counts in the scope of this value that is opened inside of another's.
    #[must_use]
    fn inside(self, outer: Self) -> Self;

    /// Where the value of what is polled on this thread now is kept; [`NONE`](Self::NONE) to begin with.
    ///
    /// Not a `task_local!` of tokio's, whose every look borrows and whose scopes are closures: each call looks here, and a closure around the inner call keeps its future from being made in its place.
    fn slot() -> &'static LocalKey<Cell<Self>>;
}

/// Opens the scope of a value on this thread until the result is dropped.
///
/// For a layer that polls: it must be dropped before the poll returns.
#[must_use = "the scope ends when this is dropped"]
#[inline(always)]
pub fn enter<V: Travels>(value: V) -> Entered<V> {
    Entered {
        before: (!value.is_none()).then(|| replace(value.inside(V::slot().get()))),
        _here: PhantomData,
    }
}

/// A scope that is open; see [`enter`].
// The bound is that of `Drop`.
#[derive(Debug)]
pub struct Entered<V: Travels> {
    /// What to go back to; `None` where nothing was changed.
    before: Option<V>,
    /// It belongs to its thread.
    _here: PhantomData<*const ()>,
}

impl<V: Travels> Entered<V> {
    fn around(value: V, detached: bool) -> Self {
        if detached {
            Self {
                before: Some(replace(V::NONE)),
                _here: PhantomData,
            }
        } else {
            enter(value)
        }
    }
}

impl<V: Travels> Drop for Entered<V> {
    #[inline(always)]
    fn drop(&mut self) {
        if let Some(before) = self.before {
            V::slot().set(before);
        }
    }
}

#[cold]
fn replace<V: Travels>(value: V) -> V {
    V::slot().replace(value)
}

pin_project! {
    /// A future inside of the scope of a value, or outside of all.
    #[must_use = "futures do nothing unless polled"]
    pub struct Scoped<V: Travels, F> {
        value: V,
        detached: bool,
        // `None` once it is over: what it held is dropped inside of the scope, as it ran inside of it.
        #[pin]
        future: Option<F>,
    }

    impl<V: Travels, F> PinnedDrop for Scoped<V, F> {
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            if this.future.is_some() {
                let _entered = Entered::around(*this.value, *this.detached);
                this.future.set(None);
            }
        }
    }
}

impl<V: Travels, F> Scoped<V, F> {
    /// Runs the future in the scope of the value.
    pub const fn new(value: V, future: F) -> Self {
        Self {
            value,
            detached: false,
            future: Some(future),
        }
    }

    /// Runs the future outside of all scopes.
    pub const fn detached(future: F) -> Self {
        Self {
            value: V::NONE,
            detached: true,
            future: Some(future),
        }
    }
}

impl<V: Travels, F: Future> Future for Scoped<V, F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let mut this = self.project();
        let _entered = Entered::around(*this.value, *this.detached);
        let future = this.future.as_mut().as_pin_mut();
        let polled = future.expect("polled after it was ready").poll(cx);
        if polled.is_ready() {
            this.future.set(None);
        }
        polled
    }
}

impl<V: Travels, F> fmt::Debug for Scoped<V, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scoped")
            .field("value", &self.value)
            .field("detached", &self.detached)
            .finish_non_exhaustive()
    }
}
