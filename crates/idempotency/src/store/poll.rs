//! Waiting by asking again, for stores whose servers would tell only a client that keeps a session open.
//!
//! Being told costs every completion a message, a connection that listens, and a second look all the same, because a message is lost whenever that connection breaks.
//! Waiting is rare, a poll is a read of one record, and it needs nothing of the connection: it works behind proxies that hand out another one for each step.

use std::time::Duration;

use seaworthy_kit::clock;
use tokio::time::{sleep, timeout_at};

use super::StoreError;

/// How often the store is asked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Poll {
    /// Between the first two questions; then half as long again each time.
    pub(super) first: Duration,
    /// At last.
    pub(super) longest: Duration,
}

/// Asks how much of a lease is left, until none is, or the time is up.
///
/// # Cancel safety
/// Nothing is changed, so nothing is lost.
pub(super) async fn wait<F>(
    limit: Duration,
    poll: Poll,
    left: impl Fn() -> F,
) -> Result<(), StoreError>
where
    F: Future<Output = Result<Duration, StoreError>>,
{
    let until = clock::instant(clock::now() + limit);
    let asked = timeout_at(until, async {
        let mut pause = poll.first;
        loop {
            let left = left().await?;
            if left.is_zero() {
                return Ok(());
            }
            // Those who began to wait at the same moment do not ask at the same moment for ever.
            let pace = pause.mul_f64(0.75 + 0.5 * fastrand::f64());
            sleep(pace.min(left)).await;
            pause = (pause * 3 / 2).min(poll.longest);
        }
    });
    // That the time is up is an answer, also where the store still owes one.
    asked.await.unwrap_or(Ok(()))
}
