//! What a counting layer must be able to do, and the guard that settles each of its calls exactly once.

use std::any::Any;
use std::fmt;
use std::future::Future;
use std::mem::ManuallyDrop;

use crate::quota::Quotas;
pub use crate::refusal::{Grounds, Refusal};
use crate::share::{Held, Share};
use crate::telemetry::Telemetry;
use crate::traffic::Settle;
use crate::verdict::Verdict;
use crate::{BoxError, Control, RejectionKind, Seldom};

/// The decisions of one counting layer: a machine, its clock and its telemetry.
///
/// The services [`Gated`](crate::service::Gated) and [`Deferred`](crate::deferred::Deferred) do everything else.
pub trait Gate: Sized + Send + Sync + 'static {
    /// The right to make one call. Given back through [`settle`](Self::settle), always exactly once.
    type Admission: Send + Sync + Unpin + 'static;

    /// The wait for an admission. A gate that never makes a call wait uses [`NoWait`].
    type Wait: Future<Output = Result<Self::Admission, Refusal>> + Send + 'static;

    /// Whether it would refuse now, reserving nothing.
    ///
    /// # Errors
    /// The refusal that [`try_admit`](Self::try_admit) would give.
    fn check(&self) -> Result<(), Refusal>;

    /// Admits one call, or refuses it at once.
    ///
    /// # Errors
    /// If the call must not be made now.
    fn try_admit(&self) -> Result<Self::Admission, Refusal>;

    /// Admits one call if that takes next to nothing, as it does in a healthy layer; `None` sends the caller to [`try_admit`](Self::try_admit).
    ///
    /// What stands here is compiled into every service, and what stands there is kept out of the way of the calls that do not need it.
    #[must_use]
    #[inline(always)]
    fn admit_healthy(&self) -> Option<Self::Admission> {
        None
    }

    /// Admits one call, refuses it, or lets it wait.
    #[must_use]
    fn enter(held: &Held<Self>) -> Entry<Self> {
        match held.try_admit() {
            Ok(admission) => Entry::Admitted(admission),
            Err(refusal) => Entry::Refused(refusal),
        }
    }

    /// The call is over. Must not panic: it runs in `drop`.
    fn settle(&self, admission: Self::Admission, verdict: Verdict);

    /// Sets the gauges that the end of a call changes; called after [`settle`](Self::settle), where a recorder or a listener hears.
    fn show(&self) {}

    /// The call was given up before the inner service was called. Must not panic either.
    fn withdraw(&self, admission: Self::Admission) {
        self.settle(admission, Verdict::ABANDONED);
    }

    /// The inner service was not called because its readiness ended with an error, on which this is the verdict. Must not panic either.
    ///
    /// For a gate that takes back what a call has not used; to all others it is an error like any other.
    fn settle_uncalled(&self, admission: Self::Admission, verdict: Verdict) {
        self.settle(admission, verdict);
    }

    /// Shown the head of a response as soon as it is there, and told the verdict on it; see [`Settle::heed`].
    ///
    /// For a gate to which it matters that the call was taken on, and not how long it lasts, or that reads more in the head than a verdict.
    /// There is no admission where the call was let through although it had been refused.
    /// Must not panic.
    #[inline(always)]
    fn heed(&self, admission: Option<&mut Self::Admission>, head: &dyn Any, verdict: Verdict) {
        let _ = (admission, head, verdict);
    }

    /// Where the gate reports to.
    fn telemetry(&self) -> &Telemetry;

    /// Reports a refusal, and makes the error of it: the [`Rejection`](crate::Rejection), or one that has it as its source.
    #[must_use]
    fn reject(&self, refusal: Refusal) -> BoxError {
        self.telemetry().refuse(refusal)
    }

    /// What is left of the caller's quotas, where the response is to tell.
    #[must_use]
    fn quotas(&self) -> Option<Quotas> {
        None
    }

    /// Whether the [quotas](Self::quotas) are those of a call with that admission; there is none where it was let through although it had been refused.
    #[must_use]
    fn has_quotas(&self, admission: Option<&Self::Admission>) -> bool {
        let _ = admission;
        true
    }

    /// Whether a keyed layer may forget this gate when it needs room; asked only when no call holds it.
    ///
    /// A gate that is refusing must say no, or whoever can make up keys could reset it.
    fn is_forgettable(&self) -> bool {
        true
    }
}

