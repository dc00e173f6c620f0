//! The budget of retries: what may be sent again, as a share of what is sent in the first place.
//!
//! A dependency that fails gets more calls than usual, since each failed one is sent again; that is how a short outage becomes a long one.
//! A budget bounds the excess, however many attempts each call may have.
//! Retries and hedges of one dependency should draw on one budget.
//!
//! ```text
//!              ┌─ floor: a cell that fills at `floor` per second,       ──▶ Withdrawal
//!   withdraw ──┤  holds one second's worth          │ empty                (refunded if not sent)
//!              └─ share: ◀──────────────────────────┘
//!                 withdrawn + 1 ≤ share · offered, both of the last `window` ──▶ Withdrawal
//!                                       │ exceeded
//!                                       └─────────────────────────────────▶ Exhausted { until }
//! ```
//!
//! The floor lets a client with little traffic retry at all.
//! It accrues with time and holds one second's worth at most, so that an outage after a quiet hour does not start with a burst of a whole window's floor.
//! It is drawn on first: what it gains while it is full is lost, whereas the share keeps.
//!
//! # Who counts the calls
//!
//! [`Budget`] is a plain value for one owner at a time, to be kept in a lock: it is asked only when a call is about to be sent again, never on the way of a call that succeeds.
//! What every call does is count itself as offered, and the budget takes that count as an argument, cumulative: the shell holds the counters, the machine decides.
//! [`Offered`] is such a counter, spread over cache lines so that service clones in different threads do not write to the same one; it needs no clock and no lock.
//! Only original calls are counted, never retries: otherwise retries would pay for retries.
//!
//! Between two looks at the counter, calls are taken to have come evenly.
//! That is exact enough while traffic is steady, and can be wrong where it has just changed; by how much is bounded by how many calls go unobserved.
//! A shell should therefore [observe](Budget::observe) at every [`Offered::OBSERVE_EVERY`]th call of a shard, the first one included: [`Offered::add`] says when.
//!
//! ```
//! use seaworthy_core::Moment;
//! use seaworthy_core::budget::{Budget, BudgetConfig, Offered};
//!
//! let now = Moment::from_nanos(0);
//! let offered = Offered::new();
//! let mut budget = Budget::try_new(BudgetConfig::default().floor(0))?;
//! let shard = offered.shard();
//! for _ in 0..10 {
//!     if offered.add(shard) {
//!         budget.observe(now, offered.total());
//!     }
//! }
//! // A fifth of ten calls.
//! assert!(budget.withdraw(now, offered.total()).is_ok());
//! assert!(budget.withdraw(now, offered.total()).is_ok());
//! assert!(budget.withdraw(now, offered.total()).is_err());
//! # Ok::<(), seaworthy_core::InvalidConfig>(())
//! ```

use core::fmt;
use core::time::Duration;

use crate::moment::nanos;
use crate::{InvalidConfig, Moment};

mod floor;
use floor::Floor;

mod offered;
pub use offered::{Offered, Shard};

mod window;
use window::Window;

#[cfg(all(test, not(seaworthy_loom)))]
mod tests;

/// How much may be sent again.
///
/// The default is 20 % of the calls of the last 10 s, plus 10 per second, as in Finagle: an outage costs the dependency a fifth more calls at most, and a client with little traffic can still retry.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct BudgetConfig {
    share: f64,
    floor: u32,
    window: Duration,
}

/// How much of a [`BudgetConfig`] is used up: see the [module](self).
///
/// Memory: constant. Each operation looks at no more than ten buckets, however long the pause before it.
/// A clock that runs backwards stands still for the budget until it has caught up: nothing accrues twice, and the share goes on as the calls do.
#[derive(Debug)]
pub struct Budget {
    /// In millionths.
    share: u64,
    window: Window,
    floor: Floor,
}

/// The right to send one call again.
///
/// It is used up by dropping it; [refund](Budget::refund) it if the call was not sent again after all.
#[derive(PartialEq, Eq, Debug)]
#[must_use = "a withdrawal that is not sent should be refunded"]
pub struct Withdrawal(Pot);

/// The budget is used up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Exhausted {
    /// When the floor has accrued a retry again; `None` if there is no floor.
    pub until: Option<Moment>,
}

/// Where a withdrawal came from, and goes back to.
#[derive(PartialEq, Eq, Debug)]
enum Pot {
    Floor,
    Share { bucket: u64 },
}

// ===== impl BudgetConfig =====

impl BudgetConfig {
    /// Retries as a share of the calls offered: `0.2` is one retry for five calls; zero leaves the floor alone.
    #[must_use]
    pub const fn share(self, share: f64) -> Self {
        Self { share, ..self }
    }

