//! How an answer is kept, and given again: for plain services and for HTTP.

use std::future::{Future, Ready, ready};
use std::time::Duration;

use seaworthy_kit::BoxError;

pub use crate::fallback::PlainAnswers;
use crate::fallback::{Heads, Substituted};

/// Answers of a kind that can be kept.
pub trait Keeps<Res>: Heads<Res> {
    /// What is kept of it.
    type Kept: Clone;

    /// What the caller gets.
    type Response;

    /// Reads a response to its end.
    type Reading: Future<Output = Result<(Self::Response, Option<Self::Kept>), BoxError>>;

    /// Whether a good response with this head may be given to somebody else later.
    fn may_keep(&self, head: &Self::Head) -> bool;

    /// Reads it to its end, unless it is longer than that: what the caller gets, and what is kept.
    fn read(&self, response: Res, limit: usize) -> Self::Reading;

    /// The response as it is.
    fn pass(&self, response: Res) -> Self::Response;

    /// What was kept, marked; `says` is whether nobody further out will say so.
    fn again(
        &self,
        kept: Self::Kept,
        age: Duration,
        mark: Substituted,
        says: bool,
    ) -> Self::Response;
}

impl<Res: Clone> Keeps<Res> for PlainAnswers {
    type Kept = Res;
    type Response = Res;
    type Reading = Ready<Result<(Res, Option<Res>), BoxError>>;

    fn may_keep(&self, _: &Res) -> bool {
        true
    }

    fn read(&self, response: Res, _: usize) -> Self::Reading {
        let kept = response.clone();
        ready(Ok((response, Some(kept))))
    }

    fn pass(&self, response: Res) -> Res {
        response
    }

    fn again(&self, kept: Res, _: Duration, _: Substituted, _: bool) -> Res {
        kept
    }
}

#[cfg(feature = "http")]
pub use over_http::{HttpAnswers, KeptResponse, Reading, UriKey, by_uri};

#[cfg(feature = "http")]
mod over_http {
    use std::fmt;
    use std::pin::Pin;
    use std::task::{Context, Poll, ready};

