//! A limit to how long something is waited for.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::{Poll, ready};
use std::time::Duration;

use tokio::time::{Sleep, sleep};

/// What the future comes to within that time; `None` where it takes longer.
///
/// It is polled before the timer, which exists only if there is something to wait for: most of what is limited here is there at once.
pub(crate) async fn limited<T>(limit: Duration, future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    let mut timer = pin!(None::<Sleep>);
    poll_fn(|cx| {
        if let Poll::Ready(done) = future.as_mut().poll(cx) {
            return Poll::Ready(Some(done));
        }
        if timer.is_none() {
            timer.set(Some(sleep(limit)));
        }
        let timer = timer.as_mut().as_pin_mut().expect("set above");
        ready!(timer.poll(cx));
        Poll::Ready(None)
    })
    .await
}
