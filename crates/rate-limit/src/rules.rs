//! What a request says about how it is counted: what it costs, and whether it is counted at all.

use std::fmt;

use seaworthy_kit::deferred::Source;
use seaworthy_kit::gate::Entry;
use seaworthy_kit::{Gate, Held, Share};

use crate::gate::RateGate;
use crate::layer::Alike;

/// How requests are counted: `C` says what one costs, `E` which are exempt.
#[derive(Clone, Copy, Debug)]
pub struct Rules<C = One, E = Nobody> {
    pub(crate) cost: C,
    pub(crate) exempt: E,
}

/// Each request costs one.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct One;

/// Every request counts.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Nobody;

/// A closure that says it.
#[derive(Clone, Copy)]
pub struct Says<F>(pub(crate) F);

/// What no rate limit is for, besides what another rule exempts; see [`exempt_defaults`](crate::Builder::exempt_defaults).
#[cfg(feature = "http")]
#[derive(Clone, Copy, Debug)]
pub struct Usual<E>(pub(crate) E);

/// What a request costs.
pub trait Cost<Req> {
    /// In units of the quota; nothing is always admitted.
    fn cost(&self, request: &Req) -> u64;
}

/// Which requests are not counted.
pub trait Exempt<Req> {
    /// Whether this one is not.
    fn is_exempt(&self, request: &Req) -> bool;
}

/// How a layer counts what it is asked: [`Alike`], or by [`Rules`].
pub trait Mode {
    /// What says the cost.
    type Cost;
    /// What says who is exempt.
    type Exempt;

    /// As rules.
    fn into_rules(self) -> Rules<Self::Cost, Self::Exempt>;
}

/// How a request is counted.
pub trait Count<Req> {
    /// What it costs; `None` if it is exempt.
    fn count(&self, request: &Req) -> Option<u64>;
}

/// A gate that is told what a call costs.
pub trait Counting: Gate {
    /// Admits a call of that cost, refuses it, or lets it wait. What costs nothing is admitted.
    #[must_use]
    fn enter_counted(held: &Held<Self>, cost: u64) -> Entry<Self>;

    /// What a call is admitted with that is not counted.
    #[must_use]
    fn exempt() -> Self::Admission;
}

/// A source of quotas, and the rules by which requests are counted against them.
#[derive(Debug)]
pub struct Priced<C, M, G = RateGate> {
    source: C,
    /// What an exempt request holds: no key is remembered for it.
    exempt: Share<G>,
    rules: M,
    /// Between `hold` and `enter`, which are asked one after the other.
    counted: Option<u64>,
}

// ===== impl Rules =====

impl Mode for Alike {
    type Cost = One;
    type Exempt = Nobody;

    fn into_rules(self) -> Rules {
        Rules {
            cost: One,
            exempt: Nobody,
        }
    }
}

impl<C, E> Mode for Rules<C, E> {
    type Cost = C;
    type Exempt = E;

    fn into_rules(self) -> Self {
        self
    }
}

impl<Req> Count<Req> for Alike {
    fn count(&self, _: &Req) -> Option<u64> {
        Some(1)
    }
}

impl<Req, C: Cost<Req>, E: Exempt<Req>> Count<Req> for Rules<C, E> {
    fn count(&self, request: &Req) -> Option<u64> {
        (!self.exempt.is_exempt(request)).then(|| self.cost.cost(request))
    }
}

impl<Req> Cost<Req> for One {
    fn cost(&self, _: &Req) -> u64 {
        1
    }
}

impl<Req> Exempt<Req> for Nobody {
    fn is_exempt(&self, _: &Req) -> bool {
        false
    }
}

#[cfg(feature = "http")]
impl<B, E: Exempt<http::Request<B>>> Exempt<http::Request<B>> for Usual<E> {
    fn is_exempt(&self, request: &http::Request<B>) -> bool {
        seaworthy_http::key::is_preflight(request)
            || seaworthy_http::key::is_health_check(request)
            || self.0.is_exempt(request)
    }
}

impl<Req, F: Fn(&Req) -> u64> Cost<Req> for Says<F> {
    fn cost(&self, request: &Req) -> u64 {
        (self.0)(request)
    }
}

impl<Req, F: Fn(&Req) -> bool> Exempt<Req> for Says<F> {
    fn is_exempt(&self, request: &Req) -> bool {
        (self.0)(request)
    }
}

impl<F> fmt::Debug for Says<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Says")
    }
}

// ===== impl Priced =====

impl<C, M, G> Priced<C, M, G> {
    pub(crate) const fn new(source: C, exempt: Share<G>, rules: M) -> Self {
        Self {
            source,
            exempt,
            rules,
            counted: None,
        }
    }
}

impl<Req, C, M, G> Source<Req> for Priced<C, M, G>
where
    C: Source<Req, Gate = G>,
    M: Count<Req>,
    G: Counting,
{
    type Gate = G;

    fn hold(&mut self, request: &Req) -> Held<G> {
        self.counted = self.rules.count(request);
        match self.counted {
            Some(_) => self.source.hold(request),
            None => self.exempt.hold_shared(),
        }
    }

    fn enter(&mut self, held: &Held<G>, _: &Req) -> Entry<G> {
        match self.counted {
            Some(cost) => G::enter_counted(held, cost),
            None => Entry::Admitted(G::exempt()),
        }
    }
}

impl<C: Clone, M: Clone, G> Clone for Priced<C, M, G> {
    fn clone(&self) -> Self {
        Self {
            source: self.source.clone(),
            exempt: self.exempt.clone(),
            rules: self.rules.clone(),
            counted: self.counted,
        }
    }
}
