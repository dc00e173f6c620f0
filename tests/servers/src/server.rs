//! What servers have in common: a port and a folder that outlive their process.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::process::Signal;
use tempfile::TempDir;

use crate::port;
use crate::process::Process;

/// How many taken ports are bad luck, and not a mistake of ours.
const TRIES: usize = 20;

/// A running server, of whichever kind; dropping it ends it and removes its folder.
pub struct Server {
    kind: Kind,
    port: u16,
    process: Mutex<Option<Process>>,
    /// Last: it is removed when nobody writes to it any more.
    folder: TempDir,
}

/// How servers differ.
pub(crate) struct Kind {
    /// The command that runs it in the foreground, on that port and in that folder.
    pub(crate) command: Box<dyn Fn(u16, &TempDir) -> Command + Send + Sync>,
    /// What it says when it is ready.
    pub(crate) ready: &'static str,
    /// What ends it at once and leaves nothing behind on the machine.
    pub(crate) quit: Signal,
}

impl Server {
    pub(crate) fn start(folder: TempDir, kind: Kind) -> Self {
        let mut log = String::new();
        for _ in 0..TRIES {
            let port = port::free();
            let command = (kind.command)(port, &folder);
            match Process::start(command, kind.ready, folder.path()) {
                Ok(process) => {
                    return Self {
                        kind,
                        port,
                        process: Mutex::new(Some(process)),
                        folder,
                    };
                }
                Err(said) if said.contains("Address already in use") => log = said,
                Err(said) => panic!("the server did not start:\n{said}"),
            }
        }
        panic!("the server found no port, at last:\n{log}");
    }

    /// Where it listens, also while it is killed.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// Kills all its processes at once, as the machine's loss would; connections to it break and its port refuses new ones.
    pub fn kill(&self) {
        if let Some(process) = self.process().take() {
            process.end(Signal::KILL);
        }
    }

    /// Kills it if it runs, and starts it again on its port and in its folder.
    pub fn restart(&self) {
        self.kill();
        let command = (self.kind.command)(self.port, &self.folder);
        match Process::start(command, self.kind.ready, self.folder.path()) {
            Ok(process) => *self.process() = Some(process),
            Err(said) => panic!("the server did not start again:\n{said}"),
        }
    }

    /// Stops all its processes without a word (SIGSTOP): connections stay, and nothing is answered.
    pub fn pause(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets it go on from there.
    pub fn resume(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        match &*self.process() {
            Some(process) => process.signal(signal),
            None => panic!("the server was killed"),
        }
    }

    fn process(&self) -> MutexGuard<'_, Option<Process>> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Server").field(&self.address()).finish()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(process) = self.process().take() {
            process.end(self.kind.quit);
        }
    }
}
