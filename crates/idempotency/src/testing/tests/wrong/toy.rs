//! A small store that does everything right, or all but one thing: written for itself, so that the suite is not held against the machine it is to judge.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use seaworthy_kit::{Clock, Moment, clock};
use tokio::sync::Notify;
use tokio::task::yield_now;

use super::super::super::tested::done;
use crate::store::{
    Claim, Claimed, Fingerprint, Held, Lease, Overdue, Owner, RecordKey, Store, StoreError, Token,
};

mod fault;
use Fault::*;
pub(super) use fault::Fault;

pub(super) struct Toy {
    records: Mutex<HashMap<RecordKey, Row>>,
    changed: Notify,
    waiting: AtomicUsize,
    clock: Clock,
    fault: Option<Fault>,
}

#[derive(Clone)]
struct Row {
    fingerprint: Fingerprint,
    owner: Owner,
    token: u64,
    attempt: u32,
    lease_end: Moment,
    expiry: Moment,
    state: State,
}

#[derive(Clone, PartialEq)]
enum State {
    Running,
    GivenUp,
    Completed(Bytes),
    Unknown,
}

#[derive(Clone, Copy, PartialEq)]
enum Step {
    Renew,
    Complete,
    GiveUp,
    Release,
}

impl Toy {
    pub(super) fn new(clock: Clock, fault: Option<Fault>) -> Self {
        Self {
            records: Mutex::default(),
            changed: Notify::new(),
            waiting: AtomicUsize::new(0),
            clock,
            fault,
        }
    }

    fn has(&self, fault: Fault) -> bool {
        self.fault == Some(fault)
    }

    fn key(&self, mut key: RecordKey) -> RecordKey {
        if self.has(CutsKeys) {
            key.0[31] = 0;
        }
        key
    }

    fn get(&self, key: RecordKey) -> Option<Row> {
        let records = self.records.lock().expect("not poisoned");
        records.get(&self.key(key)).cloned()
    }

    /// Lets others in between, where the fault is that it can.
    async fn gap(&self) {
        for _ in 0..if self.has(ReadsThenWrites) { 20 } else { 0 } {
            yield_now().await;
        }
    }

    /// Writes what came of a row that was read; starts over where it has changed since.
    fn put(&self, key: RecordKey, read: Option<&Row>, row: Option<Row>) -> bool {
        let mut records = self.records.lock().expect("not poisoned");
        let key = self.key(key);
        let version = |row: &Row| (row.token, row.lease_end, row.expiry, row.state.clone());
        let is_unchanged = records.get(&key).map(version) == read.map(version);
        if !is_unchanged && !self.has(ReadsThenWrites) {
            return false;
        }
        match row {
            Some(row) => drop(records.insert(key, row)),
            None => drop(records.remove(&key)),
        }
        drop(records);
        match self.fault {
            Some(WakesNobody) => {}
            Some(WakesOne) => self.changed.notify_one(),
            Some(DroppedWaitWedges) if self.waiting.load(Ordering::SeqCst) > 1 => {}
            _ => self.changed.notify_waiters(),
        }
        true
    }

    fn is_past(&self, row: &Row) -> bool {
        self.clock.now() >= row.expiry && !self.has(KeepsWhatIsPast)
    }

    fn fresh(&self, claim: &Claim) -> (Row, Claimed) {
        let now = self.clock.now();
        let row = Row {
            fingerprint: claim.fingerprint,
            owner: claim.owner,
            token: 1,
            attempt: u32::from(!self.has(CountsAttemptsFromZero)),
            lease_end: now + claim.lease,
            expiry: now + claim.retention.max(claim.lease),
            state: State::Running,
        };
        let claimed = run_of(&row);
        (row, claimed)
    }

