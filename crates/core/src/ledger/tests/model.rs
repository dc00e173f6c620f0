//! The ledger against a naive model: many owners, some of which crash, and a clock that jumps both ways.

use alloc::vec::Vec;

use proptest::prelude::*;

use super::acts::{Act, acts};
use super::*;

/// What is known of the key, in words: seconds, and no arithmetic that the machine has.
#[derive(Clone, Debug)]
struct Model {
    request: bool,
    token: u64,
    attempt: u32,
    written: i64,
    lease_left: i64,
    kept_left: i64,
    state: ModelState,
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum ModelState {
    Running(u128),
    GivenUp(u128),
    Completed(u128, u32),
    Unknown,
}

impl Model {
    /// What is left is counted from when it was written, but never from the future.
    fn at(&self, now: i64) -> Self {
        let passed = (now - self.written).max(0);
        let mut at = self.clone();
        at.lease_left = (self.lease_left - passed).max(0);
        at.kept_left = (self.kept_left - passed).max(0);
        at
    }

    /// As it is now, unless it is past.
    fn living(model: Option<&Self>, now: i64) -> Option<Self> {
        model
            .map(|model| model.at(now))
            .filter(|model| model.kept_left > 0)
    }

    fn is_by(&self, run: Run) -> bool {
        self.state == ModelState::Running(run.owner) && self.token == run.token
    }

    fn was_completed_by(&self, run: Run) -> bool {
        let is_owner = matches!(self.state, ModelState::Completed(owner, _) if owner == run.owner);
        is_owner && self.token == run.token
    }

    /// Now is when it was written, or the record would move with a clock that is set back again.
    fn wrote(mut self, now: i64) -> Self {
        self.written = now;
        self
    }
}

/// Machine and model side by side, and what every reader has seen of this life of the record.
struct Both {
    record: Option<Record<u32>>,
    model: Option<Model>,
    now: i64,
    /// Each run that was ever given out, by owner, the latest last.
    runs: Vec<Run>,
    next_owner: u128,
    next_answer: u32,
    /// Of this life: the answer, and the highest token.
    answer: Option<u32>,
    token: u64,
}

impl Both {
    fn moment(&self) -> Moment {
        Moment::from_nanos(1 << 50) + secs(self.now as u64)
    }

    /// A record that is past, or was released, begins a new life.
    fn forget(&mut self) {
        self.answer = None;
        self.token = 0;
    }

    fn run_of(&self, owner: u8, late: bool) -> Option<Run> {
        let of_owner = |run: &&Run| run.owner % 4 == u128::from(owner);
        let mut latest = self.runs.iter().rev().filter(of_owner);
        latest.nth(usize::from(late)).copied()
    }

    fn claim(&mut self, owner: u8, request: bool, marks: bool, lease: u8, retention: u8) {
        // Each claim has an owner of its own; now and then one is sent again.
        let again = lease.is_multiple_of(5);
        let number = match self.run_of(owner, false) {
            Some(run) if again => run.owner,
            _ => {
                self.next_owner += 4;
                self.next_owner + u128::from(owner)
            }
        };
        let (lease, retention) = (i64::from(lease), i64::from(retention));
        let mut claim = claim(number);
        claim.fingerprint = [u8::from(request); 32];
        claim.lease = secs(lease as u64);
        claim.retention = secs(retention as u64);
        if marks {
            claim = claim.overdue(Overdue::MarkUnknown);
        }
        let now = self.moment();
        let living = Model::living(self.model.as_ref(), self.now);
        if living.is_none() {
            self.forget();
        }
        let told = match &mut self.record {
            None => self.record.insert(Record::begin(&claim, now)).begun(),
            Some(record) => record.claim(&claim, now),
        };
        let told = match told {
            Claimed::Run { token, attempt } => (1, token, i64::from(attempt)),
            Claimed::Running { left } => (2, 0, left.as_secs() as i64),
            Claimed::Completed { answer, left } => (3, u64::from(*answer), left.as_secs() as i64),
            Claimed::Unknown { attempts, left } => (4, u64::from(attempts), left.as_secs() as i64),
            Claimed::Mismatch => (5, 0, 0),
        };
        let fresh = |token, attempt, state| Model {
            request,
            token,
            attempt,
            written: self.now,
            lease_left: lease,
            kept_left: retention.max(lease),
            state,
        };
        let (next, expected) = match living {
            None => {
                let next = fresh(1, 1, ModelState::Running(number));
                (next, (1, 1, 1))
            }
            Some(model) if model.request != request => {
                (self.model.clone().expect("living"), (5, 0, 0))
            }
            Some(model) => match model.state {
                ModelState::Completed(_, answer) => {
                    let told = (3, u64::from(answer), model.kept_left);
                    (self.seen(model), told)
                }
                ModelState::Unknown => {
                    let told = (4, u64::from(model.attempt), model.kept_left);
                    (self.seen(model), told)
                }
                ModelState::Running(by) if model.lease_left > 0 => {
                    let told = if by == number {
                        (1, model.token, i64::from(model.attempt))
                    } else {
                        (2, 0, model.lease_left)
                    };
                    (self.seen(model), told)
                }
                _ if marks => {
                    let mut next = fresh(model.token + 1, model.attempt, ModelState::Unknown);
                    next.lease_left = 0;
                    let told = (4, u64::from(model.attempt), next.kept_left);
                    (next, told)
                }
                _ => {
                    let state = ModelState::Running(number);
                    let next = fresh(model.token + 1, model.attempt + 1, state);
                    let told = (1, next.token, i64::from(next.attempt));
                    (next, told)
                }
            },
        };
        assert_eq!(told, expected);
        self.model = Some(next);
        match told {
            (1, token, _) => {
                let run = Run::new(number, token);
                if !self.runs.contains(&run) {
                    self.runs.push(run);
                }
                assert!(token >= self.token, "tokens only grow");
                self.token = token;
            }
            (3, answer, _) => {
                assert_eq!(
                    Some(answer),
                    self.answer.map(u64::from),
                    "every reader sees the one answer"
                );
            }
            _ => {}
        }
    }

