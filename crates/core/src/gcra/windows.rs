//! Several quotas decided as one: a short window against bursts, a long one against too much in the long run.

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::Quota;
use super::cell::{Cell, Scarcity, Taken};
use crate::{InvalidConfig, Moment};

/// Quotas that a call must all meet.
///
/// A call takes from each of them or from none, and a refusal names the longest wait among them.
///
/// # Between threads
/// All are asked before anything is taken, so that a refusal as a rule writes nothing.
/// Then they are taken one after the other, in the same order by everybody; where another thread was faster at a later one, what was taken from the earlier ones is given back, in full.
/// - No quota is ever exceeded, not even for an instant: each cell decides for itself.
/// - Nothing is lost: what was taken in vain is given back in full, whoever took meanwhile.
///   Where the bucket was full and another thread read a later time in between, that one counts as if it had come earlier, by the time between the two clock reads.
/// - In that instant another call may be refused for what is about to be given back, which a lock around all of them would have admitted.
///   Of the calls in the race, the one that came furthest is admitted, or refused for what is spent for good.
#[derive(Debug)]
pub struct Windows {
    first: Cell,
    more: Box<[Cell]>,
}

/// What a call took from each of its [`Windows`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use = "without it nothing can be given back"]
pub struct TakenAll {
    cost: u64,
    after: [u64; Windows::MAX],
}

impl Windows {
    /// The most windows: a second, a minute, an hour and a day.
    pub const MAX: usize = 4;

    /// Nothing is spent of any of them.
    ///
    /// # Errors
    /// If there is none, more than [`MAX`](Self::MAX), or one that [cannot work](Quota::check).
    pub fn try_new(quotas: &[Quota]) -> Result<Self, InvalidConfig> {
        let Some((first, more)) = quotas.split_first() else {
            return Err(InvalidConfig::new("quota", "must be given"));
        };
        if quotas.len() > Self::MAX {
            return Err(InvalidConfig::new("quota", "must be at most four"));
        }
        let more: Result<Vec<_>, _> = more.iter().map(|quota| Cell::try_new(*quota)).collect();
        Ok(Self {
            first: Cell::try_new(*first)?,
            more: more?.into(),
        })
    }

    /// Each of them, in the order in which they were given.
    pub fn cells(&self) -> impl Iterator<Item = &Cell> {
        core::iter::once(&self.first).chain(&self.more)
    }

    /// Whether that much could be taken now. Takes nothing.
    ///
    /// # Errors
    /// What [`try_take`](Self::try_take) would say.
    #[inline]
    pub fn check(&self, now: Moment, cost: u64) -> Result<(), Scarcity> {
        let first = self.first.check(now, cost);
        if self.more.is_empty() {
            return first;
        }
        let others = self.more.iter().map(|cell| cell.check(now, cost));
        others.fold(first, longest)
    }

    /// Takes that much from all of them, or nothing.
    ///
    /// # Errors
    /// If one of them has not that much now, or never has.
    #[inline]
    pub fn try_take(&self, now: Moment, cost: u64) -> Result<TakenAll, Scarcity> {
        self.try_take_and_look(now, cost).map(|(taken, _)| taken)
    }

    /// Takes that much from all of them, or nothing; and says whether one more could be taken after it, as far as nobody else takes.
    ///
    /// # Errors
    /// If one of them has not that much now, or never has.
    #[inline(always)]
    pub fn try_take_and_look(&self, now: Moment, cost: u64) -> Result<(TakenAll, bool), Scarcity> {
        if self.more.is_empty() {
            let (taken, has_more) = self.first.try_take_and_look(now, cost)?;
            let after = [taken.after, 0, 0, 0];
            return Ok((TakenAll { cost, after }, has_more));
        }
        let taken = self.take_each(now, cost)?;
        Ok((taken, self.check(now, 1).is_ok()))
    }

    #[inline(never)]
    fn take_each(&self, now: Moment, cost: u64) -> Result<TakenAll, Scarcity> {
        self.check(now, cost)?;
        let mut taken = TakenAll {
            cost,
            after: [0; Self::MAX],
        };
        for (at, cell) in self.cells().enumerate() {
            match cell.try_take(now, cost) {
                Ok(one) => taken.after[at] = one.after,
                Err(scarcity) => {
                    self.give_back_first(at, taken, now);
                    let refused = Err(scarcity);
                    let all = self.cells().map(|cell| cell.check(now, cost));
                    return all.fold(refused, longest).map(|()| taken);
                }
            }
        }
        Ok(taken)
    }

    /// Gives back to each what was taken, as far as time has not: see the [module](super).
    pub fn give_back(&self, taken: TakenAll, now: Moment) {
        self.give_back_first(Self::MAX, taken, now);
    }

    fn give_back_first(&self, count: usize, taken: TakenAll, now: Moment) {
        for (cell, after) in self.cells().zip(taken.after).take(count) {
            let cost = taken.cost;
            cell.give_back(Taken { cost, after }, now);
        }
    }

    /// When that much could be taken after `ahead` has been, as far as can be told; `None` if there is never that much at once.
    #[must_use]
    pub fn earliest(&self, now: Moment, ahead: u64, cost: u64) -> Option<Moment> {
        let each = self.cells().map(|cell| cell.earliest(now, ahead, cost));
        each.reduce(|one, other| Some(one?.max(other?))).flatten()
    }

    /// Whether nothing is spent of any of them: one that is new would be no different.
    #[must_use]
    pub fn is_full(&self, now: Moment) -> bool {
        self.cells().all(|cell| cell.time_to_full(now).is_zero())
    }
}

/// The longer wait of two refusals, or the one that there is.
fn longest(one: Result<(), Scarcity>, other: Result<(), Scarcity>) -> Result<(), Scarcity> {
    match (one, other) {
        (Err(Scarcity::Until(one)), Err(Scarcity::Until(other))) => {
            Err(Scarcity::Until(one.max(other)))
        }
        (Err(Scarcity::Never) | Ok(()), _) => one.and(other),
        (_, Ok(())) => one,
        (_, Err(Scarcity::Never)) => other,
    }
}
