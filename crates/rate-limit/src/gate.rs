//! The quotas with a line, a clock and a voice: what the shared services ask.

use std::any::Any;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering, fence};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Waker;
use std::time::Duration;

use seaworthy_core::gcra::{Line, Quota, Scarcity, TakenAll, Windows};
use seaworthy_core::{InvalidConfig, Moment, show_settled};
use seaworthy_kit::gate::{Entry, Grounds};
use seaworthy_kit::line::Gauges;
use seaworthy_kit::quota::{Limited, QuotaState, Quotas};
use seaworthy_kit::unwind::wake_all;
use seaworthy_kit::{
    BoxError, Clock, Event, Gate, Held, Name, Refusal, RejectionKind, Telemetry, Verdict,
};

use crate::limits::Limits;
use crate::rules::Counting;
use crate::spent::Spent;
use crate::wait::Wait;

/// A rate limit as the layer holds it.
#[derive(Debug)]
pub struct RateGate {
    windows: Windows,
    /// Whether the last decision left nothing, or refused: only then a look at the clock may find that the next call is refused.
    is_tight: AtomicBool,
    /// How many wait, for those who need not lock the line. Written under its lock.
    waiting: AtomicUsize,
    /// When the first of them goes on at the latest. Written under that lock, too.
    next_turn: AtomicU64,
    line: Mutex<Line<Waker>>,
    /// Whether it has other quotas than it was made with.
    is_changed: AtomicBool,
    options: Arc<Options>,
    telemetry: Telemetry,
    /// Whether it has gauges: without a label they would be those of many keys, each overwriting the others.
    gauges: Gauges,
}

/// What every rate limit of a layer has in common.
#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) policies: Box<[Name]>,
    pub(crate) max_queue: usize,
    pub(crate) max_wait: Duration,
    pub(crate) announce: bool,
    pub(crate) clock: Clock,
}

impl RateGate {
    pub(crate) fn try_new(
        options: Arc<Options>,
        limits: &Limits,
        telemetry: Telemetry,
        gauges: Gauges,
    ) -> Result<Self, InvalidConfig> {
        let gate = Self {
            windows: Windows::try_new(limits.quotas())?,
            is_tight: AtomicBool::new(false),
            waiting: AtomicUsize::new(0),
            next_turn: AtomicU64::new(Moment::NEVER.as_nanos()),
            line: Mutex::new(Line::try_new(options.max_queue)?),
            is_changed: AtomicBool::new(false),
            options,
            telemetry,
            gauges,
        };
        gate.show_limit();
        Ok(gate)
    }

    pub(crate) const fn windows(&self) -> &Windows {
        &self.windows
    }

    pub(crate) fn now(&self) -> Moment {
        self.options.clock.now()
    }

    pub(crate) fn max_wait(&self) -> Duration {
        self.options.max_wait
    }

    /// The same; `None` where no call waits, or for ever.
    pub(crate) fn longest_wait(&self) -> Option<Duration> {
        let wait = self.options.max_wait;
        (self.options.max_queue > 0 && wait != Duration::MAX).then_some(wait)
    }

    pub(crate) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// How many wait, but for those who have waited long enough: that nobody polls them must hold up nobody.
    #[inline]
    fn waiting_at(&self, now: Moment) -> usize {
        if self.waiting() > 0 && now.as_nanos() >= self.next_turn.load(Ordering::Relaxed) {
            self.move_on(now);
        }
        self.waiting()
    }

    /// Takes the cost, but not past those who wait.
    fn spend(&self, cost: u64) -> Result<Spent, Refusal> {
        let now = self.now();
        let waiting = self.waiting_at(now) as u64;
        if waiting > 0 {
            // Each of them costs one at least.
            let turn = self.windows.earliest(now, waiting, cost);
            let scarcity = turn.map_or(Scarcity::Never, Scarcity::Until);
            return Err(self.refusal(scarcity, now, cost));
        }
        match self.windows.try_take_and_look(now, cost) {
            Ok((taken, has_more)) => Ok(self.spent(taken, has_more)),
            Err(scarcity) => {
                self.set_tight(true);
                Err(self.refusal(scarcity, now, cost))
            }
        }
    }

    /// What the layer makes of a "no": when to come back, and which of the quotas had less than that.
    pub(crate) fn refusal(&self, scarcity: Scarcity, now: Moment, cost: u64) -> Refusal {
        let Scarcity::Until(moment) = scarcity else {
            return Refusal::new(RejectionKind::CostTooHigh, None);
        };
        let mut violated = 0;
        if self.options.announce {
            for (at, cell) in self.windows.cells().enumerate() {
                violated |= u8::from(cell.remaining(now) < cost) << at;
            }
        }
        let grounds = &SPENT[usize::from(violated) % SPENT.len()];
        Refusal::because(grounds, Some(moment.since(now)))
    }

