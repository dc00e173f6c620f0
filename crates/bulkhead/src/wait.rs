//! The wait for a slot: a place in the queue that gives itself up when it is dropped.

use std::fmt;
use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use pin_project_lite::pin_project;
use seaworthy_core::Moment;
use seaworthy_core::slots::{Claim, Entered, Queue, QueueRefusal, Slot, Ticket};
use seaworthy_kit::{Event, Gate, Held, Refusal, RejectionKind, deadline};
use tokio::time::{Sleep, sleep};

use crate::gate::BulkheadGate;

pin_project! {
    /// The wait of one call for a slot.
    ///
    /// The queue is entered at the first poll: a future that nobody polls keeps nobody waiting.
    #[must_use = "futures do nothing unless polled"]
    pub struct Wait {
        place: Place,
        #[pin]
        timer: Option<Sleep>,
    }
}

/// The place in the queue, as a value of its own so that dropping it in any way gives it up.
struct Place {
    held: Held<BulkheadGate>,
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
    /// How long; `None` for ever.
    limit: Option<Duration>,
    /// What the call is refused with when that is over.
    kind: RejectionKind,
}

// ===== impl Wait =====

impl Wait {
    pub(crate) const fn new(held: Held<BulkheadGate>) -> Self {
        Self {
            place: Place {
                held,
                stage: Stage::New,
            },
            timer: None,
        }
    }
}

impl Future for Wait {
    type Output = Result<Slot, Refusal>;

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
            return Poll::Ready(result);
        }
        if this.timer.is_none()
            && let Some(limit) = this.place.limit()
        {
            this.timer.set(Some(sleep(limit)));
        }
        let Some(timer) = this.timer.as_pin_mut() else {
            return Poll::Pending;
        };
        ready!(timer.poll(cx));
        // A slot granted since the claim above is worth more than the timer.
        Poll::Ready(this.place.give_up())
    }
}

impl fmt::Debug for Wait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wait")
            .field("queued", &matches!(self.place.stage, Stage::Queued(_)))
            .finish_non_exhaustive()
    }
}

// ===== impl Place =====

impl Place {
    /// Takes a slot that has become free, or a place in the queue; `None` if it waits.
    fn enter(&mut self, waker: Waker) -> Option<Result<Slot, Refusal>> {
        let since = self.held.clock().now();
        let max_wait = self.held.max_wait();
        let (limit, kind) = match deadline::remaining() {
            Some(left) if left <= max_wait => (left, RejectionKind::DeadlineExceeded),
            _ => (max_wait, RejectionKind::QueueTimeout),
        };
        let until = since + limit;
        let entered = self
            .held
            .with_queue(|queue, slots, wake| queue.enter(slots, since, until, || waker, wake));
        let ticket = match entered {
            Ok(Entered::Queued(ticket)) => ticket,
            Ok(Entered::Slot(slot)) => return Some(Ok(slot)),
            Err(QueueRefusal::NoTime) if kind == RejectionKind::DeadlineExceeded => {
                return Some(Err(Refusal::new(kind, None)));
            }
            Err(_) => return Some(Err(self.refusal(RejectionKind::BulkheadFull))),
        };
        let limit = (until != Moment::NEVER).then_some(limit);
        let wait = Terms { since, limit, kind };
        self.stage = Stage::Queued(Queued { ticket, wait });
        let waiting = self.held.occupancy().waiting;
        self.held.telemetry().report(&Event::Queued { waiting });
        None
    }

    /// What became of the place since the last poll; `None` if it still waits.
    fn claim(&mut self, queued: Queued, mut waker: Waker) -> Option<Result<Slot, Refusal>> {
        let Queued { ticket, wait } = queued;
        let claim = {
            let mut queue = self.held.queue();
            let claim = queue.claim(ticket);
            if let Claim::Waiting(ticket) = &claim {
                swap_waker(&mut queue, ticket, &mut waker);
            }
            claim
        };
        match claim {
            Claim::Slot(slot) => Some(Ok(self.granted(slot, wait))),
            Claim::Expired => Some(Err(self.expired(wait))),
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
        let now = self.held.clock().now();
        let mut waker = Waker::noop().clone();
        let granted = self.held.with_queue(|queue, slots, wake| {
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

    fn limit(&self) -> Option<Duration> {
        match &self.stage {
            Stage::Queued(queued) => queued.wait.limit,
            Stage::New | Stage::Over => None,
        }
    }

    fn granted(&self, slot: Slot, wait: Terms) -> Slot {
        self.left(wait, true);
        slot
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
        self.held.refusal(kind, self.held.occupancy().waiting)
    }

    fn left(&self, wait: Terms, admitted: bool) {
        let waited = self.held.clock().now().since(wait.since);
        self.held
            .telemetry()
            .report(&Event::Dequeued { waited, admitted });
    }
}

// Cancellation: a waiter that goes leaves the queue, and passes on a slot that it had been granted.
impl Drop for Place {
    fn drop(&mut self) {
        let Stage::Queued(Queued { ticket, wait }) = mem::replace(&mut self.stage, Stage::Over)
        else {
            return;
        };
        let now = self.held.clock().now();
        let mut waker = Waker::noop().clone();
        self.held.with_queue(|queue, slots, wake| {
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
