//! Fair shares against a list of who runs and a list of who waits, both searched from end to end.

use alloc::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Op {
    Take(Party),
    Enter(Party),
    End(usize),
    Cancel(usize),
    Resize(usize),
    Wait(u64),
}

/// Tenants weigh as their numbers say.
fn party() -> impl Strategy<Value = Party> {
    (0..4_usize, 1..5_u32).prop_map(|(class, number)| Party {
        class: Criticality::ALL[class],
        tenant: Tenant::new(number.into()).weight(number),
    })
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => party().prop_map(Op::Take),
        6 => party().prop_map(Op::Enter),
        5 => (0..8_usize).prop_map(Op::End),
        2 => (0..8_usize).prop_map(Op::Cancel),
        1 => (1..6_usize).prop_map(Op::Resize),
        3 => (0..60_u64).prop_map(Op::Wait),
    ]
}

#[derive(Clone, Copy, Debug)]
struct Waiter {
    party: Party,
    name: u32,
    until: u64,
}

#[derive(Default, Debug)]
struct Model {
    limit: usize,
    max_queue: usize,
    now: u64,
    running: Vec<Party>,
    waiting: Vec<Waiter>,
    standing: BTreeMap<(usize, u64), u64>,
}

impl Model {
    fn runs(&self, party: Party) -> u64 {
        let same = self.running.iter().filter(|it| **it == party);
        same.count() as u64
    }

    fn waits(&self, party: Party) -> u64 {
        let same = self.waiting.iter().filter(|it| it.party == party);
        same.count() as u64
    }

    fn stands(&self, party: Party) -> bool {
        let since = self.standing.get(&(party.class.index(), party.tenant.key));
        since.is_some_and(|since| self.now - since > 100 * MILLI)
    }

    fn line(&self, party: Party) -> Vec<u32> {
        let own = self.waiting.iter().filter(|it| it.party == party);
        own.map(|it| it.name).collect()
    }

    /// Says what goes away, and that a line that is empty stands no more.
    fn leave(&mut self, name: u32) -> Waiter {
        let at = self.waiting.iter().position(|it| it.name == name);
        let gone = self.waiting.remove(at.expect("it waits"));
        if self.waits(gone.party) == 0 {
            let line = (gone.party.class.index(), gone.party.tenant.key);
            self.standing.remove(&line);
        }
        gone
    }

    /// Whether nobody who waits has a better claim to a slot than this one.
    fn is_next(&self, name: u32) -> bool {
        let own = self.waiting.iter().find(|it| it.name == name);
        let party = own.expect("it waits").party;
        let weight = |it: Party| u64::from(it.tenant.weight);
        let others = self.waiting.iter().map(|it| it.party);
        let is_first = others.into_iter().all(|it| {
            it.class < party.class
                || it.class == party.class
                    && self.runs(party) * weight(it) <= self.runs(it) * weight(party)
        });
        let line = self.line(party);
        let first = if self.stands(party) {
            line.last()
        } else {
            line.first()
        };
        is_first && first == Some(&name)
    }

    /// Whether this one may be made to give way to a newcomer.
    fn gives_way(&self, name: u32, to: Party) -> bool {
        let own = self.waiting.iter().find(|it| it.name == name);
        let party = own.expect("it waits").party;
        let weight = |it: Party| u64::from(it.tenant.weight);
        let is_lowest = self.waiting.iter().all(|it| it.party.class >= party.class);
        let peers = self.waiting.iter().map(|it| it.party);
        let has_most = peers
            .filter(|it| it.class == party.class)
            .all(|it| self.waits(it) * weight(party) <= self.waits(party) * weight(it));
        let line = self.line(party);
        let last = if self.stands(party) {
            line.first()
        } else {
            line.last()
        };
        let may = if party.class < to.class {
            has_most
        } else if party == to {
            self.stands(party)
        } else {
            let has_more = (self.waits(to) + 1) * weight(party) < self.waits(party) * weight(to);
            party.class == to.class && has_most && has_more && self.waits(party) > 1
        };
        is_lowest && may && last == Some(&name)
    }

    /// Whether a newcomer has to be let into a full queue.
    fn has_somebody_who_gives_way(&self, to: Party) -> bool {
        self.waiting.iter().any(|it| self.gives_way(it.name, to))
    }

    fn may_run(&self, party: Party) -> bool {
        let running = self.running.len();
        if !self.waiting.is_empty() {
            return false;
        }
        if running < self.limit {
            return true;
        }
        let mut known: Vec<Party> = self.running.clone();
        known.push(party);
        let mut weights = BTreeMap::new();
        for it in known.iter().filter(|it| it.class == party.class) {
            weights.insert(it.tenant.key, u64::from(it.tenant.weight));
        }
        let all: u64 = weights.values().sum();
        let others = self.running.iter().filter(|it| it.class != party.class);
        let room = self.limit.saturating_sub(others.count()) as u64;
        let own = self.runs(party);
        let within = own == 0 || (own + 1) * all <= room * u64::from(party.tenant.weight);
        let root = (1..).find(|root| root * root >= self.limit);
        self.max_queue == 0 && within && running < self.limit + root.expect("there is one")
    }
}

