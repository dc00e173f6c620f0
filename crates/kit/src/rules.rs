//! What users say about requests and responses, where they do not leave it to the protocol.

use std::fmt;
use std::time::Duration;

use seaworthy_core::Hint;

use crate::Replay;

/// What a user's predicate says about making an attempt again; `true` is yes, `false` is no.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[expect(
    clippy::exhaustive_enums,
    reason = "yes, with a time or without, or no, for this layer or for all"
)]
pub enum Again {
    /// No: it is final.
    No,
    /// Yes, when the dependency says, or after the usual wait.
    Yes,
    /// Yes, after that long, which takes the place of what the dependency says; the longest delay, the deadline and the jitter apply as they do to that.
    After(Duration),
    /// No, and neither by a retry layer further out.
    Never,
}

/// A user's word on a head, if there is one.
pub trait Ask<Head> {
    /// Whether there is anybody to ask: if not, the head need not be shown.
    const ASKS: bool;

    /// The word on this head.
    fn ask(&self, head: &Head) -> Again;
}

/// The protocol decides.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub struct Unasked;

/// A closure decides.
#[derive(Clone, Copy)]
pub struct Asked<F>(F);

/// Which requests may be sent again, and which responses ask for it.
///
/// It is part of every clone of the service: a closure that captures something makes cloning it as dear as that.
#[derive(Clone, Copy, Default, Debug)]
pub struct Rules<Q = Unasked, R = Unasked> {
    request: Q,
    response: R,
}

// ===== impl Again =====

impl Again {
    /// What is known of when, the server having said that; it has the last word where that is "never".
    pub(crate) const fn over(self, hint: Hint) -> Hint {
        match (self, hint) {
            (_, Hint::Never) | (Self::Never, _) => Hint::Never,
            (Self::After(wait), _) => Hint::After(wait),
            (Self::No | Self::Yes, hint) => hint,
        }
    }
}

impl From<bool> for Again {
    fn from(again: bool) -> Self {
        if again { Self::Yes } else { Self::No }
    }
}

// ===== impl Rules =====

impl<Q, R> Rules<Q, R> {
    /// With a closure that says which requests may be sent again.
    pub fn requests<F>(self, may_repeat: F) -> Rules<Asked<F>, R> {
        Rules {
            request: Asked::new(may_repeat),
            response: self.response,
        }
    }

    /// With a closure that says which responses ask for another attempt.
    pub fn responses<F>(self, is_transient: F) -> Rules<Q, Asked<F>> {
        Rules {
            request: self.request,
            response: Asked::new(is_transient),
        }
    }

    /// The word on responses.
    pub const fn response(&self) -> &R {
        &self.response
    }

    /// Whether a request may be sent more than once: by the user's word if there is one, else if it says so of itself, or whatever it says.
    #[inline(always)]
    pub fn may_repeat<Req, A>(&self, replay: &A, request: Req, any: bool) -> (Req, bool)
    where
        A: Replay<Req>,
        Q: Ask<A::Head>,
    {
        if Q::ASKS {
            replay.look(request, |head| self.request.ask(head) != Again::No)
        } else {
            let may = any || replay.is_repeatable(&request);
            (request, may)
        }
    }
}

// ===== impl Ask =====

impl<F> Asked<F> {
    /// That closure.
    pub const fn new(predicate: F) -> Self {
        Self(predicate)
    }
}

impl<Head> Ask<Head> for Unasked {
    const ASKS: bool = false;

    fn ask(&self, _: &Head) -> Again {
        Again::No
    }
}

impl<Head, F, O> Ask<Head> for Asked<F>
where
    F: Fn(&Head) -> O,
    O: Into<Again>,
{
    const ASKS: bool = true;

    fn ask(&self, head: &Head) -> Again {
        (self.0)(head).into()
    }
}

impl<F> fmt::Debug for Asked<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Asked")
    }
}
