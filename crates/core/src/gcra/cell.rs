//! One quota of one caller: a timestamp, and what it means.

use core::fmt;
use core::time::Duration;

use super::Quota;
use crate::moment::nanos;
use crate::sync::atomic::AtomicU64;
use crate::sync::atomic::Ordering::Relaxed;
use crate::{InvalidConfig, Moment};

/// A quota and how much of it is spent: see the [module](super).
///
/// Taking is one compare-and-swap where nobody else takes at the same time; a refusal only reads.
///
/// The clock may run backwards: the cell then waits until it is where it was, and takes the new time for true where it is off by more than a second.
pub struct Cell {
    /// When all of the burst will be there again; in nanoseconds, as is the interval.
    tat: AtomicU64,
    interval: AtomicU64,
    burst: AtomicU64,
    /// For whoever asks what the quota is.
    units: AtomicU64,
    window: AtomicU64,
}

/// What a call took from a [`Cell`], and what it needs in order to give it back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use = "without it nothing can be given back"]
pub struct Taken {
    pub(super) cost: u64,
    pub(super) after: u64,
}

/// Why nothing was taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(clippy::exhaustive_enums, reason = "there is a time, or there is none")]
pub enum Scarcity {
    /// There is not enough before that moment; if others take meanwhile, not then either.
    Until(Moment),
    /// There is never that much at once.
    Never,
}

impl Cell {
    /// A cell of which nothing is spent.
    ///
    /// # Errors
    /// If the quota [cannot work](Quota::check).
    pub fn try_new(quota: Quota) -> Result<Self, InvalidConfig> {
        quota.check()?;
        Ok(Self {
            tat: AtomicU64::new(0),
            interval: AtomicU64::new(nanos(quota.interval())),
            burst: AtomicU64::new(quota.burst()),
            units: AtomicU64::new(quota.units()),
            window: AtomicU64::new(nanos(quota.window())),
        })
    }

    /// The quota.
    #[must_use]
    pub fn quota(&self) -> Quota {
        let window = Duration::from_nanos(self.window.load(Relaxed));
        Quota::new(self.units.load(Relaxed), window).with_burst(self.burst.load(Relaxed))
    }

    /// Whether that much could be taken now. Takes nothing.
    ///
    /// # Errors
    /// What [`try_take`](Self::try_take) would say.
    #[inline]
    pub fn check(&self, now: Moment, cost: u64) -> Result<(), Scarcity> {
        let terms = self.terms(cost)?;
        let tat = self.tat.load(Relaxed);
        match terms.decide(tat, now.as_nanos()) {
            Ok(_) => Ok(()),
            Err(scarcity) => {
                self.heal(tat, now, terms);
                Err(scarcity)
            }
        }
    }

    /// Takes that much. What costs nothing is always admitted, and writes nothing.
    ///
    /// # Errors
    /// If there is not that much now, or never is.
    #[inline]
    pub fn try_take(&self, now: Moment, cost: u64) -> Result<Taken, Scarcity> {
        self.try_take_and_look(now, cost).map(|(taken, _)| taken)
    }

    /// The same, and whether what it left is enough for one more: known by then, and dearer to find out afterwards.
    #[inline(always)]
    pub(super) fn try_take_and_look(
        &self,
        now: Moment,
        cost: u64,
    ) -> Result<(Taken, bool), Scarcity> {
        let terms = self.terms(cost)?;
        let mut tat = self.tat.load(Relaxed);
        loop {
            let after = match terms.decide(tat, now.as_nanos()) {
                Ok(after) => after,
                Err(scarcity) => {
                    self.heal(tat, now, terms);
                    return Err(scarcity);
                }
            };
            if cost > 0
                && let Err(changed) = self.tat.compare_exchange_weak(tat, after, Relaxed, Relaxed)
            {
                tat = changed;
                continue;
            }
            let has_more = terms.has_more(after, now.as_nanos());
            return Ok((Taken { cost, after }, has_more));
        }
    }

    /// Gives back what was taken, as far as time has not: see the [module](super).
    pub fn give_back(&self, taken: Taken, now: Moment) {
        let left = taken.after.saturating_sub(now.as_nanos());
        let cost = self.interval.load(Relaxed).saturating_mul(taken.cost);
        let back = cost.min(left);
        if back > 0 {
            self.update(|tat| tat.saturating_sub(back));
        }
    }

    /// How much could be taken now.
    #[must_use]
    pub fn remaining(&self, now: Moment) -> u64 {
        let missing = self.debt(now).div_ceil(self.interval.load(Relaxed));
        self.burst.load(Relaxed).saturating_sub(missing)
    }

    /// The time until there is more than [`remaining`](Self::remaining); zero if all of it is there.
    #[must_use]
    pub fn time_to_more(&self, now: Moment) -> Duration {
        let debt = self.debt(now);
        let interval = self.interval.load(Relaxed);
        Duration::from_nanos(match debt % interval {
            0 => debt.min(interval),
            rest => rest,
        })
    }

    /// The time until all of it is there.
    #[must_use]
    pub fn time_to_full(&self, now: Moment) -> Duration {
        Duration::from_nanos(self.debt(now))
    }

