//! What a call may take: the limits of a layer, which can be changed while it runs, and the terms that one call gets from them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use seaworthy_kit::deadline::{self, Carry, Deadline};
use seaworthy_kit::{Moment, Refusal, RejectionKind, clock};

use crate::guard::Scope;
use crate::per_request::LimitFor;

/// What a call meets that takes too long.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Limit {
    /// The response took too long to begin.
    Head,
    /// The response took too long altogether.
    Body,
    /// The body paused for too long.
    Idle,
    /// The deadline that travels with the call.
    Deadline,
}

impl Limit {
    /// Every limit.
    pub const ALL: [Self; 4] = [Self::Head, Self::Body, Self::Idle, Self::Deadline];

    /// The limit as metrics and events have it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Head => "head",
            Self::Body => "body",
            Self::Idle => "idle",
            Self::Deadline => "deadline",
        }
    }
}

/// A duration that can be changed while calls read it; in nanoseconds, of which the largest number means "never".
#[derive(Debug)]
pub(crate) struct Span(AtomicU64);

impl Span {
    pub(crate) const fn new(duration: Duration) -> Self {
        Self(AtomicU64::new(nanos(duration)))
    }

    pub(crate) fn get(&self) -> Duration {
        match self.nanos() {
            NEVER => Duration::MAX,
            nanos => Duration::from_nanos(nanos),
        }
    }

    /// The number as it stands: what every call asks for, and most never use.
    #[inline]
    pub(crate) fn nanos(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    pub(crate) fn set(&self, duration: Duration) {
        self.0.store(nanos(duration), Ordering::Relaxed);
    }
}

/// The limit that is none.
pub(crate) const NEVER: u64 = u64::MAX;

pub(crate) const fn nanos(duration: Duration) -> u64 {
    let nanos = duration.as_nanos();
    if nanos < NEVER as u128 {
        nanos as u64
    } else {
        NEVER
    }
}

/// Whether a limit is so long that it is none.
pub(crate) const fn is_never(limit: Duration) -> bool {
    nanos(limit) == NEVER
}

/// The limits of a [`TimeoutLayer`](crate::TimeoutLayer), shared by the services it makes.
#[derive(Debug)]
pub struct Limits {
    pub(crate) head: Span,
    pub(crate) body: Span,
    pub(crate) idle: Span,
    /// In nanoseconds.
    pub(crate) margin: u64,
    pub(crate) min_useful: Duration,
    pub(crate) ignore_deadline: bool,
}

/// What one call may take, fixed when it is made; in nanoseconds, as [`Span`] has them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Terms {
    /// Until the response begins.
    pub(crate) head: u64,
    /// Until the response has ended.
    pub(crate) body: u64,
    /// Between two frames of the body.
    pub(crate) idle: u64,
    /// When it must be over in any case.
    pub(crate) deadline: Deadline,
}

/// No time is left, and the inner service was not called.
pub(crate) const NO_TIME: Refusal = Refusal::new(RejectionKind::DeadlineExceeded, None);

impl Terms {
    /// Those of a call that may take for ever.
    pub(crate) const NONE: Self = Self {
        head: NEVER,
        body: NEVER,
        idle: NEVER,
        deadline: Deadline::NEVER,
    };

    /// When a wait is cut that began at `now`, in a call that began to wait at `started`; [`Moment::NEVER`] if it is not.
    pub(crate) fn cut(&self, phase: Limit, started: Moment, now: Moment) -> (Moment, Limit) {
        let phase = match phase {
            Limit::Head => (after(started, self.head), Limit::Head),
            Limit::Idle => (after(now, self.idle), Limit::Idle),
            Limit::Body | Limit::Deadline => (Moment::NEVER, phase),
        };
        let whole = (after(started, self.body), Limit::Body);
        let travelling = (self.deadline.moment(), Limit::Deadline);
        // Of two that fall together the wider one is told: the narrower one made no difference.
        [travelling, whole, phase]
            .into_iter()
            .min_by_key(|(at, _)| *at)
            .expect("there are three")
    }

    /// Whether a limit is counted from the moment at which a wait begins, which must then be known.
    pub(crate) const fn counts_from(&self, phase: Limit) -> bool {
        let phase = match phase {
            Limit::Head => self.head,
            Limit::Idle => self.idle,
            Limit::Body | Limit::Deadline => NEVER,
        };
        phase != NEVER || self.body != NEVER
    }
}

/// Whatever moment "never" is added to, it stays never.
fn after(start: Moment, limit: u64) -> Moment {
    start + Duration::from_nanos(limit)
}

/// The callee is told of its time by the request, not by the task.
impl Scope for Limits {
    const OPENS: bool = false;
}

