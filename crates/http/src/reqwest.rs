//! reqwest under the layers as it is: its own requests and responses, guarded to the end of the body, its URL kept, requests sent again.

use std::error::Error;
use std::fmt;

use ::reqwest::{Body, Request, Response, ResponseBuilderExt, Url};
use http::response::Parts;
use http::{Extensions, HeaderMap, HeaderName, HeaderValue};
use seaworthy_core::Hint;
use seaworthy_kit::verdict::classify_error;
use seaworthy_kit::{
    Attempt, Attempts, BoxError, Classify, ClassifyFn, Judge, Rejection, Replay, Settle, Tag,
    Traffic, Verdict, causes,
};

use crate::body::GuardedBody;
use crate::classify::DefaultClassifier;
use crate::replay::{DEFAULT_CAP, ReplayHandle, replayable};
use crate::retry;
use crate::traffic::{classify_head, show_head};

/// `reqwest::Client` and its own responses: what [`XLayer::reqwest`](seaworthy_kit::Traffic) puts into a layer.
///
/// The caller gets a `reqwest::Response`, whose body is guarded inside: the call is over when that is.
#[derive(Clone, Copy, Default, Debug)]
pub struct Reqwest<C = DefaultClassifier> {
    classifier: C,
}

/// How `reqwest::Request`s are sent again.
///
/// A request without a body, or with one that is in memory, is copied by reference count, whatever its size.
/// A streamed body is kept up to a cap, as in [`HttpReplay`](crate::HttpReplay).
///
/// The extensions of a `reqwest::Request` are closed to us: the number of an attempt is told in a header or not at all.
#[derive(Clone, Debug)]
pub struct ReqwestReplay {
    cap: usize,
    header: Option<HeaderName>,
    heed: bool,
}

/// What is kept of a request while an attempt runs.
pub struct KeptReqwest {
    /// With its body, unless that is a stream.
    request: Request,
    stream: Option<ReplayHandle<Body>>,
}

// ===== impl Reqwest =====

impl Reqwest {
    /// Classifies by [`DefaultClassifier`].
    #[must_use]
    pub const fn new() -> Self {
        Self {
            classifier: DefaultClassifier::new(),
        }
    }
}

impl<C> Reqwest<C> {
    /// Another classifier.
    pub const fn with_classifier(classifier: C) -> Self {
        Self { classifier }
    }
}

impl<F> Reqwest<ClassifyFn<F>>
where
    F: Fn(Result<&Parts, &BoxError>) -> Verdict,
{
    /// A closure as the classifier.
    pub const fn classify(classify: F) -> Self {
        Self::with_classifier(ClassifyFn::new(classify))
    }
}

impl<C> Traffic<Response> for Reqwest<C>
where
    C: Classify<Parts, HeaderMap> + Clone + Send + Sync + 'static,
{
    type Response<G: Settle> = Response;

    fn finish<G: Settle>(&self, response: Response, mut guard: G) -> Response {
        let url = response.url().clone();
        let (mut head, body) = http::Response::<Body>::from(response).into_parts();
        let verdict = classify_head(&self.classifier, &head);
        show_head(&mut head, verdict, &mut guard);
        let body = GuardedBody::new(body, guard, self.classifier.clone(), verdict);
        head.extensions.extend(carrier(url));
        http::Response::from_parts(head, Body::wrap(body)).into()
    }

    fn failed(&self, error: &BoxError) -> Verdict {
        classify_error(&self.classifier, error)
    }
}

/// The URL as reqwest looks for it when it makes a response of its own from an `http::Response`.
fn carrier(url: Url) -> Extensions {
    let response = http::Response::builder()
        .url(url)
        .body(())
        .expect("a response without headers is valid");
    response.into_parts().0.extensions
}

// ===== impl ReqwestReplay =====

impl ReqwestReplay {
    /// Keeps streamed bodies up to 64 KiB, and tells the server nothing about attempts.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            cap: DEFAULT_CAP,
            header: None,
            heed: false,
        }
    }

    /// Keeps at most so many bytes of a streamed body; a request with a longer one is sent once. Default: 64 KiB.
    #[must_use]
    pub const fn max_body(mut self, bytes: usize) -> Self {
        self.cap = bytes;
        self
    }

    /// Tells the server in this header which attempt it sees: 2 in the first retry. Default: none.
    #[must_use]
    pub fn attempt_header(mut self, name: impl Into<Option<HeaderName>>) -> Self {
        self.header = name.into();
        self
    }

    /// Counts the attempts of whoever sends the requests as made, where requests say in a header which attempt they are; see [`retry::attempt`]. Default: no.
    #[must_use]
    pub const fn heed_attempts(mut self, on: bool) -> Self {
        self.heed = on;
        self
    }
}

