//! Which quotas a refusal names: each that had less than the call costs.

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Empty};
use seaworthy_http::RespondLayer;
use seaworthy_kit::BoxError;
use seaworthy_kit::clock::ManualClock;
use seaworthy_rate_limit::shared::{Builder, By};
use seaworthy_rate_limit::{Quota, RateLimitLayer, SharedLimit};
use tower::{ServiceBuilder, ServiceExt as _, service_fn};

use crate::fixtures::{HOUR, Test};

/// Ten and twelve, of which nothing comes back while a test runs.
fn two(limit: Builder) -> Builder {
    let limit = limit.named_quota("few", Quota::new(10, 20 * HOUR));
    limit.named_quota("many", Quota::new(12, 24 * HOUR))
}

/// Who refuses that cost, and the policies that had less.
async fn refused(limit: &SharedLimit, cost: u64) -> (By, Vec<&'static str>) {
    let refused = limit.check("key", cost).await.unwrap_err();
    let violated = refused.quotas().iter().filter(|state| state.violated);
    let violated = violated.map(|state| state.policy.as_str()).collect();
    (refused.by(), violated)
}

#[tokio::test]
async fn server_names_each_that_had_less_than_the_cost() {
    let test = Test::new();
    let limit = two(test.limit()).build().unwrap();
    limit.check("key", 8).await.unwrap();
    assert_eq!(refused(&limit, 3).await, (By::Server, vec!["few"]));
    assert_eq!(refused(&limit, 4).await, (By::Server, vec!["few"]));
    assert_eq!(refused(&limit, 5).await, (By::Server, vec!["few", "many"]));
    let pass = limit.check("key", 2).await.unwrap();
    assert!(pass.quotas().iter().all(|state| !state.violated));
    assert_eq!(refused(&limit, 2).await, (By::Server, vec!["few"]));
    assert_eq!(refused(&limit, 3).await, (By::Server, vec!["few", "many"]));
}

#[tokio::test]
async fn memory_of_a_refusal_names_the_same() {
    let test = Test::new();
    let limit = two(test.limit()).lease(0.2).hold(HOUR).build().unwrap();
    limit.check("key", 8).await.unwrap();
    assert_eq!(refused(&limit, 3).await, (By::Server, vec!["few"]));
    assert_eq!(refused(&limit, 4).await, (By::Lease, vec!["few"]));
    assert_eq!(refused(&limit, 5).await, (By::Lease, vec!["few", "many"]));
}

#[tokio::test]
async fn share_names_the_same_while_the_server_is_away() {
    let test = Test::new();
    let clock = ManualClock::new();
    let limit = two(test.limit()).clock(clock.clock()).build().unwrap();
    test.server.kill();
    limit.check("key", 8).await.unwrap();
    assert_eq!(refused(&limit, 4).await, (By::Share, vec!["few"]));
    assert_eq!(refused(&limit, 5).await, (By::Share, vec!["few", "many"]));
}

#[tokio::test]
async fn edge_writes_them_into_the_problem() {
    let test = Test::new();
    let limit = two(test.limit()).build().unwrap();
    let layer = RateLimitLayer::http("layer")
        .announce()
        .cost(|request: &Request<Empty<Bytes>>| {
            let cost = request.headers()["cost"].to_str();
            cost.ok().and_then(|cost| cost.parse().ok()).unwrap()
        })
        .shared(limit)
        .build()
        .unwrap();
    let stack = ServiceBuilder::new()
        .layer(RespondLayer::new())
        .layer(layer)
        .service(service_fn(async |_: Request<Empty<Bytes>>| {
            Ok::<_, BoxError>(Response::new(Empty::<Bytes>::new()))
        }));
    for (cost, names) in [
        (8, None),
        (3, Some(r#""violated-policies":["few"]"#)),
        (5, Some(r#""violated-policies":["few","many"]"#)),
    ] {
        let request = Request::builder().header("cost", cost);
        let request = request.body(Empty::new()).unwrap();
        let response = stack.clone().oneshot(request).await.unwrap();
        assert_eq!(response.status().as_u16(), names.map_or(200, |_| 429));
        let body = response.into_body().collect().await.unwrap().to_bytes();
        let body = String::from_utf8(body.to_vec()).unwrap();
        assert!(names.is_none_or(|names| body.contains(names)), "{body}");
    }
}
