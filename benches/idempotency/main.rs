//! What paying once costs: over a bare router and beside axum-idempotent in memory, and over Redis and PostgreSQL beside the same client that sends the same steps bare.
//!
//! `cargo xtask bench idempotency [--no-servers]`; with `--calls N` it makes that many first payments over memory and nothing else, which is what a profiler wants.
//! Allocations are asserted, times are printed: a ratio within one run means something, a time does not.
#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

mod memory;
mod stores;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::routing::post;
use http::Request;
use tower::ServiceExt;

fn main() {
    let args: Vec<String> = std::env::args().collect();
    if let Some(at) = args.iter().position(|arg| arg == "--calls") {
        let calls = args.get(at + 1).and_then(|calls| calls.parse().ok());
        drop(memory::repeat(calls.expect("a number follows --calls")));
        return;
    }
    memory::run();
    if !args.iter().any(|arg| arg == "--no-servers") {
        stores::run();
    }
}

/// A payment of 200 bytes.
fn payment() -> String {
    let body = r#"{"amount":99.99,"currency":"USD","card_token":"tok_visa","merchant_id":"m_1","note":""}"#;
    body.replace("\"\"", &format!("\"{}\"", "n".repeat(200 - body.len())))
}

const ANSWER: &str = r#"{"payment_id":"pay_d38da74daca3861284f213d2926463f9","status":"approved","charge_id":"ch_1"}"#;

/// What takes payments, without any layer.
fn shop() -> Router {
    Router::new().route(
        "/v1/payments",
        post(async |body: String| {
            assert_eq!(body.len(), 200);
            ANSWER
        }),
    )
}

fn request(key: &str, body: &str) -> Request<Body> {
    Request::post("/v1/payments")
        .header("content-type", "application/json")
        .header("idempotency-key", key)
        .body(Body::from(body.to_owned()))
        .expect("a key is a header value")
}

/// One call, to the last byte of its answer; whether it was a replay.
async fn pay(shop: Router, request: Request<Body>) -> bool {
    let Ok(response) = shop.oneshot(request).await;
    assert_eq!(response.status(), 200);
    let replayed = response.headers().contains_key("idempotent-replayed");
    let body = to_bytes(response.into_body(), 1024).await;
    assert_eq!(body.expect("it is small").len(), ANSWER.len());
    replayed
}
