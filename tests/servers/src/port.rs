//! Ports that nobody listens on.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::net::{Ipv4Addr, TcpListener};

/// Below the range that Linux takes the ports of outgoing connections from.
///
/// In that range a client that knocks at a killed server's port could be given that very port and connect to itself, and any connection of the machine could keep the server from coming back.
const PORTS: std::ops::Range<u16> = 15_000..32_000;

/// A loopback port that was free a moment ago, and that no outgoing connection is given; a server that finds it taken tries another.
#[must_use]
pub fn free() -> u16 {
    let span = u64::from(PORTS.end - PORTS.start);
    loop {
        // Each hasher has keys of its own, so this is a draw.
        let draw = RandomState::new().build_hasher().finish() % span;
        let port = PORTS.start + u16::try_from(draw).unwrap();
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
}
