//! Requests and responses that are no HTTP: a trait of the user says what their keys, digests and bytes are.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use seaworthy_kit::{BoxError, Outcome, Telemetry};

use super::{ANSWER, Answer, Ask, Asked, Finished, Keep, Key, Look, NOT_KEPT, Replayed, Unasked};
use crate::codec::Unreadable;
use crate::current::Run;
use crate::digest::Digest;
use crate::refused::Refused;

/// What the requests and responses of a plain layer are to it.
///
/// ```
/// use std::borrow::Cow;
///
/// use bytes::Bytes;
/// use seaworthy_idempotency::{Digest, Protocol};
///
/// struct Transfer {
///     account: String,
///     key: Option<String>,
///     cents: u64,
/// }
///
/// struct Transfers;
///
/// impl Protocol<Transfer, u64> for Transfers {
///     fn key<'a>(&self, request: &'a Transfer) -> Option<Cow<'a, str>> {
///         request.key.as_deref().map(Cow::Borrowed)
///     }
///
///     fn scope(&self, request: &Transfer, scope: &mut Digest) {
///         scope.part(request.account.as_bytes());
///     }
///
///     fn fingerprint(&self, request: &Transfer, digest: &mut Digest) {
///         digest.part(&request.cents.to_be_bytes());
///     }
///
///     fn encode(&self, receipt: &u64) -> Option<Vec<u8>> {
///         Some(receipt.to_be_bytes().into())
///     }
///
///     fn decode(&self, answer: &[u8]) -> Option<u64> {
///         Some(u64::from_be_bytes(answer.try_into().ok()?))
///     }
/// }
/// ```
pub trait Protocol<Req, Res>: Send + Sync + 'static {
    /// The key of a request; one without goes through as it is.
    fn key<'a>(&self, request: &'a Req) -> Option<Cow<'a, str>>;

    /// Whose key it is, and for which operation: the keys of two scopes never meet.
    ///
    /// A protocol that leaves this empty shares its keys among all callers.
    fn scope(&self, request: &Req, scope: &mut Digest);

    /// What the request asks for: the same key with another fingerprint is a mistake.
    fn fingerprint(&self, request: &Req, digest: &mut Digest);

    /// The bytes of an answer that is kept; `None` for one that is not: the next request with the key then finds a run that is overdue.
    fn encode(&self, response: &Res) -> Option<Vec<u8>>;

    /// The answer of those bytes; `None` if they are none.
    fn decode(&self, answer: &[u8]) -> Option<Res>;
}

/// A [`Protocol`] as the layer takes it.
pub struct Plain<P, Req, Res> {
    protocol: Arc<P>,
    types: PhantomData<fn(Req) -> Res>,
}

// ===== impl Plain =====

impl<P, Req, Res> Plain<P, Req, Res> {
    pub(crate) fn new(protocol: P) -> Self {
        Self {
            protocol: Arc::new(protocol),
            types: PhantomData,
        }
    }
}

impl<P, Req, Res> Plain<P, Req, Res>
where
    P: Protocol<Req, Res>,
{
    /// The content of a response; `None` where it is not kept.
    pub(crate) fn content(&self, response: &Res) -> Option<Vec<u8>> {
        let mut content = self.protocol.encode(response)?;
        content.insert(0, ANSWER);
        Some(content)
    }
}

impl<P, Req, Res> Ask<Req> for Plain<P, Req, Res>
where
    P: Protocol<Req, Res>,
    Req: Send + 'static,
    Res: 'static,
{
    type Request = Req;
    type Caller = ();

    fn look(&self, request: &Req) -> Look<()> {
        match self.protocol.key(request) {
            Some(key) => Look::Keyed(Key(key.into()), ()),
            None => Look::Pass,
        }
    }

    fn pass(request: Req) -> Req {
        request
    }

    async fn read(&self, request: Req, key: &Key) -> Result<Asked<Req>, Unasked> {
        let mut record = Digest::record();
        self.protocol.scope(&request, &mut record);
        // Apart from the scope, which has as many parts as it likes.
        let scope = record.finish();
        let mut record = Digest::record();
        record.part(&scope);
        record.part(key.0.as_bytes());
        let mut fingerprint = Digest::fingerprint();
        self.protocol.fingerprint(&request, &mut fingerprint);
        Ok(Asked {
            request,
            record: record.into_record(),
            fingerprint: fingerprint.into_fingerprint(),
        })
    }

    fn tell(&self, _: &mut Req, _: &Run) {}
}

impl<P, Req, Res> Answer<Res, ()> for Plain<P, Req, Res>
where
    P: Protocol<Req, Res>,
    Req: 'static,
    Res: Send + 'static,
{
    type Response = Res;

    fn hand_on(response: Res) -> Res {
        response
    }

    async fn finish(&self, response: Res, run: &Run) -> Result<Finished<Res>, BoxError> {
        let keep = if run.has_done_nothing() {
            Keep::Forget
        } else {
            self.content(&response).map_or(Keep::Nothing, Keep::Answer)
        };
        Ok(Finished {
            keep,
            response,
            outcome: Outcome::Success,
        })
    }

    fn tell_kept(&self, _: &mut Res, _: Duration) {}

    fn not_kept(&self, _: &Res) -> Vec<u8> {
        vec![NOT_KEPT]
    }

    fn replay(&self, content: &Bytes, _: Duration, _: bool) -> Result<Replayed<Res>, Unreadable> {
        match content.split_first() {
            Some((&ANSWER, answer)) => {
                let answer = self.protocol.decode(answer).ok_or(Unreadable)?;
                Ok(Replayed::Answer(answer))
            }
            Some((&NOT_KEPT, _)) => Ok(Replayed::NotKept(None)),
            _ => Err(Unreadable),
        }
    }

    fn refuse(&self, refused: Refused, (): (), telemetry: &Telemetry) -> Result<Res, BoxError> {
        let refusal = refused.refusal();
        Err(telemetry.refuse(refusal.expect("a plain request makes no mistake of HTTP's")))
    }
}

impl<P, Req, Res> fmt::Debug for Plain<P, Req, Res> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Plain(..)")
    }
}

impl<P, Req, Res> Clone for Plain<P, Req, Res> {
    fn clone(&self) -> Self {
        Self {
            protocol: self.protocol.clone(),
            types: PhantomData,
        }
    }
}
