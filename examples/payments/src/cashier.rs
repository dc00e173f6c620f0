//! Making a payment, whichever way it was asked for: check, charge, and queue while the gateway's
//! circuit refuses.

use std::time::Duration;

use crate::{
    keys,
    payment::{FraudCheck, NewPayment, Payment, Status},
    queue::Queue,
    store::Store,
    upstreams::{Charge, ChargeError, Upstreams},
};

/// Makes payments; shared by its clones.
#[derive(Clone, Debug)]
pub(crate) struct Cashier {
    pub(crate) upstreams: Upstreams,
    pub(crate) store: Store,
    pub(crate) queue: Queue,
}

/// A payment that came to nothing.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct NotPaid {
    pub(crate) payment_id: String,
    pub(crate) why: Why,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    /// The gateway is away, and as many payments wait for it as may.
    QueueFull { retry_after: Option<Duration> },
    /// Too many charges are running.
    Busy { retry_after: Option<Duration> },
    /// The gateway did not answer in time.
    TimedOut { retry_after: Option<Duration> },
    /// The gateway answered badly, or could not be reached.
    BadGateway,
    /// The gateway may have charged the card: its answer was lost, or makes no sense.
    AnswerLost,
}

/// A payment under way. Dropped with the call, it leaves a payment that says so.
struct Running<'a> {
    store: &'a Store,
    payment_id: &'a str,
    charging: bool,
}

impl Cashier {
    /// Under a key this may be called again: when the answer of an earlier call was an error, or
    /// was lost with its process. What is known by then is not done again, and the charge has the
    /// same name each time.
    ///
    /// # Cancel safety
    /// Dropped before the charge, the payment has failed; dropped during it, the payment is
    /// `unknown`, since only the gateway knows. A payment that was queued stays queued.
    pub(crate) async fn pay(&self, new: NewPayment) -> Result<Payment, NotPaid> {
        let payment = Payment::new(&new, keys::payment_id(&new));
        if let Some(known) = self.store.get(&payment.payment_id)
            && known.status.is_answer()
        {
            return Ok(known);
        }
        let charge = Charge {
            payment_id: payment.payment_id.clone(),
            payment: new,
        };
        self.store.insert(payment.clone());
        let mut running = Running {
            store: &self.store,
            payment_id: &charge.payment_id,
            charging: false,
        };

        let fraud_check = self.upstreams.check(&charge).await;
        let mut settled = Payment {
            fraud_check: Some(fraud_check),
            ..payment
        };
        if fraud_check == FraudCheck::Rejected {
            settled.status = Status::Declined;
            settled.message = Some("The fraud service objects to this payment");
            return Ok(running.settle(settled));
        }

        running.charging = true;
        match self.upstreams.charge(&charge).await {
            Ok(charge_id) => {
                settled.status = Status::Approved;
                settled.charge_id = charge_id;
                Ok(running.settle(settled))
            }
            Err(ChargeError::CircuitOpen { retry_after }) => {
                let Some(place) = self.queue.reserve() else {
                    return Err(running.fail(settled, Why::QueueFull { retry_after }));
                };
                settled.status = Status::Queued;
                settled.message = Some("Payment will be processed shortly");
                // Settled first: the queue may charge it before the next line is over.
                let queued = running.settle(settled);
                place.fill(charge.clone());
                Ok(queued)
            }
            Err(ChargeError::Busy { retry_after }) => {
                Err(running.fail(settled, Why::Busy { retry_after }))
            }
            Err(ChargeError::TimedOut { retry_after }) => {
                Err(running.fail(settled, Why::TimedOut { retry_after }))
            }
            Err(ChargeError::Rejected | ChargeError::Bad) => {
                Err(running.fail(settled, Why::BadGateway))
            }
            Err(ChargeError::Lost) => Err(running.fail(settled, Why::AnswerLost)),
        }
    }
}

// ===== impl Running =====

impl Running<'_> {
    fn settle(&self, settled: Payment) -> Payment {
        count(settled.status);
        self.store
            .update(self.payment_id, |payment| payment.clone_from(&settled));
        settled
    }

    fn fail(&self, mut settled: Payment, why: Why) -> NotPaid {
        // A gateway whose answer is missing may have charged the card.
        settled.status = match why {
            Why::TimedOut { .. } | Why::AnswerLost => Status::Unknown,
            Why::QueueFull { .. } | Why::Busy { .. } | Why::BadGateway => Status::Failed,
        };
        let Payment { payment_id, .. } = self.settle(settled);
        NotPaid { payment_id, why }
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        // Cancellation: the caller went away, or time ran out, while the payment was under way.
        self.store.update(self.payment_id, |payment| {
            if payment.status == Status::Processing {
                payment.status = if self.charging {
                    Status::Unknown
                } else {
                    Status::Failed
                };
                payment.message = Some("The payment was cut short");
                count(payment.status);
            }
        });
    }
}

fn count(status: Status) {
    metrics::counter!("payments_total", "status" => status.as_str()).increment(1);
}

// ===== impl Why =====

impl Why {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::QueueFull { .. } => {
                "the card gateway is away, and no more payments can wait for it"
            }
            Self::Busy { .. } => "too many charges are running",
            Self::TimedOut { .. } => "the card gateway did not answer in time",
            Self::BadGateway => "the card gateway did not take the charge",
            Self::AnswerLost => "the card gateway's answer was lost, or makes no sense",
        }
    }
}