    fn decide(&self, read: Option<&Row>, claim: &Claim) -> (Option<Row>, Claimed) {
        let now = self.clock.now();
        let Some(row) = read.filter(|row| !self.is_past(row)) else {
            let (row, claimed) = self.fresh(claim);
            return (Some(row), claimed);
        };
        let left = row.expiry.since(now);
        let is_held = row.state == State::Running && now < row.lease_end;
        let mut lease = row.lease_end.since(now);
        if self.has(TellsTheRetention) {
            lease = left;
        }
        let is_mismatch = row.fingerprint != claim.fingerprint;
        if is_mismatch {
            let skips = match row.state {
                State::Running if is_held => self.has(RunningBeforeMismatch),
                State::Running | State::GivenUp => self.has(TakesOverAMismatch),
                _ => self.has(AnswerBeforeMismatch),
            };
            if !skips {
                return (None, Claimed::Mismatch);
            }
        }
        match &row.state {
            State::Completed(answer) if !self.has(RunsWhatIsCompleted) => {
                let answer = answer.clone();
                return (None, Claimed::Completed { answer, left });
            }
            State::Unknown if !self.has(RunsWhatIsUnknown) => {
                let attempts = row.attempt;
                return (None, Claimed::Unknown { attempts, left });
            }
            _ if is_held && row.owner == claim.owner && !self.has(ForgetsWhoClaims) => {
                return (None, run_of(row));
            }
            _ if is_held => return (None, Claimed::Running { left: lease }),
            _ if self.has(NeverTakesOver) => return (None, Claimed::Running { left: lease }),
            _ => {}
        }
        let (mut next, _) = self.fresh(claim);
        next.token = row.token + u64::from(!self.has(KeepsTheToken));
        next.attempt = row.attempt + 1;
        if self.has(TakeoverKeepsTheExpiry) {
            next.expiry = row.expiry;
        }
        if claim.overdue == Overdue::MarkUnknown && !self.has(NeverMarks) {
            next.state = State::Unknown;
            next.attempt = row.attempt;
            let left = next.expiry.since(now);
            let attempts = next.attempt;
            return (Some(next), Claimed::Unknown { attempts, left });
        }
        let claimed = run_of(&next);
        (Some(next), claimed)
    }

    fn may(&self, row: &Row, lease: Lease, step: Step) -> bool {
        let is_owner = row.owner == lease.owner || self.has(IgnoresOwners);
        let is_run = row.token == lease.token.number() || self.has(IgnoresTokens);
        let for_anybody = match step {
            Step::Renew => RenewsForAnybody,
            Step::Complete => CompletesForAnybody,
            Step::GiveUp => GivesUpForAnybody,
            Step::Release => ReleasesForAnybody,
        };
        if self.has(for_anybody) && row.state == State::Running {
            return true;
        }
        if self.has(CompletesWhatIsUnknown) && row.state == State::Unknown {
            return step == Step::Complete;
        }
        let is_past = self.clock.now() >= row.expiry;
        if !is_owner || !is_run || (is_past && !self.has(StepsOnWhatIsPast)) {
            return false;
        }
        match row.state {
            State::Running => {
                self.clock.now() < row.lease_end || !self.has(LosesAtTheEndOfTheLease)
            }
            State::GivenUp => match step {
                Step::Renew => self.has(RenewsWhatIsGivenUp),
                Step::GiveUp => !self.has(GivesUpOnceOnly),
                _ => false,
            },
            State::Completed(_) => match step {
                Step::Renew => !self.has(LosesWhatItCompleted),
                Step::Complete => !self.has(CompletesOnceOnly),
                Step::Release => self.has(ReleasesWhatIsCompleted),
                Step::GiveUp => false,
            },
            State::Unknown => false,
        }
    }

    async fn step(
        &self,
        lease: Lease,
        step: Step,
        change: impl Fn(Row) -> Option<Row>,
    ) -> Result<Held, StoreError> {
        loop {
            let Some(row) = self.get(lease.key) else {
                let held = self.has(StepsWithoutARecord);
                return Ok(Held::when(held));
            };
            if !self.may(&row, lease, step) {
                return Ok(Held::Lost);
            }
            self.gap().await;
            if self.put(lease.key, Some(&row), change(row.clone())) {
                return Ok(Held::Yes);
            }
        }
    }
}

impl Store for Toy {
    async fn claim(&self, claim: Claim) -> Result<Claimed, StoreError> {
        loop {
            let read = self.get(claim.key);
            let (row, claimed) = self.decide(read.as_ref(), &claim);
            self.gap().await;
            if row.is_none() || self.put(claim.key, read.as_ref(), row) {
                return Ok(claimed);
            }
        }
    }

