//! Which address a request counts for, and the key that a limit keeps for it.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::num::NonZeroUsize;
use std::sync::Arc;

use http::{Extensions, Request};
use seaworthy_kit::InvalidConfig;

use super::network::mask;
use super::{ForwardedField, Hop, Network, hops};
use crate::key::Key;

/// Finds out who called; see the [module](super).
#[derive(Clone)]
pub struct Callers<P> {
    peer: P,
    ipv6_prefix: u8,
    forwarding: Option<Forwarding>,
}

/// What [`Callers`] are built from.
#[derive(Clone)]
#[must_use = "a builder does nothing until it is built"]
pub struct Builder<P> {
    callers: Callers<P>,
    fault: Option<InvalidConfig>,
}

#[derive(Clone, Debug)]
struct Forwarding {
    field: ForwardedField,
    trust: Trust,
}

#[derive(Clone, Debug)]
enum Trust {
    Hops(NonZeroUsize),
    Networks(Arc<[Network]>),
}

/// The key of a caller by its address: `Copy`, and the same in every process, so that a shared store can have it.
///
/// For a limit on a shared store, make it a [`Key`].
/// Its text is the address, the network as `2001:db8::/64`, or `unknown`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[non_exhaustive]
pub enum CallerKey {
    /// An IPv4 address, also one that came as IPv4-mapped IPv6.
    V4(Ipv4Addr),
    /// An IPv6 network.
    V6 {
        /// Its address, zero behind the prefix.
        network: Ipv6Addr,
        /// The length of its prefix.
        prefix: u8,
    },
    /// Nobody knows the address: the connection has none, or the server does not tell it.
    Unknown,
}

impl Callers<()> {
    /// By the address of the connection, which this function finds among the extensions of a request.
    ///
    /// With axum that is `|extensions| extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip())`, where the server was made by `into_make_service_with_connect_info::<SocketAddr>()`.
    /// Where it finds none, all those callers are [`CallerKey::Unknown`] together.
    pub fn by_peer<P>(peer: P) -> Builder<P>
    where
        P: Fn(&Extensions) -> Option<IpAddr>,
    {
        Builder {
            callers: Callers {
                peer,
                ipv6_prefix: DEFAULT_PREFIX,
                forwarding: None,
            },
            fault: None,
        }
    }
}

// ===== impl Builder =====

impl<P> Builder<P> {
    /// How many leading bits of an IPv6 address make the key. Default: 64.
    ///
    /// A subscriber has at least a /64, which is eighteen million million million addresses: a key for each would be no limit, and no bound on memory.
    /// Many have a /56 or a /48.
    pub const fn ipv6_prefix(mut self, bits: u8) -> Self {
        if bits == 0 || bits > 128 {
            self.fault = Some(InvalidConfig::new("ipv6_prefix", "must be 1 to 128"));
        }
        self.callers.ipv6_prefix = bits;
        self
    }

    /// Trusts so many proxies in front of this server, whatever their addresses: the caller is the last but `proxies - 1` of the chain. Default: none.
    ///
    /// Only where nobody can reach the server but through them: whoever can is believed.
    /// A chain that is shorter counts to its end; without any the peer is the caller.
    pub fn behind_hops(mut self, field: ForwardedField, proxies: usize) -> Self {
        match NonZeroUsize::new(proxies) {
            Some(proxies) => self.trust(field, Trust::Hops(proxies)),
            None => {
                self.fault = Some(InvalidConfig::new("behind_hops", "must be at least 1"));
                self
            }
        }
    }

    /// Trusts the proxies in these networks: the caller is the first address from the right of the chain that is in none of them. Default: none.
    ///
    /// A peer outside of them is itself the caller, whatever it sends.
    /// Whoever calls from inside of them is believed: list the proxies' networks, no wider ones.
    pub fn behind_networks(
        mut self,
        field: ForwardedField,
        networks: impl IntoIterator<Item = Network>,
    ) -> Self {
        let networks: Arc<[_]> = networks.into_iter().collect();
        if networks.is_empty() {
            self.fault = Some(InvalidConfig::new("behind_networks", "must have a network"));
        }
        self.trust(field, Trust::Networks(networks))
    }

