//! Whether a failed call is sent again, and after how long: one pure function.

use core::fmt;
use core::time::Duration;

use crate::backoff::share;
use crate::moment::nanos;
use crate::{Backoff, Deadline, InvalidConfig, Moment, Previous};

#[cfg(all(test, not(seaworthy_loom)))]
mod tests;

/// How often and how patiently a call is sent again.
///
/// [`decide`](Self::decide) is asked after each attempt that failed in a way that may be retried.
/// It asks in this order, and the first "no" is the answer, so that what costs something is asked last:
///
/// ```text
///   unseen by the server, and time left? ─yes─▶ Resend
///        │
///   attempts left? ─no─▶ Attempts                       wait = hint ? hint, spread upwards, at most max_delay
///        │                                                    : backoff, at most max_delay
///   may the server be asked again? ─no─▶ ServerSaysNo
///        │
///   wait + min_attempt_time within the deadline? ─no─▶ DeadlineTooClose, or HintTooLong if a hint was the wait
///        │
///   ... within the total time? ─no─▶ TotalTime, or HintTooLong
///        │
///   budget? ─no─▶ Budget
///        │
///        └─────▶ Retry { delay }
/// ```
///
/// An attempt that the server has not seen is made once more at once and for free: it is no load, and asks for no attempt, wait or budget.
/// Once only, and so each call at most doubles what never arrives.
/// A policy of one attempt makes one, whatever becomes of it.
///
/// It never waits for an attempt that cannot be over in time: giving up now returns the failure that just happened, which says more than a timeout later on.
///
/// The default is 3 attempts, [the default backoff](Backoff::default), a delay of at most 60 s whoever asks for it, and no limit to the total time.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct RetryPolicy {
    max_attempts: u32,
    backoff: Backoff,
    max_delay: Duration,
    total_time: Option<Duration>,
    min_attempt_time: Duration,
}

/// What is known when an attempt has failed; [`Attempted::new`] says how to begin.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Attempted {
    /// How many attempts have been made, the first one included.
    pub attempts: u32,
    /// When the first attempt began.
    pub started: Moment,
    /// Now.
    pub now: Moment,
    /// When nobody waits for the answer any more.
    pub deadline: Deadline,
    /// What the server said about coming back.
    pub hint: Hint,
    /// The wait before this attempt.
    pub previous: Previous,
    /// Whether the server has not seen this attempt, for the first time in this call.
    pub unseen: bool,
}

/// What a server says about coming back: `Retry-After`, or gRPC's pushback.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[expect(
    clippy::exhaustive_enums,
    reason = "a server says nothing, when, or never"
)]
pub enum Hint {
    /// Nothing.
    #[default]
    None,
    /// Not before that long.
    After(Duration),
    /// Do not come back: a pushback that is negative or no number (gRFC A6).
    Never,
}

/// What to do about an attempt that failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
#[expect(
    clippy::exhaustive_enums,
    reason = "to try again, for free or not, or to stop; there is no other way"
)]
pub enum Decision {
    /// Send it again after that long.
    Retry {
        /// How long to wait; zero is at once.
        delay: Duration,
    },
    /// Send it again at once; it does not count as an attempt.
    Resend,
    /// Return the failure there is.
    GiveUp(GiveUp),
}

/// Why a call is not sent again.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum GiveUp {
    /// All attempts have been made.
    Attempts,
    /// The server said not to come back.
    ServerSaysNo,
    /// The server asked for a longer wait than the deadline or the total time leaves.
    HintTooLong,
    /// Before another attempt could be over, the deadline would be.
    DeadlineTooClose,
    /// Before another attempt could be over, the total time of all attempts would be.
    TotalTime,
    /// Too much is being sent again already.
    Budget,
}

// ===== impl RetryPolicy =====

impl RetryPolicy {
    /// How often at most, the first attempt included.
    ///
    /// # Errors
    /// If it is zero.
    pub fn try_new(max_attempts: u32) -> Result<Self, InvalidConfig> {
        if max_attempts == 0 {
            return Err(InvalidConfig::new(
                "max_attempts",
                "must be at least 1, the first one",
            ));
        }
        Ok(Self {
            max_attempts,
            ..Self::default()
        })
    }

    /// The wait where the server does not say how long.
    #[must_use]
    pub const fn backoff(self, backoff: Backoff) -> Self {
        Self { backoff, ..self }
    }

    /// The longest wait, whoever asks for it; a server that asks for more is asked again after this long.
    #[must_use]
    pub const fn max_delay(self, max_delay: Duration) -> Self {
        Self { max_delay, ..self }
    }

    /// How long all attempts and the waits between them may take, from the start of the first.
    #[must_use]
    pub const fn total_time(self, total_time: Duration) -> Self {
        Self {
            total_time: Some(total_time),
            ..self
        }
    }

