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
            _ => (503, "14"),
        };
        // What will be the same later is no reason to come back.
        let comes_back = !matches!(
            kind,
            RejectionKind::KeyReused | RejectionKind::OutcomeUnknown
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