impl Default for ReqwestReplay {
    fn default() -> Self {
        Self::new()
    }
}

impl Replay<Request> for ReqwestReplay {
    type Head = Request;
    type Request = Request;
    type Kept = KeptReqwest;

    fn look<O>(&self, request: Request, look: impl FnOnce(&Request) -> O) -> (Request, O) {
        let answer = look(&request);
        (request, answer)
    }

    fn is_repeatable(&self, request: &Request) -> bool {
        retry::is_repeatable(request.method(), request.headers())
    }

    fn attempt(&self, request: &Request) -> Option<Attempt> {
        let header = self.header.as_ref();
        self.heed
            .then(|| retry::attempt(request.headers(), header))
            .flatten()
    }

    fn once(&self, request: Request) -> Request {
        request
    }

    fn keep(&self, mut request: Request) -> (Request, Option<KeptReqwest>) {
        if let Some(copy) = request.try_clone() {
            let kept = KeptReqwest {
                request: copy,
                stream: None,
            };
            return (request, Some(kept));
        }
        let Some(stream) = request.body_mut().take() else {
            return (request, None);
        };
        let (handle, body) = replayable(stream, self.cap);
        let copy = if handle.is_capped() {
            None
        } else {
            request.try_clone()
        };
        *request.body_mut() = Some(Body::wrap(body));
        let kept = copy.map(|copy| KeptReqwest {
            request: copy,
            stream: Some(handle),
        });
        (request, kept)
    }

    fn again(&self, kept: &mut KeptReqwest, attempt: Attempt) -> Option<Request> {
        let mut request = kept.request.try_clone()?;
        if let Some(stream) = &kept.stream {
            *request.body_mut() = Some(Body::wrap(stream.again()?));
        }
        // The first one once more: it goes out as it came.
        if let Some(name) = &self.header
            && attempt.number() > 1
        {
            let number = HeaderValue::from(attempt.number());
            request.headers_mut().insert(name.clone(), number);
        }
        Some(request)
    }

    fn is_spent(&self, kept: &KeptReqwest) -> bool {
        kept.stream.as_ref().is_some_and(ReplayHandle::is_spent)
    }
}

impl Judge<Response> for ReqwestReplay {
    type Head = Response;

    fn look<O>(&self, response: Response, look: impl FnOnce(&Response) -> O) -> (Response, O) {
        let answer = look(&response);
        (response, answer)
    }

    fn is_transient(&self, response: &Response) -> bool {
        retry::is_transient(response.status(), response.headers())
    }

    /// Not where the request or what it asks for is wrong: a URL that is none, a redirect that leads nowhere.
    fn is_transient_error(&self, error: &BoxError) -> bool {
        !find(&**error).is_some_and(|error| {
            error.is_builder() || error.is_redirect() || error.is_status() || error.is_decode()
        })
    }

    fn is_echo(&self, response: &Response) -> bool {
        retry::is_echo(response.status())
    }

    fn was_never_sent(&self, error: &BoxError) -> bool {
        retry::was_never_sent(error) || find(&**error).is_some_and(::reqwest::Error::is_connect)
    }

    fn is_failure(&self, response: &Response) -> bool {
        retry::is_failure(response.status(), response.headers())
    }

    fn hint(&self, response: &Response) -> Hint {
        retry::hint(response.headers())
    }

    fn rejection<'a>(&self, response: &'a Response) -> Option<&'a Rejection> {
        response.extensions().get()
    }

    fn attempts(&self, response: &Response) -> Option<Attempts> {
        response.extensions().get().copied()
    }

    fn note(&self, response: &mut Response, attempts: Attempts) {
        response.extensions_mut().insert(attempts);
    }

    fn tag(&self, response: &mut Response, tag: Tag) {
        response.extensions_mut().insert(tag);
    }

    fn tagged(&self, response: &Response) -> Option<Tag> {
        response.extensions().get().copied()
    }

    fn describe(&self, response: &Response) -> BoxError {
        retry::describe(response.status(), response.headers()).into()
    }
}

/// reqwest's own error, however deeply layers wrapped it.
fn find<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a ::reqwest::Error> {
    causes(error).find_map(|error| error.downcast_ref())
}

impl fmt::Debug for KeptReqwest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeptReqwest")
            .field("method", self.request.method())
            .field("stream", &self.stream)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
