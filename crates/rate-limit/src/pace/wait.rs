//! The wait for a turn, which is given back when the wait is dropped.

use std::fmt;
use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use pin_project_lite::pin_project;
use seaworthy_core::tempo::Turn;
use seaworthy_kit::{Event, Gate, Held, Moment, Refusal, clock, draw};
use tokio::time::{Sleep, sleep_until};

use super::PaceGate;
use super::gate::{Line, Pass, refusal};

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

/// The turn that a call waits for, as a value of its own so that dropping it in any way gives it back.
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
    turn: Turn,
    /// By which the line knows it.
    number: u64,
    since: Moment,
    /// The latest turn that it would take.
    until: Moment,
    /// How long after its turn it goes.
    late: Duration,
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
        let turn = line.tempo.turn(now);
        let late = self.late(&mut line, &turn, now, until);
        self.stage = Stage::Waiting(Waiting {
            turn,
            number: line.join(waker),
            since: now,
            until,
            late,
        });
        let waiting = line.waiting();
        drop(line);
        self.held.telemetry().report(&Event::Queued { waiting });
        Seen::Waiting(next + late)
    }

    /// Goes if its turn has come, and takes another if the pace has changed meanwhile.
    fn claim(&mut self, waiting: Waiting, now: Moment, waker: Waker) -> Seen {
        let Waiting {
            turn,
            number,
            since,
            until,
            late,
        } = waiting;
        let mut line = self.held.line();
        let is_due = line.tempo.is_due(&turn, now);
        if is_due && now >= turn.at() + late {
            let _old = line.leave(number);
            drop(line);
            self.left(since, now, true);
            return Seen::Over(Ok(Pass::new(Some(turn))));
        }
        let (turn, late) = if is_due || now < turn.at() && !line.tempo.is_void(&turn) {
            (turn, late)
        } else {
            // A stop came since, or the pace is looser than it was.
            line.tempo.give_back(turn);
            let turn = line.tempo.turn(now);
            let late = self.late(&mut line, &turn, now, until);
            (turn, late)
        };
        let next = turn.at();
        if next > until {
            line.tempo.give_back(turn);
            let _old = line.leave(number);
            drop(line);
            self.left(since, now, false);
            return Seen::Over(Err(refusal(next.since(now))));
        }
        let _old = line.swap(number, waker);
        drop(line);
        self.stage = Stage::Waiting(Waiting {
            turn,
            number,
            since,
            until,
            late,
        });
        Seen::Waiting(next + late)
    }

    /// How long after its turn the call goes, where all who wait have the same: after a stop they would all go in one instant.
    fn late(&self, line: &mut Line, turn: &Turn, now: Moment, until: Moment) -> Duration {
        if line.tempo.spacing(now).is_some() {
            return Duration::ZERO;
        }
        let wait = turn.at().since(now);
        part(wait, self.held.jitter(), draw()).min(until.since(turn.at()))
    }

    fn left(&self, since: Moment, now: Moment, admitted: bool) {
        let waited = now.since(since);
        let event = Event::Dequeued { waited, admitted };
        self.held.telemetry().report(&event);
    }
}

/// A part of a time, up to that share of it, as the draw says.
fn part(of: Duration, share: f64, draw: u64) -> Duration {
    const WHOLE: f64 = (1_u64 << 53) as f64;
    of.mul_f64(share * ((draw >> 11) as f64 / WHOLE))
}

// Cancellation: a call that goes gives its turn back, so that the next one need not wait for nobody.
impl Drop for Place {
    fn drop(&mut self) {
        let Stage::Waiting(waiting) = mem::replace(&mut self.stage, Stage::Over) else {
            return;
        };
        let mut line = self.held.line();
        line.tempo.give_back(waiting.turn);
        let _old = line.leave(waiting.number);
        drop(line);
        self.left(waiting.since, clock::now(), false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn part_is_drawn_between_none_and_the_share() {
        let ten = Duration::from_secs(10);
        assert_eq!(part(ten, 0.5, 0), Duration::ZERO);
        assert_eq!(part(ten, 0.5, 1 << 63), ten / 4);
        assert!(part(ten, 0.5, u64::MAX) <= ten / 2);
        assert_eq!(part(ten, 0.0, u64::MAX), Duration::ZERO);
    }
}
