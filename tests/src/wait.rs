//! Handshakes: how a test knows that something has happened, without guessing how long it takes.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

/// A hang ends here; nothing that works takes a hundredth of it.
const LIMIT: Duration = Duration::from_secs(30);

/// Waits for the future; one that hangs fails the test instead.
pub async fn within<F: Future>(what: &str, future: F) -> F::Output {
    timeout(LIMIT, future)
        .await
        .unwrap_or_else(|_| panic!("waited in vain: {what}"))
}

/// Waits until the condition holds: for what nobody announces, as a connection that is noticed to be gone.
pub async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    within(what, async {
        while !holds() {
            sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
}

/// Holds handlers up until the test lets them go on, and tells the test that they have arrived.
#[derive(Clone, Debug)]
pub struct Gate {
    arrived: Arc<Semaphore>,
    leave: Arc<Semaphore>,
}

impl Gate {
    /// A gate that lets nobody through yet.
    #[must_use]
    pub fn closed() -> Self {
        Self {
            arrived: Arc::new(Semaphore::new(0)),
            leave: Arc::new(Semaphore::new(0)),
        }
    }

    /// Waits to be let through.
    pub async fn pass(&self) {
        self.arrived.add_permits(1);
        // An open gate has a closed semaphore.
        if let Ok(permit) = self.leave.acquire().await {
            permit.forget();
        }
    }

    /// Waits until so many have come that were not waited for before.
    pub async fn arrivals(&self, count: u32) {
        let arrived = self.arrived.acquire_many(count);
        within("arrivals at a gate", arrived)
            .await
            .unwrap()
            .forget();
    }

    /// Lets so many through.
    pub fn let_through(&self, count: usize) {
        self.leave.add_permits(count);
    }

    /// Lets everybody through from now on.
    pub fn open(&self) {
        self.leave.close();
    }
}
