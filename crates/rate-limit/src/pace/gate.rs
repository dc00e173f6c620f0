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
    Gate, Held, Moment, Refusal, RejectionKind, Telemetry, Verdict, clock, deadline, draw,
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
    waiters: BTreeMap<u64, Waiter>,
    /// The number of the next one.
    next: u64,
}

/// A call that waits.
#[derive(Debug)]
pub(crate) struct Waiter {
    pub(crate) waker: Waker,
    /// `None` where it would come too late.
    pub(crate) turn: Option<Turn>,
    /// How long after its turn it goes.
    pub(crate) late: Duration,
    /// The latest turn that it would take.
    pub(crate) until: Moment,
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
                waiters: BTreeMap::new(),
                next: 0,
            }),
            is_free: AtomicBool::new(true),
            config,
            waits,
            jitter,
            telemetry,
        }
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

    /// Changes the tempo; where that makes turns void, those who wait take new ones, in the order in which they came and not in that in which they are polled.
    ///
    /// Whoever goes sooner by that is woken once the lock is released; the others look when their old turn has come.
    fn change(&self, change: impl FnOnce(&mut Tempo)) {
        let woken = {
            let Line { tempo, waiters, .. } = &mut *self.line();
            let before = tempo.generation();
            change(tempo);
            let now = clock::now();
            self.is_free.store(tempo.is_free(now), Ordering::Relaxed);
            if tempo.generation() == before {
                return;
            }
            let woken = waiters.values_mut().filter_map(|waiter| {
                let looks = waiter.looks();
                waiter.turn = None;
                self.assign(tempo, waiter, now);
                // Taken, not cloned under the lock, since a waker is foreign code; who is woken leaves a new one.
                (waiter.looks() < looks)
                    .then(|| std::mem::replace(&mut waiter.waker, Waker::noop().clone()))
            });
            woken.collect::<Vec<_>>()
        };
        wake_all(woken);
    }

    /// Takes the next turn for a call, unless it comes too late.
    pub(crate) fn assign(&self, tempo: &mut Tempo, waiter: &mut Waiter, now: Moment) {
        if let Some(turn) = waiter.turn.take() {
            tempo.give_back(turn);
        }
        let next = tempo.next(now);
        if next > waiter.until {
            return;
        }
        waiter.turn = Some(tempo.turn(now));
        // Where all who wait have the same turn: after a stop they would all go in one instant.
        waiter.late = match tempo.spacing(now) {
            Some(_) => Duration::ZERO,
            None => part(next.since(now), self.jitter, draw()).min(waiter.until.since(next)),
        };
    }

    pub(super) fn learn(&self, advice: &Advice) {
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
        self.waiters.len()
    }

    /// One more waits, and has this number.
    pub(crate) fn join(&mut self, waiter: Waiter) -> u64 {
        let number = self.next;
        self.next += 1;
        self.waiters.insert(number, waiter);
        number
    }

    pub(crate) fn waiter(&mut self, number: u64) -> (&mut Tempo, &mut Waiter) {
        let waiter = self.waiters.get_mut(&number);
        (&mut self.tempo, waiter.expect("it waits until it leaves"))
    }

    /// That one waits no longer, and leaves its turn. The waker is for the caller to drop, without the lock: it is foreign code.
    pub(crate) fn leave(&mut self, number: u64) -> (Option<Turn>, Option<Waker>) {
        match self.waiters.remove(&number) {
            Some(waiter) => (waiter.turn, Some(waiter.waker)),
            None => (None, None),
        }
    }
}

impl Waiter {
    /// When it looks again; at once where it has no turn.
    pub(crate) fn looks(&self) -> Moment {
        let looks = self.turn.as_ref().map(|turn| turn.at() + self.late);
        looks.unwrap_or(Moment::ORIGIN)
    }
}

/// A part of a time, up to that share of it, as the draw says.
fn part(of: Duration, share: f64, draw: u64) -> Duration {
    const WHOLE: f64 = (1_u64 << 53) as f64;
    of.mul_f64(share * ((draw >> 11) as f64 / WHOLE))
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

    fn settle_uncalled(&self, mut pass: Pass, verdict: Verdict) {
        if let Some(turn) = pass.turn.take() {
            self.line().tempo.give_back(turn);
        }
        self.settle(pass, verdict);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn part_is_drawn_between_none_and_the_share() {
        let ten = Duration::from_secs(10);
        assert_eq!(part(ten, 0.5, 0), Duration::ZERO);
        assert_eq!(part(ten, 0.5, 1 << 63), ten / 4);
        assert!(part(ten, 0.5, u64::MAX) <= ten / 2);
        assert_eq!(part(ten, 0.0, u64::MAX), Duration::ZERO);
    }
}
