//! Headers and trailers that a stranger wrote: nothing panics, and what was read can be written and read again.

use std::time::{Duration, SystemTime};

use http::header::{CONTENT_TYPE, DATE, HeaderName, RETRY_AFTER};
use http::{HeaderMap, HeaderValue};
use seaworthy_core::Outcome;
use seaworthy_http::deadline_header::{DeadlineHeaders, encode_millis, parse_millis};
use seaworthy_http::grpc::{self, GrpcStatus, TrailersOnly};
use seaworthy_http::retry_after::{self, GRPC_RETRY_PUSHBACK_MS, Pushback};
use seaworthy_http::{DefaultClassifier, grpc_timeout as timeout};
use seaworthy_kit::Classify;

/// `Retry-After`, with and without a `Date`, and gRPC's pushback.
pub(super) fn retry_after(input: &[u8]) {
    let base = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    if let Some(wait) = retry_after::parse(input, || base) {
        let written = retry_after::encode(wait);
        let again =
            retry_after::parse(written.as_bytes(), || unreachable!("seconds need no clock"));
        assert_eq!(again, Some(wait.max(Duration::from_secs(1))));
    }

    if let Some(seconds) = number(input.trim_ascii()) {
        let seconds = u64::try_from(seconds).unwrap_or(u64::MAX);
        let read = retry_after::parse(input, || base);
        let is_trimmed = input.trim_ascii().len() == input.len();
        assert!(!is_trimmed || read == Some(Duration::from_secs(seconds)));
    }

    let pushback = retry_after::parse_pushback(input);
    let written = retry_after::encode_pushback(pushback);
    assert_eq!(retry_after::parse_pushback(written.as_bytes()), pushback);

    let mut headers = HeaderMap::new();
    for (name, line) in [&RETRY_AFTER, &DATE, &GRPC_RETRY_PUSHBACK_MS]
        .into_iter()
        .zip(lines(input))
    {
        headers.append(name, line);
    }
    let read = retry_after::read(&headers, || base);
    assert!(read.is_none() || headers.contains_key(RETRY_AFTER));
    let stop = retry_after::pushback(&headers) == Some(Pushback::Stop);
    assert_eq!(retry_after::forbids_retry(&headers), stop);
}

/// `grpc-timeout`.
pub(super) fn grpc_timeout(input: &[u8]) {
    let mut nanos = [0; 8];
    let known = input.len().min(8);
    nanos[..known].copy_from_slice(&input[..known]);
    let any = Duration::from_nanos(u64::from_le_bytes(nanos));
    assert_eq!(timeout::parse(input), timeout_by_the_grammar(input));
    for left in [timeout::parse(input), Some(any)].into_iter().flatten() {
        let Some(written) = timeout::encode(left) else {
            assert!(left.is_zero());
            continue;
        };
        assert!(written.len() <= 9, "{written:?}");
        let again = timeout::parse(written.as_bytes()).expect("it was written by ourselves");
        assert!(
            again <= left,
            "a callee must not believe that it has longer"
        );
        // What does not fit a unit has six digits in the next: less than a part in 100,000 is lost.
        assert!(left - again <= left / 100_000);
        assert_eq!(timeout::encode(again), Some(written));
    }
}

/// The grammar of the specification, once more and naively.
fn timeout_by_the_grammar(input: &[u8]) -> Option<Duration> {
    let (unit, digits) = input.split_last()?;
    if digits.len() > 8 {
        return None;
    }
    let seconds_of_a_million = match unit {
        b'H' => 3_600_000_000,
        b'M' => 60_000_000,
        b'S' => 1_000_000,
        b'm' => 1_000,
        b'u' => 1,
        b'n' => {
            let nanos = number(digits)?.try_into().ok()?;
            return (nanos > 0).then(|| Duration::from_nanos(nanos));
        }
        _ => return None,
    };
    let micros: u64 = (number(digits)? * seconds_of_a_million).try_into().ok()?;
    (micros > 0).then(|| Duration::from_micros(micros))
}

