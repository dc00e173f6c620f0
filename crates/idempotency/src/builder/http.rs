//! Options that only HTTP has.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, Method, StatusCode};
use seaworthy_kit::InvalidConfig;

use super::{Build, Builder};
use crate::exchange::http::{Answered, Head, Http, KeyUse, MAX_KEY, is_exempt};

impl<D> Builder<D, Http> {
    /// What a key means for requests with that method. Default: POST and PATCH accept one, others ignore it.
    ///
    /// GET, HEAD, OPTIONS, TRACE and CONNECT always ignore it.
    pub fn method(mut self, method: Method, key_use: KeyUse) -> Self {
        self.exchange.methods.push((method, key_use));
        self
    }

    /// What a key means for some requests, whatever their method says; `None` leaves it to that. Default: no exceptions.
    pub fn key_use(
        mut self,
        key_use: impl Fn(&Head<'_>) -> Option<KeyUse> + Send + Sync + 'static,
    ) -> Self {
        self.exchange.key_use = Some(Arc::new(key_use));
        self
    }

    /// The header with the key, for clients that know it by another name. Default: `idempotency-key`.
    pub fn header(mut self, name: HeaderName) -> Self {
        self.exchange.header = name;
        self
    }

    /// Takes the key from somewhere else: a query parameter, another identity of the request. Default: from the header.
    ///
    /// It is checked as one from the header is; `None` is a request without a key.
    pub fn key(
        mut self,
        key: impl Fn(&Head<'_>) -> Option<String> + Send + Sync + 'static,
    ) -> Self {
        self.exchange.key = Some(Arc::new(key));
        self
    }

    /// Takes only keys that the function accepts, such as UUIDs. Default: any.
    pub fn key_format(mut self, accepts: impl Fn(&str) -> bool + Send + Sync + 'static) -> Self {
        self.exchange.key_format = Some(Arc::new(accepts));
        self
    }

    /// The most characters that a key may have. Default and most: 255.
    pub const fn max_key(mut self, characters: usize) -> Self {
        self.exchange.max_key = characters;
        self
    }

    /// Takes keys only as the draft writes them, in quotes. Default: off, a bare token is the same key as its quoted form, since most clients send it bare.
    ///
    /// A value that begins with a quote is always read by the grammar.
    pub const fn strict(mut self, strict: bool) -> Self {
        self.exchange.strict = strict;
        self
    }

    /// Which operation a request is for: a key of one means nothing for another. Default, and where the function says `None`: the path.
    ///
    /// For a layer inside of nested routers, which see only what is left of a path.
    pub fn route(
        mut self,
        route: impl Fn(&Head<'_>) -> Option<String> + Send + Sync + 'static,
    ) -> Self {
        self.exchange.route = Some(Arc::new(route));
        self
    }

    /// Headers that are part of what a request asks for, besides method, target, `content-type` and body. Default: none.
    pub fn fingerprint_headers(mut self, names: impl IntoIterator<Item = HeaderName>) -> Self {
        self.exchange.fingerprint_headers = names.into_iter().collect();
        self
    }

    /// The most bytes that the body of a request with a key may have; a longer one is refused with 413. Default: 1 MiB: it is held in memory until the key is claimed.
    pub const fn max_request_body(mut self, bytes: usize) -> Self {
        self.exchange.max_request_body = bytes;
        self
    }

    /// How long the body of a request with a key may take to come; one that takes longer is refused with 408, over gRPC DEADLINE_EXCEEDED, and its key is not touched. Default: 30 s.
    ///
    /// The body is read to its end before anything is claimed: a client that sends slowly, or a streaming call of gRPC with a key, would be waited for without an end.
    pub const fn max_read(mut self, time: Duration) -> Self {
        self.exchange.max_read = time;
        self
    }

    /// The most bytes of an answer that are kept. Default: 1 MiB.
    ///
    /// A longer one is sent to its caller, and it is stored that there was an answer: a repetition is told so, and runs nothing.
    pub const fn max_response_body(mut self, bytes: usize) -> Self {
        self.exchange.max_response_body = bytes;
        self
    }

    /// How long the body of an answer may take before it is treated as a stream: sent as it comes, and not kept, as one that is too long. Default: 30 s.
    ///
    /// An event stream, or a response with [`Streaming`](crate::Streaming) in its extensions, is one from the start.
    pub const fn stream_after(mut self, time: Duration) -> Self {
        self.exchange.stream_after = time;
        self
    }

    /// Which answers are kept. Default: [`Answered::is_settled`]. A [`Final`](crate::Final) one always is.
    pub fn store_when(
        mut self,
        keeps: impl Fn(&Answered<'_>) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.exchange.store_when = Some(Arc::new(keeps));
        self
    }

    /// Keeps every answer of a handler that was reached, a 500 included, as Stripe does.
    pub fn stripe_compat(self) -> Self {
        self.store_when(|_| true)
    }

    /// Keeps only these headers of an answer, and what its bytes mean: `content-type`, `content-encoding` and those of gRPC. Default: all but those that belong to the moment, the connection or the caller.
    pub fn replay_only(mut self, names: impl IntoIterator<Item = HeaderName>) -> Self {
        Arc::make_mut(&mut self.exchange.filter).only = Some(names.into_iter().collect());
        self
    }

    /// Does not keep these headers of an answer either. Default: none besides `set-cookie`, `date`, `retry-after` and their like.
    pub fn never_replay(mut self, names: impl IntoIterator<Item = HeaderName>) -> Self {
        Arc::make_mut(&mut self.exchange.filter).never = names.into_iter().collect();
        self
    }

    /// The status for a key that was used for another request: 422, 409 or 400. Default: 422, as in the draft; some APIs have that for their own validation.
    pub const fn mismatch_status(mut self, status: StatusCode) -> Self {
        self.exchange.mismatch_status = status;
        self
    }

    /// Where the use of keys is described: a link in every refusal. Default: none.
    pub fn docs(mut self, url: impl Into<String>) -> Self {
        self.exchange.docs = Some(url.into());
        self
    }

    /// Says in this header of an answer for how many seconds it is kept. Default: none.
    pub fn expiry_header(mut self, name: HeaderName) -> Self {
        self.exchange.expiry_header = Some(name);
        self
    }
}

impl Build for Http {
    fn check(&self) -> Result<(), InvalidConfig> {
        let forced =
            |(method, key_use): &(Method, KeyUse)| is_exempt(method) && *key_use != KeyUse::Ignored;
        if self.methods.iter().any(forced) {
            let reason = "a safe method, or CONNECT, has no use for a key";
            return Err(InvalidConfig::new("method", reason));
        }
        if !(1..=MAX_KEY).contains(&self.max_key) {
            return Err(InvalidConfig::new("max_key", "must be 1 to 255"));
        }
        if self.max_request_body == 0 {
            let reason = "must be above zero, or a key is for empty requests only";
            return Err(InvalidConfig::new("max_request_body", reason));
        }
        if ![422, 409, 400].contains(&self.mismatch_status.as_u16()) {
            let reason = "must be 422, 409 or 400";
            return Err(InvalidConfig::new("mismatch_status", reason));
        }
        let is_link = |url: &String| {
            url.bytes()
                .all(|byte| byte.is_ascii_graphic() && byte != b'>')
        };
        if !self.docs.as_ref().is_none_or(is_link) {
            return Err(InvalidConfig::new("docs", "must be a URL"));
        }
        for (option, time) in [
            ("max_read", self.max_read),
            ("stream_after", self.stream_after),
        ] {
            if time.is_zero() {
                return Err(InvalidConfig::new(option, "must be above zero"));
            }
        }
        Ok(())
    }
}
