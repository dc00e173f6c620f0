//! The attempts of an HTTP call: a copy of the head, and a body that can be sent again.

use std::fmt;

use http::request::Parts;
use http::{HeaderName, HeaderValue, Request, Response, response};
use http_body::Body;
use seaworthy_core::Hint;
use seaworthy_kit::{Attempt, Attempts, BoxError, Judge, Rejection, Replay, Tag};

use crate::grpc;
use crate::replay::{DEFAULT_CAP, ReplayBody, ReplayHandle, replayable};
use crate::retry::{self, GRPC_PREVIOUS_RPC_ATTEMPTS};

/// How HTTP and gRPC requests are sent again.
///
/// A request that may be sent again costs a copy of its head, and a place to keep its body in if it has one; see [`replayable`].
/// A request that may not costs nothing.
///
/// The inner service is called with a [`ReplayBody`], or with what [`body`](Self::body) makes of one.
#[derive(Clone)]
pub struct HttpReplay<W = SameBody> {
    cap: usize,
    header: Option<HeaderName>,
    heed: bool,
    wrap: W,
}

/// Turns the body of an attempt into the one that the inner service takes.
pub trait WrapBody<B>: Clone {
    /// What the inner service takes.
    type Body;

    /// Wraps the body.
    fn wrap(&self, body: ReplayBody<B>) -> Self::Body;
}

/// The inner service takes a [`ReplayBody`], as one does that is generic over its body.
#[derive(Clone, Copy, Default, Debug)]
#[non_exhaustive]
pub struct SameBody;

/// A closure makes the body, as `tonic::body::Body::new`.
#[derive(Clone, Copy)]
pub struct WrapBodyFn<F>(F);

/// What is kept of a request while an attempt runs.
pub struct KeptRequest<B> {
    head: Parts,
    body: ReplayHandle<B>,
}

// ===== impl HttpReplay =====

impl HttpReplay {
    /// Keeps bodies up to 64 KiB, and tells the server nothing about attempts, unless it is gRPC.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            cap: DEFAULT_CAP,
            header: None,
            heed: false,
            wrap: SameBody,
        }
    }
}

impl Default for HttpReplay {
    fn default() -> Self {
        Self::new()
    }
}

impl<W> HttpReplay<W> {
    /// Keeps at most so many bytes of a body; a request with a longer one is sent once. Default: 64 KiB.
    #[must_use]
    pub fn max_body(mut self, bytes: usize) -> Self {
        self.cap = bytes;
        self
    }

    /// Tells the server in this header which attempt it sees: 2 in the first retry. Default: none.
    ///
    /// gRPC servers are told in any case, by `grpc-previous-rpc-attempts`.
    #[must_use]
    pub fn attempt_header(mut self, name: impl Into<Option<HeaderName>>) -> Self {
        self.header = name.into();
        self
    }

    /// Counts the attempts of whoever sends the requests as made, where requests say which attempt they are: in their extensions, or as [`retry::attempt`] reads it. Default: no.
    #[must_use]
    pub const fn heed_attempts(mut self, on: bool) -> Self {
        self.heed = on;
        self
    }

    /// Turns the body of each attempt into the one that the inner service takes: `.body(tonic::body::Body::new)`.
    #[must_use]
    pub fn body<F>(self, wrap: F) -> HttpReplay<WrapBodyFn<F>> {
        HttpReplay {
            cap: self.cap,
            header: self.header,
            heed: self.heed,
            wrap: WrapBodyFn(wrap),
        }
    }
}

