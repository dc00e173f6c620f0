//! Units that this process has taken ahead, by key, so that most checks need no round trip.
//!
//! ```text
//!            first check: what it costs           another within the hold: a lease
//! unknown ------------------------------> seen -----------------------------------> leased
//!    ^                                     |                                          |
//!    +-------------------------------------+------------------------------------------+
//!                  the hold is over: what is left goes back to the server
//! ```
//!
//! A process has at most one lease of a key in hand: one call at a time asks for more, and the others wait for it.

use std::collections::HashMap;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use seaworthy_kit::Moment;
use seaworthy_kit::quota::Quotas;

use super::key::Key;
use super::plan::{Account, Plan, Stand};
use super::script::{Reply, Told, Verdict};

/// The leases of all keys.
#[derive(Debug)]
pub(super) struct Leases {
    /// How long they are kept in hand.
    hold: Duration,
    /// Keys for each shard.
    room: usize,
    shards: Box<[Mutex<HashMap<u128, Hand>>]>,
}

/// The turn of one call to ask for more; the others wait for it.
pub(super) type Turn = Arc<tokio::sync::Mutex<()>>;

/// What this process has of one key.
#[derive(Debug)]
struct Hand {
    plan: Arc<Plan>,
    left: u64,
    /// How the quotas stood when that was taken; `None` before anything was.
    taken: Option<Told>,
    /// When it is given back; until then another check shows that the key is in use.
    until: Moment,
    /// What the server said last.
    stand: Stand,
    refused: Option<Remembered>,
    /// Somebody asks, and has taken what was left along.
    asking: bool,
    turn: Turn,
}

/// A refusal of the server.
#[derive(Clone, Copy, Debug)]
struct Remembered {
    /// How much is not to be had.
    missing: u64,
    /// When it will be, as far as the server knows.
    ready: Moment,
    /// Until when nobody asks.
    until: Moment,
}

/// What can be said without the server.
#[derive(Debug)]
pub(super) enum AtHand {
    Taken {
        taken: Option<Told>,
        quotas: Quotas,
    },
    Refused {
        wait: Duration,
        quotas: Quotas,
        stand: Stand,
    },
}

/// What is asked for, once.
#[derive(Debug)]
#[must_use = "what was taken along is lost unless it is answered or failed"]
pub(super) struct Ask {
    pub(super) least: u64,
    pub(super) most: u64,
    along: u64,
    /// How the quotas stood when that was taken.
    since: Option<Told>,
}

/// What is to go back.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Unused {
    pub(super) account: Account,
    pub(super) units: u64,
    pub(super) taken: Told,
}

impl Leases {
    pub(super) fn new(hold: Duration, max_keys: usize) -> Self {
        Self {
            hold,
            room: max_keys.div_ceil(SHARDS),
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
        }
    }

    /// Takes from what is in hand, or refuses because the server has just refused.
    pub(super) fn spend(&self, account: &Account, cost: u64, now: Moment) -> Option<AtHand> {
        let mut shard = self.shard(account.key);
        let hand = shard.get_mut(&account.key.number())?;
        if hand.left >= cost && hand.is_held(now) {
            hand.left -= cost;
            return Some(AtHand::Taken {
                taken: hand.taken.clone(),
                quotas: hand.quotas(account, now),
            });
        }
        let refused = hand.refused?;
        // To spend what is left and ask for the rest is what the server has refused.
        if cost - hand.left.min(cost) < refused.missing || now >= refused.until {
            return None;
        }
        // Nobody is asked before the memory ends; and who comes when it does, but nothing has come yet, comes in vain.
        let ready = refused.ready.max(refused.until);
        Some(AtHand::Refused {
            wait: ready.since(now),
            quotas: hand.quotas(account, now),
            stand: hand.stand.clone(),
        })
    }

    /// The turn to ask for this key; `None` where there is no room for one more, which then has no lease.
    pub(super) fn turn(&self, account: &Account, now: Moment) -> Option<Turn> {
        let mut shard = self.shard(account.key);
        if let Some(hand) = shard.get(&account.key.number()) {
            return Some(hand.turn.clone());
        }
        if shard.len() >= self.room {
            return None;
        }
        let hand = Hand {
            plan: account.plan.clone(),
            left: 0,
            taken: None,
            until: now,
            stand: Stand {
                debts: Arc::default(),
                told: now,
            },
            refused: None,
            asking: false,
            turn: Turn::default(),
        };
        let turn = hand.turn.clone();
        shard.insert(account.key.number(), hand);
        Some(turn)
    }

    /// Takes what is in hand along, and tells what to ask for. Only by whoever has the turn.
    pub(super) fn ask(&self, account: &Account, cost: u64, now: Moment) -> Ask {
        let mut shard = self.shard(account.key);
        let Some(hand) = shard.get_mut(&account.key.number()) else {
            return Ask::only(cost);
        };
        hand.asking = true;
        let is_held = hand.is_held(now);
        // What is over belongs to the sweep, which asks the server to take it back.
        let along = match is_held {
            true => hand.left.min(cost),
            false => 0,
        };
        hand.left -= along;
        let most = match is_held && cost > 0 {
            true => cost.max(account.plan.lease),
            false => cost,
        };
        Ask {
            least: cost - along,
            most: most - along,
            along,
            since: hand.taken.clone().filter(|_| along > 0),
        }
    }

