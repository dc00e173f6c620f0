//! Those who wait for their share of a limit that many processes share, first come first served.
//!
//! ```text
//!            refused, and may wait            the answer for the first
//! newcomer -----------------------> waiting -------------------------> decided
//!    |                                 |
//!    |  no room, or not in time        | its time is over, or it leaves
//!    +--------------> refused          +--------------------------------> gone
//! ```
//!
//! One task asks for all who wait, and for the first of them only: when the server has said that there will be enough, and not before.
//! So there is one question for each wait of the first, and it does not matter who of them is polled.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use seaworthy_core::show_settled;
use seaworthy_kit::line::Gauges;
use seaworthy_kit::unwind::wake_all;
use seaworthy_kit::{Moment, Telemetry};
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::time::timeout;

use super::SharedLimit;
use super::decision::{By, Pass, Refused, Why};
use super::plan::{Account, Stand};

mod state;
use self::state::{State, Waiter};

/// The line in front of one key, in this process.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) limit: SharedLimit,
    pub(super) account: Account,
    max_queue: usize,
    pub(super) max_wait: Duration,
    state: Mutex<State>,
    /// How many wait, for those who need not lock. Written under the lock.
    waiting: AtomicUsize,
    /// Tells whoever asks that the first is another, or that there is more.
    changed: Notify,
    telemetry: Arc<Telemetry>,
    gauges: Gauges,
}

/// How a call came to the line.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arrival {
    /// It says who came first, also where one is refused by the server before the other.
    pub(super) number: u64,
    /// How often something had been given back before.
    pub(super) returns: u64,
}

/// A place in the line, which gives itself up when it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    line: Arc<Line>,
    number: u64,
}

/// Whoever asks for the first; however it ends, nobody waits for it any more.
struct Asking {
    line: Arc<Line>,
    is_over: bool,
}

impl Line {
    pub(super) fn new(
        limit: SharedLimit,
        account: Account,
        (max_queue, max_wait): (usize, Duration),
        telemetry: Arc<Telemetry>,
        gauges: Gauges,
    ) -> Self {
        Self {
            limit,
            account,
            max_queue,
            max_wait,
            state: Mutex::default(),
            waiting: AtomicUsize::new(0),
            changed: Notify::new(),
            telemetry,
            gauges,
        }
    }

    pub(super) fn now(&self) -> Moment {
        self.limit.inner.clock.now()
    }

    pub(super) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Whether one more may wait; those whose time is over, and whom nobody has polled since, take no room.
    pub(super) fn has_room(&self) -> bool {
        self.waiting() < self.max_queue
            || self.change(|state, woken| {
                state.expire(self.now(), woken);
                state.waiting.len() < self.max_queue
            })
    }

    /// One more has come.
    pub(super) fn arrive(&self) -> Arrival {
        let mut state = self.lock();
        state.next += 1;
        Arrival {
            number: state.next,
            returns: state.returns,
        }
    }

    /// A place, for a call that was told that much when it was refused.
    ///
    /// # Errors
    /// If there is no room, or its turn does not come by `until` as far as is known; and when that would be.
    pub(super) fn join(
        self: &Arc<Self>,
        Arrival { number, returns }: Arrival,
        cost: u64,
        until: Moment,
        told: Option<Stand>,
    ) -> Result<Place, Option<Duration>> {
        let now = self.now();
        let is_asked = self.change(|state, woken| {
            state.expire(now, woken);
            state.hear(told);
            let turn = state.turn(&self.account, number, cost, now);
            let is_late = turn.is_some_and(|turn| now + turn > until);
            if is_late || state.waiting.len() >= self.max_queue {
                return Err(turn);
            }
            let waiter = Waiter {
                cost,
                until,
                waker: None,
            };
            state.insert(number, waiter);
            // What was given back while the server was asked: it may have been refused before.
            state.has_more |= state.returns != returns;
            if state.first() == Some(number) {
                self.changed.notify_one();
            }
            Ok(std::mem::replace(&mut state.is_asked, true))
        })?;
        let place = Place {
            line: self.clone(),
            number,
        };
        if !is_asked {
            let line = self.clone();
            tokio::spawn(ask_for_all(Asking {
                line,
                is_over: false,
            }));
        }
        Ok(place)
    }

