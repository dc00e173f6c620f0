//! gRPC as it looks from HTTP: what marks a call as gRPC, how it ended, and the response that
//! refuses one.
//!
//! Enough of [the protocol] to count and to refuse calls without a gRPC library in the tree.
//! gRPC-Web is not gRPC here: its status travels inside the body, in a framing of its own, and its
//! clients are browsers that take an HTTP refusal as it is.
//!
//! [the protocol]: https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md

use http::header::{CONTENT_TYPE, HeaderMap, HeaderName};

use crate::field::{single, trim};

mod base64;

mod status;
pub use status::GrpcStatus;

mod message;
pub use message::{decode_message, encode_message};

mod details;
pub use details::{parse_retry_delay, retry_delay};

mod trailers_only;
pub use trailers_only::TrailersOnly;

/// How the call ended, a number.
pub static GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");

/// Why, for a person, percent-encoded.
pub static GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");

/// A `google.rpc.Status` with details, base64.
pub static GRPC_STATUS_DETAILS_BIN: HeaderName = HeaderName::from_static("grpc-status-details-bin");

/// The media type of gRPC; `+proto` and the like may follow.
const APPLICATION_GRPC: &[u8] = b"application/grpc";

/// Whether a request or a response is gRPC, by its `content-type`.
#[must_use]
pub fn is_grpc(headers: &HeaderMap) -> bool {
    single(headers, &CONTENT_TYPE).is_some_and(is_grpc_content_type)
}

/// Whether a `content-type` is `application/grpc`, with or without a message format (`+proto`) and
/// parameters (`;charset=utf-8`).
///
/// `application/grpc-web` is not, see the [module](self).
#[must_use]
pub fn is_grpc_content_type(value: &[u8]) -> bool {
    let value = trim(value);
    let Some((media_type, rest)) = value.split_at_checked(APPLICATION_GRPC.len()) else {
        return false;
    };
    media_type.eq_ignore_ascii_case(APPLICATION_GRPC)
        && matches!(trim(rest), [] | [b'+' | b';', ..])
}

/// How a call ended, from `grpc-status` in the trailers, or in the headers of a trailers-only
/// response; `None` where it is absent.
///
/// Absent from the headers of a response, it is still to come, unless the HTTP status is not 200:
/// then there may never be one, and [`GrpcStatus::from_http`] says what the call's end counts as.
///
/// A value that cannot be read, and lines that contradict each other, are
/// [`Unknown`](GrpcStatus::Unknown).
#[must_use]
pub fn status(headers: &HeaderMap) -> Option<GrpcStatus> {
    let mut lines = headers
        .get_all(&GRPC_STATUS)
        .iter()
        .map(|line| parse_status(line.as_bytes()));
    let first = lines.next()?;
    Some(if lines.all(|line| line == first) {
        first
    } else {
        GrpcStatus::Unknown
    })
}

/// Parses one `grpc-status` value; a number out of range, or none, is
/// [`Unknown`](GrpcStatus::Unknown).
#[must_use]
pub fn parse_status(value: &[u8]) -> GrpcStatus {
    let code = match trim(value) {
        [ones @ b'0'..=b'9'] => ones - b'0',
        [b'1', ones @ b'0'..=b'9'] => 10 + (ones - b'0'),
        _ => return GrpcStatus::Unknown,
    };
    GrpcStatus::from_code(code.into())
}

#[cfg(test)]
mod tests;
