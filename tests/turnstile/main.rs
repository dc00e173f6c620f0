//! A turnstile to kill: one process with a rate limit that it shares with others by a Redis.
//!
//! `turnstile --redis URL [--lease FRACTION] [--away FRACTION]`
//!
//! Each path is a key with a quota of its own: a thousand in a hundred days, so that time gives nothing back while a test runs.
//! `/shared` says whether the Redis decides, and has it looked for where it does not.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a turnstile that cannot go on fails its test"
)]

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::routing::get;
use seaworthy::http::RespondLayer;
use seaworthy::prelude::*;
use seaworthy::rate_limit::shared::WhenAway;
use seaworthy::rate_limit::{Quota, SharedLimit};
use tokio::net::TcpListener;

const THOUSAND: Quota = Quota::new(1000, Duration::from_secs(100 * 24 * 3600));

/// Longer than any test.
const LONG: Duration = Duration::from_secs(3600);

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    std::thread::spawn(|| {
        // It ends with the test, which must not leave it behind.
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        std::process::exit(0);
    });
    let limit = limit(&options());
    let layer = RateLimitLayer::http("turnstile")
        .shared(limit.clone())
        .keyed(NonZeroUsize::MIN.saturating_add(99), |request: &Request| {
            request.uri().path().to_owned()
        })
        .build()
        .unwrap();
    let shared = move || {
        let limit = limit.clone();
        async move {
            // It costs nothing and takes nothing.
            let _ = limit.check("shared", 0).await;
            limit.is_shared().to_string()
        }
    };
    let router = Router::new()
        .route("/pass/{key}", get(|| async { "passed" }))
        .layer((RespondLayer::new(), layer))
        .route("/shared", get(shared));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    println!("{}", listener.local_addr().unwrap());
    axum::serve(listener, router).await.unwrap();
}

fn limit(options: &HashMap<String, String>) -> SharedLimit {
    let client = redis::Client::open(options["--redis"].as_str()).unwrap();
    let when_away = match options.get("--away") {
        Some(share) => WhenAway::Share(share.parse().unwrap()),
        None => WhenAway::Refuse,
    };
    let limit = SharedLimit::builder("turnstile", client)
        .quota(THOUSAND)
        .when_away(when_away)
        .look_after(Duration::from_millis(20))
        // A machine may have much else to do.
        .timeout(Duration::from_secs(20))
        .hold(LONG);
    let limit = match options.get("--lease") {
        Some(fraction) => limit.lease(fraction.parse().unwrap()),
        None => limit,
    };
    limit.build().unwrap()
}

fn options() -> HashMap<String, String> {
    let mut args = std::env::args().skip(1);
    let mut options = HashMap::new();
    while let (Some(name), Some(value)) = (args.next(), args.next()) {
        options.insert(name, value);
    }
    options
}
