//! Payments that wait for the gateway's circuit.

use super::*;
use crate::cashier::Why;

#[tokio::test(start_paused = true)]
async fn outage_queues_payments_at_once_and_leaves_the_gateway_alone() {
    let test = Test::start(1_000);
    test.open_the_circuit().await;
    assert_eq!(test.seen(), 15, "five payments, three attempts each");

    let started = Instant::now();
    for _ in 0..200 {
        let payment = test.cashier.pay(visa()).await.unwrap();
        assert_eq!(payment.status, Status::Queued);
        assert_eq!(payment.message, Some("Payment will be processed shortly"));
    }
    assert_eq!(started.elapsed(), Duration::ZERO, "queued at once");
    settle_down().await;
    assert_eq!(test.seen(), 15, "nothing reaches the gateway");

    // Still down: each half minute the queue sends one probe, however many payments wait.
    sleep(299 * SECOND).await;
    assert_eq!(test.seen(), 15 + 9 * 3);
    assert_eq!(test.count(Status::Queued), 200);
}

#[tokio::test(start_paused = true)]
async fn queue_closes_the_circuit_by_itself_and_charges_each_payment_once() {
    let test = Test::start(20);
    test.open_the_circuit().await;
    let mut ids = Vec::new();
    for _ in 0..20 {
        ids.push(test.cashier.pay(visa()).await.unwrap().payment_id);
    }
    test.gateway(OK);
    let mended = Instant::now();
    test.cashier.queue.emptied().await;
    assert!(mended.elapsed() <= 31 * SECOND, "{:?}", mended.elapsed());
    assert_eq!(test.circuit().snapshot().state.name(), "closed");
    for id in &ids {
        let payment = test.stored(id);
        assert_eq!((payment.status, payment.message), (Status::Approved, None));
    }
    let once: BTreeMap<_, _> = ids.into_iter().map(|id| (id, 1)).collect();
    assert_eq!(*test.charged.lock().unwrap(), once);
}

#[tokio::test(start_paused = true)]
async fn queue_is_woken_when_the_circuit_closes() {
    let test = Test::start(20);
    test.circuit().force_open();
    for _ in 0..20 {
        test.cashier.pay(visa()).await.unwrap();
    }
    // One tries, is refused, and pauses; it is woken with the others.
    settle_down().await;
    let closes = Instant::now();
    test.circuit().reset();
    test.cashier.queue.emptied().await;
    assert_eq!(closes.elapsed(), Duration::ZERO);
    assert_eq!(test.count(Status::Approved), 20);
}

#[tokio::test(start_paused = true)]
async fn half_open_circuit_without_a_free_probe_queues() {
    let test = Test::start(1);
    test.open_the_circuit().await;
    test.gateway(Gateway::Hangs);
    tokio::time::advance(30 * SECOND).await;
    let probes = test.pay_at_once(3);
    settle_down().await;
    assert_eq!(test.circuit().snapshot().state.name(), "half_open");
    let started = Instant::now();
    let queued = test.cashier.pay(visa()).await.unwrap();
    assert_eq!(queued.status, Status::Queued);
    assert_eq!(started.elapsed(), Duration::ZERO);
    for probe in probes {
        assert_eq!(probe.await.unwrap().status, Status::Unknown);
    }
}

#[tokio::test(start_paused = true)]
async fn queue_leaves_probes_to_new_payments() {
    let test = Test::start(10);
    test.open_the_circuit().await;
    for _ in 0..10 {
        test.cashier.pay(visa()).await.unwrap();
    }
    test.gateway(Gateway::Hangs);
    tokio::time::advance(30 * SECOND).await;
    settle_down().await;
    assert_eq!(test.seen(), 16, "one of ten");
    // Its attempt is cut after two seconds; until then the gateway has recovered.
    test.gateway(OK);
    let payment = test.cashier.pay(visa()).await.unwrap();
    assert_eq!(payment.status, Status::Approved);
}

