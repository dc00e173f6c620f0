//! The wait of a call for the word of the server, and for its turn.

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use seaworthy_kit::{Event, Gate, Held, Moment, Refusal, RejectionKind, deadline};
use tokio::time::timeout;

use super::decision::{Refused, Why};
use super::gate::{SharedGate, SharedSpent};
use super::line::Line;

/// The wait of one call for the server's word, and where the layer has a queue for its turn.
///
/// Dropped, it has given back what the server says.
#[must_use = "futures do nothing unless polled"]
pub struct SharedWait(Pin<Box<dyn Future<Output = Result<SharedSpent, Refusal>> + Send>>);

/// A call that stands in the line, as told to those who listen.
struct Standing<'a> {
    held: &'a Held<SharedGate>,
    since: Moment,
    admitted: bool,
}

impl SharedWait {
    /// The wait of a call; of one that is refused already, for its turn alone.
    pub(super) fn new(held: Held<SharedGate>, cost: u64, refused: Option<Refused>) -> Self {
        Self(Box::pin(async move {
            let wait = turn(&held, cost, refused);
            match deadline::remaining() {
                None => wait.await,
                // The caller's time is over: there is no point in coming back with this call.
                Some(left) => (timeout(left, wait).await).unwrap_or(Err(TOO_LATE)),
            }
        }))
    }
}

/// Asks the server, unless others wait or it has refused already, and waits then for the turn.
async fn turn(
    held: &Held<SharedGate>,
    cost: u64,
    mut refused: Option<Refused>,
) -> Result<SharedSpent, Refusal> {
    let (limit, account) = (held.limit(), &held.account);
    let Some(line) = SharedGate::line(held) else {
        return held.decided(limit.ask(account, cost, None).await);
    };
    let since = line.now();
    let left = deadline::remaining().filter(|left| *left <= line.max_wait);
    let until = since + left.unwrap_or(line.max_wait);
    let arrival = line.arrive();
    if refused.is_none() && line.waiting() == 0 {
        match limit.ask(account, cost, Some(line)).await {
            Err(spent) if spent.why() == Why::Spent => refused = Some(spent),
            decided => return held.decided(decided),
        }
    }
    let told = refused
        .as_ref()
        .and_then(|refused| refused.stand().cloned());
    let place = match line.join(arrival, cost, until, told) {
        Ok(place) => place,
        Err(turn) => {
            let wait = refused.as_ref().and_then(Refused::retry_after).max(turn);
            if let Some(refused) = refused {
                let _ = held.decided(Err(refused));
            }
            return Err(Refusal::new(RejectionKind::RateLimited, wait));
        }
    };
    let mut standing = Standing::new(held, line, since);
    let turn = timeout(until.since(line.now()), poll_fn(|cx| place.poll(cx))).await;
    match turn {
        Ok(Some(decided)) => {
            standing.admitted = decided.is_ok();
            held.decided(decided)
        }
        _ if left.is_some() && line.now() >= until => Err(TOO_LATE),
        _ => {
            let wait = line.turn(arrival.number, cost);
            Err(Refusal::new(RejectionKind::RateLimited, wait))
        }
    }
}

impl<'a> Standing<'a> {
    fn new(held: &'a Held<SharedGate>, line: &Arc<Line>, since: Moment) -> Self {
        let waiting = line.waiting();
        held.telemetry().report(&Event::Queued { waiting });
        Self {
            held,
            since,
            admitted: false,
        }
    }
}

impl Drop for Standing<'_> {
    fn drop(&mut self) {
        let now = self.held.limit().inner.clock.now();
        let waited = now.since(self.since);
        let admitted = self.admitted;
        let event = Event::Dequeued { waited, admitted };
        self.held.telemetry().report(&event);
    }
}

impl Future for SharedWait {
    type Output = Result<SharedSpent, Refusal>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(cx)
    }
}

impl fmt::Debug for SharedWait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SharedWait")
    }
}

const TOO_LATE: Refusal = Refusal::new(RejectionKind::DeadlineExceeded, None);