    /// The server has answered.
    ///
    /// Where it has given more than may be in hand, the rest is to go back.
    pub(super) fn answered(
        &self,
        account: &Account,
        ask: &Ask,
        reply: &Reply,
        now: Moment,
    ) -> Option<Unused> {
        let mut shard = self.shard(account.key);
        let hand = shard.get_mut(&account.key.number())?;
        hand.asking = false;
        hand.stand = Stand {
            debts: reply.told.debts.clone(),
            told: now,
        };
        match reply.verdict {
            Verdict::Taken(given) => {
                // What was in hand before and has ended meanwhile.
                let unused = hand.empty(account.key);
                hand.plan = account.plan.clone();
                hand.left = given.saturating_sub(ask.least);
                hand.taken = Some(reply.told.clone());
                hand.until = now + self.hold;
                hand.refused = None;
                unused
            }
            Verdict::Refused(wait) => {
                hand.left += ask.along;
                let wait = Duration::from_nanos(wait);
                hand.refused = Some(Remembered {
                    missing: ask.least,
                    ready: now + wait,
                    // Not for longer than the hold: others may give something back.
                    until: now + wait.max(account.plan.pause).min(self.hold),
                });
                None
            }
        }
    }

    /// The server has not answered.
    pub(super) fn failed(&self, account: &Account, ask: &Ask) {
        let key = account.key;
        if let Some(hand) = self.shard(key).get_mut(&key.number()) {
            hand.asking = false;
            hand.left += ask.along;
        }
    }

    /// Puts back what was spent of the lease that is in hand, and not used; whether it could.
    ///
    /// What was taken before that is the server's to discount: time may have given it already, and here it could be spent again at any age.
    pub(super) fn put(&self, unused: &Unused, now: Moment) -> bool {
        let Account { key, plan } = &unused.account;
        let mut shard = self.shard(*key);
        let Some(hand) = shard.get_mut(&key.number()) else {
            return false;
        };
        let is_of_this = hand.taken.as_ref() == Some(&unused.taken);
        // Whoever asks may come back with a whole lease; and one call may have taken more than that is.
        let has_room = !hand.asking && hand.left.saturating_add(unused.units) <= plan.lease;
        let is_put = is_of_this && has_room && hand.is_held(now);
        if is_put {
            hand.left += unused.units;
        }
        is_put
    }

    /// Forgets what is over, and tells what of it goes back.
    pub(super) fn ended(&self, now: Moment) -> Vec<Unused> {
        let mut unused = Vec::new();
        self.retain(|key, hand| {
            let is_over = hand.is_over(now);
            if is_over {
                unused.extend(hand.empty(key));
            }
            !is_over
        });
        unused
    }

    /// Takes everything out of hand, and tells who is asking for more: what they bring is to be [taken](Self::empty), too, when it is the caller's turn.
    pub(super) fn all(&self) -> (Vec<Unused>, Vec<(Key, Turn)>) {
        let (mut unused, mut asking) = (Vec::new(), Vec::new());
        self.retain(|key, hand| {
            unused.extend(hand.empty(key));
            // Forgotten, it would have no place for what the server gives.
            let is_wanted = hand.is_wanted();
            if is_wanted {
                asking.push((key, hand.turn.clone()));
            }
            is_wanted
        });
        (unused, asking)
    }

    /// Takes out of hand what there is of that key.
    pub(super) fn empty(&self, key: Key) -> Option<Unused> {
        self.shard(key).get_mut(&key.number())?.empty(key)
    }

    /// The server is to be asked again, whatever it has said: something went back to it.
    pub(super) fn forget_refusal(&self, key: Key) {
        if let Some(hand) = self.shard(key).get_mut(&key.number()) {
            hand.refused = None;
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.shards.iter().all(|shard| lock(shard).is_empty())
    }

    pub(super) const fn hold(&self) -> Duration {
        self.hold
    }

    fn retain(&self, mut is_kept: impl FnMut(Key, &mut Hand) -> bool) {
        for shard in &self.shards {
            lock(shard).retain(|&number, hand| is_kept(Key::from_number(number), hand));
        }
    }

    fn shard(&self, key: Key) -> MutexGuard<'_, HashMap<u128, Hand>> {
        lock(&self.shards[(key.number() % SHARDS as u128) as usize])
    }
}

impl Unused {
    pub(super) const fn new(account: Account, units: u64, taken: Told) -> Self {
        Self {
            account,
            units,
            taken,
        }
    }
}

impl Ask {
    /// For a key without a lease.
    pub(super) const fn only(cost: u64) -> Self {
        Self {
            least: cost,
            most: cost,
            along: 0,
            since: None,
        }
    }

    /// How the quotas stood when what it spends was taken, where that was answered.
    pub(super) fn taken(&self, answered: &Told) -> Told {
        self.since.as_ref().unwrap_or(answered).clone()
    }
}

impl Hand {
    fn is_held(&self, now: Moment) -> bool {
        now < self.until
    }

    /// Whether nothing is kept here any more, and nobody is about to ask.
    fn is_over(&self, now: Moment) -> bool {
        let remembers = (self.refused).is_some_and(|refused| now < refused.until);
        !self.is_held(now) && !remembers && !self.is_wanted()
    }

    /// Whether somebody asks, or is about to.
    fn is_wanted(&self) -> bool {
        self.asking || Arc::strong_count(&self.turn) > 1
    }

    fn empty(&mut self, key: Key) -> Option<Unused> {
        let units = mem::take(&mut self.left);
        let taken = self.taken.clone().filter(|_| units > 0)?;
        let account = Account::new(key, self.plan.clone());
        Some(Unused::new(account, units, taken))
    }

    fn quotas(&self, account: &Account, now: Moment) -> Quotas {
        self.stand.quotas(account.terms(), self.left, now)
    }
}

fn lock(shard: &Mutex<HashMap<u128, Hand>>) -> MutexGuard<'_, HashMap<u128, Hand>> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Enough that threads seldom meet.
const SHARDS: usize = 16;

#[cfg(test)]
mod tests;
