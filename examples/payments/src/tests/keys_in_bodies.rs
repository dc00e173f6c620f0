//! Keys that stand in the body of a payment, or in its message.

use serde_json::{Value, json};
use tonic::Code;

use super::{limits::visa_over_grpc, *};

#[tokio::test(start_paused = true)]
async fn key_in_the_body_is_a_key() {
    let test = Test::start(1);
    let body = |key: &Value| {
        json!({ "amount": 1, "currency": "USD", "card_token": "tok", "idempotency_key": key })
            .to_string()
    };
    for key in ["k", "\"k\"", "\\", "a,b"] {
        let body = body(&json!(key));
        let first = test.send(&[], &body).await;
        assert_eq!((first.status, first.is_replay()), (200, false), "{key}");
        let again = test.send(&[], &body).await;
        assert_eq!((again.status, again.is_replay()), (200, true), "{key}");
        assert_eq!(again.bytes, first.bytes, "{key}");
    }
    assert_eq!(test.charged(), [1, 1, 1, 1]);
    // In both places it is one.
    let both = test.keyed("k", &body(&json!("k"))).await;
    assert!(both.is_replay());
    // `null` is none.
    let none = [body(&Value::Null), body(&Value::Null)];
    for body in none {
        assert!(!test.send(&[], &body).await.is_replay());
    }
    for (key, field, why) in [
        ("j", json!("k"), "is not the key in the header"),
        ("", json!("a b"), "is to be visible ASCII"),
        ("", json!("\u{e9}"), "is to be visible ASCII"),
        ("", json!("a\r\nb"), "is to be visible ASCII"),
        ("", json!(""), "is not to be empty"),
        ("", json!("k".repeat(256)), "is to be at most 255"),
        ("", json!(1), "is to be a string"),
    ] {
        let header = [("idempotency-key", key)];
        let header = if key.is_empty() {
            &header[..0]
        } else {
            &header
        };
        let refused = test.send(header, &body(&field)).await;
        assert_eq!(refused.status, 422, "{field}");
        let errors = refused.body()["errors"].to_string();
        assert!(errors.contains("/idempotency_key"), "{errors}");
        assert!(errors.contains(why), "{errors}");
    }
    assert_eq!(test.seen(), 6, "what was refused charged nobody");
}

#[tokio::test(start_paused = true)]
async fn key_in_the_message_is_a_key() {
    let test = Test::start(1);
    let mut message = visa_over_grpc();
    message.idempotency_key = Some("k".to_owned());
    let pay = |message| async {
        let answer = test.grpc().create_payment(message).await.unwrap();
        let replayed = answer.metadata().contains_key("idempotent-replayed");
        (answer.into_inner(), replayed)
    };
    let (first, replayed) = pay(tonic::Request::new(message.clone())).await;
    assert!(!replayed);
    assert_eq!(
        pay(tonic::Request::new(message.clone())).await,
        (first.clone(), true)
    );
    let mut both = tonic::Request::new(message.clone());
    let metadata = both.metadata_mut();
    metadata.insert("idempotency-key", "k".parse().unwrap());
    assert_eq!(pay(both).await, (first, true));
    let mut other = tonic::Request::new(message);
    let metadata = other.metadata_mut();
    metadata.insert("idempotency-key", "j".parse().unwrap());
    let refused = test.grpc().create_payment(other).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert_eq!(test.charged(), [1]);
}
