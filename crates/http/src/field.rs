//! The few bytes of parsing that all header readers of this crate share.

use http::header::{HeaderMap, HeaderName};

/// The value of a field that may have only one; `None` if it is absent or has several lines.
///
/// Several lines of such a field are malformed, and a reader that picks one of them can be led to
/// another answer than the next hop.
pub(crate) fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a [u8]> {
    let mut lines = headers.get_all(name).iter();
    let value = lines.next()?;
    lines.next().is_none().then(|| value.as_bytes())
}

/// `value` without the optional whitespace around it, which is not part of a field's value.
///
/// hyper has taken it off already; a `HeaderValue` made by hand may still carry it.
pub(crate) fn trim(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

/// Whether `value` is `1*DIGIT`: no sign, no space, no decimal point, not empty.
///
/// `str::parse` is no substitute: it takes a leading `+`.
pub(crate) fn all_digits(value: &[u8]) -> bool {
    !value.is_empty() && value.iter().all(u8::is_ascii_digit)
}

/// The number that `digits` spell, or `u64::MAX` if it is larger.
///
/// Every byte must be an ASCII digit, see [`all_digits`].
pub(crate) fn saturating_number(digits: &[u8]) -> u64 {
    digits.iter().fold(0_u64, |number, digit| {
        number
            .saturating_mul(10)
            .saturating_add(u64::from(digit - b'0'))
    })
}