struct Both {
    test: Test,
    model: Model,
    tickets: BTreeMap<u32, Ticket>,
}

impl Both {
    /// What became of each that was woken, in the order in which it was.
    fn follow(&mut self, newcomer: Option<Party>) -> Result<(), TestCaseError> {
        for name in self.test.woken() {
            let ticket = self.tickets.remove(&name).expect("it waits");
            match self.test.queue.claim(ticket) {
                Claim::Slot(Slot(())) => {
                    prop_assert!(self.model.is_next(name), "{name} in {:?}", self.model);
                    let gone = self.model.leave(name);
                    self.model.running.push(gone.party);
                }
                Claim::Expired => {
                    let waiter = self.model.waiting.iter().find(|it| it.name == name);
                    if waiter.expect("it waits").until > self.model.now {
                        let to = newcomer.expect("nobody gives way to nobody");
                        prop_assert!(self.model.gives_way(name, to));
                    }
                    self.model.leave(name);
                }
                Claim::Waiting(_) => prop_assert!(false, "woken for nothing"),
            }
        }
        Ok(())
    }

    fn enter(&mut self, party: Party, name: u32) -> Result<(), TestCaseError> {
        let now = self.model.now;
        self.test
            .queue
            .expire(&self.test.slots, at(now), |w| self.test.woken.push(w));
        self.follow(None)?;
        let patience = if self.model.stands(party) { 5 } else { 100 };
        let is_full = self.model.waiting.len() >= self.model.max_queue;
        let may_wait =
            self.model.max_queue > 0 && (!is_full || self.model.has_somebody_who_gives_way(party));
        let is_free = self.model.running.len() < self.model.limit;
        let entered = self.test.enters(party, name, now);
        self.follow(Some(party))?;
        match entered {
            Ok(Entered::Slot(Slot(()))) => {
                prop_assert!(is_free);
                self.model.running.push(party);
            }
            Ok(Entered::Queued(ticket)) => {
                prop_assert!(!is_free && may_wait);
                self.tickets.insert(name, ticket);
                let line = (party.class.index(), party.tenant.key);
                self.model.standing.entry(line).or_insert(now);
                let until = now + patience * MILLI;
                self.model.waiting.push(Waiter { party, name, until });
            }
            Err(_) => prop_assert!(!is_free && !may_wait),
        }
        Ok(())
    }
}

proptest! {
    #[test]
    fn shares_agree_with_a_naive_model(
        limit in 1..6_usize,
        max_queue in 0..7_usize,
        ops in prop::collection::vec(op(), 1..200),
    ) {
        let mut both = Both {
            test: fair(limit, max_queue),
            model: Model { limit, max_queue, ..Model::default() },
            tickets: BTreeMap::new(),
        };
        for (name, op) in ops.into_iter().enumerate() {
            let now = both.model.now;
            match op {
                Op::Take(party) => {
                    let expected = both.model.may_run(party);
                    prop_assert_eq!(both.test.takes(party), expected);
                    if expected {
                        both.model.running.push(party);
                    }
                }
                Op::Enter(party) => both.enter(party, name as u32)?,
                Op::End(which) if !both.model.running.is_empty() => {
                    let which = which % both.model.running.len();
                    let party = both.model.running.swap_remove(which);
                    both.test.ends(party, now);
                }
                Op::Cancel(which) if !both.tickets.is_empty() => {
                    let which = which % both.tickets.len();
                    let name = *both.tickets.keys().nth(which).expect("so many wait");
                    let ticket = both.tickets.remove(&name).expect("just seen");
                    both.model.leave(name);
                    both.test.forsakes(ticket, now);
                }
                Op::Resize(limit) => {
                    both.model.limit = limit;
                    both.test.resize(limit, now);
                }
                Op::Wait(millis) => both.model.now += millis * MILLI,
                Op::End(_) | Op::Cancel(_) => {}
            }
            both.follow(None)?;
            let (model, test) = (&both.model, &both.test);
            let expected = (model.limit, model.running.len(), model.waiting.len());
            prop_assert_eq!(test.counts(), expected);
            let mut known: Vec<_> = model.running.clone();
            known.extend(model.waiting.iter().map(|it| it.party));
            known.sort_unstable_by_key(|it| (it.class, it.tenant.key));
            known.dedup();
            prop_assert_eq!(test.queue.tenants(), known.len());
        }
    }
}
