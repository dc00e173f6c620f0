//! What all clones of a hedging service share: the delay, the budgets, and the count of calls that are late.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use seaworthy_core::Moment;
use seaworthy_core::hedge::Tail;
use seaworthy_kit::budget::{Counter, Withdrawn};
use seaworthy_kit::failures::Failures;
use seaworthy_kit::front::Open;
use seaworthy_kit::{Budget, Clock, Control, Event, Telemetry, deadline, draw};

use crate::latency::Latency;
use crate::withheld::Withheld;

/// A delay with budgets, a clock and a voice.
///
/// As a [`Gate`](seaworthy_kit::Gate) it admits every call: what is withheld is a second try, and that call waits for its first.
pub struct HedgeGate {
    pub(crate) max_hedges: u32,
    pub(crate) pace: Pace,
    pub(crate) min_attempt_time: Duration,
    /// Counts the calls that may be hedged.
    pub(crate) meter: Budget,
    pub(crate) budget: Draws,
    /// Where calls are counted that come from no service with counters of its own.
    pub(crate) counters: Counters,
    pub(crate) retry_budget: Option<Budget>,
    pub(crate) tail: Option<Mutex<Tail>>,
    pub(crate) any_method: bool,
    pub(crate) wait_for_ready: bool,
    pub(crate) failures: Failures,
    pub(crate) clock: Clock,
    pub(crate) telemetry: Telemetry,
    pub(crate) enabled: AtomicBool,
    pub(crate) hedges: AtomicU64,
    pub(crate) won: AtomicU64,
    pub(crate) withheld: AtomicU64,
}

/// After how long a call is slow.
#[derive(Debug)]
pub(crate) enum Pace {
    Fixed(Duration),
    Live(Box<Latency>),
    Never,
}

/// What hedges draw on.
#[derive(Debug)]
pub(crate) enum Draws {
    /// The meter, which is the layer's own budget.
    Own,
    /// One that other layers draw on, too, and count their calls in.
    Shared(Budget),
    /// Nothing: there is no limit.
    Nothing,
}

/// Where a service counts its calls: in the meter, and where the budget is shared, in that.
#[derive(Clone, Debug)]
pub(crate) struct Counters {
    meter: Counter,
    shared: Option<Counter>,
}

/// The right to send one hedge; dropped unspent, it is given back.
#[derive(Debug)]
#[must_use = "it is given back when it is dropped; `spend` it where the hedge is sent"]
pub(crate) struct Permit {
    own: Option<Withdrawn>,
    retry: Option<Withdrawn>,
}

// ===== impl HedgeGate =====

impl HedgeGate {
    #[inline]
    pub(crate) fn is_enabled(&self) -> bool {
        self.enabled.load(Ordering::Relaxed)
    }

    /// Counts a call that may be hedged. Reads the clock at every 32nd.
    #[inline]
    pub(crate) fn offer(&self, counters: &mut Counters) {
        let mut read = None;
        let mut now = || *read.get_or_insert_with(|| self.clock.now());
        self.meter.offer(&mut counters.meter, &mut now);
        if let (Draws::Shared(budget), Some(counter)) = (&self.budget, &mut counters.shared) {
            budget.offer(counter, now);
        }
    }

    /// The same for a call that comes from no service with counters of its own.
    pub(crate) fn offer_shared(&self) {
        let mut read = None;
        let mut now = || *read.get_or_insert_with(|| self.clock.now());
        self.meter.offer_shared(&self.counters.meter, &mut now);
        if let (Draws::Shared(budget), Some(counter)) = (&self.budget, &self.counters.shared) {
            budget.offer_shared(counter, now);
        }
    }

    /// After how long a call that begins to wait now is slow.
    pub(crate) fn delay(&self, now: Moment) -> Option<Duration> {
        match &self.pace {
            Pace::Fixed(delay) => Some(*delay),
            Pace::Live(latency) => latency.delay(now),
            Pace::Never => None,
        }
    }

    /// A call succeeded by its first attempt, which began to wait then, if it did.
    #[inline]
    pub(crate) fn measure(&self, started: Option<Moment>) {
        if let Pace::Live(latency) = &self.pace {
            match started {
                Some(started) => latency.measure(started, || self.clock.now()),
                None => latency.measure_at_once(),
            }
        }
    }