    /// When a call of that number and cost has its turn, as far as is known.
    pub(super) fn turn(&self, number: u64, cost: u64) -> Option<Duration> {
        let now = self.now();
        self.lock().turn(&self.account, number, cost, now)
    }

    /// Something was given back: the first has it, where the server need not be asked, and else whoever asks for all looks at once.
    pub(super) fn more(self: &Arc<Self>) {
        let first = self.change(|state, _| {
            state.returns += 1;
            state.has_more = true;
            state.first_cost()
        });
        if let Some(cost) = first
            // Without a runtime there is nobody to look for a server that is away.
            && Handle::try_current().is_ok()
            && let Some(Ok(pass)) = self.limit.decide_here(&self.account, cost)
        {
            self.answer(cost, Ok(pass));
        }
        self.changed.notify_one();
    }

    /// What the first one costs; `None`, and nobody asks any more, if there is none.
    fn first_cost(&self) -> Option<u64> {
        self.change(|state, woken| {
            state.expire(self.now(), woken);
            let cost = state.first_cost();
            state.is_asked = cost.is_some();
            state.ready = None;
            cost
        })
    }

    /// How long not to ask the server yet, by what it has said.
    fn pause(&self, cost: u64) -> Option<Duration> {
        let now = self.now();
        let state = self.lock();
        let stand = state.stand.as_ref().filter(|_| !state.has_more)?;
        let wait = stand.wait(self.account.terms(), cost, now);
        (!wait.is_zero()).then_some(wait)
    }

    /// Sleeps so long, or until something changes; a first one that cannot wait for its turn is refused.
    async fn sleep(&self, cost: u64, wait: Duration, nap: Duration) {
        let now = self.now();
        let ready = now + wait;
        let nap = self.change(|state, woken| {
            let (&number, first) = state.waiting.first_key_value()?;
            if first.cost != cost {
                // What was said concerns one who has left meanwhile.
                return Some(Duration::ZERO);
            }
            state.ready = Some(ready);
            if ready <= first.until {
                // A nap is for the sake of round trips, and nobody comes too late for one.
                return Some(if now + nap <= first.until { nap } else { wait });
            }
            let terms = self.account.terms();
            let quotas = state
                .stand
                .as_ref()
                .map(|stand| stand.quotas(terms, 0, now));
            let quotas = quotas.unwrap_or_default();
            let refused = Refused::spent(By::Lease, wait, quotas, cost);
            state.decide(number, Err(refused), woken);
            None
        });
        if let Some(nap) = nap {
            let _ = timeout(nap.max(LEAST), self.changed.notified()).await;
        }
    }

    /// The answer for the first, or for whoever is it now, if that is what he asks.
    fn answer(self: &Arc<Self>, cost: u64, decided: Result<Pass, Refused>) {
        let left_over = self.change(|state, woken| match state.waiting.first_key_value() {
            Some((&number, first)) if first.cost == cost => {
                state.decide(number, decided, woken);
                None
            }
            _ => decided.ok(),
        });
        if let Some(paid) = left_over.and_then(Pass::into_paid) {
            self.limit.return_paid(paid, Some(self));
        }
    }

    /// What was given back may be there before the memory of a refusal ends.
    fn heed_more(&self) {
        let leases = self.limit.inner.leases.as_ref();
        if let Some(leases) = leases.filter(|_| self.lock().has_more) {
            leases.forget_refusal(self.account.key);
        }
    }

    fn hear(&self, told: Option<Stand>) {
        self.lock().hear(told);
    }

