//! The leash: what the shop says to the test at each step, and the store that says so before and after each of its own.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use seaworthy::idempotency::store::{Claim, Claimed, Held, Lease, RecordKey, Store, StoreError};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

/// The line to the test.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Leash(pub(crate) SocketAddr);

/// A store that stands still where the test wants it.
pub(crate) struct Stepped<S> {
    pub(crate) store: Arc<S>,
    pub(crate) leash: Leash,
}

impl Leash {
    /// Comes to a step, and goes on when it is told to.
    pub(crate) async fn step(self, name: &str) {
        self.ask(&format!("step {name}\n")).await;
    }

    /// Has the card charged.
    pub(crate) async fn charge(self, key: &str, card: &str, token: u64) {
        self.ask(&format!("charge {key} {card} {token}\n")).await;
    }

    async fn ask(self, line: &str) {
        let mut stream = TcpStream::connect(self.0).await.unwrap();
        stream.write_all(line.as_bytes()).await.unwrap();
        let mut answer = String::new();
        BufReader::new(stream).read_line(&mut answer).await.unwrap();
        assert_eq!(answer, "go\n");
    }
}

impl<S: Store> Store for Stepped<S> {
    async fn claim(&self, claim: Claim) -> Result<Claimed, StoreError> {
        self.leash.step("before-claim").await;
        let claimed = self.store.claim(claim).await;
        self.leash.step("after-claim").await;
        claimed
    }

    async fn renew(&self, lease: Lease, hold: Duration) -> Result<Held, StoreError> {
        self.store.renew(lease, hold).await
    }

    async fn complete(
        &self,
        lease: Lease,
        answer: Bytes,
        retention: Duration,
    ) -> Result<Held, StoreError> {
        self.leash.step("before-complete").await;
        let held = self.store.complete(lease, answer, retention).await;
        self.leash.step("after-complete").await;
        held
    }

    async fn give_up(&self, lease: Lease) -> Result<Held, StoreError> {
        self.store.give_up(lease).await
    }

    async fn release(&self, lease: Lease) -> Result<Held, StoreError> {
        self.store.release(lease).await
    }

    async fn wait(&self, key: RecordKey, limit: Duration) -> Result<(), StoreError> {
        self.store.wait(key, limit).await
    }

    async fn purge(&self, limit: usize) -> Result<usize, StoreError> {
        self.store.purge(limit).await
    }
}
