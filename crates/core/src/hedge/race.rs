//! One hedged call as a race: attempts under way, when the next is due, and which result is the caller's.

use core::time::Duration;

use crate::Moment;

#[cfg(all(test, not(seaworthy_loom)))]
mod tests;

/// One call and its attempts.
///
/// ```text
///   begin ──▶ waiting ── due ──────────────▶ Send ── sent ──▶ waiting
///               │  ▲                          │
///               │  └── put_off ◀── not now ───┤
///               │  ┌── stop ◀────── not at all┘
///               │  ▼
///               ├─ failed, worth another try, one left ──▶ Then::Again: at once
///               ├─ failed, others under way ─────────────▶ Then::Wait
///               ├─ failed, nobody under way ─────────────▶ Then::Over: the best failure
///               └─ succeeded ────────────────────────────▶ over: that one, the others are dropped
/// ```
///
/// The first success wins, whichever attempt it is of: the first to be *over* would let a second try that fails at once beat a first one that is about to succeed.
/// Where all fail, the caller gets the failure that [says](Says) most, and of two that say as much the one that came first.
/// Whatever may have reached the server thus comes before what did not: nobody further out concludes from a refused second try that nothing has been sent.
///
/// The delay counts from the moment at which the latest attempt was sent.
/// The shell decides whether an attempt that is due may be sent, by budget, deadline and readiness, and says so: [`sent`](Self::sent), [`put_off`](Self::put_off) or [`stop`](Self::stop).
/// A clock that runs backwards makes a call wait for one more delay at most.
///
/// ```
/// use core::time::Duration;
/// use seaworthy_core::Moment;
/// use seaworthy_core::hedge::{Next, Race};
///
/// let delay = Duration::from_millis(20);
/// let start = Moment::from_nanos(0);
/// let mut race = Race::begin(1, Some(delay), start);
/// assert_eq!(race.next(start), Next::Wait(delay));
/// assert_eq!(race.next(start + delay), Next::Send);
/// race.sent(start + delay);
/// assert_eq!(race.next(start + 9 * delay), Next::Never);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Race {
    /// How many attempts there may be, the first one included.
    most: u32,
    begun: u32,
    running: u32,
    delay: Option<Duration>,
    /// When the next one is due by time.
    due: Moment,
    best: Option<Says>,
}

/// When another attempt is due.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
#[expect(clippy::exhaustive_enums, reason = "now, later or never")]
pub enum Next {
    /// Now.
    Send,
    /// After that long.
    Wait(Duration),
    /// Not by time.
    Never,
}

/// What a failed attempt says, from nothing to most: which of several failures is the caller's.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[expect(
    clippy::exhaustive_enums,
    reason = "a shell has to know of each failure which it is"
)]
pub enum Says {
    /// That nothing was sent: a layer further in refused it, or nobody was there.
    Nothing,
    /// That another attempt of the same call is at work, or has done it: the answer is that one's.
    Echo,
    /// That something went wrong on the way; the server may have seen the request.
    Trouble,
    /// The server's "not now".
    NotNow,
    /// The last word: another try meets it again.
    No,
}

/// An attempt that failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(clippy::exhaustive_structs, reason = "what it says, and what to do")]
pub struct Failure {
    /// What it says.
    pub says: Says,
    /// Whether another try is worth it: if not, there is none, at once or later.
    pub again: bool,
}

/// What becomes of a race after a failure.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
#[expect(clippy::exhaustive_structs, reason = "two questions, two answers")]
pub struct Failed {
    /// Whether this failure is the best so far: it takes the place of the one that was kept.
    pub keep: bool,
    /// What to do.
    pub then: Then,
}

/// What to do after a failure.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(clippy::exhaustive_enums, reason = "to try, to wait or to end")]
pub enum Then {
    /// Send another attempt at once.
    Again,
    /// Wait for the others.
    Wait,
    /// Nobody is under way: the best failure is the answer.
    Over,
}

/// How long an attempt that cannot be sent is put off at least, lest a delay of zero ask all the time.
const LEAST_PAUSE: Duration = Duration::from_millis(1);

// ===== impl Race =====

impl Race {
    /// The first attempt was sent; so many more there may be, each that long after the one before, or after failures only.
    #[must_use]
    pub fn begin(hedges: u32, delay: Option<Duration>, now: Moment) -> Self {
        let mut race = Self {
            most: hedges.saturating_add(1),
            begun: 1,
            running: 1,
            delay,
            due: Moment::NEVER,
            best: None,
        };
        race.schedule(now, Duration::ZERO);
        race
    }

    /// Whether another attempt is due by time.
    pub fn next(&self, now: Moment) -> Next {
        let Some(delay) = self.delay.filter(|_| self.has_left() && self.running > 0) else {
            return Next::Never;
        };
        if self.due == Moment::NEVER {
            return Next::Never;
        }
        let left = self.due.since(now);
        if left.is_zero() {
            Next::Send
        } else {
            // No more than a whole pause, should the clock have run backwards.
            Next::Wait(left.min(delay.max(LEAST_PAUSE)))
        }
    }

    /// Another attempt was sent.
    pub fn sent(&mut self, now: Moment) {
        debug_assert!(self.has_left(), "sent one more than there may be");
        self.begun = self.begun.saturating_add(1);
        self.running += 1;
        self.schedule(now, Duration::ZERO);
        self.invariants();
    }

    /// The attempt that was due cannot be sent now; it is due again after another delay.
    pub fn put_off(&mut self, now: Moment) {
        self.schedule(now, LEAST_PAUSE);
    }

    /// There will be no other attempt.
    pub const fn stop(&mut self) {
        self.most = self.begun;
    }

    /// An attempt has failed.
    pub fn failed(&mut self, failure: Failure) -> Failed {
        debug_assert!(self.running > 0, "only what runs can fail");
        self.running = self.running.saturating_sub(1);
        let keep = self.best.is_none_or(|best| failure.says > best);
        if keep {
            self.best = Some(failure.says);
        }
        if !failure.again {
            self.stop();
        }
        self.invariants();
        let then = if self.has_left() {
            Then::Again
        } else if self.running > 0 {
            Then::Wait
        } else {
            Then::Over
        };
        Failed { keep, then }
    }

    /// Whether nobody is under way.
    #[must_use]
    pub const fn is_over(&self) -> bool {
        self.running == 0
    }

    /// How many attempts there were, the first one included.
    #[must_use]
    pub const fn begun(&self) -> u32 {
        self.begun
    }

    /// Whether there may be another attempt.
    #[must_use]
    pub const fn has_left(&self) -> bool {
        self.begun < self.most
    }

    fn schedule(&mut self, now: Moment, least: Duration) {
        self.due = match self.delay {
            Some(delay) => now + delay.max(least),
            None => Moment::NEVER,
        };
    }

    fn invariants(&self) {
        debug_assert!(self.begun >= 1 && self.begun <= self.most.max(1));
        debug_assert!(self.running <= self.begun);
        debug_assert!(
            self.running == self.begun || self.best.is_some(),
            "what does not run any more has failed, or the race would be over"
        );
    }
}
