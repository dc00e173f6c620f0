//! `grpc-message`: text for a person, percent-encoded.

use std::borrow::Cow;

use http::header::HeaderValue;

/// Encodes a message: printable ASCII but `%` stays, every other byte of its UTF-8 becomes `%XX`.
#[must_use]
#[expect(
    clippy::missing_panics_doc,
    reason = "every byte written is printable ASCII"
)]
pub fn encode_message(message: &str) -> HeaderValue {
    let mut encoded = Vec::with_capacity(message.len());
    for &byte in message.as_bytes() {
        if matches!(byte, b' '..=b'~') && byte != b'%' {
            encoded.push(byte);
        } else {
            encoded.extend([b'%', hex_digit(byte >> 4), hex_digit(byte & 0xf)]);
        }
    }
    HeaderValue::try_from(encoded).expect("printable ASCII is a header value")
}

/// Decodes a message, as far as it can be decoded.
///
/// The protocol forbids to fail here or to lose the text: a `%` that two hex digits do not follow
/// stays as it is, and bytes that are not UTF-8 become U+FFFD.
#[must_use]
pub fn decode_message(value: &[u8]) -> Cow<'_, str> {
    let Some(first) = value.iter().position(|&byte| byte == b'%') else {
        return String::from_utf8_lossy(value);
    };
    let (plain, mut rest) = value.split_at(first);
    let mut decoded = Vec::with_capacity(value.len());
    decoded.extend_from_slice(plain);
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        match (byte, after) {
            (b'%', [high, low, after @ ..]) => match (hex_value(*high), hex_value(*low)) {
                (Some(high), Some(low)) => {
                    decoded.push(high << 4 | low);
                    rest = after;
                }
                _ => decoded.push(byte),
            },
            _ => decoded.push(byte),
        }
    }
    // Only ill-formed text pays for a second copy.
    Cow::Owned(
        String::from_utf8(decoded)
            .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()),
    )
}

/// The digit for 0 to 15; upper case, as the protocol's own examples have it.
fn hex_digit(nibble: u8) -> u8 {
    match nibble {
        0..=9 => b'0' + nibble,
        _ => b'A' + (nibble - 10),
    }
}

/// What a hex digit of either case stands for.
fn hex_value(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}