/// What digits spell; anything else is no number.
fn number(digits: &[u8]) -> Option<u128> {
    let is_number = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    let text = str::from_utf8(digits).ok().filter(|_| is_number)?;
    Some(text.parse().unwrap_or(u128::MAX))
}

/// The list of deadline headers: one target for its order, its grammar and what a rewrite leaves.
pub(super) fn deadline_headers(input: &[u8]) {
    let names = DeadlineHeaders::default();
    let mut headers = HeaderMap::new();
    for (at, line) in lines(input).enumerate() {
        let name = [
            "grpc-timeout",
            "x-envoy-expected-rq-timeout-ms",
            "x-request-timeout-ms",
            "content-type",
        ][at % 4];
        headers.append(HeaderName::from_static(name), line);
    }
    let read = names.read(&headers);
    assert_ne!(read, Some(Duration::ZERO));
    let millis = input.first().copied().map_or(0, u64::from);
    let left = read.unwrap_or_else(|| Duration::from_millis(millis));
    let before = headers.clone();
    if names.write(&mut headers, left) {
        let again = names.read(&headers).expect("it was written by ourselves");
        assert!(again <= left && !again.is_zero());
        let kept = headers.keys().filter(|name| **name != CONTENT_TYPE).count();
        assert_eq!(kept, 1, "no older promise stands beside the new one");
    } else {
        assert_eq!(headers, before);
    }
    let expected = number(input).filter(|millis| *millis > 0 && input.len() <= 20);
    let expected = expected.map(|millis| u64::try_from(millis).unwrap_or(u64::MAX));
    assert_eq!(parse_millis(input), expected.map(Duration::from_millis));
    if let Some(left) = parse_millis(input) {
        assert_eq!(
            encode_millis(left).and_then(|text| parse_millis(text.as_bytes())),
            Some(left)
        );
    }
}

/// The end of a gRPC call: status, message, details, and what they add up to.
pub(super) fn grpc_end(input: &[u8]) {
    let mut trailers = HeaderMap::new();
    for (at, line) in lines(input).enumerate() {
        let name = [
            "grpc-status",
            "grpc-message",
            "grpc-status-details-bin",
            "grpc-retry-pushback-ms",
        ][at % 4];
        trailers.append(HeaderName::from_static(name), line);
    }
    let verdict = DefaultClassifier::new().classify_end(Some(&trailers));
    assert!(!verdict.is_later(), "the end is the end");
    let failed = verdict.outcome() == Some(Outcome::Failure);
    assert!(failed || verdict.retry_after().is_none());
    assert_eq!(
        grpc::status(&trailers).is_none(),
        !trailers.contains_key("grpc-status")
    );

    let code = number(input).filter(|code| *code <= 16 && input.len() <= 2);
    let code = code.filter(|_| input.len() == 1 || !input.starts_with(b"0"));
    if input.trim_ascii().len() == input.len() {
        let expected = code.map_or(GrpcStatus::Unknown, |code| {
            GrpcStatus::from_code(code.try_into().expect("at most 16"))
        });
        assert_eq!(grpc::parse_status(input), expected);
    }

    let message = grpc::decode_message(input);
    let written = grpc::encode_message(&message);
    assert_eq!(grpc::decode_message(written.as_bytes()), message);

    if let Some(delay) = grpc::parse_retry_delay(input) {
        let response = TrailersOnly::new(GrpcStatus::Unavailable)
            .message(message.into_owned())
            .retry_delay(delay)
            .into_response::<()>();
        assert_eq!(grpc::retry_delay(response.headers()), Some(delay));
    }
    let _ = grpc::is_grpc_content_type(input);
}

/// The lines of the input that may be the value of a header.
fn lines(input: &[u8]) -> impl Iterator<Item = HeaderValue> {
    input
        .split(|byte| *byte == b'\n')
        .filter_map(|line| HeaderValue::from_bytes(line).ok())
}
