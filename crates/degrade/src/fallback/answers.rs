//! Which answers are bad, and how those that are given in their place are passed on: for plain services and for HTTP.

use std::fmt;

use super::{Seen, Substituted};

/// What can be seen of answers before they are passed on.
pub trait Heads<Res>: Clone {
    /// What a predicate sees of a response: its head, or itself.
    type Head;

    /// Shows the head to the predicate.
    fn look<O>(&self, response: Res, look: impl FnOnce(&Self::Head) -> O) -> (Res, O);

    /// What a head says by itself.
    fn see<'a>(&self, head: &'a Self::Head) -> Seen<'a>;
}

/// Answers of a kind: plain ones, or HTTP's.
pub trait Answers<Res, Given>: Heads<Res> {
    /// What the caller gets.
    type Response;

    /// The answer of the inner service, as it is.
    fn pass(&self, response: Res) -> Self::Response;

    /// What is given in its place, marked; `says` is whether nobody further out will say so.
    fn give(&self, given: Given, mark: Substituted, says: bool) -> Self::Response;
}

/// Says which responses are to be replaced.
pub trait Names<Head> {
    /// Whether this one is; `None` where there is nothing to say.
    fn names(&self, head: &Head) -> Option<bool>;
}

/// Responses are replaced as their kind has it.
#[derive(Clone, Copy, Default, Debug)]
#[non_exhaustive]
pub struct ByTraffic;

/// A closure says which responses are replaced.
#[derive(Clone, Copy)]
pub struct ByHead<F>(F);

/// Responses that are all there when their future is ready; none is bad.
#[derive(Clone, Copy, Default, Debug)]
#[non_exhaustive]
pub struct PlainAnswers;

/// HTTP responses.
#[cfg(feature = "http")]
#[derive(Clone, Copy, Default, Debug)]
#[non_exhaustive]
pub struct HttpAnswers;

// ===== impl Names =====

impl ByTraffic {
    pub(super) const fn new() -> Self {
        Self
    }
}

impl<Head> Names<Head> for ByTraffic {
    fn names(&self, _: &Head) -> Option<bool> {
        None
    }
}

impl<F> ByHead<F> {
    pub(super) const fn new(names: F) -> Self {
        Self(names)
    }
}

impl<F, Head> Names<Head> for ByHead<F>
where
    F: Fn(&Head) -> bool,
{
    fn names(&self, head: &Head) -> Option<bool> {
        Some((self.0)(head))
    }
}

impl<F> fmt::Debug for ByHead<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ByHead")
    }
}

// ===== impl Answers =====

impl PlainAnswers {
    pub(crate) const fn new() -> Self {
        Self
    }
}

impl<Res> Heads<Res> for PlainAnswers {
    type Head = Res;

    fn look<O>(&self, response: Res, look: impl FnOnce(&Res) -> O) -> (Res, O) {
        let answer = look(&response);
        (response, answer)
    }

    fn see<'a>(&self, _: &'a Res) -> Seen<'a> {
        Seen::default()
    }
}

impl<Res> Answers<Res, Res> for PlainAnswers {
    type Response = Res;

    fn pass(&self, response: Res) -> Res {
        response
    }

    fn give(&self, given: Res, _: Substituted, _: bool) -> Res {
        given
    }
}

#[cfg(feature = "http")]
mod over_http {
    use http::response::Parts;
    use http::{Response, StatusCode};

    use super::super::EitherBody;
    use super::{Answers, Heads, HttpAnswers, Seen, Substituted};
    use crate::mark;

    impl HttpAnswers {
        pub(crate) const fn new() -> Self {
            Self
        }
    }

    /// What the head of an HTTP response says by itself.
    fn see(head: &Parts) -> Seen<'_> {
        let status = head.status;
        Seen {
            //= https://www.rfc-editor.org/rfc/rfc5861#section-4
            //# In this context, an error is any situation that would result in a
            //# 500, 502, 503, or 504 HTTP response status code being returned.
            is_bad: matches!(
                status,
                StatusCode::INTERNAL_SERVER_ERROR
                    | StatusCode::BAD_GATEWAY
                    | StatusCode::SERVICE_UNAVAILABLE
                    | StatusCode::GATEWAY_TIMEOUT
            ),
            is_callers_mistake: status.is_client_error()
                && !matches!(
                    status,
                    StatusCode::REQUEST_TIMEOUT
                        | StatusCode::TOO_EARLY
                        | StatusCode::TOO_MANY_REQUESTS
                ),
            rejection: head.extensions.get(),
        }
    }

    impl<B> Heads<Response<B>> for HttpAnswers {
        type Head = Parts;

        fn look<O>(
            &self,
            response: Response<B>,
            look: impl FnOnce(&Parts) -> O,
        ) -> (Response<B>, O) {
            let (head, body) = response.into_parts();
            let answer = look(&head);
            (Response::from_parts(head, body), answer)
        }

        fn see<'a>(&self, head: &'a Parts) -> Seen<'a> {
            see(head)
        }
    }

    impl<B, C> Answers<Response<B>, Response<C>> for HttpAnswers {
        type Response = Response<EitherBody<B, C>>;

        fn pass(&self, response: Response<B>) -> Self::Response {
            response.map(EitherBody::inner)
        }

        fn give(&self, given: Response<C>, mark: Substituted, says: bool) -> Self::Response {
            let mut response = given.map(EitherBody::given);
            mark::say(&mut response, mark.layer, says);
            response.extensions_mut().insert(mark);
            response
        }
    }
}