    /// Under how much time an attempt is not worth beginning.
    #[must_use]
    pub const fn min_attempt_time(self, min_attempt_time: Duration) -> Self {
        Self {
            min_attempt_time,
            ..self
        }
    }

    /// How often at most, the first attempt included.
    #[must_use]
    pub const fn max_attempts(&self) -> u32 {
        self.max_attempts
    }

    /// Whether to send it again, and when.
    ///
    /// `draw` is a random number, evenly spread over all of `u64`.
    /// `budget` is asked last and only if nothing else is in the way, so that nothing is withdrawn in vain; it says whether there was something left.
    /// A shell that withdraws only when it sends answers `true` here and gives up by itself, with [`GiveUp::Budget`].
    pub fn decide(
        &self,
        attempted: &Attempted,
        draw: u64,
        budget: impl FnOnce() -> bool,
    ) -> Decision {
        if self.is_free(attempted) {
            return Decision::Resend;
        }
        match self.check(attempted, draw) {
            Ok(delay) if budget() => Decision::Retry { delay },
            Ok(_) => Decision::GiveUp(GiveUp::Budget),
            Err(why) => Decision::GiveUp(why),
        }
    }

    fn is_free(&self, attempted: &Attempted) -> bool {
        attempted.unseen
            && self.max_attempts > 1
            && attempted.hint != Hint::Never
            && self.room(attempted.deadline, attempted).is_some()
            && self.room(self.total(attempted), attempted).is_some()
    }

    /// When all attempts must be over.
    fn total(&self, attempted: &Attempted) -> Deadline {
        match self.total_time {
            Some(limit) => Deadline::after(attempted.started, limit),
            None => Deadline::NEVER,
        }
    }

    /// What may be waited; `None` where not even an attempt at once would do.
    fn room(&self, limit: Deadline, attempted: &Attempted) -> Option<Duration> {
        limit
            .remaining(attempted.now)?
            .checked_sub(self.min_attempt_time)
    }

    fn check(&self, attempted: &Attempted, draw: u64) -> Result<Duration, GiveUp> {
        if attempted.attempts >= self.max_attempts {
            return Err(GiveUp::Attempts);
        }
        let hint = match attempted.hint {
            Hint::None => None,
            Hint::After(wait) => Some(wait.min(self.max_delay)),
            Hint::Never => return Err(GiveUp::ServerSaysNo),
        };
        let room = |limit| self.room(limit, attempted);
        let total = self.total(attempted);
        let (Some(before_deadline), Some(before_total)) = (room(attempted.deadline), room(total))
        else {
            let deadline_ok = room(attempted.deadline).is_some();
            return Err(if deadline_ok {
                GiveUp::TotalTime
            } else {
                GiveUp::DeadlineTooClose
            });
        };

        let delay = match hint {
            Some(least) => {
                let most = self.max_delay.min(before_deadline).min(before_total);
                self.spread(least, most, draw)
            }
            None => {
                let number = attempted.attempts.saturating_sub(1);
                self.backoff
                    .delay(number, attempted.previous, draw)
                    .min(self.max_delay)
            }
        };
        if delay > before_deadline || delay > before_total {
            return Err(match hint {
                Some(_) => GiveUp::HintTooLong,
                None if delay > before_deadline => GiveUp::DeadlineTooClose,
                None => GiveUp::TotalTime,
            });
        }
        Ok(delay)
    }

    /// A hint is the same for everybody who gets it: spread, or all of them are back in the same instant.
    ///
    /// Upwards only, since earlier is what the server asked not to have; by a tenth, or by the first wait of the backoff where a tenth is less.
    /// It stops at `most`, because it must never be what makes a wait too long.
    fn spread(&self, least: Duration, most: Duration, draw: u64) -> Duration {
        if self.backoff.is_exact() {
            return least;
        }
        let width = (least / 10)
            .max(self.backoff.base())
            .min(most.saturating_sub(least));
        least + Duration::from_nanos(share(nanos(width), draw))
    }
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            max_attempts: 3,
            backoff: Backoff::default(),
            max_delay: Duration::from_secs(60),
            total_time: None,
            min_attempt_time: Duration::ZERO,
        }
    }
}

// ===== impl Attempted =====

impl Attempted {
    /// After the first attempt: no deadline, no hint.
    #[must_use]
    pub const fn new(started: Moment, now: Moment) -> Self {
        Self {
            attempts: 1,
            started,
            now,
            deadline: Deadline::NEVER,
            hint: Hint::None,
            previous: Previous {
                wait: Duration::ZERO,
                draw: 0,
            },
            unseen: false,
        }
    }
}

// ===== impl GiveUp =====

impl fmt::Display for GiveUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Attempts => "no attempt left",
            Self::ServerSaysNo => "the server asked not to be asked again",
            Self::HintTooLong => "the server asked for a longer wait than there is time",
            Self::DeadlineTooClose => "no time left before the deadline",
            Self::TotalTime => "no time left for all attempts",
            Self::Budget => "retry budget exhausted",
        })
    }
}
