//! What is less than whole in the answer that is being made: gathered for the task, without anybody passing it around.

use std::cell::Cell;
use std::fmt;
use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

use crate::{Cause, watch};

/// What a caller may be told where something is missing.
pub const MESSAGE: &str = "Some features are temporarily unavailable.";

/// One feature that is less than whole, why, and what was given in its place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Degradation {
    /// The feature.
    pub feature: &'static str,
    /// Why.
    pub cause: Cause,
    /// What was given: `value`, `function`, `last_good`, `asked`, `service`.
    pub substitute: &'static str,
}

/// What is less than whole in one answer, each feature once, in the order in which it happened.
///
/// Clones are one and the same list.
/// Inside of a [`gather`], and so inside of a [`DegradedLayer`](crate::DegradedLayer), features enter themselves.
/// It follows the futures that are polled inside of it, across await points, joins and worker threads, and not what leaves the task: [`Degradations::scope`] takes it into a task that is spawned.
#[derive(Clone, Default)]
pub struct Degradations(Arc<Mutex<Vec<Degradation>>>);

/// What the present thread gathers for.
#[derive(Default)]
enum Slot {
    /// No answer.
    #[default]
    Outside,
    /// An answer; without a list while all of it is whole, so that such an answer allocates nothing.
    Inside(Option<Degradations>),
}

thread_local! {
    static HERE: Cell<Slot> = const { Cell::new(Slot::Outside) };
}

/// Notes that a feature of the present answer is less than whole; outside of all [scopes](gather) nobody asks, and nothing happens.
///
/// For what has no [`feature`](crate::feature()) around it: a handler that left something out.
pub fn note(feature: &'static str, cause: Cause, substitute: &'static str) {
    let degradation = Degradation {
        feature,
        cause,
        substitute,
    };
    watch::noted();
    if let Some(here) = Degradations::current() {
        here.push(degradation);
    }
}

/// The names of what is less than whole in the present answer, so far.
#[must_use]
pub fn names() -> Vec<&'static str> {
    peek().map_or_else(Vec::new, |here| here.names())
}

/// Runs a future and gathers what is less than whole in its answer: `None` where all is whole.
///
/// Inside of another one it is a part of that answer: what happens is gathered there.
///
/// ```
/// use seaworthy_degrade::{Cause, gather, note};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let (page, less) = gather(async {
///     note("reviews", Cause::Failed, "value");
///     "a page without reviews"
/// })
/// .await;
/// assert_eq!(less.expect("one feature").names(), ["reviews"]);
/// # }
/// ```
///
/// # Cancel safety
/// As that of the future: nothing is kept outside of it.
pub const fn gather<F: Future>(future: F) -> Gather<F> {
    Gather {
        scope: Scope {
            slot: Slot::Inside(None),
            is_guest: true,
            future: Some(future),
        },
    }
}

/// The same of a future that is made by a call: what the call notes itself is a part of the answer.
#[cfg(feature = "http")]
pub(crate) fn gather_call<F: Future>(call: impl FnOnce() -> F) -> Gather<F> {
    let mut slot = Slot::Inside(None);
    let entered = Entered::new(&mut slot, true);
    let future = call();
    drop(entered);
    Gather {
        scope: Scope {
            slot,
            is_guest: true,
            future: Some(future),
        },
    }
}

// ===== impl Degradations =====

impl Degradations {
    /// An empty list, for a scope of one's own.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The list of the present answer; `None` outside of all [scopes](gather).
    #[must_use]
    pub fn current() -> Option<Self> {
        HERE.with(|here| {
            let mut slot = here.take();
            let list = match &mut slot {
                Slot::Outside => None,
                Slot::Inside(list) => Some(list.get_or_insert_default().clone()),
            };
            here.set(slot);
            if list.is_some() {
                watch::taken();
            }
            list
        })
    }

    /// Runs a future as a part of this answer, whatever answer its task belongs to: how a task that is spawned takes part.
    ///
    /// ```
    /// use seaworthy_degrade::{Cause, Degradations, gather, names, note};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let (_, less) = gather(async {
    ///     let here = Degradations::current().expect("inside of `gather`");
    ///     let task = async { note("reviews", Cause::Failed, "value") };
    ///     tokio::spawn(here.scope(task)).await.unwrap();
    ///     assert_eq!(names(), ["reviews"]);
    /// })
    /// .await;
    /// # assert!(less.is_some());
    /// # }
    /// ```
    ///
    /// # Cancel safety
    /// As that of the future: nothing is kept outside of it.
    pub fn scope<F: Future>(&self, future: F) -> Scope<F> {
        Scope {
            slot: Slot::Inside(Some(self.clone())),
            is_guest: false,
            future: Some(future),
        }
    }

