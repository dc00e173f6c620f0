//! What is known of one key, and each step that changes it.

use core::fmt;
use core::time::Duration;

use super::{Claim, Claimed, Fingerprint, Overdue, Release, Run};
use crate::Moment;

/// What is known of one key: see the [module](super) for its states.
///
/// `A` is the answer, or what the store keeps in its place.
#[derive(Clone)]
pub struct Record<A> {
    pub(super) fingerprint: Fingerprint,
    pub(super) token: u64,
    pub(super) attempt: u32,
    /// When it was last written: what shows that the clock was set back since.
    pub(super) written: Moment,
    /// When the run is overdue; it says nothing where nobody runs.
    pub(super) lease_end: Moment,
    pub(super) expiry: Moment,
    pub(super) state: State<A>,
}

#[derive(Clone)]
pub(super) enum State<A> {
    Running {
        owner: u128,
    },
    /// The owner is kept, so that it may say so again after a lost reply.
    GivenUp {
        owner: u128,
    },
    /// The owner is kept, so that it may say so again after a lost reply.
    Completed {
        owner: u128,
        answer: A,
    },
    Unknown,
}

impl<A> Record<A> {
    /// The record of a first claim: its run is the claimant's, as the first attempt.
    #[must_use]
    pub fn begin(claim: &Claim, now: Moment) -> Self {
        let mut record = Self {
            fingerprint: claim.fingerprint,
            token: 0,
            attempt: 0,
            written: now,
            lease_end: now,
            expiry: now,
            state: State::Unknown,
        };
        record.run(claim, now);
        record.invariants();
        record
    }

