//! The share of the limit that this process holds by itself while the server is away.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use seaworthy_core::Ratio;
use seaworthy_core::gcra::{Quota, Scarcity, TakenAll, Windows};
use seaworthy_kit::quota::Quotas;
use seaworthy_kit::{InvalidConfig, Moment};

use super::key::Key;
use super::terms::Terms;

/// What each key has of its share.
pub(super) struct Local {
    quotas: Vec<Quota>,
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
    pub(super) fn try_new(
        terms: &[Terms],
        fraction: f64,
        max_keys: usize,
    ) -> Result<Self, InvalidConfig> {
        let fraction = Ratio::try_new("when_away", fraction)?;
        let quotas: Vec<_> = terms.iter().map(|terms| terms.share(fraction)).collect();
        let overflow = Windows::try_new(&quotas)
            .map_err(|_| InvalidConfig::new("when_away", "leaves less than one in a century"))?;
        let known = Known {
            keys: HashMap::new(),
            overflow,
            swept: Moment::ORIGIN,
        };
        Ok(Self {
            quotas,
            max_keys,
            known: Mutex::new(known),
        })
    }

    /// Takes from all quotas of the key or from none, and tells how they stand.
    pub(super) fn take(
        &self,
        key: Key,
        cost: u64,
        now: Moment,
        terms: &[Terms],
    ) -> (Result<TakenAll, Scarcity>, Quotas) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let windows = known.windows(key, now, self);
        let taken = windows.try_take(now, cost);
        let cells = windows.cells().zip(terms);
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
    fn windows(&mut self, key: Key, now: Moment, local: &Local) -> &Windows {
        let number = key.number();
        if !self.keys.contains_key(&number) {
            if self.keys.len() >= local.max_keys && now.since(self.swept) >= SWEEP {
                self.swept = now;
                // One that is full is as good as unknown.
                self.keys.retain(|_, windows| !windows.is_full(now));
            }
            if self.keys.len() >= local.max_keys {
                return &self.overflow;
            }
        }
        self.keys.entry(number).or_insert_with(|| {
            Windows::try_new(&local.quotas)
                .expect("the quotas were checked when the limit was built")
        })
    }
}

impl fmt::Debug for Local {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Local").finish_non_exhaustive()
    }
}

/// To look through all keys takes long: not for each call that finds no room.
const SWEEP: Duration = Duration::from_secs(1);
