//! Whether slow calls are a tail or the rule: where most of them are slow, a second try is load and no help.

use core::time::Duration;

use crate::moment::nanos;
use crate::{InvalidConfig, Moment};

#[cfg(all(test, not(seaworthy_loom)))]
mod tests;

/// Up to which share of late calls there are second tries.
///
/// The default is a fifth of the calls of the last 10 s, once there were 20.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct TailConfig {
    most: f64,
    least_calls: u32,
    window: Duration,
}

/// Counts the calls that were late: those whose delay was over before they were.
///
/// ```text
///              ┌─ fewer than `least_calls` in the window ───────────────▶ a tail
///   late ──────┤
///              └─ late ≤ most · offered, both of the window? ─┬─ yes ──▶ a tail: a second try
///                                                             └─ no ───▶ the rule: none
/// ```
///
/// It is asked at each late call and at no other; how many calls there were is an argument, cumulative, as in [`crate::budget`].
/// The window is kept in two halves, so it is between half as long and as long as it says.
/// A pause that is longer than the window begins a new one, in which nothing is known of the calls before.
/// A clock that runs backwards stands still.
#[derive(Debug)]
pub struct Tail {
    /// In millionths.
    most: u64,
    least_calls: u64,
    half: u64,
    /// When the present half began.
    since: Moment,
    before: Half,
    present: Half,
}

#[derive(Clone, Copy, Default, Debug)]
struct Half {
    /// How many calls had been offered when it began.
    offered: u64,
    late: u64,
}

const MILLIONTHS: f64 = 1_000_000.0;

// ===== impl TailConfig =====

impl TailConfig {
    /// Which share of the calls may be late: 0.2 is a fifth.
    #[must_use]
    pub const fn most(self, share: f64) -> Self {
        Self {
            most: share,
            ..self
        }
    }

    /// Below how many calls nothing can be said.
    #[must_use]
    pub const fn least_calls(self, calls: u32) -> Self {
        Self {
            least_calls: calls,
            ..self
        }
    }

    /// For how long a call counts.
    #[must_use]
    pub const fn window(self, window: Duration) -> Self {
        Self { window, ..self }
    }
}

impl Default for TailConfig {
    fn default() -> Self {
        Self {
            most: 0.2,
            least_calls: 20,
            window: Duration::from_secs(10),
        }
    }
}

// ===== impl Tail =====

impl Tail {
    /// One that has seen no call.
    ///
    /// # Errors
    /// If the share is not between 0 and 1, or the window not between 10 ms and one hour.
    pub fn try_new(config: TailConfig) -> Result<Self, InvalidConfig> {
        if !(0.0..=1.0).contains(&config.most) {
            return Err(InvalidConfig::new("most", "must be between 0.0 and 1.0"));
        }
        if config.window < Duration::from_millis(10) || config.window > Duration::from_secs(3600) {
            return Err(InvalidConfig::new(
                "window",
                "must be between 10 ms and 1 hour",
            ));
        }
        Ok(Self {
            most: (config.most * MILLIONTHS + 0.5) as u64,
            least_calls: u64::from(config.least_calls),
            half: nanos(config.window) / 2,
            since: Moment::ORIGIN,
            before: Half::default(),
            present: Half::default(),
        })
    }

    /// A call is late, the latest of `offered_total` calls so far, ever; whether late calls are a tail.
    pub fn late(&mut self, now: Moment, offered_total: u64) -> bool {
        let gap = nanos(now.since(self.since));
        if gap >= self.half {
            let empty = Half {
                // This call is one of them.
                offered: offered_total.saturating_sub(1),
                late: 0,
            };
            self.before = if gap / 2 >= self.half {
                empty
            } else {
                self.present
            };
            self.present = empty;
            self.since = now;
        }
        self.present.late += 1;
        let late = self.before.late + self.present.late;
        // Calls that are late may have been offered before the window began.
        let offered = offered_total.saturating_sub(self.before.offered).max(late);
        offered < self.least_calls
            || u128::from(late) * 1_000_000 <= u128::from(self.most) * u128::from(offered)
    }
}
