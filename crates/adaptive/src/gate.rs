//! The slots of which the number is found, with a line and a voice: what the shared services ask.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::Duration;

use seaworthy_core::limit::{Change, LONGEST, Limit, Samples};
use seaworthy_core::slots::{Full, Party, Slot};
use seaworthy_core::{Deadline, Outcome};
use seaworthy_kit::gate::Entry;
use seaworthy_kit::line::{Gauges, Line, LineConfig, Lined};
use seaworthy_kit::{
    Criticality, Event, Gate, Held, InvalidConfig, Moment, Refusal, RejectionKind, Telemetry,
    Verdict, criticality, deadline, draw,
};

use crate::Wait;
use crate::layer::{Options, WHOLE};

/// An adaptive limit as the layer holds it.
#[derive(Debug)]
pub struct AdaptiveGate {
    pub(crate) line: Line,
    samples: Samples,
    /// Locked by whoever ends a window, and by people who look; a call that finds it locked goes on.
    limit: Mutex<Limit>,
    /// What the line is to have as its limit.
    wanted: AtomicUsize,
    /// What calls took in the last window, in nanoseconds: by then, those that run now have ended.
    recent: AtomicU64,
    /// The baseline likewise; zero where there is none.
    baseline: AtomicU64,
    pub(crate) options: Options,
    pub(crate) telemetry: Telemetry,
}

/// The right to make one call, and when it began.
#[derive(Debug)]
pub struct Admission {
    pub(crate) slot: Slot,
    began: Moment,
    /// How many ran then, this one included.
    in_flight: usize,
    /// Until when its caller waits.
    deadline: Option<Deadline>,
}

impl Admission {
    /// How much time its caller gave it.
    fn given(&self) -> Option<Duration> {
        let deadline = self.deadline?;
        Some(deadline.moment().since(self.began))
    }
}

impl AdaptiveGate {
    pub(crate) fn try_new(
        options: Options,
        telemetry: Telemetry,
        gauges: Gauges,
    ) -> Result<Self, InvalidConfig> {
        options.check()?;
        let limit = Limit::try_new(options.limit)?;
        let config = LineConfig {
            max_concurrent: limit.get(),
            max_queue: options.max_queue,
            max_wait: Duration::MAX,
            delay: Some(options.delay),
            clock: options.clock.clone(),
        };
        let gate = Self {
            line: Line::try_new(config, gauges)?,
            samples: Samples::new(&options.limit),
            wanted: AtomicUsize::new(limit.get()),
            limit: Mutex::new(limit),
            recent: AtomicU64::new(0),
            baseline: AtomicU64::new(0),
            options,
            telemetry,
        };
        gate.line.show_limit(&gate.telemetry);
        Ok(gate)
    }

    /// The same, with fair shares for tenants.
    pub(crate) fn fair(self) -> Self {
        Self {
            line: self.line.fair(self.options.max_queue == 0),
            ..self
        }
    }

    /// The limit, locked: to look at it.
    pub(crate) fn limit(&self) -> MutexGuard<'_, Limit> {
        self.limit.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the limit, and what follows from it.
    pub(crate) fn change<R>(&self, change: impl FnOnce(&mut Limit) -> R) -> R
    where
        R: Changed,
    {
        let result = {
            let mut limit = self.limit();
            let result = change(&mut limit);
            self.wanted.store(limit.get(), Ordering::Release);
            result
        };
        self.apply(result.change());
        result
    }

    pub(crate) fn publish(&self) {
        self.line.show(&self.telemetry);
        let refusals = [RejectionKind::Shed, RejectionKind::QueueTimeout];
        let refusals = match self.line.max_queue() {
            0 => &refusals[..1],
            _ => &refusals[..],
        };
        let instruments = self.telemetry.instruments();
        instruments.publish(refusals);
        instruments.publish_limit_changes(&CAUSES);
    }

