//! What the payments API asks of its two upstreams, and what their answers mean.

use std::{error::Error, iter, time::Duration};

use axum::{
    body::to_bytes,
    http::{Method, Request, StatusCode, Uri, header},
};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use http_body_util::Full;
use seaworthy::{Rejection, http::retry::IDEMPOTENCY_KEY};
use serde_json::{Map, Value, json};
use tonic::Code;
use tower::{BoxError, ServiceExt};

use crate::{
    doubt::Doubt,
    payment::{FraudCheck, NewPayment},
    proto::fraud::{CheckRequest, fraud_client::FraudClient},
    stack::{FraudService, Stack},
};

/// The card gateway and the fraud service, through the stack; shared by its clones.
#[derive(Clone, Debug)]
pub(crate) struct Upstreams {
    stack: Stack,
    charge_url: Uri,
    fraud: FraudClient<FraudService>,
}

/// A card to charge. The payment's id makes it idempotent: however often it is sent, by the retry
/// layer or out of the queue, the gateway charges once.
#[derive(Clone, Debug)]
pub(crate) struct Charge {
    pub(crate) payment_id: String,
    pub(crate) payment: NewPayment,
    pub(crate) doubt: Doubt,
}

/// Why it is not known that a card was charged. Whether it was all the same, the charge's [`Doubt`]
/// tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ChargeError {
    /// The circuit refused.
    CircuitOpen { retry_after: Option<Duration> },
    /// No slot came free, for the first attempt or for a further one.
    Busy { retry_after: Option<Duration> },
    /// No answer in time.
    TimedOut { retry_after: Option<Duration> },
    /// The gateway understood and said no: asking again changes nothing.
    Rejected,
    /// It answered badly, or could not be reached, or its answer was lost.
    Bad,
}

impl Upstreams {
    /// `gateway` is the URL below which `/charge` is found.
    pub(crate) fn new(stack: Stack, gateway: &Uri) -> Result<Self, axum::http::Error> {
        let base = gateway.path().trim_end_matches('/');
        let charge_url = Uri::builder()
            .scheme(gateway.scheme_str().unwrap_or("http"))
            .authority(
                gateway
                    .authority()
                    .map_or("", |authority| authority.as_str()),
            )
            .path_and_query(format!("{base}/charge"))
            .build()?;
        let fraud = FraudClient::new(stack.fraud.clone());
        Ok(Self {
            stack,
            charge_url,
            fraud,
        })
    }

    pub(crate) fn stack(&self) -> &Stack {
        &self.stack
    }

    /// Charges the card and answers the gateway's name for the charge, if it gave one.
    ///
    /// # Cancel safety
    /// Dropped halfway, the card may have been charged; the same charge may be sent again.
    pub(crate) async fn charge(&self, charge: &Charge) -> Result<Option<String>, ChargeError> {
        let NewPayment {
            amount,
            currency,
            card_token,
            ..
        } = &charge.payment;
        let body = json!({
            "payment_id": charge.payment_id,
            "amount": amount,
            "currency": currency,
            "card_token": card_token,
        });
        let request = Request::builder()
            .method(Method::POST)
            .uri(self.charge_url.clone())
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::ACCEPT, "application/json")
            .header(&IDEMPOTENCY_KEY, &charge.payment_id)
            .extension(charge.doubt.clone())
            .body(Full::new(Bytes::from(body.to_string())))
            .expect("a payment's id is a header value");

        let payment_id = charge.payment_id.as_str();
        let gateway = self.stack.gateway.clone();
        let response = gateway
            .oneshot(request)
            .await
            .map_err(|error| told(payment_id, &error))?;
        let status = response.status();
        // The body is read to its end whatever the status: only then is the call over, and the
        // connection free for the next one.
        let body = to_bytes(response.into_body(), MAX_ANSWER).await;
        match status {
            status if status.is_success() => {
                let body = body.map_err(|error| told(payment_id, &error.into_inner()))?;
                charge_id(&body).map_err(|error| {
                    tracing::warn!(payment_id, %error, "cannot read the card gateway's answer");
                    ChargeError::Bad
                })
            }
            status => {
                tracing::warn!(payment_id, %status, "the card gateway did not say that it charged");
                Err(match status {
                    StatusCode::REQUEST_TIMEOUT
                    | StatusCode::CONFLICT
                    | StatusCode::TOO_EARLY
                    | StatusCode::TOO_MANY_REQUESTS => ChargeError::Bad,
                    status if status.is_client_error() => ChargeError::Rejected,
                    _ => ChargeError::Bad,
                })
            }
        }
    }

    /// Asks the fraud service. A service that is away does not stop payments: they go on, marked.
    pub(crate) async fn check(&self, charge: &Charge) -> FraudCheck {
        let request = CheckRequest {
            payment_id: charge.payment_id.clone(),
            amount: charge.payment.amount,
            currency: charge.payment.currency.clone(),
            card_token: charge.payment.card_token.clone(),
        };
        let mut fraud = self.fraud.clone();
        // Boxed where the compiler still knows every lifetime: inside a larger future it cannot
        // prove that the client's error is a `BoxError`.
        let answer: BoxFuture<'_, _> = Box::pin(fraud.check(request));
        match answer.await {
            Ok(answer) if answer.get_ref().allowed => FraudCheck::Passed,
            Ok(_) => FraudCheck::Rejected,
            Err(status) => {
                let code: Code = status.code();
                tracing::debug!(%code, "fraud check skipped");
                FraudCheck::Skipped
            }
        }
    }
}

/// What an error means, and a line in the log for what is not a refusal of ours.
fn told(payment_id: &str, error: &BoxError) -> ChargeError {
    let why = explain(error);
    if let ChargeError::TimedOut { .. } | ChargeError::Bad = why {
        let error = causes(&**error);
        tracing::warn!(payment_id, error, "no answer from the card gateway");
    }
    why
}

/// What an error of the gateway's stack means for a payment: a refusal of ours, or the gateway's
/// own failure.
fn explain(error: &BoxError) -> ChargeError {
    let Some(rejection) = Rejection::find(&**error) else {
        return ChargeError::Bad;
    };
    let retry_after = rejection.retry_after();
    if rejection.is_open() {
        ChargeError::CircuitOpen { retry_after }
    } else if rejection.is_timeout() {
        ChargeError::TimedOut { retry_after }
    } else {
        ChargeError::Busy { retry_after }
    }
}

/// The name of the charge, if there is one in the answer of the gateway. What is no JSON object is
/// not its answer, but the page of a proxy, say. Nothing at all is one: the status says enough.
fn charge_id(body: &[u8]) -> Result<Option<String>, serde_json::Error> {
    if body.is_empty() {
        return Ok(None);
    }
    let answer: Map<String, Value> = serde_json::from_slice(body)?;
    Ok(answer
        .get("charge_id")
        .and_then(Value::as_str)
        .map(str::to_owned))
}

/// An error with all that led to it, once each: many an error repeats its cause.
pub(crate) fn causes(error: &(dyn Error + 'static)) -> String {
    let mut told = error.to_string();
    for cause in iter::successors(error.source(), |&error| error.source()) {
        let cause = cause.to_string();
        if !told.ends_with(&cause) {
            told = format!("{told}: {cause}");
        }
    }
    told
}

/// Far more than a gateway has to say about a charge.
const MAX_ANSWER: usize = 64 * 1024;
