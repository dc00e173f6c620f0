//! The same limit with fair shares for tenants: what the shared service asks where a request says whose it is.

use std::fmt;

use seaworthy_core::slots::{Party, Slot};
use seaworthy_kit::deferred::Source;
use seaworthy_kit::gate::Entry;
use seaworthy_kit::line::{Gauges, Line, Lined, Wait};
use seaworthy_kit::tenant::Tenant;
use seaworthy_kit::{
    Gate, Held, InvalidConfig, Refusal, RejectionKind, Share, Telemetry, Verdict, criticality,
};

use crate::gate::{AdaptiveGate, Admission};
use crate::layer::{Options, WHOLE};

mod layer;
pub use layer::{FairAdaptiveLayer, FairBuilder};

/// An adaptive limit with fair shares, as the layer holds it.
///
/// It is a gate of its own so that a limit without tenants pays nothing for theirs.
#[derive(Debug)]
pub struct FairGate {
    limit: AdaptiveGate,
}

/// The right to make one call of one tenant.
#[derive(Debug)]
pub struct FairAdmission {
    admission: Admission,
    party: Party,
}

/// Where the limit of a request comes from, and what says whose the request is.
pub struct Fairly<F, C = Share<FairGate>> {
    limits: C,
    tenant: F,
}

/// A gate that has an adaptive limit in it.
pub trait Adapts: Gate {
    /// The limit.
    #[doc(hidden)]
    fn adaptive(&self) -> &AdaptiveGate;
}

// ===== impl Fairly =====

impl<Req, F, C> Source<Req> for Fairly<F, C>
where
    F: Fn(&Req) -> Tenant,
    C: Source<Req, Gate = FairGate>,
{
    type Gate = FairGate;

    fn hold(&mut self, request: &Req) -> Held<FairGate> {
        self.limits.hold(request)
    }

    fn enter(&mut self, held: &Held<FairGate>, request: &Req) -> Entry<FairGate> {
        FairGate::enter_for(held, (self.tenant)(request))
    }

    fn is_draining(&self) -> bool {
        self.limits.is_draining()
    }
}

impl<F: Clone, C: Clone> Clone for Fairly<F, C> {
    fn clone(&self) -> Self {
        Self {
            limits: self.limits.clone(),
            tenant: self.tenant.clone(),
        }
    }
}

impl<F, C> fmt::Debug for Fairly<F, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fairly").finish_non_exhaustive()
    }
}

// ===== impl FairGate =====

impl FairGate {
    fn try_new(
        options: Options,
        telemetry: Telemetry,
        gauges: Gauges,
    ) -> Result<Self, InvalidConfig> {
        let limit = AdaptiveGate::try_new(options, telemetry, gauges)?.fair();
        Ok(Self { limit })
    }

    fn party(tenant: Tenant) -> Party {
        let class = criticality::current().unwrap_or_default();
        Party { class, tenant }
    }

    /// A slot for a call of that party, or how many wait for one.
    fn acquire(&self, party: Party) -> Result<FairAdmission, usize> {
        let Self { limit } = self;
        let most = |slots| limit.share(party.class, slots);
        let acquired = limit.line.acquire_as(party, most);
        let (slot, in_flight) = acquired.map_err(|full| full.seen.waiting)?;
        limit.line.show(&limit.telemetry);
        let admission = limit.admission(slot, in_flight);
        Ok(FairAdmission { admission, party })
    }

    fn enter_for(held: &Held<Self>, tenant: Tenant) -> Entry<Self> {
        let party = Self::party(tenant);
        let waiting = match held.acquire(party) {
            Ok(admission) => return Entry::Admitted(admission),
            Err(waiting) => waiting,
        };
        // As without tenants: who may not use the whole limit does not wait for it either.
        let Options {
            shares, max_queue, ..
        } = &held.limit.options;
        if *max_queue == 0 || shares[party.class.index()] < WHOLE {
            return Entry::Refused(held.limit.shed());
        }
        Line::enter(held, waiting, party)
    }
}

impl Gate for FairGate {
    type Admission = FairAdmission;
    type Wait = Wait<Self>;

    /// It depends on whose call it is.
    fn check(&self) -> Result<(), Refusal> {
        Ok(())
    }

    fn try_admit(&self) -> Result<FairAdmission, Refusal> {
        let admitted = self.acquire(Self::party(Tenant::NOBODY));
        admitted.map_err(|_| self.limit.shed())
    }

    fn enter(held: &Held<Self>) -> Entry<Self> {
        Self::enter_for(held, Tenant::NOBODY)
    }

    fn settle(&self, FairAdmission { admission, party }: FairAdmission, verdict: Verdict) {
        let Self { limit } = self;
        let over = limit.count(&admission, verdict);
        limit
            .line
            .release_as(admission.slot, party, &limit.telemetry);
        if let Some(now) = over {
            limit.end_window(now);
        }
    }

    fn show(&self) {
        self.limit.show();
    }

    fn telemetry(&self) -> &Telemetry {
        &self.limit.telemetry
    }

    fn is_forgettable(&self) -> bool {
        self.limit.is_forgettable()
    }
}

impl Lined for FairGate {
    const FULL: RejectionKind = AdaptiveGate::FULL;

    fn line(&self) -> &Line {
        &self.limit.line
    }

    fn seated(&self, slot: Slot, party: Party) -> FairAdmission {
        FairAdmission {
            admission: self.limit.seated(slot, party),
            party,
        }
    }

    fn refusal(&self, kind: RejectionKind, waiting: usize) -> Refusal {
        self.limit.refusal(kind, waiting)
    }
}

impl Adapts for FairGate {
    fn adaptive(&self) -> &AdaptiveGate {
        &self.limit
    }
}

impl Adapts for AdaptiveGate {
    fn adaptive(&self) -> &Self {
        self
    }
}
