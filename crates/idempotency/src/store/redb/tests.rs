//! The file: that it is kept, that it is ours, and that it is let go of; what every store does is in the suite.

use std::path::Path;

use seaworthy_kit::clock::ManualClock;
use tempfile::TempDir;

use super::*;
use crate::store::{Fingerprint, Owner, StoreErrorKind};

mod failing;
mod files;
mod killed;
#[cfg(feature = "testing")]
mod suite;

const DAY: Duration = Duration::from_secs(86_400);

fn dir() -> TempDir {
    tempfile::tempdir().expect("a directory can be made")
}

async fn open(path: &Path) -> Redb {
    Redb::builder(path).open().await.expect("it opens")
}

fn key(number: u64) -> RecordKey {
    let mut digest = [0; 32];
    digest[..8].copy_from_slice(&number.to_le_bytes());
    RecordKey::from_digest(digest)
}

/// By somebody new each time.
fn claim(number: u64) -> Claim {
    let owner = Owner(u128::from(seaworthy_kit::draw()));
    Claim::new(key(number), Fingerprint([1; 32]), owner, DAY, DAY)
}

async fn run(store: &Redb, number: u64) -> Lease {
    let claim = claim(number);
    match store.claim(claim).await {
        Ok(Claimed::Run { token, .. }) => Lease::new(claim.key, claim.owner, token),
        other => panic!("must run: {other:?}"),
    }
}

async fn complete(store: &Redb, lease: Lease, answer: &str) {
    let answer = Bytes::copy_from_slice(answer.as_bytes());
    let held = store.complete(lease, answer, DAY).await;
    assert_eq!(held.expect("up"), Held::Yes);
}
