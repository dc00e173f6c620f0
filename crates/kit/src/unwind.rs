//! What a panic of foreign code must take with it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::Waker;

/// Wakes each of them, also where one of them panics: the next one has something that nobody else will tell it of, and this may be a `drop`, where a panic would abort.
///
/// Collect them under a lock, and wake them when it is free again: what a waker runs is foreign code.
pub fn wake_all(wakers: Vec<Waker>) {
    for waker in wakers {
        let _ = catch_unwind(AssertUnwindSafe(|| waker.wake()));
    }
}

/// Empties a place if it is dropped before it was disarmed, which only a panic can bring about.
///
/// A guard that lies in a future is dropped during the unwinding only if the whole future is; a layer further out that catches panics keeps the future, and the guard would later say "abandoned" of a call that failed.
/// It stays in its place all the same: moving it out and back for every poll costs more than the call.
#[derive(Debug)]
pub struct DropOnPanic<'a, T>(Option<&'a mut Option<T>>);

impl<'a, T> DropOnPanic<'a, T> {
    /// Watches the place while foreign code runs.
    #[inline]
    pub const fn new(place: &'a mut Option<T>) -> Self {
        Self(Some(place))
    }

    /// Gives the place back: the foreign code has returned.
    ///
    /// # Panics
    /// If it was called before.
    #[inline]
    pub const fn disarm(&mut self) -> &'a mut Option<T> {
        self.0.take().expect("disarmed once")
    }
}

impl<T> Drop for DropOnPanic<'_, T> {
    fn drop(&mut self) {
        if let Some(place) = self.0.take() {
            *place = None;
        }
    }
}
