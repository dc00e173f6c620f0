//! What the test holds while the shop's process lives and dies: the gateway that charges cards, and the leash.
//!
//! The shop says each step that it comes to, and goes on only when it is told to; a step that is not answered is where it is killed.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

/// The gateway and the leash, for any number of shops.
pub(crate) struct Control {
    address: SocketAddr,
    shared: Arc<Shared>,
    server: JoinHandle<()>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    /// A shop stands at the step that was named.
    stopped: Notify,
    /// Those who stand go on.
    going: Notify,
}

#[derive(Default)]
struct State {
    charges: Vec<Charge>,
    stop_at: Option<String>,
    passed: HashMap<String, usize>,
}

/// One order to charge a card, as the gateway got it.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Charge {
    /// What makes two orders one: a gateway would charge the second not again.
    pub(crate) key: String,
    pub(crate) card: String,
    /// The token of the run that gave the order.
    pub(crate) token: u64,
}

impl Control {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::<Shared>::default();
        let state = shared.clone();
        let server = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(answer(stream, state.clone()));
            }
        });
        Self {
            address,
            shared,
            server,
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The next shop that comes to that step stands there until [`go_on`](Self::go_on).
    pub(crate) fn stop_at(&self, step: &str) {
        self.lock().stop_at = Some(step.to_owned());
    }

    /// A shop stands where it was told to.
    pub(crate) async fn stopped(&self) {
        self.shared.stopped.notified().await;
    }

    pub(crate) fn go_on(&self) {
        self.shared.going.notify_waiters();
    }

    /// The orders to charge that card, in their order.
    pub(crate) fn charges(&self, card: &str) -> Vec<Charge> {
        let state = self.lock();
        let of_card = state.charges.iter().filter(|charge| charge.card == card);
        of_card.cloned().collect()
    }

    /// How often a shop came to that step.
    pub(crate) fn passed(&self, step: &str) -> usize {
        self.lock().passed.get(step).copied().unwrap_or(0)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.shared.state.lock().unwrap()
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// One line asks, one line answers.
async fn answer(mut stream: TcpStream, shared: Arc<Shared>) {
    let (read, mut write) = stream.split();
    let mut line = String::new();
    if BufReader::new(read).read_line(&mut line).await.is_err() {
        return;
    }
    let words: Vec<_> = line.split_whitespace().collect();
    match words[..] {
        ["step", step] => {
            let going = shared.going.notified();
            let stops = {
                let mut state = shared.state.lock().unwrap();
                *state.passed.entry(step.to_owned()).or_default() += 1;
                state.stop_at.take_if(|stop| stop == step).is_some()
            };
            if stops {
                shared.stopped.notify_one();
                going.await;
            }
        }
        ["charge", key, card, token] => {
            let charge = Charge {
                key: key.to_owned(),
                card: card.to_owned(),
                token: token.parse().unwrap(),
            };
            shared.state.lock().unwrap().charges.push(charge);
        }
        // The shop died in the middle of a word.
        _ => return,
    }
    // It may be gone by now.
    let _ = write.write_all(b"go\n").await;
}
