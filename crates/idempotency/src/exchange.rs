//! What requests and responses are to the layer: the two traits between the machine of a run and HTTP, or whatever else travels.

use std::future::Future;
use std::time::Duration;

use bytes::Bytes;
use seaworthy_kit::{BoxError, Outcome, Telemetry};

use crate::codec::Unreadable;
use crate::current::Run;
use crate::refused::Refused;
use crate::store::{Fingerprint, RecordKey};

pub mod plain;

#[cfg(feature = "http")]
pub mod http;

/// What the layer makes of a request before it reads it.
#[derive(Debug)]
#[non_exhaustive]
pub enum Look<C> {
    /// It goes through as it is.
    Pass,
    /// It has a key, and goes to the store.
    Keyed(Key, C),
    /// It goes no further.
    Refuse(Refused, C),
}

/// A key, as its caller wrote it, without quotes.
#[derive(Clone, PartialEq, Eq)]
pub struct Key(pub(crate) Box<str>);

/// A request that was read to its end.
#[derive(Debug)]
#[non_exhaustive]
pub struct Asked<R> {
    /// What the inner service gets.
    pub request: R,
    /// The record of its key.
    pub record: RecordKey,
    /// What it asks for.
    pub fingerprint: Fingerprint,
}

/// Why a request was not read to its end.
#[derive(Debug)]
#[non_exhaustive]
pub enum Unasked {
    /// It may not.
    Refused(Refused),
    /// It broke off.
    Broken(BoxError),
}

/// The end of a call that the inner service answered.
#[derive(Debug)]
#[non_exhaustive]
pub struct Finished<R> {
    /// What becomes of the record.
    pub keep: Keep,
    /// What the caller gets once that is done.
    pub response: R,
    /// How the call ended, for metrics.
    pub outcome: Outcome,
}

/// What becomes of the record of a call that was answered.
#[derive(PartialEq, Eq)]
#[non_exhaustive]
pub enum Keep {
    /// The answer is stored: this is its content.
    Answer(Vec<u8>),
    /// It is stored that there was an answer, and no more.
    ThatThereWasOne(Vec<u8>),
    /// The next request with the key finds a run that is overdue.
    Nothing,
    /// The next request with the key is the first: nothing was done.
    Forget,
}

/// What a stored content says.
#[derive(Debug)]
#[non_exhaustive]
pub enum Replayed<R> {
    /// The answer.
    Answer(R),
    /// There was one, with that status.
    NotKept(Option<u16>),
}

/// How requests are read.
pub trait Ask<Req>: Send + Sync + 'static {
    /// What the inner service gets.
    type Request: Send + 'static;
    /// What must be known of the caller to answer it.
    type Caller: Copy + Send + Sync + 'static;

    /// Decides by what is there at once.
    fn look(&self, request: &Req) -> Look<Self::Caller>;

    /// A request that goes through as it is.
    fn pass(request: Req) -> Self::Request;

    /// Reads the request to its end, and digests it.
    fn read(
        &self,
        request: Req,
        key: &Key,
    ) -> impl Future<Output = Result<Asked<Self::Request>, Unasked>> + Send;

    /// Puts the run into the request, where that has a place for it.
    fn tell(&self, request: &mut Self::Request, run: &Run);
}

/// How responses are kept and given again.
pub trait Answer<Res, C>: Send + Sync + 'static {
    /// What the caller gets.
    type Response: Send + 'static;

    /// A response that goes through as it is.
    fn hand_on(response: Res) -> Self::Response;

    /// Reads the response to its end, and decides what is kept of it.
    fn finish(
        &self,
        response: Res,
        run: &Run,
    ) -> impl Future<Output = Result<Finished<Self::Response>, BoxError>> + Send;

    /// Says in a response that it is kept, for that long; it is once the store has it.
    fn tell_kept(&self, response: &mut Self::Response, left: Duration);

    /// The content that says that there was this answer, and no more: for a store that has no room for it.
    fn not_kept(&self, response: &Self::Response) -> Vec<u8>;

    /// Makes a response of a stored content, which is kept for that long; it is `again` unless this caller is the first that gets it.
    ///
    /// # Errors
    /// If the content makes no sense.
    fn replay(
        &self,
        content: &Bytes,
        left: Duration,
        again: bool,
    ) -> Result<Replayed<Self::Response>, Unreadable>;

    /// What the caller of a refused request gets.
    ///
    /// # Errors
    /// For requests whose responses have no form for that.
    fn refuse(
        &self,
        refused: Refused,
        caller: C,
        telemetry: &Telemetry,
    ) -> Result<Self::Response, BoxError>;
}

/// The first byte of a content: an answer follows.
pub(crate) const ANSWER: u8 = 0;
/// The first byte of a content: there was an answer, with the status that follows if one does.
pub(crate) const NOT_KEPT: u8 = 1;

/// A key is its caller's secret.
impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key(..)")
    }
}

impl std::fmt::Debug for Keep {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Answer(_) => "Answer(..)",
            Self::ThatThereWasOne(_) => "ThatThereWasOne(..)",
            Self::Nothing => "Nothing",
            Self::Forget => "Forget",
        })
    }
}
