//! Those who wait for their share of a quota, first come first served, each until a time of its own.

use alloc::collections::BTreeMap;
use core::fmt;
use core::time::Duration;

use super::{Scarcity, TakenAll, Windows};
use crate::{InvalidConfig, Moment};

/// The line in front of [`Windows`], for one owner at a time.
///
/// Nobody gives what calls here wait for: time does. So whoever asks, at whatever time, moves the whole line on: all that is there by then is handed out in order, and those who got it are woken.
/// A waiter whose task is not polled gets its share all the same, and holds up nobody but those whose share it is not yet.
///
/// ```text
///            enter                         time passes
/// newcomer ───────▶ taken         waiting ─────────────▶ granted ── claim ──▶ taken
///    │  │                           ▲ │                     │
///    │  └─ not enough, or others ───┘ ├─ its time is over ──┼─▶ gone
///    │     wait                       └─ cancel ────────────┴─▶ gone; what it had been granted is given back
///    └─ no room, or not in time ─▶ refused
/// ```
///
/// While somebody waits, a newcomer must not take from the windows but [enter](Self::enter), or it would overtake.
/// Each operation costs O(log waiting), and as much again for each waiter that it moves on; [`Turn::Waiting`] of one that is not the first O(waiting).
///
/// `W` is what the shell wakes a waiter with: collect it under the lock, wake after unlocking.
#[derive(Debug)]
pub struct Line<W> {
    max: usize,
    /// The number of the next place; 64 bits do not run out.
    next: u64,
    /// By number, which is the order of arrival.
    waiting: BTreeMap<u64, Waiter<W>>,
    granted: BTreeMap<u64, TakenAll>,
    /// What all that wait will cost.
    cost: u64,
}

/// A place in the [`Line`] that gave it out; good for no other.
///
/// It must be claimed or cancelled; dropped, it keeps its place, and later its share, for good.
#[derive(PartialEq, Eq, Debug)]
#[must_use = "a place that is neither claimed nor cancelled is kept for good"]
pub struct Place(u64);

/// What [`Line::enter`] gave.
#[derive(Debug)]
#[expect(clippy::exhaustive_enums, reason = "a newcomer goes on or waits")]
pub enum Entered {
    /// There was enough, and nobody waited for it.
    Taken(TakenAll),
    /// Ask again when woken, or at that time.
    Waiting(Place, Moment),
}

/// What became of a [`Place`].
#[derive(Debug)]
#[expect(
    clippy::exhaustive_enums,
    reason = "a waiter waits, goes on or has waited in vain"
)]
pub enum Turn {
    /// Go on.
    Taken(TakenAll),
    /// Ask again when woken, or at that time.
    Waiting(Place, Moment),
    /// Its time was over first; the place is gone.
    Over,
}

#[derive(Debug)]
struct Waiter<W> {
    cost: u64,
    until: Moment,
    /// When it was told to ask again.
    armed: Moment,
    /// Gone once it was woken.
    payload: Option<W>,
}

impl<W> Line<W> {
    /// The most that may wait.
    pub const MAX: usize = 1 << 21;

    /// An empty line in which at most `max` may wait; zero lets nobody wait.
    ///
    /// # Errors
    /// If `max` is above [`MAX`](Self::MAX).
    pub fn try_new(max: usize) -> Result<Self, InvalidConfig> {
        if max > Self::MAX {
            return Err(InvalidConfig::new("max_queue", "must be at most 2097152"));
        }
        Ok(Self {
            max,
            next: 0,
            waiting: BTreeMap::new(),
            granted: BTreeMap::new(),
            cost: 0,
        })
    }

    /// How many wait, those not counted that have been granted their share.
    #[must_use]
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether nobody waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// When somebody who waits goes on, or has waited in vain, at the latest: whoever comes behind that time and finds others waiting moves the line on; [`Moment::NEVER`] if nobody waits.
    #[must_use]
    pub fn next_turn(&self) -> Moment {
        match self.waiting.first_key_value() {
            // Its time is over when it is past, not when it is there.
            Some((_, first)) => first.armed.min(first.until + Duration::from_nanos(1)),
            None => Moment::NEVER,
        }
    }

    /// Takes that much if it is there and nobody waits, else a place in the line until the end of `until`.
    ///
    /// `payload` is asked for only by those who wait.
    ///
    /// # Errors
    /// If the line is full, if it is not the newcomer's turn by `until` as far as can be told, or if there is never that much; the moment is that of its turn.
    pub fn enter(
        &mut self,
        windows: &Windows,
        now: Moment,
        cost: u64,
        until: Moment,
        payload: impl FnOnce() -> W,
        mut wake: impl FnMut(W),
    ) -> Result<Entered, Scarcity> {
        self.advance(windows, now, &mut wake);
        if self.waiting.is_empty()
            && let Ok(taken) = windows.try_take(now, cost)
        {
            return Ok(Entered::Taken(taken));
        }
        let turn = windows.earliest(now, self.cost, cost);
        let turn = turn.ok_or(Scarcity::Never)?;
        if self.waiting.len() >= self.max || turn > until {
            return Err(Scarcity::Until(turn));
        }
        let waiter = Waiter {
            cost,
            until,
            armed: turn,
            payload: Some(payload()),
        };
        let number = self.next;
        self.next += 1;
        self.cost = self.cost.saturating_add(cost);
        self.waiting.insert(number, waiter);
        self.invariants();
        Ok(Entered::Waiting(Place(number), turn))
    }

