//! `grpc-timeout`: how long a gRPC caller is still going to wait.
//!
//! The value is relative, so two clocks that differ do no harm; the time on the wire is added
//! silently, which is why a sender subtracts a margin.

use std::time::Duration;

use http::header::{HeaderName, HeaderValue};

use crate::field::{all_digits, saturating_number};

/// The header's name.
pub static GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");

/// The grammar allows 8 digits.
const MAX_DIGITS: usize = 8;

/// The largest number of [`MAX_DIGITS`] digits.
const MAX_VALUE: u128 = 99_999_999;

/// Nanoseconds per unit, finest first; the letters are case-sensitive.
const UNITS: [(u8, u64); 6] = [
    (b'n', 1),
    (b'u', 1_000),
    (b'm', 1_000_000),
    (b'S', 1_000_000_000),
    (b'M', 60 * 1_000_000_000),
    (b'H', 3_600 * 1_000_000_000),
];

/// Parses a timeout; `None` if it is not one.
///
/// The grammar is strict: 1 to 8 ASCII digits and one unit of `HMSmun`, no sign, no space, and a
/// positive number.
/// A caller treats what is not a timeout as if it were absent, as tonic does: a limit of the
/// server's own still holds.
/// That includes `0`, which the grammar does not know, and which would otherwise turn a careless
/// "no timeout" into a refusal of every call.
#[must_use]
pub fn parse(value: &[u8]) -> Option<Duration> {
    //= https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md#requests
    //# TimeoutValue → {positive integer as ASCII string of at most 8 digits}
    let (unit, digits) = value.split_last()?;
    if !all_digits(digits) || digits.len() > MAX_DIGITS {
        return None;
    }
    let (_, nanos) = UNITS.into_iter().find(|(letter, _)| letter == unit)?;
    let number = saturating_number(digits);
    // 99,999,999 hours are beyond the nanoseconds of a `u64`, so whole seconds are counted apart.
    let timeout = if nanos < 1_000_000_000 {
        Duration::from_nanos(number * nanos)
    } else {
        Duration::from_secs(number * (nanos / 1_000_000_000))
    };
    (!timeout.is_zero()).then_some(timeout)
}

/// Writes what is left, in the finest unit that fits, rounded down; `None` if nothing is left.
///
/// Rounded down, so that the callee never believes it has longer than its caller; never `0`, so a
/// caller that gets `None` fails on its own and sends nothing.
/// More than the format can say, some 11,000 years, becomes the longest that it can.
#[must_use]
pub fn encode(left: Duration) -> Option<HeaderValue> {
    if left.is_zero() {
        return None;
    }
    let left = left.as_nanos();
    let fits = |&(_, nanos): &(u8, u64)| left / u128::from(nanos) <= MAX_VALUE;
    let (letter, nanos) = UNITS
        .into_iter()
        .find(fits)
        .unwrap_or(UNITS[UNITS.len() - 1]);
    let mut number = (left / u128::from(nanos)).min(MAX_VALUE);

    // Filled from the end; at most 8 digits and a letter.
    let mut text = [0_u8; MAX_DIGITS + 1];
    let mut start = MAX_DIGITS;
    text[start] = letter;
    while number > 0 {
        start -= 1;
        text[start] = b'0' + (number % 10) as u8;
        number /= 10;
    }
    HeaderValue::from_bytes(&text[start..]).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(left: Duration) -> Option<String> {
        encode(left).map(|value| value.to_str().unwrap().into())
    }

    #[test]
    fn every_unit_is_read() {
        let check = |value: &str, expected| {
            assert_eq!(parse(value.as_bytes()), Some(expected), "{value}");
        };
        check("1n", Duration::from_nanos(1));
        check("82u", Duration::from_micros(82));
        check("250m", Duration::from_millis(250));
        check("00000007S", Duration::from_secs(7));
        check("3M", Duration::from_secs(180));
        check("2H", Duration::from_secs(7_200));
        check("99999999n", Duration::from_nanos(99_999_999));
        check("99999999H", Duration::from_secs(99_999_999 * 3_600));
    }

    #[test]
    fn what_the_grammar_does_not_know_is_no_timeout() {
        for value in [
            "",
            "S",
            "1",
            "100000000n",
            "+1S",
            "-1S",
            " 1S",
            "1S ",
            "1 S",
            "1.5S",
            "1s",
            "1h",
            "1N",
            "1ms",
            "0n",
            "00000000H",
            "1SS",
            "٣S",
        ] {
            assert_eq!(parse(value.as_bytes()), None, "{value:?}");
        }
    }

    #[test]
    fn finest_unit_that_fits_is_written_rounded_down() {
        let check = |left: Duration, expected: &str| {
            assert_eq!(text(left).as_deref(), Some(expected), "{left:?}");
        };
        check(Duration::from_nanos(1), "1n");
        check(Duration::from_nanos(99_999_999), "99999999n");
        check(Duration::from_nanos(100_000_000), "100000u");
        check(Duration::from_nanos(100_000_999), "100000u");
        check(Duration::from_secs(1), "1000000u");
        check(Duration::from_micros(99_999_999), "99999999u");
        check(Duration::from_micros(100_000_999), "100000m");
        check(Duration::from_secs(100_000), "100000S");
        check(Duration::from_secs(100_000_000), "1666666M");
        check(Duration::from_secs(99_999_999 * 60 + 60), "1666666H");
    }

    #[test]
    fn nothing_left_is_not_written() {
        assert_eq!(encode(Duration::ZERO), None);
    }

    #[test]
    fn more_than_the_format_can_say_becomes_the_longest() {
        assert_eq!(text(Duration::MAX).as_deref(), Some("99999999H"));
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(value: Vec<u8>) {
            let _ = parse(&value);
        }

        #[test]
        fn nearly_right_values_never_panic(value in "[0-9+ .]{0,10}[HMSmunhs]?") {
            let _ = parse(value.as_bytes());
        }

        #[test]
        fn read_back_it_is_never_longer_and_hardly_shorter(secs in 0..400_000_000_000_u64, nanos in 0..1_000_000_000_u32, shift in 0..40_u32) {
            let left = Duration::new(secs >> shift, nanos);
            prop_assume!(!left.is_zero());
            let read = parse(encode(left).unwrap().as_bytes()).unwrap();
            prop_assert!(read <= left);
            if left < Duration::from_secs(99_999_999 * 3_600) {
                // A unit is given up only for one a thousand times as long, so 5 digits stay.
                prop_assert!(left - read <= left / 100_000, "{:?} became {:?}", left, read);
            }
        }
    }
}
