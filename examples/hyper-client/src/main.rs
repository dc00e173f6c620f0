//! hyper's pooled client behind retry, circuit breaker and timeout, stacked by hand.
#![expect(clippy::print_stdout, reason = "an example says what it sees")]

use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context as _, Error, Result, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty, Full};
use hyper::{Request, Response, StatusCode, Uri, body::Incoming, server::conn::http1, service};
use hyper_util::{client::legacy::Client, rt::TokioExecutor, rt::TokioIo};
use seaworthy::prelude::*;
use tokio::net::TcpListener;
use tower::{ServiceBuilder, ServiceExt as _};

#[tokio::main]
async fn main() -> Result<()> {
    let url: Uri = match std::env::args().nth(1) {
        Some(url) => url.parse().context("the argument is not a URL")?,
        None => upstream().await?,
    };
    let speaks_http = url.scheme_str() == Some("http");
    ensure!(
        speaks_http,
        "the argument is not an http:// URL, and there is no TLS here"
    );

    let retry = RetryLayer::http("upstream")
        .on_retry(|it| println!("  attempt {} failed, next in {:?}", it.attempt, it.delay))
        .build()?;
    let breaker = CircuitBreakerLayer::http("upstream")
        .failure_rate(None)
        .leaky_count(5)
        .build()?;
    let timeout = TimeoutLayer::http("upstream").build()?;
    let circuit = breaker.handle();
    let client = ServiceBuilder::new()
        .layer(retry)
        .layer(breaker)
        .layer(timeout)
        .service(Client::builder(TokioExecutor::new()).build_http());

    for call in 1..=4 {
        let request = Request::get(&url).body(Empty::<Bytes>::new())?;
        match client.clone().oneshot(request).await {
            Ok(response) => {
                let (head, body) = response.into_parts();
                let body = body.collect().await.map_err(Error::from_boxed)?;
                let text = body.to_bytes();
                println!("call {call}: {} {}", head.status, text.escape_ascii());
            }
            Err(error) => println!("call {call}: {:#}", Error::from_boxed(error)),
        }
    }
    println!("the circuit is {:?}", circuit.state());
    Ok(())
}

/// Something to call where no URL was given: it fails every other time.
async fn upstream() -> Result<Uri> {
    static WORKS: AtomicBool = AtomicBool::new(false);
    let answer = service::service_fn(async |_: Request<Incoming>| {
        let mut response = Response::new(Full::<Bytes>::from("hello"));
        if !WORKS.fetch_not(Ordering::Relaxed) {
            *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        }
        Ok::<_, Infallible>(response)
    });
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}/", listener.local_addr()?).parse()?;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), answer));
        }
    });
    Ok(url)
}
