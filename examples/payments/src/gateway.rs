//! The built-in card gateway: charges any card at once, unless told to fail.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
};

use axum::{
    Json, Router,
    body::Body,
    extract::{Query, State, rejection::QueryRejection},
    http::{HeaderMap, StatusCode},
    routing::{get, post},
};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    faults::{Faulted, Switch},
    fields::Fields,
    problem::{Problem, no_such_method, no_such_path},
};

/// How many charges are remembered; the oldest is forgotten first.
const MAX_CHARGES: usize = 100_000;

#[derive(Clone, Debug)]
struct Gateway {
    switch: Switch,
    ledger: Arc<Mutex<Ledger>>,
}

/// Which charges were made: a repeated key is answered again and not charged again.
#[derive(Debug, Default)]
struct Ledger {
    /// The newest, oldest first.
    charges: VecDeque<Charge>,
    /// The numbers of those among them that came with a key.
    by_key: HashMap<String, u64>,
    charged: u64,
    repeated: u64,
}

/// One time that a card was charged.
#[derive(Debug)]
struct Charge {
    key: Option<String>,
    payment_id: Option<String>,
    amount: f64,
    currency: String,
    card_token: String,
}

/// Whose charges to list.
#[derive(Debug, Deserialize)]
struct Card {
    card_token: Option<String>,
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
    let payment_id = fields.text("payment_id");
    let amount = fields.number("amount");
    let (currency, card_token) = (fields.text("currency"), fields.text("card_token"));
    if amount.is_some_and(|amount| amount <= 0.0) {
        fields.wrong("amount", "is to be above zero");
    }
    for (name, text) in [("currency", &currency), ("card_token", &card_token)] {
        if text.as_ref().is_some_and(String::is_empty) {
            fields.wrong(name, "is not to be empty");
        }
    }
    let (Some(amount), Some(currency), Some(card_token)) = (amount, currency, card_token) else {
        return Err(fields.into_problem());
    };
    fields.finish()?;
    let key = headers
        .get("idempotency-key")
        .and_then(|key| key.to_str().ok());
    let number = gateway.ledger().charge(Charge {
        key: key.map(str::to_owned),
        payment_id,
        amount,
        currency,
        card_token,
    });
    Ok(Json(
        json!({ "charge_id": format!("ch_{number}"), "status": "charged" }),
    ))
}

/// The charges of one card, or of all: shows that a retry, a queued payment or a payment that was sent twice charged nobody twice.
async fn charges(
    State(gateway): State<Gateway>,
    card: Result<Query<Card>, QueryRejection>,
) -> Result<Json<Value>, Problem> {
    let Query(card) = card.map_err(|_| Problem::invalid("the query cannot be read"))?;
    let ledger = gateway.ledger();
    let of_card = |charge: &&Charge| {
        card.card_token
            .as_ref()
            .is_none_or(|token| *token == charge.card_token)
    };
    let charges: Vec<_> = ledger
        .charges
        .iter()
        .filter(of_card)
        .map(Charge::shown)
        .collect();
    Ok(Json(json!({
        "charges": charges,
        "charged": ledger.charged,
        "repeated": ledger.repeated,
    })))
}

impl Gateway {
    fn ledger(&self) -> std::sync::MutexGuard<'_, Ledger> {
        // Nothing panics while the lock is held; a poisoned ledger would still be whole.
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ledger {
    fn charge(&mut self, charge: Charge) -> u64 {
        if let Some(known) = charge.key.as_ref().and_then(|key| self.by_key.get(key)) {
            self.repeated += 1;
            return *known;
        }
        self.charged += 1;
        if self.charges.len() == MAX_CHARGES
            && let Some(Charge { key: Some(key), .. }) = self.charges.pop_front()
        {
            self.by_key.remove(&key);
        }
        if let Some(key) = &charge.key {
            self.by_key.insert(key.clone(), self.charged);
        }
        self.charges.push_back(charge);
        self.charged
    }
}

impl Charge {
    /// Without the card: whoever holds its token can charge it.
    fn shown(&self) -> Value {
        json!({
            "payment_id": self.payment_id,
            "amount": self.amount,
            "currency": self.currency,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn charge(key: &str) -> Charge {
        Charge {
            key: Some(key.to_owned()),
            payment_id: Some(format!("pay_{key}")),
            amount: 1.0,
            currency: "USD".to_owned(),
            card_token: format!("tok_{key}"),
        }
    }

    #[test]
    fn repeated_key_is_answered_again_and_charged_once() {
        let mut ledger = Ledger::default();
        let first = ledger.charge(charge("a"));
        assert_ne!(ledger.charge(charge("b")), first);
        assert_eq!(ledger.charge(charge("a")), first);
        assert_eq!((ledger.charged, ledger.repeated), (2, 1));
    }

    #[test]
    fn oldest_charge_is_forgotten_first() {
        let mut ledger = Ledger::default();
        for number in 0..=MAX_CHARGES {
            ledger.charge(charge(&number.to_string()));
        }
        assert_eq!(
            (ledger.charges.len(), ledger.by_key.len()),
            (MAX_CHARGES, MAX_CHARGES)
        );
        assert!(!ledger.by_key.contains_key("0") && ledger.by_key.contains_key("1"));
    }

    #[tokio::test]
    async fn charges_are_listed_by_card() {
        let gateway = Gateway {
            switch: Switch::new("gateway"),
            ledger: Arc::default(),
        };
        for key in ["a", "b", "a"] {
            gateway.ledger().charge(charge(key));
        }
        let list = |card: Option<&str>| {
            let card = card.map(str::to_owned);
            let gateway = State(gateway.clone());
            async {
                charges(gateway, Ok(Query(Card { card_token: card })))
                    .await
                    .unwrap()
                    .0
            }
        };
        let one = json!({ "payment_id": "pay_a", "amount": 1.0, "currency": "USD" });
        assert_eq!(list(Some("tok_a")).await["charges"], json!([one]));
        assert_eq!(list(Some("tok_x")).await["charges"], json!([]));
        assert_eq!(list(None).await["charges"].as_array().unwrap().len(), 2);
    }
}
