//! Payments whose card may have been charged: nobody is told that it was not.

use serde_json::json;

use super::{
    keys::{Answer, VISA},
    remote::Remote,
    *,
};

pub(super) const STOLEN: &str = r#"{"amount":1,"currency":"USD","card_token":"tok_stolen"}"#;
pub(super) const REFUSES: Gateway = Gateway::Answers(StatusCode::PAYMENT_REQUIRED);

impl Test {
    /// The status that is kept of the payment which this answers, or came to nothing.
    fn status_of(&self, answer: &Answer) -> Status {
        let id = answer.body()["payment_id"].as_str().unwrap().to_owned();
        self.stored(&id).status
    }
}

fn assert_is_disputed(answer: &Answer) {
    assert_eq!(answer.status, 502, "{:?}", answer.bytes);
    let detail = answer.body()["detail"].to_string();
    assert!(detail.contains("a person has to look"), "{detail}");
}

#[tokio::test(start_paused = true)]
async fn card_that_may_be_charged_is_not_declined() {
    let test = Test::start(1);
    test.gateway(Gateway::Hangs);
    let late = test.keyed("k", STOLEN).await;
    assert_eq!((late.status, test.status_of(&late)), (504, Status::Unknown));
    let seen = test.seen();
    test.gateway(OK);
    test.fraud(Fraud::There);
    for _ in 0..2 {
        let disputed = test.keyed("k", STOLEN).await;
        assert_is_disputed(&disputed);
        assert_eq!(test.status_of(&disputed), Status::Unknown);
    }
    assert_eq!(test.seen(), seen, "nor is a card charged that is stolen");
    // The fraud service was mistaken, and the charge is found out.
    test.fraud(Fraud::Away);
    let paid = test.keyed("k", STOLEN).await;
    assert_eq!((paid.status, paid.is_replay()), (200, false));
    assert_eq!(paid.body()["payment_id"], late.body()["payment_id"]);
    assert_eq!(test.seen.lock().unwrap().len(), 1, "under the same name");
}

#[tokio::test(start_paused = true)]
async fn card_that_another_process_may_have_charged_is_not_declined() {
    let remote = Remote::new();
    let killed = Test::with_keys(1, AnyStore::new(remote.clone()));
    // Its answer is as lost as if the process had been killed before it kept it.
    *remote.completes.lock().unwrap() = false;
    assert_eq!(killed.keyed("k", STOLEN).await.status, 503);
    assert_eq!(killed.charged(), [1]);
    *remote.completes.lock().unwrap() = true;

    let test = Test::with_keys(1, AnyStore::new(remote));
    test.fraud(Fraud::There);
    let disputed = test.keyed("k", STOLEN).await;
    assert_is_disputed(&disputed);
    assert_eq!(test.status_of(&disputed), Status::Unknown);
    // Nor is it called failed, by a gateway that says no to this attempt.
    test.fraud(Fraud::Away);
    test.gateway(REFUSES);
    let refused = test.keyed("k", STOLEN).await;
    assert_eq!(
        (refused.status, test.status_of(&refused)),
        (502, Status::Unknown)
    );
}

