//! What a call may take: the limits of a layer, which can be changed while it runs, and the terms that one call gets from them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use seaworthy_kit::deadline::{self, Carry, Deadline};
use seaworthy_kit::{Moment, Refusal, RejectionKind, clock};

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
        match self.0.load(Ordering::Relaxed) {
            u64::MAX => Duration::MAX,
            nanos => Duration::from_nanos(nanos),
        }
    }

    pub(crate) fn set(&self, duration: Duration) {
        self.0.store(nanos(duration), Ordering::Relaxed);
    }
}

const fn nanos(duration: Duration) -> u64 {
    let nanos = duration.as_nanos();
    if nanos < u64::MAX as u128 {
        nanos as u64
    } else {
        u64::MAX
    }
}

/// Whether a limit is so long that it is none.
pub(crate) const fn is_never(limit: Duration) -> bool {
    nanos(limit) == u64::MAX
}

/// The limits of a [`TimeoutLayer`](crate::TimeoutLayer), shared by the services it makes.
#[derive(Debug)]
pub struct Limits {
    pub(crate) head: Span,
    pub(crate) body: Span,
    pub(crate) idle: Span,
    pub(crate) margin: Duration,
    pub(crate) min_useful: Duration,
    pub(crate) ignore_deadline: bool,
}

/// What one call may take, fixed when it is made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Terms {
    /// Until the response begins.
    pub(crate) head: Duration,
    /// Until the response has ended.
    pub(crate) body: Duration,
    /// Between two frames of the body.
    pub(crate) idle: Duration,
    /// When it must be over in any case.
    pub(crate) deadline: Deadline,
}

/// No time is left, and the inner service was not called.
pub(crate) const NO_TIME: Refusal = Refusal::new(RejectionKind::DeadlineExceeded, None);

impl Terms {
    /// Those of a call that may take for ever.
    pub(crate) const NONE: Self = Self {
        head: Duration::MAX,
        body: Duration::MAX,
        idle: Duration::MAX,
        deadline: Deadline::NEVER,
    };

    /// When a wait is cut that began at `now`, in a call that began to wait at `started`; [`Moment::NEVER`] if it is not.
    pub(crate) fn cut(&self, phase: Limit, started: Moment, now: Moment) -> (Moment, Limit) {
        let phase = match phase {
            Limit::Head => (started + self.head, Limit::Head),
            Limit::Idle => (now + self.idle, Limit::Idle),
            Limit::Body | Limit::Deadline => (Moment::NEVER, phase),
        };
        let whole = (started + self.body, Limit::Body);
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
            Limit::Body | Limit::Deadline => Duration::MAX,
        };
        !is_never(phase) || !is_never(self.body)
    }
}

impl Limits {
    /// Whether every call is refused: a limit of zero leaves no time for any.
    pub(crate) fn refuse_all(&self) -> bool {
        self.head.get().is_zero() || self.body.get().is_zero()
    }

    /// The deadline of the task, unless it is to be ignored.
    pub(crate) fn travelling(&self) -> Option<Deadline> {
        if self.ignore_deadline {
            return None;
        }
        deadline::current()
    }

    /// The terms of a call; tells the callee what it is given.
    ///
    /// Reads the clock only if there is a travelling deadline.
    pub(crate) fn terms<Req>(
        &self,
        per_request: &impl LimitFor<Req>,
        carry: &impl Carry<Req>,
        request: &mut Req,
    ) -> Result<Terms, Refusal> {
        if self.refuse_all() {
            return Err(NO_TIME);
        }
        let body = self.body.get();
        let head = match per_request.limit_for(request) {
            Some(limit) if limit.is_zero() => return Err(NO_TIME),
            Some(limit) => limit,
            None => self.head.get(),
        };
        let travelling = self.travelling();
        let left = match travelling {
            Some(deadline) => match deadline.remaining(clock::now()) {
                Some(left) if left >= self.min_useful => left,
                _ => return Err(NO_TIME),
            },
            None => Duration::MAX,
        };
        // What the callee is told is about the whole answer; the limit of the head stands in for a limit that is not set.
        let own = if is_never(body) { head } else { body };
        self.tell(carry, request, own.min(left))?;
        Ok(Terms {
            head,
            body,
            idle: self.idle.get(),
            deadline: travelling.unwrap_or(Deadline::NEVER),
        })
    }

    fn tell<Req>(
        &self,
        carry: &impl Carry<Req>,
        request: &mut Req,
        time: Duration,
    ) -> Result<(), Refusal> {
        if is_never(time) {
            return Ok(());
        }
        let time = time.saturating_sub(self.margin);
        if time.is_zero() {
            return Err(NO_TIME);
        }
        // A request that already says less was limited by whoever made it.
        let time = match carry.time_given(request) {
            Some(given) => given.min(time),
            None => time,
        };
        if carry.give_time(request, time) {
            Ok(())
        } else {
            Err(NO_TIME)
        }
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
            head: 3 * SECOND,
            body: 10 * SECOND,
            idle: 2 * SECOND,
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
            head: SECOND,
            body: SECOND,
            idle: SECOND,
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
