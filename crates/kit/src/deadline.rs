//! The deadline that travels: opened by an incoming call, seen by everything that runs inside it, passed on by outgoing calls.
//!
//! How it follows a call, and where it does not, is told in [`travel`].

use std::cell::Cell;
use std::future::Future;
use std::thread::LocalKey;
use std::time::Duration;

pub use seaworthy_core::Deadline;

use crate::clock;
use crate::travel::{self, Travels};

thread_local! {
    /// The deadline of what is polled on this thread now; [`Deadline::NEVER`] is none.
    static CURRENT: Cell<Deadline> = const { Cell::new(Deadline::NEVER) };
}

/// A future under a deadline, or outside of all; see [`scope`] and [`detach`].
pub type Scoped<F> = travel::Scoped<Deadline, F>;

/// A scope that is open; see [`enter`].
pub type Entered = travel::Entered<Deadline>;

/// Inside of another deadline the earlier one counts.
impl Travels for Deadline {
    const NONE: Self = Self::NEVER;

    #[inline(always)]
    fn is_none(self) -> bool {
        self.is_never()
    }

    #[inline(always)]
    fn inside(self, outer: Self) -> Self {
        outer.tighten(self)
    }

    #[inline(always)]
    fn slot() -> &'static LocalKey<Cell<Self>> {
        &CURRENT
    }
}

/// The deadline of the task that runs, where there is one.
#[must_use]
#[inline]
pub fn current() -> Option<Deadline> {
    let deadline = CURRENT.get();
    (!deadline.is_never()).then_some(deadline)
}

/// What is left of the current deadline; `None` if there is no deadline, zero if it has passed.
///
/// Reads the clock only if there is a deadline.
#[must_use]
pub fn remaining() -> Option<Duration> {
    let deadline = current()?;
    Some(deadline.remaining(clock::now()).unwrap_or(Duration::ZERO))
}

/// Runs a future under a deadline; inside of another deadline the earlier one counts.
///
/// The deadline is only told, not enforced: the timeout layers do that.
///
/// # Cancel safety
/// As that of the future: nothing is kept outside of it.
pub fn scope<F: Future>(deadline: Deadline, future: F) -> Scoped<F> {
    Scoped::new(deadline, future)
}

/// Runs a function under a deadline, as [`scope`] runs a future.
pub fn sync_scope<R>(deadline: Deadline, function: impl FnOnce() -> R) -> R {
    let _entered = enter(deadline);
    function()
}

/// Runs a future outside of the current deadline: for work that must be finished although its caller has stopped waiting, such as giving back what was reserved.
///
/// Whoever drops the outer future still drops this one; work that must outlive its caller belongs into a task of its own.
///
/// # Cancel safety
/// As that of the future: nothing is kept outside of it.
pub fn detach<F: Future>(future: F) -> Scoped<F> {
    Scoped::detached(future)
}

/// Opens the scope of a deadline on this thread until the value is dropped; inside of another deadline the earlier one counts.
///
/// For a layer that polls: it must be dropped before the poll returns. Everybody else uses [`scope`] or [`sync_scope`].
#[must_use = "the scope ends when this is dropped"]
#[inline(always)]
pub fn enter(deadline: Deadline) -> Entered {
    travel::enter(deadline)
}

/// How a deadline gets into and out of a request.
///
/// Durations travel, never points in time: the clocks of two hosts need not agree.
pub trait Carry<Req> {
    /// How long the caller is going to wait for the answer to this request, where it says so.
    fn time_given(&self, request: &Req) -> Option<Duration>;

    /// Tells the callee how long the answer is waited for; `false`, with the request unchanged, if so little cannot be told.
    #[must_use = "a call without time left should fail here rather than be sent"]
    fn give_time(&self, request: &mut Req, left: Duration) -> bool;
}

/// A plain request carries no deadline on the wire; the task's own is all there is.
impl<Req, C> Carry<Req> for crate::Plain<C> {
    fn time_given(&self, _: &Req) -> Option<Duration> {
        None
    }

