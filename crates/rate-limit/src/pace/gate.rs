//! The tempo with a clock, a lock and a voice: what the shared services ask.

use std::any::Any;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::Duration;

use seaworthy_core::tempo::{Advice, Tempo, TempoConfig, Turn};
use seaworthy_kit::gate::Entry;
use seaworthy_kit::unwind::wake_all;
use seaworthy_kit::{
    Gate, Held, Moment, Refusal, RejectionKind, Telemetry, Verdict, clock, deadline,
};

use super::Wait;
use super::layer::Waits;

/// The pace of one server as the layer holds it.
#[derive(Debug)]
pub struct PaceGate {
    line: Mutex<Line>,
    /// Whether calls go as they come, so that they need not take the lock. Written under it.
    is_free: AtomicBool,
    config: TempoConfig,
    waits: Option<Waits>,
    jitter: f64,
    telemetry: Telemetry,
}

/// The tempo, and those who wait for their turn.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) tempo: Tempo,
    /// In the order in which they came.
    wakers: BTreeMap<u64, Waker>,
    /// The number of the next one.
    next: u64,
}

/// The right to make one call.
#[derive(Debug)]
pub struct Pass {
    /// The turn that it took, where calls are spread.
    turn: Option<Turn>,
    /// Whether the head of the answer has said when to come back: its verdict would say so once more, at the end of the body.
    is_told: bool,
}

impl PaceGate {
    pub(crate) const fn new(
        config: TempoConfig,
        waits: Option<Waits>,
        jitter: f64,
        telemetry: Telemetry,
    ) -> Self {
        Self {
            line: Mutex::new(Line {
                tempo: Tempo::new(config),
                wakers: BTreeMap::new(),
                next: 0,
            }),
            is_free: AtomicBool::new(true),
            config,
            waits,
            jitter,
            telemetry,
        }
    }

    /// By which share of their wait calls go later than they might.
    pub(crate) const fn jitter(&self) -> f64 {
        self.jitter
    }

    pub(crate) fn line(&self) -> MutexGuard<'_, Line> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How long one more call may wait; `None` where none does, or too many do.
    pub(crate) fn may_wait(&self, line: &Line) -> Option<Duration> {
        let waits = self.waits?;
        let left = deadline::remaining().unwrap_or(Duration::MAX);
        (line.waiting() < waits.max_waiting).then(|| waits.max_wait.min(left))
    }

    /// How long a call waits at most; `None` where none does, or for ever.
    pub(crate) fn longest_wait(&self) -> Option<Duration> {
        let waits = self.waits.filter(|waits| waits.max_waiting > 0)?;
        (waits.max_wait != Duration::MAX).then_some(waits.max_wait)
    }

    /// How many may wait; `None` where none does.
    pub(crate) fn most_waiting(&self) -> Option<usize> {
        let most = self.waits.map(|waits| waits.max_waiting);
        most.filter(|most| *most > 0)
    }

    /// Stands still for so long, as if the server had said so.
    pub(crate) fn stop(&self, wait: Duration) {
        let mut advice = Advice::new(self.config.low);
        advice.wait(wait);
        self.learn(&advice);
    }

    pub(crate) fn forget(&self) {
        self.change(Tempo::forget);
    }

    /// Changes the tempo; where that makes turns void, those who wait for them are woken once the lock is released.
    fn change(&self, change: impl FnOnce(&mut Tempo)) {
        let woken = {
            let mut line = self.line();
            let before = line.tempo.generation();
            change(&mut line.tempo);
            self.is_free
                .store(line.tempo.is_free(clock::now()), Ordering::Relaxed);
            if line.tempo.generation() == before {
                return;
            }
            line.wakers.values().cloned().collect::<Vec<_>>()
        };
        wake_all(woken);
    }

    fn learn(&self, advice: &Advice) {
        // A free pace that is told to go on is one.
        if advice.is_empty() || !advice.slows() && self.is_free.load(Ordering::Relaxed) {
            return;
        }
        self.change(|tempo| tempo.heed(advice, clock::now()));
    }

