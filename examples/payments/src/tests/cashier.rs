//! What a payment becomes, by what its upstreams do.

use futures_util::FutureExt;
use tonic::Code;

use super::*;
use crate::{
    cashier::{NotPaid, Why},
    payment::FraudCheck,
    problem::Problem,
};

#[tokio::test(start_paused = true)]
async fn payment_goes_on_without_the_fraud_service() {
    let test = Test::start(1);
    let payment = test.cashier.pay(visa()).await.unwrap();
    assert_eq!(payment.status, Status::Approved);
    assert_eq!(payment.fraud_check, Some(FraudCheck::Skipped));
    assert_eq!(test.stored(&payment.payment_id), payment);
}

#[tokio::test(start_paused = true)]
async fn fraud_service_that_hangs_costs_a_second_until_its_circuit_opens() {
    let test = Test::start(1);
    test.fraud(Fraud::Hangs);
    for seconds in [1, 1, 1, 0, 0] {
        let started = Instant::now();
        let payment = test.cashier.pay(visa()).await.unwrap();
        assert_eq!(payment.fraud_check, Some(FraudCheck::Skipped));
        assert_eq!(started.elapsed().as_secs(), seconds);
    }
    // Two checks try again after a minute; a third does not wait for them.
    tokio::time::advance(60 * SECOND).await;
    let probes = test.pay_at_once(2);
    settle_down().await;
    let started = Instant::now();
    test.cashier.pay(visa()).await.unwrap();
    assert_eq!(started.elapsed(), Duration::ZERO);
    for probe in probes {
        assert_eq!(probe.await.unwrap().status, Status::Approved);
    }
}

#[tokio::test(start_paused = true)]
async fn bad_answers_fail_the_payment() {
    for (answer, attempts) in [
        (DOWN, 3),
        (Gateway::Answers(StatusCode::PAYMENT_REQUIRED), 1),
        (Gateway::Answers(StatusCode::TOO_MANY_REQUESTS), 3),
    ] {
        let test = Test::start(1);
        test.gateway(answer);
        let failed = test.cashier.pay(visa()).await.unwrap_err();
        assert_eq!(failed.why, Why::BadGateway, "{answer:?}");
        assert_eq!(test.stored(&failed.payment_id).status, Status::Failed);
        // Under one key: what the gateway did the first time it does not do again.
        let seen = BTreeMap::from([(failed.payment_id, attempts)]);
        assert_eq!(*test.seen.lock().unwrap(), seen, "{answer:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn answer_that_is_lost_or_makes_no_sense_leaves_the_payment_unknown() {
    for (answer, attempts) in [
        (Gateway::Breaks, 3),
        (Gateway::Answers(StatusCode::INTERNAL_SERVER_ERROR), 1),
        (Gateway::Answers(StatusCode::BAD_GATEWAY), 3),
        // A proxy whose connection to the gateway broke answers so.
        (Gateway::Answers(StatusCode::SERVICE_UNAVAILABLE), 3),
        (Gateway::Answers(StatusCode::REQUEST_TIMEOUT), 3),
        (Gateway::Answers(StatusCode::CONFLICT), 1),
        // The charge is made: look there.
        (Gateway::Answers(StatusCode::SEE_OTHER), 1),
        (Gateway::Answers(StatusCode::FOUND), 1),
        (Gateway::Says("<html>Log in to the network</html>"), 1),
        (Gateway::Says("[1]"), 1),
        (Gateway::Says("{\"charge_id\":"), 1),
    ] {
        let test = Test::start(1);
        test.gateway(answer);
        let failed = test.cashier.pay(visa()).await.unwrap_err();
        assert_eq!(failed.why, Why::AnswerLost, "{answer:?}");
        assert_eq!(test.stored(&failed.payment_id).status, Status::Unknown);
        assert_eq!(test.seen(), attempts, "{answer:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn charge_is_named_where_the_gateway_names_it() {
    for (answer, named) in [
        ("{\"charge_id\":\"ch_9\"}", Some("ch_9")),
        ("{\"charge_id\":9}", None),
        ("{}", None),
        ("", None),
    ] {
        let test = Test::start(1);
        test.gateway(Gateway::Says(answer));
        let payment = test.cashier.pay(visa()).await.unwrap();
        assert_eq!(payment.status, Status::Approved, "{answer}");
        assert_eq!(payment.charge_id.as_deref(), named, "{answer}");
    }
}

#[tokio::test(start_paused = true)]
async fn gateway_that_recovers_between_attempts_is_not_noticed() {
    let test = Test::start(1);
    test.gateway(Gateway::Hangs);
    let paying = test.pay_at_once(1);
    settle_down().await;
    test.gateway(OK);
    for payment in paying {
        assert_eq!(payment.await.unwrap().status, Status::Approved);
    }
    assert_eq!(test.seen(), 2);
    assert_eq!(test.circuit().snapshot().failures, 0);
}

#[tokio::test(start_paused = true)]
async fn gateway_that_hangs_leaves_the_payment_unknown() {
    let test = Test::start(1);
    test.gateway(Gateway::Hangs);
    let started = Instant::now();
    let failed = test.cashier.pay(visa()).await.unwrap_err();
    // Three attempts of two seconds, each with a hedge that began half a second later, and the waits
    // between them.
    let took = started.elapsed();
    let expected = SECOND * 15 / 2..SECOND * 17 / 2;
    assert!(expected.contains(&took), "{took:?}");
    assert_eq!(failed.why, Why::TimedOut { retry_after: None });
    assert_eq!(test.stored(&failed.payment_id).status, Status::Unknown);
    assert_eq!(
        test.circuit().snapshot().failures,
        1,
        "three attempts, one failure"
    );
}

#[tokio::test(start_paused = true)]
async fn dropped_payment_is_unknown_and_never_stays_under_way() {
    let test = Test::start(1);
    test.gateway(Gateway::Hangs);
    assert!(test.cashier.pay(visa()).now_or_never().is_none());
    assert_eq!(test.count(Status::Unknown), 1);
    assert_eq!(test.count(Status::Processing), 0);
    assert_eq!(test.stack().guards.gateway.bulkhead.snapshot().running, 0);
}

#[test]
fn each_reason_has_its_status_and_says_when_to_come_back() {
    let soon = Some(Duration::from_millis(1_500));
    for (why, status, wait, code) in [
        (
            Why::QueueFull { retry_after: soon },
            503,
            Some("2"),
            Code::Unavailable,
        ),
        (
            Why::QueueFull { retry_after: None },
            503,
            Some("1"),
            Code::Unavailable,
        ),
        (
            Why::Busy { retry_after: soon },
            503,
            Some("2"),
            Code::Unavailable,
        ),
        (
            Why::TimedOut { retry_after: None },
            504,
            Some("1"),
            Code::DeadlineExceeded,
        ),
        (Why::BadGateway, 502, None, Code::Unavailable),
        (Why::AnswerLost, 502, None, Code::Unavailable),
        (Why::Disputed, 502, None, Code::Unknown),
    ] {
        let failed = NotPaid {
            payment_id: "pay_1".to_owned(),
            why,
        };
        let response = Problem::from(failed.clone()).into_response();
        assert_eq!(response.status(), status, "{why:?}");
        assert_eq!(
            response.headers()["content-type"],
            "application/problem+json"
        );
        let header = response.headers().get("retry-after");
        assert_eq!(header.map(|value| value.to_str().unwrap()), wait, "{why:?}");
        let status = tonic::Status::from(failed);
        assert_eq!(status.code(), code, "{why:?}");
        assert_eq!(status.metadata().get("payment-id").unwrap(), "pay_1");
    }
}
