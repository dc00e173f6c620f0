//! A payment, and what it takes to make one: the same over HTTP and gRPC.

use std::fmt;

use serde::Serialize;

use crate::{fields::Fields, keys, problem::Problem};

/// What a caller asks for, checked.
#[derive(Clone, PartialEq)]
pub(crate) struct NewPayment {
    pub(crate) amount: f64,
    pub(crate) currency: String,
    pub(crate) card_token: String,
    pub(crate) merchant_id: Option<String>,
    pub(crate) idempotency_key: Option<String>,
}

/// A payment as it is kept and shown: the card's token is not part of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Payment {
    pub(crate) payment_id: String,
    pub(crate) status: Status,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) message: Option<&'static str>,
    pub(crate) amount: f64,
    pub(crate) currency: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) merchant_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) fraud_check: Option<FraudCheck>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) charge_id: Option<String>,
    /// The last attempt under its key up to which nobody else made one, as far as it is known here.
    #[serde(skip)]
    pub(crate) attempt: u32,
    /// The run that began it last, by a number drawn for each. A run whose lease has ended may still
    /// go on beside its successor, and where a store forgets, both are the first attempt.
    #[serde(skip)]
    pub(crate) run: u64,
}

/// How far a payment is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Status {
    /// The card is being charged.
    Processing,
    /// The gateway is away; the card is charged when it is back.
    Queued,
    /// The card was charged.
    Approved,
    /// The fraud service said no; the card was not charged.
    Declined,
    /// The card was not charged: the gateway said no, or could not be asked.
    Failed,
    /// The card may have been charged, in this attempt or an earlier one: the gateway alone knows.
    Unknown,
}

/// Whether the fraud service was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum FraudCheck {
    Passed,
    Rejected,
    /// It was away, and the payment went on without it.
    Skipped,
}

// ===== impl NewPayment =====

impl NewPayment {
    pub(crate) fn from_fields(mut fields: Fields) -> Result<Self, Problem> {
        fields.require(&["amount", "currency", "card_token"]);
        let amount = fields.number("amount");
        let currency = fields.text("currency");
        let card_token = fields.text("card_token");
        let merchant_id = fields.text("merchant_id");
        let idempotency_key = fields.text("idempotency_key");
        let (Some(amount), Some(currency), Some(card_token)) = (amount, currency, card_token)
        else {
            return Err(fields.into_problem());
        };
        let payment = Self {
            amount,
            currency,
            card_token,
            merchant_id,
            idempotency_key,
        };
        for (name, why) in payment.wrong() {
            fields.wrong(name, why);
        }
        fields.finish()?;
        Ok(payment)
    }

    /// The fields that cannot be as they are, and why.
    pub(crate) fn wrong(&self) -> Vec<(&'static str, &'static str)> {
        let mut wrong = Vec::new();
        // `f64` over gRPC may be NaN, which is not above zero either.
        if !(self.amount.is_finite() && self.amount > 0.0) {
            wrong.push(("amount", "is to be finite and above zero"));
        }
        if self.currency.len() != 3 || !self.currency.bytes().all(|byte| byte.is_ascii_alphabetic())
        {
            wrong.push(("currency", "is to be three letters, such as USD"));
        }
        let texts = [
            ("card_token", Some(&self.card_token)),
            ("merchant_id", self.merchant_id.as_ref()),
            ("idempotency_key", self.idempotency_key.as_ref()),
        ];
        for (name, text) in texts {
            match text.map(String::len) {
                Some(0) => wrong.push((name, "is not to be empty")),
                Some(length) if length > MAX_TEXT => {
                    wrong.push((name, "is to be at most 255 bytes long"));
                }
                Some(_) | None => {}
            }
        }
        if let Some(key) = &self.idempotency_key {
            if !key.bytes().all(|byte| byte.is_ascii_graphic()) {
                wrong.push(("idempotency_key", "is to be visible ASCII, without spaces"));
            } else if keys::is_key(key) && !keys::is_current(key) {
                wrong.push(("idempotency_key", "is not the key in the header"));
            }
        }
        wrong
    }
}

/// The length that most stores give to a key or a token.
pub(crate) const MAX_TEXT: usize = 255;

/// Without the token: whoever holds it can charge the card.
impl fmt::Debug for NewPayment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewPayment")
            .field("amount", &self.amount)
            .field("currency", &self.currency)
            .finish_non_exhaustive()
    }
}

// ===== impl Payment =====

impl Payment {
    pub(crate) fn new(new: &NewPayment, payment_id: String) -> Self {
        Self {
            payment_id,
            status: Status::Processing,
            message: None,
            amount: new.amount,
            currency: new.currency.to_ascii_uppercase(),
            merchant_id: new.merchant_id.clone(),
            fraud_check: None,
            charge_id: None,
            attempt: keys::attempt(),
            run: fastrand::u64(..),
        }
    }

    /// Takes over how a run ended, and answers whether it did.
    ///
    /// That the card was charged is so, whoever charged it, and stays so. All else is only for the
    /// run to say that began the payment last: an earlier one knows nothing of what that one does.
    pub(crate) fn end(&mut self, ended: &Self) -> bool {
        let is_charge = ended.status == Status::Approved;
        let counts = self.status != Status::Approved && (is_charge || self.run == ended.run);
        if counts {
            self.clone_from(ended);
        }
        counts
    }

    /// Whether no other process has made an attempt between that one and those known here.
    pub(crate) fn is_followed_by(&self, attempt: u32) -> bool {
        self.attempt + 1 == attempt
    }

    /// An attempt found it and did nothing further.
    pub(crate) fn seen_in(&mut self, attempt: u32) {
        if self.is_followed_by(attempt) {
            self.attempt = attempt;
        }
    }
}

// ===== impl Status =====

impl Status {
    pub(crate) const ALL: [Self; 6] = [
        Self::Processing,
        Self::Queued,
        Self::Approved,
        Self::Declined,
        Self::Failed,
        Self::Unknown,
    ];

    /// Whether there is nothing to try again: the payment has come to its end, or will.
    pub(crate) fn is_answer(self) -> bool {
        matches!(self, Self::Queued | Self::Approved | Self::Declined)
    }

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Processing => "processing",
            Self::Queued => "queued",
            Self::Approved => "approved",
            Self::Declined => "declined",
            Self::Failed => "failed",
            Self::Unknown => "unknown",
        }
    }
}
