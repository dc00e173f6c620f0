//! The wait for a turn, which is given back when the wait is dropped.

use std::fmt;
use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use pin_project_lite::pin_project;
use seaworthy_kit::{Event, Gate, Held, Moment, Refusal, clock};
use tokio::time::{Sleep, sleep_until};

use super::PaceGate;
use super::gate::{Pass, Waiter, refusal};

pin_project! {
    /// The wait of one call for its turn.
    ///
    /// The turn is taken at the first poll: a future that nobody polls keeps nobody waiting.
    #[must_use = "futures do nothing unless polled"]
    pub struct Wait {
        place: Place,
        #[pin]
        timer: Option<Sleep>,
    }
}

/// The place of a call that waits, as a value of its own so that dropping it in any way gives its turn back.
struct Place {
    held: Held<PaceGate>,
    stage: Stage,
}

enum Stage {
    New,
    Waiting(Waiting),
    Over,
}

struct Waiting {
    /// By which the line knows it, and its turn.
    number: u64,
    since: Moment,
}

/// What a look at the pace gave.
enum Seen {
    Over(Result<Pass, Refusal>),
    /// Look again then.
    Waiting(Moment),
}

// ===== impl Wait =====

impl Wait {
    pub(crate) const fn new(held: Held<PaceGate>) -> Self {
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
    type Output = Result<Pass, Refusal>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            // Cloned before the lock is taken: it is foreign code.
            let again = match this.place.look(cx.waker().clone()) {
                Seen::Over(result) => return Poll::Ready(result),
                Seen::Waiting(again) => clock::instant(again),
            };
            match this.timer.as_mut().as_pin_mut() {
                Some(timer) if timer.deadline() == again => {}
                _ => this.timer.set(Some(sleep_until(again))),
            }
            let timer = this.timer.as_mut().as_pin_mut();
            ready!(timer.expect("set above").poll(cx));
            this.timer.set(None);
        }
    }
}

impl fmt::Debug for Wait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let waits = matches!(self.place.stage, Stage::Waiting(_));
        f.debug_struct("Wait")
            .field("waits", &waits)
            .finish_non_exhaustive()
    }
}

// ===== impl Place =====

impl Place {
    fn look(&mut self, waker: Waker) -> Seen {
        let now = clock::now();
        match mem::replace(&mut self.stage, Stage::Over) {
            Stage::New => self.enter(now, waker),
            Stage::Waiting(waiting) => self.claim(waiting, now, waker),
            Stage::Over => panic!("polled after it was ready"),
        }
    }

    /// Takes a turn, if it comes early enough.
    fn enter(&mut self, now: Moment, waker: Waker) -> Seen {
        let mut line = self.held.line();
        let next = line.tempo.next(now);
        if next <= now {
            return Seen::Over(Ok(Pass::new(Some(line.tempo.turn(now)))));
        }
        let wait = next.since(now);
        let until = match self.held.may_wait(&line) {
            Some(most) if wait <= most => now + most,
            _ => return Seen::Over(Err(refusal(wait))),
        };
        let mut waiter = Waiter {
            waker,
            turn: None,
            late: Duration::ZERO,
            until,
        };
        self.held.assign(&mut line.tempo, &mut waiter, now);
        let looks = waiter.looks();
        let number = line.join(waiter);
        self.stage = Stage::Waiting(Waiting { number, since: now });
        let waiting = line.waiting();
        drop(line);
        self.held.telemetry().report(&Event::Queued { waiting });
        Seen::Waiting(looks)
    }

    /// Goes if its turn has come.
    fn claim(&mut self, waiting: Waiting, now: Moment, waker: Waker) -> Seen {
        let Waiting { number, since } = waiting;
        let mut line = self.held.line();
        let (tempo, waiter) = line.waiter(number);
        if let Some(turn) = &waiter.turn
            && now >= turn.at()
            && !tempo.is_due(turn, now)
        {
            // The stop has become longer. Where calls are spread, all have new turns by that; here all have the same.
            self.held.assign(tempo, waiter, now);
        }
        let goes = waiter.turn.is_some() && now >= waiter.looks();
        if goes || waiter.turn.is_none() {
            let next = tempo.next(now);
            let (turn, _waker) = line.leave(number);
            drop(line);
            self.left(since, now, goes);
            return Seen::Over(match turn {
                Some(turn) => Ok(Pass::new(Some(turn))),
                None => Err(refusal(next.since(now))),
            });
        }
        let _old = mem::replace(&mut waiter.waker, waker);
        let looks = waiter.looks();
        drop(line);
        self.stage = Stage::Waiting(waiting);
        Seen::Waiting(looks)
    }

    fn left(&self, since: Moment, now: Moment, admitted: bool) {
        let waited = now.since(since);
        let event = Event::Dequeued { waited, admitted };
        self.held.telemetry().report(&event);
    }
}

// Cancellation: a call that goes gives its turn back, so that the next one need not wait for nobody.
impl Drop for Place {
    fn drop(&mut self) {
        let Stage::Waiting(waiting) = mem::replace(&mut self.stage, Stage::Over) else {
            return;
        };
        let mut line = self.held.line();
        let (turn, _waker) = line.leave(waiting.number);
        if let Some(turn) = turn {
            line.tempo.give_back(turn);
        }
        drop(line);
        self.left(waiting.since, clock::now(), false);
    }
}
