//! The share of the limit that this process holds by itself while the server is away.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use seaworthy_core::gcra::{Scarcity, TakenAll, Windows};
use seaworthy_kit::Moment;
use seaworthy_kit::quota::Quotas;

use super::key::Key;
use super::plan::{Account, Plan};

/// What each key has of its share.
pub(super) struct Local {
    max_keys: usize,
    known: Mutex<Known>,
}

struct Known {
    keys: HashMap<u128, Windows>,
    /// Of all keys for which there is no room.
    overflow: Windows,
    /// When it was last looked for keys that can be forgotten.
    swept: Moment,
}

impl Local {
    /// Nobody has spent anything; keys for which there is no room have the share of that plan together.
    pub(super) fn new(plan: &Plan, max_keys: usize) -> Self {
        let known = Known {
            keys: HashMap::new(),
            overflow: windows(plan),
            swept: Moment::ORIGIN,
        };
        Self {
            max_keys,
            known: Mutex::new(known),
        }
    }

    /// Takes from all quotas of the key or from none, and tells how they stand.
    pub(super) fn take(
        &self,
        account: &Account,
        cost: u64,
        now: Moment,
    ) -> (Result<TakenAll, Scarcity>, Quotas) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let windows = known.windows(account, now, self.max_keys);
        let taken = windows.try_take(now, cost);
        let cells = windows.cells().zip(account.terms());
        let states =
            cells.map(|(cell, terms)| terms.left(cell.remaining(now), cell.time_to_more(now)));
        let mut quotas = Quotas::new();
        quotas.extend(states);
        (taken, quotas)
    }

    /// Gives back what was taken, as far as time has not.
    pub(super) fn give_back(&self, key: Key, taken: TakenAll, now: Moment) {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        // One that is not known is full, or was counted with others: they have it until time gives it.
        if let Some(windows) = known.keys.get(&key.number()) {
            windows.give_back(taken, now);
        }
    }
}

impl Known {
    fn windows(&mut self, account: &Account, now: Moment, max_keys: usize) -> &Windows {
        let number = account.key.number();
        if !self.keys.contains_key(&number) {
            if self.keys.len() >= max_keys && now.since(self.swept) >= SWEEP {
                self.swept = now;
                // One that is full is as good as unknown.
                self.keys.retain(|_, windows| !windows.is_full(now));
            }
            if self.keys.len() >= max_keys {
                return &self.overflow;
            }
        }
        let made = || windows(&account.plan);
        self.keys.entry(number).or_insert_with(made)
    }
}

fn windows(plan: &Plan) -> Windows {
    Windows::try_new(&plan.share).expect("a plan with a share has checked it")
}

impl fmt::Debug for Local {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Local").finish_non_exhaustive()
    }
}

/// To look through all keys takes long: not for each call that finds no room.
const SWEEP: Duration = Duration::from_secs(1);
