//! Each kind of rejection on the wire.

use super::*;

#[tokio::test]
async fn each_kind_has_its_status() {
    for kind in RejectionKind::ALL {
        let (http, code) = match kind {
            RejectionKind::RateLimited => (429, "8"),
            RejectionKind::TimedOut | RejectionKind::DeadlineExceeded => (504, "4"),
            RejectionKind::KeyReused => (422, "9"),
            RejectionKind::OutcomeUnknown => (409, "9"),
            RejectionKind::InProgress => (409, "10"),
            RejectionKind::CostTooHigh => (400, "3"),
            _ => (503, "14"),
        };
        // What will be the same later is no reason to come back.
        let comes_back = !matches!(
            kind,
            RejectionKind::KeyReused | RejectionKind::OutcomeUnknown | RejectionKind::CostTooHigh
        );
        let response = answer(rejection(kind, None), false).await;
        assert_eq!(response.status(), http, "{kind}");
        let after = response.headers().get("retry-after");
        assert_eq!(
            after.is_some_and(|after| after == "1"),
            comes_back,
            "{kind}"
        );
        assert_eq!(
            response.headers()["content-type"],
            "application/problem+json"
        );
        let response = answer(rejection(kind, None), true).await;
        assert_eq!(response.status(), 200, "{kind}");
        assert_eq!(response.headers()["grpc-status"], code, "{kind}");
        let delay = grpc::retry_delay(response.headers());
        assert_eq!(delay.is_some(), comes_back, "{kind}");
    }
}

#[tokio::test]
async fn quotas_that_came_with_a_refusal_go_with_the_response() {
    use seaworthy_kit::quota::{Limited, QuotaState};

    let mut quotas = Quotas::new();
    let minute = Duration::from_secs(60);
    quotas.push(QuotaState::new("api".into(), 5, minute).left(0, minute));
    let rejection = Rejection::new(RejectionKind::RateLimited, "api".into());
    for grpc in [false, true] {
        let error = Limited::new(rejection.clone(), quotas.clone());
        let response = answer(Box::new(error), grpc).await;
        assert_eq!(response.extensions().get(), Some(&quotas));
        let told: &Rejection = response.extensions().get().expect("there, too");
        assert_eq!(told.kind(), RejectionKind::RateLimited);
    }
}
