//! The paths of health as routes of axum.

use axum::Router;
use axum::body::Body;

use super::*;

#[tokio::test(start_paused = true)]
async fn router_has_the_paths_of_the_layer() {
    let (.., health) = registry();
    let layer = layer(&health, |it| it.live_path("/livez"));
    let router = Router::new().merge(layer.router());
    for (path, code) in [
        ("/livez", 200),
        ("/health/ready", 200),
        ("/health", 200),
        ("/health/groups/storage", 200),
        ("/health/groups/none", 404),
        ("/health/live", 404),
    ] {
        let request = Request::get(path).body(Body::empty()).unwrap();
        let response = router.clone().oneshot(request).await.unwrap();
        assert_eq!(response.status(), code, "{path}");
    }
}

#[tokio::test(start_paused = true)]
async fn layer_goes_around_a_router() {
    let (.., health) = registry();
    let hello = axum::routing::get(|| async { "hello" });
    let router = Router::new()
        .route("/", hello)
        .layer(layer(&health, |it| it));
    let request = Request::get("/").body(Body::empty()).unwrap();
    let response = router.oneshot(request).await.unwrap();
    assert_eq!(
        response.into_body().collect().await.unwrap().to_bytes(),
        "hello"
    );
}
