//! The end of a run: the store is told, and then the caller.

use std::panic::resume_unwind;
use std::time::Duration;

use bytes::Bytes;
use seaworthy_kit::verdict::classify_error;
use seaworthy_kit::{BoxError, ErrorsAsFailures, Outcome, RejectionKind};

use crate::begin::Begun;
use crate::call::Result;
use crate::current::Run;
use crate::entry::Entry;
use crate::exchange::{Answer, Keep, Replayed};
use crate::refused::Refused;
use crate::shared::results;
use crate::store::{Claim, Held, Lease, Store, StoreErrorKind};
use crate::work::{Ended, Worked};

impl<D: Store, E> Entry<D, E> {
    /// The store is told how the run ended, and then the caller.
    pub(crate) async fn end<Res, C>(
        &self,
        run: &Run,
        claim: Claim,
        caller: C,
        ended: Ended<Worked<E::Response>>,
    ) -> Result<E::Response>
    where
        E: Answer<Res, C>,
    {
        let lease = run.lease();
        if let Some(answer) = run.what_was_committed() {
            // The handler's own transaction has ended the run, whatever became of the handler after it.
            self.settle(Outcome::Success);
            return self.give(claim, answer, self.rules.retention, false, caller);
        }
        match ended {
            Ended::Worked(Worked::Finished(finished)) => {
                self.settle(finished.outcome);
                let mut response = finished.response;
                match self.keep(run, finished.keep, &mut response).await {
                    Some(Held::Yes) => Ok(response),
                    Some(Held::Lost) => self.be_late(run, claim, caller).await,
                    None => self.fail_to_store(lease, caller).await,
                }
            }
            Ended::Worked(Worked::Recovered(content)) => {
                self.report(results::RECOVERED);
                self.settle(Outcome::Success);
                let Ok(answer) = run.encode(content) else {
                    return self.fail_to_store(lease, caller).await;
                };
                match self.complete(lease, &answer).await {
                    Ok(Held::Yes) => self.give(claim, &answer, self.rules.retention, false, caller),
                    Ok(Held::Lost) => self.be_late(run, claim, caller).await,
                    Err(_) => self.fail_to_store(lease, caller).await,
                }
            }
            Ended::Worked(Worked::Unsure) => {
                self.settle(Outcome::Failure);
                match self.give_up(lease).await {
                    Held::Yes => self.refuse(Refused::OutcomeUnknown, caller),
                    Held::Lost => self.be_late(run, claim, caller).await,
                }
            }
            Ended::Worked(Worked::Unreached(error)) => {
                self.settle(outcome_of(&error));
                run.did_nothing();
                match self.forget(lease).await {
                    Held::Yes => Err(error),
                    Held::Lost => self.be_late(run, claim, caller).await,
                }
            }
            Ended::Worked(Worked::Failed(error)) => {
                self.settle(outcome_of(&error));
                match self.give_up(lease).await {
                    Held::Yes => Err(error),
                    Held::Lost => self.be_late(run, claim, caller).await,
                }
            }
            Ended::Panicked(panic) => {
                self.report(results::PANICKED);
                self.settle(Outcome::Failure);
                // Never released: it may have done anything before it panicked.
                self.give_up(lease).await;
                self.phase.let_go();
                resume_unwind(panic)
            }
            Ended::Lost => {
                self.report(results::LOST);
                self.settle(Outcome::Abandoned);
                self.follow(run, claim, caller).await
            }
            Ended::Overran => {
                self.report(results::OVERRAN);
                self.settle(Outcome::Failure);
                match self.give_up(lease).await {
                    Held::Yes => self.refuse(Refused::OutcomeUnknown, caller),
                    Held::Lost => self.be_late(run, claim, caller).await,
                }
            }
            Ended::Cancelled => {
                self.report(results::CANCELLED);
                self.settle(Outcome::Abandoned);
                self.give_up(lease).await;
                self.nobody()
            }
        }
    }