impl<B, W> Replay<Request<B>> for HttpReplay<W>
where
    B: Body,
    W: WrapBody<B>,
{
    type Head = Parts;
    type Request = Request<W::Body>;
    type Kept = KeptRequest<B>;

    fn look<O>(&self, request: Request<B>, look: impl FnOnce(&Parts) -> O) -> (Request<B>, O) {
        let (head, body) = request.into_parts();
        let answer = look(&head);
        (Request::from_parts(head, body), answer)
    }

    fn is_repeatable(&self, request: &Request<B>) -> bool {
        retry::is_repeatable(request.method(), request.headers())
    }

    fn attempt(&self, request: &Request<B>) -> Option<Attempt> {
        if !self.heed {
            return None;
        }
        let noted = request.extensions().get().copied();
        noted.or_else(|| retry::attempt(request.headers(), self.header.as_ref()))
    }

    fn once(&self, request: Request<B>) -> Self::Request {
        request.map(|body| self.wrap.wrap(ReplayBody::once(body)))
    }

    fn keep(&self, request: Request<B>) -> (Self::Request, Option<KeptRequest<B>>) {
        let (head, body) = request.into_parts();
        let (handle, body) = replayable(body, self.cap);
        let kept = (!handle.is_capped()).then(|| KeptRequest {
            head: head.clone(),
            body: handle,
        });
        (Request::from_parts(head, self.wrap.wrap(body)), kept)
    }

    fn again(&self, kept: &mut KeptRequest<B>, attempt: Attempt) -> Option<Self::Request> {
        let body = kept.body.again()?;
        let mut head = kept.head.clone();
        // The first one once more: it goes out as it came.
        if attempt.number() > 1 {
            head.extensions.insert(attempt);
            let headers = &mut head.headers;
            if grpc::is_grpc(headers) {
                let previous = HeaderValue::from(attempt.previous());
                headers.insert(GRPC_PREVIOUS_RPC_ATTEMPTS.clone(), previous);
            }
            if let Some(name) = &self.header {
                headers.insert(name.clone(), HeaderValue::from(attempt.number()));
            }
        }
        Some(Request::from_parts(head, self.wrap.wrap(body)))
    }

    fn is_spent(&self, kept: &KeptRequest<B>) -> bool {
        kept.body.is_spent()
    }
}

impl<B, W> Judge<Response<B>> for HttpReplay<W> {
    type Head = response::Parts;

    fn look<O>(
        &self,
        response: Response<B>,
        look: impl FnOnce(&response::Parts) -> O,
    ) -> (Response<B>, O) {
        let (head, body) = response.into_parts();
        let answer = look(&head);
        (Response::from_parts(head, body), answer)
    }

    fn is_transient(&self, response: &Response<B>) -> bool {
        retry::is_transient(response.status(), response.headers())
    }

    fn is_failure(&self, response: &Response<B>) -> bool {
        retry::is_failure(response.status(), response.headers())
    }

    fn is_echo(&self, response: &Response<B>) -> bool {
        retry::is_echo(response.status())
    }

    fn was_never_sent(&self, error: &BoxError) -> bool {
        retry::was_never_sent(error)
    }

    fn hint(&self, response: &Response<B>) -> Hint {
        retry::hint(response.headers())
    }

    fn rejection<'a>(&self, response: &'a Response<B>) -> Option<&'a Rejection> {
        response.extensions().get()
    }

    fn attempts(&self, response: &Response<B>) -> Option<Attempts> {
        response.extensions().get().copied()
    }

    fn note(&self, response: &mut Response<B>, attempts: Attempts) {
        response.extensions_mut().insert(attempts);
    }

    fn tag(&self, response: &mut Response<B>, tag: Tag) {
        response.extensions_mut().insert(tag);
    }

    fn tagged(&self, response: &Response<B>) -> Option<Tag> {
        response.extensions().get().copied()
    }

    fn describe(&self, response: &Response<B>) -> BoxError {
        retry::describe(response.status(), response.headers()).into()
    }
}

impl<W> fmt::Debug for HttpReplay<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpReplay")
            .field("max_body", &self.cap)
            .field("attempt_header", &self.header)
            .finish_non_exhaustive()
    }
}

// ===== impl WrapBody =====

impl<B> WrapBody<B> for SameBody {
    type Body = ReplayBody<B>;

    fn wrap(&self, body: ReplayBody<B>) -> ReplayBody<B> {
        body
    }
}

impl<B, B2, F> WrapBody<B> for WrapBodyFn<F>
where
    F: Fn(ReplayBody<B>) -> B2 + Clone,
{
    type Body = B2;

    fn wrap(&self, body: ReplayBody<B>) -> B2 {
        (self.0)(body)
    }
}

impl<F> fmt::Debug for WrapBodyFn<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WrapBodyFn")
    }
}

impl<B> fmt::Debug for KeptRequest<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeptRequest")
            .field("method", &self.head.method)
            .field("uri", &self.head.uri)
            .field("body", &self.body)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