#[tokio::test(start_paused = true)]
async fn full_queue_refuses_and_takes_again_when_emptied() {
    let test = Test::start(1);
    test.open_the_circuit().await;
    test.cashier.pay(visa()).await.unwrap();
    let refused = test.cashier.pay(visa()).await.unwrap_err();
    let in_half_a_minute = Some(30 * SECOND);
    assert_eq!(
        refused.why,
        Why::QueueFull {
            retry_after: in_half_a_minute
        }
    );
    assert_eq!(test.stored(&refused.payment_id).status, Status::Failed);

    test.gateway(OK);
    test.cashier.queue.emptied().await;
    test.circuit().force_open();
    let payment = test.cashier.pay(visa()).await.unwrap();
    assert_eq!(payment.status, Status::Queued);
}

#[tokio::test(start_paused = true)]
async fn queued_payment_is_tried_again_without_being_told() {
    let test = Test::start(1);
    test.circuit().force_open();
    let payment = test.cashier.pay(visa()).await.unwrap();
    // The circuit closes, but the gateway answers badly at first.
    test.gateway(DOWN);
    test.circuit().reset();
    while test.seen() < 9 {
        tokio::time::advance(Duration::from_millis(100)).await;
    }
    assert_eq!(test.stored(&payment.payment_id).status, Status::Queued);
    test.gateway(OK);
    test.cashier.queue.emptied().await;
    assert_eq!(test.stored(&payment.payment_id).status, Status::Approved);
}

#[tokio::test(start_paused = true)]
async fn queued_payment_that_alone_is_answered_badly_is_given_up() {
    for (answer, seen, status) in [
        (
            Gateway::Answers(StatusCode::INTERNAL_SERVER_ERROR),
            10,
            Status::Unknown,
        ),
        (
            Gateway::Answers(StatusCode::TOO_MANY_REQUESTS),
            30,
            Status::Failed,
        ),
        (Gateway::Breaks, 30, Status::Unknown),
        (Gateway::Says("hello"), 10, Status::Unknown),
        // Each is hedged: so few charges do not show that slow is the rule.
        (Gateway::Hangs, 60, Status::Unknown),
        (
            Gateway::Answers(StatusCode::PAYMENT_REQUIRED),
            1,
            Status::Failed,
        ),
    ] {
        let test = Test::start(1);
        test.circuit().force_open();
        let payment = test.cashier.pay(visa()).await.unwrap();
        test.gateway(answer);
        // As if others went well: it stays closed.
        test.circuit().force_closed();
        test.cashier.queue.emptied().await;
        assert_eq!(test.seen(), seen, "{answer:?}");
        assert_eq!(
            test.stored(&payment.payment_id).status,
            status,
            "{answer:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn long_outage_fails_no_payment_for_an_hour() {
    let test = Test::start(2);
    test.open_the_circuit().await;
    let first = test.cashier.pay(visa()).await.unwrap();
    sleep(59 * 60 * SECOND).await;
    assert_eq!(test.stored(&first.payment_id).status, Status::Queued);
    sleep(2 * 60 * SECOND).await;
    assert_eq!(test.stored(&first.payment_id).status, Status::Failed);
}

#[tokio::test(start_paused = true)]
async fn refusals_never_fail_a_payment() {
    let test = Test::start(1);
    test.circuit().force_open();
    let payment = test.cashier.pay(visa()).await.unwrap();
    sleep(2 * 60 * 60 * SECOND).await;
    assert_eq!(test.stored(&payment.payment_id).status, Status::Queued);
    test.circuit().reset();
    test.cashier.queue.emptied().await;
    assert_eq!(test.stored(&payment.payment_id).status, Status::Approved);
}

#[tokio::test(start_paused = true)]
async fn worker_outlives_every_outcome() {
    let test = Test::start(3);
    for answer in [
        Gateway::Breaks,
        OK,
        Gateway::Answers(StatusCode::BAD_REQUEST),
    ] {
        test.circuit().force_open();
        test.cashier.pay(visa()).await.unwrap();
        test.gateway(answer);
        test.circuit().force_closed();
        test.cashier.queue.emptied().await;
    }
    assert!(!test.worker.is_finished());
}
