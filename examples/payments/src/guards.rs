//! What can be seen of the layers while they work, and how the queue hears of the gateway's circuit.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use seaworthy::{
    Event, Subscription,
    bulkhead::BulkheadHandle,
    circuit_breaker::{CircuitBreakerHandle, State},
    retry::RetryHandle,
    timeout::{TimeoutHandle, deadline::DeadlineHandle},
};
use serde::Serialize;
use tokio::sync::watch;

use crate::stack::KeysHandle;

/// The handles of every layer in the stack; shared by its clones.
#[derive(Clone, Debug)]
pub(crate) struct Guards {
    pub(crate) payment: PaymentGuards,
    pub(crate) gateway: GatewayGuards,
    pub(crate) fraud: FraudGuards,
}

#[derive(Clone, Debug)]
pub(crate) struct PaymentGuards {
    pub(crate) deadline: DeadlineHandle,
    pub(crate) keys: KeysWatch,
    pub(crate) bulkhead: BulkheadHandle,
}

#[derive(Clone, Debug)]
pub(crate) struct GatewayGuards {
    pub(crate) circuit: CircuitBreakerHandle,
    pub(crate) retry: RetryHandle,
    pub(crate) bulkhead: BulkheadHandle,
    pub(crate) timeout: TimeoutHandle,
}

#[derive(Clone, Debug)]
pub(crate) struct FraudGuards {
    pub(crate) circuit: CircuitBreakerHandle,
    pub(crate) timeout: TimeoutHandle,
}

/// A circuit as the page shows it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct CircuitStatus {
    name: String,
    state: &'static str,
    failures: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    threshold: Option<u64>,
    /// How long it still refuses every call; zero when the next call will be a probe.
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_ms: Option<u128>,
}

/// A bulkhead as the page shows it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct BulkheadStatus {
    name: String,
    running: usize,
    limit: usize,
    waiting: usize,
    queue: usize,
}

/// The retries as the page shows them.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct RetryStatus {
    name: String,
    retries: u64,
    gave_up: u64,
}

/// What became of payments with a key, as the page shows it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct KeysStatus {
    name: String,
    running: usize,
    /// Of those, the ones whose caller has left.
    detached: usize,
    ran: u64,
    replayed: u64,
    refused: u64,
    /// Those that were refused because the store is away.
    unavailable: u64,
}

/// Counts what becomes of payments with a key; shared by its clones.
#[derive(Clone, Debug)]
pub(crate) struct KeysWatch {
    pub(crate) handle: KeysHandle,
    counts: Arc<KeyCounts>,
    _listener: Arc<Subscription>,
}

#[derive(Debug, Default)]
struct KeyCounts {
    ran: AtomicU64,
    replayed: AtomicU64,
    refused: AtomicU64,
    unavailable: AtomicU64,
}

/// Tells when a circuit closes.
#[derive(Debug)]
pub(crate) struct CircuitWatch {
    circuit: CircuitBreakerHandle,
    changes: watch::Sender<()>,
    _listener: Subscription,
}

// ===== impl Guards =====

impl Guards {
    /// Registers the metrics of every layer, so that the first scrape shows them.
    pub(crate) fn publish(&self) {
        let Self {
            payment,
            gateway,
            fraud,
        } = self;
        payment.deadline.publish();
        payment.keys.handle.publish();
        payment.bulkhead.publish();
        gateway.circuit.publish();
        gateway.retry.publish();
        gateway.bulkhead.publish();
        gateway.timeout.publish();
        fraud.circuit.publish();
        fraud.timeout.publish();
    }

    pub(crate) fn circuits(&self) -> [CircuitStatus; 2] {
        [&self.gateway.circuit, &self.fraud.circuit].map(|circuit| {
            let seen = circuit.snapshot();
            CircuitStatus {
                name: seen.name,
                state: seen.state.name(),
                failures: seen.failures,
                threshold: seen.threshold,
                retry_after_ms: seen.until.map(|until| until.as_millis()),
            }
        })
    }

    pub(crate) fn bulkheads(&self) -> [BulkheadStatus; 2] {
        [&self.payment.bulkhead, &self.gateway.bulkhead].map(|bulkhead| {
            let seen = bulkhead.snapshot();
            BulkheadStatus {
                name: seen.name,
                running: seen.running,
                limit: seen.limit,
                waiting: seen.waiting,
                queue: seen.queue_limit,
            }
        })
    }

    pub(crate) fn keys(&self) -> [KeysStatus; 1] {
        [self.payment.keys.status()]
    }

    pub(crate) fn retries(&self) -> [RetryStatus; 1] {
        let seen = self.gateway.retry.snapshot();
        [RetryStatus {
            name: seen.name,
            retries: seen.retries,
            gave_up: seen.gave_up,
        }]
    }
}

// ===== impl KeysWatch =====

impl KeysWatch {
    pub(crate) fn new(handle: KeysHandle) -> Self {
        let counts = Arc::<KeyCounts>::default();
        let listener = handle.subscribe({
            let counts = counts.clone();
            move |report| {
                if let Event::Keyed { result, .. } = report.event {
                    counts.count(result);
                }
            }
        });
        Self {
            handle,
            counts,
            _listener: Arc::new(listener),
        }
    }

    fn status(&self) -> KeysStatus {
        let seen = self.handle.snapshot();
        let counts = &self.counts;
        KeysStatus {
            name: seen.name,
            running: seen.in_flight,
            detached: seen.detached,
            ran: counts.ran.load(Relaxed),
            replayed: counts.replayed.load(Relaxed),
            refused: counts.refused.load(Relaxed),
            unavailable: counts.unavailable.load(Relaxed),
        }
    }
}

impl KeyCounts {
    fn count(&self, result: &str) {
        let counter = match result {
            "ran" | "ran_again" => &self.ran,
            "replayed" => &self.replayed,
            "key_malformed" | "key_reused" | "in_progress" | "caller_unknown" => &self.refused,
            "store_unavailable" => &self.unavailable,
            _ => return,
        };
        counter.fetch_add(1, Relaxed);
    }
}

// ===== impl CircuitWatch =====

impl CircuitWatch {
    pub(crate) fn new(circuit: CircuitBreakerHandle) -> Self {
        let changes = watch::Sender::new(());
        // The listener holds no handle: it would be one that the circuit itself keeps alive.
        let listener = circuit.subscribe({
            let changes = changes.clone();
            move |report| {
                if let Event::CircuitChanged { .. } = report.event {
                    changes.send_replace(());
                }
            }
        });
        Self {
            circuit,
            changes,
            _listener: listener,
        }
    }

    /// Ready when every call passes.
    pub(crate) async fn closed(&self) {
        // Subscribed before the state is read: no change is missed in between.
        let mut changes = self.changes.subscribe();
        while !self.is_closed() {
            // The sender is ours, so there is always another change to wait for.
            drop(changes.changed().await);
        }
    }

    /// Ready when a call may be let through as a probe: the circuit opens for a time, and then
    /// half-opens for whoever calls next.
    pub(crate) async fn due(&self) {
        while let Some(left) = self.refuses_for() {
            tokio::time::sleep(left).await;
        }
    }

    fn is_closed(&self) -> bool {
        let state = self.circuit.state();
        matches!(state, State::Closed | State::ForcedClosed | State::Disabled)
    }

    fn refuses_for(&self) -> Option<Duration> {
        self.circuit.snapshot().until.filter(|left| !left.is_zero())
    }
}
