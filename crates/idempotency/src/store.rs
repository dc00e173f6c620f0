//! What a store of the ledger must do: each step atomic, each guarded by the token of the run that takes it.

use std::fmt;
use std::future::Future;
use std::time::Duration;

use bytes::Bytes;
use seaworthy_kit::BoxError;

mod any;
pub use any::AnyStore;

mod convert;

mod memory;
pub use memory::{Memory, MemoryBuilder};

#[cfg(any(feature = "postgres", feature = "redis"))]
mod poll;

#[cfg(feature = "postgres")]
pub mod postgres;
#[cfg(feature = "postgres")]
pub use self::postgres::Postgres;

#[cfg(feature = "redb")]
mod redb;
#[cfg(feature = "redb")]
pub use self::redb::{Redb, RedbBuilder};

#[cfg(feature = "redis")]
pub mod redis;
#[cfg(feature = "redis")]
pub use self::redis::Redis;

/// The name of one record: a digest over the caller's scope, the route, the method and the key.
///
/// It is a digest, and no text, so that nothing a client sends reaches a store, its logs or its operators, and so that its length is known.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordKey(pub(crate) [u8; 32]);

/// What a request asked for, as a digest: the same key with another one is a mistake of the client.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint(pub(crate) [u8; 32]);

/// Who claims: drawn at random for every claim, so that a claim that is sent again after a lost reply finds itself.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Owner(pub(crate) u128);

/// Which run of a key this is; it grows with each takeover, so that a later run can be told from an earlier one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token(pub(crate) u64);

/// One run's right to end its record: good for as long as nobody took it over.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub struct Lease {
    /// The record.
    pub key: RecordKey,
    /// Who holds it.
    pub owner: Owner,
    /// In which run.
    pub token: Token,
}

/// A request for the right to run.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Claim {
    /// The record.
    pub key: RecordKey,
    /// Must be that of the first request with this key.
    pub fingerprint: Fingerprint,
    /// Who asks.
    pub owner: Owner,
    /// How long the run may stay silent before another may take it over.
    pub lease: Duration,
    /// How long the record is kept, from now, whatever becomes of it; at least the lease.
    pub retention: Duration,
    /// Whether a run that is overdue is taken over, or its outcome is recorded as unknown.
    pub overdue: Overdue,
}

/// What to do about a run whose lease is over, or that ended without an answer worth keeping.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Overdue {
    /// Give it to the one who asks, with a higher token.
    TakeOver,
    /// Record that its outcome is unknown, with a higher token, so that it cannot end any more.
    MarkUnknown,
}

/// What became of a claim.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Claimed {
    /// It is yours to run.
    Run {
        /// The token of this run.
        token: Token,
        /// Which attempt it is: one for a new record, more for one that was taken over.
        attempt: u32,
    },
    /// Another run holds it.
    Running {
        /// The rest of its lease.
        left: Duration,
    },
    /// It has been answered.
    Completed {
        /// What was stored.
        answer: Bytes,
        /// For how long it is still kept.
        left: Duration,
    },
    /// A run began and nobody knows how it ended.
    Unknown {
        /// How many attempts there were.
        attempts: u32,
        /// For how long this is still kept.
        left: Duration,
    },
    /// The key was used for another request: this is found before anything else, also while that one runs.
    Mismatch,
}

/// Whether a step of a run was still its right.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Held {
    /// It was, and the step is done, now or by an earlier try of the same run whose reply was lost.
    Yes,
    /// Another run took the record over, it was ended otherwise or with another answer, or it is gone.
    Lost,
}

/// Where the records are.
///
/// Each step is atomic, and takes its time from the store where the store has a clock.
/// A step may be sent again, with the same owner, after its reply was lost: it then says what it said, and changes nothing.
/// [`release`](Self::release) alone says [`Lost`](Held::Lost) then, for nothing is left that could tell.
/// A record past its retention is none for every step, whether or not it has been removed.
/// [`claim`](Self::claim) and [`complete`](Self::complete) take one round trip each.
///
/// # Cancel safety
/// A future that is dropped may have had its effect or not, as with a lost reply.
pub trait Store: Send + Sync + 'static {
    /// Asks to run, and says what is known where that may not be.
    ///
    /// In this order: a record past its retention is none; another fingerprint is a mismatch; an answer or an unknown outcome is told; the same owner in a run that holds gets its run again; a lease that holds is another's; what is overdue is taken over or marked, as the claim says.
    fn claim(&self, claim: Claim) -> impl Future<Output = Result<Claimed, StoreError>> + Send;

    /// Holds the lease for that long from now, also where it was over and nobody took it; the record is kept at least as long.
    ///
    /// A run that has completed its record has lost nothing: it is told [`Yes`](Held::Yes), and nothing changes.
    fn renew(
        &self,
        lease: Lease,
        hold: Duration,
    ) -> impl Future<Output = Result<Held, StoreError>> + Send;

    /// Ends the run with an answer, to be kept for that long from now.
    ///
    /// The same answer again is the same step; another one is [`Lost`](Held::Lost), so that nobody is given what is not on record.
    fn complete(
        &self,
        lease: Lease,
        answer: Bytes,
        retention: Duration,
    ) -> impl Future<Output = Result<Held, StoreError>> + Send;

    /// Ends the run without an answer: it is overdue from now on, and the next claim decides as after a lease that is over.
    ///
    /// The run has ended: it can be neither renewed nor completed any more.
    fn give_up(&self, lease: Lease) -> impl Future<Output = Result<Held, StoreError>> + Send;

    /// Forgets the record: only for a run that did nothing.
    ///
    /// A later attempt gives up instead: what those before it did, only the record tells.
    fn release(&self, lease: Lease) -> impl Future<Output = Result<Held, StoreError>> + Send;

    /// Returns when the record may have changed, and after `limit` at the latest; who waited claims again and finds out.
    ///
    /// It returns at once where nothing is running, and may return for no reason at all.
    fn wait(
        &self,
        key: RecordKey,
        limit: Duration,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Removes at most `limit` records that are past their retention, and says how many it removed.
    fn purge(&self, limit: usize) -> impl Future<Output = Result<usize, StoreError>> + Send;
}

