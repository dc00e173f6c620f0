//! Content types, status, message and details: tables, known bytes, then arbitrary bytes.

use std::time::Duration;

use http::header::HeaderValue;
use http::{Response, StatusCode};
use proptest::prelude::*;

use super::*;
use crate::retry_after::Pushback;

const RETRY_INFO_URL: &str = "type.googleapis.com/google.rpc.RetryInfo";

#[test]
fn grpc_is_told_by_its_content_type() {
    let check = |value: &str, expected| {
        assert_eq!(
            is_grpc_content_type(value.as_bytes()),
            expected,
            "{value:?}"
        );
    };
    check("application/grpc", true);
    check("application/grpc+proto", true);
    check("application/grpc+json", true);
    check("application/grpc;charset=utf-8", true);
    check("application/grpc ; charset=utf-8", true);
    check("application/grpc+proto; x=y", true);
    check("Application/gRPC", true);
    check(" application/grpc ", true);
    check("application/grpc-web", false);
    check("application/grpc-web+proto", false);
    check("application/grpc-web-text", false);
    check("application/grpcx", false);
    check("application/grp", false);
    check("application/json", false);
    check("text/application/grpc", false);
    check("", false);
}

#[test]
fn two_content_types_are_not_grpc() {
    let mut headers = HeaderMap::new();
    assert!(!is_grpc(&headers));
    headers.append(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    assert!(is_grpc(&headers));
    headers.append(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    assert!(!is_grpc(&headers));
}

#[test]
fn every_code_survives_the_way_there_and_back() {
    for code in 0..=16_u8 {
        let status = GrpcStatus::from_code(code.into());
        assert_eq!(status.code(), code);
        assert_eq!(parse_status(code.to_string().as_bytes()), status);
        let response: Response<()> = TrailersOnly::new(status).into_response();
        assert_eq!(super::status(response.headers()), Some(status));
    }
}

#[test]
fn status_that_cannot_be_read_is_unknown() {
    for value in [
        "",
        "17",
        "99",
        "100",
        "-1",
        "+1",
        "1x",
        "OK",
        "4294967296",
        "0x1",
        "1 1",
        "00",
    ] {
        assert_eq!(
            parse_status(value.as_bytes()),
            GrpcStatus::Unknown,
            "{value:?}"
        );
    }
    assert_eq!(GrpcStatus::from_code(17), GrpcStatus::Unknown);
    assert_eq!(GrpcStatus::from_code(u32::MAX), GrpcStatus::Unknown);
}

#[test]
fn status_lines_that_contradict_each_other_are_unknown() {
    let mut headers = HeaderMap::new();
    assert_eq!(status(&headers), None);
    headers.append(&GRPC_STATUS, HeaderValue::from_static("0"));
    headers.append(&GRPC_STATUS, HeaderValue::from_static("0"));
    assert_eq!(status(&headers), Some(GrpcStatus::Ok));
    headers.append(&GRPC_STATUS, HeaderValue::from_static("14"));
    assert_eq!(status(&headers), Some(GrpcStatus::Unknown));
}

#[test]
fn names_are_those_of_the_specification() {
    assert_eq!(GrpcStatus::Ok.to_string(), "OK");
    assert_eq!(
        GrpcStatus::DeadlineExceeded.to_string(),
        "DEADLINE_EXCEEDED"
    );
    let mut names: Vec<_> = (0..=16)
        .map(|code| GrpcStatus::from_code(code).name())
        .collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), 17);
}

#[test]
fn http_status_maps_as_grpc_says() {
    let check = |http: u16, expected| {
        let status = StatusCode::from_u16(http).unwrap();
        assert_eq!(GrpcStatus::from_http(status), expected, "{http}");
    };
    check(400, GrpcStatus::Internal);
    check(401, GrpcStatus::Unauthenticated);
    check(403, GrpcStatus::PermissionDenied);
    check(404, GrpcStatus::Unimplemented);
    for unavailable in [429, 502, 503, 504] {
        check(unavailable, GrpcStatus::Unavailable);
    }
    for unknown in [200, 204, 301, 405, 408, 418, 499, 500, 501, 505, 999] {
        check(unknown, GrpcStatus::Unknown);
    }
}

#[test]
fn message_is_percent_encoded() {
    let check = |message: &str, encoded: &str| {
        assert_eq!(encode_message(message), encoded);
        assert_eq!(decode_message(encoded.as_bytes()), message);
    };
    check("", "");
    check("plain ~text!", "plain ~text!");
    check("100%", "100%25");
    check("a\r\nb\t\u{7f}", "a%0D%0Ab%09%7F");
    check("zu spät", "zu sp%C3%A4t");
}