    /// A claim that changes nothing else moves a record from the future to now.
    fn seen(&self, model: Model) -> Model {
        let unmoved = self.model.clone().expect("living");
        if self.now < unmoved.written {
            model.wrote(self.now)
        } else {
            unmoved
        }
    }

    fn complete(&mut self, run: Run, retention: u8) {
        self.next_answer += 1;
        let answer = self.next_answer;
        let (now, kept) = (self.moment(), secs(u64::from(retention)));
        let held = self
            .record
            .as_mut()
            .is_some_and(|record| record.complete(run, answer, kept, now));
        let expected = match Model::living(self.model.as_ref(), self.now) {
            Some(mut model) if model.is_by(run) => {
                assert_eq!(self.answer, None, "at most one completion per life");
                self.answer = Some(answer);
                model.state = ModelState::Completed(run.owner, answer);
                model.lease_left = 0;
                model.kept_left = i64::from(retention);
                self.model = Some(model.wrote(self.now));
                true
            }
            // No two answers of the test are the same.
            Some(_) | None => false,
        };
        assert_eq!(held, expected, "complete");
        self.complete_again(run, retention);
    }

    /// The one answer once more, as after a lost reply.
    fn complete_again(&self, run: Run, retention: u8) {
        let (Some(answer), Some(record)) = (self.answer, &self.record) else {
            return;
        };
        let (now, kept) = (self.moment(), secs(u64::from(retention)));
        let before = record.to_head();
        let mut record = record.clone();
        let living = Model::living(self.model.as_ref(), self.now);
        let expected = living.is_some_and(|model| model.was_completed_by(run));
        assert_eq!(record.complete(run, answer, kept, now), expected, "again");
        assert!(record.to_head() == before, "it changes nothing");
    }

    fn renew(&mut self, run: Run, hold: u8) {
        let now = self.moment();
        let held = self
            .record
            .as_mut()
            .is_some_and(|record| record.renew(run, secs(u64::from(hold)), now));
        let living = Model::living(self.model.as_ref(), self.now);
        let is_done = living
            .as_ref()
            .is_some_and(|model| model.was_completed_by(run));
        let running = living.filter(|model| model.is_by(run));
        assert_eq!(held, is_done || running.is_some(), "renew");
        if let Some(mut model) = running {
            model.lease_left = i64::from(hold);
            model.kept_left = model.kept_left.max(model.lease_left);
            self.model = Some(model.wrote(self.now));
        }
    }

    fn give_up(&mut self, run: Run) {
        let now = self.moment();
        let held = self
            .record
            .as_mut()
            .is_some_and(|record| record.give_up(run, now));
        let expected = match Model::living(self.model.as_ref(), self.now) {
            Some(model) if model.is_by(run) => {
                let mut model = self.seen(model);
                model.state = ModelState::GivenUp(run.owner);
                self.model = Some(model);
                true
            }
            Some(model) => {
                model.state == ModelState::GivenUp(run.owner) && model.token == run.token
            }
            None => false,
        };
        assert_eq!(held, expected, "give_up");
    }

    fn release(&mut self, run: Run) {
        let now = self.moment();
        let record = self.record.as_mut();
        let released = record.map_or(Release::Lost, |record| record.release(run, now));
        match Model::living(self.model.as_ref(), self.now).filter(|model| model.is_by(run)) {
            None => assert_eq!(released, Release::Lost),
            Some(model) if model.attempt == 1 => {
                assert_eq!(released, Release::Forget);
                (self.record, self.model) = (None, None);
                self.forget();
            }
            Some(model) => {
                assert_eq!(released, Release::GivenUp);
                let mut model = self.seen(model);
                model.state = ModelState::GivenUp(run.owner);
                self.model = Some(model);
            }
        }
    }

    /// What a shell asks between the steps.
    fn look(&self) {
        let (Some(record), Some(model)) = (&self.record, &self.model) else {
            return;
        };
        let (now, model) = (self.moment(), model.at(self.now));
        assert_eq!(record.is_past(now), model.kept_left == 0);
        let is_running = matches!(model.state, ModelState::Running(_));
        let left = (is_running && model.lease_left > 0).then_some(model.lease_left);
        assert_eq!(
            record.left_of_lease(now).map(|left| left.as_secs() as i64),
            left
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn ledger_agrees_with_a_naive_model(acts in acts()) {
        let mut both = Both {
            record: None,
            model: None,
            now: 1000,
            runs: Vec::new(),
            next_owner: 0,
            next_answer: 0,
            answer: None,
            token: 0,
        };
        for act in acts {
            match act {
                Act::Claim { owner, request, marks, lease, retention } => {
                    both.claim(owner, request, marks, lease, retention);
                }
                Act::Renew { owner, hold, late } => {
                    if let Some(run) = both.run_of(owner, late) {
                        both.renew(run, hold);
                    }
                }
                Act::Complete { owner, retention, late } => {
                    if let Some(run) = both.run_of(owner, late) {
                        both.complete(run, retention);
                    }
                }
                Act::GiveUp { owner, late } => {
                    if let Some(run) = both.run_of(owner, late) {
                        both.give_up(run);
                    }
                }
                Act::Release { owner, late } => {
                    if let Some(run) = both.run_of(owner, late) {
                        both.release(run);
                    }
                }
                Act::Pass { secs } => both.now += i64::from(secs),
            }
            both.look();
        }
    }
}
