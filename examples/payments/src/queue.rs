//! Payments that wait for the gateway's circuit: bounded, each charged once when it closes.

use std::{future::pending, sync::Arc, time::Duration};

use futures_util::StreamExt;
use tokio::{
    sync::{
        OwnedSemaphorePermit, Semaphore, SemaphorePermit,
        mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    },
    time::{Instant, sleep},
};
use tokio_stream::wrappers::UnboundedReceiverStream;

use crate::{
    guards::CircuitWatch,
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

/// The other end at work.
#[derive(Debug)]
struct Worker {
    upstreams: Upstreams,
    store: Store,
    circuit: CircuitWatch,
    /// Held by the payment that probes.
    probing: Semaphore,
}

/// How many payments wait at most.
pub(crate) const CAPACITY: usize = 1_000;

/// How many are charged at a time: one slow charge does not hold up the others, and new payments
/// keep most of the gateway's slots.
const AT_ONCE: usize = 4;

/// Between two attempts at the same payment.
const PAUSE: Duration = Duration::from_secs(1);

/// How often the gateway may answer one payment badly, while it answers others well, before that
/// payment is given up.
const MAX_ATTEMPTS: u32 = 10;

/// After how long a payment is given up in any case: one that the gateway can never take would
/// otherwise be the probe that opens the circuit again, for ever.
const MAX_AGE: Duration = Duration::from_secs(60 * 60);

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
    /// Charges what waits, for ever: several at a time while the circuit is closed, and one at a
    /// time while it is not, when the circuit said to come back.
    ///
    /// Somebody has to: a circuit closes only by calls that succeed, and it may be that nobody pays
    /// any more. One at a time leaves probes to those who do.
    pub(crate) async fn work(self, upstreams: Upstreams, store: Store) {
        let circuit = CircuitWatch::new(upstreams.stack().guards.gateway.circuit.clone());
        let worker = Worker {
            upstreams,
            store,
            circuit,
            probing: Semaphore::new(1),
        };
        UnboundedReceiverStream::new(self.jobs)
            .for_each_concurrent(AT_ONCE, |job| worker.settle(job))
            .await;
    }
}

// ===== impl Worker =====

impl Worker {
    /// Charges one payment, however long it takes.
    async fn settle(&self, job: Job) {
        let began = Instant::now();
        let mut attempts = 0;
        loop {
            let turn = self.turn().await;
            let error = match self.upstreams.charge(&job.charge).await {
                Ok(charge_id) => {
                    return self.finish(&job, |payment| {
                        payment.status = Status::Approved;
                        payment.charge_id = charge_id;
                        payment.message = None;
                    });
                }
                Err(error) => error,
            };
            let given_up = match error {
                ChargeError::CircuitOpen { .. } | ChargeError::Busy { .. } => false,
                ChargeError::Rejected => true,
                ChargeError::TimedOut { .. } | ChargeError::Bad => {
                    // A probe that fails says that the gateway is still away, not that it will
                    // not have this payment.
                    attempts += u32::from(turn.is_none());
                    attempts == MAX_ATTEMPTS || began.elapsed() >= MAX_AGE
                }
            };
            if given_up {
                return self.finish(&job, |payment| {
                    if job.charge.doubt.remains() {
                        payment.status = Status::Unknown;
                        payment.message =
                            Some("The card gateway did not say whether it charged the card");
                    } else {
                        payment.status = Status::Failed;
                        payment.message = Some("The card gateway did not take the charge");
                    }
                });
            }
            self.pause(turn).await;
        }
    }

    /// Ready when a payment may be tried: with the only permit if it is to be a probe.
    async fn turn(&self) -> Option<SemaphorePermit<'_>> {
        let probe = async {
            let permit = self.probing.acquire().await.ok();
            self.circuit.due().await;
            permit
        };
        tokio::select! {
            biased;
            () = self.circuit.closed() => None,
            permit = probe => permit,
        }
    }

    /// Waits between two attempts at the same payment.
    ///
    /// A probe keeps its permit until then: the next in line comes after the pause too.
    async fn pause(&self, turn: Option<SemaphorePermit<'_>>) {
        let closed = async {
            match turn {
                Some(_) => self.circuit.closed().await,
                None => pending().await,
            }
        };
        tokio::select! {
            () = closed => {}
            () = sleep(PAUSE) => {}
        }
    }

    fn finish(&self, job: &Job, change: impl FnOnce(&mut Payment)) {
        let payment_id = job.charge.payment_id.as_str();
        let payment = self.store.update(payment_id, |payment| {
            // Otherwise a run from before it was queued has charged the card after all.
            if payment.status == Status::Queued {
                change(payment);
            }
        });
        if let Some(payment) = payment {
            let status = payment.status.as_str();
            metrics::counter!("payments_settled_from_queue_total", "status" => status).increment(1);
            tracing::info!(payment_id, status, "queued payment settled");
        }
    }
}
