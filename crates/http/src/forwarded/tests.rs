//! Chains as they come: honest, spoofed, and garbage.

use std::net::{Ipv6Addr, SocketAddr};

use http::{Extensions, Request};
use proptest::prelude::*;

use super::*;
use crate::key::Key;

mod spoofed;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn at(text: &str) -> Hop {
    Hop::Address(ip(text))
}

fn read(field: ForwardedField, lines: &[&[u8]]) -> Vec<Hop> {
    let name = match field {
        ForwardedField::Forwarded => &FORWARDED,
        ForwardedField::XForwardedFor => &X_FORWARDED_FOR,
    };
    let mut headers = HeaderMap::new();
    for line in lines {
        headers.append(name, HeaderValue::from_bytes(line).unwrap());
    }
    hops(&headers, field).collect()
}

#[test]
fn node_of_forwarded_is_read_in_each_of_its_forms() {
    use Hop::{Hidden, Malformed};
    for (value, hop) in [
        ("for=192.0.2.60", at("192.0.2.60")),
        (
            "For=192.0.2.60;proto=http;by=203.0.113.43",
            at("192.0.2.60"),
        ),
        ("proto=https;FOR=\"192.0.2.60:8080\"", at("192.0.2.60")),
        ("for=192.0.2.60:8080", at("192.0.2.60")),
        (r#"for="[2001:db8:cafe::17]""#, at("2001:db8:cafe::17")),
        (r#"for="[2001:db8:cafe::17]:4711""#, at("2001:db8:cafe::17")),
        (
            r#"for="[2001:db8:cafe::17]:_port""#,
            at("2001:db8:cafe::17"),
        ),
        (r#"for="\[2001:db8::17\]""#, at("2001:db8::17")),
        (r#"for="[::ffff:192.0.2.1]""#, at("192.0.2.1")),
        (r#"for="192.0.2.1";host="a;b,c\"d""#, at("192.0.2.1")),
        (r#"host="a;for=1.2.3.4";for=192.0.2.1"#, at("192.0.2.1")),
        (";for=192.0.2.1;", at("192.0.2.1")),
        ("for=unknown", Hidden),
        ("for=\"Unknown:80\"", Hidden),
        ("for=_hidden", Hidden),
        ("for=\"_SEVKISEK:_1\"", Hidden),
        ("by=192.0.2.1;proto=http", Hidden),
        ("for=", Malformed),
        ("for", Malformed),
        ("192.0.2.1", Malformed),
        ("for=192.0.2.1;for=192.0.2.2", Malformed),
        ("for=unknown;for=192.0.2.2", Malformed),
        ("for=_", Malformed),
        ("for=_a b", Malformed),
        ("for=192.0.2", Malformed),
        ("for=192.0.2.01", Malformed),
        ("for=192.0.2.1:", Malformed),
        ("for=192.0.2.1:123456", Malformed),
        ("for=192.0.2.1:+1", Malformed),
        (r#"for="[2001:db8::1"#, Malformed),
        (r#"for="[2001:db8::1""#, Malformed),
        (r#"for="[2001:db8::1]x:1""#, Malformed),
        (r#"for="[2001:db8::1]1""#, Malformed),
        (r#"for="[192.0.2.1]""#, Malformed),
        (r#"for="[unknown]""#, Malformed),
        (r#"for="[fe80::1%eth0]""#, Malformed),
        (r#"for="192.0.2.1\""#, Malformed),
        ("for='192.0.2.1'", Malformed),
    ] {
        let read = read(ForwardedField::Forwarded, &[value.as_bytes()]);
        assert_eq!(read, [hop], "{value}");
    }
    let long = format!("for=\"{}\"", "1".repeat(500));
    let read = read(ForwardedField::Forwarded, &[long.as_bytes()]);
    assert_eq!(read, [Malformed]);
}

#[test]
fn node_of_x_forwarded_for_is_read_in_each_of_its_forms() {
    use Hop::{Hidden, Malformed};
    for (value, hop) in [
        ("192.0.2.1", at("192.0.2.1")),
        ("192.0.2.1:4711", at("192.0.2.1")),
        ("2001:db8::1", at("2001:db8::1")),
        ("[2001:db8::1]", at("2001:db8::1")),
        ("[2001:db8::1]:80", at("2001:db8::1")),
        ("::ffff:192.0.2.1", at("192.0.2.1")),
        ("unknown", Hidden),
        ("localhost", Malformed),
        ("for=192.0.2.1", Malformed),
        ("\"192.0.2.1\"", Malformed),
        ("192.0.2.1 192.0.2.2", Malformed),
        ("0x7f.1", Malformed),
        ("-", Malformed),
    ] {
        let read = read(ForwardedField::XForwardedFor, &[value.as_bytes()]);
        assert_eq!(read, [hop], "{value}");
    }
}

#[test]
fn callers_that_differ_have_keys_that_differ_in_a_shared_store() {
    let callers = [
        CallerKey::Unknown,
        CallerKey::of(ip("0.0.0.0"), 64),
        CallerKey::of(ip("192.0.2.1"), 64),
        CallerKey::of(ip("192.0.2.2"), 64),
        CallerKey::of(ip("2001:db8::"), 64),
        CallerKey::of(ip("2001:db8::"), 56),
        CallerKey::of(ip("2001:db8:1::"), 64),
    ];
    for one in callers {
        for two in callers {
            assert_eq!(one == two, Key::from(one) == Key::from(two), "{one} {two}");
        }
    }
    assert_eq!(Key::from(callers[2]), Key::new([192, 0, 2, 1]));
}

#[test]
fn chain_is_read_from_the_right_over_all_lines() {
    let chain = [
        at("192.0.2.4"),
        at("192.0.2.3"),
        at("192.0.2.2"),
        at("192.0.2.1"),
    ];
    let x = ForwardedField::XForwardedFor;
    let lines: [&[u8]; 3] = [b"192.0.2.1,192.0.2.2", b"192.0.2.3", b" 192.0.2.4 , ,"];
    assert_eq!(read(x, &lines), chain);
    let rfc = ForwardedField::Forwarded;
    let lines: [&[u8]; 2] = [
        b"for=192.0.2.1, ,for=\"192.0.2.2\";host=\"a,b\"",
        b"for=192.0.2.3, For=192.0.2.4;by=_a",
    ];
    assert_eq!(read(rfc, &lines), chain);
    assert_eq!(read(rfc, &[]), []);
    assert_eq!(read(rfc, &[b" , ,"]), []);
}

proptest! {
    /// Or a caller could hide behind a quote that it never closes.
    #[test]
    fn what_stands_further_left_changes_nothing(garbage in "[ -~\u{80}-\u{ff}]{0,40}") {
        let garbage = garbage.as_bytes();
        for (field, written, hop) in [
            (ForwardedField::Forwarded, &br#"for="[2001:db8::1]:1";host="a,b""#[..], "2001:db8::1"),
            (ForwardedField::Forwarded, b"for=192.0.2.1", "192.0.2.1"),
            (ForwardedField::XForwardedFor, b"192.0.2.1", "192.0.2.1"),
        ] {
            let one = [garbage, b", ", written].concat();
            prop_assert_eq!(read(field, &[&one])[0], at(hop));
            prop_assert_eq!(read(field, &[garbage, written])[0], at(hop));
        }
    }

    #[test]
    fn address_is_read_as_it_was_written(bits: u128, v4: u32, port: u16) {
        let v6 = Ipv6Addr::from_bits(bits);
        let v4 = std::net::Ipv4Addr::from_bits(v4);
        let sockets: [SocketAddr; 2] = [(v6, port).into(), (v4, port).into()];
        for socket in sockets {
            let hop = Hop::Address(socket.ip().to_canonical());
            let x = socket.to_string();
            prop_assert_eq!(read(ForwardedField::XForwardedFor, &[x.as_bytes()]), [hop]);
            let rfc = format!("proto=https;for=\"{socket}\"");
            prop_assert_eq!(read(ForwardedField::Forwarded, &[rfc.as_bytes()]), [hop]);
        }
    }

    #[test]
    fn network_is_read_as_it_was_written_and_contains_its_own(
        bits: u128, other: u128, prefix in 0_u8..=128
    ) {
        let address = Ipv6Addr::from_bits(bits & network::mask(prefix));
        let known = Network::try_new(address.into(), prefix).unwrap();
        prop_assert_eq!(known.to_string().parse(), Ok(known));
        let within = bits & network::mask(prefix) | other & !network::mask(prefix);
        let within = Ipv6Addr::from_bits(within);
        let same_family = within.to_ipv4_mapped().is_none() || prefix >= 96;
        prop_assert_eq!(known.contains(within.into()), same_family);
        if prefix > 0 {
            let flipped = Ipv6Addr::from_bits(address.to_bits() ^ (1 << (128 - prefix)));
            prop_assert!(!known.contains(flipped.into()));
        }
    }
}

#[test]
fn network_that_is_none_is_a_mistake_that_is_named() {
    for wrong in [
        "",
        "/",
        "10.0.0.0/",
        "10.0.0.0/33",
        "10.0.0.1/8",
        "10.0.0/8",
        "::/129",
        "::1/64",
        "10.0.0.0/+8",
        "10.0.0.0/8/8",
        "10.0.0.0/256",
        "10.0.0.0 /8",
        "::ffff:0:0/80",
    ] {
        let error = wrong.parse::<Network>().unwrap_err();
        assert_eq!(error.option(), "network", "{wrong}");
    }
    for (fine, shown) in [
        ("10.0.0.0/8", "10.0.0.0/8"),
        ("0.0.0.0/0", "0.0.0.0/0"),
        ("192.0.2.1", "192.0.2.1/32"),
        ("::/0", "::/0"),
        ("2001:db8::/32", "2001:db8::/32"),
        ("::ffff:10.0.0.0/104", "10.0.0.0/8"),
        ("::1", "::1/128"),
    ] {
        assert_eq!(fine.parse::<Network>().unwrap().to_string(), shown);
    }
    let all: Network = "::/0".parse().unwrap();
    assert!(all.contains(ip("2001:db8::1")) && !all.contains(ip("10.0.0.1")));
    let all: Network = "0.0.0.0/0".parse().unwrap();
    assert!(!all.contains(ip("2001:db8::1")) && all.contains(ip("::ffff:10.0.0.1")));
}

fn peer(extensions: &Extensions) -> Option<IpAddr> {
    extensions.get().copied()
}

fn request(peer: Option<&str>, headers: &[(&'static str, &str)]) -> Request<()> {
    let mut request = Request::new(());
    for (name, value) in headers {
        request.headers_mut().append(*name, value.parse().unwrap());
    }
    if let Some(peer) = peer {
        request.extensions_mut().insert(ip(peer));
    }
    request
}

#[test]
fn ipv6_addresses_of_a_network_are_one_key_and_ipv4_is_one_in_any_clothes() {
    let callers = Callers::by_peer(peer).build().unwrap();
    let key = |address| callers.key(&request(Some(address), &[]));
    assert_eq!(
        key("2001:db8:0:1::1"),
        key("2001:db8:0:1:ffff:ffff:ffff:ffff")
    );
    assert_ne!(key("2001:db8:0:1::1"), key("2001:db8:0:2::1"));
    assert_eq!(key("2001:db8:0:1::1").to_string(), "2001:db8:0:1::/64");
    assert_eq!(key("::ffff:192.0.2.1"), key("192.0.2.1"));
    assert_ne!(key("192.0.2.1"), key("192.0.2.2"));
    assert_eq!(key("192.0.2.1").to_string(), "192.0.2.1");
    assert_eq!(callers.key(&request(None, &[])), CallerKey::Unknown);
    let wide = Callers::by_peer(peer).ipv6_prefix(48).build().unwrap();
    let key = |address| wide.key(&request(Some(address), &[]));
    assert_eq!(key("2001:db8:0:1::1"), key("2001:db8:0:2::1"));
    assert_eq!(
        key("192.0.2.1").to_string(),
        "192.0.2.1",
        "a prefix of IPv6 only"
    );
}

#[test]
fn millions_of_ipv6_addresses_of_one_subscriber_are_one_key() {
    let (network, mut seen) = (ip("2001:db8:0:1::"), std::collections::HashSet::new());
    let IpAddr::V6(network) = network else {
        unreachable!("it is IPv6");
    };
    for host in 0..2_000_000_u128 {
        // Spread over all 64 bits behind the prefix.
        let host = host.wrapping_mul(0x9e37_79b9_7f4a_7c15) & u128::from(u64::MAX);
        let address = Ipv6Addr::from_bits(network.to_bits() | host);
        seen.insert(CallerKey::of(address.into(), 64));
    }
    assert_eq!(seen.len(), 1);
    assert!(size_of::<CallerKey>() <= 24);
}

#[test]
fn impossible_options_are_named_when_it_is_built() {
    let fault = |builder: Builder<_>| builder.build().unwrap_err().option();
    let builder = || Callers::by_peer(peer);
    let x = ForwardedField::XForwardedFor;
    assert_eq!(fault(builder().ipv6_prefix(0)), "ipv6_prefix");
    assert_eq!(fault(builder().ipv6_prefix(129)), "ipv6_prefix");
    assert_eq!(fault(builder().behind_hops(x, 0)), "behind_hops");
    assert_eq!(fault(builder().behind_networks(x, [])), "behind_networks");
}