    /// When a call may go: now, or after so long. Nothing is taken.
    fn time_to_wait(&self, tempo: &mut Tempo, now: Moment) -> Option<Duration> {
        if tempo.is_free(now) {
            self.is_free.store(true, Ordering::Relaxed);
            return None;
        }
        let next = if self.waits.is_some() {
            tempo.next(now)
        } else {
            tempo.stopped_until(now)?
        };
        (next > now).then(|| next.since(now))
    }

    fn decide(&self) -> Result<Pass, Duration> {
        if self.is_free.load(Ordering::Relaxed) {
            return Ok(Pass::new(None));
        }
        let now = clock::now();
        let tempo = &mut self.line().tempo;
        match self.time_to_wait(tempo, now) {
            Some(wait) => Err(wait),
            // Where nobody waits, nothing is spread, and there are no turns.
            None => Ok(Pass::new(self.waits.map(|_| tempo.turn(now)))),
        }
    }
}

impl Line {
    pub(crate) fn waiting(&self) -> usize {
        self.wakers.len()
    }

    /// One more waits, and has this number.
    pub(crate) fn join(&mut self, waker: Waker) -> u64 {
        let number = self.next;
        self.next += 1;
        self.wakers.insert(number, waker);
        number
    }

    /// Wakes that one by another waker from now on. The old one is for the caller to drop, without the lock.
    pub(crate) fn swap(&mut self, number: u64, waker: Waker) -> Option<Waker> {
        self.wakers.insert(number, waker)
    }

    /// That one waits no longer; its waker as in [`swap`](Self::swap).
    pub(crate) fn leave(&mut self, number: u64) -> Option<Waker> {
        self.wakers.remove(&number)
    }
}

impl Pass {
    pub(crate) const fn new(turn: Option<Turn>) -> Self {
        Self {
            turn,
            is_told: false,
        }
    }
}

pub(crate) const fn refusal(wait: Duration) -> Refusal {
    Refusal::new(RejectionKind::RateLimited, Some(wait))
}

impl Gate for PaceGate {
    type Admission = Pass;
    type Wait = Wait;

    fn check(&self) -> Result<(), Refusal> {
        if self.is_free.load(Ordering::Relaxed) {
            return Ok(());
        }
        match self.time_to_wait(&mut self.line().tempo, clock::now()) {
            Some(wait) => Err(refusal(wait)),
            None => Ok(()),
        }
    }

    fn try_admit(&self) -> Result<Pass, Refusal> {
        self.decide().map_err(refusal)
    }

    fn enter(held: &Held<Self>) -> Entry<Self> {
        let wait = match held.decide() {
            Ok(pass) => return Entry::Admitted(pass),
            Err(wait) => wait,
        };
        // Where refusals are only observed, nobody is kept waiting for one either.
        if held.control().enforced_percent() > 0
            && held.may_wait(&held.line()).is_some_and(|most| wait <= most)
        {
            Entry::Waiting(Wait::new(held.again()))
        } else {
            Entry::Refused(refusal(wait))
        }
    }

    fn settle(&self, pass: Pass, verdict: Verdict) {
        if let Some(wait) = verdict.retry_after()
            && !pass.is_told
        {
            self.stop(wait);
        }
    }

    fn withdraw(&self, pass: Pass) {
        if let Some(turn) = pass.turn {
            self.line().tempo.give_back(turn);
        }
    }

    fn heed(&self, pass: Option<&mut Pass>, head: &dyn Any, _: Verdict) {
        let mut advice = Advice::new(self.config.low);
        let is_told = read(head, &mut advice);
        if let Some(pass) = pass {
            pass.is_told = is_told;
        }
        self.learn(&advice);
    }

    fn telemetry(&self) -> &Telemetry {
        &self.telemetry
    }

    /// Not one that a server has told to wait.
    fn is_forgettable(&self) -> bool {
        self.is_free.load(Ordering::Relaxed) || self.line().tempo.is_free(clock::now())
    }
}

/// Reads the fields of an answer; whether it said when to come back.
#[cfg(feature = "http")]
fn read(head: &dyn Any, advice: &mut Advice) -> bool {
    seaworthy_http::rate_limit::advise(head, advice)
}

#[cfg(not(feature = "http"))]
const fn read(_: &dyn Any, _: &mut Advice) -> bool {
    false
}