    /// What the one is told whose claim has begun it; asked again, a lease of nothing would be over.
    #[must_use]
    pub const fn begun(&self) -> Claimed<'_, A> {
        Claimed::Run {
            token: self.token,
            attempt: self.attempt,
        }
    }

    /// Asks to run, and says what is known where that may not be.
    ///
    /// In this order: a record past its retention is begun anew; another fingerprint is a mismatch; an answer or an unknown outcome is told; the same owner in a run that holds gets its run again; a lease that holds is another's; what is overdue is taken over or marked, as the claim says.
    pub fn claim(&mut self, claim: &Claim, now: Moment) -> Claimed<'_, A> {
        if self.is_past(now) {
            *self = Self::begin(claim, now);
            return self.claimed(now);
        }
        if self.fingerprint != claim.fingerprint {
            return Claimed::Mismatch;
        }
        self.notice(now);
        match self.state {
            State::Completed { .. } | State::Unknown => return self.told(now),
            State::Running { owner } if now < self.lease_end => {
                return if owner == claim.owner {
                    self.claimed(now)
                } else {
                    self.told(now)
                };
            }
            State::Running { .. } | State::GivenUp { .. } => {}
        }
        match claim.overdue {
            Overdue::TakeOver => self.run(claim, now),
            Overdue::MarkUnknown => self.mark(claim, now),
        }
        self.invariants();
        self.claimed(now)
    }

    /// Holds the lease for that long from now, also where it was over and nobody took it; `false` where the run has lost it.
    ///
    /// A run that has completed the record has lost nothing: it is told so, and nothing changes.
    #[must_use]
    pub fn renew(&mut self, run: Run, hold: Duration, now: Moment) -> bool {
        if !self.is_run_by(run, now) {
            return self.was_completed_by(run) && !self.is_past(now);
        }
        self.notice(now);
        self.written = now;
        self.lease_end = now + hold;
        self.expiry = self.expiry.max(self.lease_end);
        self.invariants();
        true
    }

    /// Ends the run with an answer, to be kept for that long from now; `false` where the run has lost the record.
    ///
    /// The same answer a second time is the same completion; another one is not the run's any more, and the first stays as it is.
    #[must_use]
    pub fn complete(&mut self, run: Run, answer: A, retention: Duration, now: Moment) -> bool
    where
        A: PartialEq,
    {
        if !self.is_run_by(run, now) {
            let is_said = self.answer() == Some(&answer);
            return is_said && self.was_completed_by(run) && !self.is_past(now);
        }
        self.written = now;
        self.expiry = now + retention;
        self.lease_end = now;
        self.state = State::Completed {
            owner: run.owner,
            answer,
        };
        self.invariants();
        true
    }

    /// Ends the run without an answer: it is overdue from now on; `false` where the run has lost the record.
    #[must_use]
    pub fn give_up(&mut self, run: Run, now: Moment) -> bool {
        if !self.is_run_by(run, now) {
            return self.was_given_up_by(run) && !self.is_past(now);
        }
        self.notice(now);
        self.state = State::GivenUp { owner: run.owner };
        self.invariants();
        true
    }

    /// The run did nothing.
    ///
    /// The first run's record is then forgotten, which is for the store to do.
    /// A later one gives up instead: what the runs before it did, only the record tells.
    #[must_use]
    pub fn release(&mut self, run: Run, now: Moment) -> Release {
        if !self.is_run_by(run, now) {
            return Release::Lost;
        }
        if self.attempt == 1 {
            return Release::Forget;
        }
        let held = self.give_up(run, now);
        debug_assert!(held, "it is the run's");
        Release::GivenUp
    }

    /// The rest of the lease; none where nobody runs it, or the run is overdue.
    #[must_use]
    pub fn left_of_lease(&self, now: Moment) -> Option<Duration> {
        let is_held = matches!(self.state, State::Running { .. });
        // Not counted from the future, where the clock was set back.
        let left = self.lease_end.since(now.max(self.written));
        (is_held && !left.is_zero() && !self.is_past(now)).then_some(left)
    }

    /// Whether its retention is over: then it is as if it were not there.
    #[must_use]
    pub fn is_past(&self, now: Moment) -> bool {
        // What was kept for no time at all does not come back with a clock that was set back.
        now.max(self.written) >= self.expiry
    }

    /// When its retention is over, as things are.
    #[must_use]
    pub const fn expiry(&self) -> Moment {
        self.expiry
    }

    /// The answer, where it is completed.
    #[must_use]
    pub const fn answer(&self) -> Option<&A> {
        match &self.state {
            State::Completed { answer, .. } => Some(answer),
            _ => None,
        }
    }

    /// Whether it has a run that is neither completed, given up nor marked, overdue or not.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        matches!(self.state, State::Running { .. })
    }

    fn run(&mut self, claim: &Claim, now: Moment) {
        self.next(claim, now);
        self.attempt = self.attempt.saturating_add(1);
        self.lease_end = now + claim.lease;
        self.state = State::Running { owner: claim.owner };
    }

    fn mark(&mut self, claim: &Claim, now: Moment) {
        self.next(claim, now);
        self.lease_end = now;
        self.state = State::Unknown;
    }

    /// From now on an earlier run is told from this one.
    fn next(&mut self, claim: &Claim, now: Moment) {
        self.token = self.token.saturating_add(1);
        self.written = now;
        self.expiry = now + claim.retention.max(claim.lease);
    }

    /// What the one is told whose claim has just been granted, or would have been.
    fn claimed(&self, now: Moment) -> Claimed<'_, A> {
        match self.state {
            State::Running { .. } => self.begun(),
            _ => self.told(now),
        }
    }

    /// What everybody else is told.
    fn told(&self, now: Moment) -> Claimed<'_, A> {
        let left = self.expiry.since(now);
        match &self.state {
            State::Completed { answer, .. } => Claimed::Completed { answer, left },
            State::Unknown => Claimed::Unknown {
                attempts: self.attempt,
                left,
            },
            State::Running { .. } | State::GivenUp { .. } => Claimed::Running {
                left: self.lease_end.since(now),
            },
        }
    }

    /// Written in the future, the record is of a clock that was set back since: what was left then is left now.
    ///
    /// Otherwise a key would be held for as long as the clock was wrong.
    fn notice(&mut self, now: Moment) {
        if now < self.written {
            self.lease_end = now + self.lease_end.since(self.written);
            self.expiry = now + self.expiry.since(self.written);
            self.written = now;
        }
    }

    fn is_run_by(&self, run: Run, now: Moment) -> bool {
        let is_owner = matches!(self.state, State::Running { owner } if owner == run.owner);
        is_owner && self.token == run.token && !self.is_past(now)
    }

    fn was_completed_by(&self, run: Run) -> bool {
        let is_owner = matches!(self.state, State::Completed { owner, .. } if owner == run.owner);
        is_owner && self.token == run.token
    }

    fn was_given_up_by(&self, run: Run) -> bool {
        let is_owner = matches!(self.state, State::GivenUp { owner } if owner == run.owner);
        is_owner && self.token == run.token
    }

    pub(super) fn is_sound(&self) -> bool {
        self.attempt >= 1
            && self.token >= u64::from(self.attempt)
            && self.written <= self.expiry
            && self.lease_end <= self.expiry
    }

    fn invariants(&self) {
        debug_assert!(self.is_sound(), "{self:?}");
    }
}

/// Neither the answer nor the fingerprint: both are of the client.
impl<A> fmt::Debug for Record<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match self.state {
            State::Running { .. } => "running",
            State::GivenUp { .. } => "given up",
            State::Completed { .. } => "completed",
            State::Unknown => "unknown",
        };
        f.debug_struct("Record")
            .field("state", &state)
            .field("token", &self.token)
            .field("attempt", &self.attempt)
            .field("written", &self.written)
            .field("lease_end", &self.lease_end)
            .field("expiry", &self.expiry)
            .finish_non_exhaustive()
    }
}