    /// Adds one, unless its feature is there already: the first cause is the one that counts.
    pub fn push(&self, degradation: Degradation) {
        let mut list = self.list();
        let is_new = list.iter().all(|it| it.feature != degradation.feature);
        if is_new && list.len() < MOST {
            list.push(degradation);
        }
    }

    /// All of them.
    #[must_use]
    pub fn to_vec(&self) -> Vec<Degradation> {
        self.list().clone()
    }

    /// The names of their features.
    #[must_use]
    pub fn names(&self) -> Vec<&'static str> {
        self.list().iter().map(|it| it.feature).collect()
    }

    /// Whether all is whole.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list().is_empty()
    }

    /// [`MESSAGE`] where something is less than whole.
    #[must_use]
    pub fn message(&self) -> Option<&'static str> {
        (!self.is_empty()).then_some(MESSAGE)
    }

    fn list(&self) -> MutexGuard<'_, Vec<Degradation>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Degradations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.list().iter()).finish()
    }
}

/// The list of the present answer, where there is one that is not empty.
fn peek() -> Option<Degradations> {
    HERE.with(|here| {
        let slot = here.take();
        let list = match &slot {
            Slot::Inside(list) => list.clone(),
            Slot::Outside => None,
        };
        here.set(slot);
        list.filter(|list| !list.is_empty())
    })
}

/// Whether the present answer is less than whole, so far.
pub(crate) fn is_less() -> bool {
    peek().is_some()
}

/// Whether an answer is being made in this task.
pub(crate) fn is_inside() -> bool {
    HERE.with(|here| {
        let slot = here.take();
        let is_inside = matches!(slot, Slot::Inside(_));
        here.set(slot);
        is_inside
    })
}

// ===== impl Scope =====

pin_project! {
    /// A future that is a part of an answer; see [`Degradations::scope`].
    #[must_use = "futures do nothing unless polled"]
    pub struct Scope<F> {
        // In here while the future is not polled, and on the thread while it is.
        slot: Slot,
        // Whether it joins the answer that is there already.
        is_guest: bool,
        // `None` once it is over: what it held is dropped inside of the scope, as it ran inside of it.
        #[pin]
        future: Option<F>,
    }

    impl<F> PinnedDrop for Scope<F> {
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            if this.future.is_some() {
                let _entered = Entered::new(this.slot, *this.is_guest);
                this.future.set(None);
            }
        }
    }
}

/// A slot that is on the thread until this is dropped, be it by a panic.
struct Entered<'a>(Option<&'a mut Slot>);

impl<'a> Entered<'a> {
    fn new(slot: &'a mut Slot, is_guest: bool) -> Self {
        if is_guest && is_inside() {
            return Self(None);
        }
        swap(slot);
        Self(Some(slot))
    }
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        if let Some(slot) = self.0.take() {
            swap(slot);
        }
    }
}

fn swap(slot: &mut Slot) {
    // Where the thread is going down there is nobody to gather for.
    let _ = HERE.try_with(|here| {
        let before = here.take();
        here.set(mem::replace(slot, before));
    });
}

impl<F: Future> Future for Scope<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let mut this = self.project();
        let _entered = Entered::new(this.slot, *this.is_guest);
        let future = this.future.as_mut().as_pin_mut();
        let polled = future.expect("polled after it was ready").poll(cx);
        if polled.is_ready() {
            this.future.set(None);
        }
        polled
    }
}

impl<F> fmt::Debug for Scope<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scope").finish_non_exhaustive()
    }
}

pin_project! {
    /// A future whose answer is watched; see [`gather`].
    #[must_use = "futures do nothing unless polled"]
    pub struct Gather<F> {
        #[pin]
        scope: Scope<F>,
    }
}

impl<F: Future> Future for Gather<F> {
    type Output = (F::Output, Option<Degradations>);

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut scope = self.project().scope;
        scope.as_mut().poll(cx).map(|output| {
            let mine = match mem::take(scope.project().slot) {
                Slot::Inside(list) => list.filter(|list| !list.is_empty()),
                Slot::Outside => None,
            };
            if let Some(mine) = &mine
                && let Some(around) = Degradations::current()
            {
                // Made outside of the answer that it has become a part of.
                mine.to_vec().into_iter().for_each(|it| around.push(it));
            }
            (output, peek().or(mine))
        })
    }
}

impl<F> fmt::Debug for Gather<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gather").finish_non_exhaustive()
    }
}

/// An answer has no more features than somebody wrote down; more are a loop gone wrong.
const MOST: usize = 64;
