//! A store under test, and what every row does with it.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::store::{
    Claim, Claimed, Fingerprint, Held, Lease, Overdue, Owner, RecordKey, Store, StoreError, Token,
};

/// A store, and how time passes for it.
pub struct Tested<S> {
    pub(super) store: Arc<S>,
    pass: Pass,
    pub(super) expiry: Expiry,
}

type Pass = Arc<dyn Fn(Duration) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync>;

/// Who removes what is past its retention.
#[doc(hidden)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(
    non_camel_case_types,
    clippy::exhaustive_enums,
    reason = "named as the macro's words"
)]
pub enum Expiry {
    swept,
    by_itself,
}

/// Long enough that it does not end during a test.
pub(super) const LONG: Duration = Duration::from_secs(3600);

/// Short enough to wait for.
pub(super) const SHORT: Duration = Duration::from_millis(40);

/// No step takes as long; the suite's own tests have stores that hang.
const PATIENCE: Duration = Duration::from_secs(if cfg!(test) { 4 } else { 10 });

impl<S: Store> Tested<S> {
    /// A store whose time is real: the suite waits for some 50 ms where a lease must end.
    #[must_use]
    pub fn new(store: S) -> Self {
        Self::passing(store, tokio::time::sleep)
    }

    /// A store whose time passes as `pass` does it: a clock set by hand needs not wait.
    #[must_use]
    pub fn passing<F>(store: S, pass: impl Fn(Duration) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        Self {
            store: Arc::new(store),
            pass: Arc::new(move |time| Box::pin(pass(time))),
            expiry: Expiry::swept,
        }
    }

    #[doc(hidden)]
    #[must_use]
    pub const fn expiry(mut self, expiry: Expiry) -> Self {
        self.expiry = expiry;
        self
    }

    /// Lets a [`SHORT`] lease or retention end, with a margin for stores that count in milliseconds.
    pub(super) async fn pass_short(&self) {
        (self.pass)(SHORT + SHORT / 4).await;
    }

    pub(super) async fn claim(&self, claim: Claim) -> Claimed {
        done(self.store.claim(claim)).await
    }

    /// The lease of a claim that must run, and which attempt it is.
    pub(super) async fn run(&self, claim: Claim) -> (Lease, u32) {
        match self.claim(claim).await {
            Claimed::Run { token, attempt } => (Lease::new(claim.key, claim.owner, token), attempt),
            other => panic!("must run: {}", name(&other)),
        }
    }

    pub(super) async fn renew(&self, lease: Lease, hold: Duration) -> Held {
        done(self.store.renew(lease, hold)).await
    }

    pub(super) async fn complete(&self, lease: Lease, answer: &'static [u8]) -> Held {
        let answer = Bytes::from_static(answer);
        done(self.store.complete(lease, answer, LONG)).await
    }

    pub(super) async fn give_up(&self, lease: Lease) -> Held {
        done(self.store.give_up(lease)).await
    }

    pub(super) async fn release(&self, lease: Lease) -> Held {
        done(self.store.release(lease)).await
    }

    pub(super) async fn purge(&self, limit: usize) -> usize {
        done(self.store.purge(limit)).await
    }

    /// Somebody else must be told that it runs.
    pub(super) async fn assert_running(&self, key: RecordKey) {
        let claimed = self.claim(claim(key)).await;
        let is_running = matches!(claimed, Claimed::Running { .. });
        assert!(is_running, "must be running: {}", name(&claimed));
    }

    /// Somebody else must be told this answer.
    pub(super) async fn assert_answer(&self, key: RecordKey, expected: &[u8]) {
        match self.claim(claim(key)).await {
            Claimed::Completed { answer, .. } => {
                assert!(answer == expected, "another answer than was stored");
            }
            other => panic!("must be completed: {}", name(&other)),
        }
    }

    /// Somebody else must be told that the outcome is unknown.
    pub(super) async fn assert_unknown(&self, key: RecordKey) {
        let claimed = self.claim(claim(key)).await;
        let is_unknown = matches!(claimed, Claimed::Unknown { .. });
        assert!(is_unknown, "must be unknown: {}", name(&claimed));
    }

