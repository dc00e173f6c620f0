//! A network in the notation `10.0.0.0/8`: what may be trusted.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

use seaworthy_kit::InvalidConfig;

/// A network: an address and how many of its leading bits count.
///
/// ```
/// use seaworthy_http::forwarded::Network;
///
/// let private: Network = "10.0.0.0/8".parse()?;
/// assert!(private.contains("10.1.2.3".parse().unwrap()));
/// // The same host, as a socket for both families sees it.
/// assert!(private.contains("::ffff:10.1.2.3".parse().unwrap()));
/// assert!("10.1.2.3/8".parse::<Network>().is_err());
/// # Ok::<_, seaworthy_kit::InvalidConfig>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Network {
    /// IPv4 as IPv4-mapped IPv6, so that one comparison serves both.
    bits: u128,
    prefix: u8,
}

/// How many bits stand before an IPv4 address in its IPv6 form.
const MAPPED: u8 = 96;

// ===== impl Network =====

impl Network {
    /// The network of that address whose first `prefix` bits count.
    ///
    /// # Errors
    /// If the prefix is longer than the address, or the address has bits set behind it, as `10.1.2.3/8` has: one of the two is a slip.
    pub fn try_new(address: IpAddr, prefix: u8) -> Result<Self, InvalidConfig> {
        let (longest, before) = match address {
            IpAddr::V4(_) => (32, MAPPED),
            IpAddr::V6(_) => (128, 0),
        };
        if prefix > longest {
            return Err(invalid("has a prefix that is longer than its address"));
        }
        let network = Self {
            bits: bits(address),
            prefix: prefix + before,
        };
        if network.bits & !mask(network.prefix) != 0 {
            return Err(invalid("has an address with bits set behind its prefix"));
        }
        Ok(network)
    }

    /// Whether the address belongs to it. `::/0` is all of IPv6, and nothing of IPv4.
    #[must_use]
    pub const fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        let same_family = address.is_ipv6() || self.prefix >= MAPPED;
        same_family && (bits(address) ^ self.bits) & mask(self.prefix) == 0
    }
}

const fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

/// The leading bits of an IPv6 address.
pub(super) const fn mask(prefix: u8) -> u128 {
    match u128::MAX.checked_shr(prefix as u32) {
        Some(host) => !host,
        None => u128::MAX,
    }
}

const fn invalid(reason: &'static str) -> InvalidConfig {
    InvalidConfig::new("network", reason)
}

/// That address alone.
impl From<IpAddr> for Network {
    fn from(address: IpAddr) -> Self {
        Self {
            bits: bits(address),
            prefix: 128,
        }
    }
}

/// `10.0.0.0/8`, `2001:db8::/32`, or an address alone.
impl FromStr for Network {
    type Err = InvalidConfig;

    fn from_str(text: &str) -> Result<Self, InvalidConfig> {
        let not_one = || invalid("is not an address, or an address, a slash and a number");
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| not_one())?;
        let Some(prefix) = prefix else {
            return Ok(address.into());
        };
        // `u8::from_str` takes a plus sign.
        if !prefix.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(not_one());
        }
        Self::try_new(address, prefix.parse().map_err(|_| not_one())?)
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let address = Ipv6Addr::from_bits(self.bits);
        match address.to_ipv4_mapped() {
            Some(address) if self.prefix >= MAPPED => {
                write!(f, "{address}/{}", self.prefix - MAPPED)
            }
            _ => write!(f, "{address}/{}", self.prefix),
        }
    }
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Network({self})")
    }
}
