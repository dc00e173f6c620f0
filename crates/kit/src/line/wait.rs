//! The wait for a slot: a place in the line that gives itself up when it is dropped.

use std::fmt;
use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use pin_project_lite::pin_project;
use seaworthy_core::slots::{Claim, Entered, Party, Queue, QueueRefusal, Slot, Ticket};
use tokio::time::{Instant, Sleep, sleep_until};

use super::Lined;
use crate::deadline::{self, Deadline};
use crate::{Event, Held, Moment, Refusal, RejectionKind, clock};

pin_project! {
    /// The wait of one call for a slot.
    ///
    /// The queue is entered at the first poll: a future that nobody polls keeps nobody waiting.
    #[must_use = "futures do nothing unless polled"]
    pub struct Wait<G: Lined> {
        place: Place<G>,
        #[pin]
        timer: Option<Sleep>,
    }
}

/// The place in the queue, as a value of its own so that dropping it in any way gives it up.
struct Place<G: Lined> {
    held: Held<G>,
    party: Party,
    stage: Stage,
}

enum Stage {
    New,
    Queued(Queued),
    Over,
}

struct Queued {
    ticket: Ticket,
    wait: Terms,
}

/// The terms on which a call waits.
#[derive(Clone, Copy)]
struct Terms {
    since: Moment,
    until: Moment,
    /// When the timer goes off; `None` if it waits for ever.
    alarm: Option<Instant>,
    /// What the call is refused with when that is over.
    kind: RejectionKind,
}

// ===== impl Wait =====

impl<G: Lined> Wait<G> {
    pub(super) const fn new(held: Held<G>, party: Party) -> Self {
        Self {
            place: Place {
                held,
                party,
                stage: Stage::New,
            },
            timer: None,
        }
    }
}

impl<G: Lined> Future for Wait<G> {
    type Output = Result<G::Admission, Refusal>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        // Cloned before the place is taken in hand, and before the lock: it is foreign code.
        let waker = cx.waker().clone();
        let over = match mem::replace(&mut this.place.stage, Stage::Over) {
            Stage::New => this.place.enter(waker),
            Stage::Queued(queued) => this.place.claim(queued, waker),
            Stage::Over => panic!("polled after it was ready"),
        };
        if let Some(result) = over {
            return Poll::Ready(this.place.admit(result));
        }
        if this.timer.is_none()
            && let Some(alarm) = this.place.alarm()
        {
            this.timer.set(Some(sleep_until(alarm)));
        }
        let Some(timer) = this.timer.as_pin_mut() else {
            return Poll::Pending;
        };
        // The clock beside the timer: the timer of a layer further out may have woken this task, for the same moment.
        if timer.poll(cx).is_pending() && !this.place.is_late() {
            return Poll::Pending;
        }
        // A slot granted since the claim above is worth more than the timer.
        let result = this.place.give_up();
        Poll::Ready(this.place.admit(result))
    }
}

impl<G: Lined> fmt::Debug for Wait<G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wait")
            .field("queued", &matches!(self.place.stage, Stage::Queued(_)))
            .finish_non_exhaustive()
    }
}

// ===== impl Place =====

impl<G: Lined> Place<G> {
    fn admit(&self, slot: Result<Slot, Refusal>) -> Result<G::Admission, Refusal> {
        slot.map(|slot| self.held.seated(slot, self.party))
    }

    /// Takes a slot that has become free, or a place in the queue; `None` if it waits.
    fn enter(&mut self, waker: Waker) -> Option<Result<Slot, Refusal>> {
        let line = self.held.line();
        let since = line.clock().now();
        let max_wait = line.max_wait();
        let due = deadline::current();
        let left = deadline::remaining();
        let (entered, limit, kind) = line.change(self.held.telemetry(), |queue, slots, wake| {
            // Those whose time is over do not wait any more, though nobody has polled them since.
            queue.expire(slots, since, &mut *wake);
            // What a queue that stands leaves of it is known under its lock.
            let max_wait = max_wait.min(queue.patience_of(self.party, since));
            let (limit, kind) = match left {
                Some(left) if left <= max_wait => (left, RejectionKind::DeadlineExceeded),
                _ => (max_wait, RejectionKind::QueueTimeout),
            };
            let until = since + limit;
            let entered = queue.enter_as(self.party, slots, since, until, || waker, wake);
            (entered, limit, kind)
        });
        let ticket = match entered {
            Ok(Entered::Queued(ticket)) => ticket,
            Ok(Entered::Slot(slot)) => return Some(Ok(slot)),
            Err(QueueRefusal::NoTime) if kind == RejectionKind::DeadlineExceeded => {
                return Some(Err(Refusal::new(kind, None)));
            }
            Err(_) => return Some(Err(self.refusal(G::FULL))),
        };
        let until = since + limit;
        let due = due.filter(|_| kind == RejectionKind::DeadlineExceeded);
        let alarm = alarm(limit, due);
        let wait = Terms {
            since,
            until,
            alarm,
            kind,
        };
        self.stage = Stage::Queued(Queued { ticket, wait });
        let waiting = line.occupancy().waiting;
        self.held.telemetry().report(&Event::Queued { waiting });
        None
    }

