//! What the demo prints when it has started: where to look, and lines to try.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
};

use crate::demo::Demo;

/// The text, with the ports that were really taken.
#[derive(Clone, Copy, Debug)]
#[must_use]
pub(crate) struct Banner<'a>(&'a Demo);

impl<'a> Banner<'a> {
    /// The text for a running demo.
    pub(crate) fn of(demo: &'a Demo) -> Self {
        Self(demo)
    }
}

impl fmt::Display for Banner<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let addresses = self.0.addresses();
        let http = reachable(addresses.http);
        let grpc = reachable(addresses.grpc);
        let fraud = addresses.fraud;
        let fraud_faults = addresses.fraud_faults;
        writeln!(f, "A payments service that survives its upstreams.\n")?;
        writeln!(f, "  live page              http://{http}/")?;
        writeln!(f, "  payments API           http://{http}/v1/payments")?;
        writeln!(
            f,
            "  payments API (gRPC)    {grpc}  payments.v1.Payments, with reflection"
        )?;
        writeln!(
            f,
            "  product page           http://{http}/v1/products/7?user_id=1"
        )?;
        let products = reachable(addresses.product_faults);
        writeln!(
            f,
            "  product page faults    http://{products}/NAME/faults, with the name of an upstream"
        )?;
        writeln!(
            f,
            "  health                 http://{http}/health, and /health/live, /ready, /startup"
        )?;
        writeln!(
            f,
            "  health (gRPC)          {grpc}  grpc.health.v1.Health, with reflection"
        )?;
        writeln!(f, "  metrics                http://{http}/metrics")?;
        match addresses.gateway.map(reachable) {
            Some(gateway) => {
                writeln!(f, "  card gateway           http://{gateway}/charge")?;
                writeln!(f, "  card gateway faults    http://{gateway}/faults")?;
                writeln!(f, "  card gateway charges   http://{gateway}/charges")?;
            }
            None => writeln!(
                f,
                "  card gateway           {} (outside)",
                self.0.gateway_url()
            )?,
        }
        writeln!(
            f,
            "  fraud service (gRPC)   {fraud}  fraud.v1.Fraud, with reflection"
        )?;
        writeln!(f, "  fraud service faults   http://{fraud_faults}/faults")?;
        writeln!(f, "  idempotency keys       in {}", self.0.key_store())?;
        let rate = self.0.rate();
        write!(f, "  rate limit             {rate} for each address")?;
        match self.0.trusted_proxies() {
            0 => writeln!(f)?,
            1 => writeln!(f, ", as the proxy in front says it")?,
            proxies => writeln!(f, ", as {proxies} proxies in front say it")?,
        }
        writeln!(f, "\nMake a payment:")?;
        writeln!(
            f,
            "  curl -s http://{http}/v1/payments -d \
             '{{\"amount\":99.99,\"currency\":\"USD\",\"card_token\":\"tok_visa\"}}'"
        )?;
        writeln!(f, "\nPay once, however often this is sent:")?;
        writeln!(
            f,
            "  curl -si http://{http}/v1/payments -H 'Idempotency-Key: order-1' -d \
             '{{\"amount\":99.99,\"currency\":\"USD\",\"card_token\":\"tok_visa\"}}'"
        )?;
        if let Some(gateway) = addresses.gateway.map(reachable) {
            writeln!(
                f,
                "\nBreak the card gateway, pay a few times, mend it, and watch:"
            )?;
            writeln!(
                f,
                "  curl -s http://{gateway}/faults -d '{{\"error_rate\":1.0}}'"
            )?;
            writeln!(
                f,
                "  curl -s http://{gateway}/faults -d '{{\"error_rate\":0.0}}'"
            )?;
        }
        writeln!(
            f,
            "\nBreak an upstream of the product page, and see what it does without:"
        )?;
        writeln!(
            f,
            "  curl -s http://{products}/reviews/faults -d '{{\"hang\":true}}'"
        )?;
        writeln!(f, "  curl -si 'http://{http}/v1/products/7?user_id=1'\n")?;
        let grace = self.0.grace();
        if grace.is_zero() {
            return writeln!(f, "Ctrl-C lets running payments finish, then exits.");
        }
        writeln!(
            f,
            "Ctrl-C turns the readiness off, takes calls for {grace:?} more, lets running payments \
             finish, then exits."
        )
    }
}

/// An address to connect to: that of "every interface" is none.
pub(crate) fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(std::net::Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(std::net::Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}
