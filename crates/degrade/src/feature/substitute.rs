//! What is given in place of a feature's value.

use std::fmt;
use std::future::{Future, Ready, ready};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use pin_project_lite::pin_project;
use seaworthy_kit::{Clock, Moment};

use crate::Cause;

/// What is given in place of a feature's value.
pub trait Substitute<T> {
    /// Whether there may be anything to give.
    const GIVES: bool;

    /// Gives something, with the word for it; `None` if there is nothing after all.
    type Giving: Future<Output = Option<(T, &'static str)>>;

    /// Begins to give something; so much of the task's deadline is left for what comes after.
    fn give(self, cause: Cause, reserve: Duration) -> Self::Giving;

    /// How long that may take.
    fn needs(&self) -> Duration {
        Duration::ZERO
    }

    /// Shown each good value.
    fn keep(&self, value: &T) {
        let _ = value;
    }
}

/// Nothing: the feature is critical.
#[derive(Clone, Copy, Default, Debug)]
#[non_exhaustive]
pub struct Nothing;

/// A value.
#[derive(Clone, Copy, Debug)]
pub struct Value<T>(T);

/// A function of the cause.
#[derive(Clone, Copy)]
pub struct Function<F>(F);

/// The last good value, and where there is none something else.
#[derive(Clone)]
pub struct OrLast<T, S> {
    last: LastGood<T>,
    otherwise: S,
}

/// Keeps one value for a while: the last good one of a feature, or one that is [set](Self::set) now and then, as what is popular.
///
/// Clones are one and the same place.
/// While it is young, less than a tenth of what it may reach, good values are not kept in its place: it costs them a look at the clock and no lock.
pub struct LastGood<T>(Arc<Kept<T>>);

struct Kept<T> {
    clock: Clock,
    max_age: Duration,
    /// When the value came; zero while there is none.
    since: AtomicU64,
    value: Mutex<Option<(T, Moment)>>,
}

// ===== impl Substitute =====

impl Nothing {
    pub(super) const fn new() -> Self {
        Self
    }
}

impl<T> Substitute<T> for Nothing {
    const GIVES: bool = false;
    type Giving = Ready<Option<(T, &'static str)>>;

    fn give(self, _: Cause, _: Duration) -> Self::Giving {
        ready(None)
    }
}

impl<T> Value<T> {
    pub(super) const fn new(value: T) -> Self {
        Self(value)
    }
}

impl<T> Substitute<T> for Value<T> {
    const GIVES: bool = true;
    type Giving = Ready<Option<(T, &'static str)>>;

    fn give(self, _: Cause, _: Duration) -> Self::Giving {
        ready(Some((self.0, "value")))
    }
}

impl<F> Function<F> {
    pub(super) const fn new(function: F) -> Self {
        Self(function)
    }
}

impl<F, T> Substitute<T> for Function<F>
where
    F: FnOnce(Cause) -> T,
{
    const GIVES: bool = true;
    type Giving = Ready<Option<(T, &'static str)>>;

    fn give(self, cause: Cause, _: Duration) -> Self::Giving {
        ready(Some(((self.0)(cause), "function")))
    }
}

impl<F> fmt::Debug for Function<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Function")
    }
}

impl<T, S> OrLast<T, S> {
    pub(super) const fn new(last: LastGood<T>, otherwise: S) -> Self {
        Self { last, otherwise }
    }
}

impl<T: Clone, S: Substitute<T>> Substitute<T> for OrLast<T, S> {
    const GIVES: bool = true;
    type Giving = LastOr<T, S::Giving>;

    fn give(self, cause: Cause, reserve: Duration) -> Self::Giving {
        let last = self.last.get();
        let giving = match &last {
            None => Some(self.otherwise.give(cause, reserve)),
            Some(_) => None,
        };
        LastOr { last, giving }
    }

    fn needs(&self) -> Duration {
        self.otherwise.needs()
    }

    fn keep(&self, value: &T) {
        self.last.keep(value);
    }
}

impl<T, S> fmt::Debug for OrLast<T, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OrLast").finish_non_exhaustive()
    }
}

pin_project! {
    /// The last good value, or what is given where there is none.
    #[must_use = "futures do nothing unless polled"]
    pub struct LastOr<T, G> {
        last: Option<T>,
        // Where there is none.
        #[pin]
        giving: Option<G>,
    }
}

impl<T, G> Future for LastOr<T, G>
where
    G: Future<Output = Option<(T, &'static str)>>,
{
    type Output = G::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        match this.giving.as_pin_mut() {
            Some(giving) => giving.poll(cx),
            None => Poll::Ready(this.last.take().map(|value| (value, "last_good"))),
        }
    }
}

impl<T, G> fmt::Debug for LastOr<T, G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LastOr")
    }
}

// ===== impl LastGood =====

impl<T: Clone> LastGood<T> {
    /// A place for one value, which is given for so long; [`Duration::MAX`] is for ever.
    #[must_use]
    pub fn new(max_age: Duration) -> Self {
        Self::with_clock(max_age, Clock::tokio())
    }

    /// The same by another clock, for tests.
    #[must_use]
    pub fn with_clock(max_age: Duration, clock: Clock) -> Self {
        Self(Arc::new(Kept {
            clock,
            max_age,
            since: AtomicU64::new(0),
            value: Mutex::new(None),
        }))
    }

    /// The value, while it is not too old.
    #[must_use]
    pub fn get(&self) -> Option<T> {
        self.with_age().map(|(value, _)| value)
    }

    /// The value and how old it is, while it is not too old.
    #[must_use]
    pub fn with_age(&self) -> Option<(T, Duration)> {
        let now = self.0.clock.now();
        let kept = self.0.value.lock().unwrap_or_else(PoisonError::into_inner);
        let (value, since) = kept.as_ref()?;
        let age = now.since(*since);
        (age <= self.0.max_age).then(|| (value.clone(), age))
    }

    /// Puts a value there, in place of the one before.
    pub fn set(&self, value: T) {
        self.put(value, self.0.clock.now());
    }

    /// Keeps a good value, if the one that is there is no longer young.
    pub(crate) fn keep(&self, value: &T) {
        let now = self.0.clock.now();
        let since = Moment::from_nanos(self.0.since.load(Ordering::Relaxed));
        // By a clock that was set back it is not young either.
        let is_young =
            since != Moment::ORIGIN && since <= now && now.since(since) < self.0.max_age / YOUNG;
        if !is_young {
            self.put(value.clone(), now);
        }
    }

    fn put(&self, value: T, now: Moment) {
        let old = {
            let mut kept = self.0.value.lock().unwrap_or_else(PoisonError::into_inner);
            self.0.since.store(now.as_nanos().max(1), Ordering::Relaxed);
            kept.replace((value, now))
        };
        // Not under the lock: it is the user's.
        drop(old);
    }
}

impl<T> Clone for LastGood<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> fmt::Debug for LastGood<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LastGood")
            .field("max_age", &self.0.max_age)
            .finish_non_exhaustive()
    }
}

/// A value is young for this part of its time.
const YOUNG: u32 = 10;
