//! Both forms of `Retry-After`, pushback and retry marks: tables, then arbitrary bytes.

use std::time::UNIX_EPOCH;

use proptest::prelude::*;

use super::*;

/// Sun, 06 Nov 1994 08:49:37 GMT, the example of RFC 9110.
fn example() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(784_111_777)
}

fn headers(lines: &[(&HeaderName, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        headers.append(*name, HeaderValue::from_str(value).unwrap());
    }
    headers
}

#[test]
fn seconds_are_read_strictly() {
    let check = |value: &str, expected: Option<u64>| {
        let read = parse(value.as_bytes(), example);
        assert_eq!(read, expected.map(Duration::from_secs), "{value:?}");
    };
    check("0", Some(0));
    check("120", Some(120));
    check("007", Some(7));
    check(" 3\t", Some(3));
    check("18446744073709551615", Some(u64::MAX));
    check("99999999999999999999999999", Some(u64::MAX));
    for garbage in [
        "", " ", "-1", "+1", "1.5", "1 2", "5, 10", "0x10", "soon", "1s", "\u{661}",
    ] {
        check(garbage, None);
    }
}

#[test]
fn all_three_date_formats_are_read() {
    for date in [
        "Sun, 06 Nov 1994 08:49:37 GMT",
        "Sunday, 06-Nov-94 08:49:37 GMT",
        "Sun Nov  6 08:49:37 1994",
    ] {
        let base = || example() - Duration::from_secs(90);
        assert_eq!(
            parse(date.as_bytes(), base),
            Some(Duration::from_secs(90)),
            "{date}"
        );
    }
}

#[test]
fn past_date_means_at_once() {
    let base = || example() + Duration::from_secs(1);
    assert_eq!(
        parse(b"Sun, 06 Nov 1994 08:49:37 GMT", base),
        Some(Duration::ZERO)
    );
}

#[test]
fn date_counts_from_the_date_of_the_response() {
    let headers = headers(&[
        (&RETRY_AFTER, "Sun, 06 Nov 1994 08:49:37 GMT"),
        (&DATE, "Sun, 06 Nov 1994 08:49:07 GMT"),
    ]);
    let clock = || panic!("the response has a date of its own");
    assert_eq!(read(&headers, clock), Some(Duration::from_secs(30)));
}

#[test]
fn date_counts_from_the_clock_where_the_response_has_none() {
    let clock = || example() - Duration::from_secs(5);
    let retry_after = (&RETRY_AFTER, "Sun, 06 Nov 1994 08:49:37 GMT");
    for lines in [
        &[retry_after][..],
        &[retry_after, (&DATE, "yesterday")],
        &[
            retry_after,
            (&DATE, "Sun, 06 Nov 1994 08:49:07 GMT"),
            (&DATE, "also"),
        ],
    ] {
        assert_eq!(
            read(&headers(lines), clock),
            Some(Duration::from_secs(5)),
            "{lines:?}"
        );
    }
}

#[test]
fn seconds_ask_no_clock() {
    let headers = headers(&[
        (&RETRY_AFTER, "7"),
        (&DATE, "Sun, 06 Nov 1994 08:49:07 GMT"),
    ]);
    let clock = || panic!("seconds are relative already");
    assert_eq!(read(&headers, clock), Some(Duration::from_secs(7)));
}

#[test]
fn absent_or_repeated_retry_after_is_ignored() {
    assert_eq!(read(&HeaderMap::new(), example), None);
    let repeated = headers(&[(&RETRY_AFTER, "5"), (&RETRY_AFTER, "5")]);
    assert_eq!(read(&repeated, example), None);
}

#[test]
fn seconds_are_written_rounded_up_and_never_zero() {
    let check = |wait: Duration, expected: &str| assert_eq!(encode(wait), expected, "{wait:?}");
    check(Duration::ZERO, "1");
    check(Duration::from_nanos(1), "1");
    check(Duration::from_secs(1), "1");
    check(Duration::from_nanos(1_000_000_001), "2");
    check(Duration::from_millis(29_999), "30");
    check(Duration::MAX, "18446744073709551615");
}

#[test]
fn pushback_that_is_negative_or_unreadable_says_stop() {
    let check = |value: &str, expected: Option<u64>| {
        let expected = expected.map_or(Pushback::Stop, |ms| {
            Pushback::After(Duration::from_millis(ms))
        });
        assert_eq!(parse_pushback(value.as_bytes()), expected, "{value:?}");
    };
    check("0", Some(0));
    check("250", Some(250));
    check("2147483647", Some(2_147_483_647));
    for stop in [
        "2147483648",
        "99999999999999999999999",
        "-1",
        "-0",
        "+5",
        "",
        "5ms",
        "1.5",
    ] {
        check(stop, None);
    }
}

#[test]
fn pushback_is_read_from_one_line_only() {
    assert_eq!(pushback(&HeaderMap::new()), None);
    let one = headers(&[(&GRPC_RETRY_PUSHBACK_MS, "10")]);
    assert_eq!(
        pushback(&one),
        Some(Pushback::After(Duration::from_millis(10)))
    );
    let two = headers(&[
        (&GRPC_RETRY_PUSHBACK_MS, "10"),
        (&GRPC_RETRY_PUSHBACK_MS, "20"),
    ]);
    assert_eq!(pushback(&two), Some(Pushback::Stop));
}

#[test]
fn pushback_is_written_rounded_up() {
    let check = |pushback, expected: &str| assert_eq!(encode_pushback(pushback), expected);
    check(Pushback::Stop, "-1");
    check(Pushback::After(Duration::ZERO), "0");
    check(Pushback::After(Duration::from_micros(1_001)), "2");
    check(Pushback::After(Duration::MAX), "2147483647");
}

#[test]
fn marks_of_a_proxy_forbid_a_retry() {
    assert!(!forbids_retry(&HeaderMap::new()));
    assert!(forbids_retry(&headers(&[(&X_ENVOY_RATELIMITED, "true")])));
    assert!(!forbids_retry(&headers(&[(&X_ENVOY_RATELIMITED, "false")])));
    assert!(forbids_retry(&headers(&[(&X_ENVOY_OVERLOADED, "true")])));
    assert!(forbids_retry(&headers(&[(&GRPC_RETRY_PUSHBACK_MS, "-1")])));
    assert!(!forbids_retry(&headers(&[(&GRPC_RETRY_PUSHBACK_MS, "0")])));
    assert!(!forbids_retry(&headers(&[(&RETRY_AFTER, "5")])));
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(value: Vec<u8>) {
        let _ = parse(&value, example);
        let _ = parse_pushback(&value);
    }

    #[test]
    fn date_like_text_never_panics(value in "[A-Z][a-z]{2,8},? ?[0-9 ]{0,3}[ -]?[A-Z][a-z]{2}[ -][0-9: ]{2,16}( GMT)?") {
        let _ = parse(value.as_bytes(), example);
    }

    #[test]
    fn written_wait_is_read_as_at_least_that_long(wait: Duration) {
        let read = parse(encode(wait).as_bytes(), example).unwrap();
        prop_assert!(read >= wait.min(Duration::from_secs(u64::MAX)));
        prop_assert!(read.as_secs() <= wait.as_secs().saturating_add(1));
    }

    #[test]
    fn written_date_is_read_back(base in 0_u64..250_000_000_000, wait in 0_u64..3_000_000_000) {
        let base = UNIX_EPOCH + Duration::from_secs(base);
        let date = httpdate::fmt_http_date(base + Duration::from_secs(wait));
        prop_assert_eq!(parse(date.as_bytes(), || base), Some(Duration::from_secs(wait)));
    }

    /// Until 2069: the year of the RFC 850 form has two digits.
    #[test]
    fn obsolete_forms_of_a_date_say_the_same(second in 0_u64..3_155_760_000) {
        let date = UNIX_EPOCH + Duration::from_secs(second);
        let fixed = httpdate::fmt_http_date(date);
        let [day, number, month, year, time, _] = fixed.split(' ').collect::<Vec<_>>()[..] else {
            unreachable!("the preferred form has six words");
        };
        let day = day.trim_end_matches(',');
        let long = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"]
            .into_iter()
            .find(|long| long.starts_with(day))
            .unwrap();
        let rfc850 = format!("{long}, {number}-{month}-{} {time} GMT", &year[2..]);
        let asctime = format!("{day} {month} {:>2} {time} {year}", number.trim_start_matches('0'));
        for form in [fixed.as_str(), &rfc850, &asctime] {
            let wait = parse(form.as_bytes(), || UNIX_EPOCH);
            prop_assert_eq!(wait, Some(Duration::from_secs(second)), "{}", form);
        }
    }

    #[test]
    fn any_number_of_digits_is_a_wait(digits in "[0-9]{1,30}") {
        let seconds: u128 = digits.parse().unwrap();
        let longest = u64::try_from(seconds).unwrap_or(u64::MAX);
        let wait = parse(digits.as_bytes(), || unreachable!("seconds need no clock"));
        prop_assert_eq!(wait, Some(Duration::from_secs(longest)));
    }

    #[test]
    fn written_pushback_is_read_back(ms in 0..=i32::MAX) {
        let pushback = Pushback::After(Duration::from_millis(u64::from(ms.unsigned_abs())));
        prop_assert_eq!(parse_pushback(encode_pushback(pushback).as_bytes()), pushback);
    }

    #[test]
    fn written_pushback_is_never_shorter_unless_it_is_too_long_to_say(nanos in 0..5_000_000_000_000_000_u64) {
        let wait = Duration::from_nanos(nanos);
        let written = encode_pushback(Pushback::After(wait));
        let longest = Duration::from_millis(u64::from(i32::MAX.unsigned_abs()));
        let Pushback::After(read) = parse_pushback(written.as_bytes()) else {
            panic!("a wait became a stop");
        };
        prop_assert!(read >= wait.min(longest));
        prop_assert!(read < wait.saturating_add(Duration::from_millis(1)));
    }
}
