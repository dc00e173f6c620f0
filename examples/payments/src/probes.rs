//! Health: the registry, its faces over HTTP and gRPC, and who may see behind them.

use std::time::Duration;

use axum::{Router, http::request::Parts};
use seaworthy::{
    InvalidConfig,
    health::{Check, GrpcHealthLayer, Health, HealthLayer},
};

use crate::{callers::peer, guards::Guards, queue::Queue};

/// The registry of the demo, with nothing in it yet: [`Demo::start`](crate::Demo::start) puts in what
/// it makes. It comes first, so that a signal during the start drains as well.
///
/// # Errors
/// None: the options work.
pub fn health() -> Result<Health, InvalidConfig> {
    Health::builder("payments")
        .version(env!("CARGO_PKG_VERSION"))
        .build()
}

/// Who may look behind the scenes: at the checks one by one, and at the metrics.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Insiders {
    /// How many proxies stand in front.
    pub(crate) trusted_proxies: usize,
}

/// Puts in what the demo is made of. None of it is critical: while the gateway is away payments are
/// queued, and without the fraud service they are not checked.
///
/// # Errors
/// If the registry has checks of these names already.
pub(crate) fn register(
    health: &Health,
    guards: &Guards,
    queue: &Queue,
) -> Result<(), InvalidConfig> {
    health.add_layers(guards.vitals())?;
    let depth = {
        let queue = queue.clone();
        move || std::future::ready(queue.len() as f64)
    };
    let capacity = queue.capacity() as f64;
    let depth = Check::new("queue_depth", depth)
        .critical(false)
        // Half full says that the gateway has been away for a while, full that payments are refused.
        .warn_above(capacity / 2.0)
        .fail_above(capacity - 0.5)
        .max_age(Duration::ZERO)
        .unit("payments");
    health.add(depth)?;
    // What gRPC clients ask for by its name.
    let kinds = [
        "circuit_breaker",
        "bulkhead",
        "adaptive",
        "rate_limit",
        "queue_depth",
    ];
    health.set_group("payments.v1.Payments", kinds)
}

/// Health in front of the HTTP API: outside of all else, so that no limit refuses a probe.
///
/// # Errors
/// None: the options work.
pub(crate) fn in_front(
    router: Router,
    health: &Health,
    insiders: Insiders,
) -> Result<Router, InvalidConfig> {
    let layer = HealthLayer::http(health)
        .details(move |parts| insiders.include(parts))
        .build()?;
    Ok(router.layer(layer))
}

/// `grpc.health.v1.Health`, as a route of its own: no limit is in front of it either.
pub(crate) fn over_grpc(health: &Health) -> Router {
    let service = GrpcHealthLayer::new(health).service();
    Router::new().route_service("/grpc.health.v1.Health/{method}", service)
}

// ===== impl Insiders =====

impl Insiders {
    /// Whether a request comes from this machine, by the address that has connected: what a header
    /// says, anybody can write.
    ///
    /// Behind a proxy on this machine everybody has such an address. What has come through one has
    /// its header, which can so only take away, and never give.
    pub(crate) fn include(self, parts: &Parts) -> bool {
        let is_near = peer(&parts.extensions).is_some_and(|ip| ip.to_canonical().is_loopback());
        let came_through = || {
            let headers = &parts.headers;
            headers.contains_key("x-forwarded-for") || headers.contains_key("forwarded")
        };
        is_near && (self.trusted_proxies == 0 || !came_through())
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use axum::{
        body::Body,
        extract::{ConnectInfo, Request},
    };

    use super::*;

    fn include(trusted_proxies: usize, peer: Option<&str>, header: Option<(&str, &str)>) -> bool {
        let mut request = Request::new(Body::empty());
        if let Some(peer) = peer {
            let peer: SocketAddr = peer.parse().unwrap();
            request.extensions_mut().insert(ConnectInfo(peer));
        }
        if let Some((name, value)) = header {
            let name: axum::http::HeaderName = name.parse().unwrap();
            request.headers_mut().insert(name, value.parse().unwrap());
        }
        let (parts, _) = request.into_parts();
        Insiders { trusted_proxies }.include(&parts)
    }

    #[test]
    fn insiders_connect_from_this_machine() {
        for (peer, is_in) in [
            ("127.0.0.1:1", true),
            ("127.8.8.8:1", true),
            ("[::1]:1", true),
            // Where the demo listens on `[::]`.
            ("[::ffff:127.0.0.1]:1", true),
            ("0.0.0.0:1", false),
            ("10.0.0.1:1", false),
            ("192.168.1.7:1", false),
            ("128.0.0.1:1", false),
            ("203.0.113.7:1", false),
            ("[::]:1", false),
            ("[fe80::1]:1", false),
            ("[::ffff:203.0.113.7]:1", false),
            ("[::127.0.0.1]:1", false),
        ] {
            for trusted_proxies in [0, 1] {
                assert_eq!(include(trusted_proxies, Some(peer), None), is_in, "{peer}");
            }
        }
        assert!(!include(0, None, None), "nobody knows who that is");
    }

    #[test]
    fn header_lets_nobody_in() {
        for header in [
            ("x-forwarded-for", "127.0.0.1"),
            ("forwarded", "for=127.0.0.1"),
            ("x-real-ip", "127.0.0.1"),
            ("host", "localhost"),
        ] {
            for trusted_proxies in [0, 1, 2] {
                let is_in = include(trusted_proxies, Some("203.0.113.7:1"), Some(header));
                assert!(!is_in, "{header:?}, {trusted_proxies}");
            }
        }
        let stranger = Some(("x-forwarded-for", "203.0.113.7"));
        assert!(include(0, Some("127.0.0.1:1"), stranger), "nor out");
    }

    #[test]
    fn who_comes_through_a_proxy_on_this_machine_is_no_insider() {
        for header in [
            ("x-forwarded-for", "203.0.113.7"),
            ("x-forwarded-for", "127.0.0.1"),
            ("forwarded", "for=127.0.0.1"),
        ] {
            assert!(!include(1, Some("127.0.0.1:1"), Some(header)), "{header:?}");
        }
    }
}
