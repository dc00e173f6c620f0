//! A key of a shared limit, as a layer holds it.

use std::any::Any;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll};

use seaworthy_kit::gate::Entry;
use seaworthy_kit::quota::Quotas;
use seaworthy_kit::{BoxError, Gate, Held, Refusal, RejectionKind, Telemetry, Verdict, deadline};
use tokio::time::timeout;

use super::SharedLimit;
use super::decision::{Paid, Pass, Refused};
use super::key::Key;
use crate::gate::{is_replay, reject};
use crate::rules::Counting;

/// A key of a shared limit, as a layer holds it.
#[derive(Debug)]
pub struct SharedGate {
    pub(super) limit: SharedLimit,
    pub(super) key: Key,
    /// How the quotas stood when last anybody said; `None` where nobody is told.
    last: Option<Mutex<Quotas>>,
    telemetry: Telemetry,
}

/// The right to make one call, and what it was paid with.
#[derive(Debug)]
pub struct SharedSpent(Option<Paid>);

/// The wait of one call for the server's word.
///
/// Dropped, it has given back what the server says.
#[must_use = "futures do nothing unless polled"]
pub struct SharedWait(Pin<Box<dyn Future<Output = Result<SharedSpent, Refusal>> + Send>>);

impl SharedGate {
    pub(super) fn new(limit: SharedLimit, key: Key, announce: bool, telemetry: Telemetry) -> Self {
        Self {
            limit,
            key,
            last: announce.then(Mutex::default),
            telemetry,
        }
    }

    pub(super) fn publish(&self) {
        let refusals = [RejectionKind::RateLimited, RejectionKind::StoreUnavailable];
        self.telemetry.instruments().publish(&refusals);
        self.limit.publish();
    }

    fn decided(&self, decided: Result<Pass, Refused>) -> Result<SharedSpent, Refusal> {
        if let Some(last) = &self.last {
            let quotas = match &decided {
                Ok(pass) => pass.quotas(),
                Err(refused) => refused.quotas(),
            };
            last.lock()
                .unwrap_or_else(PoisonError::into_inner)
                .clone_from(quotas);
        }
        match decided {
            Ok(pass) => Ok(SharedSpent(pass.into_paid())),
            Err(refused) => Err(refused.refusal()),
        }
    }

    fn give_back(&self, SharedSpent(paid): SharedSpent) {
        if let Some(paid) = paid {
            self.limit.return_paid(paid);
        }
    }
}

impl Gate for SharedGate {
    type Admission = SharedSpent;
    type Wait = SharedWait;

    /// Nobody knows before the server was asked.
    fn check(&self) -> Result<(), Refusal> {
        Ok(())
    }

    /// Only from what can be decided without the server.
    fn try_admit(&self) -> Result<SharedSpent, Refusal> {
        match self.limit.decide_here(self.key, 1) {
            Some(decided) => self.decided(decided),
            None => Err(Refusal::new(RejectionKind::RateLimited, None)),
        }
    }

    fn enter(held: &Held<Self>) -> Entry<Self> {
        Self::enter_counted(held, 1)
    }

    fn heed(&self, spent: Option<&mut SharedSpent>, head: &dyn Any, _: Verdict) {
        if let Some(spent) = spent
            && is_replay(head)
        {
            self.give_back(SharedSpent(spent.0.take()));
        }
    }

    fn settle(&self, spent: SharedSpent, verdict: Verdict) {
        if verdict.is_refusal() {
            self.give_back(spent);
        }
    }

    fn withdraw(&self, spent: SharedSpent) {
        self.give_back(spent);
    }

    fn settle_uncalled(&self, spent: SharedSpent, _: Verdict) {
        self.give_back(spent);
    }

    fn telemetry(&self) -> &Telemetry {
        &self.telemetry
    }

    fn reject(&self, refusal: Refusal) -> BoxError {
        reject(&self.telemetry, refusal, self.quotas())
    }

    fn quotas(&self) -> Option<Quotas> {
        let last = self.last.as_ref()?;
        let quotas = last.lock().unwrap_or_else(PoisonError::into_inner);
        (!quotas.is_empty()).then(|| quotas.clone())
    }
}

impl Counting for SharedGate {
    fn enter_counted(held: &Held<Self>, cost: u64) -> Entry<Self> {
        if cost == 0 {
            return Entry::Admitted(SharedSpent(None));
        }
        match held.limit.decide_here(held.key, cost) {
            Some(decided) => match held.decided(decided) {
                Ok(spent) => Entry::Admitted(spent),
                Err(refusal) => Entry::Refused(refusal),
            },
            None => Entry::Waiting(SharedWait::new(held.again(), cost)),
        }
    }

    fn exempt() -> SharedSpent {
        SharedSpent(None)
    }
}

impl SharedWait {
    fn new(held: Held<SharedGate>, cost: u64) -> Self {
        Self(Box::pin(async move {
            let ask = held.limit.ask(held.key, cost);
            let decided = match deadline::remaining() {
                None => ask.await,
                Some(left) => match timeout(left, ask).await {
                    Ok(decided) => decided,
                    // The caller's time is over: there is no point in coming back with this call.
                    Err(_) => return Err(Refusal::new(RejectionKind::DeadlineExceeded, None)),
                },
            };
            held.decided(decided)
        }))
    }
}

impl Future for SharedWait {
    type Output = Result<SharedSpent, Refusal>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(cx)
    }
}

impl fmt::Debug for SharedWait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SharedWait")
    }
}
