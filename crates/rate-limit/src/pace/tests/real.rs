//! A real client of reqwest's, over a real socket, that meets a server with a limit of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use axum::Router;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::routing::get;
use tower::{Layer, Service, ServiceExt};

use super::*;

/// A server that takes one request, refuses the next, and says so with `fields`; and how many it has seen.
async fn server() -> (String, Arc<AtomicU32>) {
    let seen = Arc::new(AtomicU32::new(0));
    let counted = seen.clone();
    let handler = move || {
        let number = counted.fetch_add(1, Ordering::SeqCst);
        async move {
            match number {
                0 => ([("ratelimit", r#""a";r=3;t=1"#)], "first").into_response(),
                1 => (StatusCode::TOO_MANY_REQUESTS, [("retry-after", "30")]).into_response(),
                _ => "fine".into_response(),
            }
        }
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let router = Router::new().route("/", get(handler));
    tokio::spawn(async move { axum::serve(listener, router).await });
    (url, seen)
}

#[tokio::test]
async fn client_keeps_away_from_a_server_that_asked_for_it() {
    let (url, seen) = server().await;
    let max_keys = NonZeroUsize::new(8).unwrap();
    let layer = PaceLayer::reqwest("gateway").wait(9, secs(1)).jitter(0.0);
    let layer = layer
        .keyed(max_keys, seaworthy_http::key::reqwest_host)
        .unwrap();
    let mut client = layer.layer(reqwest::Client::new());
    let request = || reqwest::Request::new(reqwest::Method::GET, url.parse().unwrap());
    let handle = layer
        .handle()
        .get_or_make(&seaworthy_http::key::reqwest_host(&request()));
    let handle = PaceHandle::from(handle);

    let first = client.ready().await.unwrap().call(request()).await.unwrap();
    assert_eq!(first.text().await.unwrap(), "first");
    assert!(handle.snapshot().spacing.is_some());
    // The next one waits for its turn, a third of a second later.
    let second = client.ready().await.unwrap().call(request()).await.unwrap();
    assert_eq!(second.status(), 429);
    assert!(
        handle
            .snapshot()
            .stopped_for
            .is_some_and(|left| left > secs(20))
    );
    // It would have to wait for longer than it may.
    let error = client
        .ready()
        .await
        .unwrap()
        .call(request())
        .await
        .unwrap_err();
    let rejection = Rejection::find(&*error).unwrap();
    assert_eq!(rejection.kind(), RejectionKind::RateLimited);
    assert!(
        rejection
            .retry_after()
            .is_some_and(|after| after > secs(20))
    );
    assert_eq!(seen.load(Ordering::SeqCst), 2, "the server was not asked");

    handle.forget();
    let last = client.ready().await.unwrap().call(request()).await.unwrap();
    assert_eq!(last.text().await.unwrap(), "fine");
}