    fn give_time(&self, _: &mut Req, _: Duration) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn in_seconds(seconds: u32) -> Deadline {
        Deadline::after(clock::now(), SECOND * seconds)
    }

    #[tokio::test(start_paused = true)]
    async fn deadline_is_seen_inside_of_its_scope_only() {
        let deadline = in_seconds(3);
        assert_eq!(current(), None);
        assert_eq!(remaining(), None);
        scope(deadline, async {
            assert_eq!(current(), Some(deadline));
            advance(SECOND).await;
            assert_eq!(remaining(), Some(2 * SECOND));
        })
        .await;
        assert_eq!(current(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn inner_scope_tightens_and_never_extends() {
        let (near, far) = (in_seconds(1), in_seconds(9));
        scope(near, async {
            scope(far, async { assert_eq!(current(), Some(near)) }).await;
            assert_eq!(sync_scope(far, current), Some(near));
        })
        .await;
        scope(far, async {
            assert_eq!(sync_scope(near, current), Some(near));
            assert_eq!(current(), Some(far));
        })
        .await;
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_left_of_a_deadline_that_has_passed() {
        scope(in_seconds(1), async {
            advance(2 * SECOND).await;
            assert_eq!(remaining(), Some(Duration::ZERO));
        })
        .await;
    }

    #[tokio::test(start_paused = true)]
    async fn no_deadline_opens_no_scope() {
        assert_eq!(sync_scope(Deadline::never(), current), None);
    }

    #[tokio::test(start_paused = true)]
    async fn detached_work_has_no_deadline_and_leaves_the_outer_one_alone() {
        let deadline = in_seconds(1);
        scope(deadline, async {
            detach(async { assert_eq!(current(), None) }).await;
            assert_eq!(current(), Some(deadline));
        })
        .await;
    }

    #[tokio::test(start_paused = true)]
    async fn spawned_task_starts_without_a_deadline_and_may_take_one_along() {
        let deadline = in_seconds(1);
        scope(deadline, async {
            let bare = tokio::spawn(async { current() });
            assert_eq!(bare.await.unwrap(), None);
            let taken = current().expect("inside of a scope");
            let carried = tokio::spawn(scope(taken, async { current() }));
            assert_eq!(carried.await.unwrap(), Some(deadline));
        })
        .await;
    }

    #[test]
    fn panic_in_a_scope_does_not_leave_its_deadline_behind() {
        let result = std::panic::catch_unwind(|| {
            sync_scope(in_seconds(1), || panic!("as an inner service might"));
        });
        assert!(result.is_err());
        assert_eq!(current(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn future_is_dropped_inside_of_its_scope() {
        struct Seen(std::sync::mpsc::Sender<Option<Deadline>>);
        impl Drop for Seen {
            fn drop(&mut self) {
                self.0.send(current()).unwrap();
            }
        }
        let deadline = in_seconds(1);
        let (sender, seen) = std::sync::mpsc::channel();
        let last = Seen(sender.clone());
        let held = async move {
            let _last = last;
            std::future::pending::<()>().await;
        };
        drop(tokio_test::task::spawn(scope(deadline, held)));
        assert_eq!(seen.recv().unwrap(), Some(deadline));
        let last = Seen(sender);
        scope(deadline, async move { drop(last) }).await;
        assert_eq!(seen.recv().unwrap(), Some(deadline));
        assert_eq!(current(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn entered_scope_ends_where_it_is_dropped() {
        let (near, far) = (in_seconds(1), in_seconds(9));
        let outer = enter(far);
        let inner = enter(near);
        assert_eq!(current(), Some(near));
        drop(inner);
        assert_eq!(current(), Some(far));
        let none = enter(Deadline::NEVER);
        assert_eq!(current(), Some(far));
        drop(none);
        drop(outer);
        assert_eq!(current(), None);
    }

    #[test]
    fn plain_request_carries_nothing() {
        let plain = crate::Plain::new();
        assert_eq!(plain.time_given(&()), None);
        assert!(plain.give_time(&mut (), SECOND));
    }
}