#[test]
fn message_that_is_encoded_badly_is_not_lost() {
    let check = |encoded: &[u8], expected: &str| {
        assert_eq!(decode_message(encoded), expected, "{encoded:?}");
    };
    check(b"%", "%");
    check(b"%4", "%4");
    check(b"%zz%41", "%zzA");
    check(b"%%41", "%A");
    check(b"%+1", "%+1");
    check(b"%e2%82%ac", "\u{20ac}");
    check(b"%ff", "\u{fffd}");
    check(b"\xff", "\u{fffd}");
}

#[test]
fn refusal_is_a_complete_response() {
    let response: Response<Vec<u8>> = TrailersOnly::new(GrpcStatus::Unavailable)
        .message("100 % full")
        .into_response();
    assert_eq!(response.status(), StatusCode::OK);
    assert!(response.body().is_empty());
    let headers = response.headers();
    assert_eq!(headers["content-type"], "application/grpc");
    assert_eq!(headers["grpc-status"], "14");
    assert_eq!(headers["grpc-message"], "100 %25 full");
    assert_eq!(
        headers.len(),
        3,
        "neither details nor pushback unless asked"
    );
}

#[test]
fn no_message_is_no_header() {
    let response: Response<()> = TrailersOnly::new(GrpcStatus::Unavailable)
        .retry_delay(Duration::from_secs(1))
        .into_response();
    let headers = response.headers();
    assert!(!headers.contains_key("grpc-message"));
    let details = base64::decode(headers["grpc-status-details-bin"].as_bytes()).unwrap();
    assert_eq!(
        details[..3],
        [0x08, 14, 0x1a],
        "code, then at once the details"
    );
}

#[test]
fn pushback_is_set_when_asked() {
    let response: Response<()> = TrailersOnly::new(GrpcStatus::Unavailable)
        .pushback(Pushback::Stop)
        .into_response();
    assert_eq!(response.headers()["grpc-retry-pushback-ms"], "-1");
}

/// prost makes the same bytes of the same message.
#[test]
fn details_are_these_bytes() {
    let response: Response<()> = TrailersOnly::new(GrpcStatus::ResourceExhausted)
        .message("full")
        .retry_delay(Duration::from_millis(300_500))
        .into_response();
    let header = &response.headers()["grpc-status-details-bin"];
    assert_eq!(
        header,
        "CAgSBGZ1bGwaNwoodHlwZS5nb29nbGVhcGlzLmNvbS9nb29nbGUucnBjLlJldHJ5SW5mbxILCgkIrAIQgMq17gE"
    );

    let status = [&[0x08, 8, 0x12, 4], &b"full"[..], &[0x1a, 55]].concat();
    let any = [&[0x0a, 40], RETRY_INFO_URL.as_bytes(), &[0x12, 11]].concat();
    let retry_info = [
        0x0a, 9, 0x08, 0xac, 0x02, 0x10, 0x80, 0xca, 0xb5, 0xee, 0x01,
    ];
    let bytes = [&status[..], &any, &retry_info].concat();
    assert_eq!(base64::decode(header.as_bytes()).unwrap(), bytes);
}

#[test]
fn retry_delay_is_found_among_other_details() {
    let any = |url: &str, value: &[u8]| {
        let mut any = vec![0x0a, url.len() as u8];
        any.extend(url.as_bytes());
        any.extend([0x12, value.len() as u8]);
        any.extend(value);
        any
    };
    let status = |details: &[Vec<u8>]| {
        // An unknown fixed32 and fixed64 field, then the details.
        let mut status = vec![0x08, 14, 0x7d, 1, 2, 3, 4, 0x79, 1, 2, 3, 4, 5, 6, 7, 8];
        for any in details {
            status.extend([0x1a, any.len() as u8]);
            status.extend(any);
        }
        parse_retry_delay(&base64::encode(&status))
    };
    let delay = [0x0a, 2, 0x08, 2];
    let two_seconds = any(RETRY_INFO_URL, &delay);
    assert_eq!(
        status(&[any("example.com/Other", b"x"), two_seconds]),
        Some(Duration::from_secs(2))
    );
    assert_eq!(status(&[any("example.com/Other", &delay)]), None);
    let elsewhere = any("example.com/google.rpc.RetryInfo", &delay);
    assert_eq!(
        status(&[elsewhere]),
        Some(Duration::from_secs(2)),
        "the host does not matter"
    );
    assert_eq!(status(&[any(RETRY_INFO_URL, &[])]), None, "no delay");
    assert_eq!(
        status(&[any(RETRY_INFO_URL, &[0x0a, 0])]),
        Some(Duration::ZERO)
    );
    assert_eq!(status(&[]), None);

    let minus_one = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
    let negative = [&[0x0a, 11, 0x08], &minus_one[..]].concat();
    assert_eq!(
        status(&[any(RETRY_INFO_URL, &negative)]),
        Some(Duration::ZERO)
    );
    // A second more than the format allows.
    let too_long = [0x0a, 7, 0x08, 0x81, 0xbc, 0xae, 0xce, 0x97, 0x09];
    assert_eq!(status(&[any(RETRY_INFO_URL, &too_long)]), None);
    let too_many_nanos = [0x0a, 6, 0x10, 0x80, 0x94, 0xeb, 0xdc, 0x03];
    assert_eq!(status(&[any(RETRY_INFO_URL, &too_many_nanos)]), None);
}

