//! Who is calling: the peer's address, or what trusted proxies say of it in `Forwarded` (RFC 7239) or `X-Forwarded-For`.
//!
//! Whoever connects may send any header, so a header is read only where the configuration says that a proxy stands in front, and then from its right end, where that proxy wrote.
//! What stands further left was written by the proxy's own caller, who may have made it up: the walk stops at the first address that is not a trusted proxy's.
//! Which of the two fields is read is configured, too: a server that takes the one that is present lets its callers choose.
//!
//! ```
//! use std::net::{IpAddr, SocketAddr};
//!
//! use http::Request;
//! use seaworthy_http::forwarded::{Callers, ForwardedField};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // axum: `extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip())`.
//! let callers = Callers::by_peer(|extensions| extensions.get::<SocketAddr>().map(SocketAddr::ip))
//!     .behind_networks(ForwardedField::XForwardedFor, ["10.0.0.0/8".parse()?])
//!     .build()?;
//!
//! let mut request = Request::new(());
//! request.extensions_mut().insert("10.1.2.3:4711".parse::<SocketAddr>()?);
//! let chain = "192.0.2.1, 203.0.113.9".parse()?;
//! request.headers_mut().insert("x-forwarded-for", chain);
//! // 192.0.2.1 is what 203.0.113.9 claims.
//! assert_eq!(callers.address(&request), Some("203.0.113.9".parse::<IpAddr>()?));
//! # Ok(())
//! # }
//! ```

use std::net::IpAddr;

use http::HeaderMap;
use http::header::{FORWARDED, HeaderName, HeaderValue, ValueIter};

use crate::field::trim;

mod callers;
pub use callers::{Builder, CallerKey, Callers};

mod network;
pub use network::Network;

mod node;

/// The field in which the proxies in front say whom they speak for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[expect(
    clippy::exhaustive_enums,
    reason = "a third field would need a grammar of its own"
)]
pub enum ForwardedField {
    /// `Forwarded`, RFC 7239.
    Forwarded,
    /// `X-Forwarded-For`, which no specification defines and most proxies write.
    XForwardedFor,
}

/// One proxy's word about who called it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[expect(clippy::exhaustive_enums, reason = "a walk must handle each of them")]
pub enum Hop {
    /// This address; an IPv4 address in IPv6 clothes is an IPv4 address.
    Address(IpAddr),
    /// `unknown`, or an identifier that the proxy made up.
    Hidden,
    /// Nothing that the grammar knows.
    Malformed,
}

/// The hops of a chain, the nearest proxy's first.
#[derive(Debug)]
pub struct Hops<'a> {
    field: ForwardedField,
    lines: ValueIter<'a, HeaderValue>,
    /// What is left of the line that is being read.
    line: Option<&'a [u8]>,
}

static X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Reads a chain from its right end, over all lines of the field.
///
/// What stands to the left of a hop cannot change how that hop is read, whatever it is: an open quote, a backslash, bytes that are no text.
#[must_use]
pub fn hops(headers: &HeaderMap, field: ForwardedField) -> Hops<'_> {
    let name = match field {
        ForwardedField::Forwarded => &FORWARDED,
        ForwardedField::XForwardedFor => &X_FORWARDED_FOR,
    };
    Hops {
        field,
        lines: headers.get_all(name).iter(),
        line: None,
    }
}

impl Iterator for Hops<'_> {
    type Item = Hop;

    fn next(&mut self) -> Option<Hop> {
        loop {
            let line = match self.line.take() {
                Some(line) => line,
                None => self.lines.next_back()?.as_bytes(),
            };
            let (rest, element) = match self.field {
                ForwardedField::Forwarded => split_last_unquoted(line, b','),
                ForwardedField::XForwardedFor => split_last(line, b','),
            };
            self.line = rest;
            let element = trim(element);
            // RFC 9110, section 5.6.1.2: empty elements of a list do not count.
            if !element.is_empty() {
                return Some(match self.field {
                    ForwardedField::Forwarded => element_node(element),
                    ForwardedField::XForwardedFor => node::parse(element),
                });
            }
        }
    }
}

/// Who is named by one element of `Forwarded`.
fn element_node(element: &[u8]) -> Hop {
    let mut rest = Some(element);
    let mut found = None;
    while let Some(pairs) = rest {
        let (before, pair) = split_last_unquoted(pairs, b';');
        rest = before;
        let Some(equals) = pair.iter().position(|&byte| byte == b'=') else {
            // RFC 7239, section 4: pairs may be missing between two semicolons.
            if trim(pair).is_empty() {
                continue;
            }
            return Hop::Malformed;
        };
        let (name, value) = (trim(&pair[..equals]), trim(&pair[equals + 1..]));
        if !name.eq_ignore_ascii_case(b"for") {
            continue;
        }
        //= https://www.rfc-editor.org/rfc/rfc7239#section-4
        //# Each parameter MUST NOT occur more than once per field-value.
        if found.is_some() {
            return Hop::Malformed;
        }
        found = Some(node::parse_value(value));
    }
    // A hop that says nothing of its caller ends the walk as well.
    found.unwrap_or(Hop::Hidden)
}

/// What stands before the last separator, if there is one, and what stands behind it.
fn split_last(text: &[u8], separator: u8) -> (Option<&[u8]>, &[u8]) {
    split_at(text, text.iter().rposition(|&byte| byte == separator))
}

/// The same, where a separator in quotes is none.
///
/// Read from the right: there the trusted proxy wrote, and a quote that somebody opened further left must not swallow it.
fn split_last_unquoted(text: &[u8], separator: u8) -> (Option<&[u8]>, &[u8]) {
    let mut quoted = false;
    let at = text.iter().enumerate().rposition(|(at, &byte)| {
        if byte == b'"' && !(quoted && is_escaped(text, at)) {
            quoted = !quoted;
        }
        !quoted && byte == separator
    });
    split_at(text, at)
}

fn split_at(text: &[u8], at: Option<usize>) -> (Option<&[u8]>, &[u8]) {
    match at {
        Some(at) => (Some(&text[..at]), &text[at + 1..]),
        None => (None, text),
    }
}

/// Whether an odd number of backslashes stands before it.
fn is_escaped(text: &[u8], at: usize) -> bool {
    let slashes = text[..at].iter().rev().take_while(|&&byte| byte == b'\\');
    slashes.count() % 2 == 1
}

#[cfg(test)]
mod tests;
