//! The budget of retries and hedges, to be shared between layers: each clone of a service counts its calls for itself, and whoever wants to send one again asks.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};

use seaworthy_core::budget::{self, BudgetConfig, Offered, Shard};
use seaworthy_core::{InvalidConfig, Moment};

mod option;
pub use option::BudgetOption;

/// How much may be sent again, as a share of what is sent in the first place: 20 % of the calls of the last 10 s plus 10 per second, unless told otherwise.
///
/// Clones share it: give clones of one budget to all layers that retry or hedge calls to the same dependency.
/// See [`seaworthy_core::budget`] for how it decides.
#[derive(Clone)]
pub struct Budget {
    shared: Arc<Shared>,
}

struct Shared {
    offered: Offered,
    /// Taken when a call is to be sent again, and without waiting at every 32nd call.
    budget: Mutex<budget::Budget>,
}

/// Where one clone of a service counts its calls.
///
/// A fresh clone counts where the clone it came from does, and finds a place of its own on its second call: a clone for a single call must not write to what all share.
pub struct Counter {
    shard: Shard,
    calls: Calls,
}

#[derive(Clone, Copy)]
enum Calls {
    None,
    One,
    Own,
}

/// The right to send one call again; dropped unspent, it is given back.
#[must_use = "it is given back when it is dropped; `spend` it where the call is sent"]
pub struct Withdrawn {
    held: Option<(Arc<Shared>, budget::Withdrawal)>,
}

// ===== impl Budget =====

impl Budget {
    /// A budget of its own.
    ///
    /// # Errors
    /// If an option has a value that cannot work; the error names the option.
    pub fn try_new(config: BudgetConfig) -> Result<Self, InvalidConfig> {
        let budget = budget::Budget::try_new(config)?;
        Ok(Self {
            shared: Arc::new(Shared {
                offered: Offered::new(),
                budget: Mutex::new(budget),
            }),
        })
    }

    /// A place to count calls, for a service to keep.
    #[must_use]
    pub fn counter(&self) -> Counter {
        Counter {
            shard: self.shared.offered.shard(),
            calls: Calls::None,
        }
    }

    /// Counts one call, not an attempt: retries must not pay for retries.
    ///
    /// Reads the clock at every 32nd call.
    #[inline]
    pub fn offer(&self, counter: &mut Counter, now: impl FnOnce() -> Moment) {
        if !matches!(counter.calls, Calls::Own) {
            self.settle_in(counter);
        }
        self.offer_shared(counter, now);
    }

    /// The first two calls of a clone.
    #[cold]
    fn settle_in(&self, counter: &mut Counter) {
        match counter.calls {
            Calls::None => counter.calls = Calls::One,
            Calls::One => {
                counter.shard = self.shared.offered.shard();
                counter.calls = Calls::Own;
            }
            Calls::Own => {}
        }
    }

    /// Counts one call where the counter counts, for callers that have no clone of their own to remember calls in.
    #[inline]
    pub fn offer_shared(&self, counter: &Counter, now: impl FnOnce() -> Moment) {
        if self.shared.offered.add(counter.shard) {
            self.observe(now);
        }
    }

    /// Takes the right to send one call again; `None` if there is nothing left.
    #[must_use = "dropped, the right is given back"]
    pub fn withdraw(&self, now: Moment) -> Option<Withdrawn> {
        let withdrawal = {
            let mut budget = self.shared.lock();
            budget.withdraw(now, self.shared.offered.total()).ok()?
        };
        Some(Withdrawn {
            held: Some((self.shared.clone(), withdrawal)),
        })
    }

    /// How many calls have been counted, ever.
    #[must_use]
    pub fn offered(&self) -> u64 {
        self.shared.offered.total()
    }

    /// How much is left, from 0 to 1.
    #[must_use]
    pub fn remaining_ratio(&self, now: Moment) -> f64 {
        let mut budget = self.shared.lock();
        budget.remaining_ratio(now, self.shared.offered.total())
    }

