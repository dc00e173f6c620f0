//! reqwest's own requests and responses.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use ::reqwest::{Method, Request, Response, ResponseBuilderExt};
use tower::{ServiceExt, service_fn};

use super::*;

const URL: &str = "http://gateway.test/v1/charges?id=7";

#[tokio::test(start_paused = true)]
async fn slow_request_is_hedged_and_the_response_keeps_its_url() {
    let calls = Arc::new(AtomicU32::new(0));
    let client = service_fn(move |request: Request| {
        let number = calls.fetch_add(1, Ordering::SeqCst);
        async move {
            if number == 0 {
                std::future::pending::<()>().await;
            }
            assert_eq!(request.headers()["x-attempt"], "2");
            let response = ::http::Response::builder()
                .url(request.url().clone())
                .body("answer")?;
            Ok::<Response, BoxError>(response.into())
        }
    });
    let layer = HedgeLayer::reqwest("gateway")
        .delay(DELAY)
        .budget(None)
        .attempt_header("x-attempt".parse().unwrap())
        .build()
        .unwrap();
    let mut request = Request::new(Method::PUT, URL.parse().unwrap());
    *request.body_mut() = Some("amount=99".into());
    let response = layer.layer(client).oneshot(request).await.unwrap();
    assert_eq!(response.url().as_str(), URL);
    assert_eq!(layer.handle().snapshot().in_flight, 1);
    assert_eq!(response.text().await.unwrap(), "answer");
    assert_eq!(layer.handle().snapshot().in_flight, 0);
    assert_eq!(layer.handle().snapshot().won, 1);
}
