//! What becomes of a check.

use std::time::Duration;

use seaworthy_core::gcra::TakenAll;
use seaworthy_kit::quota::Quotas;
use seaworthy_kit::{Refusal, RejectionKind};

use super::key::Key;
use super::lease::Unused;
use super::plan::Stand;

/// Who has decided.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum By {
    /// The server.
    Server,
    /// This process, from what it had in hand or what it remembered.
    Lease,
    /// This process by its share: the server is away.
    Share,
    /// Nobody: the server is away, and the option says what happens then.
    Nobody,
}

/// What a call has taken.
///
/// To keep it costs nothing; where the call is not made after all, [`give_back`](super::SharedLimit::give_back) takes it.
#[derive(Clone, Debug)]
pub struct Pass {
    by: By,
    paid: Option<Paid>,
    quotas: Quotas,
    stand: Option<Stand>,
}

/// Where what a call has taken goes back to.
#[derive(Clone, Debug)]
pub(super) enum Paid {
    /// Into the lease, or to the server.
    Shared(Unused),
    /// To the share of this process.
    Alone(Key, TakenAll),
}

/// Why a call is refused.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Why {
    /// It is spent; there will be more.
    Spent,
    /// It costs more than there ever is at once.
    TooMuch,
    /// The server is away, and without it nothing passes, or not so much.
    Away,
}

/// A call that is not to be made.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refused {
    why: Why,
    by: By,
    wait: Option<Duration>,
    quotas: Quotas,
    stand: Option<Stand>,
}

// ===== impl Pass =====

impl Pass {
    pub(super) const fn new(by: By, paid: Option<Paid>, quotas: Quotas) -> Self {
        Self {
            by,
            paid,
            quotas,
            stand: None,
        }
    }

    pub(super) fn told(self, stand: Stand) -> Self {
        let stand = Some(stand);
        Self { stand, ..self }
    }

    /// What the server has said, where it has decided.
    pub(super) const fn stand(&self) -> Option<&Stand> {
        self.stand.as_ref()
    }

    /// Who has decided.
    #[must_use]
    pub const fn by(&self) -> By {
        self.by
    }

    /// How the quotas stand, this call included; of a lease as they were when the server told, with what has come since.
    ///
    /// Others may have taken some since. None where nobody has decided.
    #[must_use]
    pub const fn quotas(&self) -> &Quotas {
        &self.quotas
    }

    /// What can be given back.
    pub(super) fn into_paid(self) -> Option<Paid> {
        self.paid
    }
}

// ===== impl Refused =====

impl Refused {
    pub(super) fn spent(by: By, wait: Duration, mut quotas: Quotas, cost: u64) -> Self {
        quotas.refused(cost);
        Self {
            why: Why::Spent,
            by,
            wait: Some(wait),
            quotas,
            stand: None,
        }
    }

    pub(super) fn told(self, stand: Stand) -> Self {
        let stand = Some(stand);
        Self { stand, ..self }
    }

    /// What the server has said, where it is the server's word or the memory of it.
    pub(super) const fn stand(&self) -> Option<&Stand> {
        self.stand.as_ref()
    }

    pub(super) const fn never() -> Self {
        Self::flat(Why::TooMuch, By::Lease)
    }

    pub(super) const fn away() -> Self {
        Self::flat(Why::Away, By::Nobody)
    }

    const fn flat(why: Why, by: By) -> Self {
        Self {
            why,
            by,
            wait: None,
            quotas: Quotas::new(),
            stand: None,
        }
    }

    /// Why.
    #[must_use]
    pub const fn why(&self) -> Why {
        self.why
    }

    /// Who has decided.
    #[must_use]
    pub const fn by(&self) -> By {
        self.by
    }

    /// When to come back, of all quotas the longest wait; none where that does not help, or nobody knows.
    #[must_use]
    pub const fn retry_after(&self) -> Option<Duration> {
        self.wait
    }

    /// How the quotas stand, as with [a pass](Pass::quotas).
    #[must_use]
    pub const fn quotas(&self) -> &Quotas {
        &self.quotas
    }

    /// The same as a layer's refusal: `RateLimited`, `CostTooHigh`, or `StoreUnavailable` where the server is away.
    #[must_use]
    pub const fn refusal(&self) -> Refusal {
        let kind = match self.why {
            Why::Spent => RejectionKind::RateLimited,
            Why::TooMuch => RejectionKind::CostTooHigh,
            Why::Away => RejectionKind::StoreUnavailable,
        };
        Refusal::new(kind, self.wait)
    }
}