    /// The time until so much could be taken; `None` if there is never that much at once.
    #[must_use]
    pub fn time_until(&self, now: Moment, cost: u64) -> Option<Duration> {
        match self.check(now, cost) {
            Ok(()) => Some(Duration::ZERO),
            Err(Scarcity::Until(moment)) => Some(moment.since(now)),
            Err(Scarcity::Never) => None,
        }
    }

    pub(super) fn earliest(&self, now: Moment, ahead: u64, cost: u64) -> Option<Moment> {
        let terms = self.terms(cost).ok()?;
        let ahead = self.interval.load(Relaxed).saturating_mul(ahead);
        let spent = self.tat.load(Relaxed).saturating_add(ahead);
        match terms.decide(spent, now.as_nanos()) {
            Err(Scarcity::Until(moment)) => Some(moment),
            _ => Some(now),
        }
    }

    /// Another quota from now on. What is spent stays spent, counted in units, as far as the new burst goes.
    ///
    /// A call that is decided at the same time may see a part of the change: it is decided by one of the two intervals and one of the two bursts, and what it took may be counted by the other interval.
    ///
    /// # Errors
    /// If the quota [cannot work](Quota::check); nothing has changed then.
    pub fn set_quota(&self, quota: Quota, now: Moment) -> Result<(), InvalidConfig> {
        quota.check()?;
        let interval = nanos(quota.interval());
        let before = self.interval.swap(interval, Relaxed);
        self.burst.store(quota.burst(), Relaxed);
        self.units.store(quota.units(), Relaxed);
        self.window.store(nanos(quota.window()), Relaxed);
        let now = now.as_nanos();
        self.update(|tat| match tat.checked_sub(now) {
            None | Some(0) => tat,
            Some(debt) => {
                let debt = u128::from(debt) * u128::from(interval) / u128::from(before);
                let whole = u128::from(interval) * u128::from(quota.burst());
                // What does not fit 64 bits is above `whole`, which does.
                now.saturating_add(debt.min(whole) as u64)
            }
        });
        Ok(())
    }

    fn debt(&self, now: Moment) -> u64 {
        self.tat.load(Relaxed).saturating_sub(now.as_nanos())
    }

    #[inline(always)]
    fn terms(&self, cost: u64) -> Result<Terms, Scarcity> {
        let burst = self.burst.load(Relaxed);
        if cost > burst {
            return Err(Scarcity::Never);
        }
        // Neither overflows unless a new quota is half written, and then the larger number only refuses.
        let interval = self.interval.load(Relaxed);
        Ok(Terms {
            interval,
            cost: interval.saturating_mul(cost),
            whole: interval.saturating_mul(burst),
        })
    }

    /// No call leaves more to wait for than the whole burst: where there is much more, the clock has been set back, and without this the cell would refuse until it is where it was.
    #[inline]
    fn heal(&self, tat: u64, now: Moment, terms: Terms) {
        let most = now.as_nanos().saturating_add(terms.whole);
        // Not for less than a second: between two threads the clock may seem to run back by what one of them slept.
        if tat.saturating_sub(most) > BROKEN {
            self.bring_back(tat, most);
        }
    }

    #[cold]
    fn bring_back(&self, tat: u64, most: u64) {
        // If another was faster, it has seen the same clock.
        let _ = self.tat.compare_exchange(tat, most, Relaxed, Relaxed);
    }

    fn update(&self, change: impl Fn(u64) -> u64) {
        let mut tat = self.tat.load(Relaxed);
        loop {
            match self
                .tat
                .compare_exchange_weak(tat, change(tat), Relaxed, Relaxed)
            {
                Ok(_) => return,
                Err(changed) => tat = changed,
            }
        }
    }
}

impl fmt::Debug for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cell")
            .field("quota", &self.quota())
            .field("full_at", &Moment::from_nanos(self.tat.load(Relaxed)))
            .finish()
    }
}

/// A cost and a burst, as time.
#[derive(Clone, Copy)]
struct Terms {
    interval: u64,
    cost: u64,
    whole: u64,
}

impl Terms {
    /// What the timestamp is after the call.
    #[inline(always)]
    fn decide(self, tat: u64, now: u64) -> Result<u64, Scarcity> {
        debug_assert!(self.cost <= self.whole, "never admitted otherwise");
        let earliest = tat.saturating_add(self.cost).saturating_sub(self.whole);
        if now < earliest {
            return Err(Scarcity::Until(Moment::from_nanos(earliest)));
        }
        let after = tat.max(now).saturating_add(self.cost);
        debug_assert!(
            after <= now.saturating_add(self.whole),
            "no more is spent than there is at once"
        );
        Ok(after)
    }

    /// Whether one unit could be taken from there.
    #[inline(always)]
    fn has_more(self, tat: u64, now: u64) -> bool {
        now >= tat.saturating_add(self.interval).saturating_sub(self.whole)
    }
}

/// In nanoseconds; see [`Cell::heal`].
const BROKEN: u64 = 1_000_000_000;
