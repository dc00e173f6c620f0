//! The same limit with fair shares for tenants: what the shared service asks where a request says whose it is.

use std::fmt;

use seaworthy_core::slots::{Party, Slot};
use seaworthy_kit::deferred::{Deferred, Source};
use seaworthy_kit::gate::Entry;
use seaworthy_kit::line::{Line, Lined, Wait};
use seaworthy_kit::tenant::Tenant;
use seaworthy_kit::{Gate, Held, Refusal, RejectionKind, Share, Telemetry, Verdict, criticality};
use tower_layer::Layer;

use crate::gate::{AdaptiveGate, Admission};
use crate::layer::{Options, WHOLE};
use crate::{AdaptiveHandle, FairAdaptive};

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

/// A limit, and what says whose a request is.
pub struct Fairly<F> {
    share: Share<FairGate>,
    tenant: F,
}

/// Bounds how many calls of a service run at once, by a limit that it finds and its tenants share. See [`Builder::fair_by`](crate::Builder::fair_by).
pub struct FairAdaptiveLayer<T, F> {
    traffic: T,
    source: Fairly<F>,
}

/// A gate that has an adaptive limit in it.
pub trait Adapts: Gate {
    /// The limit.
    #[doc(hidden)]
    fn adaptive(&self) -> &AdaptiveGate;
}

// ===== impl FairAdaptiveLayer =====

impl<T, F> FairAdaptiveLayer<T, F> {
    pub(crate) fn new(traffic: T, limit: AdaptiveGate, tenant: F) -> Self {
        let limit = limit.fair();
        let share = Share::new(FairGate { limit });
        Self {
            traffic,
            source: Fairly { share, tenant },
        }
    }

    /// A view of the limit. What it [calls](AdaptiveHandle::call) itself is nobody's, and nobody is a tenant, too.
    #[must_use]
    pub fn handle(&self) -> AdaptiveHandle<FairGate> {
        self.source.share.clone().into()
    }
}

impl<S, T: Clone, F: Clone> Layer<S> for FairAdaptiveLayer<T, F> {
    type Service = FairAdaptive<S, T, F>;

    fn layer(&self, inner: S) -> Self::Service {
        Deferred::new(inner, self.traffic.clone(), self.source.clone())
    }
}

impl<T: Clone, F: Clone> Clone for FairAdaptiveLayer<T, F> {
    fn clone(&self) -> Self {
        Self {
            traffic: self.traffic.clone(),
            source: self.source.clone(),
        }
    }
}

impl<T, F> fmt::Debug for FairAdaptiveLayer<T, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FairAdaptiveLayer")
            .field("name", &self.source.share.telemetry().name())
            .finish_non_exhaustive()
    }
}

// ===== impl Fairly =====

impl<Req, F> Source<Req> for Fairly<F>
where
    F: Fn(&Req) -> Tenant,
{
    type Gate = FairGate;

    fn hold(&mut self, _: &Req) -> Held<FairGate> {
        self.share.hold()
    }

    fn enter(&mut self, held: &Held<FairGate>, request: &Req) -> Entry<FairGate> {
        FairGate::enter_for(held, (self.tenant)(request))
    }
}

impl<F: Clone> Clone for Fairly<F> {
    fn clone(&self) -> Self {
        Self {
            share: self.share.clone(),
            tenant: self.tenant.clone(),
        }
    }
}

impl<F> fmt::Debug for Fairly<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fairly").finish_non_exhaustive()
    }
}

// ===== impl FairGate =====

impl FairGate {
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