impl Limits {
    /// Whether every call is refused: a limit of zero leaves no time for any.
    #[inline]
    pub(crate) fn refuse_all(&self) -> bool {
        self.head.nanos() == 0 || self.body.nanos() == 0
    }

    /// The deadline of the task, unless it is to be ignored.
    #[inline]
    pub(crate) fn travelling(&self) -> Option<Deadline> {
        if self.ignore_deadline {
            return None;
        }
        deadline::current()
    }

    /// The terms of a call, unless no time is left for it; tells the callee what it is given.
    ///
    /// Reads the clock only if there is a travelling deadline.
    #[inline(always)]
    pub(crate) fn terms<Req>(
        &self,
        per_request: &impl LimitFor<Req>,
        carry: &impl Carry<Req>,
        request: &mut Req,
    ) -> Option<Terms> {
        if self.refuse_all() {
            return None;
        }
        let body = self.body.nanos();
        let head = match per_request.limit_for(request) {
            Some(limit) if limit.is_zero() => return None,
            Some(limit) => nanos(limit),
            None => self.head.nanos(),
        };
        let travelling = self.travelling();
        let left = match travelling {
            Some(deadline) => self.left(deadline)?,
            None => NEVER,
        };
        // What the callee is told is about the whole answer; the limit of the head stands in for a limit that is not set.
        let own = if body == NEVER { head } else { body };
        self.tell(carry, request, own.min(left))?;
        Some(Terms {
            head,
            body,
            idle: self.idle.nanos(),
            deadline: travelling.unwrap_or(Deadline::NEVER),
        })
    }

    /// What is left of a travelling deadline, if that is of any use.
    #[cold]
    fn left(&self, deadline: Deadline) -> Option<u64> {
        let left = deadline.remaining(clock::now())?;
        (left >= self.min_useful).then(|| nanos(left))
    }

    #[inline(always)]
    fn tell<Req>(&self, carry: &impl Carry<Req>, request: &mut Req, time: u64) -> Option<()> {
        if time == NEVER {
            return Some(());
        }
        let time = time.saturating_sub(self.margin);
        if time == 0 {
            return None;
        }
        let time = Duration::from_nanos(time);
        // A request that already says less was limited by whoever made it.
        let time = match carry.time_given(request) {
            Some(given) => given.min(time),
            None => time,
        };
        carry.give_time(request, time).then_some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn at(seconds: u32) -> Moment {
        Moment::ORIGIN + SECOND * seconds
    }

    #[test]
    fn earliest_limit_cuts() {
        let terms = Terms {
            head: nanos(3 * SECOND),
            body: nanos(10 * SECOND),
            idle: nanos(2 * SECOND),
            deadline: Deadline::at(at(20)),
        };
        let check = |phase, started, now, expected: (u32, Limit)| {
            let expected = (at(expected.0), expected.1);
            assert_eq!(terms.cut(phase, at(started), at(now)), expected);
        };
        check(Limit::Head, 5, 5, (8, Limit::Head));
        check(Limit::Idle, 5, 5, (7, Limit::Idle));
        check(Limit::Idle, 5, 14, (15, Limit::Body));
        check(Limit::Head, 18, 18, (20, Limit::Deadline));
        check(Limit::Idle, 18, 19, (20, Limit::Deadline));
    }

    #[test]
    fn of_two_limits_at_one_moment_the_wider_is_told() {
        let terms = Terms {
            head: nanos(SECOND),
            body: nanos(SECOND),
            idle: nanos(SECOND),
            deadline: Deadline::at(at(1)),
        };
        let start = Moment::ORIGIN;
        assert_eq!(terms.cut(Limit::Head, start, start).1, Limit::Deadline);
        let terms = Terms {
            deadline: Deadline::NEVER,
            ..terms
        };
        assert_eq!(terms.cut(Limit::Idle, start, start).1, Limit::Body);
    }

    #[test]
    fn call_without_limits_is_never_cut_wherever_it_is_counted_from() {
        for phase in [Limit::Head, Limit::Idle] {
            for start in [Moment::ORIGIN, at(7), Moment::NEVER] {
                assert_eq!(Terms::NONE.cut(phase, start, start).0, Moment::NEVER);
            }
            assert!(!Terms::NONE.counts_from(phase));
        }
    }

    #[test]
    fn centuries_are_never_and_zero_is_zero() {
        for huge in [
            Duration::MAX,
            Duration::from_nanos(u64::MAX),
            Duration::from_secs(1 << 40),
        ] {
            assert!(is_never(huge));
            assert_eq!(Span::new(huge).get(), Duration::MAX);
        }
        let span = Span::new(SECOND);
        span.set(Duration::ZERO);
        assert_eq!(span.get(), Duration::ZERO);
    }
}
