//! A PostgreSQL cluster of its own.

use std::fmt;
use std::net::SocketAddr;

use rustix::process::Signal;

use crate::server::{Kind, Server};
use crate::template::Template;

/// A running PostgreSQL; dropping it ends it and removes its folder.
///
/// What it has committed it knows after [`restart`](Self::restart), although it runs with `fsync=off`: that matters only where the operating system falls as well.
pub struct Postgres(Server);

impl Postgres {
    /// A cluster with the superuser and the one database `postgres`, without passwords; another database cannot be made, for there is no template.
    #[must_use]
    pub fn start() -> Self {
        let template = Template::get();
        let folder = template.copy();
        Self(Server::start(
            folder,
            Kind {
                command: Box::new(move |port, folder| {
                    let mut command = template.command("postgres");
                    command
                        .arg("-D")
                        .arg(folder.path().join("data"))
                        .args(["-p", &port.to_string()])
                        .args(SETTINGS.map(|setting| format!("--{setting}")));
                    command
                }),
                ready: "database system is ready to accept connections",
                // SIGKILL would leave a segment of shared memory behind, each time.
                quit: Signal::QUIT,
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
        format!("postgres://postgres@{}/postgres", self.address())
    }

    /// Kills all its processes at once, as the machine's loss would; connections to it break and its port refuses new ones.
    pub fn kill(&self) {
        self.0.kill();
    }

    /// Kills it if it runs, and starts it again on its port and in its folder.
    pub fn restart(&self) {
        self.0.restart();
    }

    /// Stops all its processes without a word (SIGSTOP): connections stay, and nothing is answered.
    pub fn pause(&self) {
        self.0.signal(Signal::STOP);
    }

    /// Lets it go on from there.
    pub fn resume(&self) {
        self.0.signal(Signal::CONT);
    }
}

impl fmt::Debug for Postgres {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Postgres").field(&self.address()).finish()
    }
}

/// Small and quick to start; what is durable about it is its log, which is not changed here but for waiting for the disk.
const SETTINGS: [&str; 8] = [
    "listen_addresses=127.0.0.1",
    "unix_socket_directories=",
    "fsync=off",
    "full_page_writes=off",
    "shared_buffers=32MB",
    "max_connections=250",
    "max_wal_size=64MB",
    "logging_collector=off",
];