    /// How many calls of that class may run where so many may in all.
    pub(crate) fn share(&self, class: Criticality, limit: usize) -> usize {
        match self.options.shares[class.index()] {
            WHOLE => limit,
            // At least one, or a low limit would shut a class out.
            share => (limit * share / WHOLE).max(1),
        }
    }

    #[inline(always)]
    fn acquire(&self) -> Result<Admission, Full> {
        let class = criticality::current().unwrap_or_default();
        let share = |limit| self.share(class, limit);
        let (slot, in_flight) = self.line.slots().try_acquire_below(share)?;
        self.line.show(&self.telemetry);
        Ok(self.admission(slot, in_flight))
    }

    #[inline(always)]
    pub(crate) fn admission(&self, slot: Slot, in_flight: usize) -> Admission {
        Admission {
            slot,
            began: self.line.clock().now(),
            in_flight,
            deadline: deadline::current(),
        }
    }

    /// Counts a call that is over; whether a window is over with it, and when that was.
    #[inline(always)]
    pub(crate) fn count(&self, admission: &Admission, verdict: Verdict) -> Option<Moment> {
        let now = || self.line.clock().now();
        let (began, in_flight) = (admission.began, admission.in_flight);
        let dropped = |now| {
            if self.is_hopeless(admission) {
                return None;
            }
            let over = if self.is_cut(admission, now) {
                self.samples.on_cut(began, now, in_flight)
            } else {
                self.samples.on_drop(began, now, in_flight)
            };
            over.then_some(now)
        };
        if verdict.is_overload() {
            return dropped(now());
        }
        match verdict.settled() {
            Outcome::Success => {
                let now = now();
                if now.since(began) > self.options.limit.algorithm.timeout() {
                    return dropped(now);
                }
                let over = self.samples.on_success(began, now, in_flight);
                over.then_some(now)
            }
            // A caller that went in time says nothing; one that waited for as long as it could says that this took too long.
            Outcome::Abandoned => {
                let deadline = admission.deadline?;
                let now = now();
                match deadline.remaining(now) {
                    Some(left) if !left.is_zero() => None,
                    _ => dropped(now),
                }
            }
            // Errors come fast: they say nothing of how long the work takes.
            Outcome::Failure | Outcome::Ignored => None,
        }
    }

    /// Whether its caller gave it less time than calls take: that it was not over in time says nothing of the service.
    fn is_hopeless(&self, admission: &Admission) -> bool {
        let recent = Duration::from_nanos(self.recent.load(Ordering::Relaxed));
        admission.given().is_some_and(|given| given < recent)
    }

    /// Whether its caller's time was over, and had been so short that chance makes calls take as long.
    fn is_cut(&self, admission: &Admission, now: Moment) -> bool {
        let baseline = Duration::from_nanos(self.baseline.load(Ordering::Relaxed));
        let (given, short) = (admission.given(), baseline.saturating_mul(LONGEST));
        given.is_some_and(|given| given < short && now.since(admission.began) >= given)
    }

    #[cold]
    pub(crate) fn end_window(&self, now: Moment) {
        let mut limit = match self.limit.try_lock() {
            Ok(limit) => limit,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            // Somebody else ends it.
            Err(TryLockError::WouldBlock) => return,
        };
        let change = limit.close(&self.samples, now, draw);
        let (baseline, recent) = (limit.baseline(), limit.recent());
        self.wanted.store(limit.get(), Ordering::Release);
        drop(limit);
        for (place, time) in [(&self.recent, recent), (&self.baseline, baseline)] {
            let nanos = time.unwrap_or_default().as_nanos();
            place.store(u64::try_from(nanos).unwrap_or(u64::MAX), Ordering::Relaxed);
        }
        if let Some(baseline) = baseline
            && self.line.gauges() == Gauges::Own
        {
            self.telemetry.instruments().set_baseline(baseline);
        }
        self.apply(change);
    }

