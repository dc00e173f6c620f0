//! A Redis, or a Valkey where that is what the machine has.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;

use rustix::process::Signal;

use crate::server::{Kind, Server};
use crate::template::on_path;

/// A running Redis or Valkey; dropping it kills it and removes its folder.
pub struct Redis(Server);

impl Redis {
    /// One that keeps everything in memory, and so forgets everything when it is killed.
    #[must_use]
    pub fn start() -> Self {
        Self::with(&[])
    }

    /// One that has written what it answers to, so that it knows it after [`restart`](Self::restart).
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

    /// Where it listens, also while it is killed.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.0.address()
    }

    /// The same, as clients like it.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://{}/", self.address())
    }

    /// Kills it, as the machine's loss would; connections to it break and its port refuses new ones.
    pub fn kill(&self) {
        self.0.kill();
    }

    /// Kills it if it runs, and starts it again on its port and in its folder.
    pub fn restart(&self) {
        self.0.restart();
    }

    /// Stops it without a word (SIGSTOP): connections stay, and nothing is answered.
    pub fn pause(&self) {
        self.0.signal(Signal::STOP);
    }

    /// Lets it go on from there.
    pub fn resume(&self) {
        self.0.signal(Signal::CONT);
    }
}

impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Redis").field(&self.address()).finish()
    }
}

fn program() -> PathBuf {
    on_path("redis-server")
        .or_else(|| on_path("valkey-server"))
        .expect("redis-server or valkey-server is installed")
}
