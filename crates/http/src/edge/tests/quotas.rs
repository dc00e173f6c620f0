//! The fields of rate limits, on what was admitted and on what was refused.

use seaworthy_kit::quota::{Limited, QuotaState, Quotas};

use super::*;

fn state(policy: &str, limit: u64, remaining: u64, millis: u64) -> QuotaState {
    QuotaState::new(policy.into(), limit, Duration::from_secs(60))
        .left(remaining, Duration::from_millis(millis))
}

fn quotas(states: impl IntoIterator<Item = QuotaState>) -> Quotas {
    let mut quotas = Quotas::new();
    quotas.extend(states);
    quotas
}

/// A refusal by a rate limit that knows after how many milliseconds to come back.
fn limited(after: Option<u64>, states: impl IntoIterator<Item = QuotaState>) -> BoxError {
    let rejection = Rejection::new(RejectionKind::RateLimited, "inside".into())
        .with_retry_after(after.map(Duration::from_millis));
    Box::new(Limited::new(rejection, quotas(states)))
}

async fn admitted(layer: RespondLayer, states: Option<Quotas>) -> Response<EdgeBody<Empty<Bytes>>> {
    let inner = service_fn(move |_: Request<()>| {
        let mut response = Response::new(Empty::new());
        if let Some(states) = states.clone() {
            response.extensions_mut().insert(states);
        }
        std::future::ready(Ok::<_, BoxError>(response))
    });
    layer.layer(inner).oneshot(request(false)).await.unwrap()
}

#[tokio::test]
async fn answer_of_an_admitted_call_has_the_fields() {
    let states = quotas([state("burst", 10, 3, 1), state("minute", 100, 99, 600)]);
    let response = admitted(RespondLayer::new(), Some(states.clone())).await;
    let headers = response.headers();
    assert_eq!(
        headers["ratelimit-policy"],
        r#""burst";q=10;w=60, "minute";q=100;w=60"#
    );
    assert_eq!(
        headers["ratelimit"],
        r#""burst";r=3;t=1, "minute";r=99;t=1"#
    );
    assert!(!headers.contains_key("x-ratelimit-limit"));
    assert_eq!(
        response.extensions().get(),
        Some(&states),
        "for an edge further out"
    );

    let response = admitted(RespondLayer::new().x_rate_limit(true), Some(states)).await;
    assert_eq!(response.headers()["x-ratelimit-remaining"], "3");
    assert!(response.headers().contains_key("ratelimit"));
    let response = admitted(RespondLayer::new().x_rate_limit(true), None).await;
    assert!(response.headers().is_empty());
}

#[tokio::test]
async fn setter_that_changes_the_type_keeps_what_was_set() {
    let layer = RespondLayer::new()
        .x_rate_limit(true)
        .otherwise(|_: &BoxError| StatusCode::BAD_GATEWAY);
    let response = answer_with(layer, limited(None, [state("a", 10, 0, 1)]), false).await;
    assert_eq!(response.headers()["x-ratelimit-limit"], "10");
}

