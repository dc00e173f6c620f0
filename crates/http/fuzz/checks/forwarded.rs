//! Chains that a stranger wrote: nothing panics, what is read can be written and read again, and nothing hides what a trusted proxy wrote to the right of it.

use http::{HeaderMap, HeaderValue};
use seaworthy_http::forwarded::{ForwardedField, Hop, hops};

/// The lines of the input as those of either field.
pub(super) fn forwarded(input: &[u8]) {
    for (name, field, before) in [
        ("forwarded", ForwardedField::Forwarded, "for="),
        ("x-forwarded-for", ForwardedField::XForwardedFor, ""),
    ] {
        let mut headers = HeaderMap::new();
        for line in input.split(|&byte| byte == b'\n') {
            if let Ok(line) = HeaderValue::from_bytes(line) {
                headers.append(name, line);
            }
        }
        let chain: Vec<Hop> = hops(&headers, field).collect();
        assert!(chain.len() <= input.len() + 1);

        let known = chain.iter().rev().map(|hop| match hop {
            Hop::Address(address) if address.is_ipv6() => format!("{before}\"[{address}]\""),
            Hop::Address(address) => format!("{before}{address}"),
            Hop::Hidden => format!("{before}unknown"),
            Hop::Malformed => format!("{before}!"),
        });
        let known = known.collect::<Vec<_>>().join(", ");
        let known = match field {
            ForwardedField::Forwarded => known,
            // There brackets need no quotes.
            ForwardedField::XForwardedFor => known.replace('"', ""),
        };
        let mut again = HeaderMap::new();
        again.insert(name, known.parse().expect("visible characters"));
        assert!(hops(&again, field).eq(chain.iter().copied()));

        // Then a proxy adds what it saw, to the last line or as one of its own.
        let seen = format!("{before}192.0.2.1");
        let last = headers.get_all(name).iter().next_back();
        let joined = last.map(|last| [last.as_bytes(), b", ", seen.as_bytes()].concat());
        let address = "192.0.2.1".parse().map(Hop::Address).ok();
        if let Some(Ok(joined)) = joined.as_deref().map(HeaderValue::from_bytes) {
            let mut headers = headers.clone();
            headers.append(name, joined);
            assert_eq!(hops(&headers, field).next(), address);
        }
        headers.append(name, seen.parse().expect("visible characters"));
        let mut walk = hops(&headers, field);
        assert_eq!(walk.next(), address);
        assert!(walk.eq(chain));
    }
}
