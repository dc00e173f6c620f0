//! What a response says about asking again: `Retry-After` in both of its forms, gRPC's pushback,
//! and the marks by which a server or proxy forbids a retry.
//!
//! Everything here reads bytes of a stranger.
//! Nothing panics, nothing allocates, and no answer is clamped: whoever waits has a longest wait of
//! their own.

use std::time::{Duration, SystemTime};

use http::header::{DATE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};

use crate::field::{all_digits, saturating_number, single, trim};

/// gRPC's server pushback, in milliseconds.
pub static GRPC_RETRY_PUSHBACK_MS: HeaderName = HeaderName::from_static("grpc-retry-pushback-ms");

/// Set by Envoy on a response that a rate limit of its own made.
pub static X_ENVOY_RATELIMITED: HeaderName = HeaderName::from_static("x-envoy-ratelimited");

/// Set by Envoy on a response that it made because a circuit or a maintenance switch was open.
pub static X_ENVOY_OVERLOADED: HeaderName = HeaderName::from_static("x-envoy-overloaded");

/// What a gRPC server says about retrying, [gRFC A6].
///
/// [gRFC A6]: https://github.com/grpc/proposal/blob/master/A6-client-retries.md
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(
    clippy::exhaustive_enums,
    reason = "gRFC A6 knows these two answers and no third"
)]
pub enum Pushback {
    /// Retry after this long, in place of the client's own backoff.
    After(Duration),
    /// Do not retry: the value was negative, or it could not be read.
    Stop,
}

/// Reads how long a response asks its client to wait, from `Retry-After`.
///
/// The date form is taken relative to the `Date` of the same response, which makes it immune to a
/// clock that differs from the server's; `now` is asked only where that header is missing or
/// unreadable.
/// A date in the past is a wait of zero.
///
/// More than one `Retry-After` line is ignored, like any other malformed value: the field has one
/// value by definition, and picking one of two would be a guess.
#[must_use]
pub fn read(headers: &HeaderMap, now: impl FnOnce() -> SystemTime) -> Option<Duration> {
    parse(single(headers, &RETRY_AFTER)?, || {
        single(headers, &DATE)
            .and_then(parse_date)
            .unwrap_or_else(now)
    })
}

/// Parses one `Retry-After` value; `base` is the moment that the date form counts from.
///
/// `None` for anything but `1*DIGIT` or one of the three HTTP date formats.
/// Seconds beyond what a [`Duration`] holds saturate.
#[must_use]
pub fn parse(value: &[u8], base: impl FnOnce() -> SystemTime) -> Option<Duration> {
    //= https://www.rfc-editor.org/rfc/rfc9110#section-10.2.3
    //# Retry-After = HTTP-date / delay-seconds
    let value = trim(value);
    if all_digits(value) {
        return Some(Duration::from_secs(saturating_number(value)));
    }
    let date = parse_date(value)?;
    Some(date.duration_since(base()).unwrap_or(Duration::ZERO))
}

/// Writes a wait as seconds, rounded up and at least 1.
///
/// Rounded down, it would invite clients back before there is anything to have, and a zero would
/// invite them back at once.
#[must_use]
pub fn encode(wait: Duration) -> HeaderValue {
    let partial = u64::from(wait.subsec_nanos() > 0);
    HeaderValue::from(wait.as_secs().saturating_add(partial).max(1))
}

/// Reads `grpc-retry-pushback-ms` from the trailers, or from the headers of a trailers-only
/// response.
///
/// `None` where the header is absent.
/// Several lines cannot be read as one number, so they say stop.
#[must_use]
pub fn pushback(headers: &HeaderMap) -> Option<Pushback> {
    if !headers.contains_key(&GRPC_RETRY_PUSHBACK_MS) {
        return None;
    }
    Some(single(headers, &GRPC_RETRY_PUSHBACK_MS).map_or(Pushback::Stop, parse_pushback))
}

/// Parses one `grpc-retry-pushback-ms` value.
///
/// The value is a signed 32-bit number of milliseconds in ASCII; one beyond that range cannot be
/// read, which gRFC A6 takes, as it takes a negative one, for a server that asks not to be retried.
#[must_use]
pub fn parse_pushback(value: &[u8]) -> Pushback {
    let value = trim(value);
    let millis = if all_digits(value) {
        saturating_number(value)
    } else {
        u64::MAX
    };
    if millis > u64::from(i32::MAX.unsigned_abs()) {
        return Pushback::Stop;
    }
    Pushback::After(Duration::from_millis(millis))
}

/// Writes a pushback: milliseconds rounded up, the longest the format can say if it is longer, and
/// `-1` for stop.
#[must_use]
pub fn encode_pushback(pushback: Pushback) -> HeaderValue {
    match pushback {
        Pushback::After(wait) => {
            let millis = wait.as_nanos().div_ceil(1_000_000);
            HeaderValue::from(i32::try_from(millis).unwrap_or(i32::MAX))
        }
        Pushback::Stop => HeaderValue::from_static("-1"),
    }
}

/// Whether a response forbids a retry in so many words: Envoy's `x-envoy-ratelimited` and
/// `x-envoy-overloaded`, or a pushback that says stop.
///
/// Envoy's own retry policy leaves both marks alone, too: they are refusals of a proxy on the way,
/// and a retry would only meet the same limit again.
/// An explicit `false` counts as absent.
#[must_use]
pub fn forbids_retry(headers: &HeaderMap) -> bool {
    let marked = |name: &HeaderName| headers.get(name).is_some_and(|value| value != "false");
    marked(&X_ENVOY_RATELIMITED)
        || marked(&X_ENVOY_OVERLOADED)
        || pushback(headers) == Some(Pushback::Stop)
}

/// Any of the three formats of RFC 9110, section 5.6.7.
fn parse_date(value: &[u8]) -> Option<SystemTime> {
    httpdate::parse_http_date(std::str::from_utf8(value).ok()?).ok()
}

#[cfg(test)]
mod tests;
