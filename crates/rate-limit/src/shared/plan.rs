//! What a key has: its quotas, and what follows from them for leases and shares.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use seaworthy_core::Ratio;
use seaworthy_core::gcra::{Quota, Windows};
use seaworthy_kit::quota::Quotas;
use seaworthy_kit::{InvalidConfig, Moment, Name};

use super::SharedLimit;
use super::key::Key;
use super::terms::Terms;

/// The quotas of a key, and what follows from them.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) terms: Box<[Terms]>,
    /// The most that a check can cost.
    pub(super) most: u64,
    /// Units in a lease; one where there is none.
    pub(super) lease: u64,
    /// How long a refusal is remembered at least.
    pub(super) pause: Duration,
    /// What this process holds by itself while the server is away, where it does.
    pub(super) share: Box<[Quota]>,
}

/// What plans are made by.
#[derive(Debug)]
pub(super) struct Planner {
    pub(super) policies: Box<[Name]>,
    pub(super) lease: Option<Ratio>,
    pub(super) share: Option<Ratio>,
}

/// A key, and what it has.
#[derive(Clone, Debug)]
pub(super) struct Account {
    pub(super) key: Key,
    pub(super) plan: Arc<Plan>,
}

/// What the server has said of the quotas of a key, and when.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Stand {
    pub(super) debts: Arc<[u64]>,
    pub(super) told: Moment,
}

/// Quotas that a [`SharedLimit`] can count: what one key of a layer may have instead of the others'; cheap to clone.
#[derive(Clone)]
pub struct SharedLimits(pub(super) Arc<Plan>);

// ===== impl Planner =====

impl Planner {
    pub(super) fn plan(&self, quotas: &[Quota]) -> Result<Arc<Plan>, InvalidConfig> {
        // Of a key with more quotas than the limit, the last name stands for the rest.
        let last = self.policies.last().into_iter().cycle();
        let policies = self.policies.iter().chain(last).copied();
        let quotas: Vec<_> = policies.zip(quotas.iter().copied()).collect();
        let terms = Terms::all_of(&quotas)?;
        let most = terms.iter().map(Terms::burst).min().unwrap_or(0);
        let lease = match self.lease {
            Some(fraction) => fraction.most_part(most),
            None => 1,
        };
        if self.lease.is_some() && lease < 2 {
            let reason = "must come to two of the smallest burst or more";
            return Err(InvalidConfig::new("lease", reason));
        }
        let share: Box<[_]> = match self.share {
            Some(fraction) => terms.iter().map(|terms| terms.share(fraction)).collect(),
            None => Box::default(),
        };
        if self.share.is_some() {
            Windows::try_new(&share).map_err(|_| {
                InvalidConfig::new("when_away", "leaves less than one in a century")
            })?;
        }
        let slowest = terms.iter().map(|terms| terms.unit).max();
        let whole = Duration::from_nanos(slowest.unwrap_or(0).saturating_mul(lease));
        Ok(Arc::new(Plan {
            terms,
            most,
            lease,
            pause: whole.min(LONGEST_PAUSE),
            share,
        }))
    }
}

// ===== impl Account =====

impl Account {
    pub(super) const fn new(key: Key, plan: Arc<Plan>) -> Self {
        Self { key, plan }
    }

    pub(super) fn terms(&self) -> &[Terms] {
        &self.plan.terms
    }
}

impl PartialEq for Account {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key && Arc::ptr_eq(&self.plan, &other.plan)
    }
}

impl Eq for Account {}

// ===== impl Stand =====

impl Stand {
    /// The time until so many units have come, with what there is.
    pub(super) fn wait(&self, terms: &[Terms], units: u64, now: Moment) -> Duration {
        let since = now.since(self.told);
        let each = terms.iter().zip(&*self.debts);
        let each = each.map(|(terms, &debt)| terms.wait(debt, since, units));
        each.max().unwrap_or(Duration::ZERO)
    }

    /// How the quotas stand now, where this process has so many units in hand.
    pub(super) fn quotas(&self, terms: &[Terms], in_hand: u64, now: Moment) -> Quotas {
        let since = now.since(self.told);
        let each = terms.iter().zip(&*self.debts);
        let mut quotas = Quotas::new();
        quotas.extend(each.map(|(terms, &debt)| terms.state(debt, since, in_hand)));
        quotas
    }
}

// ===== impl SharedLimits =====

impl SharedLimit {
    /// Other quotas than the limit's own, with the same names, leases and shares: for [some keys](super::SharedKeyedBuilder::limits) of a layer.
    ///
    /// # Errors
    /// If there is none, more than four, or one that cannot work; or if a lease of them, or the share while the server is away, comes to too little.
    pub fn limits(&self, quotas: impl AsRef<[Quota]>) -> Result<SharedLimits, InvalidConfig> {
        self.inner.planner.plan(quotas.as_ref()).map(SharedLimits)
    }
}

impl fmt::Debug for SharedLimits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SharedLimits").field(&self.0.terms).finish()
    }
}

/// A whole lease comes at once rather than unit by unit, where nobody notices how long that took.
const LONGEST_PAUSE: Duration = Duration::from_millis(100);
