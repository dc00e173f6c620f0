//! Who a caller is, and how often one may pay.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    num::NonZeroUsize,
    str::FromStr,
};

use axum::{
    body::Body,
    extract::ConnectInfo,
    http::{Extensions, Request},
};
use seaworthy::{
    InvalidConfig,
    http::forwarded::{CallerKey, Callers, ForwardedField},
    rate_limit::Quota,
};
use tonic::transport::server::TcpConnectInfo;

/// So many payments in a time: `20/s`, `100/m`, `1000/h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    payments: u64,
    unit: char,
}

/// What one caller may, and who it is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CallerLimit {
    pub(crate) rate: Rate,
    /// How many proxies in front of the demo are believed; none by default.
    pub(crate) trusted_proxies: usize,
}

/// How many callers are known at a time, some 600 bytes each: those that find no room share one
/// limit.
pub(crate) const MAX_CALLERS: NonZeroUsize = NonZeroUsize::new(10_000).expect("above zero");

// ===== impl Rate =====

impl Rate {
    pub(crate) const fn quota(self) -> Quota {
        match self.unit {
            's' => Quota::per_second(self.payments),
            'm' => Quota::per_minute(self.payments),
            _ => Quota::per_hour(self.payments),
        }
    }
}

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = "expected so many payments in a time, such as 20/s, 100/m or 1000/h";
        let wrong = |why| Err(format!("{expected}; {why}"));
        let Some((payments, unit)) = text.split_once('/') else {
            return wrong("the time is missing");
        };
        let unit = match unit {
            "s" => 's',
            "m" => 'm',
            "h" => 'h',
            _ => return wrong("the time is s, m or h"),
        };
        if payments.is_empty() || !payments.bytes().all(|byte| byte.is_ascii_digit()) {
            return wrong("the number is to be a whole one");
        }
        // Beyond what a number holds is also beyond one in a nanosecond.
        let payments = payments.parse().unwrap_or(u64::MAX);
        let rate = Self { payments, unit };
        if payments == 0 {
            return wrong("nobody could ever pay");
        }
        if rate.quota().check().is_err() {
            return wrong("that is more than one in a nanosecond");
        }
        Ok(rate)
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.payments, self.unit)
    }
}

// ===== impl CallerLimit =====

impl CallerLimit {
    /// By whom a payment is asked for.
    ///
    /// # Errors
    /// None that a flag lets through.
    pub(crate) fn key(
        self,
    ) -> Result<impl Fn(&Request<Body>) -> CallerKey + Clone + Send + Sync + 'static, InvalidConfig>
    {
        let callers = Callers::by_peer(peer);
        let callers = match self.trusted_proxies {
            0 => callers,
            proxies => callers.behind_hops(ForwardedField::XForwardedFor, proxies),
        };
        Ok(callers.build()?.into_key())
    }
}

/// Who has connected, over HTTP or over gRPC.
pub(crate) fn peer(extensions: &Extensions) -> Option<IpAddr> {
    let http = || extensions.get::<ConnectInfo<SocketAddr>>().map(|it| it.0);
    let grpc = || extensions.get::<TcpConnectInfo>()?.remote_addr();
    http().or_else(grpc).map(|address| address.ip())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn rate_is_a_number_and_a_time() {
        for (text, payments, seconds) in [
            ("20/s", 20, 1),
            ("1/m", 1, 60),
            ("007/h", 7, 3_600),
            ("1000000000/s", 1_000_000_000, 1),
        ] {
            let rate: Rate = text.parse().unwrap();
            let quota = rate.quota();
            assert_eq!(quota.burst(), payments, "{text}");
            assert_eq!(quota.units(), payments, "{text}");
            assert_eq!(quota.window(), Duration::from_secs(seconds), "{text}");
            assert_eq!(rate.to_string().parse(), Ok(rate));
        }
    }

    #[test]
    fn wrong_rate_says_what_is_expected_and_why() {
        for (text, why) in [
            ("", "the time is missing"),
            ("20", "the time is missing"),
            ("20s", "the time is missing"),
            ("20/", "s, m or h"),
            ("20/d", "s, m or h"),
            ("20/S", "s, m or h"),
            ("20/s/s", "s, m or h"),
            ("20/1s", "s, m or h"),
            ("/s", "whole"),
            ("-1/s", "whole"),
            ("+1/s", "whole"),
            ("1.5/s", "whole"),
            (" 1/s", "whole"),
            ("1e3/s", "whole"),
            ("0/s", "nobody could ever pay"),
            ("1000000001/s", "nanosecond"),
            ("99999999999999999999999999/h", "nanosecond"),
        ] {
            let error = text.parse::<Rate>().unwrap_err();
            assert!(error.contains("such as 20/s"), "{text}: {error}");
            assert!(error.contains(why), "{text}: {error}");
        }
    }
}
