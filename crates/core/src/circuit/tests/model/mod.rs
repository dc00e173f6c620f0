//! The circuit as one would write it without a thought for speed: lists of what happened, counted anew each time.

mod trial;

use alloc::vec::Vec;

use crate::Outcome;
use crate::circuit::State;

pub(super) const TICK: u64 = 1 << 20;
const SECOND: u64 = 1_000_000_000;
/// A whole call, as a recovery counts.
const CALL: u64 = 1 << 20;

/// The options, in plain numbers; times in nanoseconds.
#[derive(Clone, Debug)]
pub(super) struct Options {
    pub(super) failure_rate: Option<f64>,
    pub(super) failure_count: Option<usize>,
    pub(super) open_on_retry_after: bool,
    pub(super) slow_rate: Option<f64>,
    pub(super) window: usize,
    /// Width of the buckets, of which there are `window`; a window of calls without.
    pub(super) width: Option<u64>,
    pub(super) minimum: usize,
    pub(super) consecutive: Option<usize>,
    pub(super) leaky: Option<usize>,
    pub(super) recovery: u64,
    pub(super) max_recovery: u64,
    pub(super) slots: usize,
    pub(super) needed: usize,
    pub(super) probe_failure_rate: Option<f64>,
    pub(super) lease: u64,
    pub(super) ramp: Option<u64>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Call {
    pub(super) failed: bool,
    pub(super) slow: bool,
    bucket: u64,
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum Slot {
    Free,
    Leased { id: u64, end: u64 },
    Spent,
}

/// What the model hands out: the generation, and the lease of a probe.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pass {
    generation: u64,
    pub(super) probe: Option<u64>,
}

#[derive(Debug)]
pub(super) struct Model {
    options: Options,
    pub(super) state: State,
    pub(super) generation: u64,
    pub(super) trips: u32,
    pub(super) until: u64,
    pub(super) last_failure: Option<u64>,
    calls: Vec<Call>,
    newest: u64,
    outcomes: Vec<bool>,
    slots: Vec<Slot>,
    results: Vec<(bool, bool)>,
    /// Probes that were abandoned when they had been slow.
    given_up: usize,
    leases: u64,
    ramp_from: u64,
    /// What the call that ends just now was told.
    hint: Option<u64>,
    /// What the calls of a recovery have earned and not spent.
    earned: u64,
}

impl Model {
    pub(super) fn new(options: Options) -> Self {
        let slots = (0..options.slots).map(|_| Slot::Free).collect();
        Self {
            options,
            state: State::Closed,
            generation: 0,
            trips: 0,
            until: 0,
            last_failure: None,
            calls: Vec::new(),
            newest: 0,
            outcomes: Vec::new(),
            slots,
            results: Vec::new(),
            given_up: 0,
            leases: 0,
            ramp_from: 0,
            hint: None,
            earned: 0,
        }
    }

    /// Everything that a generation knows is forgotten with it.
    pub(super) fn enter(&mut self, state: State) {
        self.state = state;
        self.generation += 1;
        // Open and half-open, it still shows what opened it.
        if !matches!(state, State::Open | State::HalfOpen) {
            self.calls.clear();
            self.outcomes.clear();
        }
        self.results.clear();
        self.given_up = 0;
        self.earned = CALL;
        self.slots.fill(Slot::Free);
    }

    pub(super) fn order(&mut self, state: State) {
        if self.state != state || state == State::Closed {
            self.enter(state);
            self.trips = 0;
        }
    }

    pub(super) fn reset(&mut self) {
        self.order(State::Closed);
        self.last_failure = None;
    }

    pub(super) fn would_admit(&self, now: u64) -> bool {
        match self.state {
            State::Closed | State::ForcedClosed | State::Disabled => true,
            State::ForcedOpen => false,
            State::Open => self.is_due(now),
            State::HalfOpen => self.slots.iter().any(|slot| self.is_vacant(slot, now)),
            State::Recovering => self.earned + self.earns(now) >= CALL,
        }
    }

