//! From the words of a store to those of the machine and back.

use bytes::Bytes;
use seaworthy_core::ledger;

use super::{Claim, Claimed, Held, Lease, Overdue, Token};

impl From<&Claim> for ledger::Claim {
    fn from(claim: &Claim) -> Self {
        Self::new(
            claim.fingerprint.0,
            claim.owner.0,
            claim.lease,
            claim.retention,
        )
        .overdue(match claim.overdue {
            Overdue::TakeOver => ledger::Overdue::TakeOver,
            Overdue::MarkUnknown => ledger::Overdue::MarkUnknown,
        })
    }
}

impl From<Lease> for ledger::Run {
    fn from(lease: Lease) -> Self {
        Self::new(lease.owner.0, lease.token.0)
    }
}

impl From<ledger::Claimed<'_, Bytes>> for Claimed {
    fn from(claimed: ledger::Claimed<'_, Bytes>) -> Self {
        match claimed {
            ledger::Claimed::Run { token, attempt } => Self::Run {
                token: Token(token),
                attempt,
            },
            ledger::Claimed::Running { left } => Self::Running { left },
            ledger::Claimed::Completed { answer, left } => Self::Completed {
                answer: answer.clone(),
                left,
            },
            ledger::Claimed::Unknown { attempts, left } => Self::Unknown { attempts, left },
            ledger::Claimed::Mismatch => Self::Mismatch,
        }
    }
}

impl Held {
    pub(crate) const fn when(held: bool) -> Self {
        if held { Self::Yes } else { Self::Lost }
    }
}
