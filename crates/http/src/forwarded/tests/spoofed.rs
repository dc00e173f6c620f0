//! Chains that somebody made up, and who the caller is all the same.

use super::*;

const X: ForwardedField = ForwardedField::XForwardedFor;
const RFC: ForwardedField = ForwardedField::Forwarded;

/// The caller of a request from that peer with such headers.
fn caller<P>(callers: &Callers<P>, from: &str, headers: &[(&'static str, &str)]) -> String
where
    P: Fn(&Extensions) -> Option<IpAddr>,
{
    let address = callers.address(&request(Some(from), headers));
    address.unwrap().to_string()
}

const PROXY: &str = "10.0.0.1";
const ATTACKER: &str = "203.0.113.66";

#[test]
fn without_trust_no_header_is_read() {
    let callers = Callers::by_peer(peer).build().unwrap();
    let headers = [
        ("x-forwarded-for", "192.0.2.1"),
        ("forwarded", "for=192.0.2.1"),
        ("x-real-ip", "192.0.2.1"),
    ];
    assert_eq!(caller(&callers, ATTACKER, &headers), ATTACKER);
}

#[test]
fn peer_outside_the_trusted_networks_is_the_caller_whatever_it_sends() {
    for field in [X, RFC] {
        let networks = ["10.0.0.0/8".parse().unwrap()];
        let callers = Callers::by_peer(peer).behind_networks(field, networks);
        let callers = callers.build().unwrap();
        for chain in ["192.0.2.1", "10.0.0.1", "10.0.0.1, 10.0.0.2", "127.0.0.1"] {
            let rfc = chain.split(", ").map(|at| format!("for={at}"));
            let rfc = rfc.collect::<Vec<_>>().join(", ");
            let headers = [("x-forwarded-for", chain), ("forwarded", &rfc)];
            assert_eq!(caller(&callers, ATTACKER, &headers), ATTACKER, "{chain}");
        }
        // Nor by the same peer in IPv6 clothes.
        let headers = [
            ("x-forwarded-for", "192.0.2.1"),
            ("forwarded", "for=192.0.2.1"),
        ];
        let dressed = format!("::ffff:{ATTACKER}");
        assert_eq!(caller(&callers, &dressed, &headers), ATTACKER);
    }
}

#[test]
fn walk_ends_at_the_first_address_that_is_not_trusted() {
    let networks = ["10.0.0.0/8", "2001:db8:5::/48"].map(|text| text.parse().unwrap());
    let callers = Callers::by_peer(peer).behind_networks(X, networks);
    let callers = callers.build().unwrap();
    for (chain, expected) in [
        (&[][..], PROXY),
        (&[""], PROXY),
        (&[ATTACKER], ATTACKER),
        // What the attacker sent stands to the left of what the proxy saw.
        (&["192.0.2.1, 203.0.113.66"], ATTACKER),
        (&["10.0.0.9, 192.0.2.1, 203.0.113.66"], ATTACKER),
        (&["192.0.2.1", "203.0.113.66"], ATTACKER),
        (&["192.0.2.1", "203.0.113.66", "10.0.0.3"], ATTACKER),
        (
            &["192.0.2.1, 203.0.113.66, 10.0.0.3, 2001:db8:5::7"],
            ATTACKER,
        ),
        (&["203.0.113.66, ::ffff:10.0.0.3"], ATTACKER),
        (&["203.0.113.66, , 10.0.0.3"], ATTACKER),
        // Where a hop cannot be read, the proxy that could not be asked counts.
        (&["192.0.2.1, unknown"], PROXY),
        (&["192.0.2.1, _hidden, 10.0.0.3"], "10.0.0.3"),
        (&["192.0.2.1, garbage, 10.0.0.3"], "10.0.0.3"),
        (&["192.0.2.1, 10.0.0.3, \"203.0.113.66"], PROXY),
        // All are proxies: an internal caller.
        (&["10.0.0.9, 10.0.0.3"], "10.0.0.9"),
    ] {
        let headers: Vec<_> = chain
            .iter()
            .map(|line| ("x-forwarded-for", *line))
            .collect();
        assert_eq!(caller(&callers, PROXY, &headers), expected, "{chain:?}");
    }
}

#[test]
fn hops_are_counted_from_the_right() {
    let behind = |field, hops| {
        Callers::by_peer(peer)
            .behind_hops(field, hops)
            .build()
            .unwrap()
    };
    for (hops, chain, expected) in [
        (1, &["192.0.2.1, 203.0.113.66"][..], ATTACKER),
        (1, &["192.0.2.1", "203.0.113.66"], ATTACKER),
        (1, &[ATTACKER], ATTACKER),
        (1, &[], PROXY),
        (2, &["192.0.2.1, 203.0.113.66, 10.0.0.2"], ATTACKER),
        (2, &["192.0.2.1, 203.0.113.66", "10.0.0.2"], ATTACKER),
        // Shorter than it should be: all of it was written by proxies.
        (2, &["10.0.0.2"], "10.0.0.2"),
        (9, &["203.0.113.66, 10.0.0.2"], ATTACKER),
        (usize::MAX, &["203.0.113.66, 10.0.0.2"], ATTACKER),
        (2, &["203.0.113.66, unknown"], PROXY),
        (2, &["203.0.113.66, garbage, 10.0.0.2"], "10.0.0.2"),
    ] {
        let headers: Vec<_> = chain
            .iter()
            .map(|line| ("x-forwarded-for", *line))
            .collect();
        let callers = behind(X, hops);
        assert_eq!(
            caller(&callers, PROXY, &headers),
            expected,
            "{hops} {chain:?}"
        );
    }
    // An open quote, or an escape, swallows nothing of what the proxy wrote.
    for sent in [
        "for=\"",
        "for=\\",
        "for=\"\\",
        "for=192.0.2.1;by=\"",
        "\"\\\"\\",
    ] {
        let chain = format!("{sent}, for=203.0.113.66;proto=https");
        let callers = behind(RFC, 1);
        assert_eq!(
            caller(&callers, PROXY, &[("forwarded", &chain)]),
            ATTACKER,
            "{sent}"
        );
    }
}

#[test]
fn field_is_the_configured_one_even_where_only_the_other_is_there() {
    let networks = ["10.0.0.0/8".parse().unwrap()];
    let by = |field| {
        Callers::by_peer(peer)
            .behind_networks(field, networks)
            .build()
            .unwrap()
    };
    let x = [("x-forwarded-for", "192.0.2.1")];
    assert_eq!(caller(&by(RFC), PROXY, &x), PROXY);
    let rfc = [("forwarded", "for=192.0.2.1")];
    assert_eq!(caller(&by(X), PROXY, &rfc), PROXY);
}

#[test]
fn connection_without_an_address_is_nobody_unless_hops_are_trusted() {
    let headers = [("x-forwarded-for", "192.0.2.1")];
    let networks = ["0.0.0.0/0".parse().unwrap()];
    let callers = Callers::by_peer(peer)
        .behind_networks(X, networks)
        .build()
        .unwrap();
    assert_eq!(callers.key(&request(None, &headers)), CallerKey::Unknown);
    // A proxy that connects through a Unix socket.
    let callers = Callers::by_peer(peer).behind_hops(X, 1).build().unwrap();
    let key = callers.into_key()(&request(None, &headers));
    assert_eq!(key.to_string(), "192.0.2.1");
}
