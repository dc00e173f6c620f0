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

/// Over a socket: the connection of a call that was under way when the drain began is not there for a second one.
#[tokio::test]
async fn connection_ends_with_the_call_that_the_drain_found() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    let health = Health::builder("x").build().unwrap();
    let (came, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let slow = {
        let (came, go) = (came.clone(), go.clone());
        move || async move {
            came.notify_one();
            go.notified().await;
            "well"
        }
    };
    let app = Router::new().route("/", axum::routing::get(slow));
    let app = app.layer(layer(&health, |it| it));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(axum::serve(listener, app).into_future());
    let mut client = tokio::net::TcpStream::connect(address).await.unwrap();
    let request = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n";
    client.write_all(request).await.unwrap();
    came.notified().await;
    health.begin_drain();
    go.notify_one();
    let mut answer = String::new();
    // To its end, which is that of the connection.
    client.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.contains("connection: close"), "{answer}");
    server.abort();
}
