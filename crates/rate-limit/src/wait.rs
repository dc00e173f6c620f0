//! The wait for a share of the quotas: a place in the line that gives itself up when it is dropped.

use std::fmt;
use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::sync::atomic::{Ordering, fence};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use pin_project_lite::pin_project;
use seaworthy_core::Moment;
use seaworthy_core::gcra::{Entered, Place, Scarcity, TakenAll, Turn};
use seaworthy_kit::{Event, Gate, Held, Refusal, RejectionKind, deadline};
use tokio::time::{Sleep, sleep};

use crate::gate::RateGate;
use crate::spent::Spent;

pin_project! {
    /// The wait of one call for its share.
    ///
    /// The line is entered at the first poll: a future that nobody polls keeps nobody waiting.
    #[must_use = "futures do nothing unless polled"]
    pub struct Wait {
        seat: Seat,
        #[pin]
        timer: Option<Sleep>,
        armed: Moment,
    }
}

/// The place in the line, as a value of its own so that dropping it in any way gives it up.
struct Seat {
    held: Held<RateGate>,
    cost: u64,
    stage: Stage,
}

enum Stage {
    New,
    Waiting(Place, Terms),
    Over,
}

/// The terms on which a call waits.
#[derive(Clone, Copy)]
struct Terms {
    since: Moment,
    until: Moment,
    /// Whether the caller's deadline ends the wait.
    by_deadline: bool,
}

/// What a look at the line gave.
enum Seen {
    Over(Result<Spent, Refusal>),
    /// Look again then.
    Waiting(Moment),
}

// ===== impl Wait =====

impl Wait {
    pub(crate) const fn new(held: Held<RateGate>, cost: u64) -> Self {
        Self {
            seat: Seat {
                held,
                cost,
                stage: Stage::New,
            },
            timer: None,
            armed: Moment::NEVER,
        }
    }
}

impl Future for Wait {
    type Output = Result<Spent, Refusal>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            // Cloned before the place is taken in hand, and before the lock: it is foreign code.
            let waker = cx.waker().clone();
            let now = this.seat.held.now();
            let seen = match mem::replace(&mut this.seat.stage, Stage::Over) {
                Stage::New => this.seat.enter(now, waker),
                Stage::Waiting(place, terms) => this.seat.look(place, terms, now, waker),
                Stage::Over => panic!("polled after it was ready"),
            };
            let again = match seen {
                Seen::Over(result) => return Poll::Ready(result),
                Seen::Waiting(again) => again,
            };
            if again != *this.armed || this.timer.is_none() {
                this.timer.set(Some(sleep(again.since(now).max(LEAST))));
                *this.armed = again;
            }
            let timer = this.timer.as_mut().as_pin_mut();
            match timer.expect("set above").poll(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(()) => this.timer.set(None),
            }
        }
    }
}

impl fmt::Debug for Wait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let waits = matches!(self.seat.stage, Stage::Waiting(..));
        f.debug_struct("Wait")
            .field("waits", &waits)
            .finish_non_exhaustive()
    }
}

// ===== impl Seat =====

impl Seat {
    /// Takes a share that has come, or a place in the line.
    fn enter(&mut self, now: Moment, waker: Waker) -> Seen {
        let max_wait = self.held.max_wait();
        let (limit, by_deadline) = match deadline::remaining() {
            Some(left) if left <= max_wait => (left, true),
            _ => (max_wait, false),
        };
        let until = now + limit;
        let cost = self.cost;
        let entered = self
            .held
            .with_line(|line, windows, wake| line.enter(windows, now, cost, until, || waker, wake));
        match entered {
            Ok(Entered::Taken(taken)) => Seen::Over(Ok(Spent::taken(taken))),
            Err(scarcity) => Seen::Over(Err(self.held.refusal(scarcity, now, cost))),
            Ok(Entered::Waiting(place, again)) => {
                let terms = Terms {
                    since: now,
                    until,
                    by_deadline,
                };
                self.stage = Stage::Waiting(place, terms);
                // Pairs with that of `RateGate::give_back`: what was given back before we were seen to wait is found now.
                fence(Ordering::SeqCst);
                self.held
                    .with_line(|line, windows, wake| line.advance(windows, now, wake));
                let waiting = self.held.waiting();
                self.held.telemetry().report(&Event::Queued { waiting });
                Seen::Waiting(again.min(until + NANO))
            }
        }
    }

    /// What became of the place since the last poll.
    fn look(&mut self, place: Place, terms: Terms, now: Moment, waker: Waker) -> Seen {
        let mut waker = Some(waker);
        let turn = self.held.with_line(|line, windows, wake| {
            line.advance(windows, now, &mut *wake);
            // Exchanged, also where its time is over, so that the old one is dropped when the lock is free again: with it may go a task that holds another place.
            if let Some(kept) = line.payload_mut(&place) {
                mem::swap(kept, &mut waker);
            }
            line.claim(windows, place, now)
        });
        match turn {
            Turn::Taken(taken) => Seen::Over(Ok(self.granted(taken, terms))),
            Turn::Over => Seen::Over(Err(self.refused(terms, now))),
            Turn::Waiting(place, again) => {
                self.stage = Stage::Waiting(place, terms);
                // Its time is over when it is past, not when it is there: a share that comes in that instant is still its own.
                Seen::Waiting(again.min(terms.until + NANO))
            }
        }
    }

    fn granted(&self, taken: TakenAll, terms: Terms) -> Spent {
        self.left(terms, true);
        Spent::taken(taken)
    }

    fn refused(&self, terms: Terms, now: Moment) -> Refusal {
        self.left(terms, false);
        if terms.by_deadline {
            // The caller's time is over: there is no point in coming back with this call.
            return Refusal::new(RejectionKind::DeadlineExceeded, None);
        }
        let ahead = self.held.waiting() as u64;
        let turn = self.held.windows().earliest(now, ahead, self.cost);
        let scarcity = turn.map_or(Scarcity::Never, Scarcity::Until);
        self.held.refusal(scarcity, now, self.cost)
    }

    fn left(&self, terms: Terms, admitted: bool) {
        let waited = self.held.now().since(terms.since);
        self.held
            .telemetry()
            .report(&Event::Dequeued { waited, admitted });
    }
}

// Cancellation: a waiter that goes leaves the line, and what it had been granted goes to the next.
impl Drop for Seat {
    fn drop(&mut self) {
        let Stage::Waiting(place, terms) = mem::replace(&mut self.stage, Stage::Over) else {
            return;
        };
        let now = self.held.now();
        let mut waker = None;
        self.held.with_line(|line, windows, wake| {
            if let Some(kept) = line.payload_mut(&place) {
                mem::swap(kept, &mut waker);
            }
            line.cancel(windows, place, now, wake);
        });
        self.left(terms, false);
    }
}

const NANO: Duration = Duration::from_nanos(1);

/// Where the clock and tokio's timers do not agree, a call that waits must not spin.
const LEAST: Duration = Duration::from_micros(1);