/// The store did not do what it was asked, or nobody knows whether it did.
///
/// The message is for operators; it names the store and never holds a key or an answer.
#[derive(Debug)]
pub struct StoreError {
    store: &'static str,
    kind: StoreErrorKind,
    source: Option<BoxError>,
}

/// What went wrong, as far as it makes a difference to the layer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum StoreErrorKind {
    /// It cannot be reached, did not answer in time, or lost its data's connection.
    Unavailable,
    /// It is full of records that may not be forgotten yet.
    Full,
    /// What is stored makes no sense: another version wrote it, or it is damaged.
    Corrupt,
}

// ===== impl StoreError =====

impl StoreError {
    /// An error of the store of that name.
    #[must_use]
    pub const fn new(store: &'static str, kind: StoreErrorKind) -> Self {
        Self {
            store,
            kind,
            source: None,
        }
    }

    /// The same, with what caused it.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<BoxError>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// What went wrong.
    #[must_use]
    pub const fn kind(&self) -> StoreErrorKind {
        self.kind
    }

    /// The store that failed.
    #[must_use]
    pub const fn store(&self) -> &'static str {
        self.store
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.kind {
            StoreErrorKind::Unavailable => "is not available",
            StoreErrorKind::Full => "is full",
            StoreErrorKind::Corrupt => "holds a record that cannot be read",
        };
        write!(f, "the idempotency store `{}` {what}", self.store)
    }
}

impl std::error::Error for StoreError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        let source = self.source.as_deref()?;
        Some(source)
    }
}

// ===== impl RecordKey, Fingerprint, Owner, Token =====

impl RecordKey {
    /// The key with that digest.
    #[must_use]
    pub const fn from_digest(digest: [u8; 32]) -> Self {
        Self(digest)
    }

    /// Its digest.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl Fingerprint {
    /// The fingerprint with that digest.
    #[must_use]
    pub const fn from_digest(digest: [u8; 32]) -> Self {
        Self(digest)
    }

    /// Its digest.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl Owner {
    /// The owner with that number; it must be unlike that of any other claim.
    #[must_use]
    pub const fn from_number(number: u128) -> Self {
        Self(number)
    }

    /// Its number.
    #[must_use]
    pub const fn number(self) -> u128 {
        self.0
    }
}

impl Token {
    /// The token with that number.
    #[must_use]
    pub const fn from_number(number: u64) -> Self {
        Self(number)
    }

    /// Its number: to hand on to a database or a downstream call, which refuses one lower than it has seen.
    #[must_use]
    pub const fn number(self) -> u64 {
        self.0
    }
}

impl Lease {
    /// The right of that run.
    #[must_use]
    pub const fn new(key: RecordKey, owner: Owner, token: Token) -> Self {
        Self { key, owner, token }
    }
}

impl Claim {
    /// A claim that takes over what is overdue.
    #[must_use]
    pub const fn new(
        key: RecordKey,
        fingerprint: Fingerprint,
        owner: Owner,
        lease: Duration,
        retention: Duration,
    ) -> Self {
        Self {
            key,
            fingerprint,
            owner,
            lease,
            retention,
            overdue: Overdue::TakeOver,
        }
    }

    /// What to do about a run that is overdue.
    #[must_use]
    pub const fn overdue(mut self, overdue: Overdue) -> Self {
        self.overdue = overdue;
        self
    }
}

impl fmt::Debug for RecordKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RecordKey(..)")
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Fingerprint(..)")
    }
}

impl fmt::Debug for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Owner({:032x})", self.0)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token({})", self.0)
    }
}
