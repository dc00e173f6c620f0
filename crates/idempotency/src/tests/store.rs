//! A store in a map, which fails, hangs and forgets as it is told.

use std::collections::{HashMap, VecDeque};
use std::future::pending;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};

use crate::store::{
    Claim, Claimed, Fingerprint, Held, Lease, Overdue, Owner, RecordKey, Store, StoreError,
    StoreErrorKind, Token,
};

/// What a step does besides what it should.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Fault {
    None,
    /// It fails, and has no effect.
    Fails,
    /// It fails so, and has no effect.
    IsFull,
    IsCorrupt,
    /// It has its effect, and nobody hears of it.
    LosesItsReply,
    /// It never comes back, and has no effect.
    Hangs,
    /// It has its effect, and then never comes back.
    HangsAfter,
    /// It waits until the test lets it go on.
    Gated,
}

#[derive(Clone, Default)]
pub(super) struct TestStore(Arc<Inner>);

#[derive(Default)]
struct Inner {
    state: Mutex<State>,
    changed: Notify,
    gate: Notify,
}

#[derive(Default)]
struct State {
    records: HashMap<RecordKey, Record>,
    faults: HashMap<&'static str, VecDeque<Fault>>,
    steps: Vec<&'static str>,
}

#[derive(Clone)]
struct Record {
    fingerprint: Fingerprint,
    token: u64,
    attempt: u32,
    state: Is,
    expires: Instant,
}

#[derive(Clone)]
enum Is {
    Running { owner: Owner, until: Instant },
    Overdue { owner: Owner },
    Completed { owner: Owner, answer: Bytes },
    Unknown,
}

impl TestStore {
    /// The next steps of that name have those faults.
    pub(super) fn faults(&self, step: &'static str, faults: &[Fault]) {
        self.lock().faults.entry(step).or_default().extend(faults);
    }

    /// Every further step of that name, for as long as a test takes.
    pub(super) fn breaks(&self, step: &'static str, fault: Fault) {
        self.faults(step, &[fault; 100]);
    }

    pub(super) fn heals(&self) {
        self.lock().faults.clear();
    }

    /// Lets one gated step go on.
    pub(super) fn open_gate(&self) {
        self.0.gate.notify_one();
    }

    /// The steps so far, which are then forgotten.
    pub(super) fn steps(&self) -> Vec<&'static str> {
        std::mem::take(&mut self.lock().steps)
    }

    pub(super) fn records(&self) -> usize {
        self.lock().records.len()
    }

    /// Changes every answer that is stored.
    pub(super) fn damage(&self, damage: impl Fn(&Bytes) -> Bytes) {
        for record in self.lock().records.values_mut() {
            if let Is::Completed { answer, .. } = &mut record.state {
                *answer = damage(answer);
            }
        }
    }

    /// As after a restart without a disk, or a failover to a replica that was behind.
    pub(super) fn forget(&self) {
        self.lock().records.clear();
    }

    /// What the one record is.
    pub(super) fn is(&self) -> &'static str {
        let state = self.lock();
        assert!(state.records.len() < 2, "more than one record");
        match state.records.values().next().map(|record| &record.state) {
            None => "absent",
            Some(Is::Running { .. }) => "running",
            Some(Is::Overdue { .. }) => "overdue",
            Some(Is::Completed { .. }) => "completed",
            Some(Is::Unknown) => "unknown",
        }
    }

    /// Whether another could take the one record over now.
    pub(super) fn is_overdue(&self) -> bool {
        let state = self.lock();
        let record = state.records.values().next().expect("one record");
        match record.state {
            Is::Running { until, .. } => until <= Instant::now(),
            Is::Overdue { .. } => true,
            Is::Completed { .. } | Is::Unknown => false,
        }
    }

    /// All answers that are stored, as bytes.
    pub(super) fn answers(&self) -> Vec<Bytes> {
        let state = self.lock();
        let answers = state
            .records
            .values()
            .filter_map(|record| match &record.state {
                Is::Completed { answer, .. } => Some(answer.clone()),
                _ => None,
            });
        answers.collect()
    }

    /// Another process takes the one record over, as after the end of its lease.
    pub(super) fn steal(&self) -> Lease {
        let mut state = self.lock();
        let (key, record) = state.records.iter_mut().next().expect("one record");
        record.token += 1;
        record.attempt += 1;
        let owner = Owner::from_number(u128::from(record.token) + 7);
        record.state = Is::Running {
            owner,
            until: Instant::now() + Duration::from_secs(30),
        };
        Lease::new(*key, owner, Token::from_number(record.token))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn step<T>(
        &self,
        name: &'static str,
        step: impl FnOnce(&mut State) -> T,
    ) -> Result<T, StoreError> {
        let fault = {
            let mut state = self.lock();
            state.steps.push(name);
            let faults = state.faults.get_mut(name);
            faults.and_then(VecDeque::pop_front).unwrap_or(Fault::None)
        };
        match fault {
            Fault::Fails => return Err(failed(StoreErrorKind::Unavailable)),
            Fault::IsFull => return Err(failed(StoreErrorKind::Full)),
            Fault::IsCorrupt => return Err(failed(StoreErrorKind::Corrupt)),
            Fault::Hangs => return pending().await,
            Fault::Gated => self.0.gate.notified().await,
            Fault::None | Fault::LosesItsReply | Fault::HangsAfter => {}
        }
        let result = step(&mut self.lock());
        if ["complete", "give_up", "release"].contains(&name) {
            self.0.changed.notify_waiters();
        }
        match fault {
            Fault::LosesItsReply => Err(failed(StoreErrorKind::Unavailable)),
            Fault::HangsAfter => pending().await,
            _ => Ok(result),
        }
    }
}

