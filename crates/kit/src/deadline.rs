//! The deadline that travels: opened by an incoming call, seen by everything that runs inside it, passed on by outgoing calls.
//!
//! It is a value of the task, not of a thread: it follows the futures that are polled inside its scope, across await points and worker threads.
//! It does not follow what leaves the task: a future given to `tokio::spawn` starts without one.
//! Background work is meant to: it is not what the caller waits for.
//! Work that does belong to the call takes the deadline along, with [`current`] before and [`scope`] inside of the new task.

use std::future::Future;
use std::time::Duration;

pub use seaworthy_core::Deadline;

use crate::clock;

tokio::task_local! {
    static CURRENT: Deadline;
}

/// The deadline of the task that runs, where there is one.
#[must_use]
pub fn current() -> Option<Deadline> {
    let deadline = CURRENT.try_with(|deadline| *deadline).ok()?;
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
pub async fn scope<F: Future>(deadline: Deadline, future: F) -> F::Output {
    CURRENT.scope(tightened(deadline), future).await
}

/// Runs a function under a deadline, as [`scope`] runs a future.
pub fn sync_scope<R>(deadline: Deadline, function: impl FnOnce() -> R) -> R {
    CURRENT.sync_scope(tightened(deadline), function)
}

/// Runs a future outside of the current deadline: for work that must be finished although its caller has stopped waiting, such as giving back what was reserved.
///
/// Whoever drops the outer future still drops this one; work that must outlive its caller belongs into a task of its own.
///
/// # Cancel safety
/// As that of the future: nothing is kept outside of it.
pub async fn detach<F: Future>(future: F) -> F::Output {
    CURRENT.scope(Deadline::never(), future).await
}

fn tightened(deadline: Deadline) -> Deadline {
    match current() {
        Some(outer) => outer.tighten(deadline),
        None => deadline,
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

    #[test]
    fn plain_request_carries_nothing() {
        let plain = crate::Plain::new();
        assert_eq!(plain.time_given(&()), None);
        assert!(plain.give_time(&mut (), SECOND));
    }
}