    /// Stores what is to be kept of an answer, before its first byte goes to the caller; `None` if it may not go there.
    async fn keep<Res, C>(&self, run: &Run, keep: Keep, response: &mut E::Response) -> Option<Held>
    where
        E: Answer<Res, C>,
    {
        let (content, mut is_whole) = match keep {
            Keep::Answer(content) => (content, true),
            Keep::ThatThereWasOne(content) => {
                self.report(results::NOT_STORED);
                (content, false)
            }
            Keep::Nothing => return Some(self.give_up(run.lease()).await),
            Keep::Forget => {
                run.did_nothing();
                return Some(self.forget(run.lease()).await);
            }
        };
        let Ok(answer) = run.encode(content) else {
            self.report(results::UNREADABLE);
            return None;
        };
        let mut completed = self.complete(run.lease(), &answer).await;
        if matches!(&completed, Err(error) if error.kind() == StoreErrorKind::Full) {
            // There is room to say that it was answered: as with an answer that is too long, a repetition runs nothing.
            let content = self.exchange.not_kept(response);
            if let Ok(answer) = run.encode(content) {
                self.report(results::NOT_STORED);
                is_whole = false;
                completed = self.complete(run.lease(), &answer).await;
            }
        }
        match completed {
            Ok(Held::Yes) => {
                if is_whole {
                    self.exchange.tell_kept(response, self.rules.retention);
                }
                Some(Held::Yes)
            }
            Err(error) if self.rules.unprotected && error.kind() == StoreErrorKind::Unavailable => {
                self.report(results::UNPROTECTED);
                Some(Held::Yes)
            }
            other => other.ok(),
        }
    }

    /// The answer is there and cannot be stored: nobody gets it, since a second run could give another.
    async fn fail_to_store<Res, C>(&self, lease: Lease, caller: C) -> Result<E::Response>
    where
        E: Answer<Res, C>,
    {
        self.give_up(lease).await;
        self.refuse(Refused::StoreUnavailable, caller)
    }

    /// The end of the run came too late, whatever it was.
    async fn be_late<Res, C>(&self, run: &Run, claim: Claim, caller: C) -> Result<E::Response>
    where
        E: Answer<Res, C>,
    {
        self.report(results::LATE);
        self.follow(run, claim, caller).await
    }

    /// Another run has the record: this caller gets what that one has to say.
    async fn follow<Res, C>(&self, run: &Run, claim: Claim, caller: C) -> Result<E::Response>
    where
        E: Answer<Res, C>,
    {
        let claim = Claim {
            owner: self.draws.owner(),
            ..claim
        };
        match self.begin(&self.phase, claim).await {
            Begun::Replay { answer, left } => self.replay(claim, &answer, left, caller),
            Begun::Refused(refused) => self.refuse(refused, caller),
            Begun::StoreDown(_) => self.refuse(Refused::StoreUnavailable, caller),
            Begun::Run { token, attempt } => {
                let lease = Lease::new(claim.key, claim.owner, token);
                if attempt == 1 && run.has_done_nothing() {
                    // Nobody has run since: the record was released, and the reply to that was lost.
                    self.forget(lease).await;
                    return self.refuse(Refused::StoreUnavailable, caller);
                }
                // The other is gone as well. What this run has done is done, so it does not run again by itself.
                self.give_up(lease).await;
                self.refuse(Refused::OutcomeUnknown, caller)
            }
        }
    }

    pub(crate) fn replay<Res, C>(
        &self,
        claim: Claim,
        answer: &Bytes,
        left: Duration,
        caller: C,
    ) -> Result<E::Response>
    where
        E: Answer<Res, C>,
    {
        self.report(results::REPLAYED);
        // It says nothing about the handler.
        self.settle(Outcome::Ignored);
        self.give(claim, answer, left, true, caller)
    }

    /// Gives a stored answer to a caller.
    fn give<Res, C>(
        &self,
        claim: Claim,
        answer: &Bytes,
        left: Duration,
        again: bool,
        caller: C,
    ) -> Result<E::Response>
    where
        E: Answer<Res, C>,
    {
        let content = self.codec.decode(claim.key, answer);
        match content.and_then(|content| self.exchange.replay(&content, left, again)) {
            Ok(Replayed::Answer(response)) => Ok(response),
            Ok(Replayed::NotKept(status)) => self.refuse(Refused::AnswerNotKept { status }, caller),
            Err(_) => {
                self.report(results::UNREADABLE);
                self.refuse(Refused::StoreUnavailable, caller)
            }
        }
    }

    pub(crate) fn refuse<Res, C>(&self, refused: Refused, caller: C) -> Result<E::Response>
    where
        E: Answer<Res, C>,
    {
        self.set_settled();
        self.refuse_at_once(refused, caller)
    }

    /// What a caller gets that has left: there is no refusal to report.
    pub(crate) fn nobody<R>(&self) -> Result<R> {
        Err(self
            .telemetry
            .rejection(RejectionKind::OutcomeUnknown)
            .into())
    }
}

/// How a call that ended with an error counts.
pub(crate) fn outcome_of(error: &BoxError) -> Outcome {
    classify_error::<(), (), _>(&ErrorsAsFailures::new(), error).settled()
}