    /// The first attempt of a call was not over, or failed: it would have taken at least until now.
    pub(crate) fn measure_censored(&self, started: Option<Moment>) {
        if let (Pace::Live(latency), Some(started)) = (&self.pace, started) {
            latency.measure_censored(started, || self.clock.now());
        }
    }

    /// Whether one more attempt may be sent, as far as it does not depend on the call; `slow` is one whose delay is over, the other has failed.
    pub(crate) fn permit(
        &self,
        control: &Control,
        slow: bool,
        now: Moment,
    ) -> Result<Permit, Withheld> {
        // Counted whatever comes of it: that the call is late is so with a hedge or without.
        let is_tail = !slow || self.is_tail(now);
        if deadline::remaining().is_some_and(|left| left.is_zero() || left < self.min_attempt_time)
        {
            return Err(Withheld::Deadline);
        }
        if !is_tail {
            self.spend_unsent(now);
            return Err(Withheld::TooManyLate);
        }
        let own = match &self.budget {
            Draws::Own => Some(self.meter.withdraw(now).ok_or(Withheld::Budget)?),
            Draws::Shared(budget) => Some(budget.withdraw(now).ok_or(Withheld::Budget)?),
            Draws::Nothing => None,
        };
        let retry = match &self.retry_budget {
            Some(budget) => Some(budget.withdraw(now).ok_or(Withheld::RetryBudget)?),
            None => None,
        };
        let permit = Permit { own, retry };
        if !control.enforces(draw) {
            // It counts as if it were sent, or there would be more of them than there could be.
            permit.spend();
            return Err(Withheld::Observed);
        }
        Ok(permit)
    }

    fn is_tail(&self, now: Moment) -> bool {
        self.tail.as_ref().is_none_or(|tail| {
            // Only whole steps of the machine are made under the lock.
            let mut tail = tail.lock().unwrap_or_else(PoisonError::into_inner);
            tail.late(now, self.meter.offered())
        })
    }

    /// What is not sent in an overload is gone: saved up, it would come all at once when the overload is over, and might bring it back.
    ///
    /// Only where the delay is fixed: a percentile has learnt what calls took, and comes back slowly by itself; without hedges for a while it would learn what they are to prevent.
    /// And only from the layer's own budget: others can make good use of one that they share.
    fn spend_unsent(&self, now: Moment) {
        if let (Pace::Fixed(_), Draws::Own) = (&self.pace, &self.budget)
            && let Some(unsent) = self.meter.withdraw(now)
        {
            unsent.spend();
        }
    }

    pub(crate) fn hedged(&self, attempt: u32, early: bool) {
        self.hedges.fetch_add(1, Ordering::Relaxed);
        self.telemetry.report(&Event::Hedged { attempt, early });
    }

    pub(crate) fn has_won(&self, attempt: u32) {
        self.won.fetch_add(1, Ordering::Relaxed);
        self.telemetry.report(&Event::HedgeWon { attempt });
    }

    pub(crate) fn withhold(&self, reason: Withheld) {
        self.withheld.fetch_add(1, Ordering::Relaxed);
        let reason = reason.as_str();
        self.telemetry.report(&Event::HedgeWithheld { reason });
    }
}

impl Counters {
    pub(crate) fn new(meter: &Budget, budget: &Draws) -> Self {
        Self {
            meter: meter.counter(),
            shared: match budget {
                Draws::Shared(budget) => Some(budget.counter()),
                Draws::Own | Draws::Nothing => None,
            },
        }
    }
}

impl Permit {
    /// The hedge is sent.
    pub(crate) fn spend(self) {
        for withdrawn in [self.own, self.retry].into_iter().flatten() {
            withdrawn.spend();
        }
    }
}

impl Open for HedgeGate {
    #[inline]
    fn reports_to(&self) -> &Telemetry {
        &self.telemetry
    }

    /// What an operator has switched off would be on again.
    fn is_forgettable(&self) -> bool {
        self.is_enabled()
    }
}

impl fmt::Debug for HedgeGate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HedgeGate")
            .field("name", &self.telemetry.name())
            .field("max_hedges", &self.max_hedges)
            .field("pace", &self.pace)
            .field("budget", &self.budget)
            .finish_non_exhaustive()
    }
}
