//! Runs whose lease has ended, and that go on beside their successor in the same process.

use super::{
    doubt::{REFUSES, STOLEN},
    keys::{Answer, VISA},
    remote::Remote,
    *,
};

type Sent = JoinHandle<Answer>;

struct Late {
    test: Arc<Test>,
    remote: Remote,
}

impl Late {
    /// A payment that is being checked, and whose lease is over.
    async fn start(body: &'static str, fraud: Fraud) -> (Self, Sent) {
        let remote = Remote::new();
        let late = Self {
            test: Arc::new(Test::with_keys(2, AnyStore::new(remote.clone()))),
            remote,
        };
        late.test.fraud(fraud);
        // Else a run asks once more by itself, and not when the test says.
        late.test.stack().guards.gateway.hedge.set_enabled(false);
        let sent = late.send(body);
        settle_down().await;
        late.remote.end_lease().await;
        late.test.fraud(Fraud::Away);
        (late, sent)
    }

    fn send(&self, body: &'static str) -> Sent {
        self.test.keyed_meanwhile("k", body)
    }

    fn stored(&self) -> Payment {
        let mut seen = self.test.seen.lock().unwrap().clone();
        let (id, _) = seen.pop_first().unwrap();
        assert!(seen.is_empty(), "one charge, by whomever");
        self.test.stored(&id)
    }
}

#[tokio::test(start_paused = true)]
async fn late_run_calls_no_charged_card_failed() {
    for then in [DOWN, REFUSES, Gateway::Breaks] {
        let (late, old) = Late::start(VISA, Fraud::Hangs).await;
        assert_eq!(late.send(VISA).await.unwrap().status, 200);
        late.test.gateway(then);
        // It has asked for itself, was told no, and says what it found.
        let told = old.await.unwrap();
        assert!(late.test.seen() > 1, "{then:?}");
        assert_eq!(
            (told.status, &told.body()["status"]),
            (200, &"approved".into())
        );
        assert_eq!(late.stored().status, Status::Approved, "{then:?}");
        assert_eq!(late.test.count(Status::Approved), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn late_run_says_nothing_of_a_card_that_is_being_charged() {
    for then in [DOWN, REFUSES] {
        let (late, old) = Late::start(VISA, Fraud::Hangs).await;
        late.test.gateway(Gateway::Hangs);
        let new = late.send(VISA);
        settle_down().await;
        late.test.gateway(then);
        // The layer speaks for its successor, whatever it found.
        let told = old.await.unwrap();
        assert_eq!(told.status, 409, "{:?}", told.bytes);
        assert_eq!(late.stored().status, Status::Processing, "{then:?}");
        // Nor does its successor, whose first attempt may have charged.
        assert_eq!(new.await.unwrap().status, 502);
        assert_eq!(late.stored().status, Status::Unknown, "{then:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn late_run_declines_no_card_that_is_being_charged() {
    let (late, old) = Late::start(STOLEN, Fraud::ThereLate).await;
    late.test.gateway(Gateway::Hangs);
    let new = late.send(STOLEN);
    let told = old.await.unwrap();
    assert_eq!(told.status, 409, "{:?}", told.bytes);
    assert_eq!(late.stored().status, Status::Processing);
    late.test.gateway(OK);
    assert_eq!(new.await.unwrap().status, 200);
    assert_eq!(late.stored().status, Status::Approved);
}

#[tokio::test(start_paused = true)]
async fn late_run_that_is_dropped_leaves_the_payment_to_its_successor() {
    let (late, old) = Late::start(VISA, Fraud::Hangs).await;
    // Others have every slot of the gateway: it waits for one, and has not asked.
    late.test.gateway(Gateway::Hangs);
    let others = late.test.pay_at_once(20);
    sleep(SECOND * 3 / 2).await;
    let new = late.send(VISA);
    settle_down().await;
    let payments = &late.test.stack().guards.payment.limit;
    assert_eq!(payments.snapshot().running, 2);
    // It learns that its lease is over.
    sleep(SECOND / 4).await;
    assert_eq!(payments.snapshot().running, 1, "it was dropped");
    assert_eq!(late.test.count(Status::Failed), 0);
    assert_eq!(late.test.count(Status::Processing), 21);
    drop((old, new, others));
}

#[tokio::test(start_paused = true)]
async fn card_that_a_late_run_has_charged_is_called_so() {
    // Whether its successor is being told no, or waits in the queue and is told no there.
    for queued in [false, true] {
        let (late, old) = Late::start(VISA, Fraud::Hangs).await;
        if queued {
            late.test.circuit().force_open();
            assert_eq!(late.send(VISA).await.unwrap().status, 202);
            late.test.circuit().reset();
        }
        late.test.gateway(Gateway::Hangs);
        let new = late.send(VISA);
        settle_down().await;
        late.test.gateway(OK);
        // Its answer cannot be kept, and so is not told: its caller asks again.
        assert_eq!(old.await.unwrap().status, 409);
        assert_eq!(late.stored().status, Status::Approved);
        late.test.gateway(REFUSES);
        let told = new.await.unwrap();
        if !queued {
            assert_eq!(told.body()["status"], "approved");
        }
        late.test.cashier.queue.emptied().await;
        assert_eq!(late.test.seen(), 3, "the last was a no");
        assert_eq!(late.stored().status, Status::Approved);
    }
}

#[tokio::test(start_paused = true)]
async fn late_run_queues_nothing_for_its_successor() {
    let (late, old) = Late::start(VISA, Fraud::Hangs).await;
    late.test.circuit().force_open();
    assert_eq!(late.send(VISA).await.unwrap().status, 202);
    // Its successor has ended, with an answer that is not kept.
    let told = old.await.unwrap();
    assert_eq!((told.status, late.test.cashier.queue.len()), (409, 1));
    late.test.circuit().reset();
    late.test.cashier.queue.emptied().await;
    assert_eq!((late.test.seen(), late.test.charged()), (1, vec![1]));
}

#[test]
fn payment_that_was_charged_stays_as_it_is() {
    let new = visa();
    let [first, second] = ["ch_1", "ch_2"].map(|charge_id| Payment {
        status: Status::Approved,
        charge_id: Some(charge_id.to_owned()),
        ..Payment::new(&new, "pay_1".to_owned())
    });
    let mut payment = Payment::new(&new, "pay_1".to_owned());
    // Neither run is the one that began it last.
    assert!(payment.end(&first));
    let failed = Payment {
        status: Status::Failed,
        ..first.clone()
    };
    assert!(!payment.end(&second) && !payment.end(&failed));
    assert_eq!(payment, first);
}
