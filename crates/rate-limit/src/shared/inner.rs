//! What all clones of a limit have in common, and the tasks that work for it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use seaworthy_core::gcra::Scarcity;
use seaworthy_kit::quota::Quotas;
use seaworthy_kit::{Clock, Event, Moment, Telemetry, clock, draw};
use tokio::runtime::Handle;
use tokio::sync::{OwnedMutexGuard, oneshot};
use tokio::time::sleep;

use super::SharedLimit;
use super::away::{Era, LOOK, Presence};
use super::decision::{By, Paid, Pass, Refused};
use super::key::{Digests, Key};
use super::lease::{Ask, AtHand, Leases, Turn, Unused};
use super::line::Line;
use super::local::Local;
use super::plan::{Account, Plan, Planner, Stand};
use super::script::{Reply, Server, Trouble, Verdict};

/// What a limit is: a server, what is in hand, and what is known of the server.
pub(super) struct Inner {
    /// On its own, so that it outlives the limit until all is given back.
    pub(super) server: Arc<Server>,
    pub(super) digests: Digests,
    /// What keys have for which nothing else is said.
    pub(super) plan: Arc<Plan>,
    pub(super) planner: Planner,
    pub(super) timeout: Duration,
    pub(super) clock: Clock,
    pub(super) leases: Option<Leases>,
    /// Whether somebody looks after the leases.
    pub(super) is_swept: AtomicBool,
    pub(super) presence: Presence,
    pub(super) away: Away,
    pub(super) telemetry: Telemetry,
}

/// What decides while the server is away.
pub(super) enum Away {
    Share(Local),
    Refuse,
    Allow,
}

// ===== impl Inner =====

impl Inner {
    pub(super) fn spend(
        &self,
        account: &Account,
        cost: u64,
        now: Moment,
    ) -> Option<Result<Pass, Refused>> {
        let at_hand = (self.leases.as_ref()?).spend(account, cost, now)?;
        Some(match at_hand {
            AtHand::Taken { taken, quotas } => {
                let paid =
                    taken.map(|taken| Paid::Shared(Unused::new(account.clone(), cost, taken)));
                Ok(Pass::new(By::Lease, paid, quotas))
            }
            AtHand::Refused {
                wait,
                quotas,
                stand,
            } => Err(Refused::spent(By::Lease, wait, quotas, cost).told(stand)),
        })
    }

    pub(super) fn turn(&self, account: &Account) -> Option<Turn> {
        self.leases.as_ref()?.turn(account, self.clock.now())
    }

    pub(super) fn answered(
        &self,
        account: &Account,
        cost: u64,
        ask: &Ask,
        reply: &Reply,
    ) -> Result<Pass, Refused> {
        let now = self.clock.now();
        let stand = Stand {
            debts: reply.told.debts.clone(),
            told: now,
        };
        let in_hand = match reply.verdict {
            Verdict::Taken(given) => given.saturating_sub(ask.least),
            Verdict::Refused(_) => 0,
        };
        let quotas = stand.quotas(account.terms(), in_hand, now);
        match reply.verdict {
            Verdict::Taken(_) => {
                let unused = Unused::new(account.clone(), cost, ask.taken(&reply.told));
                let paid = Some(Paid::Shared(unused));
                Ok(Pass::new(By::Server, paid, quotas).told(stand))
            }
            Verdict::Refused(wait) => {
                let wait = Duration::from_nanos(wait);
                Err(Refused::spent(By::Server, wait, quotas, cost).told(stand))
            }
        }
    }

    pub(super) fn decide_away(
        &self,
        account: &Account,
        cost: u64,
        now: Moment,
    ) -> Result<Pass, Refused> {
        let decided = match &self.away {
            Away::Allow => Ok(Pass::new(By::Nobody, None, Quotas::new())),
            Away::Refuse => Err(Refused::away()),
            Away::Share(local) => {
                let (taken, quotas) = local.take(account, cost, now);
                match taken {
                    Ok(taken) => {
                        let paid = Paid::Alone(account.key, taken);
                        Ok(Pass::new(By::Share, Some(paid), quotas))
                    }
                    Err(Scarcity::Until(moment)) => {
                        Err(Refused::spent(By::Share, moment.since(now), quotas, cost))
                    }
                    // More than the share ever has: the server would, when it is back.
                    Err(Scarcity::Never) => Err(Refused::away()),
                }
            }
        };
        let admitted = decided.is_ok();
        self.telemetry.report(&Event::DecidedAlone { admitted });
        decided
    }

