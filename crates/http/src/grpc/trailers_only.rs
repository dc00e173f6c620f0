//! The gRPC response that is over with its head.

use std::borrow::Cow;
use std::time::Duration;

use http::Response;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderValue};

use super::encode_message;
use super::{GRPC_MESSAGE, GRPC_STATUS, GRPC_STATUS_DETAILS_BIN, GrpcStatus, details};
use crate::retry_after::{GRPC_RETRY_PUSHBACK_MS, Pushback, encode_pushback};

/// A gRPC response that ends a call with its head: HTTP 200, no body, the status in the headers.
///
/// ```
/// # use std::time::Duration;
/// use seaworthy_http::grpc::{GrpcStatus, TrailersOnly};
///
/// let response: http::Response<String> = TrailersOnly::new(GrpcStatus::ResourceExhausted)
///     .message("quota used up")
///     .retry_delay(Duration::from_secs(2))
///     .into_response();
/// assert_eq!(response.status(), 200);
/// assert_eq!(response.headers()["grpc-status"], "8");
/// assert!(response.headers().contains_key("grpc-status-details-bin"));
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct TrailersOnly {
    status: GrpcStatus,
    message: Cow<'static, str>,
    retry_delay: Option<Duration>,
    pushback: Option<Pushback>,
}

// ===== impl TrailersOnly =====

impl TrailersOnly {
    /// A response with this status, without a message.
    pub fn new(status: GrpcStatus) -> Self {
        Self {
            status,
            message: Cow::Borrowed(""),
            retry_delay: None,
            pushback: None,
        }
    }

    /// Says why, for a person; any text.
    ///
    /// It reaches the caller: it must not tell what is none of its business.
    pub fn message(mut self, message: impl Into<Cow<'static, str>>) -> Self {
        self.message = message.into();
        self
    }

    /// Says when to come back, as a `google.rpc.RetryInfo` in `grpc-status-details-bin`.
    ///
    /// A hint for clients that look for it.
    /// Unlike [`pushback`](Self::pushback) it makes no client retry that would not have anyway.
    pub fn retry_delay(mut self, delay: Duration) -> Self {
        self.retry_delay = Some(delay);
        self
    }

    /// Says in `grpc-retry-pushback-ms` when to retry, or not to.
    ///
    /// Not set unless asked for: it is an instruction, which takes the place of the client's own
    /// backoff, jitter included, and so makes all clients come back at the same time.
    pub fn pushback(mut self, pushback: Pushback) -> Self {
        self.pushback = Some(pushback);
        self
    }

    /// The response; its body is the empty one, `B::default()`.
    #[must_use]
    pub fn into_response<B: Default>(self) -> Response<B> {
        let mut response = Response::new(B::default());
        self.write(response.headers_mut());
        response
    }

    fn write(&self, headers: &mut HeaderMap) {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        headers.insert(
            GRPC_STATUS.clone(),
            HeaderValue::from(u16::from(self.status.code())),
        );
        if !self.message.is_empty() {
            headers.insert(GRPC_MESSAGE.clone(), encode_message(&self.message));
        }
        if let Some(delay) = self.retry_delay {
            let details = details::encode(self.status, &self.message, delay);
            headers.insert(GRPC_STATUS_DETAILS_BIN.clone(), details);
        }
        if let Some(pushback) = self.pushback {
            headers.insert(GRPC_RETRY_PUSHBACK_MS.clone(), encode_pushback(pushback));
        }
    }
}