#[tokio::test(start_paused = true)]
async fn card_that_nobody_charged_is_declined_however_often_it_was_tried() {
    for gateway in [REFUSES, DOWN] {
        let test = Test::start(1);
        test.gateway(gateway);
        // Fewer than open the circuit of the fraud service.
        for _ in 0..2 {
            let failed = test.keyed("k", STOLEN).await;
            assert_eq!(
                (failed.status, test.status_of(&failed)),
                (502, Status::Failed)
            );
        }
        test.gateway(OK);
        test.fraud(Fraud::There);
        let declined = test.keyed("k", STOLEN).await;
        assert_eq!(
            (declined.status, &declined.body()["status"]),
            (200, &json!("declined"))
        );
        assert!(test.keyed("k", STOLEN).await.is_replay());
        assert!(test.charged().is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn card_that_another_process_was_asked_for_in_between_is_not_declined() {
    let memory = AnyStore::new(Memory::new());
    let [ann, bob] = [(); 2].map(|()| Test::with_keys(1, memory.clone()));
    ann.gateway(REFUSES);
    assert_eq!(ann.keyed("k", STOLEN).await.status, 502);
    bob.gateway(Gateway::Breaks);
    assert_eq!(bob.keyed("k", STOLEN).await.status, 502);
    ann.fraud(Fraud::There);
    assert_is_disputed(&ann.keyed("k", STOLEN).await);
}

#[tokio::test(start_paused = true)]
async fn card_may_be_charged_when_only_a_further_attempt_finds_no_slot() {
    let test = Arc::new(Test::start(1));
    test.gateway(Gateway::Hangs);
    let paying = test.keyed_meanwhile("k", VISA);
    settle_down().await;
    // The first attempt is cut after two seconds, and its hedge half a second later. By then others
    // wait for its slot, and hold it for longer than the second attempt waits.
    sleep(SECOND * 2).await;
    let others = test.pay_at_once(60);
    let lost = paying.await.unwrap();
    let snapshot = test.stack().guards.gateway.bulkhead.snapshot();
    assert_eq!(snapshot.running, 20, "it found no slot");
    assert_eq!((lost.status, test.status_of(&lost)), (502, Status::Unknown));
    drop(others);
}

#[tokio::test(start_paused = true)]
async fn card_may_be_charged_when_only_a_further_attempt_is_refused() {
    for then in [DOWN, REFUSES] {
        let test = Arc::new(Test::start(1));
        test.gateway(Gateway::Hangs);
        let paying = test.keyed_meanwhile("k", VISA);
        settle_down().await;
        test.gateway(then);
        let lost = paying.await.unwrap();
        assert_eq!((lost.status, test.status_of(&lost)), (502, Status::Unknown));
    }
}

#[tokio::test(start_paused = true)]
async fn card_that_may_be_charged_stays_so_until_the_gateway_says_that_it_is() {
    let test = Test::start(1);
    test.gateway(Gateway::Hangs);
    let late = test.keyed("k", VISA).await;
    assert_eq!((late.status, test.status_of(&late)), (504, Status::Unknown));
    for gateway in [DOWN, REFUSES, Gateway::Answers(StatusCode::FOUND)] {
        test.gateway(gateway);
        let again = test.keyed("k", VISA).await;
        assert_eq!(
            (again.status, test.status_of(&again)),
            (502, Status::Unknown),
            "{gateway:?}"
        );
    }
    // No slot at the gateway.
    test.gateway(Gateway::Hangs);
    let others = test.pay_at_once(70);
    settle_down().await;
    let busy = test.keyed("k", VISA).await;
    assert_eq!((busy.status, test.status_of(&busy)), (502, Status::Unknown));
    for other in others {
        other.abort();
    }
    settle_down().await;
    // No place in the queue.
    test.circuit().force_open();
    assert_eq!(test.keyed("other", VISA).await.status, 202);
    let full = test.keyed("k", VISA).await;
    assert_eq!((full.status, test.status_of(&full)), (502, Status::Unknown));
    test.gateway(OK);
    test.circuit().reset();
    assert_eq!(test.keyed("k", VISA).await.status, 200);
}

#[tokio::test(start_paused = true)]
async fn card_that_may_be_charged_is_not_called_failed_by_the_queue() {
    let test = Test::start(1);
    test.gateway(Gateway::Hangs);
    assert_eq!(test.keyed("k", VISA).await.status, 504);
    test.circuit().force_open();
    let queued = test.keyed("k", VISA).await;
    assert_eq!(queued.status, 202);
    test.gateway(REFUSES);
    test.circuit().reset();
    test.cashier.queue.emptied().await;
    assert_eq!(test.status_of(&queued), Status::Unknown);

    // Nor one that the queue itself may have charged.
    test.circuit().force_open();
    let queued = test.keyed("l", VISA).await;
    assert_eq!(queued.status, 202);
    test.gateway(Gateway::Hangs);
    test.circuit().reset();
    settle_down().await;
    test.gateway(REFUSES);
    test.cashier.queue.emptied().await;
    assert_eq!(test.status_of(&queued), Status::Unknown);
}
