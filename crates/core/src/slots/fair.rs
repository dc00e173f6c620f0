//! Fair shares among tenants: whose turn it is, who gives way, and who may still run where there is no room.

use alloc::collections::{BTreeMap, BTreeSet};
use core::cmp::Ordering;

use super::tenant::Tenant;
use crate::{Criticality, Moment};

/// Who of the tenants runs and waits, in each class for itself.
///
/// A tenant has an account while a call of its runs or waits: there are never more accounts than such calls, whatever names callers make up, and nothing is left of who has gone.
#[derive(Default, Debug)]
pub(super) struct Fair {
    /// Whether who has less than its share is lent slots above the limit.
    pub(super) lends: bool,
    classes: [Tenants; Criticality::ALL.len()],
}

/// The accounts of one class.
///
/// Each change costs O(log tenants).
#[derive(Default, Debug)]
pub(super) struct Tenants {
    accounts: BTreeMap<u64, Account>,
    /// How many calls of all accounts run.
    running: usize,
    /// What all accounts weigh.
    weights: u64,
    /// Those who wait, in the order of their turns: who has least running for its weight, and of several the one that was served least.
    turns: BTreeSet<(Load, u64, u64)>,
    /// The same, those with the fewest waiting for their weight first.
    lines: BTreeSet<(Load, u64)>,
    /// How far the tenant was that was served last: who comes anew begins there, and has neither a debt nor a claim.
    served: u64,
}

#[derive(Clone, Copy, Debug)]
struct Account {
    weight: u32,
    running: u32,
    waiting: u32,
    /// How often it was served, by its weight.
    pass: u64,
    /// Since when it has had somebody waiting without a break.
    standing: Option<Moment>,
}

/// So many for that weight: a fraction, compared without rounding.
#[derive(Clone, Copy, Debug)]
struct Load {
    count: u32,
    weight: u32,
}

// ===== impl Fair =====

impl Fair {
    pub(super) fn new(lends: bool) -> Self {
        Self {
            lends,
            ..Self::default()
        }
    }

    pub(super) const fn of(&self, class: Criticality) -> &Tenants {
        &self.classes[class.index()]
    }

    pub(super) const fn of_mut(&mut self, class: Criticality) -> &mut Tenants {
        &mut self.classes[class.index()]
    }

    /// How many tenants have calls that run or wait; one with calls of several classes counts in each.
    pub(super) fn len(&self) -> usize {
        let each = self.classes.iter();
        each.map(|tenants| tenants.accounts.len()).sum()
    }

    /// How many run, and wait.
    pub(super) fn counts(&self) -> (usize, usize) {
        let accounts = self.classes.iter().flat_map(|it| it.accounts.values());
        accounts.fold((0, 0), |(running, waiting), account| {
            let (more, wait) = (account.running as usize, account.waiting as usize);
            (running + more, waiting + wait)
        })
    }
}

// ===== impl Tenants =====

impl Tenants {
    /// A call of this tenant runs now.
    pub(super) fn started(&mut self, tenant: Tenant) {
        let served = self.change(tenant, |account, _| {
            let begins = account.pass;
            account.running += 1;
            let stride = STRIDE / u64::from(account.weight);
            account.pass = account.pass.saturating_add(stride);
            begins
        });
        self.served = self.served.max(served);
    }

    /// One that ran is over.
    pub(super) fn ended(&mut self, key: u64) {
        self.change(Tenant::new(key), |account, _| {
            debug_assert!(account.running > 0, "what ends has begun");
            account.running = account.running.saturating_sub(1);
        });
    }

    /// One more waits.
    pub(super) fn queued(&mut self, tenant: Tenant, now: Moment) {
        self.change(tenant, |account, served| {
            if account.waiting == 0 {
                account.pass = account.pass.max(served);
            }
            account.waiting += 1;
            // A clock that has run backwards must not keep a line from ever standing.
            let since = account.standing.map_or(now, |since| since.min(now));
            account.standing = Some(since);
        });
    }

