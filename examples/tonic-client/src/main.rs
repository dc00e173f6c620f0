//! A tonic client that retries, passes its deadline on and stops calling what is down.
#![expect(clippy::print_stdout, reason = "an example says what it sees")]

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use seaworthy::http::deadline_header::DeadlineHeaders;
use seaworthy::prelude::*;
use tokio::net::TcpListener;
use tonic::transport::{Endpoint, Server, server::TcpIncoming};
use tonic::{Request, Response, Status};
use tower::ServiceBuilder;

mod hello;
use hello::{greeter_client::*, greeter_server::*, *};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let url = match std::env::args().nth(1) {
        Some(url) => url,
        None => moody().await?,
    };
    let channel = Endpoint::from_shared(url)?.connect_lazy();

    let retry = RetryLayer::http("greeter")
        // A gRPC call is a POST: somebody has to say that greeting twice does no harm.
        .retry_any_method(true)
        .on_retry(|it| println!("  attempt {} failed, next in {:?}", it.attempt, it.delay))
        .body(tonic::body::Body::new)
        .build()?;
    let breaker = CircuitBreakerLayer::http("greeter").build()?;
    let timeout = TimeoutLayer::http("greeter")
        .limit(Duration::from_secs(2))
        .propagate(DeadlineHeaders::default())
        .build()?;
    // tonic makes UNKNOWN of errors that it does not know, and so the edge is inside of the client.
    let stack = ServiceBuilder::new()
        .layer(RespondLayer::in_client())
        .layer(retry)
        .layer(breaker)
        .layer(timeout)
        .service(channel);

    let request = GreetRequest {
        name: "Ada".to_owned(),
    };
    let reply = GreeterClient::new(stack).greet(request).await?;
    println!("{}", reply.into_inner().text);
    Ok(())
}

/// Something to call where no URL was given: it fails every other time.
async fn moody() -> anyhow::Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr()?);
    let server = Server::builder().add_service(GreeterServer::new(Moody::default()));
    tokio::spawn(server.serve_with_incoming(TcpIncoming::from(listener)));
    Ok(url)
}

#[derive(Default)]
struct Moody(AtomicBool);

#[tonic::async_trait]
impl Greeter for Moody {
    async fn greet(&self, request: Request<GreetRequest>) -> Result<Response<GreetReply>, Status> {
        if !self.0.fetch_not(Ordering::Relaxed) {
            return Err(Status::unavailable("not now"));
        }
        let text = format!("Hello {}.", request.into_inner().name);
        Ok(Response::new(GreetReply { text }))
    }
}