    /// Changes the line under its lock, and wakes whom the change concerns once the lock is released.
    fn change<R>(&self, change: impl FnOnce(&mut State, &mut Vec<Waker>) -> R) -> R {
        let mut woken = Vec::new();
        let result = {
            let mut state = self.lock();
            let result = change(&mut state, &mut woken);
            self.waiting.store(state.waiting.len(), Ordering::Relaxed);
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

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Asks for the first, again and again, until nobody waits.
async fn ask_for_all(mut asking: Asking) {
    let line = asking.line.clone();
    while let Some(cost) = line.first_cost() {
        line.heed_more();
        let decided = match line.limit.decide_here(&line.account, cost) {
            Some(decided) => decided,
            None => match line.pause(cost) {
                Some(wait) => {
                    // A whole lease is worth more than its first unit.
                    let inner = &line.limit.inner;
                    let nap = match &inner.leases {
                        Some(leases) => line.account.plan.pause.min(leases.hold()),
                        None => Duration::ZERO,
                    };
                    line.sleep(cost, wait, wait.max(nap)).await;
                    continue;
                }
                None => {
                    line.lock().has_more = false;
                    let decided = line.limit.ask(&line.account, cost, Some(&line)).await;
                    line.hear(match &decided {
                        Ok(pass) => pass.stand().cloned(),
                        Err(refused) => refused.stand().cloned(),
                    });
                    decided
                }
            },
        };
        match decided {
            Err(refused) if refused.why() == Why::Spent => {
                let wait = refused.retry_after().unwrap_or_default();
                // Once the server is back, it has more than this process by itself; and nobody else has it looked for.
                let nap = match refused.by() {
                    By::Share => wait.min(line.limit.inner.presence.pause()),
                    _ => wait,
                };
                line.sleep(cost, wait, nap).await;
            }
            decided => line.answer(cost, decided),
        }
    }
    asking.is_over = true;
}

// ===== impl Place =====

impl Place {
    /// What was decided; `None` if its time was over first, or nobody asks any more.
    pub(super) fn poll(&self, cx: &Context<'_>) -> Poll<Option<Result<Pass, Refused>>> {
        // Cloned before the lock, and the old one is dropped after it: they are foreign code.
        let mut waker = Some(cx.waker().clone());
        let mut state = self.line.lock();
        let turn = match state.decided.remove(&self.number) {
            Some(decided) => Poll::Ready(Some(decided)),
            None => match state.waiting.get_mut(&self.number) {
                Some(waiter) => {
                    std::mem::swap(&mut waiter.waker, &mut waker);
                    Poll::Pending
                }
                None => Poll::Ready(None),
            },
        };
        drop(state);
        turn
    }
}

// Cancellation: a waiter that goes leaves the line, and what it had been granted goes back, for the next.
impl Drop for Place {
    fn drop(&mut self) {
        let line = &self.line;
        let (was_first, _left, decided) = line.change(|state, _| {
            let was_first = state.first() == Some(self.number);
            if was_first {
                state.ready = None;
            }
            let left = state.remove(self.number);
            (was_first, left, state.decided.remove(&self.number))
        });
        if was_first {
            line.changed.notify_one();
        }
        if let Some(Ok(pass)) = decided
            && let Some(paid) = pass.into_paid()
        {
            line.limit.return_paid(paid, Some(line));
        }
    }
}

// ===== impl Asking =====

// Cancellation: where it is not over but dropped, with its runtime or by a panic, those who wait are told, and a newcomer has another ask.
impl Drop for Asking {
    fn drop(&mut self) {
        if self.is_over {
            return;
        }
        self.line.change(|state, woken| {
            let all = std::mem::take(&mut state.waiting);
            woken.extend(all.into_values().filter_map(|waiter| waiter.waker));
            (state.cost, state.is_asked, state.ready) = (0, false, None);
        });
    }
}

/// Where the clock and tokio's timers do not agree, whoever asks must not spin.
const LEAST: Duration = Duration::from_micros(1);

#[cfg(test)]
mod tests;
