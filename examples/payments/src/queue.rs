//! Payments that wait for the gateway's circuit: bounded, each charged once when it closes.

use std::{sync::Arc, time::Duration};

use futures_util::StreamExt;
use tokio::{
    sync::{
        OwnedSemaphorePermit, Semaphore,
        mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
        watch,
    },
    time::sleep,
};
use tokio_stream::wrappers::UnboundedReceiverStream;

use crate::{
    payment::{Payment, Status},
    store::Store,
    upstreams::{Charge, ChargeError, Upstreams},
};

/// Where payments are put in; shared by its clones.
#[derive(Clone, Debug)]
pub(crate) struct Queue {
    jobs: UnboundedSender<Job>,
    places: Arc<Semaphore>,
    capacity: usize,
}

/// Where they come out.
#[derive(Debug)]
pub(crate) struct Waiting {
    jobs: UnboundedReceiver<Job>,
}

/// The right to put one payment in.
#[derive(Debug)]
#[must_use]
pub(crate) struct Place<'a> {
    queue: &'a Queue,
    permit: OwnedSemaphorePermit,
}

/// A payment in the queue. It holds its place until it is settled, so that those in hand count.
#[derive(Debug)]
struct Job {
    charge: Charge,
    _place: OwnedSemaphorePermit,
}

/// How many payments wait at most.
pub(crate) const CAPACITY: usize = 1_000;

/// How many are charged at a time: one slow charge does not hold up the others, and new payments
/// keep most of the gateway's slots.
const AT_ONCE: usize = 4;

/// Between two attempts at the same payment, unless the circuit says otherwise.
const PAUSE: Duration = Duration::from_secs(1);

/// How often the gateway may answer one payment badly before it is given up. Refusals of the
/// circuit do not count.
const MAX_ATTEMPTS: u32 = 10;

/// The two ends of a queue with this many places.
pub(crate) fn queue(capacity: usize) -> (Queue, Waiting) {
    // Unbounded, because the places bound it.
    let (sender, receiver) = unbounded_channel();
    let queue = Queue {
        jobs: sender,
        places: Arc::new(Semaphore::new(capacity)),
        capacity,
    };
    (queue, Waiting { jobs: receiver })
}

// ===== impl Queue =====

impl Queue {
    /// A place, or `None` if the queue is full.
    pub(crate) fn reserve(&self) -> Option<Place<'_>> {
        let permit = Arc::clone(&self.places).try_acquire_owned().ok()?;
        Some(Place {
            queue: self,
            permit,
        })
    }

    pub(crate) fn len(&self) -> usize {
        self.capacity - self.places.available_permits()
    }

    /// Ready when nothing waits.
    #[cfg(test)]
    pub(crate) async fn emptied(&self) {
        let all = u32::try_from(self.capacity).unwrap();
        drop(self.places.acquire_many(all).await.unwrap());
    }

    pub(crate) fn capacity(&self) -> usize {
        self.capacity
    }
}

// ===== impl Place =====

impl Place<'_> {
    pub(crate) fn fill(self, charge: Charge) {
        // The other end lives as long as the demo; after it, nobody waits for the payment.
        drop(self.queue.jobs.send(Job {
            charge,
            _place: self.permit,
        }));
    }
}

// ===== impl Waiting =====

impl Waiting {
    /// Charges what waits, for ever.
    ///
    /// A payment that waits is tried again when the circuit closes, and also when the circuit said
    /// to come back: with no other traffic, the queue itself makes the probes that close it.
    pub(crate) async fn work(self, upstreams: Upstreams, store: Store) {
        UnboundedReceiverStream::new(self.jobs)
            .for_each_concurrent(AT_ONCE, |job| settle(job, &upstreams, &store))
            .await;
    }
}

/// Charges one payment, however long it takes.
async fn settle(job: Job, upstreams: &Upstreams, store: &Store) {
    let mut closed = upstreams.stack().circuit.subscribe();
    let mut attempts = 0;
    loop {
        // Seen before the attempt: a circuit that closes during it wakes the wait below at once.
        closed.mark_unchanged();
        let error = match upstreams.charge(&job.charge).await {
            Ok(charge_id) => {
                return finish(&job, store, |payment| {
                    payment.status = Status::Approved;
                    payment.charge_id = charge_id;
                    payment.message = None;
                });
            }
            Err(error) => error,
        };
        let mut pause = PAUSE;
        match error {
            ChargeError::CircuitOpen { retry_after } => {
                pause = retry_after.unwrap_or(PAUSE).max(PAUSE);
            }
            ChargeError::Busy { .. } => {}
            ChargeError::TimedOut { .. } | ChargeError::Bad { .. } => attempts += 1,
            ChargeError::Rejected { .. } => attempts = MAX_ATTEMPTS,
        }
        if attempts == MAX_ATTEMPTS {
            return finish(&job, store, |payment| {
                payment.status = Status::Failed;
                payment.message = Some("The card gateway did not take the charge");
            });
        }
        tokio::select! {
            () = closes(&mut closed) => {}
            () = sleep(pause) => {}
        }
    }
}

fn finish(job: &Job, store: &Store, change: impl FnOnce(&mut Payment)) {
    let payment_id = job.charge.payment_id.as_str();
    if let Some(payment) = store.update(payment_id, change) {
        let status = payment.status.as_str();
        metrics::counter!("payments_settled_from_queue_total", "status" => status).increment(1);
        tracing::info!(payment_id, status, "queued payment settled");
    }
}

/// Ready when the circuit closes after now.
async fn closes(closed: &mut watch::Receiver<bool>) {
    while closed.changed().await.is_ok() {
        if *closed.borrow_and_update() {
            return;
        }
    }
    // Nobody is left to close it.
    std::future::pending().await
}
