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
    adaptive::AdaptiveHandle,
    bulkhead::BulkheadHandle,
    circuit_breaker::{CircuitBreakerHandle, State},
    hedge::HedgeHandle,
    http::forwarded::CallerKey,
    kit::{keyed::KeyedHandle, vital::Vitalities},
    rate_limit::{RateGate, RateLimitHandle},
    retry::RetryHandle,
    timeout::{TimeoutHandle, deadline::DeadlineHandle},
};
use serde::Serialize;
use tokio::sync::watch;

use crate::{callers::Rate, stack::KeysHandle};

/// The handles of every layer in the stack; shared by its clones.
#[derive(Clone, Debug)]
pub(crate) struct Guards {
    pub(crate) payment: PaymentGuards,
    pub(crate) gateway: GatewayGuards,
    pub(crate) fraud: FraudGuards,
    /// How many product pages run.
    pub(crate) page: BulkheadHandle,
}

#[derive(Clone, Debug)]
pub(crate) struct PaymentGuards {
    pub(crate) deadline: DeadlineHandle,
    pub(crate) callers: CallersWatch,
    pub(crate) keys: KeysWatch,
    pub(crate) limit: AdaptiveHandle,
}

/// The rate limit, and what it was told.
#[derive(Clone, Debug)]
pub(crate) struct CallersWatch {
    pub(crate) rate: Rate,
    pub(crate) handle: KeyedHandle<RateGate, CallerKey>,
}

#[derive(Clone, Debug)]
pub(crate) struct GatewayGuards {
    pub(crate) deadline: DeadlineHandle,
    pub(crate) circuit: CircuitBreakerHandle,
    pub(crate) retry: RetryHandle,
    pub(crate) bulkhead: BulkheadHandle,
    pub(crate) hedge: HedgeHandle,
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

/// What bounds how many run at once, as the page shows it: a bulkhead, or the adaptive limit.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct SlotsStatus {
    name: String,
    running: usize,
    limit: usize,
    waiting: usize,
    queue: usize,
}

/// The rate limit as the page shows it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct RateStatus {
    name: &'static str,
    rate: String,
    /// How many callers are known.
    callers: usize,
}

/// The hedges as the page shows them.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct HedgeStatus {
    name: String,
    hedges: u64,
    won: u64,
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
            page,
        } = self;
        payment.deadline.publish();
        payment.keys.handle.publish();
        // Callers have no metrics of their own: they share those of the layer.
        payment.callers.rest().publish();
        payment.limit.publish();
        gateway.deadline.publish();
        gateway.circuit.publish();
        gateway.retry.publish();
        gateway.bulkhead.publish();
        gateway.hedge.publish();
        gateway.timeout.publish();
        fraud.circuit.publish();
        fraud.timeout.publish();
        page.publish();
    }

    /// What can say how it is: circuits, bulkheads and limits.
    pub(crate) fn vitals(&self) -> impl Vitalities + use<> {
        (
            self.gateway.circuit.clone(),
            self.fraud.circuit.clone(),
            self.gateway.bulkhead.clone(),
            self.page.clone(),
            self.payment.limit.clone(),
            // Not the callers one by one: that one of them pays too often is no illness of ours.
            self.payment.callers.rest(),
        )
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

    pub(crate) fn slots(&self) -> [SlotsStatus; 3] {
        let payment = self.payment.limit.snapshot();
        let bulkhead = |handle: &BulkheadHandle| {
            let seen = handle.snapshot();
            SlotsStatus {
                name: seen.name,
                running: seen.running,
                limit: seen.limit,
                waiting: seen.waiting,
                queue: seen.queue_limit,
            }
        };
        [
            SlotsStatus {
                name: payment.name,
                running: payment.running,
                limit: payment.limit,
                waiting: payment.waiting,
                queue: payment.queue_limit,
            },
            bulkhead(&self.gateway.bulkhead),
            bulkhead(&self.page),
        ]
    }

    pub(crate) fn rates(&self) -> [RateStatus; 1] {
        let CallersWatch { rate, handle } = &self.payment.callers;
        [RateStatus {
            name: "payment",
            rate: rate.to_string(),
            callers: handle.len(),
        }]
    }

    pub(crate) fn hedges(&self) -> [HedgeStatus; 1] {
        let seen = self.gateway.hedge.snapshot();
        [HedgeStatus {
            name: seen.name,
            hedges: seen.hedges,
            won: seen.won,
        }]
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

// ===== impl CallersWatch =====

impl CallersWatch {
    /// The limit that those share for whom there is no room.
    fn rest(&self) -> RateLimitHandle {
        RateLimitHandle::from(self.handle.overflow())
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
