//! Idempotency keys: where a request has one, whose it is, and what is named after it.

use std::iter;

use axum::{
    body::Body,
    http::{HeaderValue, Request, StatusCode, header},
};
use bytes::Bytes;
use futures_util::{StreamExt, future::BoxFuture, stream};
use prost::Message;
use seaworthy::{
    BoxError,
    http::{grpc, retry::IDEMPOTENCY_KEY},
    idempotency::{self, Answered, Head},
};
use serde_json::{Map, Value};

use crate::{
    fields::MAX_BODY,
    payment::{MAX_TEXT, NewPayment, Status},
    proto::payments::CreatePaymentRequest,
};

/// Puts the key where the layer of the keys looks for it.
pub(crate) type FindKey = fn(Request<Body>) -> BoxFuture<'static, Result<Request<Body>, BoxError>>;

/// Whose keys are apart from whose.
///
/// The demo authenticates nobody. It takes each `Authorization` for a caller of its own, and all who
/// send none for one: they share their keys, and see each other's answers.
/// A real service authenticates in a layer further out, and takes here what that layer found out:
/// the merchant's account, say, and never what callers say about themselves.
pub(crate) fn caller(head: &Head<'_>) -> Option<Vec<u8>> {
    let mut credentials = head.headers().get_all(header::AUTHORIZATION).iter();
    match (credentials.next(), credentials.next()) {
        (None, _) => Some(b"nobody".to_vec()),
        (Some(credentials), None) => Some([b"authorization ", credentials.as_bytes()].concat()),
        // Whose, of the two?
        (Some(_), Some(_)) => None,
    }
}

/// In the metadata of a payment that is answered over gRPC: there, each answer is a 200.
pub(crate) const PAYMENT_STATUS: &str = "payment-status";

/// Which answers are kept with their key: all but errors that may pass, and `queued`.
///
/// The queue is in memory: after a kill, the answer that a payment is queued would be a promise that
/// nobody keeps. Asked again, a payment says how far it is, or is made by who is there now.
pub(crate) fn is_kept(answered: &Answered<'_>) -> bool {
    let status = answered.headers.get(PAYMENT_STATUS);
    let is_queued = answered.status == StatusCode::ACCEPTED
        || status.is_some_and(|status| status == Status::Queued.as_str());
    answered.is_settled() && !is_queued
}

/// Where there is no `Idempotency-Key`, the field `idempotency_key` of the body is it.
pub(crate) fn find(request: Request<Body>) -> BoxFuture<'static, Result<Request<Body>, BoxError>> {
    Box::pin(async {
        let (mut head, body) = request.into_parts();
        let (body, whole) = peek(body).await;
        let is_grpc = grpc::is_grpc(&head.headers);
        if let Some(whole) = whole {
            if !head.headers.contains_key(&IDEMPOTENCY_KEY)
                && let Some(key) = key_of(&whole, is_grpc)
                && let Ok(key) = HeaderValue::from_str(&quoted(&key))
            {
                head.headers.insert(&IDEMPOTENCY_KEY, key);
            }
        } else if !is_grpc {
            // The handler refuses it whatever its key, and reads it to its end, so that a client
            // that writes before it reads hears why. The layer of the keys would hang up.
            head.headers.remove(&IDEMPOTENCY_KEY);
        }
        Ok(Request::from_parts(head, body))
    })
}

/// A body, and all of it, unless it is too long for a payment or breaks off.
async fn peek(body: Body) -> (Body, Option<Bytes>) {
    let mut rest = body.into_data_stream();
    let mut pieces = Vec::new();
    let mut length = 0;
    while length <= MAX_BODY
        && let Some(piece) = rest.next().await
    {
        length += piece.as_ref().map_or(MAX_BODY + 1, Bytes::len);
        pieces.push(piece);
    }
    if length > MAX_BODY {
        let whole = stream::iter(pieces).chain(rest);
        return (Body::from_stream(whole), None);
    }
    let bytes: Bytes = pieces.into_iter().flatten().flatten().collect();
    (Body::from(bytes.clone()), Some(bytes))
}

/// What is no key is for the handler to refuse, which names the field.
fn key_of(body: &[u8], is_grpc: bool) -> Option<String> {
    let key = if is_grpc {
        key_of_message(body)
    } else {
        key_of_object(body)
    };
    key.filter(|key| is_key(key))
}

fn key_of_object(body: &[u8]) -> Option<String> {
    // As the handler reads it: the last of several members of one name counts.
    let mut members: Map<String, Value> = serde_json::from_slice(body).ok()?;
    match members.remove("idempotency_key") {
        Some(Value::String(key)) => Some(key),
        _ => None,
    }
}

/// Out of the one message of a call, which has five bytes before it: whether it is compressed, and
/// its length.
fn key_of_message(body: &[u8]) -> Option<String> {
    let (&[compressed, ..], message) = body.split_first_chunk::<5>()?;
    if compressed != 0 {
        return None;
    }
    CreatePaymentRequest::decode(message).ok()?.idempotency_key
}

/// Whether it can be one at all.
pub(crate) fn is_key(key: &str) -> bool {
    (1..=MAX_TEXT).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic())
}

/// As the header has it: a key may itself begin with a quote.
fn quoted(key: &str) -> String {
    let escaped = key.chars().flat_map(|character| {
        let escape = matches!(character, '"' | '\\').then_some('\\');
        escape.into_iter().chain(iter::once(character))
    });
    iter::once('"')
        .chain(escaped)
        .chain(iter::once('"'))
        .collect()
}

/// A payment's name: the same in every attempt under one key, so that the gateway, which is charged
/// under this name, charges once.
///
/// What is paid is part of it: a key that is used again after its day, or after a store that
/// forgets, is that of a new payment.
pub(crate) fn payment_id(new: &NewPayment) -> String {
    let NewPayment {
        amount,
        currency,
        card_token,
        ..
    } = new;
    match idempotency::current() {
        Some(run) => {
            let id = run.child(&format!("payment {amount} {currency} {card_token}"));
            format!("pay_{}", id.replace('-', ""))
        }
        None => format!("pay_{:032x}", fastrand::u128(..)),
    }
}

/// Above one if an earlier attempt under the key, here or elsewhere, began and may have charged.
pub(crate) fn attempt() -> u32 {
    idempotency::current().map_or(1, |run| run.attempt())
}

/// Whether the request was sent with that key: one that stands in the body and is not the one in the
/// header would do nothing.
pub(crate) fn is_current(key: &str) -> bool {
    idempotency::current().is_some_and(|run| run.key() == key)
}

/// The input was wrong, and nothing was done: the key may be used again, for what was meant.
pub(crate) fn free() {
    // An earlier attempt, by a process that knew other rules, may have done something.
    if let Some(run) = idempotency::current().filter(|run| run.attempt() == 1) {
        run.did_nothing();
    }
}
