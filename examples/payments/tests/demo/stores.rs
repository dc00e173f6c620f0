//! The stores that the keys may be in: two demos that share one, and one that is lost on the way.

use super::{
    once::{KEY, Raw},
    *,
};

/// Two demos, and the gateway of the first for both.
async fn two(store: &str) -> [Test; 2] {
    let first = Test::start_with(&["--store", store]).await;
    let gateway = format!("http://{}", first.demo.addresses().gateway.unwrap());
    let second = Test::start_with(&["--store", store, "--gateway", &gateway]).await;
    [first, second]
}

async fn is_paid_once_at_two_demos(store: &str) {
    let [first, second] = two(store).await;
    let paid = first.pay_keyed(&[KEY], VISA).await;
    assert_eq!((paid.status, paid.is_replay()), (200, false));
    let again = second.pay_keyed(&[KEY], VISA).await;
    assert_eq!((again.status, again.is_replay()), (200, true));
    assert_eq!(again.bytes, paid.bytes);
    assert_eq!(first.charges("tok_visa").await.len(), 1);

    // At once, at both.
    first.faults(Method::POST, r#"{"latency_ms":300}"#).await;
    let mastercard = r#"{"amount":1,"currency":"USD","card_token":"tok_mastercard"}"#;
    let key = ("idempotency-key", "order-2");
    let keys = [key];
    let (one, other) = tokio::join!(
        first.pay_keyed(&keys, mastercard),
        second.pay_keyed(&keys, mastercard)
    );
    let mut ran = [one, other].map(|answer: Raw| (answer.status, answer.is_replay()));
    ran.sort_unstable();
    assert_eq!(ran, [(200, false), (409, false)]);
    assert_eq!(first.charges("tok_mastercard").await.len(), 1);
}

#[tokio::test]
async fn demos_that_share_a_redis_charge_once() {
    let redis = servers::Redis::start();
    is_paid_once_at_two_demos(&redis.url()).await;
}

#[tokio::test]
async fn demos_that_share_a_postgres_charge_once() {
    let postgres = servers::Postgres::start();
    is_paid_once_at_two_demos(&postgres.url()).await;
}

#[tokio::test]
async fn store_that_is_lost_stops_payments_with_a_key_until_it_is_back() {
    let redis = servers::Redis::durable();
    let test = Test::start_with(&["--store", &redis.url()]).await;
    let paid = test.pay_keyed(&[KEY], VISA).await;
    assert_eq!(paid.status, 200);
    redis.kill();
    for key in [KEY, ("idempotency-key", "order-2")] {
        let refused = test.pay_keyed(&[key], VISA).await;
        refused.assert_problem(503, "store-unavailable");
        assert_eq!(refused.headers["retry-after"], "1");
    }
    assert_eq!(
        test.pay(VISA).await.status,
        200,
        "who has no key needs no store"
    );
    redis.restart();
    let again = test.pay_keyed(&[KEY], VISA).await;
    assert_eq!((again.status, again.is_replay()), (200, true));
    assert_eq!(again.bytes, paid.bytes);
    assert_eq!(test.charges("tok_visa").await.len(), 2);
}
