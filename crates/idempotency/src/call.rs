//! One call with a key, from its request to its answer.

use std::future::poll_fn;
use std::panic::resume_unwind;
use std::time::Duration;

use seaworthy_kit::{BoxError, Outcome};
use tokio::runtime::Handle;
use tokio::time::sleep;
use tower_service::Service;

use crate::begin::Begun;
use crate::current::Run;
use crate::end::outcome_of;
use crate::entry::Entry;
use crate::exchange::{Answer, Ask, Asked, Key, Unasked};
use crate::refused::Refused;
use crate::shared::results;
use crate::store::{Claim, Claimed, Lease, Store, StoreErrorKind};
use crate::work::Ended;

/// A call that has a key.
pub(crate) struct Call<S, D, E, Req, C> {
    pub(crate) entry: Entry<D, E>,
    pub(crate) service: S,
    pub(crate) request: Req,
    pub(crate) key: Key,
    pub(crate) caller: C,
}

pub(crate) type Result<R> = std::result::Result<R, BoxError>;

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
    let beginning = shared.begin(&shared.phase, claim);
    let (token, attempt) = match shared.phase.keep_for_caller(&mut request, beginning).await {
        Begun::Run { token, attempt } => (token, attempt),
        Begun::Replay { answer, left } => {
            shared.phase.let_go();
            return shared.replay(claim, &answer, left, caller);
        }
        Begun::Refused(refused) => {
            shared.phase.let_go();
            return shared.refuse(refused, caller);
        }
        Begun::StoreDown(kind) => {
            // A store that is full, or has what it cannot read, is there: its record may hold an answer.
            let is_down = kind == StoreErrorKind::Unavailable;
            if is_down
                && shared.rules.unprotected
                && let Some(request) = request
            {
                let result = shared.run_unprotected(service, request, caller).await;
                shared.phase.let_go();
                return result;
            }
            shared.phase.let_go();
            let refusal = shared.refuse(Refused::StoreUnavailable, caller);
            if is_down {
                shared.take_back(claim);
            }
            return refusal;
        }
    };
    let lease = Lease::new(claim.key, claim.owner, token);
    let Some(mut request) = request else {
        // The caller left while the store was asked, and the handler has not been reached.
        shared.settle(Outcome::Abandoned);
        shared.forget(lease).await;
        return shared.nobody();
    };
    let run = Run::new(key, lease, attempt, shared.codec.clone());
    shared.exchange.tell(&mut request, &run);
    let work = shared.work(service, request, &run);
    let ended = shared.watch(&shared.phase, &run, work).await;
    let result = shared.end(&run, claim, caller, ended).await;
    shared.phase.let_go();
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

    /// Asks again for a claim of which nobody knows whether it is in the store, and takes it back: nothing was reached, and its key would be held for a lease.
    ///
    /// In a task of its own, for which there are as many places as for runs that end without a caller, and which a drain waits for.
    /// A store that is away for longer than all of the pauses leaves the key to its lease.
    fn take_back(self, claim: Claim)
    where
        E: Send + Sync + 'static,
    {
        let Ok(runtime) = Handle::try_current() else {
            return;
        };
        if !self.phase.may_take_back() {
            return;
        }
        runtime.spawn(async move {
            for pause in BEFORE_TAKING_BACK {
                sleep(pause).await;
                match self.step(self.store.claim(claim)).await {
                    Ok(Claimed::Run { token, .. }) => {
                        let lease = Lease::new(claim.key, claim.owner, token);
                        self.forget(lease).await;
                        return;
                    }
                    Ok(_) => return,
                    Err(_) => {}
                }
            }
        });
    }

    /// Runs without a record: to its end, as with one, whether or not its caller stays.
    async fn run_unprotected<S, R, C>(
        &self,
        mut service: S,
        request: R,
        caller: C,
    ) -> Result<E::Response>
    where
        S: Service<R>,
        S::Error: Into<BoxError>,
        E: Answer<S::Response, C>,
    {
        self.report(results::UNPROTECTED);
        let work = async {
            poll_fn(|cx| service.poll_ready(cx)).await?;
            service.call(request).await
        };
        match self.watch_unprotected(&self.phase, work).await {
            Ended::Worked(Ok(response)) => {
                self.settle(Outcome::Success);
                Ok(E::hand_on(response))
            }
            Ended::Worked(Err(error)) => {
                let error = error.into();
                self.settle(outcome_of(&error));
                Err(error)
            }
            Ended::Panicked(panic) => {
                self.report(results::PANICKED);
                self.settle(Outcome::Failure);
                self.phase.let_go();
                resume_unwind(panic)
            }
            Ended::Cancelled => {
                self.report(results::CANCELLED);
                self.settle(Outcome::Abandoned);
                self.nobody()
            }
            // There is no lease to be lost.
            Ended::Overran | Ended::Lost => {
                self.report(results::OVERRAN);
                self.settle(Outcome::Failure);
                self.refuse(Refused::OutcomeUnknown, caller)
            }
        }
    }
}

/// Before each try to take a claim back: a store that was restarted is there again by then.
const BEFORE_TAKING_BACK: [Duration; 3] = [
    Duration::from_millis(200),
    Duration::from_secs(1),
    Duration::from_secs(5),
];