#[tokio::test]
async fn answer_of_a_refused_call_has_the_fields_and_names_what_was_violated() {
    let states = [state("burst", 10, 0, 100), state("day", 100, 7, 600)];
    let error = std::io::Error::other(limited(Some(100), states));
    let response = answer(error.into(), false).await;
    assert_eq!(response.status(), 429);
    let headers = response.headers();
    assert_eq!(headers["ratelimit"], r#""burst";r=0;t=1, "day";r=7;t=1"#);
    assert_eq!(headers["retry-after"], "1");
    assert!(response.extensions().get::<Quotas>().is_some());
    let problem: serde_json::Value = serde_json::from_str(&text(response).await).unwrap();
    assert_eq!(
        problem["type"],
        "https://iana.org/assignments/http-problem-types#quota-exceeded"
    );
    assert_eq!(problem["violated-policies"], serde_json::json!(["burst"]));
    assert_eq!(problem["status"], 429);
    assert!(problem.get("layer").is_none());
}

#[tokio::test]
async fn retry_after_is_not_earlier_than_there_is_more() {
    for (after, resets, seconds) in [
        (Some(1), [5000, 1], "5"),
        (Some(1), [1, 5001], "6"),
        (Some(9000), [5000, 1], "9"),
        (None, [1, 1], "1"),
        (None, [0, 0], "1"),
    ] {
        let states = || resets.map(|millis| state("a", 1, 0, millis));
        let response = answer(limited(after, states()), false).await;
        assert_eq!(response.headers()["retry-after"], seconds, "{resets:?}");
        let response = answer(limited(after, states()), true).await;
        let delay = grpc::retry_delay(response.headers()).unwrap();
        assert_eq!(delay.as_secs().to_string(), seconds, "{resets:?}");
    }
    // What is not used up says nothing about when to come back.
    let states = [state("a", 1, 0, 1000), state("b", 5, 4, 50_000)];
    let response = answer(limited(Some(500), states), false).await;
    assert_eq!(response.headers()["retry-after"], "1");
}

#[tokio::test]
async fn cost_above_what_is_left_violates_what_has_least() {
    let states = [state("a", 10, 3, 1), state("b", 10, 2, 1)];
    let body = text(answer(limited(None, states), false).await).await;
    assert!(body.contains(r#""violated-policies":["b"]"#), "{body}");
}

#[tokio::test]
async fn every_quota_that_had_less_than_the_cost_is_violated() {
    let mut states = quotas([
        state("a", 10, 3, 1),
        state("b", 10, 2, 1),
        state("c", 10, 5, 1),
    ]);
    states.refused(5);
    let rejection = Rejection::new(RejectionKind::RateLimited, "api".into());
    let error = Limited::new(rejection, states);
    let body = text(answer(Box::new(error), false).await).await;
    assert!(body.contains(r#""violated-policies":["a","b"]"#), "{body}");
}

#[tokio::test]
async fn callers_come_back_up_to_a_tenth_later_and_never_before() {
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..200 {
        let error = limited(Some(60_000), [state("a", 1, 0, 60_000)]);
        let response = answer(error, false).await;
        let headers = response.headers();
        let after: u64 = headers["retry-after"].to_str().unwrap().parse().unwrap();
        let told = headers["ratelimit"].to_str().unwrap();
        let more: u64 = told.split("t=").nth(1).unwrap().parse().unwrap();
        assert!((60..=66).contains(&after) && (60..=66).contains(&more));
        assert!(after >= more, "not earlier than there is more");
        seen.insert(after);
        let exact: &Quotas = response.extensions().get().unwrap();
        assert_eq!(exact.iter().next().unwrap().reset.as_secs(), 60);
    }
    assert!(seen.len() > 3, "{seen:?}");
    for (share, late) in [(0.0, false), (f64::NAN, false), (-1.0, false), (9.0, true)] {
        let error = limited(Some(60_000), [state("a", 1, 0, 60_000)]);
        let layer = RespondLayer::new().jitter(share);
        let response = answer_with(layer, error, false).await;
        let after: u64 = response.headers()["retry-after"]
            .to_str()
            .unwrap()
            .parse()
            .unwrap();
        assert!(after == 60 || late && after <= 120, "{share}");
    }
}

#[test]
fn wait_is_prolonged_by_the_draw_and_within_bounds() {
    use super::super::kinds::later;
    let secs = Duration::from_secs;
    assert_eq!(later(secs(60), 0.1, || 0), secs(60));
    assert_eq!(later(secs(60), 0.1, || 6), secs(66));
    assert_eq!(later(secs(60), 0.1, || 7), secs(60));
    assert_eq!(later(Duration::from_millis(59_001), 0.1, || 6), secs(66));
    assert_eq!(
        later(secs(9), 0.1, || unreachable!("it is too short")),
        secs(9)
    );
    assert_eq!(later(Duration::MAX, 1.0, || u64::MAX), secs(u64::MAX));
}

#[tokio::test]
async fn refusal_without_quotas_has_no_fields_and_names_no_policy() {
    let response = answer(rejection(RejectionKind::RateLimited, None), false).await;
    assert!(!response.headers().contains_key("ratelimit"));
    let body = text(response).await;
    assert!(
        body.contains("#quota-exceeded") && !body.contains("violated"),
        "{body}"
    );
}

#[tokio::test]
async fn grpc_has_the_fields_in_its_head_and_never_in_trailers() {
    let response = answer(limited(Some(1), [state("a", 1, 0, 1)]), true).await;
    assert_eq!(response.headers()["grpc-status"], "8");
    assert_eq!(response.headers()["ratelimit"], r#""a";r=0;t=1"#);
    let late = limited(Some(1), [state("a", 1, 0, 1)]);
    let collected = broken_with(RespondLayer::new(), late, [true, true]).await;
    let trailers = collected.unwrap().trailers().unwrap().clone();
    assert_eq!(trailers["grpc-status"], "8");
    assert!(!trailers.contains_key("ratelimit") && !trailers.contains_key("ratelimit-policy"));
}