    /// One that waited does so no more: it runs, or has gone.
    pub(super) fn left(&mut self, key: u64) {
        self.change(Tenant::new(key), |account, _| {
            debug_assert!(account.waiting > 0, "who leaves has come");
            account.waiting = account.waiting.saturating_sub(1);
            if account.waiting == 0 {
                account.standing = None;
            }
        });
    }

    /// Whose turn it is, of those who wait.
    pub(super) fn next(&self) -> Option<u64> {
        self.turns.first().map(|&(_, _, key)| key)
    }

    /// Who has the most waiting for its weight.
    pub(super) fn longest(&self) -> Option<u64> {
        self.lines.last().map(|&(_, key)| key)
    }

    /// Whether one more of this tenant waiting would still be less than what the one with most has, for their weights; nobody gives up the only place it has.
    pub(super) fn may_push_out(&self, tenant: Tenant) -> bool {
        let Some(&(most, key)) = self.lines.last() else {
            return false;
        };
        let own = self.account(tenant);
        key != tenant.key && most.count > 1 && Load::new(own.waiting + 1, own.weight) < most
    }

    /// Since when somebody of this tenant has been waiting without a break.
    pub(super) fn standing(&self, key: u64) -> Option<Moment> {
        self.accounts.get(&key)?.standing
    }

    /// Whether one more call of this tenant would be within its share, where so many calls of all classes run and `most` may.
    ///
    /// The share is one of what this class has now, by the weights of those who have calls on the way; and never less than one call.
    pub(super) fn is_within_share(&self, tenant: Tenant, running: usize, most: usize) -> bool {
        let own = self.account(tenant);
        if own.running == 0 {
            return true;
        }
        let room = most.saturating_sub(running.saturating_sub(self.running));
        let (more, weight) = (u128::from(own.running) + 1, u128::from(own.weight));
        more * u128::from(self.weights) <= room as u128 * weight
    }

    fn account(&self, tenant: Tenant) -> Account {
        let known = self.accounts.get(&tenant.key).copied();
        known.unwrap_or_else(|| Account::new(tenant.weight, self.served))
    }

    /// Every change of an account, and what follows from it.
    fn change<R>(&mut self, tenant: Tenant, change: impl FnOnce(&mut Account, u64) -> R) -> R {
        let key = tenant.key;
        let before = self.account(tenant);
        let mut after = before;
        let result = change(&mut after, self.served);
        if before.is_used() {
            self.weights -= u64::from(before.weight);
        }
        if before.waiting > 0 {
            self.turns.remove(&before.turn(key));
            self.lines.remove(&(before.line(), key));
        }
        if after.waiting > 0 {
            self.turns.insert(after.turn(key));
            self.lines.insert((after.line(), key));
        }
        self.running = self.running + after.running as usize - before.running as usize;
        if after.is_used() {
            self.weights += u64::from(after.weight);
            self.accounts.insert(key, after);
        } else {
            self.accounts.remove(&key);
        }
        result
    }
}

// ===== impl Account =====

impl Account {
    const fn new(weight: u32, pass: u64) -> Self {
        Self {
            weight,
            running: 0,
            waiting: 0,
            pass,
            standing: None,
        }
    }

    const fn is_used(&self) -> bool {
        self.running > 0 || self.waiting > 0
    }

    const fn turn(&self, key: u64) -> (Load, u64, u64) {
        (Load::new(self.running, self.weight), self.pass, key)
    }

    const fn line(&self) -> Load {
        Load::new(self.waiting, self.weight)
    }
}

// ===== impl Load =====

impl Load {
    const fn new(count: u32, weight: u32) -> Self {
        Self { count, weight }
    }
}

impl Ord for Load {
    fn cmp(&self, other: &Self) -> Ordering {
        let product = |count, weight| u64::from(count) * u64::from(weight);
        product(self.count, other.weight).cmp(&product(other.count, self.weight))
    }
}

impl PartialOrd for Load {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Load {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Load {}

/// What one call counts for a tenant that weighs one: enough that the greatest weight still leaves a fine step, and that 64 bits last for millennia.
const STRIDE: u64 = 1_000_000;