    /// The first claim of another request finds no record.
    pub(super) async fn assert_gone(&self, key: RecordKey) {
        let (_, attempt) = self.run(other_request(claim(key))).await;
        assert_eq!(attempt, 1, "the record must be gone");
    }

    /// None of the steps is this run's any more.
    pub(super) async fn assert_lost(&self, lease: Lease) {
        assert_eq!(self.renew(lease, LONG).await, Held::Lost, "renew");
        let late = self.complete(lease, b"late").await;
        assert_eq!(late, Held::Lost, "complete");
        assert_eq!(self.give_up(lease).await, Held::Lost, "give_up");
        assert_eq!(self.release(lease).await, Held::Lost, "release");
    }
}

impl<S> Clone for Tested<S> {
    fn clone(&self) -> Self {
        Self {
            store: self.store.clone(),
            pass: self.pass.clone(),
            expiry: self.expiry,
        }
    }
}

impl<S> fmt::Debug for Tested<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tested").finish_non_exhaustive()
    }
}

/// Runs one row on a runtime of its own.
#[doc(hidden)]
pub fn run<S: Store, F: Future<Output = ()>>(
    store: impl Future<Output = Tested<S>>,
    row: impl FnOnce(Tested<S>) -> F,
) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime can be made");
    runtime.block_on(async { row(store.await).await });
    // A store that hangs must not keep the test from ending.
    runtime.shutdown_background();
}

/// What the store answers, in time.
pub(super) async fn done<T>(step: impl Future<Output = Result<T, StoreError>>) -> T {
    match tokio::time::timeout(PATIENCE, step).await {
        Ok(Ok(done)) => done,
        Ok(Err(error)) => panic!("{error}: {:?}", std::error::Error::source(&error)),
        Err(_) => panic!("the store takes too long"),
    }
}

/// A key that no other test has.
pub(super) fn key() -> RecordKey {
    let mut digest = [0; 32];
    for part in digest.chunks_exact_mut(8) {
        part.copy_from_slice(&seaworthy_kit::draw().to_le_bytes());
    }
    RecordKey::from_digest(digest)
}

fn owner() -> Owner {
    let high = u128::from(seaworthy_kit::draw()) << 64;
    Owner::from_number(high | u128::from(seaworthy_kit::draw()))
}

/// A claim of somebody new, always for the same request, which takes over and holds long.
pub(super) fn claim(key: RecordKey) -> Claim {
    Claim::new(key, Fingerprint([1; 32]), owner(), LONG, LONG)
}

/// The same, with a lease that is soon over.
pub(super) fn short(key: RecordKey) -> Claim {
    let mut claim = claim(key);
    claim.lease = SHORT;
    claim
}

/// The same, and soon forgotten.
pub(super) fn fleeting(key: RecordKey) -> Claim {
    let mut claim = short(key);
    claim.retention = SHORT;
    claim
}

/// The same, which marks what is overdue.
pub(super) fn marking(key: RecordKey) -> Claim {
    claim(key).overdue(Overdue::MarkUnknown)
}

/// The same for another request, different in the last bit only.
pub(super) const fn other_request(mut claim: Claim) -> Claim {
    claim.fingerprint.0[31] ^= 1;
    claim
}

/// What was claimed, without its answer.
pub(super) const fn name(claimed: &Claimed) -> &'static str {
    match claimed {
        Claimed::Run { .. } => "run",
        Claimed::Running { .. } => "running",
        Claimed::Completed { .. } => "completed",
        Claimed::Unknown { .. } => "unknown",
        Claimed::Mismatch => "mismatch",
    }
}

pub(super) const fn with_token(lease: Lease, token: Token) -> Lease {
    Lease::new(lease.key, lease.owner, token)
}

pub(super) fn with_another_owner(lease: Lease) -> Lease {
    Lease::new(lease.key, owner(), lease.token)
}
