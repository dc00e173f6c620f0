//! Which HTTP and gRPC answers are worth another attempt, and which requests may be sent twice.

pub use http::HeaderName;
use http::{HeaderMap, Method, StatusCode};
use seaworthy_core::Hint;
use seaworthy_kit::replay::{Attempt, was_refused};
use seaworthy_kit::{BoxError, clock};

use crate::field::{all_digits, saturating_number, single, trim};
use crate::grpc::{self, GrpcStatus};
use crate::retry_after::{self, Pushback};

/// Makes a request with any method one that may be sent twice: the server knows the second from the first.
pub static IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// Tells a gRPC server how many attempts went before this one, [gRFC A6].
///
/// [gRFC A6]: https://github.com/grpc/proposal/blob/master/A6-client-retries.md
pub static GRPC_PREVIOUS_RPC_ATTEMPTS: HeaderName =
    HeaderName::from_static("grpc-previous-rpc-attempts");

/// Whether a request may be sent more than once: its method is idempotent, or it carries an `Idempotency-Key`.
///
/// gRPC calls are POST requests, and so are not.
#[must_use]
pub fn is_repeatable(method: &Method, headers: &HeaderMap) -> bool {
    //= https://www.rfc-editor.org/rfc/rfc9110#section-9.2.2
    //# Of the request methods defined by this specification, PUT, DELETE, and
    //# safe request methods are idempotent.
    method.is_idempotent() || headers.contains_key(&IDEMPOTENCY_KEY)
}

/// Whether an answer says "not now" rather than "no".
///
/// HTTP: 408, 425, 429, 502, 503 and 504.
/// Not 500: it is mostly a bug, and the same request meets it again.
///
/// gRPC: UNAVAILABLE, and RESOURCE_EXHAUSTED where the server says when to come back; without that it may be a quota for good.
/// A status in the trailers comes too late: as in gRFC A6, a call whose response has begun is not made again.
#[must_use]
pub fn is_transient(status: StatusCode, headers: &HeaderMap) -> bool {
    if status == StatusCode::OK && grpc::is_grpc(headers) {
        return match grpc::status(headers) {
            Some(GrpcStatus::Unavailable) => true,
            Some(GrpcStatus::ResourceExhausted) => grpc_hint(headers) != Hint::None,
            _ => false,
        };
    }
    matches!(
        status,
        StatusCode::REQUEST_TIMEOUT
            | StatusCode::TOO_EARLY
            | StatusCode::TOO_MANY_REQUESTS
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT
    )
}

/// Whether an answer is a failure, transient or not.
///
/// HTTP: 5xx and what [is transient](is_transient). gRPC: any status but OK; a call whose status is yet to come has not failed.
#[must_use]
pub fn is_failure(status: StatusCode, headers: &HeaderMap) -> bool {
    if status == StatusCode::OK && grpc::is_grpc(headers) {
        return grpc::status(headers).is_some_and(|status| status != GrpcStatus::Ok);
    }
    status.is_server_error() || is_transient(status, headers)
}

/// Whether an answer may come of another attempt of the same call, which the server is at work on or has done.
///
/// 409, as to a request whose `Idempotency-Key` is that of one in progress; 412, as to one whose `If-Match` was true until its twin came in.
#[must_use]
pub fn is_echo(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::CONFLICT | StatusCode::PRECONDITION_FAILED
    )
}

/// Whether an error proves that the server has not seen the request.
///
/// That is a refused connection; with the feature `h2` an HTTP/2 stream that the server refused, or did not get to before it closed the connection; and with `hyper`, which `h2` and `reqwest` include, a request that hyper had not begun to send when the connection closed, as when a server drains.
#[must_use]
pub fn was_never_sent(error: &BoxError) -> bool {
    was_refused(&**error) || was_left_alone(&**error) || was_held_back(&**error)
}

/// hyper calls canceled what it gives back, or drops, unsent: hyper-util's client and tonic's channel hand such errors on.
/// It says the same of an upgrade that never came, of an answered request: who awaits one does so outside of the call.
#[cfg(feature = "hyper")]
fn was_held_back(error: &(dyn std::error::Error + 'static)) -> bool {
    seaworthy_kit::replay::has_cause(error, |error| {
        let error = error.downcast_ref::<::hyper::Error>();
        error.is_some_and(::hyper::Error::is_canceled)
    })
}

#[cfg(not(feature = "hyper"))]
const fn was_held_back(_: &(dyn std::error::Error + 'static)) -> bool {
    false
}

#[cfg(feature = "h2")]
fn was_left_alone(error: &(dyn std::error::Error + 'static)) -> bool {
    seaworthy_kit::replay::has_cause(error, |error| {
        let Some(error) = error.downcast_ref::<h2::Error>() else {
            return false;
        };
        //= https://www.rfc-editor.org/rfc/rfc9113#section-8.7
        //# Requests that have not been processed have not failed; clients MAY
        //# automatically retry them, even those with non-idempotent methods.
        let refused = error.is_reset() && error.reason() == Some(h2::Reason::REFUSED_STREAM);
        // h2 ends with the server's GOAWAY those streams only that the server says it will not look at.
        // With another reason something is wrong, and coming back at once makes it no better.
        let left = error.is_go_away() && error.reason() == Some(h2::Reason::NO_ERROR);
        error.is_remote() && (refused || left)
    })
}

#[cfg(not(feature = "h2"))]
const fn was_left_alone(_: &(dyn std::error::Error + 'static)) -> bool {
    false
}

/// Which attempt of its sender's a request is, as it says of itself: in `grpc-previous-rpc-attempts` if it is gRPC, or in that header.
///
/// A server that has more to do than it can refuses retries first, and takes many of them for a sign to do so.
/// It is a stranger's word: `None` where it is missing or makes no sense.
#[must_use]
pub fn attempt(headers: &HeaderMap, header: Option<&HeaderName>) -> Option<Attempt> {
    let number = |name| {
        let value = trim(single(headers, name)?);
        all_digits(value).then(|| u32::try_from(saturating_number(value)).unwrap_or(u32::MAX))
    };
    let previous = if grpc::is_grpc(headers) {
        number(&GRPC_PREVIOUS_RPC_ATTEMPTS)
    } else {
        None
    };
    match previous {
        Some(previous) => Some(Attempt::new(previous.saturating_add(1))),
        None => number(header?)
            .filter(|&number| number > 0)
            .map(Attempt::new),
    }
}

/// What an answer says about when to ask again: gRPC's pushback or `RetryInfo`, `Retry-After`, and the marks of proxies that forbid it.
#[must_use]
pub fn hint(headers: &HeaderMap) -> Hint {
    if retry_after::forbids_retry(headers) {
        return Hint::Never;
    }
    if grpc::is_grpc(headers) {
        return grpc_hint(headers);
    }
    match retry_after::read(headers, clock::wall) {
        Some(wait) => Hint::After(wait),
        None => Hint::None,
    }
}

fn grpc_hint(headers: &HeaderMap) -> Hint {
    match retry_after::pushback(headers) {
        Some(Pushback::After(wait)) => Hint::After(wait),
        Some(Pushback::Stop) => Hint::Never,
        None => grpc::retry_delay(headers).map_or(Hint::None, Hint::After),
    }
}

/// A response that was given up before its next attempt could be made, in words.
pub(crate) fn describe(status: StatusCode, headers: &HeaderMap) -> String {
    match grpc::status(headers) {
        Some(status) if grpc::is_grpc(headers) => format!("gRPC status {status}"),
        _ => format!("HTTP status {status}"),
    }
}

#[cfg(test)]
mod tests;
