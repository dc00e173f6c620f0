//! Trying again: which request each attempt sends, and which answers are worth another one.

use std::error::Error;
use std::io;

use seaworthy_core::Hint;

use crate::{BoxError, Plain, Rejection, Tag, causes};

/// Makes the requests of further attempts.
///
/// Its implementation for plain requests clones them; for HTTP see `seaworthy-http`.
pub trait Replay<Req>: Clone {
    /// What a user's predicate sees of a request: the request itself, or its head.
    type Head;

    /// What the inner service is called with.
    type Request;

    /// What is kept while an attempt runs.
    type Kept;

    /// Shows the head to the predicate.
    fn look<O>(&self, request: Req, look: impl FnOnce(&Self::Head) -> O) -> (Req, O);

    /// Whether the request says of itself that it may be sent more than once.
    fn is_repeatable(&self, request: &Req) -> bool;

    /// Which attempt of its sender's the request is, where that is to be heeded and the request says so.
    fn attempt(&self, request: &Req) -> Option<Attempt> {
        let _ = request;
        None
    }

    /// The request of a call that has one attempt and no more; nothing is kept.
    fn once(&self, request: Req) -> Self::Request;

    /// The request of the first attempt, and what is kept for others; `None` if it is too much to keep.
    fn keep(&self, request: Req) -> (Self::Request, Option<Self::Kept>);

    /// The request of another attempt; `None` if it cannot be made now.
    fn again(&self, kept: &mut Self::Kept, attempt: Attempt) -> Option<Self::Request>;

    /// Whether [`again`](Self::again) will never answer again.
    fn is_spent(&self, kept: &Self::Kept) -> bool {
        let _ = kept;
        false
    }
}

/// Tells which answers are worth another attempt.
///
/// It is not what a circuit counts: a 500 is a failure of the dependency and will be one again, a 429 is not and may not.
pub trait Judge<Res> {
    /// What a user's predicate sees of a response: the response itself, or its head.
    type Head;

    /// Shows the head to the predicate.
    fn look<O>(&self, response: Res, look: impl FnOnce(&Self::Head) -> O) -> (Res, O);

    /// Whether the response says "not now".
    fn is_transient(&self, response: &Res) -> bool {
        let _ = response;
        false
    }

    /// Whether the response is a failure, of whatever kind: throttling tokens come back by success alone.
    fn is_failure(&self, response: &Res) -> bool {
        self.is_transient(response)
    }

    /// Whether the response may come of another attempt of the same call, which the server is at work on or has done: it is no answer while that one is still to come.
    ///
    /// Asked of two attempts at a time, as a hedging layer makes them.
    fn is_echo(&self, response: &Res) -> bool {
        let _ = response;
        false
    }

    /// Whether the call may go better next time; never asked about a [`Rejection`].
    fn is_transient_error(&self, error: &BoxError) -> bool {
        let _ = error;
        true
    }

    /// Whether the error proves that the server has not seen the request.
    fn was_never_sent(&self, error: &BoxError) -> bool {
        was_refused(&**error)
    }

    /// What the response says about when to ask again.
    fn hint(&self, response: &Res) -> Hint {
        let _ = response;
        Hint::None
    }

    /// The rejection that a layer further in turned into this response.
    fn rejection<'a>(&self, response: &'a Res) -> Option<&'a Rejection> {
        let _ = response;
        None
    }

    /// How many attempts a retry further in has made for this response, where it noted that.
    fn attempts(&self, response: &Res) -> Option<Attempts> {
        let _ = response;
        None
    }

    /// Notes in the response how many attempts it took.
    fn note(&self, response: &mut Res, attempts: Attempts) {
        let _ = (response, attempts);
    }

    /// Notes in the response what is known about sending its call again.
    fn tag(&self, response: &mut Res, tag: Tag) {
        let _ = (response, tag);
    }

    /// What a layer further in noted about sending its call again, by [`tag`](Self::tag).
    fn tagged(&self, response: &Res) -> Option<Tag> {
        let _ = response;
        None
    }

    /// The response in words, for when it has to be given up before the next attempt fails to be made.
    fn describe(&self, response: &Res) -> BoxError {
        let _ = response;
        "the response asked for another attempt".into()
    }
}

/// Which attempt a request belongs to; in the extensions of the requests of further attempts.
///
/// A request without it belongs to a first attempt: noting that would cost every call an allocation.
/// An attempt that the server has not seen is made again under the same number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Attempt(u32);

impl Attempt {
    /// The attempt of that number, the first one being 1.
    #[must_use]
    pub const fn new(number: u32) -> Self {
        Self(number)
    }

    /// The number, the first attempt being 1.
    #[must_use]
    pub const fn number(self) -> u32 {
        self.0
    }

    /// How many attempts were made before.
    #[must_use]
    pub const fn previous(self) -> u32 {
        self.0.saturating_sub(1)
    }
}

/// How many attempts it took; in the extensions of a response that took more than one, or that would have been tried again if it could.
///
/// A retry layer further out leaves such a response alone, or attempts would multiply.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Attempts(u32);

impl Attempts {
    /// So many, the first one included.
    #[must_use]
    pub const fn new(count: u32) -> Self {
        Self(count)
    }

    /// How many, the first one included.
    #[must_use]
    pub const fn count(self) -> u32 {
        self.0
    }
}

/// A plain request is cloned for each further attempt, and may be sent more than once unless a predicate of the user's says otherwise.
impl<Req: Clone, C: Clone> Replay<Req> for Plain<C> {
    type Head = Req;
    type Request = Req;
    type Kept = Req;

    fn look<O>(&self, request: Req, look: impl FnOnce(&Req) -> O) -> (Req, O) {
        let answer = look(&request);
        (request, answer)
    }

    fn is_repeatable(&self, _: &Req) -> bool {
        true
    }

    fn once(&self, request: Req) -> Req {
        request
    }

    #[inline]
    fn keep(&self, request: Req) -> (Req, Option<Req>) {
        (request.clone(), Some(request))
    }

    fn again(&self, kept: &mut Req, _: Attempt) -> Option<Req> {
        Some(kept.clone())
    }
}

/// A plain answer is final, an error is worth another attempt.
impl<Res, C> Judge<Res> for Plain<C> {
    type Head = Res;

    fn look<O>(&self, response: Res, look: impl FnOnce(&Res) -> O) -> (Res, O) {
        let answer = look(&response);
        (response, answer)
    }
}

/// Whether there is a refused connection in the error's source chain: nobody was there to see the request.
#[must_use]
pub fn was_refused(error: &(dyn Error + 'static)) -> bool {
    has_cause(error, |error| {
        let error = error.downcast_ref::<io::Error>();
        error.is_some_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
    })
}

/// Whether the error, or one that it comes from, is such; looks into I/O errors that wrap others, too.
pub fn has_cause(
    error: &(dyn Error + 'static),
    is_it: impl Fn(&(dyn Error + 'static)) -> bool,
) -> bool {
    causes(error).any(is_it)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refused_connection_is_found_through_wrappers() {
        let refused = || io::Error::from(io::ErrorKind::ConnectionRefused);
        assert!(was_refused(&refused()));
        assert!(was_refused(&io::Error::other(io::Error::other(refused()))));
        assert!(!was_refused(&io::Error::from(
            io::ErrorKind::ConnectionReset
        )));
    }

    #[test]
    fn attempt_knows_how_many_went_before() {
        assert_eq!(Attempt::new(3).previous(), 2);
        assert_eq!(Attempt::new(1).previous(), 0);
    }
}