    pub(super) fn admit(&mut self, now: u64) -> Option<Pass> {
        let admits = self.would_admit(now);
        if self.state == State::Recovering && self.earns(now) < CALL {
            self.earned += self.earns(now);
            self.earned -= if admits { CALL } else { 0 };
        }
        if !admits {
            return None;
        }
        if self.state == State::Open {
            self.enter(State::HalfOpen);
        }
        let mut probe = None;
        if self.state == State::HalfOpen {
            let free = self.slots.iter().position(|slot| self.is_vacant(slot, now));
            self.leases += 1;
            probe = Some(self.leases);
            let end = (now + self.options.lease).div_ceil(TICK) * TICK;
            self.slots[free.unwrap()] = Slot::Leased {
                id: self.leases,
                end,
            };
        }
        Some(Pass {
            generation: self.generation,
            probe,
        })
    }

    /// Returns the state that the circuit moves to; the caller then sets `until`, which is drawn.
    pub(super) fn settle(
        &mut self,
        pass: Pass,
        outcome: Outcome,
        slow: bool,
        hint: Option<u64>,
        now: u64,
    ) -> Option<State> {
        self.hint = hint;
        if pass.generation != self.generation || self.state == State::Disabled {
            return None;
        }
        let mut recovered = None;
        if self.state == State::Recovering && self.earns(now) == CALL {
            self.state = State::Closed;
            self.trips = 0;
            recovered = Some(State::Closed);
        }
        self.judge(pass, outcome, slow, now).or(recovered)
    }

    fn judge(&mut self, pass: Pass, outcome: Outcome, slow: bool, now: u64) -> Option<State> {
        let slow = slow && self.options.slow_rate.is_some();
        let failed = match outcome {
            Outcome::Success => false,
            Outcome::Failure => true,
            Outcome::Ignored | Outcome::Abandoned => {
                let says = slow && outcome == Outcome::Abandoned;
                if let Some(slot) = self.slot_of(pass) {
                    self.slots[slot] = Slot::Free;
                    if says {
                        self.given_up += 1;
                        return self.move_on(self.verdict()?);
                    }
                } else if says && pass.probe.is_none() {
                    self.count(None, slow, now);
                    return self.trip(false, slow, now);
                }
                return None;
            }
        };
        if pass.probe.is_some() && self.slot_of(pass).is_none() {
            return None;
        }
        if failed {
            self.last_failure = Some(now);
        }
        if pass.probe.is_some() {
            let slot = self.slot_of(pass)?;
            self.results.push((failed, slow));
            let left = self.most() - self.results.len();
            let other_slots = self
                .slots
                .iter()
                .filter(|slot| **slot != Slot::Spent)
                .count()
                - 1;
            self.slots[slot] = if left > other_slots {
                Slot::Free
            } else {
                Slot::Spent
            };
            let verdict = self.verdict()?;
            self.ramp_from = now;
            self.move_on(verdict)
        } else {
            self.count(Some(failed), slow, now);
            self.trip(failed, slow, now)
        }
    }

    fn trip(&mut self, failed: bool, slow: bool, now: u64) -> Option<State> {
        let may_trip = matches!(self.state, State::Closed | State::Recovering);
        if may_trip && self.breaks_a_rule(failed, slow, now) {
            self.move_on(State::Open)
        } else {
            None
        }
    }

    fn move_on(&mut self, verdict: State) -> Option<State> {
        let to = match (verdict, self.options.ramp) {
            (State::Closed, Some(_)) => State::Recovering,
            (verdict, _) => verdict,
        };
        match to {
            State::Open => self.trips += 1,
            State::Closed => self.trips = 0,
            _ => {}
        }
        self.enter(to);
        Some(to)
    }

    /// What a call earns in the recovery.
    fn earns(&self, now: u64) -> u64 {
        let ramp = self.options.ramp.unwrap_or(0);
        if now >= self.ramp_from + ramp || self.ramp_from.saturating_sub(now) > ramp {
            return CALL;
        }
        let elapsed = u128::from(now.saturating_sub(self.ramp_from));
        (elapsed * u128::from(CALL) / u128::from(ramp)) as u64
    }