    pub(super) fn lost(&self, era: Era, trouble: Trouble) {
        // A key that makes no sense is nobody else's concern.
        let Trouble::Away(cause) = trouble else {
            return;
        };
        if self.presence.lost(era, self.clock.now(), draw()) {
            self.tell_presence(false, cause);
        }
    }

    pub(super) fn tell_presence(&self, available: bool, cause: &'static str) {
        self.telemetry.instruments().set_store_available(available);
        let event = Event::StoreChanged { available, cause };
        self.telemetry.report(&event);
    }

    /// What is not told in time is left to time, which gives it back as well.
    pub(super) async fn return_all(&self, all: Vec<Unused>) {
        for unused in all {
            let Some(era) = self.presence.era() else {
                return;
            };
            if let Err(trouble) = return_one(&self.server, &unused, self.timeout).await {
                self.lost(era, trouble);
            }
        }
    }
}

// Cancellation: what is in hand goes back when the last clone is gone.
impl Drop for Inner {
    fn drop(&mut self) {
        let Some(leases) = &self.leases else {
            return;
        };
        // Who asks has a share in this: there is nobody.
        let (all, _) = leases.all();
        if all.is_empty() || self.presence.era().is_none() {
            return;
        }
        // Without a runtime it is left to time.
        if let Ok(runtime) = Handle::try_current() {
            let (server, timeout) = (self.server.clone(), self.timeout);
            runtime.spawn(async move {
                for unused in all {
                    if return_one(&server, &unused, timeout).await.is_err() {
                        return;
                    }
                }
            });
        }
    }
}

async fn return_one(server: &Server, unused: &Unused, timeout: Duration) -> Result<(), Trouble> {
    let until = clock::instant(clock::now() + timeout);
    server.give_back(unused, until).await
}

/// Asks the server, and puts what it gives where it belongs.
pub(super) async fn trip(
    inner: Arc<Inner>,
    (account, line): (Account, Option<Arc<Line>>),
    cost: u64,
    turn: Option<OwnedMutexGuard<()>>,
    tell: oneshot::Sender<Option<Result<Pass, Refused>>>,
) {
    let Some(era) = inner.presence.era() else {
        return;
    };
    let leases = inner.leases.as_ref().filter(|_| turn.is_some());
    let ask = match leases {
        Some(leases) => leases.ask(&account, cost, inner.clock.now()),
        None => Ask::only(cost),
    };
    // From now on, and not from when the call came: a server that has no time to answer is not away, and all keys would be without it.
    let until = clock::instant(clock::now() + inner.timeout);
    let reply = inner
        .server
        .take(&account, ask.least, ask.most, until)
        .await;
    let (mut decided, mut left_over) = (None, None);
    match reply {
        Ok(reply) => {
            left_over = leases
                .and_then(|leases| leases.answered(&account, &ask, &reply, inner.clock.now()));
            decided = Some(inner.answered(&account, cost, &ask, &reply));
        }
        Err(trouble) => {
            if let Some(leases) = leases {
                leases.failed(&account, &ask);
            }
            inner.lost(era, trouble);
        }
    }
    drop(turn);
    let limit = SharedLimit::from(inner);
    if let Err(Some(Ok(pass))) = tell.send(decided) {
        // The caller has left.
        limit.return_pass(pass, line.as_ref());
    }
    limit
        .inner
        .return_all(left_over.into_iter().collect())
        .await;
}

/// Looks for a server that is away; nobody waits for it.
pub(super) async fn look_for(inner: Arc<Inner>) {
    let until = clock::instant(clock::now() + LOOK);
    // It writes: what has become a replica answers, but decides nothing.
    let nobody = Account::new(Key::LOOK, inner.plan.clone());
    let reply = inner.server.take(&nobody, 1, 1, until).await;
    if let Err(Trouble::Away(_)) = reply {
        inner.presence.still_away(inner.clock.now(), draw());
    } else if inner.presence.back() {
        inner.tell_presence(true, "answered");
    }
}

/// Gives back what is left of leases that are over; ends when there are none, or the limit is gone.
pub(super) async fn sweep(inner: Weak<Inner>) {
    loop {
        let Some(hold) = inner
            .upgrade()
            .and_then(|inner| Some(inner.leases.as_ref()?.hold()))
        else {
            return;
        };
        sleep(hold).await;
        let Some(inner) = inner.upgrade() else {
            return;
        };
        let Some(leases) = &inner.leases else {
            return;
        };
        inner.return_all(leases.ended(inner.clock.now())).await;
        if leases.is_empty() {
            inner.is_swept.store(false, Ordering::Release);
            // One that came in between has seen that somebody looks after it.
            if leases.is_empty() || inner.is_swept.swap(true, Ordering::AcqRel) {
                return;
            }
        }
    }
}
