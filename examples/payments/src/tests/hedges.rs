//! Charges that are sent a second time while the first is under way.

use super::{keys::VISA, *};

impl Test {
    /// How many attempts the gateway is at work on.
    fn under_way(&self) -> usize {
        Arc::strong_count(&self.living) - 1
    }
}

#[tokio::test(start_paused = true)]
async fn slow_charge_is_sent_again_and_the_card_charged_once() {
    for key in [None, Some("k")] {
        let test = Test::start(1);
        test.gateway(Gateway::SlowOnce);
        let started = Instant::now();
        let key: Vec<_> = key
            .map(|key| ("idempotency-key", key))
            .into_iter()
            .collect();
        let paid = test.send(&key, VISA).await;
        assert_eq!(paid.status, 200);
        assert_eq!(paid.body()["status"], "approved");
        assert_eq!(started.elapsed().as_millis(), 500);
        assert_eq!(test.seen(), 2);
        assert_eq!(test.charged(), [1], "both under one key");
        assert_eq!(test.under_way(), 0, "nobody waits for the first");
        let hedges = test.stack().guards.gateway.hedge.snapshot();
        assert_eq!((hedges.hedges, hedges.won), (1, 1));
        let retry = test.stack().guards.gateway.retry.snapshot();
        assert_eq!(retry.retries, 0);
        let left = retry.budget_remaining.unwrap();
        assert!(left < 1.0, "the hedge has drawn on it: {left}");
    }
}

#[tokio::test(start_paused = true)]
async fn charge_that_fails_is_the_retrys_and_not_sent_twice_at_once() {
    for gateway in [DOWN, Gateway::Breaks] {
        let test = Test::start(1);
        test.gateway(gateway);
        assert_eq!(test.send(&[], VISA).await.status, 502);
        assert_eq!(test.seen(), 3, "{gateway:?}");
        assert_eq!(test.stack().guards.gateway.hedge.snapshot().hedges, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn charge_that_one_of_two_attempts_may_have_made_is_not_called_failed() {
    let test = Test::start(1);
    test.gateway(Gateway::SaysNoThenHangs);
    let late = test.send(&[], VISA).await;
    // The no says more than that the other was too late, but not that it charged nothing.
    assert_eq!(late.status, 502);
    let detail = late.body()["detail"].to_string();
    assert!(detail.contains("did not say whether"), "{detail}");
    let id = late.body()["payment_id"].as_str().unwrap().to_owned();
    assert_eq!(test.stored(&id).status, Status::Unknown);

    // Where all of them are told no, it has failed.
    let test = Test::start(1);
    test.gateway(Gateway::SaysNoLate);
    let refused = test.send(&[], VISA).await;
    assert_eq!(refused.status, 502);
    assert!(test.stack().guards.gateway.hedge.snapshot().hedges > 0);
    let id = refused.body()["payment_id"].as_str().unwrap().to_owned();
    assert_eq!(test.stored(&id).status, Status::Failed);
}

#[tokio::test(start_paused = true)]
async fn nothing_outlives_the_deadline() {
    for key in [None, Some("k")] {
        let test = Test::start(1);
        test.gateway(Gateway::Hangs);
        let mut headers = vec![("x-request-timeout-ms", "1500")];
        headers.extend(key.map(|key| ("idempotency-key", key)));
        let started = Instant::now();
        let late = test.send(&headers, VISA).await;
        assert_eq!(late.status, 504);
        assert_eq!(started.elapsed().as_millis(), 1_500);
        settle_down().await;
        assert_eq!((test.seen(), test.under_way()), (2, 0), "{key:?}");
        let guards = &test.stack().guards;
        assert_eq!(guards.gateway.bulkhead.snapshot().running, 0);
        assert_eq!(guards.payment.limit.snapshot().running, 0);
        // Each attempt was told what it had.
        assert_eq!(test.told("x-request-timeout-ms"), ["1500", "1000"]);
    }
}

#[tokio::test(start_paused = true)]
async fn charge_out_of_the_queue_has_a_deadline_as_well() {
    let test = Test::start(1);
    test.circuit().force_open();
    let queued = test.cashier.pay(visa()).await.unwrap();
    assert_eq!(queued.status, Status::Queued);
    test.gateway(Gateway::Hangs);
    test.circuit().reset();
    let started = Instant::now();
    let deadline = test.stack().guards.gateway.deadline.clone();
    while deadline.snapshot().in_flight == 0 {
        sleep(Duration::from_millis(1)).await;
    }
    let begun = started.elapsed();
    while deadline.snapshot().in_flight > 0 {
        sleep(Duration::from_millis(1)).await;
    }
    let took = started.elapsed() - begun;
    assert!(took <= Duration::from_millis(9_501), "{took:?}");
    assert_eq!(test.under_way(), 0);
    test.worker.abort();
}