    use bytes::Bytes;
    use http::header::{
        AGE, AUTHORIZATION, CACHE_CONTROL, CONNECTION, CONTENT_TYPE, COOKIE, HOST, HeaderName,
        PROXY_AUTHENTICATE, SET_COOKIE, TRANSFER_ENCODING, UPGRADE, VARY,
    };
    use http::response::Parts;
    use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, Version};
    use http_body::Body;
    use seaworthy_http::whole::{Unread, WholeBody, WholeReader};

    use super::{BoxError, Duration, Future, Keeps, Substituted};
    pub use crate::fallback::HttpAnswers;
    use crate::{Degradations, mark};

    /// What is kept of an HTTP response.
    #[derive(Clone, Debug)]
    pub struct KeptResponse {
        version: Version,
        headers: HeaderMap,
        body: Bytes,
        trailers: Option<HeaderMap>,
    }

    /// The key of [`by_uri`]: what was asked for, and of which host.
    #[derive(Clone, PartialEq, Eq, Hash)]
    pub struct UriKey {
        uri: Uri,
        /// Of a request whose URI does not say it, as those that an HTTP/1 server gets.
        host: Option<HeaderValue>,
    }

    /// A key for what is the same for everybody: the host and the URI of a GET that says nothing about who asks, by neither `Authorization` nor `Cookie`.
    ///
    /// Where callers are told apart by anything else, as an `X-Api-Key` or a certificate, it is the wrong key.
    /// Whatever callers write into a query is another key: who can make them up can fill the store with them.
    #[must_use]
    pub fn by_uri<B>(request: &Request<B>) -> Option<UriKey> {
        let headers = request.headers();
        let is_personal = headers.contains_key(AUTHORIZATION) || headers.contains_key(COOKIE);
        let mut hosts = headers.get_all(HOST).iter();
        let host = hosts.next();
        if request.method() != Method::GET || is_personal || hosts.next().is_some() {
            return None;
        }
        Some(UriKey {
            uri: request.uri().clone(),
            host: host.filter(|_| request.uri().host().is_none()).cloned(),
        })
    }

    /// What is in it came with a request.
    impl fmt::Debug for UriKey {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.debug_struct("UriKey").finish_non_exhaustive()
        }
    }

    /// Reads the body of a response to its end.
    #[must_use = "futures do nothing unless polled"]
    pub struct Reading<B> {
        head: Option<Parts>,
        body: Option<Pin<Box<B>>>,
        reader: WholeReader,
    }

    impl<B> Future for Reading<B>
    where
        B: Body<Data = Bytes>,
        B::Error: Into<BoxError>,
    {
        type Output = Result<(Response<WholeBody<B>>, Option<KeptResponse>), BoxError>;

        fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
            let this = &mut *self;
            let body = this.body.as_mut().expect("polled after it was ready");
            let read = ready!(this.reader.poll(cx, body.as_mut(), &mut |_| ()));
            let (head, rest) = (this.head.take(), this.body.take());
            let head = head.expect("there until the body was read");
            let reader = std::mem::replace(&mut this.reader, WholeReader::new(0));
            let (data, trailers) = reader.into_parts();
            match read {
                Ok(()) => {
                    let kept = KeptResponse {
                        version: head.version,
                        headers: end_to_end(&head.headers),
                        body: data.clone(),
                        trailers: trailers.clone(),
                    };
                    let body = WholeBody::whole(data, trailers);
                    Poll::Ready(Ok((Response::from_parts(head, body), Some(kept))))
                }
                Err(Unread::Failed(error)) => Poll::Ready(Err(error)),
                // Too long: it goes on as it comes.
                Err(_) => {
                    let rest = rest.expect("there until it was read");
                    let body = WholeBody::resumed(data, rest);
                    Poll::Ready(Ok((Response::from_parts(head, body), None)))
                }
            }
        }
    }

    impl<B> fmt::Debug for Reading<B> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.debug_struct("Reading").finish_non_exhaustive()
        }
    }

    impl<B> Keeps<Response<B>> for HttpAnswers
    where
        B: Body<Data = Bytes>,
        B::Error: Into<BoxError>,
    {
        type Kept = KeptResponse;
        type Response = Response<WholeBody<B>>;
        type Reading = Reading<B>;

        fn may_keep(&self, head: &Parts) -> bool {
            let headers = &head.headers;
            let forbids = |value: &HeaderValue| FORBID.iter().any(|word| has(value, word));
            // What has no end cannot be read to it, and of what ends in trailers nobody knows yet whether it is good.
            let is_stream = headers.get(CONTENT_TYPE).is_some_and(|kind| {
                has(kind, "text/event-stream") || has(kind, "application/grpc")
            });
            head.status == StatusCode::OK
                && !is_stream
                && !headers.get_all(CACHE_CONTROL).iter().any(forbids)
                && ![SET_COOKIE, VARY, mark::DEGRADED]
                    .iter()
                    .any(|it| headers.contains_key(it))
                && head.extensions.get::<Substituted>().is_none()
                && head.extensions.get::<Degradations>().is_none()
        }

        fn read(&self, response: Response<B>, limit: usize) -> Reading<B> {
            let (head, body) = response.into_parts();
            Reading {
                head: Some(head),
                body: Some(Box::pin(body)),
                reader: WholeReader::new(limit),
            }
        }

        fn pass(&self, response: Response<B>) -> Self::Response {
            response.map(WholeBody::untouched)
        }

        fn again(
            &self,
            kept: KeptResponse,
            age: Duration,
            mark: Substituted,
            says: bool,
        ) -> Self::Response {
            let mut response = Response::new(WholeBody::whole(kept.body, kept.trailers));
            *response.version_mut() = kept.version;
            *response.headers_mut() = kept.headers;
            mark::say(&mut response, mark.layer, says);
            // What was old when it came is older now.
            let before = response
                .headers()
                .get(AGE)
                .and_then(|age| age.to_str().ok());
            let before: u64 = before.and_then(|age| age.parse().ok()).unwrap_or(0);
            let age = before.saturating_add(age.as_secs());
            response.headers_mut().insert(AGE, age.into());
            response.extensions_mut().insert(mark);
            response
        }
    }

    /// Without the fields that are about the connection that they came over (RFC 9111, section 3.1).
    fn end_to_end(headers: &HeaderMap) -> HeaderMap {
        let mut kept = headers.clone();
        let named = headers.get_all(CONNECTION).iter();
        let named = named.flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
        for name in named.filter_map(|name| HeaderName::from_bytes(name.trim_ascii()).ok()) {
            kept.remove(name);
        }
        for name in [CONNECTION, PROXY_AUTHENTICATE, TRANSFER_ENCODING, UPGRADE] {
            kept.remove(name);
        }
        for name in [
            "keep-alive",
            "proxy-connection",
            "proxy-authentication-info",
        ] {
            kept.remove(name);
        }
        kept
    }

    /// Whether a field has that word in it, in any case.
    fn has(value: &HeaderValue, word: &str) -> bool {
        let mut parts = value.as_bytes().windows(word.len());
        parts.any(|part| part.eq_ignore_ascii_case(word.as_bytes()))
    }

    /// What must not be kept for others, and what must not be given once it is stale (RFC 9111, section 4.2.4).
    const FORBID: [&str; 6] = [
        "no-store",
        "private",
        "no-cache",
        "must-revalidate",
        "proxy-revalidate",
        "s-maxage",
    ];
}