    /// Hands out what is there, in order.
    pub fn advance(&mut self, windows: &Windows, now: Moment, mut wake: impl FnMut(W)) {
        while let Some((&number, first)) = self.waiting.first_key_value() {
            if first.until < now {
                self.remove(number).into_iter().for_each(&mut wake);
                continue;
            }
            match windows.try_take(now, first.cost) {
                Ok(taken) => {
                    self.granted.insert(number, taken);
                    self.remove(number).into_iter().for_each(&mut wake);
                }
                // Its quota was lowered meanwhile.
                Err(Scarcity::Never) => self.remove(number).into_iter().for_each(&mut wake),
                Err(Scarcity::Until(turn)) => {
                    self.hurry_first(turn, &mut wake);
                    break;
                }
            }
        }
        self.invariants();
    }

    /// What became of a place: to be asked by a waiter that was woken, or whose time has come, after [`advance`](Self::advance).
    ///
    /// What was granted in time is worth having, however late its owner comes for it.
    pub fn claim(&mut self, windows: &Windows, Place(number): Place, now: Moment) -> Turn {
        if let Some(taken) = self.granted.remove(&number) {
            return Turn::Taken(taken);
        }
        match self.waiting.get(&number) {
            None => Turn::Over,
            Some(waiter) if waiter.until < now => {
                self.remove(number);
                Turn::Over
            }
            Some(waiter) => {
                let cost = waiter.cost;
                let ahead = self.waiting.range(..number);
                let ahead = ahead.fold(0, |sum: u64, (_, other)| sum.saturating_add(other.cost));
                let turn = windows.earliest(now, ahead, cost).unwrap_or(now);
                if let Some(waiter) = self.waiting.get_mut(&number) {
                    waiter.armed = turn;
                }
                Turn::Waiting(Place(number), turn)
            }
        }
    }

    /// What the waiter is woken with, to be replaced by a newer one; `None` if it does not wait any more.
    pub fn payload_mut(&mut self, place: &Place) -> Option<&mut Option<W>> {
        let waiter = self.waiting.get_mut(&place.0)?;
        Some(&mut waiter.payload)
    }

    /// Leaves the line; what this waiter had been granted is given back, and goes to the next.
    pub fn cancel(
        &mut self,
        windows: &Windows,
        Place(number): Place,
        now: Moment,
        wake: impl FnMut(W),
    ) {
        if let Some(taken) = self.granted.remove(&number) {
            windows.give_back(taken, now);
        }
        let left = self.remove(number);
        self.advance(windows, now, wake);
        // Last, since foreign code may run when a payload is dropped.
        drop(left);
    }

    /// Lets `max` wait from now on; those who wait already stay.
    ///
    /// # Errors
    /// If `max` is above [`MAX`](Self::MAX); nothing has changed then.
    pub fn set_max(&mut self, max: usize) -> Result<(), InvalidConfig> {
        self.max = Self::try_new(max)?.max;
        Ok(())
    }

    /// The first one's turn may come sooner than it was told, where others have left or given back: then it is woken to ask again.
    fn hurry_first(&mut self, turn: Moment, wake: &mut impl FnMut(W)) {
        if let Some(mut first) = self.waiting.first_entry() {
            let first = first.get_mut();
            if turn < first.armed {
                first.payload.take().into_iter().for_each(wake);
            }
        }
    }

    fn remove(&mut self, number: u64) -> Option<W> {
        let waiter = self.waiting.remove(&number)?;
        self.cost = self.cost.saturating_sub(waiter.cost);
        waiter.payload
    }

    fn invariants(&self) {
        if cfg!(debug_assertions) {
            let costs = self.waiting.values().map(|waiter| waiter.cost);
            let sum = costs.fold(0, u64::saturating_add);
            assert_eq!(sum, self.cost, "the sum is that of those who wait");
            let both = self.granted.keys().any(|n| self.waiting.contains_key(n));
            assert!(!both, "whoever was granted its share does not wait");
        }
    }
}

impl fmt::Display for Scarcity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Until(moment) => write!(f, "not enough before {moment:?}"),
            Self::Never => f.write_str("never that much at once"),
        }
    }
}

impl core::error::Error for Scarcity {}
