//! A Redis, or a Valkey where that is what the machine has.

use std::ops::Deref;
use std::path::PathBuf;
use std::process::Command;

use rustix::process::Signal;

use crate::server::{Kind, Server};
use crate::template::{installed, on_path};

/// A running Redis or Valkey; dropping it kills it and removes its folder.
#[derive(Debug)]
pub struct Redis(Server);

impl Redis {
    /// One that keeps everything in memory, and so forgets everything when it is killed.
    #[must_use]
    pub fn start() -> Self {
        Self::with(&[])
    }

    /// One that has written what it answers to, so that it knows it after [`restart`](Server::restart).
    #[must_use]
    pub fn durable() -> Self {
        Self::with(&["--appendonly", "yes", "--appendfsync", "always"])
    }

    /// One that keeps everything in memory, with further arguments: `["--maxmemory", "10mb"]`.
    #[must_use]
    pub fn with(arguments: &[&str]) -> Self {
        let program = program();
        let arguments = Vec::from_iter(arguments.iter().map(|&it| it.to_owned()));
        let folder = tempfile::Builder::new()
            .prefix("seaworthy-redis-")
            .tempdir()
            .unwrap();
        Self(Server::start(
            folder,
            Kind {
                command: Box::new(move |port, folder| {
                    let mut command = Command::new(&program);
                    command
                        .args(["--bind", "127.0.0.1", "--save", ""])
                        .args(["--port", &port.to_string()])
                        .arg("--dir")
                        .arg(folder.path())
                        .args(&arguments);
                    command
                }),
                ready: "Ready to accept connections",
                quit: Signal::KILL,
            },
        ))
    }

    /// The same, as clients like it.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://{}/", self.address())
    }
}

impl Deref for Redis {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.0
    }
}

fn program() -> PathBuf {
    let found = on_path("redis-server").or_else(|| on_path("valkey-server"));
    installed(found, "redis-server")
}
