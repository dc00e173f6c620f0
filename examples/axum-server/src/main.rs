//! An axum server that takes no more than it can do, and drains.
#![expect(clippy::print_stdout, reason = "an example says what it sees")]

use std::time::Duration;

use anyhow::Context as _;
use axum::{Router, extract::Path, routing::get};
use seaworthy::prelude::*;
use tokio::{net::TcpListener, select, signal::ctrl_c, sync::oneshot, time::sleep};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let address = std::env::args().nth(1);
    let address = address.as_deref().unwrap_or("127.0.0.1:3000");

    let stack = server("reports")
        .http()
        .bulkhead(|it| it.max_concurrent(2).queue(2, Duration::from_secs(1)))
        .timeout(|it| it.limit(Duration::from_secs(2)))
        .build()?;

    let slots = stack.bulkhead();
    let app = Router::new()
        .route("/report/{millis}", get(report))
        .layer(stack.clone())
        // Added after the stack, and so outside of it: it answers while the reports are full.
        .route(
            "/slots",
            get(async move || format!("{:?}\n", slots.snapshot())),
        );

    let listener = TcpListener::bind(address)
        .await
        .with_context(|| format!("cannot listen on {address}"))?;
    let address = listener.local_addr()?;
    println!("Listening on http://{address}, until Ctrl-C.");
    let (idle, drained) = oneshot::channel::<()>();
    let serving = axum::serve(listener, app).with_graceful_shutdown(async move {
        drop(ctrl_c().await);
        let running = stack.bulkhead().snapshot().running;
        println!("Draining: new calls are refused, {running} finish.");
        stack.drain().await;
        drop(idle);
    });
    select! {
        served = serving.into_future() => served?,
        // The reports are done, and have a second to leave. For a client that keeps its
        // connection open, with half a request for instance, the server would wait for ever.
        () = async { drop(drained.await); sleep(Duration::from_secs(1)).await } => {}
    }
    Ok(())
}

/// Takes as long as it is asked to.
async fn report(Path(millis): Path<u64>) -> String {
    sleep(Duration::from_millis(millis)).await;
    format!("It took {millis} ms.\n")
}
