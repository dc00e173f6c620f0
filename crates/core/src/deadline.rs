//! A deadline: one point in time after which nobody waits for the answer any more.

use core::time::Duration;

use crate::Moment;

/// An absolute moment by which everything must be over; it is only ever tightened.
///
/// Absolute, because a limit given as a duration starts anew wherever it is passed on, and time spent in a queue is forgotten.
/// It is over *at* its moment: a deadline of zero from now is over at once.
///
/// ```text
///   never ──tighten──▶ at t ──tighten──▶ at min(t, u) ── now ≥ t ──▶ over
/// ```
///
/// ```
/// use core::time::Duration;
/// use seaworthy_core::{Deadline, Moment};
///
/// let now = Moment::from_nanos(0);
/// let mine = Deadline::after(now, Duration::from_secs(2));
/// let callers = Deadline::after(now, Duration::from_secs(1));
/// assert_eq!(mine.tighten(callers), callers);
/// assert_eq!(callers.tighten(mine), callers);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Deadline(Moment);

impl Deadline {
    /// No deadline at all.
    pub const NEVER: Self = Self(Moment::NEVER);

    /// The deadline at that moment.
    #[must_use]
    pub const fn at(moment: Moment) -> Self {
        Self(moment)
    }

    /// The deadline that long after `now`; one that is centuries away never comes.
    #[must_use]
    pub fn after(now: Moment, limit: Duration) -> Self {
        Self(now + limit)
    }

    /// No deadline at all.
    #[must_use]
    pub const fn never() -> Self {
        Self::NEVER
    }

    /// The earlier of two: whoever adds a limit can shorten the time, but never extend it.
    #[must_use]
    pub fn tighten(self, other: Self) -> Self {
        self.min(other)
    }

    /// When it is over; [`Moment::NEVER`] if it never is.
    #[must_use]
    pub const fn moment(self) -> Moment {
        self.0
    }

    /// Whether there is no deadline.
    #[must_use]
    pub fn is_never(self) -> bool {
        self == Self::NEVER
    }

    /// What is left, above zero; `None` once it is over, and [`Duration::MAX`] if there is no deadline.
    #[must_use]
    pub fn remaining(self, now: Moment) -> Option<Duration> {
        if self.is_never() {
            return Some(Duration::MAX);
        }
        Some(self.0.since(now)).filter(|left| !left.is_zero())
    }

    /// Whether it is over.
    #[must_use]
    pub fn is_over(self, now: Moment) -> bool {
        self.remaining(now).is_none()
    }

    /// Whether work that takes `needed` would be done in time, begun now; never once it is over, even for work that takes no time.
    #[must_use]
    pub fn leaves(self, needed: Duration, now: Moment) -> bool {
        self.remaining(now).is_some_and(|left| needed <= left)
    }
}

impl Default for Deadline {
    /// No deadline at all.
    fn default() -> Self {
        Self::NEVER
    }
}

#[cfg(all(test, not(seaworthy_loom)))]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn deadline_is_over_at_its_moment() {
        let now = Moment::from_nanos(5);
        let deadline = Deadline::after(now, SECOND);
        assert_eq!(deadline.remaining(now), Some(SECOND));
        let just_before = now + (SECOND - Duration::from_nanos(1));
        assert_eq!(
            deadline.remaining(just_before),
            Some(Duration::from_nanos(1))
        );
        assert_eq!(deadline.remaining(now + SECOND), None);
        assert!(deadline.is_over(now + SECOND));
        assert!(deadline.is_over(Moment::NEVER));
    }

    #[test]
    fn zero_from_now_is_over_at_once() {
        assert!(
            Deadline::after(Moment::from_nanos(5), Duration::ZERO).is_over(Moment::from_nanos(5))
        );
    }

    #[test]
    fn no_deadline_is_never_over() {
        assert_eq!(Deadline::default(), Deadline::never());
        for deadline in [
            Deadline::never(),
            Deadline::after(Moment::from_nanos(1), Duration::MAX),
        ] {
            assert!(deadline.is_never());
            assert!(!deadline.is_over(Moment::NEVER));
            assert_eq!(deadline.remaining(Moment::NEVER), Some(Duration::MAX));
            assert!(deadline.leaves(Duration::MAX, Moment::NEVER));
        }
    }

    #[test]
    fn work_must_fit_into_what_is_left() {
        let now = Moment::from_nanos(5);
        let deadline = Deadline::after(now, SECOND);
        assert!(deadline.leaves(SECOND, now));
        assert!(!deadline.leaves(SECOND + Duration::from_nanos(1), now));
        assert!(!deadline.leaves(Duration::ZERO, now + SECOND));
    }

    #[test]
    fn clock_that_runs_backwards_gives_the_time_back_and_no_more() {
        let deadline = Deadline::after(Moment::from_nanos(1_000), SECOND);
        assert_eq!(
            deadline.remaining(Moment::ORIGIN),
            Some(SECOND + Duration::from_nanos(1_000))
        );
    }

    proptest! {
        #[test]
        fn tightening_never_extends(
            // Each with the time of the look that follows, in any order.
            limits in prop::collection::vec((any::<u64>(), any::<u64>()), 0..20),
            now: u64,
        ) {
            let now = Moment::from_nanos(now);
            let mut deadline = Deadline::never();
            let mut earliest = u64::MAX;
            for (limit, then) in limits {
                let before = deadline;
                deadline = deadline.tighten(Deadline::at(Moment::from_nanos(limit)));
                prop_assert!(deadline <= before);
                prop_assert!(!before.is_over(now) || deadline.is_over(now));
                earliest = earliest.min(limit);
                let left = match earliest {
                    u64::MAX => Some(Duration::MAX),
                    earliest => earliest.checked_sub(then).filter(|&left| left > 0).map(Duration::from_nanos),
                };
                prop_assert_eq!(deadline.remaining(Moment::from_nanos(then)), left);
            }
            prop_assert_eq!(deadline.moment().as_nanos(), earliest);
            prop_assert_eq!(deadline.is_over(now), earliest != u64::MAX && earliest <= now.as_nanos());
        }
    }
}
