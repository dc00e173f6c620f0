//! A PostgreSQL cluster of its own.

use std::ops::Deref;

use rustix::process::Signal;

use crate::server::{Kind, Server};
use crate::template::Template;

/// A running PostgreSQL; dropping it ends it and removes its folder.
///
/// What it has committed it knows after [`restart`](Server::restart), although it runs with `fsync=off`: that matters only where the operating system falls as well.
#[derive(Debug)]
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

    /// The same, as clients like it.
    #[must_use]
    pub fn url(&self) -> String {
        format!("postgres://postgres@{}/postgres", self.address())
    }
}

impl Deref for Postgres {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.0
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