    /// Retries per second that are allowed whatever the traffic; zero leaves the share alone.
    #[must_use]
    pub const fn floor(self, per_second: u32) -> Self {
        Self {
            floor: per_second,
            ..self
        }
    }

    /// For how long a call counts as offered; it is kept in tenths.
    #[must_use]
    pub const fn window(self, window: Duration) -> Self {
        Self { window, ..self }
    }
}

impl Default for BudgetConfig {
    fn default() -> Self {
        Self {
            share: 0.2,
            floor: 10,
            window: Duration::from_secs(10),
        }
    }
}

// ===== impl Budget =====

impl Budget {
    /// A budget that has seen no call yet.
    ///
    /// # Errors
    /// If the share is not between 0 and 100, the floor above a million per second, both of them zero, or the window not between 10 ms and one hour.
    pub fn try_new(config: BudgetConfig) -> Result<Self, InvalidConfig> {
        let BudgetConfig {
            share,
            floor,
            window,
        } = config;
        if !(0.0..=100.0).contains(&share) {
            return Err(InvalidConfig::new("share", "must be between 0.0 and 100.0"));
        }
        if floor > 1_000_000 {
            return Err(InvalidConfig::new(
                "floor",
                "must be at most 1000000 per second",
            ));
        }
        let share = (share * MILLIONTHS as f64 + 0.5) as u64;
        if share == 0 && floor == 0 {
            return Err(InvalidConfig::new(
                "share",
                "must be above zero if there is no floor",
            ));
        }
        if window < Duration::from_millis(10) || window > Duration::from_secs(3600) {
            return Err(InvalidConfig::new(
                "window",
                "must be between 10 ms and 1 hour",
            ));
        }
        Ok(Self {
            share,
            window: Window::new(nanos(window)),
            floor: Floor::new(floor),
        })
    }

    /// Takes note of how many calls have been offered so far, ever.
    ///
    /// Calls that were offered before the first look at the counter, except for one, are too old to say when; they are not counted.
    pub fn observe(&mut self, now: Moment, offered_total: u64) {
        self.window.observe(now, offered_total);
    }

    /// Takes the right to send one call again, at the moment of sending it.
    ///
    /// `offered_total` is how many calls have been offered so far, ever.
    ///
    /// # Errors
    /// If neither the floor nor the share has anything left.
    pub fn withdraw(&mut self, now: Moment, offered_total: u64) -> Result<Withdrawal, Exhausted> {
        let now = self.window.observe(now, offered_total);
        let pot = if self.floor.take(now) {
            Pot::Floor
        } else if self.share_left() >= 1 {
            Pot::Share {
                bucket: self.window.withdraw(),
            }
        } else {
            return Err(Exhausted {
                until: self.floor.next(now),
            });
        };
        self.invariants();
        Ok(Withdrawal(pot))
    }

    /// Gives back what was not sent: the wait was cancelled, or the call given up.
    ///
    /// What was withdrawn longer ago than the window has been forgotten, and so is the refund.
    pub fn refund(&mut self, Withdrawal(pot): Withdrawal) {
        match pot {
            Pot::Floor => self.floor.put_back(),
            Pot::Share { bucket } => self.window.refund(bucket),
        }
        self.invariants();
    }

    /// How much is left, of what there would be if nothing had been withdrawn: from 0 to 1.
    #[must_use]
    pub fn remaining_ratio(&mut self, now: Moment, offered_total: u64) -> f64 {
        let now = self.window.observe(now, offered_total);
        let whole = self.share_whole().saturating_add(self.floor.whole());
        if whole == 0 {
            return 0.0;
        }
        let left = self.share_left().saturating_add(self.floor.left(now));
        left as f64 / whole as f64
    }

    /// Whether nothing is left of what there would be. Where nothing was offered, and there is no floor, there is nothing to be spent.
    #[must_use]
    pub fn is_spent(&mut self, now: Moment, offered_total: u64) -> bool {
        let now = self.window.observe(now, offered_total);
        let whole = self.share_whole().saturating_add(self.floor.whole());
        whole > 0 && self.share_left() == 0 && self.floor.left(now) == 0
    }

    fn share_whole(&self) -> u64 {
        let whole = u128::from(self.window.offered()) * u128::from(self.share) / MILLIONTHS;
        u64::try_from(whole).unwrap_or(u64::MAX)
    }

    /// Zero also where calls have left the window that what is withdrawn was owed to.
    fn share_left(&self) -> u64 {
        self.share_whole().saturating_sub(self.window.withdrawn())
    }

    fn invariants(&self) {
        if cfg!(debug_assertions) {
            self.window.invariants();
        }
    }
}

// ===== impl Exhausted =====

impl fmt::Display for Exhausted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("retry budget exhausted")
    }
}

impl core::error::Error for Exhausted {}

const MILLIONTHS: u128 = 1_000_000;