    /// Whether nothing is left, of what there would be by the calls that there were.
    #[must_use]
    pub fn is_spent(&self, now: Moment) -> bool {
        let mut budget = self.shared.lock();
        budget.is_spent(now, self.shared.offered.total())
    }

    /// Whether both are one budget.
    #[must_use]
    pub fn same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }

    #[cold]
    fn observe(&self, now: impl FnOnce() -> Moment) {
        // Whoever holds the lock looks at the total itself: no call waits for it.
        let mut budget = match self.shared.budget.try_lock() {
            Ok(budget) => budget,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return,
        };
        budget.observe(now(), self.shared.offered.total());
    }
}

impl Default for Budget {
    /// 20 % of the calls of the last 10 s, plus 10 per second.
    fn default() -> Self {
        Self::try_new(BudgetConfig::default()).expect("the default is valid")
    }
}

impl fmt::Debug for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Budget")
            .field("offered", &self.shared.offered.total())
            .finish_non_exhaustive()
    }
}

impl Shared {
    /// Only whole steps of the machine are made under the lock, so what a panic leaves behind is sound.
    fn lock(&self) -> MutexGuard<'_, budget::Budget> {
        self.budget.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// ===== impl Counter =====

/// A clone has counted nothing yet.
impl Clone for Counter {
    fn clone(&self) -> Self {
        Self {
            shard: self.shard,
            calls: Calls::None,
        }
    }
}

impl fmt::Debug for Counter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Counter").field(&self.shard).finish()
    }
}

// ===== impl Withdrawn =====

impl Withdrawn {
    /// The call is sent.
    pub fn spend(mut self) {
        self.held = None;
    }
}

impl Drop for Withdrawn {
    fn drop(&mut self) {
        // Cancellation: a call dropped while it waited for its turn was not sent again.
        if let Some((shared, withdrawal)) = self.held.take() {
            shared.lock().refund(withdrawal);
        }
    }
}

impl fmt::Debug for Withdrawn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Withdrawn")
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(seconds: u64) -> Moment {
        Moment::ORIGIN + Duration::from_secs(seconds)
    }

    /// A tenth of the calls, and no floor.
    fn tenth() -> Budget {
        Budget::try_new(BudgetConfig::default().share(0.1).floor(0)).unwrap()
    }

    #[test]
    fn clones_share_calls_and_withdrawals() {
        let budget = tenth();
        let other = budget.clone();
        let mut counter = budget.counter();
        (0..20).for_each(|_| budget.offer(&mut counter, || at(1)));
        other.withdraw(at(1)).expect("a tenth of twenty").spend();
        budget.withdraw(at(1)).expect("a tenth of twenty").spend();
        assert!(other.withdraw(at(1)).is_none());
    }

    #[test]
    fn dropped_withdrawal_is_given_back_and_a_spent_one_is_not() {
        let budget = tenth();
        let mut counter = budget.counter();
        (0..10).for_each(|_| budget.offer(&mut counter, || at(1)));
        drop(budget.withdraw(at(1)).expect("a tenth of ten"));
        budget.withdraw(at(1)).expect("it came back").spend();
        assert!(budget.withdraw(at(1)).is_none());
    }

    #[test]
    fn second_call_of_a_clone_leaves_the_place_of_its_parent() {
        let budget = tenth();
        let mut parent = budget.counter();
        let mut clone = parent.clone();
        budget.offer(&mut parent, || at(1));
        budget.offer(&mut clone, || at(1));
        assert_eq!(clone.shard, parent.shard);
        budget.offer(&mut clone, || at(1));
        assert_ne!(clone.shard, parent.shard);
        let own = clone.shard;
        budget.offer(&mut clone, || at(1));
        assert_eq!(clone.shard, own);
    }

    #[test]
    fn clock_is_read_at_the_first_call_and_then_seldom() {
        let budget = tenth();
        let mut counter = budget.counter();
        let mut reads = 0;
        for _ in 0..66 {
            budget.offer(&mut counter, || {
                reads += 1;
                at(1)
            });
        }
        // The first one, that of the clone's own place, and every 32nd there.
        assert!((3..=4).contains(&reads), "{reads}");
    }
}