    /// What became of the place since the last poll; `None` if it still waits.
    fn claim(&mut self, queued: Queued, mut waker: Waker) -> Option<Result<Slot, Refusal>> {
        let Queued { ticket, wait } = queued;
        let claim = {
            let mut queue = self.held.line().lock();
            let claim = queue.claim(ticket);
            if let Claim::Waiting(ticket) = &claim {
                swap_waker(&mut queue, ticket, &mut waker);
            }
            claim
        };
        match claim {
            Claim::Slot(slot) => Some(Ok(self.granted(slot, wait))),
            Claim::Expired => Some(Err(self.removed(wait))),
            Claim::Waiting(ticket) => {
                self.stage = Stage::Queued(Queued { ticket, wait });
                None
            }
        }
    }

    /// The time is over.
    fn give_up(&mut self) -> Result<Slot, Refusal> {
        let Stage::Queued(Queued { ticket, wait }) = mem::replace(&mut self.stage, Stage::Over)
        else {
            unreachable!("only a call that waits has a timer");
        };
        let now = self.held.line().clock().now();
        let mut waker = Waker::noop().clone();
        let granted = self
            .held
            .line()
            .change(self.held.telemetry(), |queue, slots, wake| {
                match queue.claim(ticket) {
                    Claim::Slot(slot) => return Some(slot),
                    Claim::Expired => {}
                    Claim::Waiting(ticket) => {
                        swap_waker(queue, &ticket, &mut waker);
                        queue.cancel(slots, ticket, now, wake);
                    }
                }
                None
            });
        match granted {
            Some(slot) => Ok(self.granted(slot, wait)),
            None => Err(self.expired(wait)),
        }
    }

    fn alarm(&self) -> Option<Instant> {
        match &self.stage {
            Stage::Queued(queued) => queued.wait.alarm,
            Stage::New | Stage::Over => None,
        }
    }

    fn is_late(&self) -> bool {
        matches!(&self.stage, Stage::Queued(queued) if self.held.line().clock().now() >= queued.wait.until)
    }

    fn granted(&self, slot: Slot, wait: Terms) -> Slot {
        self.left(wait, true);
        slot
    }

    /// Its place is gone: in its time, or before because another call needed it more.
    fn removed(&self, wait: Terms) -> Refusal {
        if self.held.line().clock().now() >= wait.until {
            return self.expired(wait);
        }
        self.left(wait, false);
        self.refusal(G::FULL)
    }

    fn expired(&self, wait: Terms) -> Refusal {
        self.left(wait, false);
        match wait.kind {
            // The caller's time is over: there is no point in coming back with this call.
            RejectionKind::DeadlineExceeded => Refusal::new(wait.kind, None),
            kind => self.refusal(kind),
        }
    }

    fn refusal(&self, kind: RejectionKind) -> Refusal {
        let waiting = self.held.line().occupancy().waiting;
        self.held.refusal(kind, waiting)
    }

    fn left(&self, wait: Terms, admitted: bool) {
        let waited = self.held.line().clock().now().since(wait.since);
        self.held
            .telemetry()
            .report(&Event::Dequeued { waited, admitted });
    }
}

// Cancellation: a waiter that goes leaves the queue, and passes on a slot that it had been granted.
impl<G: Lined> Drop for Place<G> {
    fn drop(&mut self) {
        let Stage::Queued(Queued { ticket, wait }) = mem::replace(&mut self.stage, Stage::Over)
        else {
            return;
        };
        let now = self.held.line().clock().now();
        let mut waker = Waker::noop().clone();
        self.held
            .line()
            .change(self.held.telemetry(), |queue, slots, wake| {
                swap_waker(queue, &ticket, &mut waker);
                queue.cancel(slots, ticket, now, wake);
            });
        self.left(wait, false);
    }
}

/// Exchanges the waker of one who waits, so that the old one is dropped when the lock is free again: with it may go a task that holds another place in this queue.
fn swap_waker(queue: &mut Queue<Waker>, ticket: &Ticket, waker: &mut Waker) {
    if let Some(kept) = queue.payload_mut(ticket) {
        mem::swap(kept, waker);
    }
}

/// When a wait of so long is over that begins now, or that a deadline ends.
fn alarm(limit: Duration, due: Option<Deadline>) -> Option<Instant> {
    match due {
        // The deadline itself, not what was left of it a moment ago: the timer of a layer further out would go off first, and call a call cut that never began.
        Some(due) => Some(clock::instant(due.moment())),
        // None where it is too long to be represented.
        None => Instant::now().checked_add(limit),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLI: Duration = Duration::from_millis(1);

    #[tokio::test(start_paused = true)]
    async fn alarm_of_a_deadline_is_the_deadline_however_late_it_is_set() {
        let due = Deadline::after(clock::now(), 10 * MILLI);
        let left = due.remaining(clock::now()).unwrap();
        tokio::time::advance(MILLI).await;
        assert_eq!(alarm(left, Some(due)), Some(clock::instant(due.moment())));
    }

    #[tokio::test(start_paused = true)]
    async fn alarm_without_a_deadline_counts_from_now() {
        assert_eq!(alarm(MILLI, None), Some(Instant::now() + MILLI));
        assert_eq!(alarm(Duration::MAX, None), None);
    }
}
