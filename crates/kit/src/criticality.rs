//! The class that travels: told by an incoming call, seen by everything that runs inside it, passed on by outgoing calls.
//!
//! A service that is overloaded three calls further down must give way by the importance of what the user asked for, not by that of its nearest caller; so the class is set once, at the first call, and carried.
//! How it follows a call, and where it does not, is told in [`travel`].
//! What is spawned starts without a class, and so counts as [`Criticality::Critical`]: background work that matters less says so with [`scope`].

use std::cell::Cell;
use std::future::Future;
use std::thread::LocalKey;

pub use seaworthy_core::Criticality;

use crate::travel::{self, Travels};

thread_local! {
    /// The class of what is polled on this thread now.
    static CURRENT: Cell<Option<Criticality>> = const { Cell::new(None) };
}

/// A future of a class; see [`scope`].
pub type Scoped<F> = travel::Scoped<Option<Criticality>, F>;

/// A scope that is open; see [`enter`].
pub type Entered = travel::Entered<Option<Criticality>>;

/// Inside of another class the inner one counts, be it lower or higher: it is said by who knows more about this work.
/// Callers, who might say anything, are judged before their word becomes a scope.
impl Travels for Option<Criticality> {
    const NONE: Self = None;

    #[inline(always)]
    fn is_none(self) -> bool {
        Self::is_none(&self)
    }

    #[inline(always)]
    fn inside(self, outer: Self) -> Self {
        self.or(outer)
    }

    #[inline(always)]
    fn slot() -> &'static LocalKey<Cell<Self>> {
        &CURRENT
    }
}

/// The class of the task that runs, where anybody said something about it; who needs a class in any case takes the [default](Criticality::default) then.
#[must_use]
#[inline]
pub fn current() -> Option<Criticality> {
    CURRENT.get()
}

/// Runs a future as work of a class; inside of another class this one counts.
///
/// ```
/// use seaworthy_kit::Criticality;
/// use seaworthy_kit::criticality::{current, scope};
///
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// // Nobody waits for the prefetched page.
/// scope(Criticality::Sheddable, async {
///     assert_eq!(current(), Some(Criticality::Sheddable));
/// })
/// .await;
/// # });
/// ```
///
/// # Cancel safety
/// As that of the future: nothing is kept outside of it.
pub fn scope<F: Future>(class: Criticality, future: F) -> Scoped<F> {
    Scoped::new(Some(class), future)
}

/// Runs a function as work of a class, as [`scope`] runs a future.
pub fn sync_scope<R>(class: Criticality, function: impl FnOnce() -> R) -> R {
    let _entered = enter(Some(class));
    function()
}

/// Opens the scope of a class on this thread until the value is dropped; `None` changes nothing.
///
/// For a layer that polls: it must be dropped before the poll returns. Everybody else uses [`scope`] or [`sync_scope`].
#[must_use = "the scope ends when this is dropped"]
#[inline(always)]
pub fn enter(class: Option<Criticality>) -> Entered {
    travel::enter(class)
}

/// How a class gets into and out of a request.
pub trait Carry<Req> {
    /// What our own code says about this request, in its extensions: layers further out, or who made it.
    fn class_noted(&self, request: &Req) -> Option<Criticality>;

    /// Notes the class in the request's extensions: for code that looks at the request outside of the task's scope, as behind a queue that hands requests to a worker.
    fn note_class(&self, request: &mut Req, class: Criticality);

    /// What the caller says about this request, on the wire.
    fn class_given(&self, request: &Req) -> Option<Criticality>;

    /// Tells the callee the class of this request, on the wire, in place of all that it said before.
    fn give_class(&self, request: &mut Req, class: Criticality);
}

/// A plain request carries no class; the task's own is all there is.
impl<Req, C> Carry<Req> for crate::Plain<C> {
    fn class_noted(&self, _: &Req) -> Option<Criticality> {
        None
    }

    fn note_class(&self, _: &mut Req, _: Criticality) {}

    fn class_given(&self, _: &Req) -> Option<Criticality> {
        None
    }

    fn give_class(&self, _: &mut Req, _: Criticality) {}
}

#[cfg(test)]
mod tests {
    use super::Criticality::{CriticalPlus, Sheddable, SheddablePlus};
    use super::*;

    #[tokio::test]
    async fn class_is_seen_inside_of_its_scope_only() {
        assert_eq!(current(), None);
        scope(Sheddable, async {
            assert_eq!(current(), Some(Sheddable));
            tokio::task::yield_now().await;
            assert_eq!(current(), Some(Sheddable));
        })
        .await;
        assert_eq!(current(), None);
    }

    #[tokio::test]
    async fn innermost_class_counts_be_it_lower_or_higher() {
        scope(SheddablePlus, async {
            scope(CriticalPlus, async {
                assert_eq!(current(), Some(CriticalPlus));
            })
            .await;
            assert_eq!(sync_scope(Sheddable, current), Some(Sheddable));
            assert_eq!(current(), Some(SheddablePlus));
        })
        .await;
    }

    #[test]
    fn no_class_opens_no_scope() {
        let outer = enter(Some(Sheddable));
        let none = enter(None);
        assert_eq!(current(), Some(Sheddable));
        drop(none);
        assert_eq!(current(), Some(Sheddable));
        drop(outer);
        assert_eq!(current(), None);
    }

    #[tokio::test]
    async fn class_and_deadline_travel_side_by_side() {
        use crate::deadline::{self, Deadline};
        let deadline = Deadline::at(crate::Moment::from_nanos(7));
        scope(Sheddable, async {
            deadline::scope(deadline, async {
                assert_eq!(current(), Some(Sheddable));
                assert_eq!(deadline::current(), Some(deadline));
            })
            .await;
            assert_eq!(deadline::current(), None);
        })
        .await;
    }

    #[tokio::test]
    async fn spawned_task_starts_without_a_class_and_may_take_one_along() {
        scope(Sheddable, async {
            assert_eq!(tokio::spawn(async { current() }).await.unwrap(), None);
            let taken = current().expect("inside of a scope");
            let carried = tokio::spawn(scope(taken, async { current() }));
            assert_eq!(carried.await.unwrap(), Some(Sheddable));
        })
        .await;
    }

    #[test]
    fn panic_in_a_scope_does_not_leave_its_class_behind() {
        let result = std::panic::catch_unwind(|| {
            sync_scope(Sheddable, || panic!("as an inner service might"));
        });
        assert!(result.is_err());
        assert_eq!(current(), None);
    }

    #[test]
    fn plain_request_carries_nothing() {
        let plain = crate::Plain::new();
        plain.note_class(&mut (), Sheddable);
        plain.give_class(&mut (), Sheddable);
        assert_eq!(plain.class_noted(&()), None);
        assert_eq!(plain.class_given(&()), None);
    }
}
