//! Making a payment, whichever way it was asked for: check, charge, and queue while the gateway's
//! circuit refuses.

use std::time::Duration;

use crate::{
    doubt::Doubt,
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
    /// The gateway said no, or could not be reached.
    BadGateway,
    /// The gateway may have charged the card, now or in an earlier attempt, and has not said so.
    AnswerLost,
    /// The same, and the fraud service objects to asking once more.
    Disputed,
}

/// A payment under way. Dropped with the call, it leaves a payment that says so.
struct Running<'a> {
    store: &'a Store,
    charge: &'a Charge,
    /// As [`Payment::run`].
    run: u64,
}

impl Cashier {
    /// Under a key this may be called again: when the answer of an earlier call was an error, or
    /// was lost with its process. What is known by then is not done again, and the charge has the
    /// same name each time.
    ///
    /// # Cancel safety
    /// Dropped before the charge, the payment has failed, unless an earlier call may have charged;
    /// dropped during it, the payment is `unknown`, since only the gateway knows. A payment that was
    /// queued stays queued, and one that another run has taken over is for that run to end.
    pub(crate) async fn pay(&self, new: NewPayment) -> Result<Payment, NotPaid> {
        let payment = Payment::new(&new, keys::payment_id(&new));
        let known = self.store.begin(payment.clone());
        let may_be_charged = may_be_charged(&payment, known.as_ref());
        if let Some(known) = known
            && known.status.is_answer()
        {
            return Ok(known);
        }
        let charge = Charge {
            payment_id: payment.payment_id.clone(),
            payment: new,
            doubt: Doubt::new(may_be_charged),
        };
        let running = Running {
            store: &self.store,
            charge: &charge,
            run: payment.run,
        };

        let fraud_check = self.upstreams.check(&charge).await;
        let mut settled = Payment {
            fraud_check: Some(fraud_check),
            ..payment
        };
        if fraud_check == FraudCheck::Rejected {
            if charge.doubt.remains() {
                settled.message = Some("A person has to look whether the card was charged");
                return running.fail(settled, Why::Disputed);
            }
            settled.status = Status::Declined;
            settled.message = Some("The fraud service objects to this payment");
            return running.settle(settled);
        }

        match self.upstreams.charge(&charge).await {
            Ok(charge_id) => {
                settled.status = Status::Approved;
                settled.charge_id = charge_id;
                running.settle(settled)
            }
            Err(ChargeError::CircuitOpen { retry_after }) => {
                let Some(place) = self.queue.reserve() else {
                    return running.fail(settled, Why::QueueFull { retry_after });
                };
                settled.status = Status::Queued;
                settled.message = Some("Payment will be processed shortly");
                // Settled first: the queue may charge it before the next line is over.
                let queued = running.settle(settled)?;
                // Otherwise it is another run that queued it, or has charged.
                if queued.run == running.run {
                    place.fill(charge.clone());
                }
                Ok(queued)
            }
            Err(ChargeError::Busy { retry_after }) => {
                running.fail(settled, Why::Busy { retry_after })
            }
            Err(ChargeError::TimedOut { retry_after }) => {
                running.fail(settled, Why::TimedOut { retry_after })
            }
            Err(ChargeError::Rejected | ChargeError::Bad) => running.fail(settled, Why::BadGateway),
        }
    }
}

// ===== impl Running =====

impl Running<'_> {
    /// Ends the payment, and answers how it ended: as another run ended it, if that one did.
    ///
    /// # Errors
    /// If another run has begun it since, and has no answer yet. What this one has found out is then
    /// no answer either, unless it is that the card was charged.
    fn settle(&self, settled: Payment) -> Result<Payment, NotPaid> {
        let payment_id = &self.charge.payment_id;
        let mut counts = false;
        let now = self.store.update(payment_id, |payment| {
            counts = payment.end(&settled);
        });
        if counts {
            count(settled.status);
            return Ok(settled);
        }
        match now {
            Some(now) if now.status.is_answer() => Ok(now),
            _ => Err(NotPaid {
                payment_id: payment_id.clone(),
                // Its caller is told what the other one answers, by the layer of the keys.
                why: Why::AnswerLost,
            }),
        }
    }

    fn fail(&self, mut settled: Payment, why: Why) -> Result<Payment, NotPaid> {
        settled.status = self.came_to_nothing();
        let why = match why {
            // They say that nothing was charged.
            Why::QueueFull { .. } | Why::Busy { .. } | Why::BadGateway
                if self.charge.doubt.remains() =>
            {
                Why::AnswerLost
            }
            why => why,
        };
        let ended = self.settle(settled)?;
        if ended.status.is_answer() {
            return Ok(ended);
        }
        let Payment { payment_id, .. } = ended;
        Err(NotPaid { payment_id, why })
    }

    fn came_to_nothing(&self) -> Status {
        if self.charge.doubt.remains() {
            Status::Unknown
        } else {
            Status::Failed
        }
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        // Cancellation: the caller went away, or time ran out, while the payment was under way.
        self.store.update(&self.charge.payment_id, |payment| {
            if payment.status == Status::Processing && payment.run == self.run {
                payment.status = self.came_to_nothing();
                payment.message = Some("The payment was cut short");
                count(payment.status);
            }
        });
    }
}

/// Whether the card may have been charged in an earlier attempt under the same key.
fn may_be_charged(now: &Payment, known: Option<&Payment>) -> bool {
    match known {
        Some(known) if known.status != Status::Failed => true,
        // Nobody else has tried in between.
        Some(known) if known.is_followed_by(now.attempt) => false,
        // Others may have: another process, or this one before it was killed.
        _ => now.attempt > 1,
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
            Self::AnswerLost => "the card gateway did not say whether it charged the card",
            Self::Disputed => {
                "the fraud service objects, and an earlier attempt may have charged the card: a \
                 person has to look at this payment"
            }
        }
    }
}
