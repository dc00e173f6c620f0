//! Order of the headers, strictness, and that one promise is left after writing.

use proptest::prelude::*;

use super::*;

fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        headers.append(*name, HeaderValue::from_str(value).unwrap());
    }
    headers
}

fn read(lines: &[(&'static str, &str)]) -> Option<u128> {
    DeadlineHeaders::default()
        .read(&headers(lines))
        .map(|left| left.as_millis())
}

#[test]
fn first_header_of_the_list_wins() {
    let all = [
        ("x-request-timeout-ms", "3"),
        ("x-envoy-expected-rq-timeout-ms", "2"),
        ("grpc-timeout", "1m"),
    ];
    assert_eq!(read(&all), Some(1));
    assert_eq!(read(&all[..2]), Some(2));
    assert_eq!(read(&all[..1]), Some(3));
    assert_eq!(read(&[]), None);
}

#[test]
fn garbage_and_repeated_lines_count_as_absent() {
    let next = ("x-request-timeout-ms", "3");
    assert_eq!(read(&[("grpc-timeout", "soon"), next]), Some(3));
    assert_eq!(read(&[("grpc-timeout", "0S"), next]), Some(3));
    assert_eq!(
        read(&[("grpc-timeout", "1m"), ("grpc-timeout", "1m"), next]),
        Some(3)
    );
    assert_eq!(
        read(&[("x-envoy-expected-rq-timeout-ms", "-1"), next]),
        Some(3)
    );
}

#[test]
fn each_header_has_its_own_grammar() {
    assert_eq!(read(&[("grpc-timeout", "5")]), None);
    assert_eq!(read(&[("x-request-timeout-ms", "5S")]), None);
}

#[test]
fn list_is_configurable() {
    let name = HeaderName::from_static("x-patience");
    let deadline = DeadlineHeaders::new([name.clone()]).written(name);
    let mut headers = headers(&[("x-patience", "7"), ("grpc-timeout", "1S")]);
    assert_eq!(deadline.read(&headers), Some(Duration::from_millis(7)));
    assert!(deadline.write(&mut headers, Duration::from_millis(6)));
    assert_eq!(headers["x-patience"], "6");
    assert_eq!(headers["grpc-timeout"], "1S", "not a header of this list");
}

#[test]
fn millis_are_read_strictly() {
    let check = |value: &str, expected: Option<u64>| {
        assert_eq!(
            parse_millis(value.as_bytes()),
            expected.map(Duration::from_millis),
            "{value}"
        );
    };
    check("1", Some(1));
    check("0015000", Some(15_000));
    check("18446744073709551615", Some(u64::MAX));
    check("99999999999999999999", Some(u64::MAX));
    for garbage in [
        "",
        "0",
        "000",
        "+1",
        "-1",
        " 1",
        "1 ",
        "1.5",
        "1ms",
        "999999999999999999999",
    ] {
        check(garbage, None);
    }
}

#[test]
fn millis_are_written_rounded_down_and_never_zero() {
    assert_eq!(encode_millis(Duration::from_micros(1_999)).unwrap(), "1");
    assert_eq!(encode_millis(Duration::from_micros(999)), None);
    assert_eq!(
        encode_millis(Duration::MAX).unwrap(),
        "18446744073709551615"
    );
}

#[test]
fn grpc_requests_get_grpc_timeout_and_nothing_else() {
    let mut headers = headers(&[
        ("content-type", "application/grpc"),
        ("grpc-timeout", "9S"),
        ("x-envoy-expected-rq-timeout-ms", "9000"),
        ("x-request-timeout-ms", "9000"),
        ("x-request-timeout-ms", "8000"),
    ]);
    assert!(DeadlineHeaders::default().write(&mut headers, Duration::from_millis(80)));
    assert_eq!(headers["grpc-timeout"], "80000000n");
    assert_eq!(headers.len(), 2, "content-type and one promise");
}

#[test]
fn other_requests_get_milliseconds_and_nothing_else() {
    let mut headers = headers(&[("grpc-timeout", "9S"), ("x-request-timeout-ms", "9000")]);
    assert!(DeadlineHeaders::default().write(&mut headers, Duration::from_millis(80)));
    assert_eq!(headers["x-request-timeout-ms"], "80");
    assert_eq!(headers.len(), 1);
}

#[test]
fn written_header_is_stale_for_grpc_though_it_is_not_on_the_list() {
    let patience = HeaderName::from_static("x-patience");
    let deadline = DeadlineHeaders::new([GRPC_TIMEOUT.clone()]).written(patience);
    let mut headers = headers(&[("content-type", "application/grpc"), ("x-patience", "9000")]);
    assert!(deadline.write(&mut headers, Duration::from_millis(80)));
    assert!(!headers.contains_key("x-patience"));
}

#[test]
fn nothing_is_written_when_nothing_is_left() {
    let before = headers(&[("x-request-timeout-ms", "9000")]);
    let mut after = before.clone();
    assert!(!DeadlineHeaders::default().write(&mut after, Duration::from_micros(10)));
    assert_eq!(after, before);
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(value: Vec<u8>, which in 0..3_usize) {
        let _ = parse_millis(&value);
        if let Ok(value) = HeaderValue::from_bytes(&value) {
            let deadline = DeadlineHeaders::default();
            let mut headers = HeaderMap::new();
            headers.insert(&deadline.names[which], value);
            let _ = deadline.read(&headers);
        }
    }

    #[test]
    fn what_is_written_is_read_back_no_longer(secs in 0..300_000_000_000_u64, shift in 0..40_u32, nanos in 0..1_000_000_000_u32, grpc: bool) {
        let left = Duration::new(secs >> shift, nanos);
        let deadline = DeadlineHeaders::default();
        let mut headers = HeaderMap::new();
        if grpc {
            headers.insert("content-type", HeaderValue::from_static("application/grpc"));
        }
        if deadline.write(&mut headers, left) {
            let read = deadline.read(&headers).unwrap();
            prop_assert!(read <= left);
            prop_assert!(left - read <= left / 100_000 + Duration::from_millis(1));
        } else {
            prop_assert!(left < Duration::from_millis(1));
        }
    }
}
