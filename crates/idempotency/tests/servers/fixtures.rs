//! Claims and leases by number.

use std::time::Duration;

use bytes::Bytes;
use seaworthy_idempotency::store::{
    Claim, Claimed, Fingerprint, Lease, Owner, RecordKey, StoreError, Token,
};

pub(crate) const MINUTE: Duration = Duration::from_secs(60);
pub(crate) const DAY: Duration = Duration::from_secs(24 * 3600);
/// A lease that is over before anything else can happen.
pub(crate) const NOTHING: Duration = Duration::ZERO;

pub(crate) fn key(number: u8) -> RecordKey {
    RecordKey::from_digest([number; 32])
}

/// A claim of that owner to the key of that number, for a minute.
pub(crate) fn claim(number: u8, owner: u128) -> Claim {
    claim_for(number, owner, MINUTE)
}

pub(crate) fn claim_for(number: u8, owner: u128, lease: Duration) -> Claim {
    let fingerprint = Fingerprint::from_digest([7; 32]);
    Claim::new(
        key(number),
        fingerprint,
        Owner::from_number(owner),
        lease,
        DAY,
    )
}

pub(crate) fn lease(number: u8, owner: u128, token: Token) -> Lease {
    Lease::new(key(number), Owner::from_number(owner), token)
}

/// The token and the attempt of a claim that was granted.
#[track_caller]
pub(crate) fn granted(claimed: Result<Claimed, StoreError>) -> (Token, u32) {
    match claimed {
        Ok(Claimed::Run { token, attempt }) => (token, attempt),
        other => panic!("not granted: {other:?}"),
    }
}

/// The answer that a claim was told.
#[track_caller]
pub(crate) fn answered(claimed: Result<Claimed, StoreError>) -> Bytes {
    match claimed {
        Ok(Claimed::Completed { answer, .. }) => answer,
        other => panic!("not answered: {other:?}"),
    }
}
