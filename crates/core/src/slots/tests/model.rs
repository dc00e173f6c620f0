//! Random operation lists against a queue of names and a count, without any cleverness.

use alloc::vec;
use alloc::vec::Vec;

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Op {
    Acquire,
    Enter { patience: u64 },
    Release(usize),
    Claim(usize),
    Cancel(usize),
    Resize(usize),
    Bound(usize),
    Expire,
    Clock(u64),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => Just(Op::Acquire),
        6 => prop_oneof![Just(0), 1..50_u64, Just(u64::MAX)].prop_map(|patience| Op::Enter { patience }),
        5 => (0..8_usize).prop_map(Op::Release),
        4 => (0..8_usize).prop_map(Op::Claim),
        2 => (0..8_usize).prop_map(Op::Cancel),
        1 => (1..5_usize).prop_map(Op::Resize),
        1 => (0..5_usize).prop_map(Op::Bound),
        1 => Just(Op::Expire),
        // Forwards, backwards, far away.
        3 => prop_oneof![0..100_u64, Just(u64::MAX)].prop_map(Op::Clock),
    ]
}

#[derive(Default, Debug)]
struct Model {
    limit: usize,
    max_queue: usize,
    running: usize,
    waiting: Vec<(u32, u64)>,
    granted: Vec<u32>,
    woken: Vec<u32>,
}

impl Model {
    fn expire(&mut self, now: u64) {
        let (over, rest): (Vec<_>, Vec<_>) = self
            .waiting
            .drain(..)
            .partition(|&(_, until)| until <= now && until != u64::MAX);
        self.waiting = rest;
        self.woken.extend(over.iter().map(|&(name, _)| name));
    }

    fn grant(&mut self) {
        while self.running < self.limit && !self.waiting.is_empty() {
            let (name, _) = self.waiting.remove(0);
            self.running += 1;
            self.granted.push(name);
            self.woken.push(name);
        }
    }

    fn enter(&mut self, name: u32, now: u64, until: u64) -> Option<bool> {
        self.expire(now);
        if self.waiting.is_empty() && self.running < self.limit {
            self.running += 1;
            return Some(true);
        }
        if self.waiting.len() >= self.max_queue || until <= now {
            return None;
        }
        self.waiting.push((name, until));
        Some(false)
    }

    fn gone(&mut self, name: u32) {
        self.waiting.retain(|&(other, _)| other != name);
        if let Some(place) = self.granted.iter().position(|&other| other == name) {
            self.granted.remove(place);
            self.running -= 1;
        }
    }
}

proptest! {
    #[test]
    fn queue_agrees_with_a_naive_model(
        limit in 1..4_usize,
        max_queue in 0..4_usize,
        ops in prop::collection::vec(op(), 1..200),
    ) {
        let mut test = Test::new(limit, max_queue);
        let mut model = Model { limit, max_queue, ..Model::default() };
        let mut running: Vec<Slot> = vec![];
        let mut tickets: Vec<(u32, Ticket)> = vec![];
        let mut now = 0_u64;
        let mut names = 0_u32;

        for op in ops {
            match op {
                Op::Acquire => {
                    let expected = model.waiting.is_empty() && model.running < model.limit;
                    let got = test.slots.try_acquire();
                    prop_assert_eq!(got.is_ok(), expected);
                    model.running += usize::from(expected);
                    running.extend(got);
                }
                Op::Enter { patience } => {
                    names += 1;
                    let until = now.saturating_add(patience);
                    let expected = model.enter(names, now, until);
                    match test.enter(names, now, until) {
                        Ok(Entered::Slot(slot)) => {
                            prop_assert_eq!(expected, Some(true));
                            running.push(slot);
                        }
                        Ok(Entered::Queued(ticket)) => {
                            prop_assert_eq!(expected, Some(false));
                            tickets.push((names, ticket));
                        }
                        Err(_) => prop_assert_eq!(expected, None),
                    }
                }
                Op::Release(which) if !running.is_empty() => {
                    let slot = running.swap_remove(which % running.len());
                    if !model.waiting.is_empty() {
                        model.expire(now);
                    }
                    model.running -= 1;
                    model.grant();
                    test.release(slot, now);
                }
                Op::Claim(which) if !tickets.is_empty() => {
                    let (name, ticket) = tickets.swap_remove(which % tickets.len());
                    let waits = model.waiting.iter().any(|&(other, _)| other == name);
                    let granted = model.granted.iter().position(|&other| other == name);
                    match test.queue.claim(ticket) {
                        Claim::Slot(slot) => {
                            prop_assert!(granted.is_some());
                            model.granted.remove(granted.expect("just asserted"));
                            running.push(slot);
                        }
                        Claim::Waiting(ticket) => {
                            prop_assert!(waits);
                            tickets.push((name, ticket));
                        }
                        Claim::Expired => prop_assert!(!waits && granted.is_none()),
                    }
                }
                Op::Cancel(which) if !tickets.is_empty() => {
                    let (name, ticket) = tickets.swap_remove(which % tickets.len());
                    model.gone(name);
                    model.expire(now);
                    model.grant();
                    test.cancel(ticket, now);
                }
                Op::Resize(limit) => {
                    model.limit = limit;
                    model.expire(now);
                    model.grant();
                    test.resize(limit, now);
                }
                Op::Bound(max_queue) => {
                    model.max_queue = max_queue;
                    test.queue.set_max_queue(max_queue).expect("valid");
                }
                Op::Expire => {
                    model.expire(now);
                    let woken = &mut test.woken;
                    test.queue.expire(&test.slots, at(now), |w| woken.push(w));
                }
                Op::Clock(to) => now = to,
                Op::Release(_) | Op::Claim(_) | Op::Cancel(_) => {}
            }
            prop_assert_eq!(
                test.counts(),
                (model.limit, model.running, model.waiting.len())
            );
            // Those expired in one operation are woken by deadline, in the model by arrival.
            test.woken.sort_unstable();
            model.woken.sort_unstable();
            prop_assert_eq!(&test.woken, &model.woken);
        }

        // Whatever happened: when all have gone, every slot is free.
        for (_, ticket) in tickets {
            test.cancel(ticket, now);
        }
        for slot in running {
            test.release(slot, now);
        }
        let left = test.slots.occupancy();
        prop_assert_eq!((left.running, left.waiting), (0, 0));
        prop_assert_eq!(test.queue.unclaimed(), 0);
    }
}