#[test]
fn details_are_read_with_and_without_padding() {
    let written = details::encode(GrpcStatus::Unavailable, "", Duration::from_secs(1));
    let unpadded = written.to_str().unwrap();
    assert!(!unpadded.ends_with('='));
    let padded = format!(
        "{unpadded}{}",
        "=".repeat(unpadded.len().wrapping_neg() % 4)
    );
    for value in [unpadded, &padded] {
        assert_eq!(
            parse_retry_delay(value.as_bytes()),
            Some(Duration::from_secs(1)),
            "{value}"
        );
    }
}

#[test]
fn details_of_a_megabyte_are_not_read() {
    let read = |message: usize| {
        let response: Response<()> = TrailersOnly::new(GrpcStatus::Unavailable)
            .message("x".repeat(message))
            .retry_delay(Duration::from_secs(1))
            .into_response();
        retry_delay(response.headers())
    };
    assert_eq!(read(12_000), Some(Duration::from_secs(1)));
    assert_eq!(read(1_000_000), None);
}

#[test]
fn base64_is_that_of_the_rfc() {
    // RFC 4648, section 10.
    for (bytes, padded) in [
        ("", ""),
        ("f", "Zg=="),
        ("fo", "Zm8="),
        ("foo", "Zm9v"),
        ("foob", "Zm9vYg=="),
        ("fooba", "Zm9vYmE="),
        ("foobar", "Zm9vYmFy"),
    ] {
        let unpadded = padded.trim_end_matches('=');
        assert_eq!(base64::encode(bytes.as_bytes()), unpadded.as_bytes());
        assert_eq!(
            base64::decode(unpadded.as_bytes()).unwrap(),
            bytes.as_bytes()
        );
        assert_eq!(base64::decode(padded.as_bytes()).unwrap(), bytes.as_bytes());
    }
    assert_eq!(base64::encode(&[0xfb, 0xff]), b"+/8");
    for garbage in [
        "Z", "Zm9vY", "Zg=", "Z===", "====", "Zm 9v", "Zm9-", "Zm9_", "Zg==Zg==",
    ] {
        assert_eq!(base64::decode(garbage.as_bytes()), None, "{garbage}");
    }
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(value: Vec<u8>) {
        let _ = is_grpc_content_type(&value);
        let _ = parse_status(&value);
        let _ = decode_message(&value);
        let _ = parse_retry_delay(&value);
        let _ = parse_retry_delay(&base64::encode(&value));
    }

    #[test]
    fn broken_details_never_panic(place: prop::sample::Index, byte: u8, cut: prop::sample::Index) {
        let header = details::encode(GrpcStatus::Unavailable, "no", Duration::new(300, 7));
        let mut bytes = base64::decode(header.as_bytes()).unwrap();
        let place = place.index(bytes.len());
        bytes[place] = byte;
        bytes.truncate(cut.index(bytes.len() + 1));
        let _ = parse_retry_delay(&base64::encode(&bytes));
    }

    #[test]
    fn status_is_its_code_and_nothing_else(code: u32, text in "[0-9+ -]{0,4}") {
        let status = parse_status(code.to_string().as_bytes());
        prop_assert_eq!(status, GrpcStatus::from_code(code));
        let status = parse_status(text.as_bytes());
        prop_assert_eq!(parse_status(status.code().to_string().as_bytes()), status);
    }

    #[test]
    fn message_is_written_in_visible_ascii(message: String) {
        let written = encode_message(&message);
        prop_assert!(written.as_bytes().iter().all(|byte| (b' '..=b'~').contains(byte)));
    }

    #[test]
    fn message_of_a_stranger_is_read_as_text_that_keeps(bytes: Vec<u8>) {
        let message = decode_message(&bytes).into_owned();
        let written = encode_message(&message);
        prop_assert_eq!(decode_message(written.as_bytes()), message);
    }

    #[test]
    fn message_survives_the_way_there_and_back(message: String) {
        let encoded = encode_message(&message);
        prop_assert_eq!(decode_message(encoded.as_bytes()), message);
    }

    #[test]
    fn base64_survives_the_way_there_and_back(bytes: Vec<u8>) {
        prop_assert_eq!(base64::decode(&base64::encode(&bytes)).unwrap(), bytes);
    }

    #[test]
    fn retry_delay_survives_the_way_there_and_back(delay: Duration, message: String) {
        let response: Response<()> = TrailersOnly::new(GrpcStatus::ResourceExhausted)
            .message(message)
            .retry_delay(delay)
            .into_response();
        let longest = Duration::from_secs(315_576_000_000);
        prop_assert_eq!(retry_delay(response.headers()), Some(delay.min(longest)));
    }
}