    /// Gives the line its limit, and tells of it; without the lock of the limit, since listeners may ask for it.
    fn apply(&self, change: Option<Change>) {
        let Some(change) = change else {
            return;
        };
        loop {
            let wanted = self.wanted.load(Ordering::Acquire);
            self.line
                .resize(wanted, &self.telemetry)
                .expect("a limit is within the bounds that were checked");
            // Two changes may come here in the wrong order: whoever was last sees the other's.
            if self.wanted.load(Ordering::Acquire) == wanted {
                break;
            }
        }
        self.telemetry.report(&Event::LimitAdapted {
            from: change.from,
            to: change.to,
            cause: change.cause.as_str(),
        });
    }

    pub(crate) fn shed(&self) -> Refusal {
        let recent = self.recent.load(Ordering::Relaxed);
        let wait = (recent > 0).then(|| Duration::from_nanos(recent));
        Refusal::new(RejectionKind::Shed, wait)
    }
}

impl Lined for AdaptiveGate {
    const FULL: RejectionKind = RejectionKind::Shed;

    #[inline(always)]
    fn line(&self) -> &Line {
        &self.line
    }

    /// It begins now: what it waited is no matter of the service.
    fn seated(&self, slot: Slot, _: Party) -> Admission {
        let in_flight = self.line.occupancy().running;
        self.admission(slot, in_flight)
    }

    fn refusal(&self, kind: RejectionKind, waiting: usize) -> Refusal {
        let refusal = self.line.refusal(kind, waiting);
        match refusal.retry_after() {
            Some(_) => refusal,
            None => Refusal::new(kind, self.shed().retry_after()),
        }
    }
}

impl Gate for AdaptiveGate {
    type Admission = Admission;
    type Wait = Wait;

    /// Whose call it will be is not known yet: a layer further out that tells the classes apart does so for each request.
    #[inline]
    fn check(&self) -> Result<(), Refusal> {
        let seen = self.line.occupancy();
        if seen.running >= self.share(Criticality::CriticalPlus, seen.limit) {
            Err(self.shed())
        } else {
            Ok(())
        }
    }

    #[inline(always)]
    fn admit_healthy(&self) -> Option<Admission> {
        self.acquire().ok()
    }

    fn try_admit(&self) -> Result<Admission, Refusal> {
        self.acquire().map_err(|_| self.shed())
    }

    fn enter(held: &Held<Self>) -> Entry<Self> {
        match held.acquire() {
            Ok(admission) => Entry::Admitted(admission),
            Err(full) => {
                let class = criticality::current().unwrap_or_default();
                // Who may not use the whole limit does not wait for it either.
                if held.options.shares[class.index()] < WHOLE {
                    return Entry::Refused(held.shed());
                }
                Line::enter(held, full.seen.waiting, class)
            }
        }
    }

    #[inline(always)]
    fn settle(&self, admission: Admission, verdict: Verdict) {
        let over = self.count(&admission, verdict);
        self.line.release(admission.slot, &self.telemetry);
        if let Some(now) = over {
            self.end_window(now);
        }
    }

    fn show(&self) {
        self.line.show(&self.telemetry);
    }

    #[inline]
    fn telemetry(&self) -> &Telemetry {
        &self.telemetry
    }

    /// Not one that somebody has set: it would come back as the builder had it.
    fn is_forgettable(&self) -> bool {
        let limit = self.limit();
        limit.learns() && limit.bounds() == (self.options.limit.min, self.options.limit.max)
    }
}

/// What a change of the limit gives, be it one that can fail.
pub(crate) trait Changed {
    fn change(&self) -> Option<Change>;
}

impl Changed for Option<Change> {
    fn change(&self) -> Option<Change> {
        *self
    }
}

impl Changed for Result<Option<Change>, InvalidConfig> {
    fn change(&self) -> Option<Change> {
        self.as_ref().ok().copied().flatten()
    }
}

/// Why a limit can change; the other causes are why it stays.
const CAUSES: [&str; 6] = ["fast", "slow", "dropped", "probing", "probed", "bounds"];
