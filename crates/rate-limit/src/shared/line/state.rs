//! Who waits, and what is known of when the first goes on; what is locked.

use std::collections::BTreeMap;
use std::task::Waker;
use std::time::Duration;

use seaworthy_kit::Moment;

use crate::shared::decision::{Pass, Refused};
use crate::shared::plan::{Account, Stand};

/// Those who wait, in the order in which they came.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) next: u64,
    /// By number, which is the order of arrival.
    pub(super) waiting: BTreeMap<u64, Waiter>,
    /// What they cost.
    pub(super) cost: u64,
    /// Before that nobody's time is over.
    next_end: Moment,
    /// What they have not seen yet.
    pub(super) decided: BTreeMap<u64, Result<Pass, Refused>>,
    /// What the server has said last.
    pub(super) stand: Option<Stand>,
    /// When the first goes on, as far as is known.
    pub(super) ready: Option<Moment>,
    /// How often something was given back.
    pub(super) returns: u64,
    /// Whether that was since the server was asked last.
    pub(super) has_more: bool,
    /// Somebody asks.
    pub(super) is_asked: bool,
}

#[derive(Debug)]
pub(super) struct Waiter {
    pub(super) cost: u64,
    pub(super) until: Moment,
    pub(super) waker: Option<Waker>,
}

impl State {
    pub(super) fn first(&self) -> Option<u64> {
        self.waiting.first_key_value().map(|(&number, _)| number)
    }

    pub(super) fn first_cost(&self) -> Option<u64> {
        let first = self.waiting.first_key_value();
        first.map(|(_, waiter)| waiter.cost)
    }

    /// Keeps what was said last.
    pub(super) fn hear(&mut self, told: Option<Stand>) {
        let is_news = |told: &Stand| !matches!(&self.stand, Some(known) if known.told > told.told);
        if let Some(told) = told.filter(is_news) {
            self.stand = Some(told);
        }
    }

    pub(super) fn turn(
        &self,
        account: &Account,
        number: u64,
        cost: u64,
        now: Moment,
    ) -> Option<Duration> {
        // All of them, as a rule.
        let behind = self.waiting.range(number..);
        let behind = behind.fold(0, |sum: u64, (_, other)| sum.saturating_add(other.cost));
        let ahead = self.cost.saturating_sub(behind);
        let by_stand = self.stand.as_ref().map(|stand| {
            let units = ahead.saturating_add(cost);
            stand.wait(account.terms(), units, now)
        });
        let by_first = self.ready.map(|ready| ready.since(now));
        by_stand.max(by_first)
    }

    pub(super) fn insert(&mut self, number: u64, waiter: Waiter) {
        self.cost = self.cost.saturating_add(waiter.cost);
        self.next_end = match self.waiting.is_empty() {
            true => waiter.until,
            false => self.next_end.min(waiter.until),
        };
        self.waiting.insert(number, waiter);
        self.invariants();
    }

    pub(super) fn remove(&mut self, number: u64) -> Option<Waiter> {
        let waiter = self.waiting.remove(&number)?;
        self.cost = self.cost.saturating_sub(waiter.cost);
        self.invariants();
        Some(waiter)
    }

    /// Those whose time is over do not wait any more, though nobody has polled them since.
    pub(super) fn expire(&mut self, now: Moment, woken: &mut Vec<Waker>) {
        if now <= self.next_end {
            return;
        }
        let over = self.waiting.iter().filter(|(_, it)| it.until < now);
        let over: Vec<u64> = over.map(|(&number, _)| number).collect();
        for number in over {
            let waiter = self.remove(number);
            woken.extend(waiter.and_then(|waiter| waiter.waker));
        }
        let ends = self.waiting.values().map(|waiter| waiter.until);
        self.next_end = ends.min().unwrap_or(Moment::NEVER);
        self.invariants();
    }

    pub(super) fn decide(
        &mut self,
        number: u64,
        decided: Result<Pass, Refused>,
        woken: &mut Vec<Waker>,
    ) {
        if let Some(waiter) = self.remove(number) {
            self.decided.insert(number, decided);
            woken.extend(waiter.waker);
        }
    }

    fn invariants(&self) {
        if cfg!(debug_assertions) {
            let costs = self.waiting.values().map(|waiter| waiter.cost);
            let sum = costs.fold(0, u64::saturating_add);
            assert_eq!(sum, self.cost, "the sum is that of those who wait");
            let mut ends = self.waiting.values().map(|waiter| waiter.until);
            assert!(ends.all(|end| end >= self.next_end), "none ends before");
        }
    }
}