    async fn renew(&self, lease: Lease, hold: Duration) -> Result<Held, StoreError> {
        let now = self.clock.now();
        let change = |mut row: Row| {
            let has_ended = row.state != State::Running && !self.has(KeepsWhatItCompleted);
            if self.has(RenewsNothing) || has_ended && !self.has(RenewsWhatIsGivenUp) {
                return Some(row);
            }
            row.lease_end = now + hold;
            row.expiry = match self.fault {
                Some(RenewsTheLeaseOnly) => row.expiry,
                Some(RenewalShortens) => row.lease_end,
                _ => row.expiry.max(row.lease_end),
            };
            Some(row)
        };
        self.step(lease, Step::Renew, change).await
    }

    async fn complete(
        &self,
        lease: Lease,
        answer: Bytes,
        retention: Duration,
    ) -> Result<Held, StoreError> {
        let now = self.clock.now();
        let answer = match self.fault {
            Some(TrimsAnswers) => Bytes::copy_from_slice(answer.trim_ascii()),
            Some(CutsAnswers) => answer.slice(..answer.len().min(1 << 16)),
            _ => answer,
        };
        if let Some(row) = self.get(lease.key)
            && let State::Completed(first) = &row.state
            && *first != answer
            && !self.has(OverwritesAnswers)
            && !self.has(TakesAnotherAnswer)
        {
            return Ok(Held::Lost);
        }
        let change = |mut row: Row| {
            if matches!(row.state, State::Completed(_)) && !self.has(OverwritesAnswers) {
                return Some(row);
            }
            row.state = State::Completed(answer.clone());
            row.expiry = match self.fault {
                Some(KeepsAnswersAsLongAsTheirClaim) => row.expiry.min(now + retention),
                Some(KeepsAnswersForEver) => Moment::NEVER,
                _ => now + retention,
            };
            Some(row)
        };
        self.step(lease, Step::Complete, change).await
    }

    async fn give_up(&self, lease: Lease) -> Result<Held, StoreError> {
        let change = |mut row: Row| match self.fault {
            Some(ForgetsWhatIsGivenUp) => None,
            Some(KeepsWhatIsGivenUp) => Some(row),
            _ => {
                row.state = State::GivenUp;
                Some(row)
            }
        };
        self.step(lease, Step::GiveUp, change).await
    }

    async fn release(&self, lease: Lease) -> Result<Held, StoreError> {
        let change = |mut row: Row| {
            let is_later = row.attempt > 1 && !self.has(ReleasesLaterRuns);
            row.state = State::GivenUp;
            (is_later || self.has(ReleaseGivesUp)).then_some(row)
        };
        self.step(lease, Step::Release, change).await
    }

    async fn wait(&self, key: RecordKey, limit: Duration) -> Result<(), StoreError> {
        if self.has(WaitSpins) {
            yield_now().await;
            return Ok(());
        }
        let end = clock::instant(clock::now() + limit);
        let end = tokio::time::sleep_until(end);
        tokio::pin!(end);
        self.waiting.fetch_add(1, Ordering::SeqCst);
        loop {
            let changed = self.changed.notified();
            let row = self.get(key).filter(|row| !self.is_past(row));
            let is_held =
                |row: &Row| row.state == State::Running && self.clock.now() < row.lease_end;
            if !row.is_some_and(|row| is_held(&row)) && !self.has(WaitsForNothing) {
                break;
            }
            tokio::select! {
                () = changed => {}
                () = &mut end, if !self.has(WaitsForEver) => break,
            }
        }
        self.waiting.fetch_sub(1, Ordering::SeqCst);
        Ok(())
    }

    async fn purge(&self, limit: usize) -> Result<usize, StoreError> {
        let now = self.clock.now();
        let mut records = self.records.lock().expect("not poisoned");
        let mut removed = 0;
        records.retain(|_, row| {
            let is_past = match self.fault {
                Some(PurgesNothing) => false,
                Some(PurgesTheLiving) => row.state == State::Running,
                _ => now >= row.expiry,
            };
            let goes = is_past && (removed < limit || self.has(PurgesAll));
            removed += usize::from(goes);
            !goes
        });
        Ok(removed)
    }
}

const fn run_of(row: &Row) -> Claimed {
    Claimed::Run {
        token: Token::from_number(row.token),
        attempt: row.attempt,
    }
}

/// A step that fails, or hangs, is found by each row.
#[tokio::test(start_paused = true)]
#[should_panic(expected = "takes too long")]
async fn store_that_hangs_is_found() {
    done(std::future::pending::<Result<(), StoreError>>()).await;
}
