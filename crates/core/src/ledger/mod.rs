//! The ledger of requests that must run once (idempotency keys): who may run, until when, and what is known of the end.
//!
//! A [`Record`] is what is known of one key.
//! A store keeps it, and makes each step of it atomic; every decision is made here, so that all stores decide alike.
//!
//! ```text
//!            begin                   complete
//!   absent ────────▶ running ──────────────────────▶ completed (answer)
//!     ▲               │ ▲ │ │                            │
//!     │    release    │ │ │ └─ give_up ─▶ given up       │
//!     ├───────────────┘ │ │                  │           │
//!     │                 │ └─ lease over ─┐   │           │
//!     │                 │                ▼   ▼           │
//!     │                 └── claim ◀── overdue            │
//!     │          (take over: token+1,    │               │
//!     │           attempt+1)             │ claim         │
//!     │                                  │ (mark unknown: token+1)
//!     │                                  ▼               │
//!     │   past its retention          unknown            │
//!     └───────────────────────────────────┴──────────────┘
//! ```
//!
//! Only the first attempt can be released: a later one that did nothing gives up, since only the record tells of those before it.
//! Being overdue is no state but what a claim finds: a run is overdue when its lease is over or it was given up, and the claim says what is to become of it.
//! Until a claim has come, a run whose lease is over may still renew or complete it; one that gave up may not.
//! From every state a record that is past its retention is none, whether or not anybody has removed it.
//!
//! # What always holds
//! 1. A record is completed at most once, and whoever finds it completed sees the same answer.
//! 2. The token grows with every takeover and with the mark, and never shrinks while the record lives.
//! 3. A run that was taken over, marked, given up or forgotten changes nothing any more: each step asks for owner and token.
//! 4. A record is kept at least as long as its lease.
//!
//! # Clocks
//! A clock that jumps ahead ends leases and retentions early: the token then keeps the late run from ending its record.
//! A clock that is set back ends them late, by no more than what was left of them: a record that finds itself written in the future counts the rest anew from now.

use core::time::Duration;

mod bytes;
pub use bytes::HEAD;

mod record;
pub use record::Record;

#[cfg(test)]
mod tests;

/// A digest of what was asked for.
pub type Fingerprint = [u8; 32];

/// A request for the right to run.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Claim {
    /// Must be that of the first request.
    pub fingerprint: Fingerprint,
    /// Who asks: unlike that of any other claim.
    pub owner: u128,
    /// How long the run may stay silent before another may take it over.
    pub lease: Duration,
    /// How long the record is kept from now; where it is shorter than the lease, as long as the lease.
    pub retention: Duration,
    /// What is to become of a run that is overdue.
    pub overdue: Overdue,
}

/// What a claim makes of a run that is overdue.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[expect(
    clippy::exhaustive_enums,
    reason = "a store translates each; a third one would be another machine"
)]
pub enum Overdue {
    /// It runs again, for the one who claims.
    TakeOver,
    /// Nobody runs it; its outcome is unknown from now on.
    MarkUnknown,
}

/// Who acts: a run's right to end its record.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub struct Run {
    /// The owner whose claim began it.
    pub owner: u128,
    /// The token that the claim was given.
    pub token: u64,
}

/// What became of a claim.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(
    clippy::exhaustive_enums,
    reason = "a store translates each; a match must not have a wildcard"
)]
pub enum Claimed<'a, A> {
    /// It is the claimant's to run.
    Run {
        /// The token of this run.
        token: u64,
        /// Which attempt it is, from one.
        attempt: u32,
    },
    /// Another run holds it.
    Running {
        /// The rest of its lease.
        left: Duration,
    },
    /// It has been answered.
    Completed {
        /// With this.
        answer: &'a A,
        /// For how long it is still kept.
        left: Duration,
    },
    /// A run began, and nobody knows how it ended.
    Unknown {
        /// How many attempts there were.
        attempts: u32,
        /// For how long this is still kept.
        left: Duration,
    },
    /// The record is of another request.
    Mismatch,
}

/// What becomes of a record whose run did nothing.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[expect(
    clippy::exhaustive_enums,
    reason = "a store does each; a match must not have a wildcard"
)]
pub enum Release {
    /// It is to be removed.
    Forget,
    /// It is overdue from now on.
    GivenUp,
    /// It is not the run's.
    Lost,
}

// ===== impl Claim, Run =====

impl Claim {
    /// A claim that takes over what is overdue.
    #[must_use]
    pub const fn new(
        fingerprint: Fingerprint,
        owner: u128,
        lease: Duration,
        retention: Duration,
    ) -> Self {
        Self {
            fingerprint,
            owner,
            lease,
            retention,
            overdue: Overdue::TakeOver,
        }
    }

    /// What is to become of a run that is overdue.
    #[must_use]
    pub const fn overdue(mut self, overdue: Overdue) -> Self {
        self.overdue = overdue;
        self
    }
}

impl Run {
    /// The run of that owner with that token.
    #[must_use]
    pub const fn new(owner: u128, token: u64) -> Self {
        Self { owner, token }
    }
}