    pub(super) fn totals(&self, now: u64) -> (usize, usize, usize) {
        let window: Vec<Call> = match self.options.width {
            None => self
                .calls
                .iter()
                .rev()
                .take(self.options.window)
                .copied()
                .collect(),
            Some(_) => {
                let (newest, jumped) = self.bucket(now);
                if jumped {
                    return (0, 0, 0);
                }
                let span = newest.saturating_sub(self.options.window as u64 - 1)..=newest;
                self.calls
                    .iter()
                    .filter(|call| span.contains(&call.bucket))
                    .copied()
                    .collect()
            }
        };
        let failures = window.iter().filter(|call| call.failed).count();
        (
            window.len(),
            failures,
            window.iter().filter(|call| call.slow).count(),
        )
    }

    pub(super) fn consecutive(&self) -> usize {
        self.outcomes
            .iter()
            .rev()
            .take_while(|failed| **failed)
            .count()
    }

    pub(super) fn leaky(&self) -> usize {
        self.outcomes.iter().fold(0, |count: usize, failed| {
            if *failed {
                count + 1
            } else {
                count.saturating_sub(1)
            }
        })
    }

    fn is_due(&self, now: u64) -> bool {
        let longest = self.options.max_recovery + self.options.max_recovery / 10;
        now >= self.until || self.until - now > 2 * longest
    }

    fn is_vacant(&self, slot: &Slot, now: u64) -> bool {
        match *slot {
            Slot::Free => true,
            Slot::Spent => false,
            Slot::Leased { end, .. } => now >= end || end - now > 2 * self.options.lease + TICK,
        }
    }

    fn slot_of(&self, pass: Pass) -> Option<usize> {
        let is_ours =
            |slot: &Slot| matches!(slot, Slot::Leased { id, .. } if Some(*id) == pass.probe);
        self.slots.iter().position(is_ours)
    }

    /// The bucket of a call, and whether the clock was set back so far that the window is a new one.
    fn bucket(&self, now: u64) -> (u64, bool) {
        let Some(width) = self.options.width else {
            return (0, false);
        };
        let number = now / width;
        let back = self.newest.saturating_sub(number);
        let jump = (self.options.window as u64).max((60 * SECOND).div_ceil(width));
        if back >= jump {
            (number, true)
        } else {
            (number.max(self.newest), false)
        }
    }

    /// Writes down a call that failed or not, or of which only the time is known.
    fn count(&mut self, failed: Option<bool>, slow: bool, now: u64) {
        self.outcomes.extend(failed);
        let failed = failed.unwrap_or(false);
        if self.options.failure_rate.is_some()
            || self.options.slow_rate.is_some()
            || self.options.failure_count.is_some()
        {
            let (bucket, jumped) = self.bucket(now);
            if jumped {
                self.calls.clear();
            }
            self.newest = bucket;
            self.calls.push(Call {
                failed,
                slow,
                bucket,
            });
        }
    }

    fn breaks_a_rule(&self, failed: bool, slow: bool, now: u64) -> bool {
        let reached =
            |count: usize, limit: Option<usize>| limit.is_some_and(|limit| count >= limit);
        let (calls, failures, slows) = self.totals(now);
        let minimum = match self.options.width {
            None => self.options.minimum.min(self.options.window),
            Some(_) => self.options.minimum,
        };
        let rate = |part, share| calls >= minimum && is_rate(part, calls, share);
        let after_failure = reached(self.consecutive(), self.options.consecutive)
            || reached(self.leaky(), self.options.leaky)
            || reached(failures, self.options.failure_count)
            || self.options.open_on_retry_after && self.hint.is_some_and(|hint| hint > 0)
            || rate(failures, self.options.failure_rate);
        failed && after_failure || slow && rate(slows, self.options.slow_rate)
    }
}

fn is_rate(part: usize, whole: usize, share: Option<f64>) -> bool {
    share.is_some_and(|share| whole > 0 && part as f64 / whole as f64 >= share)
}
