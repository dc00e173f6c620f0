//! The clock of the layers: tokio's, so that paused time drives every decision.

use std::sync::LazyLock;
use std::time::{Duration, UNIX_EPOCH};

use seaworthy_core::Moment;
use tokio::time::Instant;

/// Where [`Moment`]s of this process are counted from.
static ORIGIN: LazyLock<Instant> = LazyLock::new(Instant::now);

/// The `Moment` of [`ORIGIN`], 18 years in: with paused time an instant may lie before the origin of the process, and must not be clamped to it.
const ZERO: Moment = Moment::from_nanos(1 << 59);

/// Tells the time.
///
/// There is one clock in production, tokio's monotonic one; tests of decisions may set one by hand.
#[derive(Clone, Default, Debug)]
pub struct Clock(Kind);

#[derive(Clone, Default, Debug)]
enum Kind {
    #[default]
    Tokio,
    #[cfg(feature = "testing")]
    Manual(std::sync::Arc<std::sync::atomic::AtomicU64>),
}

impl Clock {
    /// tokio's clock, which follows `tokio::time::pause` and `advance` in tests.
    #[must_use]
    pub const fn tokio() -> Self {
        Self(Kind::Tokio)
    }

    /// The present moment.
    #[must_use]
    pub fn now(&self) -> Moment {
        match &self.0 {
            Kind::Tokio => now(),
            #[cfg(feature = "testing")]
            Kind::Manual(nanos) => {
                Moment::from_nanos(nanos.load(std::sync::atomic::Ordering::Acquire))
            }
        }
    }

    /// The time of day since the Unix epoch, which all hosts agree on, more or less; zero before it. Never for measuring.
    ///
    /// A clock that is set by hand counts from the epoch.
    #[must_use]
    pub fn unix(&self) -> Duration {
        match &self.0 {
            Kind::Tokio => wall().duration_since(UNIX_EPOCH).unwrap_or_default(),
            #[cfg(feature = "testing")]
            Kind::Manual(_) => self.now().since(Moment::ORIGIN),
        }
    }
}

/// A clock that stands still until it is set: for tests of decisions, where timers play no part.
#[cfg(feature = "testing")]
#[derive(Clone, Debug)]
pub struct ManualClock(std::sync::Arc<std::sync::atomic::AtomicU64>);

#[cfg(feature = "testing")]
impl ManualClock {
    /// A clock that shows an hour after the origin, so that it can also be set back.
    #[must_use]
    pub fn new() -> Self {
        let start = Moment::ORIGIN + Duration::from_secs(3600);
        Self(std::sync::Arc::new(start.as_nanos().into()))
    }

    /// The clock to give to a layer.
    #[must_use]
    pub fn clock(&self) -> Clock {
        Clock(Kind::Manual(self.0.clone()))
    }

    /// Moves the clock on.
    pub fn advance(&self, by: Duration) {
        self.set(self.clock().now() + by);
    }

    /// Sets the clock, also back.
    pub fn set(&self, to: Moment) {
        self.0
            .store(to.as_nanos(), std::sync::atomic::Ordering::Release);
    }
}

#[cfg(feature = "testing")]
impl Default for ManualClock {
    fn default() -> Self {
        Self::new()
    }
}

/// The present moment by tokio's clock.
#[must_use]
pub fn now() -> Moment {
    #[cfg(feature = "testing")]
    READS.set(READS.get() + 1);
    moment(Instant::now())
}

#[cfg(feature = "testing")]
thread_local! {
    static READS: std::cell::Cell<u64> = const { std::cell::Cell::new(0) };
}

/// How often this thread has read tokio's clock through this module: for tests of what a call costs.
#[cfg(feature = "testing")]
#[must_use]
pub fn reads() -> u64 {
    READS.get()
}

/// The time of day: only for dates that came from elsewhere, such as an HTTP-date; never for measuring.
#[must_use]
pub fn wall() -> std::time::SystemTime {
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place where the wall clock is read"
    )]
    std::time::SystemTime::now()
}

/// The moment of an instant.
#[must_use]
pub fn moment(instant: Instant) -> Moment {
    let origin = *ORIGIN;
    match instant.checked_duration_since(origin) {
        Some(after) => ZERO + after,
        None => ZERO - origin.duration_since(instant),
    }
}

/// The instant of a moment, for a timer; a moment too far to represent is thirty years ahead, which no timer outlives.
#[must_use]
pub fn instant(moment: Moment) -> Instant {
    let origin = *ORIGIN;
    if moment >= ZERO {
        origin
            .checked_add(moment.since(ZERO).min(FAR))
            .unwrap_or(origin)
    } else {
        origin.checked_sub(ZERO.since(moment)).unwrap_or(origin)
    }
}

/// Thirty years, which is also where tokio puts a deadline that it cannot represent.
const FAR: Duration = Duration::from_secs(30 * 365 * 24 * 3600);

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn paused_time_drives_the_clock() {
        let before = now();
        tokio::time::advance(Duration::from_secs(5)).await;
        assert_eq!(now().since(before), Duration::from_secs(5));
    }

    #[tokio::test(start_paused = true)]
    async fn instant_and_moment_are_inverse_on_both_sides_of_the_origin() {
        let here = Instant::now();
        let earlier = *ORIGIN - Duration::from_millis(1);
        for at in [here, earlier, here + Duration::from_secs(7)] {
            assert_eq!(instant(moment(at)), at);
        }
        assert!(moment(earlier) < moment(*ORIGIN));
    }

    #[test]
    fn time_of_day_is_the_walls_or_what_is_set_by_hand() {
        let years = Duration::from_secs(50 * 365 * 24 * 3600);
        assert!(Clock::tokio().unix() > years);
        #[cfg(feature = "testing")]
        {
            let clock = ManualClock::new();
            clock.advance(Duration::from_secs(60));
            assert_eq!(clock.clock().unix(), Duration::from_secs(3660));
        }
    }

    #[test]
    fn never_is_a_valid_instant() {
        // Not further: where an instant cannot be represented, the timer would fire at once.
        assert_eq!(instant(Moment::NEVER), *ORIGIN + FAR);
    }
}
