//! The quotas of a shared limit, as the scripts count them.

use std::time::Duration;

use seaworthy_core::Ratio;
use seaworthy_core::gcra::{Quota, Windows};
use seaworthy_kit::quota::QuotaState;
use seaworthy_kit::{InvalidConfig, Name};

/// One quota: how long a unit takes to come, and all of them.
#[derive(Clone, Debug)]
pub(super) struct Terms {
    policy: Name,
    quota: Quota,
    /// Nanoseconds for one unit.
    pub(super) unit: u64,
    /// Nanoseconds for the whole burst.
    pub(super) all: u64,
    /// What the quota is called in its key: by its window, so that a changed number takes over what was spent of the old one, as the same share of it.
    pub(super) field: String,
}

impl Terms {
    pub(super) fn all_of(quotas: &[(Name, Quota)]) -> Result<Box<[Self]>, InvalidConfig> {
        // It checks each, and how many there are.
        let each: Vec<Quota> = quotas.iter().map(|(_, quota)| *quota).collect();
        Windows::try_new(&each)?;
        let mut all: Vec<Self> = Vec::with_capacity(quotas.len());
        for (policy, quota) in quotas {
            let mut terms = Self::try_new(*policy, *quota)?;
            let is_same = |it: &&Self| it.quota.window() == quota.window();
            let same = all.iter().filter(is_same).count();
            if same > 0 {
                terms.field = format!("{}:{same}", terms.field);
            }
            all.push(terms);
        }
        Ok(all.into())
    }

    fn try_new(policy: Name, quota: Quota) -> Result<Self, InvalidConfig> {
        let unit = nanos(quota.interval());
        let all = unit.saturating_mul(quota.burst());
        if all > LONGEST {
            return Err(InvalidConfig::new(
                "burst",
                "must come within a hundred days: lower it, or shorten the window",
            ));
        }
        Ok(Self {
            policy,
            quota,
            unit,
            all,
            field: quota.window().as_nanos().to_string(),
        })
    }

    pub(super) const fn units(&self) -> u64 {
        self.quota.units()
    }

    pub(super) const fn burst(&self) -> u64 {
        self.quota.burst()
    }

    /// That fraction of the quota, for a process on its own, but a burst of one at least.
    pub(super) fn share(&self, fraction: Ratio) -> Quota {
        // Units come that much slower: a fraction of a small number would be none, or too many.
        let window = self.quota.window().div_f64(fraction.as_f64());
        let burst = fraction.most_part(self.quota.burst()).max(1);
        Quota::new(self.quota.units(), window).with_burst(burst)
    }

    /// How the quota stands with so much left, and the time until there is more.
    pub(super) const fn left(&self, remaining: u64, reset: Duration) -> QuotaState {
        QuotaState::new(self.policy, self.quota.units(), self.quota.window()).left(remaining, reset)
    }

    /// The time until so many units have come, with that debt so long after it was told.
    pub(super) const fn wait(&self, debt: u64, since: Duration, units: u64) -> Duration {
        let debt = debt.saturating_sub(nanos(since));
        let after = debt.saturating_add(self.unit.saturating_mul(units));
        Duration::from_nanos(after.saturating_sub(self.all))
    }

    /// How the quota stands with that debt, so long after it was told, where this process has so many units of it in hand.
    pub(super) fn state(&self, debt: u64, since: Duration, in_hand: u64) -> QuotaState {
        let debt = debt.saturating_sub(nanos(since)).min(self.all);
        let free = self.all - debt;
        let left = free / self.unit;
        // A full one has no next unit to come.
        let reset = if debt == 0 {
            0
        } else {
            self.unit - free % self.unit
        };
        let left = left.saturating_add(in_hand).min(self.burst());
        self.left(left, Duration::from_nanos(reset))
    }
}

const fn nanos(duration: Duration) -> u64 {
    let nanos = duration.as_nanos();
    if nanos > u64::MAX as u128 {
        u64::MAX
    } else {
        nanos as u64
    }
}

/// A hundred days in nanoseconds: beyond 104, the numbers of Lua would no longer be exact.
const LONGEST: u64 = 100 * 24 * 3600 * 1_000_000_000;

#[cfg(test)]
mod tests {
    use seaworthy_core::Moment;
    use seaworthy_core::gcra::Cell;

    use super::*;

    #[test]
    fn quota_stands_as_a_cell_with_the_same_debt_does() {
        let quota = Quota::new(10, Duration::from_nanos(70)).with_burst(5);
        let terms = Terms::all_of(&[("api".into(), quota)]).unwrap();
        let now = Moment::from_nanos(1000);
        for cost in 0..=5 {
            let cell = Cell::try_new(quota).unwrap();
            let _ = cell.try_take(now, cost).unwrap();
            for since in 0..40 {
                let since = Duration::from_nanos(since);
                let state = terms[0].state(7 * cost, since, 0);
                let later = now + since;
                assert_eq!(state.remaining, cell.remaining(later), "{cost} {since:?}");
                assert_eq!(state.reset, cell.time_to_more(later), "{cost} {since:?}");
                for units in 1..=5 {
                    let wait = terms[0].wait(7 * cost, since, units);
                    let ready = later + wait;
                    assert!(cell.remaining(ready) >= units, "{cost} {since:?} {units}");
                    let sooner = ready - Duration::from_nanos(1);
                    let none = wait.is_zero() || cell.remaining(sooner) < units;
                    assert!(none, "{cost} {since:?} {units}");
                }
            }
        }
        let state = terms[0].state(35, Duration::ZERO, 2);
        assert_eq!((state.remaining, state.limit), (2, 10));
        let state = terms[0].state(7, Duration::ZERO, 2);
        assert_eq!(state.remaining, 5, "never more than the burst");
        let state = terms[0].state(u64::MAX, Duration::ZERO, 0);
        assert_eq!(state.remaining, 0);
    }

    #[test]
    fn quotas_with_the_same_window_are_told_apart() {
        let quotas = [1, 2, 3].map(|units| ("api".into(), Quota::per_second(units)));
        let terms = Terms::all_of(&quotas).unwrap();
        let fields: Vec<&str> = terms.iter().map(|it| &*it.field).collect();
        assert_eq!(fields, ["1000000000", "1000000000:1", "1000000000:2"]);
    }
}