    fn trust(mut self, field: ForwardedField, trust: Trust) -> Self {
        self.callers.forwarding = Some(Forwarding { field, trust });
        self
    }

    /// Makes it.
    ///
    /// # Errors
    /// If an option has a value that cannot work; the error names the option.
    pub fn build(self) -> Result<Callers<P>, InvalidConfig> {
        match self.fault {
            Some(fault) => Err(fault),
            None => Ok(self.callers),
        }
    }
}

// ===== impl Callers =====

impl<P> Callers<P>
where
    P: Fn(&Extensions) -> Option<IpAddr>,
{
    /// The address of the caller, as far as it can be trusted; IPv4 also where it came as IPv4-mapped IPv6.
    ///
    /// Never one that the caller could have made up: where the chain ends, or a hop of it cannot be read, it is the address of the last proxy that could.
    #[must_use]
    pub fn address<B>(&self, request: &Request<B>) -> Option<IpAddr> {
        let peer = (self.peer)(request.extensions()).map(|address| address.to_canonical());
        let Some(Forwarding { field, trust }) = &self.forwarding else {
            return peer;
        };
        let mut hops = hops(request.headers(), *field).map_while(|hop| match hop {
            Hop::Address(address) => Some(address),
            Hop::Hidden | Hop::Malformed => None,
        });
        match trust {
            Trust::Hops(proxies) => hops.take(proxies.get()).last().or(peer),
            Trust::Networks(networks) => {
                let is_trusted = |address| networks.iter().any(|network| network.contains(address));
                let mut caller = peer?;
                while is_trusted(caller)
                    && let Some(next) = hops.next()
                {
                    caller = next;
                }
                Some(caller)
            }
        }
    }

    /// The key of the caller.
    #[must_use]
    pub fn key<B>(&self, request: &Request<B>) -> CallerKey {
        match self.address(request) {
            Some(address) => CallerKey::of(address, self.ipv6_prefix),
            None => CallerKey::Unknown,
        }
    }

    /// The same as a function, for a keyed layer.
    pub fn into_key<B>(self) -> impl Fn(&Request<B>) -> CallerKey + Clone + use<P, B>
    where
        P: Clone,
    {
        move |request| self.key(request)
    }
}

impl<P> fmt::Debug for Callers<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Callers")
            .field("ipv6_prefix", &self.ipv6_prefix)
            .field("forwarding", &self.forwarding)
            .finish_non_exhaustive()
    }
}

impl<P> fmt::Debug for Builder<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("callers", &self.callers)
            .field("fault", &self.fault)
            .finish()
    }
}

// ===== impl CallerKey =====

impl CallerKey {
    /// The key of an address, of IPv6 by its first so many bits.
    #[must_use]
    pub const fn of(address: IpAddr, ipv6_prefix: u8) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self::V4(address),
            IpAddr::V6(address) => Self::V6 {
                network: Ipv6Addr::from_bits(address.to_bits() & mask(ipv6_prefix)),
                prefix: ipv6_prefix,
            },
        }
    }
}

/// For a limit on a shared store: four bytes, or sixteen and the length of the prefix; [`Key::ABSENT`] where nobody knows.
impl From<CallerKey> for Key {
    fn from(caller: CallerKey) -> Self {
        match caller {
            CallerKey::V4(address) => Self::new(address.octets()),
            CallerKey::V6 { network, prefix } => {
                let mut bytes = [prefix; 17];
                bytes[..16].copy_from_slice(&network.octets());
                Self::new(bytes)
            }
            CallerKey::Unknown => Self::ABSENT,
        }
    }
}

impl fmt::Display for CallerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::V4(address) => fmt::Display::fmt(address, f),
            Self::V6 { network, prefix } => write!(f, "{network}/{prefix}"),
            Self::Unknown => f.write_str("unknown"),
        }
    }
}

/// What a subscriber has at least, RFC 6177.
const DEFAULT_PREFIX: u8 = 64;
