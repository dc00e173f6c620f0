//! Payments that wait in the queue, and are sent again under their key: the queue dies with its process, the key may not.

use super::{
    doubt::REFUSES,
    keys::{Answer, VISA},
    limits::visa_over_grpc,
    *,
};
use crate::proto::payments::{Payment as Shown, Status as ShownStatus};

impl Test {
    async fn keyed_over_grpc(&self, key: &str) -> tonic::Response<Shown> {
        let mut request = tonic::Request::new(visa_over_grpc());
        let key = key.parse().unwrap();
        request.metadata_mut().insert("idempotency-key", key);
        self.grpc().create_payment(request).await.unwrap()
    }

    /// As a process that is killed: its queue goes with it.
    fn kill(self) {
        self.worker.abort();
    }
}

fn is_replay_over_grpc(answer: &tonic::Response<Shown>) -> bool {
    answer.metadata().contains_key("idempotent-replayed")
}

fn assert_is(answer: &Answer, code: u16, status: &str, is_replay: bool) {
    let said = (answer.status, answer.is_replay());
    assert_eq!(said, (code, is_replay), "{:?}", answer.bytes);
    assert_eq!(answer.body()["status"], status);
}

#[tokio::test(start_paused = true)]
async fn queued_payment_that_is_sent_again_says_how_far_it_is() {
    let test = Test::start(3);
    test.open_the_circuit().await;
    let queued = test.keyed("k", VISA).await;
    assert_is(&queued, 202, "queued", false);
    let again = test.keyed("k", VISA).await;
    assert_is(&again, 202, "queued", false);
    assert_eq!(again.bytes, queued.bytes);
    for _ in 0..2 {
        let queued = test.keyed_over_grpc("k").await;
        assert!(!is_replay_over_grpc(&queued));
        assert_eq!(queued.get_ref().status(), ShownStatus::Queued);
    }
    assert_eq!(test.cashier.queue.len(), 2, "one each");

    test.gateway(OK);
    test.cashier.queue.emptied().await;
    assert_is(&test.keyed("k", VISA).await, 200, "approved", false);
    // This one is kept.
    assert_is(&test.keyed("k", VISA).await, 200, "approved", true);
    for is_replay in [false, true] {
        let paid = test.keyed_over_grpc("k").await;
        assert_eq!(paid.get_ref().status(), ShownStatus::Approved);
        assert_eq!(is_replay_over_grpc(&paid), is_replay);
    }
    assert_eq!(test.charged(), [1, 1]);
}

#[tokio::test(start_paused = true)]
async fn queued_payment_whose_process_died_is_made_by_the_next() {
    let memory = AnyStore::new(Memory::new());
    let killed = Test::with_keys(2, memory.clone());
    killed.circuit().force_open();
    let queued = killed.keyed("k", VISA).await;
    assert_is(&queued, 202, "queued", false);
    let queued_over_grpc = killed.keyed_over_grpc("k").await.into_inner();
    assert_eq!(killed.seen(), 0);
    killed.kill();

    let test = Test::with_keys(2, memory);
    let paid = test.keyed("k", VISA).await;
    assert_is(&paid, 200, "approved", false);
    assert_eq!(paid.body()["payment_id"], queued.body()["payment_id"]);
    let paid = test.keyed_over_grpc("k").await.into_inner();
    assert_eq!(paid.status(), ShownStatus::Approved);
    assert_eq!(paid.payment_id, queued_over_grpc.payment_id);
    assert_is(&test.keyed("k", VISA).await, 200, "approved", true);
    assert_eq!(test.charged(), [1, 1]);
}

#[tokio::test(start_paused = true)]
async fn queued_payment_that_was_charged_before_its_process_died_has_the_same_charge() {
    let memory = AnyStore::new(Memory::new());
    let killed = Test::with_keys(1, memory.clone());
    killed.circuit().force_open();
    let queued = killed.keyed("k", VISA).await;
    assert_is(&queued, 202, "queued", false);
    killed.circuit().reset();
    killed.cashier.queue.emptied().await;
    let charges = killed.charged.lock().unwrap().clone();
    assert_eq!(charges.len(), 1);
    killed.kill();

    let test = Test::with_keys(1, memory);
    assert_is(&test.keyed("k", VISA).await, 200, "approved", false);
    // Under one name: a gateway that knows keys charges once.
    assert_eq!(*test.charged.lock().unwrap(), charges);
}

#[tokio::test(start_paused = true)]
async fn queued_payment_that_was_looked_at_and_refused_has_failed() {
    let test = Test::start(1);
    test.circuit().force_open();
    for _ in 0..3 {
        assert_is(&test.keyed("k", VISA).await, 202, "queued", false);
    }
    test.gateway(REFUSES);
    test.circuit().reset();
    test.cashier.queue.emptied().await;
    let refused = test.keyed("k", VISA).await;
    let id = refused.body()["payment_id"].as_str().unwrap().to_owned();
    // Nobody but this process has tried, and the gateway said no each time.
    assert_eq!(
        (refused.status, test.stored(&id).status),
        (502, Status::Failed)
    );
}
