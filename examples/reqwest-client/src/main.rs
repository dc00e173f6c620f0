//! `reqwest::Client` itself behind retry, circuit breaker, bulkhead and timeouts.
#![expect(clippy::print_stdout, reason = "an example says what it sees")]

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Error, ensure};
use axum::{Router, http::StatusCode, routing::get};
use reqwest::{Client, Method, Request, Url};
use seaworthy::prelude::*;
use tokio::net::TcpListener;
use tower::{Layer as _, ServiceExt as _};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let url: Url = match std::env::args().nth(1) {
        Some(url) => url.parse().context("the argument is not a URL")?,
        None => upstream().await?,
    };

    let speaks_http = url.scheme() == "http";
    ensure!(
        speaks_http,
        "the URL is not http://, and there is no TLS here"
    );

    let stack = client("upstream")
        .reqwest()
        .retry(|it| {
            it.on_retry(|it| println!("  attempt {} failed, next in {:?}", it.attempt, it.delay))
        })
        .timeout(|it| it.limit(Duration::from_secs(2)))
        .build()?;
    let client = stack.layer(Client::new());

    let request = Request::new(Method::GET, url);
    let response = client.oneshot(request).await.map_err(Error::from_boxed)?;
    // A `reqwest::Response`, with all that it can do.
    println!("{} from {}", response.status(), response.url());
    println!("{}", response.text().await?);
    Ok(())
}

/// Something to call where no URL was given: it fails twice, then it works.
async fn upstream() -> anyhow::Result<Url> {
    static CALLS: AtomicU32 = AtomicU32::new(0);
    let answer = async || match CALLS.fetch_add(1, Ordering::Relaxed) {
        0 | 1 => (StatusCode::SERVICE_UNAVAILABLE, "not now"),
        _ => (StatusCode::OK, "hello"),
    };
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr()?).parse()?;
    let app = Router::new().route("/", get(answer));
    tokio::spawn(axum::serve(listener, app).into_future());
    Ok(url)
}
