//! An axum server that takes no more than it can do, and drains.
#![expect(clippy::print_stdout, reason = "an example says what it sees")]

use std::time::Duration;

use anyhow::Context as _;
use axum::{Router, extract::Path, routing::get};
use seaworthy::prelude::*;
use seaworthy::timeout::DeadlineLayer;
use tokio::{net::TcpListener, signal::ctrl_c, time::sleep};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let address = std::env::args().nth(1);
    let address = address.as_deref().unwrap_or("127.0.0.1:3000");

    let deadline = DeadlineLayer::http("reports")
        .max(Duration::from_secs(10))
        .build()?;
    let bulkhead = BulkheadLayer::http("reports")
        .max_concurrent(2)
        .queue(2, Duration::from_millis(500))
        .build()?;
    let timeout = TimeoutLayer::http("reports")
        .limit(Duration::from_secs(2))
        .build()?;
    let slots = bulkhead.handle();

    let app = Router::new()
        .route("/report/{millis}", get(report))
        .layer((RespondLayer::new(), deadline, bulkhead, timeout))
        // Added after the layers, and so outside of them: it answers while the reports are full.
        .route(
            "/slots",
            get({
                let slots = slots.clone();
                async move || format!("{:?}\n", slots.snapshot())
            }),
        );

    let listener = TcpListener::bind(address)
        .await
        .with_context(|| format!("cannot listen on {address}"))?;
    println!(
        "Listening on http://{}, until Ctrl-C.",
        listener.local_addr()?
    );
    axum::serve(listener, app)
        .with_graceful_shutdown(async move {
            drop(ctrl_c().await);
            println!(
                "Draining: new calls are refused, {} finish.",
                slots.snapshot().running
            );
            slots.drain().await;
        })
        .await?;
    Ok(())
}

/// Takes as long as it is asked to.
async fn report(Path(millis): Path<u64>) -> String {
    sleep(Duration::from_millis(millis)).await;
    format!("It took {millis} ms.\n")
}
