//! A key of a shared limit, as a layer holds it.

use std::any::Any;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use seaworthy_kit::gate::Entry;
use seaworthy_kit::line::Gauges;
use seaworthy_kit::quota::Quotas;
use seaworthy_kit::{BoxError, Gate, Held, Refusal, RejectionKind, Telemetry, Verdict};

use super::SharedLimit;
use super::decision::{Paid, Pass, Refused, Why};
use super::line::Line;
use super::plan::Account;
use super::wait::SharedWait;
use crate::gate::{is_replay, reject, told_with};
use crate::rules::Counting;

/// A key of a shared limit, as a layer holds it.
#[derive(Debug)]
pub struct SharedGate {
    pub(super) account: Account,
    /// How the quotas stood when last anybody said; `None` where nobody is told.
    last: Option<Mutex<Quotas>>,
    /// Where calls wait.
    pub(super) line: Option<Arc<Line>>,
    options: Arc<Options>,
    /// The line's, too.
    telemetry: Arc<Telemetry>,
    gauges: Gauges,
}

/// What all keys of a layer have in common.
#[derive(Debug)]
pub(super) struct Options {
    pub(super) limit: SharedLimit,
    pub(super) announce: bool,
    pub(super) max_queue: usize,
    pub(super) max_wait: Duration,
}

/// The right to make one call, and what it was paid with.
#[derive(Debug)]
pub struct SharedSpent {
    paid: Option<Paid>,
    /// It is not counted, and the gate that it holds need not be its key's.
    is_exempt: bool,
}

impl SharedGate {
    pub(super) fn new(
        options: Arc<Options>,
        account: Account,
        telemetry: Telemetry,
        gauges: Gauges,
    ) -> Self {
        let telemetry = Arc::new(telemetry);
        let waits = options.max_queue > 0 && !options.max_wait.is_zero();
        let line = waits.then(|| {
            let bounds = (options.max_queue, options.max_wait);
            let (limit, account) = (options.limit.clone(), account.clone());
            Arc::new(Line::new(limit, account, bounds, telemetry.clone(), gauges))
        });
        let gate = Self {
            account,
            last: options.announce.then(Mutex::default),
            line,
            options,
            telemetry,
            gauges,
        };
        gate.show_limit();
        gate
    }

    pub(super) fn limit(&self) -> &SharedLimit {
        &self.options.limit
    }

    /// Where calls wait. Where refusals are only observed, nobody is kept waiting for one either.
    pub(super) fn line(held: &Held<Self>) -> Option<&Arc<Line>> {
        let line = held.line.as_ref();
        line.filter(|_| held.control().enforced_percent() > 0)
    }

    pub(super) fn waiting(&self) -> usize {
        self.line.as_ref().map_or(0, |line| line.waiting())
    }

    pub(super) fn longest_wait(&self) -> Option<Duration> {
        let max_wait = self.line.as_ref()?.max_wait;
        (max_wait != Duration::MAX).then_some(max_wait)
    }

    pub(super) fn publish(&self) {
        self.show_limit();
        let refusals = [RejectionKind::RateLimited, RejectionKind::StoreUnavailable];
        self.telemetry.instruments().publish(&refusals);
        self.limit().publish();
    }

    fn show_limit(&self) {
        let instruments = self.telemetry.instruments();
        if self.gauges == Gauges::Own && instruments.are_heard() {
            let first = self.account.terms().first();
            let units = first.map_or(0, |terms| terms.units());
            instruments.set_limit(usize::try_from(units).unwrap_or(usize::MAX));
        }
    }

    /// What was decided, with what it tells of the quotas kept.
    pub(super) fn decided(&self, decided: Result<Pass, Refused>) -> Result<SharedSpent, Refusal> {
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
            Ok(pass) => Ok(SharedSpent {
                paid: pass.into_paid(),
                is_exempt: false,
            }),
            Err(refused) => Err(refused.refusal()),
        }
    }

    fn give_back(&self, paid: Option<Paid>) {
        if let Some(paid) = paid {
            self.limit().return_paid(paid, self.line.as_ref());
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

    /// Only from what can be decided without the server, and not past those who wait.
    fn try_admit(&self) -> Result<SharedSpent, Refusal> {
        let nobody_waits = self.waiting() == 0;
        let decided = nobody_waits.then(|| self.limit().decide_here(&self.account, 1));
        match decided.flatten() {
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
            self.give_back(spent.paid.take());
        }
    }

    fn settle(&self, spent: SharedSpent, verdict: Verdict) {
        if verdict.is_refusal() {
            self.give_back(spent.paid);
        }
    }

    fn withdraw(&self, spent: SharedSpent) {
        self.give_back(spent.paid);
    }

    fn settle_uncalled(&self, spent: SharedSpent, _: Verdict) {
        self.give_back(spent.paid);
    }

    fn telemetry(&self) -> &Telemetry {
        &self.telemetry
    }

    fn reject(&self, refusal: Refusal) -> BoxError {
        reject(&self.telemetry, refusal, told_with(&refusal, self))
    }

    fn quotas(&self) -> Option<Quotas> {
        let last = self.last.as_ref()?;
        let quotas = last.lock().unwrap_or_else(PoisonError::into_inner);
        (!quotas.is_empty()).then(|| quotas.clone())
    }

    fn has_quotas(&self, spent: Option<&SharedSpent>) -> bool {
        !spent.is_some_and(|spent| spent.is_exempt)
    }
}

impl Counting for SharedGate {
    fn enter_counted(held: &Held<Self>, cost: u64) -> Entry<Self> {
        if cost == 0 {
            return Entry::Admitted(SharedSpent {
                paid: None,
                is_exempt: false,
            });
        }
        let line = Self::line(held);
        if let Some(line) = line.filter(|line| line.waiting() > 0) {
            return if cost > held.account.plan.most {
                Entry::Refused(Refused::never().refusal())
            } else if line.has_room() {
                Entry::Waiting(SharedWait::new(held.again(), cost, None))
            } else {
                let turn = line.turn(u64::MAX, cost);
                Entry::Refused(Refusal::new(RejectionKind::RateLimited, turn))
            };
        }
        match held.limit().decide_here(&held.account, cost) {
            None => Entry::Waiting(SharedWait::new(held.again(), cost, None)),
            Some(Err(refused)) if line.is_some_and(|line| line.is_worth(&refused)) => {
                Entry::Waiting(SharedWait::new(held.again(), cost, Some(refused)))
            }
            Some(decided) => match held.decided(decided) {
                Ok(spent) => Entry::Admitted(spent),
                Err(refusal) => Entry::Refused(refusal),
            },
        }
    }

    fn exempt() -> SharedSpent {
        SharedSpent {
            paid: None,
            is_exempt: true,
        }
    }
}

#[cfg(test)]
impl SharedSpent {
    pub(super) const fn of(paid: Paid) -> Self {
        Self {
            paid: Some(paid),
            is_exempt: false,
        }
    }
}

impl Line {
    /// Whether a call that was refused so may wait for what it was refused for.
    fn is_worth(&self, refused: &Refused) -> bool {
        let wait = refused.retry_after();
        refused.why() == Why::Spent && wait.is_some_and(|wait| wait <= self.max_wait)
    }
}