fn failed(kind: StoreErrorKind) -> StoreError {
    // As a client does it: where it was and what it asked for.
    StoreError::new("test", kind).with_source("redis://user:secret@host refused SET key-1")
}

impl State {
    fn held(&mut self, lease: Lease, end: impl FnOnce(&mut Record) -> Option<Is>) -> Held {
        let Some(record) = self.records.get_mut(&lease.key) else {
            return Held::Lost;
        };
        let holds = |owner| owner == lease.owner && record.token == lease.token.number();
        match record.state {
            Is::Running { owner, .. } if holds(owner) => match end(record) {
                Some(is) => record.state = is,
                None => drop(self.records.remove(&lease.key)),
            },
            Is::Completed { owner, .. } | Is::Overdue { owner } if holds(owner) => {}
            _ => return Held::Lost,
        }
        Held::Yes
    }
}

impl Store for TestStore {
    async fn claim(&self, claim: Claim) -> Result<Claimed, StoreError> {
        self.step("claim", |state| {
            let now = Instant::now();
            if state
                .records
                .get(&claim.key)
                .is_some_and(|record| record.expires <= now)
            {
                state.records.remove(&claim.key);
            }
            let running = Is::Running {
                owner: claim.owner,
                until: now + claim.lease,
            };
            let Some(record) = state.records.get_mut(&claim.key) else {
                let record = Record {
                    fingerprint: claim.fingerprint,
                    token: 1,
                    attempt: 1,
                    state: running,
                    expires: now + claim.retention,
                };
                state.records.insert(claim.key, record);
                let token = Token::from_number(1);
                return Claimed::Run { token, attempt: 1 };
            };
            let left = record.expires - now;
            if record.fingerprint != claim.fingerprint {
                return Claimed::Mismatch;
            }
            match &record.state {
                Is::Completed { answer, .. } => {
                    let answer = answer.clone();
                    return Claimed::Completed { answer, left };
                }
                Is::Unknown => {
                    let attempts = record.attempt;
                    return Claimed::Unknown { attempts, left };
                }
                Is::Running { owner, until } if *until > now => {
                    if *owner != claim.owner {
                        return Claimed::Running { left: *until - now };
                    }
                    let token = Token::from_number(record.token);
                    let attempt = record.attempt;
                    return Claimed::Run { token, attempt };
                }
                Is::Running { .. } | Is::Overdue { .. } => {}
            }
            record.token += 1;
            if claim.overdue == Overdue::MarkUnknown {
                record.state = Is::Unknown;
                let attempts = record.attempt;
                return Claimed::Unknown { attempts, left };
            }
            record.attempt += 1;
            record.state = running;
            record.expires = now + claim.retention;
            let token = Token::from_number(record.token);
            let attempt = record.attempt;
            Claimed::Run { token, attempt }
        })
        .await
    }

    async fn renew(&self, lease: Lease, hold: Duration) -> Result<Held, StoreError> {
        self.step("renew", |state| {
            let until = Instant::now() + hold;
            let owner = lease.owner;
            state.held(lease, |_| Some(Is::Running { owner, until }))
        })
        .await
    }

    async fn complete(
        &self,
        lease: Lease,
        answer: Bytes,
        retention: Duration,
    ) -> Result<Held, StoreError> {
        self.step("complete", |state| {
            state.held(lease, |record| {
                record.expires = Instant::now() + retention;
                let owner = lease.owner;
                Some(Is::Completed { owner, answer })
            })
        })
        .await
    }

    async fn give_up(&self, lease: Lease) -> Result<Held, StoreError> {
        self.step("give_up", |state| {
            let owner = lease.owner;
            state.held(lease, |_| Some(Is::Overdue { owner }))
        })
        .await
    }

    async fn release(&self, lease: Lease) -> Result<Held, StoreError> {
        self.step("release", |state| {
            let owner = lease.owner;
            state.held(lease, |record| {
                (record.attempt > 1).then_some(Is::Overdue { owner })
            })
        })
        .await
    }

    async fn wait(&self, key: RecordKey, limit: Duration) -> Result<(), StoreError> {
        let changed = self.0.changed.notified();
        let running = self
            .step("wait", |state| {
                let record = state.records.get(&key);
                record.is_some_and(|record| matches!(record.state, Is::Running { .. }))
            })
            .await?;
        if running {
            let _ = timeout(limit, changed).await;
        }
        Ok(())
    }

    async fn purge(&self, limit: usize) -> Result<usize, StoreError> {
        self.step("purge", |state| {
            let now = Instant::now();
            let over = |record: &Record| record.expires <= now;
            let keys: Vec<_> = state
                .records
                .iter()
                .filter(|(_, record)| over(record))
                .collect();
            let keys: Vec<_> = keys.iter().map(|(key, _)| **key).take(limit).collect();
            for key in &keys {
                state.records.remove(key);
            }
            keys.len()
        })
        .await
    }
}

/// What a store offers that ends a run within the handler's transaction.
pub(super) async fn complete_in_a_transaction(store: &TestStore, lease: Lease, answer: Bytes) {
    let held = store
        .complete(lease, answer, Duration::from_secs(3600))
        .await;
    assert_eq!(held.unwrap(), Held::Yes);
}
