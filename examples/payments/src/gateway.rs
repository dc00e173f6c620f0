//! The built-in card gateway: charges any card at once, unless told to fail.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
};

use axum::{
    Json, Router,
    body::Body,
    extract::State,
    http::{HeaderMap, StatusCode},
    routing::{get, post},
};
use serde_json::{Value, json};

use crate::{
    faults::{Faulted, Switch},
    fields::Fields,
    problem::{Problem, no_such_method, no_such_path},
};

/// How many keys are remembered; the oldest is forgotten first.
const MAX_KEYS: usize = 100_000;

#[derive(Clone, Debug)]
struct Gateway {
    switch: Switch,
    ledger: Arc<Mutex<Ledger>>,
}

/// Which charges were made: a repeated key is answered again and not charged again.
#[derive(Debug, Default)]
struct Ledger {
    charges: HashMap<String, u64>,
    keys: VecDeque<String>,
    charged: u64,
    repeated: u64,
}

/// `POST /charge`, `GET /charges`, `GET` and `POST /faults`.
pub(crate) fn router(switch: Switch) -> Router {
    let gateway = Gateway {
        switch,
        ledger: Arc::default(),
    };
    Router::new()
        .route("/charge", post(charge))
        .route("/charges", get(charges))
        .with_state(gateway.clone())
        .merge(gateway.switch.routes())
        .fallback(no_such_path)
        .method_not_allowed_fallback(no_such_method)
}

async fn charge(
    State(gateway): State<Gateway>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Value>, Problem> {
    let mut fields = Fields::read(body).await?;
    gateway.switch.suffer().await.map_err(|Faulted| {
        Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "the card gateway is told to fail",
        )
    })?;
    fields.require(&["amount", "currency", "card_token"]);
    if fields.number("amount").is_some_and(|amount| amount <= 0.0) {
        fields.wrong("amount", "is to be above zero");
    }
    for name in ["currency", "card_token"] {
        if fields.text(name).is_some_and(|text| text.is_empty()) {
            fields.wrong(name, "is not to be empty");
        }
    }
    fields.finish()?;
    let key = headers
        .get("idempotency-key")
        .and_then(|key| key.to_str().ok());
    let number = gateway.ledger().charge(key);
    Ok(Json(
        json!({ "charge_id": format!("ch_{number}"), "status": "charged" }),
    ))
}

/// How often cards were charged: shows that a retry or a queued payment charged nobody twice.
async fn charges(State(gateway): State<Gateway>) -> Json<Value> {
    let ledger = gateway.ledger();
    Json(json!({ "charged": ledger.charged, "repeated": ledger.repeated }))
}

impl Gateway {
    fn ledger(&self) -> std::sync::MutexGuard<'_, Ledger> {
        // Nothing panics while the lock is held; a poisoned ledger would still be whole.
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ledger {
    fn charge(&mut self, key: Option<&str>) -> u64 {
        if let Some(known) = key.and_then(|key| self.charges.get(key)) {
            self.repeated += 1;
            return *known;
        }
        self.charged += 1;
        if let Some(key) = key {
            if self.keys.len() == MAX_KEYS
                && let Some(oldest) = self.keys.pop_front()
            {
                self.charges.remove(&oldest);
            }
            self.charges.insert(key.to_owned(), self.charged);
            self.keys.push_back(key.to_owned());
        }
        self.charged
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeated_key_is_answered_again_and_charged_once() {
        let mut ledger = Ledger::default();
        let first = ledger.charge(Some("a"));
        assert_ne!(ledger.charge(Some("b")), first);
        assert_eq!(ledger.charge(Some("a")), first);
        assert_eq!((ledger.charged, ledger.repeated), (2, 1));
    }

    #[test]
    fn oldest_key_is_forgotten_first() {
        let mut ledger = Ledger::default();
        for number in 0..=MAX_KEYS {
            ledger.charge(Some(&number.to_string()));
        }
        assert_eq!(
            (ledger.charges.len(), ledger.keys.len()),
            (MAX_KEYS, MAX_KEYS)
        );
        assert!(!ledger.charges.contains_key("0") && ledger.charges.contains_key("1"));
    }
}
