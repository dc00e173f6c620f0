//! A tonic server with deadlines and a limit on what runs at once.
#![expect(clippy::print_stdout, reason = "an example says what it sees")]

use std::time::Duration;

use anyhow::Context as _;
use seaworthy::prelude::*;
use tokio::{net::TcpListener, select, signal::ctrl_c, sync::oneshot, time::sleep};
use tonic::transport::{Server, server::TcpIncoming};
use tonic::{Request, Response, Status};
use tower::ServiceBuilder;

mod hello;
use hello::{greeter_server::*, *};

struct Polite;

#[tonic::async_trait]
impl Greeter for Polite {
    async fn greet(&self, request: Request<GreetRequest>) -> Result<Response<GreetReply>, Status> {
        // So slow that limits and deadlines have something to do.
        sleep(Duration::from_millis(300)).await;
        let text = format!("Hello {}.", request.into_inner().name);
        Ok(Response::new(GreetReply { text }))
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let address = std::env::args().nth(1);
    let address = address.as_deref().unwrap_or("127.0.0.1:50052");

    let deadline = DeadlineLayer::http("greeter")
        .max(Duration::from_secs(10))
        .default_limit(Duration::from_secs(5))
        .build()?;
    let bulkhead = BulkheadLayer::http("greeter")
        .max_concurrent(2)
        .queue(4, Duration::from_secs(1))
        .build()?;
    let slots = bulkhead.handle();
    let stack = ServiceBuilder::new()
        .layer(RespondLayer::new())
        .layer(deadline)
        .layer(bulkhead);

    let listener = TcpListener::bind(address)
        .await
        .with_context(|| format!("cannot listen on {address}"))?;
    let address = listener.local_addr()?;
    println!("Listening on http://{address}, until Ctrl-C.");
    let (idle, drained) = oneshot::channel::<()>();
    let serving = Server::builder()
        .layer(stack)
        .add_service(GreeterServer::new(Polite))
        .serve_with_incoming_shutdown(TcpIncoming::from(listener), async move {
            drop(ctrl_c().await);
            let running = slots.snapshot().running;
            println!("Draining: new calls are refused, {running} finish.");
            slots.drain().await;
            drop(idle);
        });
    select! {
        served = serving => served?,
        // The greetings are done, and have a second to leave. For a client that keeps its
        // connection open and says nothing, the server would wait for ever.
        () = async { drop(drained.await); sleep(Duration::from_secs(1)).await } => {}
    }
    Ok(())
}
