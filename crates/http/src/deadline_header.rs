//! The deadline that travels in headers: how long the caller is still going to wait, read from the
//! first header of a list that says so and written into one.
//!
//! Durations travel, never points in time, so that clocks need not agree.
//! No HTTP standard names such a header; the default list is gRPC's, Envoy's and a plain one.

use std::sync::Arc;
use std::time::Duration;

use http::header::{Entry, HeaderMap, HeaderName, HeaderValue};

use crate::field::{all_digits, saturating_number, single};
use crate::grpc;
use crate::grpc_timeout::{self, GRPC_TIMEOUT};

/// Envoy tells its upstream in this header how long it waits, in milliseconds.
pub static X_ENVOY_EXPECTED_RQ_TIMEOUT_MS: HeaderName =
    HeaderName::from_static("x-envoy-expected-rq-timeout-ms");

/// What is left of the deadline, in milliseconds; the header that is written by default.
pub static X_REQUEST_TIMEOUT_MS: HeaderName = HeaderName::from_static("x-request-timeout-ms");

/// As many digits as the largest `u64` has; a longer number is garbage.
const MAX_DIGITS: usize = 20;

/// Which headers carry a deadline in, and which one carries it out.
///
/// A clone shares the list.
///
/// A stranger can write these headers too.
/// That is safe as long as the reader only ever tightens a limit of its own: then a caller can hurt
/// nobody but itself.
///
/// ```
/// # use std::time::Duration;
/// # use http::HeaderMap;
/// use seaworthy_http::deadline_header::DeadlineHeaders;
///
/// let deadline = DeadlineHeaders::default();
/// let mut headers = HeaderMap::new();
/// headers.insert("x-envoy-expected-rq-timeout-ms", "1500".parse().unwrap());
/// assert_eq!(deadline.read(&headers), Some(Duration::from_millis(1500)));
///
/// assert!(deadline.write(&mut headers, Duration::from_millis(1200)));
/// assert_eq!(headers["x-request-timeout-ms"], "1200");
/// assert_eq!(headers.len(), 1, "the older promise is gone");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadlineHeaders {
    names: Arc<[HeaderName]>,
    written: HeaderName,
}

// ===== impl DeadlineHeaders =====

impl DeadlineHeaders {
    /// Reads `names` in this order, and writes `x-request-timeout-ms`.
    ///
    /// `grpc-timeout` is read by its own grammar, every other header as whole milliseconds.
    #[must_use]
    pub fn new(names: impl IntoIterator<Item = HeaderName>) -> Self {
        Self {
            names: names.into_iter().collect(),
            written: X_REQUEST_TIMEOUT_MS.clone(),
        }
    }

    /// Writes this header, in milliseconds, into requests that are not gRPC.
    #[must_use]
    pub fn written(mut self, name: HeaderName) -> Self {
        self.written = name;
        self
    }

    /// How long the caller is still going to wait, by the first header of the list that says so in
    /// one well-formed line.
    ///
    /// Garbage counts as absent: it is no reason to refuse a call that would work.
    #[must_use]
    pub fn read(&self, headers: &HeaderMap) -> Option<Duration> {
        self.names.iter().find_map(|name| {
            let value = single(headers, name)?;
            if *name == GRPC_TIMEOUT {
                grpc_timeout::parse(value)
            } else {
                parse_millis(value)
            }
        })
    }

    /// Writes what is left into an outgoing request: as `grpc-timeout` if it is gRPC, else as
    /// milliseconds, rounded down; `false`, and nothing changed, if too little is left to be said.
    ///
    /// A call for which this is `false` should fail here rather than be sent.
    ///
    /// Every other header of the list is taken out.
    /// A copy of what an earlier hop promised would contradict the value written now, and the
    /// callee might believe the copy.
    #[must_use = "a call without time left should fail here rather than be sent"]
    pub fn write(&self, headers: &mut HeaderMap, left: Duration) -> bool {
        let (written, value) = if grpc::is_grpc(headers) {
            (&GRPC_TIMEOUT, grpc_timeout::encode(left))
        } else {
            (&self.written, encode_millis(left))
        };
        let Some(value) = value else { return false };
        for name in self.names.iter().chain([&self.written]) {
            if name != written
                && let Entry::Occupied(stale) = headers.entry(name)
            {
                stale.remove_entry_mult();
            }
        }
        headers.insert(written, value);
        true
    }
}

impl Default for DeadlineHeaders {
    /// Reads `grpc-timeout`, `x-envoy-expected-rq-timeout-ms` and `x-request-timeout-ms`, in this
    /// order: gRPC's is the caller's own word, Envoy's that of a proxy between.
    fn default() -> Self {
        Self::new([
            GRPC_TIMEOUT.clone(),
            X_ENVOY_EXPECTED_RQ_TIMEOUT_MS.clone(),
            X_REQUEST_TIMEOUT_MS.clone(),
        ])
    }
}

/// Parses whole milliseconds: 1 to 20 digits, no sign, no space; more than a `u64` saturates.
///
/// `0` is no deadline: for Envoy it means that there is none.
#[must_use]
pub fn parse_millis(value: &[u8]) -> Option<Duration> {
    if !all_digits(value) || value.len() > MAX_DIGITS {
        return None;
    }
    let millis = saturating_number(value);
    (millis > 0).then(|| Duration::from_millis(millis))
}

/// Writes whole milliseconds, rounded down so that the callee never believes it has longer than
/// its caller; `None` if less than one is left.
#[must_use]
pub fn encode_millis(left: Duration) -> Option<HeaderValue> {
    let millis = u64::try_from(left.as_millis()).unwrap_or(u64::MAX);
    (millis > 0).then(|| HeaderValue::from(millis))
}

#[cfg(test)]
mod tests;
