//! `grpc-status-details-bin`: a `google.rpc.Status` that carries one `RetryInfo`, written and read
//! by hand, because two messages of two fields do not justify a protobuf library.
//!
//! ```text
//! google.rpc.Status        { 1: int32 code, 2: string message, 3: repeated Any details }
//! google.protobuf.Any      { 1: string type_url, 2: bytes value }
//! google.rpc.RetryInfo     { 1: Duration retry_delay }
//! google.protobuf.Duration { 1: int64 seconds, 2: int32 nanos }
//! ```

use std::time::Duration;

use http::header::{HeaderMap, HeaderValue};

use super::{GRPC_STATUS_DETAILS_BIN, GrpcStatus, base64};
use crate::field::{single, trim};

/// The type of the one detail that we write.
const RETRY_INFO: &[u8] = b"type.googleapis.com/google.rpc.RetryInfo";

/// The longest that `google.protobuf.Duration` may say, some 10,000 years.
const MAX_SECONDS: u64 = 315_576_000_000;

/// The longest header that is decoded.
///
/// A server that sends stack traces as details gets near; nobody else does.
const MAX_ENCODED: usize = 16 * 1024;

/// How long a server asks its client to wait, from the `RetryInfo` among the details of its status.
///
/// Google's APIs and this crate's own refusals say it here, while gRPC's retry design reads
/// [`pushback`](crate::retry_after::pushback), which wins where both are present.
#[must_use]
pub fn retry_delay(headers: &HeaderMap) -> Option<Duration> {
    parse_retry_delay(single(headers, &GRPC_STATUS_DETAILS_BIN)?)
}

/// Parses one `grpc-status-details-bin` value, padded or not; `None` where it holds no well-formed
/// `RetryInfo` with a delay.
///
/// A negative delay is one of zero.
#[must_use]
pub fn parse_retry_delay(value: &[u8]) -> Option<Duration> {
    let value = trim(value);
    if value.len() > MAX_ENCODED {
        return None;
    }
    let status = base64::decode(value)?;
    let retry_info = fields(&status).find_map(|field| {
        let (3, Wire::Bytes(any)) = field else {
            return None;
        };
        // The name of the type is what follows the last slash; any host may serve it.
        let is_retry_info = last_bytes(any, 1)?.ends_with(b"/google.rpc.RetryInfo");
        is_retry_info.then(|| last_bytes(any, 2)).flatten()
    })?;
    let delay = last_bytes(retry_info, 1)?;
    let seconds = last_number(delay, 1).cast_signed();
    let nanos = last_number(delay, 2).cast_signed();
    let (Ok(seconds), Ok(nanos)) = (u64::try_from(seconds), u32::try_from(nanos)) else {
        return Some(Duration::ZERO);
    };
    (seconds <= MAX_SECONDS && nanos < 1_000_000_000).then(|| Duration::new(seconds, nanos))
}

/// Writes the header: `code` and `message` once more, as the format asks, and the delay.
pub(super) fn encode(status: GrpcStatus, message: &str, retry_delay: Duration) -> HeaderValue {
    let seconds = retry_delay.as_secs();
    let retry_delay = if seconds < MAX_SECONDS {
        retry_delay
    } else {
        Duration::from_secs(MAX_SECONDS)
    };

    let mut duration = Vec::new();
    put_number(&mut duration, 1, retry_delay.as_secs());
    put_number(&mut duration, 2, retry_delay.subsec_nanos().into());
    let mut retry_info = Vec::new();
    put_bytes(&mut retry_info, 1, &duration);
    let mut any = Vec::new();
    put_bytes(&mut any, 1, RETRY_INFO);
    put_bytes(&mut any, 2, &retry_info);
    let mut details = Vec::new();
    put_number(&mut details, 1, status.code().into());
    if !message.is_empty() {
        put_bytes(&mut details, 2, message.as_bytes());
    }
    put_bytes(&mut details, 3, &any);

    HeaderValue::try_from(base64::encode(&details)).expect("base64 is a header value")
}

/// One field of a message, as it is on the wire.
enum Wire<'a> {
    Number(u64),
    Bytes(&'a [u8]),
    /// Of a fixed width, which no field that we know has.
    Skipped,
}

/// The fields of a message; ends at the first byte that makes no sense.
fn fields(mut message: &[u8]) -> impl Iterator<Item = (u64, Wire<'_>)> {
    std::iter::from_fn(move || {
        let tag = take_number(&mut message)?;
        let value = match tag & 7 {
            0 => Wire::Number(take_number(&mut message)?),
            1 => take(&mut message, 8).map(|_| Wire::Skipped)?,
            2 => {
                let length = usize::try_from(take_number(&mut message)?).ok()?;
                Wire::Bytes(take(&mut message, length)?)
            }
            5 => take(&mut message, 4).map(|_| Wire::Skipped)?,
            _ => return None,
        };
        Some((tag >> 3, value))
    })
}

/// The last field of this number wins, as protobuf has it.
fn last_bytes(message: &[u8], number: u64) -> Option<&[u8]> {
    fields(message)
        .filter_map(|field| match field {
            (of, Wire::Bytes(bytes)) if of == number => Some(bytes),
            _ => None,
        })
        .last()
}

/// A number that is absent is zero, as protobuf has it.
fn last_number(message: &[u8], number: u64) -> u64 {
    let numbers = fields(message).filter_map(|field| match field {
        (of, Wire::Number(value)) if of == number => Some(value),
        _ => None,
    });
    numbers.last().unwrap_or(0)
}

fn take<'a>(message: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (taken, rest) = message.split_at_checked(length)?;
    *message = rest;
    Some(taken)
}

/// A varint: 7 bits per byte, least first, at most 10 bytes.
fn take_number(message: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = message.split_first()?;
        *message = rest;
        // The tenth byte has room for one bit; what is beyond falls off, as it does in protobuf.
        number |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(number);
        }
    }
    None
}

/// Zero is what an absent number means, and is not written.
fn put_number(message: &mut Vec<u8>, field: u8, number: u64) {
    if number > 0 {
        message.push(field << 3);
        put_varint(message, number);
    }
}

fn put_bytes(message: &mut Vec<u8>, field: u8, bytes: &[u8]) {
    message.push(field << 3 | 2);
    put_varint(message, bytes.len() as u64);
    message.extend_from_slice(bytes);
}

fn put_varint(message: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        message.push(number as u8 | 0x80);
        number >>= 7;
    }
    message.push(number as u8);
}
