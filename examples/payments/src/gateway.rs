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
    doubt::CHARGED,
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
    charges: VecDeque<Arc<Charge>>,
    /// Those among them that came with a key, and their numbers.
    by_key: HashMap<String, (u64, Arc<Charge>)>,
    charged: u64,
    repeated: u64,
}

/// One time that a card was charged.
#[derive(Debug, PartialEq)]
struct Charge {
    key: Option<String>,
    payment_id: Option<String>,
    amount: f64,
    currency: String,
    card_token: String,
}

/// The key of this charge is that of another one.
#[derive(Debug, PartialEq, Eq)]
struct KeyReused;

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
) -> axum::response::Result<Json<Value>> {
    let mut fields = Fields::read(body).await?;
    gateway.switch.suffer().await.map_err(|Faulted| {
        let status = StatusCode::SERVICE_UNAVAILABLE;
        let problem = Problem::new(status, "the card gateway is told to fail");
        ([(CHARGED, "no")], problem)
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
        return Err(fields.into_problem().into());
    };
    fields.finish()?;
    let key = headers
        .get("idempotency-key")
        .and_then(|key| key.to_str().ok());
    let charge = Charge {
        key: key.map(str::to_owned),
        payment_id,
        amount,
        currency,
        card_token,
    };
    let number = gateway.ledger().charge(charge).map_err(|KeyReused| {
        Problem::invalid("the key was used for another charge: nothing was charged")
    })?;
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
    let of_card = |charge: &&Arc<Charge>| {
        card.card_token
            .as_ref()
            .is_none_or(|token| *token == charge.card_token)
    };
    let charges: Vec<_> = ledger
        .charges
        .iter()
        .filter(of_card)
        .map(|charge| charge.shown())
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
    fn charge(&mut self, charge: Charge) -> Result<u64, KeyReused> {
        let known = charge.key.as_ref().and_then(|key| self.by_key.get(key));
        if let Some((number, known)) = known {
            if **known != charge {
                return Err(KeyReused);
            }
            self.repeated += 1;
            return Ok(*number);
        }
        self.charged += 1;
        if self.charges.len() == MAX_CHARGES
            && let Some(oldest) = self.charges.pop_front()
            && let Some(key) = &oldest.key
        {
            self.by_key.remove(key);
        }
        let charge = Arc::new(charge);
        if let Some(key) = &charge.key {
            let numbered = (self.charged, Arc::clone(&charge));
            self.by_key.insert(key.clone(), numbered);
        }
        self.charges.push_back(charge);
        Ok(self.charged)
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
    use axum::{body::to_bytes, http::Request};
    use tower::ServiceExt;

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
        assert_eq!(ledger.charge(charge("a")), Ok(1));
        assert_eq!(ledger.charge(charge("b")), Ok(2));
        assert_eq!(ledger.charge(charge("a")), Ok(1));
        assert_eq!((ledger.charged, ledger.repeated), (2, 1));
    }

    #[tokio::test]
    async fn key_of_another_charge_charges_nothing() {
        let router = router(Switch::new("gateway"));
        let charge = async |key: Option<&str>, amount: f64, currency: &str, card_token: &str| {
            let charge =
                json!({ "amount": amount, "currency": currency, "card_token": card_token });
            let mut request = Request::post("/charge");
            if let Some(key) = key {
                request = request.header("idempotency-key", key);
            }
            let request = request.body(Body::from(charge.to_string())).unwrap();
            let response = router.clone().oneshot(request).await.unwrap();
            response.status().as_u16()
        };
        assert_eq!(charge(Some("k"), 1.0, "USD", "tok_a").await, 200);
        for (amount, currency, card_token) in [
            (2.0, "USD", "tok_a"),
            (1.0, "EUR", "tok_a"),
            (1.0, "USD", "tok_b"),
        ] {
            let reused = charge(Some("k"), amount, currency, card_token).await;
            assert_eq!(reused, 422, "{amount} {currency} {card_token}");
        }
        assert_eq!(charge(Some("k"), 1.0, "USD", "tok_a").await, 200);
        // Without a key, each is another one.
        assert_eq!(charge(None, 2.0, "USD", "tok_a").await, 200);
        let request = Request::get("/charges").body(Body::empty()).unwrap();
        let response = router.oneshot(request).await.unwrap();
        let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
        let told: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(
            (&told["charged"], &told["repeated"]),
            (&json!(2), &json!(1))
        );
    }

    #[tokio::test]
    async fn gateway_that_is_told_to_fail_says_that_it_charged_nothing() {
        let switch = Switch::new("gateway");
        let router = router(switch.clone());
        let send = async |path: &str, body: &'static str| {
            let request = Request::post(path).body(Body::from(body)).unwrap();
            router.clone().oneshot(request).await.unwrap()
        };
        send("/faults", r#"{"error_rate":1.0}"#).await;
        let failed = send("/charge", "{}").await;
        assert_eq!(failed.status(), 503);
        assert_eq!(failed.headers()["charged"], "no");
        assert_eq!(failed.headers()["content-type"], "application/problem+json");
    }

    #[test]
    fn oldest_charge_is_forgotten_first() {
        let mut ledger = Ledger::default();
        for number in 0..=MAX_CHARGES {
            ledger.charge(charge(&number.to_string())).unwrap();
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
            gateway.ledger().charge(charge(key)).unwrap();
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
