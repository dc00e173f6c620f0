//! One node of a chain: an address with or without a port, or a word that hides it.

use std::net::{IpAddr, Ipv6Addr};

use super::Hop;

/// The value of `for` in an element of `Forwarded`: a token, or a string in quotes.
///
/// Proxies are found that leave the quotes out where RFC 7239 wants them, around a colon or a bracket: there is no other way to read that.
pub(super) fn parse_value(value: &[u8]) -> Hop {
    let [b'"', quoted @ .., b'"'] = value else {
        return parse(value);
    };
    let mut text = [0; LONGEST];
    match unescape(quoted, &mut text) {
        Some(text) => parse(text),
        None => Hop::Malformed,
    }
}

/// An address, bare or with a port; of IPv6 then in brackets.
pub(super) fn parse(value: &[u8]) -> Hop {
    let Some(value) = str::from_utf8(value).ok().filter(|text| text.is_ascii()) else {
        return Hop::Malformed;
    };
    if is_obfuscated(value) {
        return Hop::Hidden;
    }
    if let Ok(address) = value.parse::<IpAddr>() {
        return Hop::Address(address.to_canonical());
    }
    let (name, port) = match value.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((address, port)) => (address, port.strip_prefix(':')),
            None => return Hop::Malformed,
        },
        None => match value.split_once(':') {
            Some((name, port)) => (name, Some(port)),
            None => (value, None),
        },
    };
    let bracketed = value.starts_with('[');
    let behind = port.map_or("", |port| port);
    let length = name.len() + behind.len() + usize::from(port.is_some());
    // Nothing may stand between the bracket and the colon.
    if length + 2 * usize::from(bracketed) != value.len() || !port.is_none_or(is_port) {
        return Hop::Malformed;
    }
    let address = if bracketed {
        name.parse::<Ipv6Addr>().ok().map(IpAddr::V6)
    } else {
        name.parse().ok()
    };
    match address {
        Some(address) => Hop::Address(address.to_canonical()),
        None if bracketed => Hop::Malformed,
        None if name.eq_ignore_ascii_case("unknown") || is_obfuscated(name) => Hop::Hidden,
        None => Hop::Malformed,
    }
}

//= https://www.rfc-editor.org/rfc/rfc7239#section-6
//# node-port = port / obfport
fn is_port(port: &str) -> bool {
    let digits = (1..=5).contains(&port.len()) && port.bytes().all(|byte| byte.is_ascii_digit());
    digits || is_obfuscated(port)
}

/// `obfnode` and `obfport`: an underscore, and letters, digits, dots, underscores, hyphens.
fn is_obfuscated(text: &str) -> bool {
    let known = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    text.strip_prefix('_')
        .is_some_and(|rest| !rest.is_empty() && rest.bytes().all(known))
}

/// A quoted string without its backslashes; `None` if it is too long for a node, or ends within an escape.
fn unescape<'a>(quoted: &[u8], text: &'a mut [u8; LONGEST]) -> Option<&'a [u8]> {
    let mut length = 0;
    let mut bytes = quoted.iter();
    while let Some(&byte) = bytes.next() {
        let byte = match byte {
            b'\\' => *bytes.next()?,
            b'"' => return None,
            byte => byte,
        };
        *text.get_mut(length)? = byte;
        length += 1;
    }
    Some(&text[..length])
}

/// More than an address with brackets and a port takes, 53 characters; an obfuscated name may be longer, and hides its caller all the same.
const LONGEST: usize = 128;
