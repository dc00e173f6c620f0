//! One call with a key, from its request to its answer.

use std::future::poll_fn;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use seaworthy_kit::verdict::classify_error;
use seaworthy_kit::{BoxError, ErrorsAsFailures, Outcome, RejectionKind};
use tower_service::Service;

use crate::begin::Begun;
use crate::current::Run;
use crate::entry::Entry;
use crate::exchange::{Answer, Ask, Asked, Finished, Keep, Key, Replayed, Unasked};
use crate::phase::Phase;
use crate::refused::Refused;
use crate::shared::results;
use crate::store::{Claim, Held, Lease, Store, StoreErrorKind};
use crate::work::{Ended, Worked};

/// A call that has a key.
pub(crate) struct Call<S, D, E, Req, C> {
    pub(crate) entry: Entry<D, E>,
    pub(crate) phase: Arc<Phase>,
    pub(crate) service: S,
    pub(crate) request: Req,
    pub(crate) key: Key,
    pub(crate) caller: C,
}

type Result<R> = std::result::Result<R, BoxError>;

/// Makes the call.
///
/// # Cancel safety
/// Where its phase holds, it must be polled to its end, or a record stays behind until its lease is over.
pub(crate) async fn drive<S, D, E, Req>(
    call: Call<S, D, E, Req, E::Caller>,
) -> Result<<E as Answer<S::Response, E::Caller>>::Response>
where
    D: Store,
    E: Ask<Req> + Answer<S::Response, <E as Ask<Req>>::Caller>,
    S: Service<E::Request>,
    S::Error: Into<BoxError>,
{
    let Call {
        entry: shared,
        phase,
        service,
        request,
        key,
        caller,
    } = call;
    // The body first, all of it: a request that breaks off has claimed nothing.
    let asked = match shared.exchange.read(request, &key).await {
        Ok(asked) => asked,
        Err(Unasked::Refused(refused)) => return shared.refuse(refused, caller),
        Err(Unasked::Broken(error)) => return Err(error),
    };
    let claim = shared.make_claim(&asked);
    let mut request = Some(asked.request);
    let beginning = shared.begin(&phase, claim);
    let (token, attempt) = match phase.keep_for_caller(&mut request, beginning).await {
        Begun::Run { token, attempt } => (token, attempt),
        Begun::Replay { answer, left } => {
            phase.let_go();
            return shared.replay(claim, &answer, left, caller);
        }
        Begun::Refused(refused) => {
            phase.let_go();
            return shared.refuse(refused, caller);
        }
        // A store that is full, or has what it cannot read, is there: its record may hold an answer.
        Begun::StoreDown(StoreErrorKind::Unavailable) if shared.rules.unprotected => {
            phase.let_go();
            return match request {
                Some(request) => shared.run_unprotected(service, request).await,
                None => shared.nobody(),
            };
        }
        Begun::StoreDown(_) => {
            phase.let_go();
            return shared.refuse(Refused::StoreUnavailable, caller);
        }
    };
    let lease = Lease::new(claim.key, claim.owner, token);
    let Some(mut request) = request else {
        // The caller left while the store was asked, and the handler has not been reached.
        shared.settle(Outcome::Abandoned);
        shared.forget(lease, attempt).await;
        return shared.nobody();
    };
    let run = Run::new(key, lease, attempt, shared.codec.clone());
    shared.exchange.tell(&mut request, &run);
    let work = shared.work(service, request, &run);
    let ended = shared.watch(&phase, &run, work).await;
    let result = shared.end(&phase, &run, claim, caller, ended).await;
    phase.let_go();
    result
}

impl<D: Store, E> Entry<D, E> {
    fn make_claim<R>(&self, asked: &Asked<R>) -> Claim {
        let owner = self.draws.owner();
        let (record, fingerprint) = (asked.record, asked.fingerprint);
        let rules = &self.rules;
        Claim::new(record, fingerprint, owner, rules.lease, rules.retention)
            .overdue(rules.overdue())
    }