    #[inline(always)]
    fn spent(&self, taken: TakenAll, has_more: bool) -> Spent {
        self.set_tight(!has_more);
        Spent::taken(taken)
    }

    #[inline(never)]
    fn check_tight(&self) -> Result<(), Refusal> {
        let now = self.now();
        let checked = self.windows.check(now, 1);
        checked.map_err(|scarcity| self.refusal(scarcity, now, 1))
    }

    /// Written only where it changes: it lies beside what every call reads.
    #[inline(always)]
    fn set_tight(&self, is_tight: bool) {
        if self.is_tight.load(Ordering::Relaxed) != is_tight {
            self.is_tight.store(is_tight, Ordering::Relaxed);
        }
    }

    /// Gives back what the call took; those who wait may go on.
    fn give_back(&self, mut spent: Spent) {
        let Some(taken) = spent.take() else {
            return;
        };
        let now = self.now();
        self.windows.give_back(taken, now);
        self.move_on(now);
    }

    /// Lets those go on who wait, after there is more for them.
    fn move_on(&self, now: Moment) {
        // Pairs with that of `Wait`: either it finds what there is, or it is seen waiting.
        fence(Ordering::SeqCst);
        if self.waiting() > 0 {
            self.with_line(|line, windows, wake| line.advance(windows, now, wake));
        }
    }

    /// Changes the line under its lock, and wakes whom the change concerns once the lock is released.
    pub(crate) fn with_line<R>(
        &self,
        change: impl FnOnce(&mut Line<Waker>, &Windows, &mut dyn FnMut(Waker)) -> R,
    ) -> R {
        let mut woken = Vec::new();
        let result = {
            let mut line = self.line.lock().unwrap_or_else(PoisonError::into_inner);
            let result = change(&mut line, &self.windows, &mut |waker| woken.push(waker));
            self.waiting.store(line.len(), Ordering::Relaxed);
            let next_turn = line.next_turn().as_nanos();
            self.next_turn.store(next_turn, Ordering::Relaxed);
            result
        };
        wake_all(woken);
        let instruments = self.telemetry.instruments();
        if self.gauges == Gauges::Own && instruments.are_heard() {
            let show = |waiting: &usize| instruments.set_queue_depth(*waiting);
            show_settled(|| self.waiting(), show);
        }
        result
    }

    pub(crate) fn set_quota(&self, at: usize, quota: Quota) -> Result<(), InvalidConfig> {
        let Some(cell) = self.windows.cells().nth(at) else {
            return Err(InvalidConfig::new("quota", "must be one that there is"));
        };
        let now = self.now();
        cell.set_quota(quota, now)?;
        self.is_changed.store(true, Ordering::Relaxed);
        // Whether it is, the next call will see.
        self.set_tight(true);
        self.move_on(now);
        self.show_limit();
        let limit = usize::try_from(quota.units()).unwrap_or(usize::MAX);
        self.telemetry.report(&Event::LimitChanged { limit });
        Ok(())
    }

    /// How the quotas stand.
    pub(crate) fn states(&self) -> impl Iterator<Item = QuotaState> {
        let now = self.now();
        let policies = self.options.policies.iter();
        // Of a key with more quotas than the layer, the last names stand for the rest.
        let last = self.options.policies.last().into_iter().cycle();
        let each = self.windows.cells().zip(policies.chain(last));
        each.map(move |(cell, policy)| {
            let quota = cell.quota();
            let state = QuotaState::new(*policy, quota.units(), quota.window());
            state.left(cell.remaining(now), cell.time_to_more(now))
        })
    }

    pub(crate) fn publish(&self) {
        self.show_limit();
        let refusals = [RejectionKind::RateLimited];
        self.telemetry.instruments().publish(&refusals);
    }

    fn show_limit(&self) {
        let instruments = self.telemetry.instruments();
        if self.gauges == Gauges::Own && instruments.are_heard() {
            let units = self.windows.cells().next().map(|cell| cell.quota().units());
            instruments.set_limit(usize::try_from(units.unwrap_or(0)).unwrap_or(usize::MAX));
        }
    }
}

impl Gate for RateGate {
    type Admission = Spent;
    type Wait = Wait;

    #[inline(always)]
    fn check(&self) -> Result<(), Refusal> {
        // After a call that left some there is no less: time only adds to it.
        if !self.is_tight.load(Ordering::Relaxed) {
            return Ok(());
        }
        self.check_tight()
    }

