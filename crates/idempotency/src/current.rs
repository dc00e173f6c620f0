//! The run that a handler is part of: its key, its token, and what it may say about itself.

use std::fmt;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;

use crate::codec::{Codec, Unreadable};
use crate::digest::Digest;
use crate::draws::uuid;
use crate::exchange::Key;
#[cfg(feature = "http")]
use crate::exchange::http::{Filter, write_content};
use crate::store::{Lease, Token};

tokio::task_local! {
    /// Entered for each poll of a handler, so that it does not matter on which thread that is.
    pub(crate) static CURRENT: Run;
}

/// The run that the task is part of; `None` outside of one, and in tasks that a handler spawned.
///
/// Whoever asks is a handler: a [`Rejection`](seaworthy_kit::Rejection) that it answers with then no longer counts as one of a layer before it; see [`Run::reached`].
#[must_use]
pub fn current() -> Option<Run> {
    let run = CURRENT.try_with(Run::clone).ok()?;
    run.reached();
    Some(run)
}

/// One run of a key: for handlers, through [`current`] or the extensions of an HTTP request.
///
/// Cheap to clone, and of use in tasks that the handler spawns.
#[derive(Clone)]
pub struct Run(Arc<Inner>);

struct Inner {
    key: Key,
    lease: Lease,
    attempt: u32,
    codec: Arc<Codec>,
    said: AtomicU8,
    committed: OnceLock<Bytes>,
    /// What is kept of the headers of an answer; only HTTP has some.
    #[cfg(feature = "http")]
    filter: OnceLock<Arc<Filter>>,
}

const REACHED: u8 = 1;
#[cfg(feature = "http")]
const FINAL: u8 = 2;
const DID_NOTHING: u8 = 4;
const LOST: u8 = 8;

// ===== impl Run =====

impl Run {
    pub(crate) fn new(key: Key, lease: Lease, attempt: u32, codec: Arc<Codec>) -> Self {
        Self(Arc::new(Inner {
            key,
            lease,
            attempt,
            codec,
            said: AtomicU8::new(0),
            committed: OnceLock::new(),
            #[cfg(feature = "http")]
            filter: OnceLock::new(),
        }))
    }

    /// The key, as the caller wrote it, without quotes.
    ///
    /// It is unique within its scope only: for a name that is unique everywhere, take [`child`](Self::child).
    #[must_use]
    pub fn key(&self) -> &str {
        &self.0.key.0
    }

    /// The token of this run, which grows with each run of the key: a database or a callee that refuses a lower one than it has seen is safe from a run that was thought dead.
    #[must_use]
    pub fn token(&self) -> Token {
        self.0.lease.token
    }

    /// Which attempt this is: one for the first; more if an earlier one began and may have done anything.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.0.attempt
    }

    /// The right of this run, for a store that ends it within the handler's own transaction.
    #[must_use]
    pub fn lease(&self) -> Lease {
        self.0.lease
    }

    /// A key for a downstream call, the same in every attempt: a callee that knows keys runs it once, however often this handler runs.
    ///
    /// A UUID (version 8) made of the record and the label; a handler that makes several calls gives each a label of its own.
    /// Whoever asks is a handler, as with [`current`]; so with everything else that only a handler has a use for.
    #[must_use]
    pub fn child(&self, label: &str) -> String {
        self.reached();
        let mut digest = Digest::of("seaworthy idempotency child 1");
        digest.part(self.0.lease.key.as_bytes());
        digest.part(label.as_bytes());
        let digest = digest.finish();
        let half = digest.iter().take(16);
        let number = half.fold(0, |number, byte| number << 8 | u128::from(*byte));
        uuid(number, 8)
    }

    /// Whether another run has taken over, or may at any moment: what this one does now is too late, and its answer reaches nobody.
    ///
    /// The handler itself is dropped then; this is for tasks that it spawned, and for what runs in its `drop`.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        self.has_said(LOST)
    }

    /// The handler has been reached: whatever it answers with, it may have done something.
    ///
    /// Without this, an answer that is a [`Rejection`](seaworthy_kit::Rejection) which did not reach the inner service is taken for that of a layer before the handler, and the key is released.
    /// A handler that may pass on a rejection of its own dependencies calls this first; [`current`] does it, too.
    pub fn reached(&self) {
        self.say(REACHED);
    }

    /// The HTTP answer of this run is stored whatever it is: also a 500, or a 429.
    #[cfg(feature = "http")]
    pub fn answer_is_final(&self) {
        self.reached();
        self.say(FINAL);
    }

    /// This run has done nothing that counts: the key is free again, and the next request with it is the first.
    ///
    /// It speaks for itself alone: where it is not the first [`attempt`](Self::attempt), the key stays taken for this request, since an earlier run may have done anything.
    pub fn did_nothing(&self) {
        self.say(DID_NOTHING);
    }

    /// The handler has ended this run itself, in its own transaction, with these bytes as the answer: the caller gets what they say, and the layer stores nothing.
    ///
    /// To be called once the transaction is committed, with the bytes that were given to the store.
    pub fn committed(&self, answer: Bytes) {
        self.reached();
        // A second call changes nothing: what was committed first is what the store has.
        let _ = self.0.committed.set(answer);
    }

    /// The bytes of an HTTP answer, for a store; see [`committed`](Self::committed).
    ///
    /// What is never replayed is not in them.
    ///
    /// # Errors
    /// If the cipher of the layer fails.
    #[cfg(feature = "http")]
    pub fn answer(&self, head: &http::response::Parts, body: &[u8]) -> Result<Bytes, Unreadable> {
        self.reached();
        let filter = self.0.filter.get_or_init(Arc::default);
        self.encode(write_content(
            filter,
            head.status,
            &head.headers,
            None,
            body,
        ))
    }

    #[cfg(feature = "http")]
    pub(crate) fn filter_by(&self, filter: &Arc<Filter>) {
        // There is one layer for a run, and it says so once.
        let _ = self.0.filter.set(filter.clone());
    }

    /// The bytes of an answer that is `content` to its protocol, for a store; see [`committed`](Self::committed).
    ///
    /// # Errors
    /// If the cipher of the layer fails.
    pub fn answer_of(&self, content: &[u8]) -> Result<Bytes, Unreadable> {
        self.reached();
        let content = [&[crate::exchange::ANSWER], content].concat();
        self.encode(content)
    }

    pub(crate) fn encode(&self, content: Vec<u8>) -> Result<Bytes, Unreadable> {
        self.0.codec.encode(self.0.lease.key, content)
    }

    pub(crate) fn lose(&self) {
        self.say(LOST);
    }

    pub(crate) fn was_reached(&self) -> bool {
        self.has_said(REACHED)
    }

    #[cfg(feature = "http")]
    pub(crate) fn has_said_final(&self) -> bool {
        self.has_said(FINAL)
    }

    pub(crate) fn has_done_nothing(&self) -> bool {
        self.has_said(DID_NOTHING)
    }

    pub(crate) fn what_was_committed(&self) -> Option<&Bytes> {
        self.0.committed.get()
    }

    fn say(&self, word: u8) {
        self.0.said.fetch_or(word, Ordering::Release);
    }

    fn has_said(&self, word: u8) -> bool {
        self.0.said.load(Ordering::Acquire) & word != 0
    }
}

/// Without the key, which is the caller's secret.
impl fmt::Debug for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Run")
            .field("token", &self.token())
            .field("attempt", &self.attempt())
            .field("lost", &self.is_lost())
            .finish_non_exhaustive()
    }
}