    /// The store is told how the run ended, and then the caller.
    async fn end<Res, C>(
        &self,
        phase: &Phase,
        run: &Run,
        claim: Claim,
        caller: C,
        ended: Ended<E::Response>,
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
                self.keep(phase, run, claim, caller, finished).await
            }
            Ended::Worked(Worked::Recovered(content)) => {
                self.report(results::RECOVERED);
                self.settle(Outcome::Success);
                let Ok(answer) = run.encode(content) else {
                    return self.fail_to_store(lease, caller).await;
                };
                match self.complete(lease, &answer).await {
                    Ok(Held::Yes) => self.give(claim, &answer, self.rules.retention, false, caller),
                    Ok(Held::Lost) => self.be_late(phase, claim, caller).await,
                    Err(_) => self.fail_to_store(lease, caller).await,
                }
            }
            Ended::Worked(Worked::Unsure) => {
                self.settle(Outcome::Failure);
                self.give_up(lease).await;
                self.refuse(Refused::OutcomeUnknown, caller)
            }
            Ended::Worked(Worked::Unreached(error)) => {
                self.settle(outcome_of(&error));
                self.forget(lease, run.attempt()).await;
                Err(error)
            }
            Ended::Worked(Worked::Failed(error)) => {
                self.settle(outcome_of(&error));
                self.give_up(lease).await;
                Err(error)
            }
            Ended::Panicked(panic) => {
                self.report(results::PANICKED);
                self.settle(Outcome::Failure);
                // Never released: it may have done anything before it panicked.
                self.give_up(lease).await;
                phase.let_go();
                resume_unwind(panic)
            }
            Ended::Lost => {
                self.report(results::LOST);
                self.settle(Outcome::Abandoned);
                self.follow(phase, claim, caller).await
            }
            Ended::Overran => {
                self.report(results::OVERRAN);
                self.settle(Outcome::Failure);
                self.give_up(lease).await;
                self.refuse(Refused::OutcomeUnknown, caller)
            }
            Ended::Cancelled => {
                self.report(results::CANCELLED);
                self.settle(Outcome::Abandoned);
                self.give_up(lease).await;
                self.nobody()
            }
        }
    }

    /// Stores what is to be kept of an answer, before its first byte goes to the caller.
    async fn keep<Res, C>(
        &self,
        phase: &Phase,
        run: &Run,
        claim: Claim,
        caller: C,
        finished: Finished<E::Response>,
    ) -> Result<E::Response>
    where
        E: Answer<Res, C>,
    {
        let lease = run.lease();
        let mut response = finished.response;
        let (content, mut is_whole) = match finished.keep {
            Keep::Answer(content) => (content, true),
            Keep::ThatThereWasOne(content) => {
                self.report(results::NOT_STORED);
                (content, false)
            }
            Keep::Nothing => {
                self.give_up(lease).await;
                return Ok(response);
            }
            Keep::Forget => {
                self.forget(lease, run.attempt()).await;
                return Ok(response);
            }
        };
        let Ok(answer) = run.encode(content) else {
            self.report(results::UNREADABLE);
            return self.fail_to_store(lease, caller).await;
        };
        let mut completed = self.complete(lease, &answer).await;
        if matches!(&completed, Err(error) if error.kind() == StoreErrorKind::Full) {
            // There is room to say that it was answered: as with an answer that is too long, a repetition runs nothing.
            let content = self.exchange.not_kept(&response);
            if let Ok(answer) = run.encode(content) {
                self.report(results::NOT_STORED);
                is_whole = false;
                completed = self.complete(lease, &answer).await;
            }
        }
        match completed {
            Ok(Held::Yes) => {
                if is_whole {
                    self.exchange.tell_kept(&mut response, self.rules.retention);
                }
                Ok(response)
            }
            Ok(Held::Lost) => self.be_late(phase, claim, caller).await,
            Err(error) if self.rules.unprotected && error.kind() == StoreErrorKind::Unavailable => {
                self.report(results::UNPROTECTED);
                Ok(response)
            }
            Err(_) => self.fail_to_store(lease, caller).await,
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

    /// The completion came too late.
    async fn be_late<Res, C>(&self, phase: &Phase, claim: Claim, caller: C) -> Result<E::Response>
    where
        E: Answer<Res, C>,
    {
        self.report(results::LATE);
        self.follow(phase, claim, caller).await
    }

    /// Another run has the record: this caller gets what that one has to say.
    async fn follow<Res, C>(&self, phase: &Phase, claim: Claim, caller: C) -> Result<E::Response>
    where
        E: Answer<Res, C>,
    {
        let claim = Claim {
            owner: self.draws.owner(),
            ..claim
        };
        match self.begin(phase, claim).await {
            Begun::Replay { answer, left } => self.replay(claim, &answer, left, caller),
            Begun::Refused(refused) => self.refuse(refused, caller),
            Begun::StoreDown(_) => self.refuse(Refused::StoreUnavailable, caller),
            Begun::Run { token, .. } => {
                // The other is gone as well. What this run has done is done, so it does not run again by itself.
                self.give_up(Lease::new(claim.key, claim.owner, token))
                    .await;
                self.refuse(Refused::OutcomeUnknown, caller)
            }
        }
    }

    fn replay<Res, C>(
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

    fn refuse<Res, C>(&self, refused: Refused, caller: C) -> Result<E::Response>
    where
        E: Answer<Res, C>,
    {
        self.set_settled();
        self.refuse_at_once(refused, caller)
    }

    /// What a caller gets that has left: there is no refusal to report.
    fn nobody<R>(&self) -> Result<R> {
        Err(self
            .telemetry
            .rejection(RejectionKind::OutcomeUnknown)
            .into())
    }

    async fn run_unprotected<S, R, C>(&self, mut service: S, request: R) -> Result<E::Response>
    where
        S: Service<R>,
        S::Error: Into<BoxError>,
        E: Answer<S::Response, C>,
    {
        self.report(results::UNPROTECTED);
        if let Err(error) = poll_fn(|cx| service.poll_ready(cx)).await {
            return Err(self.fail_unprotected(error.into()));
        }
        match service.call(request).await {
            Ok(response) => {
                self.settle(Outcome::Success);
                Ok(E::hand_on(response))
            }
            Err(error) => Err(self.fail_unprotected(error.into())),
        }
    }

    fn fail_unprotected(&self, error: BoxError) -> BoxError {
        self.settle(outcome_of(&error));
        error
    }
}

/// How a call that ended with an error counts.
fn outcome_of(error: &BoxError) -> Outcome {
    classify_error::<(), (), _>(&ErrorsAsFailures::new(), error).settled()
}