/// The answer of a gate to a call.
#[derive(Debug)]
#[expect(clippy::exhaustive_enums, reason = "a caller must handle each way in")]
pub enum Entry<G: Gate> {
    /// Go on.
    Admitted(G::Admission),
    /// Do not call.
    Refused(Refusal),
    /// Not yet.
    Waiting(G::Wait),
}

/// The wait of a gate that never makes a call wait.
pub type NoWait<A> = std::future::Pending<Result<A, Refusal>>;

impl<G: Gate> Share<G> {
    /// The guard of a call that is admitted without more ado, or else the state, for [`Guard::try_admit`].
    ///
    /// # Errors
    /// If there is something to be decided.
    #[inline(always)]
    pub fn admit_healthy(&mut self) -> Result<Guard<G>, Held<G>> {
        let (held, control, gate) = self.hold_and_look();
        if control.is_normal()
            && let Some(admission) = gate.admit_healthy()
        {
            return Ok(Guard::new(held, admission));
        }
        Err(held)
    }

    /// What the next call would be refused for, as far as that is sure now.
    #[inline]
    pub(crate) fn refusal(&self) -> Option<Refusal> {
        if self.control().is_normal() {
            return self.check().err();
        }
        self.refusal_switched()
    }

    #[cold]
    fn refusal_switched(&self) -> Option<Refusal> {
        let control = self.control();
        // Where refusals are not all enforced, the call may be made after all, and then the inner service has to be ready.
        if control.is_draining() {
            Some(Refusal::new(RejectionKind::Draining, None))
        } else if control.enforced_percent() == 100 {
            self.check().err()
        } else {
            None
        }
    }
}

/// One admitted call.
///
/// Settles exactly once: by [`Settle::settle`], or when it is dropped, as abandoned, or as failed if the thread is panicking.
#[must_use]
pub struct Guard<G: Gate>(
    /// `None` once it is over.
    Seldom<Admitted<G>>,
);

struct Admitted<G: Gate> {
    held: Held<G>,
    /// `None` for a call that was let through although the gate had refused it.
    admission: Option<G::Admission>,
}

/// The contract of [`Guard`].
const IS_ADMITTED: &str = "a guard has its admission until it is over";

impl<G: Gate> Guard<G> {
    /// The guard of an admission.
    #[inline(always)]
    pub const fn new(held: Held<G>, admission: G::Admission) -> Self {
        Self(Seldom::new(Some(Admitted {
            held,
            admission: Some(admission),
        })))
    }

    #[inline(always)]
    fn held(&self) -> &Held<G> {
        &self.0.as_ref().expect(IS_ADMITTED).held
    }

    /// Asks the gate for one call, and turns its refusal into a [`Rejection`](crate::Rejection), unless refusals are only observed.
    ///
    /// # Errors
    /// If the call must not be made.
    #[cold]
    pub fn try_admit(held: Held<G>) -> Result<Self, BoxError> {
        let held = Self::open(held)?;
        match held.try_admit() {
            Ok(admission) => Ok(Self::new(held, admission)),
            Err(refusal) => Self::refuse(held, refusal),
        }
    }

    /// The gate that admitted the call.
    pub fn gate(&self) -> &G {
        self.held()
    }

    /// The call is given up before the inner service was called.
    pub(crate) fn withdraw(mut self) {
        if let Some(Admitted {
            held,
            admission: Some(admission),
        }) = self.0.take()
        {
            held.withdraw(admission);
            Admitted::<G>::tell_end(&held, Verdict::ABANDONED);
        }
    }

    /// The call ended with an error; with the rejection of a layer further in go the quotas, where callers are told of them.
    #[inline(always)]
    pub(crate) fn fail(self, verdict: Verdict, error: BoxError) -> BoxError {
        // As in `settle`.
        let mut this = ManuallyDrop::new(self);
        let quotas = this.0.take().and_then(|admitted| {
            let has_quotas = admitted.held.has_quotas(admitted.admission.as_ref());
            let quotas = admitted.end_and(verdict, Gate::quotas);
            quotas.filter(|_| has_quotas)
        });
        match quotas {
            Some(quotas) => quotas.tell(error),
            None => error,
        }
    }

