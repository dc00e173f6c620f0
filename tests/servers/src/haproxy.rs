//! A load balancer of its own.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::ops::Deref;
use std::process::Command;

use rustix::process::Signal;

use crate::server::{Kind, Server};
use crate::template::{installed, on_path};

/// A running HAProxy; dropping it kills it and removes its folder.
#[derive(Debug)]
pub struct Haproxy(Server);

impl Haproxy {
    /// One with the configuration that is made for the address where it is to listen.
    ///
    /// ```no_run
    /// let balancer = servers::Haproxy::start(|address| {
    ///     format!(
    ///         "defaults\n mode http\n timeout connect 1s\n timeout client 9s\n timeout server 9s\n\
    ///          listen all\n bind {address}\n server one 127.0.0.1:3000 check\n"
    ///     )
    /// });
    /// let url = format!("http://{}/", balancer.address());
    /// ```
    #[must_use]
    pub fn start(configuration: impl Fn(SocketAddr) -> String + Send + Sync + 'static) -> Self {
        let program = installed(on_path("haproxy"), "haproxy");
        let folder = tempfile::Builder::new()
            .prefix("seaworthy-haproxy-")
            .tempdir()
            .unwrap();
        Self(Server::start(
            folder,
            Kind {
                command: Box::new(move |port, folder| {
                    let path = folder.path().join("haproxy.cfg");
                    let address = (Ipv4Addr::LOCALHOST, port).into();
                    fs::write(&path, configuration(address)).unwrap();
                    let mut command = Command::new(&program);
                    // With a master, which says when its worker has its sockets; without one it says nothing.
                    // The worker ends with it.
                    command.args(["-W", "-db", "-f"]).arg(path);
                    command
                }),
                ready: "Loading success",
                quit: Signal::KILL,
            },
        ))
    }
}

impl Deref for Haproxy {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.0
    }
}
