//! A wire between client and server that counts the turns on it, and loses replies when told to.

use std::fmt;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

/// A proxy in front of one server.
///
/// It connects to the server for each client anew, so the server may be killed and restarted behind it.
pub struct Proxy {
    address: SocketAddr,
    wire: Arc<Wire>,
}

/// How a reply is lost.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Loss {
    /// The connection breaks in its place.
    Cut,
    /// Nothing comes any more on that connection, which stays.
    Silence,
}

struct Wire {
    server: SocketAddr,
    turns: AtomicUsize,
    connections: AtomicUsize,
    lost: AtomicUsize,
    lose: Mutex<Option<Loss>>,
    open: AtomicBool,
    streams: Mutex<Vec<TcpStream>>,
}

impl Proxy {
    /// A proxy in front of the server at that address, on a port of its own.
    #[must_use]
    pub fn to(server: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let wire = Arc::new(Wire {
            server,
            turns: AtomicUsize::new(0),
            connections: AtomicUsize::new(0),
            lost: AtomicUsize::new(0),
            lose: Mutex::new(None),
            open: AtomicBool::new(true),
            streams: Mutex::default(),
        });
        thread::spawn({
            let wire = Arc::clone(&wire);
            move || wire.accept(&listener)
        });
        Self { address, wire }
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How often a client has spoken after the server did, since the last call of this: the round trips.
    ///
    /// What a client sends in several pieces before it is answered is one turn.
    #[must_use]
    pub fn take_turns(&self) -> usize {
        self.wire.turns.swap(0, SeqCst)
    }

    /// How many connections there have been.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.wire.connections.load(SeqCst)
    }

    /// Loses what the server says next: the server has done what it was asked, and the client does not know.
    pub fn lose_next_reply(&self, loss: Loss) {
        *lock(&self.wire.lose) = Some(loss);
    }

    /// How many replies were lost.
    #[must_use]
    pub fn lost(&self) -> usize {
        self.wire.lost.load(SeqCst)
    }

    /// Breaks all connections that there are.
    pub fn cut(&self) {
        for stream in lock(&self.wire.streams).drain(..) {
            // Those that are closed already are no failure.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

impl Wire {
    fn accept(self: &Arc<Self>, listener: &TcpListener) {
        while let Ok((client, _)) = listener.accept() {
            if !self.open.load(SeqCst) {
                return;
            }
            // A server that is down closes the client's connection, as if it had been reached.
            let Ok(server) = TcpStream::connect(self.server) else {
                continue;
            };
            self.connections.fetch_add(1, SeqCst);
            self.join(client, server);
        }
    }

    fn join(self: &Arc<Self>, client: TcpStream, server: TcpStream) {
        client.set_nodelay(true).unwrap();
        server.set_nodelay(true).unwrap();
        lock(&self.streams).extend([client.try_clone().unwrap(), server.try_clone().unwrap()]);
        let answered = Arc::new(AtomicBool::new(true));
        let (from_client, to_server) = (client.try_clone().unwrap(), server.try_clone().unwrap());
        thread::spawn({
            let (wire, answered) = (Arc::clone(self), Arc::clone(&answered));
            move || {
                pass(from_client, to_server, || {
                    if answered.swap(false, SeqCst) {
                        wire.turns.fetch_add(1, SeqCst);
                    }
                    Next::Pass
                });
            }
        });
        let wire = Arc::clone(self);
        thread::spawn(move || {
            let mut silent = false;
            pass(server, client, || {
                answered.store(true, SeqCst);
                let loss = lock(&wire.lose).take();
                if loss.is_some() {
                    wire.lost.fetch_add(1, SeqCst);
                }
                silent |= loss == Some(Loss::Silence);
                match loss {
                    Some(Loss::Cut) => Next::Cut,
                    _ if silent => Next::Swallow,
                    _ => Next::Pass,
                }
            });
        });
    }
}

enum Next {
    Pass,
    Swallow,
    Cut,
}

/// Carries what comes until one side ends, then ends the other.
fn pass(mut from: TcpStream, mut to: TcpStream, mut next: impl FnMut() -> Next) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(length) = from.read(&mut buffer) {
        if length == 0 {
            break;
        }
        match next() {
            Next::Pass if to.write_all(&buffer[..length]).is_ok() => {}
            Next::Swallow => {}
            Next::Pass | Next::Cut => break,
        }
    }
    let _ = to.shutdown(Shutdown::Both);
    let _ = from.shutdown(Shutdown::Both);
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.wire.open.store(false, SeqCst);
        self.cut();
        // Wakes who waits for the next connection.
        let _ = TcpStream::connect(self.address);
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxy")
            .field("address", &self.address)
            .field("server", &self.wire.server)
            .finish_non_exhaustive()
    }
}