    /// The same, where the inner service was not called because its readiness ended so.
    #[cold]
    pub(crate) fn fail_uncalled(mut self, verdict: Verdict, error: BoxError) -> BoxError {
        let Admitted { held, admission } = self.0.take().expect(IS_ADMITTED);
        let has_quotas = held.has_quotas(admission.as_ref());
        if let Some(admission) = admission {
            held.settle_uncalled(admission, verdict);
            Admitted::<G>::tell_end(&held, verdict);
        }
        match held.quotas().filter(|_| has_quotas) {
            Some(quotas) => quotas.tell(error),
            None => error,
        }
    }

    /// The switches of the layer that admitted the call.
    pub fn control(&self) -> &Control {
        self.held().control()
    }

    /// Refuses because of a drain, where there is one.
    pub(crate) fn open(held: Held<G>) -> Result<Held<G>, BoxError> {
        if held.control().is_draining() {
            return Err(Self::refuse_draining(held));
        }
        Ok(held)
    }

    #[cold]
    #[expect(
        clippy::needless_pass_by_value,
        reason = "the call is over with the refusal"
    )]
    pub(crate) fn refuse_draining(held: Held<G>) -> BoxError {
        let refusal = Refusal::new(RejectionKind::Draining, None);
        held.reject(refusal)
    }

    /// What a refusal becomes: a rejection, or where refusals are only observed a guard without an admission.
    #[cold]
    pub(crate) fn refuse(held: Held<G>, refusal: Refusal) -> Result<Self, BoxError> {
        if held.control().enforces(|| fastrand::u64(..)) {
            return Err(held.reject(refusal));
        }
        held.telemetry().let_through(refusal);
        Ok(Self(Seldom::new(Some(Admitted {
            held,
            admission: None,
        }))))
    }
}

impl<G: Gate> Admitted<G> {
    #[inline(always)]
    fn end(self, verdict: Verdict) {
        self.end_and(verdict, |_| ());
    }

    /// The same, and what is asked of the gate when it has settled.
    #[inline(always)]
    fn end_and<R>(self, verdict: Verdict, ask: impl FnOnce(&G) -> R) -> R {
        let Self { held, admission } = self;
        if let Some(admission) = admission {
            held.settle(admission, verdict);
            // One look for all who may hear: the end of a call for nobody is a few loads.
            if held.telemetry().is_heard() {
                Self::tell_end(&held, verdict);
            }
        }
        let asked = ask(&held);
        held.release();
        asked
    }

    #[cold]
    fn tell_end(gate: &G, verdict: Verdict) {
        gate.show();
        gate.telemetry().ended(verdict.settled());
    }

    /// A panic of the inner service unwinds through here and is its failure; anything else that drops a call gave it up.
    ///
    /// Takes the call by value: a guard whose address is given away, be it on the way of a panic only, must lie in memory while the inner service is called.
    #[cold]
    fn end_unsettled(self) {
        self.end(if std::thread::panicking() {
            Verdict::FAILURE
        } else {
            Verdict::ABANDONED
        });
    }
}

impl<G: Gate> Settle for Guard<G> {
    #[inline(always)]
    fn settle(self, verdict: Verdict) {
        // What is left of it has nothing to drop.
        let mut this = ManuallyDrop::new(self);
        if let Some(admitted) = this.0.take() {
            admitted.end(verdict);
        }
    }

    #[inline(always)]
    fn heed(&mut self, head: &dyn Any, verdict: Verdict) {
        let Admitted { held, admission } = self.0.as_mut().expect(IS_ADMITTED);
        held.heed(admission.as_mut(), head, verdict);
    }

    fn quotas(&self) -> Option<Quotas> {
        let Admitted { held, admission } = self.0.as_ref().expect(IS_ADMITTED);
        let quotas = held.quotas();
        quotas.filter(|_| held.has_quotas(admission.as_ref()))
    }
}

impl<G: Gate> Drop for Guard<G> {
    #[inline(always)]
    fn drop(&mut self) {
        if let Some(admitted) = self.0.take() {
            admitted.end_unsettled();
        }
    }
}

impl<G: Gate> fmt::Debug for Guard<G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guard")
            .field("layer", &self.gate().telemetry().name())
            .field(
                "admitted",
                &self.0.as_ref().is_some_and(|it| it.admission.is_some()),
            )
            .finish()
    }
}