    #[inline(always)]
    fn admit_healthy(&self) -> Option<Spent> {
        let (taken, has_more) = self.windows.try_take_and_look(self.now(), 1).ok()?;
        Some(self.spent(taken, has_more))
    }

    fn try_admit(&self) -> Result<Spent, Refusal> {
        self.spend(1)
    }

    fn enter(held: &Held<Self>) -> Entry<Self> {
        Self::enter_counted(held, 1)
    }

    #[inline]
    fn heed(&self, spent: Option<&mut Spent>, head: &dyn Any, _: Verdict) {
        if let Some(spent) = spent
            && is_replay(head)
        {
            let taken = spent.take();
            taken
                .into_iter()
                .for_each(|taken| self.give_back(Spent::taken(taken)));
        }
    }

    #[inline]
    fn settle(&self, spent: Spent, verdict: Verdict) {
        if verdict.is_refusal() {
            self.give_back(spent);
        }
    }

    fn withdraw(&self, spent: Spent) {
        self.give_back(spent);
    }

    fn settle_uncalled(&self, spent: Spent, _: Verdict) {
        self.give_back(spent);
    }

    #[inline]
    fn telemetry(&self) -> &Telemetry {
        &self.telemetry
    }

    fn reject(&self, refusal: Refusal) -> BoxError {
        let mut quotas = told_with(&refusal, self);
        for (at, state) in quotas.iter_mut().flat_map(Quotas::iter_mut).enumerate() {
            state.violated = refusal.marks() >> at & 1 == 1;
        }
        reject(&self.telemetry, refusal, quotas)
    }

    #[inline]
    fn quotas(&self) -> Option<Quotas> {
        self.options.announce.then(|| {
            let mut quotas = Quotas::new();
            quotas.extend(self.states());
            quotas
        })
    }

    fn has_quotas(&self, spent: Option<&Spent>) -> bool {
        !spent.is_some_and(Spent::is_exempt)
    }

    /// Only one that a new one would be no different from.
    fn is_forgettable(&self) -> bool {
        !self.is_changed.load(Ordering::Relaxed) && self.windows.is_full(self.now())
    }
}

impl Counting for RateGate {
    fn enter_counted(held: &Held<Self>, cost: u64) -> Entry<Self> {
        if cost == 0 {
            return Entry::Admitted(Spent::NOTHING);
        }
        let options = &held.options;
        // Where refusals are only observed, nobody is kept waiting for one either.
        let waits = options.max_queue > 0
            && !options.max_wait.is_zero()
            && held.control().enforced_percent() > 0;
        match held.spend(cost) {
            Ok(spent) => Entry::Admitted(spent),
            Err(refusal) if !waits || refusal.kind() == RejectionKind::CostTooHigh => {
                Entry::Refused(refusal)
            }
            Err(refusal) if held.waiting() >= options.max_queue => Entry::Refused(refusal),
            Err(_) => Entry::Waiting(Wait::new(held.again(), cost)),
        }
    }

    fn exempt() -> Spent {
        Spent::EXEMPT
    }
}

/// Whether an answer is a stored one, given again: the quota was paid for the first.
#[cfg(feature = "http")]
pub(crate) fn is_replay(head: &dyn Any) -> bool {
    seaworthy_http::Replayed::marks(head)
}

#[cfg(not(feature = "http"))]
pub(crate) const fn is_replay(_: &dyn Any) -> bool {
    false
}

/// The quotas that go with a refusal: a drain refuses the exempt, too, who have none.
pub(crate) fn told_with<G: Gate>(refusal: &Refusal, gate: &G) -> Option<Quotas> {
    (refusal.kind() != RejectionKind::Draining)
        .then(|| gate.quotas())
        .flatten()
}

/// The error of a refusal, with the quotas where they are told.
pub(crate) fn reject(telemetry: &Telemetry, refusal: Refusal, quotas: Option<Quotas>) -> BoxError {
    let error = telemetry.refuse(refusal);
    let Some(quotas) = quotas else {
        return error;
    };
    match error.downcast() {
        Ok(rejection) => Box::new(Limited::new(*rejection, quotas)),
        Err(error) => error,
    }
}

/// For each set of up to four quotas, the refusal of a call for which they had too little.
static SPENT: [Grounds; 16] = {
    let mut each = [Grounds::new(RejectionKind::RateLimited); 16];
    let mut at = 0;
    while at < each.len() {
        each[at] = each[at].marked(at as u8);
        at += 1;
    }
    each
};
