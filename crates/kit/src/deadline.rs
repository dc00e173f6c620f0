//! The deadline that travels: opened by an incoming call, seen by everything that runs inside it, passed on by outgoing calls.
//!
//! It is a value of the task, not of a thread: it follows the futures that are polled inside its scope, across await points and worker threads.
//! It does not follow what leaves the task: a future given to `tokio::spawn` starts without one.
//! Background work is meant to: it is not what the caller waits for.
//! Work that does belong to the call takes the deadline along, with [`current`] before and [`scope`] inside of the new task.

use std::cell::Cell;
use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use pin_project_lite::pin_project;

pub use seaworthy_core::Deadline;

use crate::clock;

thread_local! {
    /// The deadline of what is polled on this thread now; [`Deadline::NEVER`] is none.
    ///
    /// Not a `task_local!` of tokio's, whose every look borrows and whose scopes are closures: each call looks here, and a closure around the inner call keeps its future from being made in its place.
    static CURRENT: Cell<Deadline> = const { Cell::new(Deadline::NEVER) };
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
    Scoped::new(deadline, false, future)
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
    Scoped::new(Deadline::NEVER, true, future)
}

/// Opens the scope of a deadline on this thread until the value is dropped; inside of another deadline the earlier one counts.
///
/// For a layer that polls: it must be dropped before the poll returns. Everybody else uses [`scope`] or [`sync_scope`].
#[must_use = "the scope ends when this is dropped"]
#[inline(always)]
pub fn enter(deadline: Deadline) -> Entered {
    Entered {
        before: (!deadline.is_never()).then(|| replace(CURRENT.get().tighten(deadline))),
        _here: PhantomData,
    }
}

/// A scope that is open; see [`enter`].
#[derive(Debug)]
pub struct Entered {
    /// What to go back to; `None` where nothing was changed.
    before: Option<Deadline>,
    /// It belongs to its thread.
    _here: PhantomData<*const ()>,
}

impl Drop for Entered {
    #[inline(always)]
    fn drop(&mut self) {
        if let Some(before) = self.before {
            CURRENT.set(before);
        }
    }
}

#[cold]
fn replace(deadline: Deadline) -> Deadline {
    CURRENT.replace(deadline)
}

pin_project! {
    /// A future under a deadline, or outside of all; see [`scope`] and [`detach`].
    #[must_use = "futures do nothing unless polled"]
    pub struct Scoped<F> {
        deadline: Deadline,
        detached: bool,
        // `None` once it is over: what it held is dropped inside of the scope, as it ran inside of it.
        #[pin]
        future: Option<F>,
    }

    impl<F> PinnedDrop for Scoped<F> {
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            if this.future.is_some() {
                let _entered = Entered::around(*this.deadline, *this.detached);
                this.future.set(None);
            }
        }
    }
}

impl<F> Scoped<F> {
    const fn new(deadline: Deadline, detached: bool, future: F) -> Self {
        Self {
            deadline,
            detached,
            future: Some(future),
        }
    }
}

impl Entered {
    fn around(deadline: Deadline, detached: bool) -> Self {
        if detached {
            Self {
                before: Some(replace(Deadline::NEVER)),
                _here: PhantomData,
            }
        } else {
            enter(deadline)
        }
    }
}

impl<F: Future> Future for Scoped<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let mut this = self.project();
        let _entered = Entered::around(*this.deadline, *this.detached);
        let future = this.future.as_mut().as_pin_mut();
        let polled = future.expect("polled after it was ready").poll(cx);
        if polled.is_ready() {
            this.future.set(None);
        }
        polled
    }
}

impl<F> fmt::Debug for Scoped<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scoped")
            .field("deadline", &self.deadline)
            .field("detached", &self.detached)
            .finish_non_exhaustive()
    }
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
